/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Whether a relation has changed since a sink was opened.
 *
 * The relcache tells of each change, as soon as a lock is taken.  While a sink
 * is opened, what it will consist of is not known yet: what changed meanwhile
 * is kept until it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/inval.h"
#include "utils/memutils.h"

#include "sink/watch.h"

#define MOST_CHANGES 64

typedef struct Changes
{
	int			n;				/* more than there is room for: any relation */
	Oid			relids[MOST_CHANGES];
} Changes;

/* The last one that was begun. */
static FluctWatch *watching = NULL;
static Changes meanwhile;

static int
compare_oids(const void *a, const void *b)
{
	Oid			one = *(const Oid *) a;
	Oid			other = *(const Oid *) b;

	return one < other ? -1 : one > other;
}

static bool
is_watched(const FluctWatch *watch, Oid relid)
{
	return !OidIsValid(relid) ||
		bsearch(&relid, watch->relations, watch->nrelations, sizeof(Oid),
				compare_oids) != NULL;
}

static void
on_relation_change(Datum arg, Oid relid)
{
	if (watching)
		watching->stale |= is_watched(watching, relid);
	else
	{
		if (meanwhile.n < MOST_CHANGES)
			meanwhile.relids[meanwhile.n] = relid;
		meanwhile.n++;
	}
}

void
fluct_watch_prepare(void)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	registered = true;
	watching = NULL;
	meanwhile.n = 0;
}

void
fluct_watch_set(FluctWatch *watch, MemoryContext context, List *relations)
{
	ListCell   *lc;

	if (watch->relations)
		pfree(watch->relations);
	watch->nrelations = 0;
	watch->relations = MemoryContextAlloc(context, sizeof(Oid) *
										  (list_length(relations) + 1));
	foreach(lc, relations)
		watch->relations[watch->nrelations++] = lfirst_oid(lc);
}

void
fluct_watch_begin(FluctWatch *watch)
{
	watch->stale = meanwhile.n > MOST_CHANGES;
	for (int i = 0; i < Min(meanwhile.n, MOST_CHANGES); i++)
		watch->stale |= is_watched(watch, meanwhile.relids[i]);
	watching = watch;
}

void
fluct_watch_end(FluctWatch *watch)
{
	if (watching == watch)
		watching = NULL;
}
