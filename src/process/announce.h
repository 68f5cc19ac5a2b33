/*-------------------------------------------------------------------------
 *
 * announce.h
 *	  What others learn of a transaction once it has committed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_ANNOUNCE_H
#define FLUCT_PROCESS_ANNOUNCE_H

#include "postgres.h"

#include "utils/timestamp.h"

extern void fluct_announce_init(void);

/* The launchers and all workers wake up, and find that something changed. */
extern void fluct_announce_wake(void);

/* A line in the server's log; detail may be NULL. */
extern void fluct_announce_line(const char *message, const char *detail);

/* An event (events.h); state may be NULL. */
extern void fluct_announce_event(const char *kind, const char *name,
								 const char *state, TimestampTz as_of);

#endif							/* FLUCT_PROCESS_ANNOUNCE_H */
