/*-------------------------------------------------------------------------
 *
 * state.h
 *	  How a stream worker is: what it says of itself, and when it leaves.
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

/* Reads the stream of the slot; leaves when it should not run. */
extern void fluct_state_begin(FluctSlot *slot);

/* reason is one word or NULL, detail the fact behind it or NULL. */
extern void fluct_state_set(const char *state, const char *reason,
							const char *detail);

/* The end of the stream until somebody starts it again. */
extern void fluct_state_fail(const char *reason,
							 const char *detail)
			__attribute__((noreturn));

/* Leaves to the next worker what this one can't do; that is no failure. */
extern void fluct_state_make_way(void)
			__attribute__((noreturn));

/* Leaves to another worker, which has moved the offsets, what is its own. */
extern void fluct_state_leave_to_another(void)
			__attribute__((noreturn));

/* Leaves when the stream is no more what this worker was started for. */
extern void fluct_state_check(void);

/* Sleeps at most that long, then checks. */
extern void fluct_state_nap(long ms);

#endif							/* FLUCT_STREAM_STATE_H */
