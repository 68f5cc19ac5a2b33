/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  What all background processes of fluct have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_WORKER_H
#define FLUCT_PROCESS_WORKER_H

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"
#include "utils/palloc.h"

#include "base/message.h"

/* Signal handlers in, signals unblocked: the first call of a main function. */
extern void fluct_worker_unblock(void);

/*
 * Fills in what the stream workers and launchers have in common: the function
 * and the type that pg_stat_activity shows.
 */
extern void fluct_worker_describe(BackgroundWorker *worker,
								  const char *function, const char *type);

/*
 * Begins a session of that role, or of the superuser if it is invalid, with
 * settings that a role or a database must not change.
 */
extern void fluct_worker_connect(Oid database, Oid role);

/* The settings alone. */
extern void fluct_worker_pin_settings(void);

/*
 * A transaction with SPI connected and a snapshot, in which the process has
 * the rights of the extension's owner, for the bookkeeping.  The commit is the
 * session's own again, and goes back to the memory context of the begin.
 */
extern void fluct_worker_begin(void);
extern void fluct_worker_commit(void);

/* As after a long time, where the clock has been set back since. */
extern long fluct_worker_ms_since(TimestampTz then);

/* For a process that has others to serve: it waits 1 s for a lock, not more. */
extern void fluct_worker_limit_locks(void);

/*
 * In a PG_CATCH: logs the error (of a lock now and then only), ends its
 * transactions, and switches to the memory context.  For work whose failure
 * must not stop other work.
 */
extern void fluct_worker_report_error(MemoryContext context);

/*
 * Serves a stop, a reload and the postmaster's death, without waiting: for a
 * process that has so much to do that it never sleeps.
 */
extern void fluct_worker_serve(void);

/*
 * Sleeps until the latch is set, the socket (or PGINVALID_SOCKET) is readable,
 * or timeout milliseconds have passed (-1: no limit).  Serves before it
 * returns.
 */
extern void fluct_worker_wait(int socket, long timeout);

#endif							/* FLUCT_PROCESS_WORKER_H */
