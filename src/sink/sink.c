/*-------------------------------------------------------------------------
 *
 * sink.c
 *	  A batch of messages into the tables, with its offsets.
 *
 * Exactly once.  fluct_sink_commit is the only function that writes offsets
 * of messages, and it writes them in the transaction that stores what became
 * of each message: its rows, or its dead letter, and its raw copy.  So after
 * a crash at any point the offsets say exactly what is in the tables.  The
 * offsets move by compare-and-set: a worker that was stopped, replaced and
 * woken again finds them moved and commits nothing.  When a batch is on disk:
 * flush.c.
 *
 * Whose rights.  Rows are written as the stream's owner, in a
 * security-restricted operation and a nest level of settings of its own, so
 * that code which somebody planted on a target (a trigger, a default, a
 * domain) gets neither the worker's rights nor a hold on its settings.  So are
 * the tables opened and planned, since planning executes what is immutable.
 * The bookkeeping is written with the worker's own rights, after that.
 *
 * Whose rights, again.  Rights and tables are looked at before anything is
 * planned, and again when one of the relations in which rows may end has
 * changed: a GRANT, another owner, a partition attached far below are changes
 * of such a relation, of which the relcache tells.  The statements of a batch
 * check the rights on the targets in any case, and whether the owner has
 * become a superuser is looked at before each.
 *
 * The guilty.  Whatever depends on what a message holds (decoding it, with the
 * tables' defaults; the raw copy, with the users' rules on it; the rows) is a
 * step of halving.c, which finds the messages that are to blame for an error:
 * they become dead letters, and all the others are stored in the same commit.
 *
 * Size.  What is made of a batch is bounded: it ends with the message at which
 * its bytes, or those of its rows, come to FLUCT_MAPPING_ROW_BYTES.  What is
 * left is the next batch's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/refusal.h"
#include "bookkeeping/dead_letters.h"
#include "bookkeeping/offsets.h"
#include "bookkeeping/owner.h"
#include "bookkeeping/skipped.h"
#include "bookkeeping/states.h"
#include "bookkeeping/streams.h"
#include "mapping/decode.h"
#include "mapping/findings.h"
#include "mapping/relations.h"
#include "mapping/target.h"
#include "pg/pins.h"
#include "pg/relation.h"
#include "pg/rights.h"
#include "pg/routed.h"
#include "pg/unixtime.h"
#include "process/worker.h"
#include "sink/delete.h"
#include "sink/diagnosis.h"
#include "sink/flush.h"
#include "sink/halving.h"
#include "sink/insert.h"
#include "sink/raw.h"
#include "sink/sink.h"
#include "sink/unchanged.h"
#include "sink/watch.h"
#include "sink/write.h"

/* With fewer messages than this, a first batch may be refused as a whole. */
#define ENOUGH_TO_JUDGE		100

struct FluctSink
{
	MemoryContext context;
	MemoryContext batch;		/* reset by each fluct_sink_store */
	char	   *stream;
	char	   *mapping_hash;
	Oid			owner;
	bool		update;			/* on_conflict update */
	bool		fail_on_bad_message;
	size_t		most_bytes;		/* of the messages of a batch */
	Oid			raw;			/* sales.raw_messages, or invalid */
	SPIPlanPtr	insert_raw;		/* NULL where COPY stores it */
	bool		elsewhere;		/* rows may go to other nodes */
	FluctMapping *mapping;
	int			ntargets;
	FluctStatements *statements;	/* by target */
	FluctRows  *rows;			/* of the last batch, by target */
	int			taken;			/* messages of it */
	int			decoded;		/* that many of them have their rows */
	FluctWatch	watch;			/* on the relations in which rows may end */
	MemoryContextCallback end;
};

/* ----- open ----- */

/*
 * Looks at all relations in which rows may end, and remembers them.  It may
 * be done again within a batch.
 */
static void
check_relations(FluctSink *sink)
{
	fluct_watch_set(&sink->watch, sink->context,
					fluct_relations_check(sink->mapping, sink->update,
										  sink->raw, true));
}

/* NULL: COPY stores the rows, which is done here. */
static bool
goes_elsewhere(SPIPlanPtr insert)
{
	return insert && !fluct_routed_stays_here(insert);
}

static void
prepare_targets(FluctSink *sink, bool again)
{
	sink->ntargets = sink->mapping->ntargets;
	sink->statements = MemoryContextAllocZero(sink->context,
											  sizeof(FluctStatements) *
											  sink->mapping->ntargets);
	for (int t = 0; t < sink->mapping->ntargets; t++)
	{
		fluct_store_prepare(&sink->mapping->targets[t], sink->update, &sink->statements[t]);
		sink->elsewhere |= goes_elsewhere(sink->statements[t].insert);
	}
	fluct_delete_prepare(sink->mapping, sink->statements);
	if (sink->update && again)
		fluct_unchanged_prepare(sink->mapping, sink->statements);
	if (OidIsValid(sink->raw))
		sink->insert_raw = fluct_raw_prepare(sink->raw);
	sink->elsewhere |= goes_elsewhere(sink->insert_raw);
}

/*
 * Everything that opens or plans a user's table, as the stream's owner.  What
 * executes nothing comes first, so that nothing is planned that the owner has
 * no rights on.
 */
static void
open_tables(FluctSink *sink, const FluctStream *stream)
{
	FluctRights before = fluct_rights_take(sink->owner);

	fluct_pins_set_here();
	if (stream->keep_raw)
		sink->raw = fluct_relation_find("sales.raw_messages", false);
	sink->mapping = fluct_mapping_compile(fluct_target_find(stream->name, stream->target),
										  stream->mapping,
										  stream->on_conflict, stream->framing,
										  stream->on_tombstone,
										  sink->context);
	if (stream->keyed || sink->update)
		fluct_target_check_key(sink->mapping, stream->on_conflict);
	fluct_decode_check_fallbacks(sink->mapping);
	check_relations(sink);
	fluct_target_check_rights(sink->mapping, sink->update, sink->raw);
	fluct_mapping_ready(sink->mapping);
	prepare_targets(sink, stream->again);
	fluct_rights_give_back(before);
}

/*
 * Also called when an ERROR ends the sink with its memory context, whose
 * children, the mapping among them, are deleted by then.
 */
static void
end_sink(void *arg)
{
	FluctSink  *sink = arg;

	fluct_watch_end(&sink->watch);
	if (sink->insert_raw)
		SPI_freeplan(sink->insert_raw);
	for (int t = 0; sink->statements && t < sink->ntargets; t++)
		fluct_store_end(&sink->statements[t]);
}

/* By which it is known under which mapping something was stored. */
static char *
hash_of(const Jsonb *mapping, MemoryContext context)
{
	uint64		hash = DatumGetUInt64(hash_any_extended((const unsigned char *) VARDATA_ANY(mapping),
														VARSIZE_ANY_EXHDR(mapping), 0));

	return MemoryContextStrdup(context, psprintf("%016llx", (unsigned long long) hash));
}

FluctSink *
fluct_sink_open(const FluctStream *stream, Oid owner, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "fluct sink",
												  ALLOCSET_DEFAULT_SIZES);
	FluctSink  *sink = MemoryContextAllocZero(context, sizeof(FluctSink));

	fluct_watch_prepare();
	sink->context = context;
	sink->end.func = end_sink;
	sink->end.arg = sink;
	MemoryContextRegisterResetCallback(context, &sink->end);
	sink->batch = AllocSetContextCreate(context, "fluct batch rows",
										ALLOCSET_DEFAULT_SIZES);
	sink->stream = MemoryContextStrdup(context, stream->name);
	sink->mapping_hash = hash_of(stream->mapping, context);
	sink->owner = owner;
	sink->update = strcmp(stream->on_conflict, "update") == 0;
	sink->fail_on_bad_message = stream->fail_on_bad_message;
	sink->most_bytes = stream->batch_bytes > 0 ?
		Min(stream->batch_bytes, FLUCT_MAPPING_ROW_BYTES) : FLUCT_MAPPING_ROW_BYTES;
	open_tables(sink, stream);
	fluct_watch_begin(&sink->watch);
	return sink;
}

/*
 * Locks the tables until the end of the transaction; false if they are no
 * longer those that were compiled.  Then nothing must be written: of another
 * type the rows' bytes mean something else, and under another name the rows
 * go to a table that nobody meant.
 */
static bool
hold(FluctSink *sink)
{
	for (int t = 0; t < sink->mapping->ntargets; t++)
		LockRelationOid(sink->mapping->targets[t].relid, RowExclusiveLock);
	if (OidIsValid(sink->raw))
		LockRelationOid(sink->raw, RowExclusiveLock);
	return !sink->watch.stale;
}

FluctSink *
fluct_sink_open_held(const FluctStream *stream, Oid owner,
					 MemoryContext parent)
{
	FluctSink  *sink = fluct_sink_open(stream, owner, parent);

	/* what changed before the locks were there is seen the second time */
	while (!hold(sink))
	{
		fluct_sink_close(sink);
		sink = fluct_sink_open(stream, owner, parent);
	}
	return sink;
}

void
fluct_sink_close(FluctSink *sink)
{
	MemoryContextDelete(sink->context);
}

void
fluct_sink_each_target(const FluctSink *sink, void (*visit) (Oid relid))
{
	for (int t = 0; t < sink->mapping->ntargets; t++)
		visit(sink->mapping->targets[t].relid);
}

bool
fluct_sink_stale(const FluctSink *sink)
{
	return sink->watch.stale;
}

char *
fluct_sink_missing_paths(const FluctSink *sink)
{
	return fluct_findings_missing_paths(sink->mapping);
}

int64
fluct_sink_rows(const FluctSink *sink, int message)
{
	return fluct_write_rows(sink->mapping, sink->rows, message);
}

/* ----- rows ----- */

/* How many of the messages one batch may hold for their bytes; at least 1. */
static int
limit_input(const FluctSink *sink, const FluctMessage *messages, int count)
{
	size_t		bytes = 0;
	int			n = 0;

	while (n < count && bytes < sink->most_bytes)
		bytes += fluct_message_bytes(&messages[n++]);
	return n;
}

/* A step: the rows of the messages, until there are enough of them. */
static void
decode_range(void *arg, FluctMessage *messages, int from, int to)
{
	FluctSink  *sink = arg;

	for (int i = from; i < Min(to, sink->taken); i++)
	{
		FluctMessage *message = &messages[i];
		FluctRefusal refusal = {0};

		CHECK_FOR_INTERRUPTS();
		message->refusal = NULL;
		message->outcome = FLUCT_STORED;
		if (!fluct_decode_message(sink->mapping, sink->rows, i, message,
								  &refusal))
		{
			message->outcome = sink->mapping->outcome;
			if (refusal.reason)
			{
				message->refusal = palloc(sizeof(FluctRefusal));
				*message->refusal = refusal;
			}
		}
		if (fluct_decode_bytes(sink->mapping, sink->rows, i + 1) >=
			FLUCT_MAPPING_ROW_BYTES)
			sink->taken = i + 1;
	}
}

/* A step: the raw copy. */
static void
keep_range(void *arg, FluctMessage *messages, int from, int to)
{
	FluctSink  *sink = arg;

	fluct_raw_store(sink->raw, sink->insert_raw, sink->stream, messages, from,
					to);
}

/* A step: the rows. */
static void
write_range(void *arg, FluctMessage *messages, int from, int to)
{
	FluctSink  *sink = arg;

	fluct_write_messages(sink->mapping, sink->statements, sink->rows,
						 sink->update, messages, from, to);
}

/* ----- the guilty ----- */

/* A message that is dead already, and whose raw copy is refused, stays so. */
static void
bury(void *arg, FluctMessage *messages, int guilty, FluctReason reason,
	 const ErrorData *error)
{
	FluctSink  *sink = arg;
	FluctMessage *message = &messages[guilty];
	char		path[FLUCT_PATH_LEN] = "";

	if (message->outcome == FLUCT_DEAD)
		return;
	if (guilty < sink->decoded)
		fluct_diagnosis_find(sink->mapping, sink->rows, guilty, error, path);
	message->outcome = FLUCT_DEAD;
	message->refusal = palloc0(sizeof(FluctRefusal));
	fluct_diagnosis_refuse(message->refusal, reason, path, error);
}

/* A message that has no rows, because decoding it ended in an error. */
static void
bury_undecoded(void *arg, FluctMessage *messages, int guilty,
			   FluctReason reason, const ErrorData *error)
{
	FluctSink  *sink = arg;

	if (guilty >= sink->taken)
		return;
	messages[guilty].outcome = FLUCT_STORED;
	fluct_decode_nothing(sink->mapping, sink->rows, guilty);
	bury(arg, messages, guilty, reason, error);
}

static void
throw_refusal(const FluctMessage *message)
{
	const FluctRefusal *refusal = message->refusal;

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(refusal->sqlstate[0], refusal->sqlstate[1],
								   refusal->sqlstate[2], refusal->sqlstate[3],
								   refusal->sqlstate[4])),
			 errmsg("message %s[%d]@%lld cannot be stored: %s%s%s",
					message->topic, message->partition,
					(long long) message->offset,
					fluct_reason_name(refusal->reason),
					refusal->path[0] ? " at " : "", refusal->path),
			 errdetail("%s", refusal->detail)));
}

const FluctMessage *
fluct_sink_refused(const FluctMessage *messages, int count)
{
	for (int i = 0; i < count; i++)
		if (messages[i].outcome == FLUCT_DEAD)
			return &messages[i];
	return NULL;
}

int
fluct_sink_store(FluctSink *sink, FluctMessage *messages, int count)
{
	FluctRights before = fluct_rights_take(sink->owner);
	MemoryContext old;

	fluct_pins_set_here();
	if (sink->elsewhere)
		ForceSyncCommit();		/* the nodes keep what a crash takes back here */
	MemoryContextReset(sink->batch);
	old = MemoryContextSwitchTo(sink->batch);
	sink->taken = limit_input(sink, messages, count);
	sink->rows = fluct_decode_begin(sink->mapping, sink->taken);
	sink->decoded = 0;
	fluct_halving_run(decode_range, bury_undecoded, sink, messages, 0,
					  sink->taken);
	sink->decoded = sink->taken;
	if (OidIsValid(sink->raw))
		fluct_halving_run(keep_range, bury, sink, messages, 0, sink->taken);
	fluct_halving_run(write_range, bury, sink, messages, 0, sink->taken);
	if (sink->watch.stale)
		check_relations(sink);	/* a partition attached meanwhile has rows */
	MemoryContextSwitchTo(old);
	fluct_rights_give_back(before);
	return sink->taken;
}

/* ----- the batch ----- */

static void
tally(const FluctSink *sink, const FluctMessage *messages, int count,
	  FluctPosition *positions, int npositions)
{
	const FluctMessage **last = palloc0(sizeof(FluctMessage *) * npositions);
	TimestampTz time;
	int			at = 0;

	for (int i = 0; i < npositions; i++)
		positions[i].messages = positions[i].rows = positions[i].duplicates =
			positions[i].dead_letters = positions[i].tombstones =
			positions[i].filtered = 0;
	for (int i = 0; i < count; i++)
	{
		const FluctMessage *message = &messages[i];
		FluctPosition *p;

		while (!fluct_offsets_are_of(&positions[at], message))
			at = (at + 1) % npositions;
		p = &positions[at];
		last[at] = message;
		p->messages++;
		if (fluct_unixtime_to_timestamp(message->time_ms, &time))
			p->time_ms = Max(p->time_ms, message->time_ms);
		if (message->outcome == FLUCT_STORED)
			p->rows += fluct_sink_rows(sink, i);
		p->duplicates += message->outcome == FLUCT_DUPLICATE;
		p->dead_letters += message->outcome == FLUCT_DEAD;
		p->tombstones += message->outcome == FLUCT_TOMBSTONE;
		p->filtered += message->outcome == FLUCT_FILTERED;
	}
	for (int i = 0; i < npositions; i++)
		if (last[i])
			fluct_offsets_bear_witness(&positions[i], last[i]);
}

static void
store_dead_letters(const FluctSink *sink, const FluctMessage *messages,
				   int count)
{
	for (int i = 0; i < count; i++)
		if (messages[i].outcome == FLUCT_DEAD)
		{
			if (sink->fail_on_bad_message)
				throw_refusal(&messages[i]);
			fluct_dead_letters_add(sink->stream, &messages[i]);
		}
}

static bool
all_dead(const FluctMessage *messages, int count)
{
	for (int i = 0; i < count; i++)
		if (messages[i].outcome != FLUCT_DEAD)
			return false;
	return true;
}

/* Whether of many messages none has anything where a path leads. */
static bool
finds_nothing(const FluctSink *sink, const FluctMessage *messages, int count)
{
	int			decoded = 0;

	if (fluct_findings_any(sink->mapping))
		return false;
	for (int i = 0; i < count; i++)
		decoded += messages[i].outcome != FLUCT_TOMBSTONE &&
			messages[i].outcome != FLUCT_FILTERED;
	return decoded >= ENOUGH_TO_JUDGE;
}

/*
 * A batch that ended before the messages `from`..count-1: the positions go to
 * the first of them, and what was skipped behind that is not theirs.
 */
static void
hold_back(const FluctMessage *messages, int from, int count,
		  FluctPosition *positions, int npositions)
{
	for (int i = count - 1; i >= from; i--)
		for (int at = 0; at < npositions; at++)
			if (fluct_offsets_are_of(&positions[at], &messages[i]))
				positions[at].read_offset = messages[i].offset;
	for (int at = 0; at < npositions; at++)
		while (positions[at].nskipped > 0 &&
			   positions[at].skipped[positions[at].nskipped - 1].to >
			   positions[at].read_offset)
			positions[at].nskipped--;
}

/*
 * Whether a batch says that the mapping is not for these messages: all of
 * many are refused, or none of them has anything where the paths lead.
 */
static bool
fits_nothing(FluctSink *sink, const FluctMessage *messages, int count)
{
	if (count < ENOUGH_TO_JUDGE ||
		!(all_dead(messages, count) || finds_nothing(sink, messages, count)))
		return false;
	return !fluct_offsets_has_stored(sink->stream, sink->mapping_hash);
}

FluctVerdict
fluct_sink_commit(FluctSink *sink, int worker, FluctMessage *messages,
				  int *count, FluctPosition *positions, int npositions,
				  bool first, bool more)
{
	int			wanted = *count;
	char	   *detail,
			   *hint;

	fluct_worker_begin();
	if (fluct_owner_obstacle("", "", sink->owner, false, &detail, &hint))
	{
		AbortOutOfAnyTransaction();
		return FLUCT_OWNER_UNFIT;
	}
	fluct_offsets_lock_bookkeeping();
	if (!hold(sink))
	{
		AbortOutOfAnyTransaction();
		return FLUCT_TABLES_CHANGED;
	}
	if (wanted > 0)
		*count = fluct_sink_store(sink, messages, wanted);
	hold_back(messages, *count, wanted, positions, npositions);
	if (fits_nothing(sink, messages, *count))
	{
		AbortOutOfAnyTransaction();
		return FLUCT_NOTHING_FITS;
	}
	store_dead_letters(sink, messages, *count);
	tally(sink, messages, *count, positions, npositions);
	if (!fluct_offsets_advance(sink->stream,
							   fluct_findings_any(sink->mapping) ?
							   sink->mapping_hash : NULL,
							   positions, npositions))
	{
		AbortOutOfAnyTransaction();
		return FLUCT_MOVED_BY_ANOTHER;
	}
	fluct_skipped_store(sink->stream, positions, npositions);
	if (first)
		fluct_states_count_success(sink->stream, worker);
	fluct_flush_commit(more && !sink->elsewhere);
	for (int i = 0; i < npositions; i++)
		positions[i].next_offset = positions[i].read_offset;
	return FLUCT_COMMITTED;
}
