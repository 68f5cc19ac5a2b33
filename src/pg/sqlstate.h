/*-------------------------------------------------------------------------
 *
 * sqlstate.h
 *	  Whose fault an error is, by its SQLSTATE.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_SQLSTATE_H
#define FLUCT_PG_SQLSTATE_H

#include "postgres.h"

/*
 * Whether the same work may succeed later without any change of the data or
 * the tables: a lock, a lost connection, a full disk, a shutdown.
 */
extern bool fluct_sqlstate_may_pass(int sqlstate);

/* Whether the values themselves cannot be stored, now or later. */
extern bool fluct_sqlstate_is_of_data(int sqlstate);

/*
 * Whether procedural code raised it, as RAISE does: a function that a CHECK, a
 * domain or another expression of the table calls.
 */
extern bool fluct_sqlstate_is_raised(int sqlstate);

/*
 * Whether stored data or an index is damaged.  The rest of its class, XX000, is
 * also what functions raise that never chose an SQLSTATE.
 */
extern bool fluct_sqlstate_is_damage(int sqlstate);

/*
 * Whether a partitioned table has no partition for a row.  Its SQLSTATE is
 * that of a violated CHECK, but a new partition helps, and no new message.
 */
extern bool fluct_sqlstate_is_missing_partition(const ErrorData *error);

/*
 * Whether a publication with a row filter or a column list forbids the UPDATE
 * or DELETE.  Its SQLSTATE is that of a missing key; the detail says what.
 */
extern bool fluct_sqlstate_is_of_publication(const ErrorData *error);

/* Whether a policy refuses a row, as a CHECK or a view's CHECK OPTION would. */
extern bool fluct_sqlstate_is_row_security(const ErrorData *error);

#endif							/* FLUCT_PG_SQLSTATE_H */
