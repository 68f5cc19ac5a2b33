/*-------------------------------------------------------------------------
 *
 * session.h
 *	  A worker that does something for a session, and reports to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_SESSION_H
#define FLUCT_INQUIRY_SESSION_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"

#include "inquiry/topic.h"

/* The session's end of it. */
typedef struct FluctErrand
{
	dsm_segment *segment;
	shm_mq_handle *queue;
	BackgroundWorkerHandle *worker;
} FluctErrand;

/*
 * Starts a worker for the inquiry; type is what pg_stat_activity calls it.
 * Errors: 53400 without a free background worker.
 */
extern void fluct_errand_start(const FluctInquiry *inquiry, const char *type,
							   FluctErrand *errand);

/*
 * Waits for the worker's next message: returns its kind, and leaves its body
 * in *message.  The worker's errors and notices are thrown here.  Errors:
 * 08006 when the worker ends without a word, or is silent for longest ms (0:
 * no limit).
 */
extern int	fluct_errand_next(FluctErrand *errand, long longest,
							  StringInfo message);

/* Tells the worker to end: for PG_ENSURE_ERROR_CLEANUP. */
extern void fluct_errand_stop(int code, Datum errand);

/* After the last message. */
extern void fluct_errand_end(FluctErrand *errand);

#endif							/* FLUCT_INQUIRY_SESSION_H */
