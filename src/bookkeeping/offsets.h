/*-------------------------------------------------------------------------
 *
 * offsets.h
 *	  The extension's own tables, through SPI.
 *
 * SPI must be connected.  Results are in the memory context that is given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_OFFSETS_H
#define FLUCT_BOOKKEEPING_OFFSETS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/message.h"

/* A row of fluct.streams. */
typedef struct FluctStream
{
	char	   *name;
	char	   *owner;
	char	   *server;
	char	   *topic;
	char	   *target;
	Jsonb	   *mapping;
	char	   *on_conflict;
	char	   *start_at;		/* NULL = earliest */
	bool		fail_on_bad_message;
	bool		skip_data_loss;
	int			max_dead_letters;
	int			batch_size;
	int64		batch_bytes;
	int			batch_interval; /* milliseconds */
	int			workers;
	bool		keep_raw;
	int			npartitions;	/* 0 = all */
	int		   *partitions;
	bool		enabled;
	bool		here;			/* last started in this database */
	int			starts;
	int			version;
	TimestampTz created_at;		/* another one: another stream of this name */
} FluctStream;

/* One worker that should run. */
typedef struct FluctWanted
{
	char	   *stream;
	int			worker;
	int			starts;
	int64		wait;			/* milliseconds until it may start */
} FluctWanted;

/* An interval of offsets, [from, to). */
typedef struct FluctInterval
{
	int64		from;
	int64		to;
} FluctInterval;

/* The position in one partition, and what a batch adds to its row. */
typedef struct FluctPosition
{
	int32		partition;
	int64		next_offset;	/* committed */
	int64		read_offset;	/* of the next message to be read */
	int64		log_start;		/* -1 = not known */
	int64		log_end;
	int64		messages;
	int64		rows;
	int64		duplicates;
	int64		dead_letters;
	int64		tombstones;
	int64		time_ms;		/* Kafka's newest time in the batch; -1 */
	int64		witness_offset; /* of the last message committed; -1 */
	int64		witness_time;
	int64		witness_crc;
	int			epoch;
	char	   *cluster;		/* id of the cluster it is of; NULL = not
								 * known */
	FluctInterval *skipped;		/* where Kafka delivered nothing, ascending */
	int			nskipped;
	int			max_skipped;
} FluctPosition;

extern bool fluct_catalog_installed(void);

/* NULL when there is no such stream. */
extern FluctStream *fluct_catalog_stream(const char *name,
										 MemoryContext context);

/* FluctWanted of all workers that should run in this database. */
extern List *fluct_catalog_wanted(MemoryContext context);

/* The names and values of the server's and the owner's mapping's options. */
extern List *fluct_catalog_options(const char *server, Oid owner,
								   MemoryContext context);

/*
 * Counts a failure before the attempt, and says when the next may be.  A start
 * of the server begins the count anew.
 */
extern void fluct_catalog_count_start(const char *stream, int worker,
									  int starts);
extern void fluct_catalog_count_success(const char *stream, int worker);

/* Replaces the worker's state; last_error too when error is not NULL. */
extern void fluct_catalog_set_state(const char *stream, int worker, int starts,
									const char *state, const char *reason,
									const char *detail, const char *error);

/* Positions of the stream, by partition; *count of them. */
extern FluctPosition *fluct_catalog_positions(const char *stream, int *count,
											  MemoryContext context);

/*
 * Where start_at says that a partition begins: a time in ms since 1970, -1
 * (the end), -2 (the beginning), or with *exact an offset.
 */
extern int64 fluct_catalog_start_of(const char *start_at, int partition,
									bool *exact);

/*
 * Until the end of the process nobody else runs the stream for a session;
 * false when somebody does.
 */
extern bool fluct_catalog_try_run(const char *stream);

/* Until the end of the transaction nobody else initialises the stream. */
extern void fluct_catalog_lock_positions(const char *stream);

/*
 * Locks what a batch may write besides its targets, before them, as DROP
 * EXTENSION does, and in its order (newest table first): so neither is the
 * victim of a deadlock.
 */
extern void fluct_catalog_lock_bookkeeping(void);

/* A position where there is none, of an epoch of its own. */
extern void fluct_catalog_add_position(const char *stream, const char *topic,
									   const FluctPosition *position);

/* CRC-32C of the message's key and value. */
extern int64 fluct_catalog_crc(const FluctMessage *message);

/*
 * Moves the positions forward, from next_offset to read_offset, by
 * compare-and-set; false when another worker has moved one of them.
 */
extern bool fluct_catalog_advance(const char *stream,
								  const FluctPosition *positions, int count);

/* The positions whose cluster was not known yet are of this one. */
extern void fluct_catalog_note_cluster(const char *stream,
									   const char *cluster);

/* Keeps the ends of Kafka's log as last seen. */
extern void fluct_catalog_note_log(const char *stream,
								   const FluctPosition *positions, int count);

extern void fluct_catalog_add_dead_letter(const char *stream,
										  const char *topic,
										  const FluctMessage *message);

/*
 * The open dead letters of the stream with these ids, locked, as messages;
 * *found has their ids, *count says how many there are.
 */
extern FluctMessage *fluct_catalog_dead_letters(const char *stream,
												ArrayType *ids, int64 **found,
												int *count,
												MemoryContext context);

/* Dead letters of the stream in its error_window. */
extern int64 fluct_catalog_recent_dead_letters(const char *stream);

extern void fluct_catalog_add_gap(const char *stream, const char *topic,
								  int partition, int64 from, int64 to,
								  const char *reason);

/* Makes partitions ahead, with the rights of that table's owner. */
extern void fluct_catalog_maintain(Oid relid);

#endif							/* FLUCT_BOOKKEEPING_OFFSETS_H */
