/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  fluct's own locks, which nobody else can take.
 *
 * All are held until the end of the transaction; a place may be given back
 * before it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_LOCK_H
#define FLUCT_PG_LOCK_H

#include "storage/lock.h"

/* What is locked, and by which key.  SQL reaches no class above 2. */
typedef enum FluctLockClass
{
	FLUCT_LOCK_SLOT = 7,		/* rollup and slot: see rollup/delta.c */
	FLUCT_LOCK_DIRECTORY,		/* path of an inbox, or of a folder above it */
	FLUCT_LOCK_INBOX,			/* name of an inbox: its files */
	FLUCT_LOCK_LOAD,			/* kind of files */
	FLUCT_LOCK_POSITIONS,		/* name of a stream: its offsets */
	FLUCT_LOCK_REPORT,			/* name of a report: its rows */
	FLUCT_LOCK_RUN,				/* name of a stream: run_stream */
	FLUCT_LOCK_STREAM,			/* name of a stream: to be created */
	FLUCT_LOCK_TABLES,			/* create_tables() */
	FLUCT_LOCK_PLACE = 40		/* role and number: see inquiry/session.c */
} FluctLockClass;

extern void fluct_lock(FluctLockClass class, const char *key);

/* False when somebody else has it. */
extern bool fluct_lock_try(FluctLockClass class, const char *key);
extern bool fluct_lock_try_pair(FluctLockClass class, uint32 high, uint32 low);

/* One of a role's places, which are those of all databases. */
extern bool fluct_lock_try_place(Oid role, int place);
extern void fluct_lock_leave_place(Oid role, int place);

#endif							/* FLUCT_PG_LOCK_H */
