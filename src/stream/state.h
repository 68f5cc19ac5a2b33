/*-------------------------------------------------------------------------
 *
 * state.h
 *	  The state of a stream worker: what it reports, and when it exits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_STATE_H
#define FLUCT_STREAM_STATE_H

#include "postgres.h"

#include "bookkeeping/streams.h"
#include "process/shmem.h"

/* Of this process, from fluct_state_begin on. */
extern FluctSlot *fluct_slot;
extern FluctStream *fluct_stream;

/* Reads the stream of the slot; exits if it should not run. */
extern void fluct_state_begin(FluctSlot *slot);

/* reason is one word or NULL, detail the facts or NULL. */
extern void fluct_state_set(const char *state, const char *reason,
							const char *detail);

/*
 * Ends the stream until somebody starts it again.  What the reason is about
 * goes into the statement that fixes it: words that end with NULL, as in
 * fluct.stream_states.
 */
extern void fluct_state_fail(const char *reason,
							 const char *detail)
			__attribute__((noreturn));
extern void fluct_state_fail_about(const char *reason, const char *detail,
								   const char *const *about)
			__attribute__((noreturn));

/* The same about an offset of a partition. */
extern void fluct_state_fail_at(const char *reason, const char *detail,
								const char *topic, int partition, int64 offset)
			__attribute__((noreturn));

/* Ends the run that a session watches, for the reason that was set last. */
extern void fluct_state_give_up(void)
			__attribute__((noreturn));

/*
 * Exits so that the next worker does what this one cannot; this is not a
 * failure.
 */
extern void fluct_state_make_way(void)
			__attribute__((noreturn));

/* Exits because another worker has moved the offsets, and continues. */
extern void fluct_state_leave_to_another(void)
			__attribute__((noreturn));

/* What is to be stored before the process exits by one of these calls. */
extern void (*fluct_state_leaving) (void);

/* Exits if the stream no longer matches what this worker was started for. */
extern void fluct_state_check(void);

/* Sleeps for at most that long, then calls fluct_state_check. */
extern void fluct_state_nap(long ms);

#endif							/* FLUCT_STREAM_STATE_H */
