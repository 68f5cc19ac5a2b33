/*-------------------------------------------------------------------------
 *
 * states.h
 *	  fluct.stream_states: how each worker is, and how often it failed.
 *
 * SPI must be connected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_STATES_H
#define FLUCT_BOOKKEEPING_STATES_H

#include "postgres.h"

/*
 * Locks the worker's row until the end of the transaction; false if another
 * transaction has it, and then nothing must be written.  *reason is what was
 * said last since this start, in the current memory context, or NULL.
 */
extern bool fluct_states_take(const char *stream, int worker, int starts,
							  char **reason);

/*
 * Counts a failure before the attempt, and sets when the next may be made.  A
 * start of the server resets the count.
 */
extern void fluct_states_count_start(const char *stream, int worker,
									 int starts);

/* Resets the count. */
extern void fluct_states_count_success(const char *stream, int worker);

/*
 * Replaces the worker's state; last_error too when error is not NULL.  What the
 * reason is about, for its remedy, is a list of words that ends with NULL, or
 * NULL.
 */
extern void fluct_states_set(const char *stream, int worker, int starts,
							 const char *state, const char *reason,
							 const char *detail, const char *error,
							 const char *const *about);

/*
 * What to do about the worker's state, for a session that runs the stream
 * itself or for others; NULL if it has none.
 */
extern char *fluct_states_remedy(const char *stream, int worker,
								 bool in_session, MemoryContext context);

#endif							/* FLUCT_BOOKKEEPING_STATES_H */
