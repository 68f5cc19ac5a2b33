/*-------------------------------------------------------------------------
 *
 * direct.h
 *	  The direct path of rows into plain tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_DIRECT_H
#define FLUCT_SINK_DIRECT_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "mapping/decode.h"

typedef struct FluctDirect FluctDirect;

/*
 * Begins to store rows in the table, as the current user, whose rights the
 * caller has checked; `attnums` are the columns that the caller fills.  NULL
 * where the table, or one of the other columns' defaults, needs COPY.
 */
extern FluctDirect *fluct_direct_begin(Oid relid, const AttrNumber *attnums,
									   int nattnums);

/*
 * The next row, in which only the caller's columns are still to be set.  The
 * current memory context is then that of the row.
 */
extern TupleTableSlot *fluct_direct_row(FluctDirect *direct);

/* Stores the row; false if its partition needs COPY. */
extern bool fluct_direct_add(FluctDirect *direct);

/* Writes what is left, and goes back to the caller's memory context. */
extern void fluct_direct_end(FluctDirect *direct);

#endif							/* FLUCT_SINK_DIRECT_H */
