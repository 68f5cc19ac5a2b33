/*-------------------------------------------------------------------------
 *
 * events.h
 *	  NOTIFY fluct_events: a stream has a new state, a report a new podium.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_EVENTS_H
#define FLUCT_PROCESS_EVENTS_H

#include "utils/timestamp.h"

#define FLUCT_EVENT_STATE	"state"
#define FLUCT_EVENT_PODIUM	"podium"

extern void fluct_events_init(void);

/*
 * Leaves an event for the launcher of this database, which sends it; state may
 * be NULL.  What it is about must be committed.  Without a preload this does
 * nothing.
 */
extern void fluct_events_put(const char *kind, const char *name,
							 const char *state, TimestampTz as_of);

/* The launcher sends what was left for its database; never throws. */
extern void fluct_events_send(void);

#endif							/* FLUCT_PROCESS_EVENTS_H */
