/*-------------------------------------------------------------------------
 *
 * streams.h
 *	  fluct.streams: what is to run, and how.
 *
 * SPI must be connected.  Results are in the memory context that is given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_STREAMS_H
#define FLUCT_BOOKKEEPING_STREAMS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* A row of fluct.streams. */
typedef struct FluctStream
{
	char	   *name;
	char	   *owner;			/* its name; as it was stored if it is gone */
	Oid			role;			/* the owner now; invalid = gone or changed */
	char	   *server;
	char	   *topic;
	char	   *target;
	Jsonb	   *mapping;
	char	   *on_conflict;
	char	   *framing;		/* none or registry; NULL = none */
	char	   *on_tombstone;	/* ignore or delete; NULL = ignore */
	char	   *start_at;		/* NULL = earliest */
	bool		fail_on_bad_message;
	bool		skip_data_loss;
	int			max_dead_letters;
	int			batch_size;
	int64		batch_bytes;
	int			batch_interval; /* milliseconds */
	int			workers;
	bool		keep_raw;
	int			npartitions;
	int		   *partitions;		/* NULL = all */
	bool		enabled;
	bool		here;			/* last started in this database */
	int			starts;
	int			version;
	bool		keyed;			/* its target had a unique key when it was set */
	bool		again;			/* what is stored is mostly there already */
	TimestampTz created_at;		/* another time: another stream of this name */
} FluctStream;

/* One worker that should run. */
typedef struct FluctWanted
{
	char	   *stream;
	char	   *owner;			/* as in FluctStream */
	Oid			role;
	int			worker;
	int			starts;
	int64		wait;			/* milliseconds until it may start */
	int			version;		/* as in FluctStream */
	TimestampTz created_at;
} FluctWanted;

/* Whether this database has the extension.  Needs no SPI. */
extern bool fluct_streams_installed(void);

/* NULL when there is no such stream. */
extern FluctStream *fluct_streams_find(const char *name,
									   MemoryContext context);

/* The same, but an error (42704) when there is none. */
extern FluctStream *fluct_streams_get(const char *name, MemoryContext context);

/* FluctWanted of all workers that should run in this database. */
extern List *fluct_streams_wanted(MemoryContext context);

#endif							/* FLUCT_BOOKKEEPING_STREAMS_H */
