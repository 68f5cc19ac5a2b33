/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  What a stream that runs for a session reports to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_WATCH_H
#define FLUCT_STREAM_WATCH_H

#include "postgres.h"

#include "bookkeeping/offsets.h"

/* What run_stream asks for, and the result so far. */
typedef struct FluctWatch
{
	int64		max_batches;	/* 0 = no limit */
	bool		until_caught_up;
	int64		batches;		/* committed, with messages in them */
	int64		messages;
	int64		rows;
	int64		duplicates;
	int64		dead_letters;
} FluctWatch;

/*
 * The kinds of the last message to the session, besides an error: the run is
 * done; or it goes on in another worker, and the body is the FluctWatch.
 */
#define FLUCT_RUN_DONE		'C'
#define FLUCT_RUN_AGAIN		'A'

#define FLUCT_WATCH_TOPIC_WAIT	10000	/* ms for a topic that is not there */

/* The one of this process; NULL in a worker that the launcher started. */
extern FluctWatch *fluct_watch;

/*
 * A process that works for a session writes to the server's log, like any
 * worker, and sends the session only what is meant for it: what is reported
 * between these two calls.  What ends the run is a FATAL, which nothing here
 * catches; the session throws it as an ERROR.
 */
extern void fluct_watch_speak(void);
extern void fluct_watch_hush(void);

/* A state with a reason. */
extern void fluct_watch_say_state(const char *stream, const char *state,
								  const char *reason, const char *detail);

/* The positions of a batch that is committed. */
extern void fluct_watch_count(const FluctPosition *touched, int n);

/* A line now and then, while there is something new. */
extern void fluct_watch_say_progress(const char *stream, uint64 lag);

/* Ends the process: the run is done, or goes on in another worker. */
extern void fluct_watch_finish(const char *stream, uint64 lag)
			__attribute__((noreturn));
extern void fluct_watch_begin_again(void)
			__attribute__((noreturn));

#endif							/* FLUCT_STREAM_WATCH_H */
