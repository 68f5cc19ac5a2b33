/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  Whether a relation has changed since a sink was opened.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_WATCH_H
#define FLUCT_SINK_WATCH_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* All zero before the first fluct_watch_set. */
typedef struct FluctWatch
{
	int			nrelations;		/* sorted by OID */
	Oid		   *relations;
	bool		stale;			/* one of them may have changed */
} FluctWatch;

/*
 * Before anything is looked at.  What changes from here on is remembered for
 * the next fluct_watch_begin, and no other watch is kept.
 */
extern void fluct_watch_prepare(void);

/* These are the relations, from now on; a copy, in the context. */
extern void fluct_watch_set(FluctWatch *watch, MemoryContext context,
							List *relations);

/* It stays where it is until fluct_watch_end. */
extern void fluct_watch_begin(FluctWatch *watch);
extern void fluct_watch_end(FluctWatch *watch);

#endif							/* FLUCT_SINK_WATCH_H */
