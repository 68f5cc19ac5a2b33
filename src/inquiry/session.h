/*-------------------------------------------------------------------------
 *
 * session.h
 *	  The session's side of an inquiry.
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

#include "inquiry/inquiry.h"

/* The session's end of it. */
typedef struct FluctSession
{
	Oid			role;			/* as it logged in */
	int			place;			/* of its, among the sessions that ask */
	dsm_segment *segment;
	shm_mq_handle *queue;
	BackgroundWorkerHandle *worker;
} FluctSession;

/*
 * Starts a worker for the inquiry; type is what pg_stat_activity calls it.
 * Errors: 53400 without a free background worker, or while the role has two
 * other sessions that ask.
 */
extern void fluct_session_begin(const FluctInquiry *inquiry, const char *type,
								FluctSession *session);

/*
 * Waits for the worker's next message: returns its kind, and leaves its body
 * in *message.  The worker's errors and notices are thrown here.  Errors:
 * 08006 when the worker ends without an answer, or is silent for longest ms
 * (0: no limit).
 */
extern int	fluct_session_next(FluctSession *session, long longest,
							   StringInfo message);

/* Tells the worker to end: for PG_ENSURE_ERROR_CLEANUP. */
extern void fluct_session_stop(int code, Datum session);

/* After the last message. */
extern void fluct_session_end(FluctSession *session);

#endif							/* FLUCT_INQUIRY_SESSION_H */
