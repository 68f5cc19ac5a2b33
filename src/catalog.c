/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  The extension's own tables, through SPI.
 *
 * Every statement names its tables in full, so that it does not matter what
 * search_path is.  The statements of a batch are planned once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "value.h"

#define UNIX_TO_POSTGRES_SECS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* ----- one way to run a statement ----- */

#define MAX_ARGS	16

/* A statement with its arguments; text arguments that are NULL are NULLs. */
typedef struct Call
{
	int			nargs;
	Oid			types[MAX_ARGS];
	Datum		values[MAX_ARGS];
	char		nulls[MAX_ARGS];
} Call;

static void
add(Call *call, Oid type, Datum value, bool null)
{
	Assert(call->nargs < MAX_ARGS);
	call->types[call->nargs] = type;
	call->values[call->nargs] = value;
	call->nulls[call->nargs] = null ? 'n' : ' ';
	call->nargs++;
}

static void
add_text(Call *call, const char *value)
{
	add(call, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0,
		value == NULL);
}

static void
add_int(Call *call, int value)
{
	add(call, INT4OID, Int32GetDatum(value), false);
}

static void
add_int64(Call *call, int64 value)
{
	add(call, INT8OID, Int64GetDatum(value), false);
}

static void
add_bytes(Call *call, const char *value, size_t len)
{
	add(call, BYTEAOID,
		value ? PointerGetDatum(cstring_to_text_with_len(value, len)) : (Datum) 0,
		value == NULL);
}

/* Kafka's milliseconds since 1970; negative is NULL. */
static void
add_time(Call *call, int64 ms)
{
	add(call, TIMESTAMPTZOID,
		TimestampTzGetDatum((ms - UNIX_TO_POSTGRES_SECS * 1000) * 1000),
		ms < 0);
}

/* An int8 array of one member of each position. */
static void
add_members(Call *call, const FluctPosition *positions, int count,
			size_t member)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(*(const int64 *)
								  ((const char *) &positions[i] + member));
	add(call, INT8ARRAYOID,
		PointerGetDatum(construct_array(values, count, INT8OID, 8,
										FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
		false);
}

static void
add_partitions(Call *call, const FluctPosition *positions, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(positions[i].partition);
	add(call, INT4ARRAYOID,
		PointerGetDatum(construct_array(values, count, INT4OID, 4, true,
										TYPALIGN_INT)),
		false);
}

static uint64
run(Call *call, const char *sql)
{
	int			result = SPI_execute_with_args(sql, call->nargs, call->types,
											   call->values, call->nulls,
											   false, 0);

	if (result < 0)
		elog(ERROR, "statement failed: %s: %s",
			 SPI_result_code_string(result), sql);
	return SPI_processed;
}

/* The same, planned once in the life of the process. */
static uint64
run_kept(Call *call, SPIPlanPtr *plan, const char *sql)
{
	int			result;

	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(sql, call->nargs, call->types);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare: %s", sql);
		*plan = made;
	}
	result = SPI_execute_plan(*plan, call->values, call->nulls, false, 0);
	if (result < 0)
		elog(ERROR, "statement failed: %s: %s",
			 SPI_result_code_string(result), sql);
	return SPI_processed;
}

/* ----- reading a row; results are in the caller's context ----- */

static Datum
field(int row, int column, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, null);
}

static char *
field_text(MemoryContext context, int row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row],
									 SPI_tuptable->tupdesc, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

static int64
field_int(int row, int column)
{
	bool		null;
	Datum		value = field(row, column, &null);

	return null ? -1 :
		SPI_gettypeid(SPI_tuptable->tupdesc, column) == INT8OID ?
		DatumGetInt64(value) : DatumGetInt32(value);
}

static bool
field_bool(int row, int column)
{
	bool		null;
	Datum		value = field(row, column, &null);

	return !null && DatumGetBool(value);
}

/* ----- streams ----- */

bool
fluct_catalog_installed(void)
{
	return OidIsValid(get_extension_oid("fluct", true));
}

static void
read_partitions(MemoryContext context, FluctStream *stream, int column)
{
	bool		null;
	Datum		value = field(0, column, &null);
	Datum	   *elements;

	if (null)
		return;
	deconstruct_array(DatumGetArrayTypeP(value), INT4OID, 4, true,
					  TYPALIGN_INT, &elements, NULL, &stream->npartitions);
	stream->partitions = MemoryContextAlloc(context, sizeof(int) * (stream->npartitions + 1));
	for (int i = 0; i < stream->npartitions; i++)
		stream->partitions[i] = DatumGetInt32(elements[i]);
}

/* A stream belongs to the cluster and database in which it was started. */
static void
add_place(Call *call)
{
	add_text(call, psprintf(UINT64_FORMAT, GetSystemIdentifier()));
	add(call, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
}

FluctStream *
fluct_catalog_stream(const char *name, MemoryContext context)
{
	Call		call = {0};
	FluctStream *stream;
	Jsonb	   *mapping;
	bool		null;

	add_text(&call, name);
	add_place(&call);
	if (run(&call,
			"SELECT name, owner, server, topic, target, mapping, on_conflict,"
			" start_at, on_bad_message = 'fail', on_data_loss = 'skip',"
			" max_dead_letters, batch_size, batch_bytes,"
			" (1000 * extract(epoch FROM batch_interval))::int, workers,"
			" keep_raw, partitions, enabled,"
			" system_identifier = $2 AND database_oid = $3, starts, version"
			" FROM fluct.streams WHERE name = $1") == 0)
		return NULL;
	stream = MemoryContextAlloc(context, sizeof(FluctStream));
	memset(stream, 0, sizeof(FluctStream));
	stream->name = field_text(context, 0, 1);
	stream->owner = field_text(context, 0, 2);
	stream->server = field_text(context, 0, 3);
	stream->topic = field_text(context, 0, 4);
	stream->target = field_text(context, 0, 5);
	mapping = DatumGetJsonbP(field(0, 6, &null));
	stream->mapping = MemoryContextAlloc(context, VARSIZE(mapping));
	memcpy(stream->mapping, mapping, VARSIZE(mapping));
	stream->on_conflict = field_text(context, 0, 7);
	stream->start_at = field_text(context, 0, 8);
	stream->fail_on_bad_message = field_bool(0, 9);
	stream->skip_data_loss = field_bool(0, 10);
	stream->max_dead_letters = field_int(0, 11);
	stream->batch_size = field_int(0, 12);
	stream->batch_bytes = field_int(0, 13);
	stream->batch_interval = field_int(0, 14);
	stream->workers = field_int(0, 15);
	stream->keep_raw = field_bool(0, 16);
	read_partitions(context, stream, 17);
	stream->enabled = field_bool(0, 18);
	stream->here = field_bool(0, 19);
	stream->starts = field_int(0, 20);
	stream->version = field_int(0, 21);
	return stream;
}

List *
fluct_catalog_wanted(MemoryContext context)
{
	Call		call = {0};
	List	   *wanted = NIL;
	uint64		n;

	add_place(&call);
	n = run(&call,
			"SELECT s.name, w.n, s.starts,"
			" coalesce(ceil(1000 * extract(epoch FROM"
			"  st.next_start - clock_timestamp())), 0)::int8"
			" FROM fluct.streams s"
			" CROSS JOIN LATERAL generate_series(0, s.workers - 1) AS w(n)"
			" LEFT JOIN fluct.stream_states st"
			"  ON st.stream = s.name AND st.worker = w.n"
			"   AND st.starts = s.starts"
			" WHERE s.enabled AND s.system_identifier = $1"
			"  AND s.database_oid = $2"
			"  AND NOT EXISTS (SELECT FROM fluct.stream_states f"
			"   WHERE f.stream = s.name AND f.state = 'failed'"
			"    AND f.starts = s.starts)"
			" ORDER BY s.created_at, w.n");
	for (uint64 i = 0; i < n; i++)
	{
		FluctWanted *one = MemoryContextAlloc(context, sizeof(FluctWanted));
		MemoryContext old;

		one->stream = field_text(context, i, 1);
		one->worker = field_int(i, 2);
		one->starts = field_int(i, 3);
		one->wait = field_int(i, 4);
		old = MemoryContextSwitchTo(context);
		wanted = lappend(wanted, one);
		MemoryContextSwitchTo(old);
	}
	return wanted;
}

List *
fluct_catalog_options(const char *server_name, Oid owner,
					  MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	ForeignServer *server = GetForeignServerByName(server_name, false);
	List	   *options = server->options;
	Call		call = {0};

	/* GetUserMapping raises an error where there is none */
	add(&call, OIDOID, ObjectIdGetDatum(server->serverid), false);
	add(&call, OIDOID, ObjectIdGetDatum(owner), false);
	if (run(&call, "SELECT FROM pg_catalog.pg_user_mapping"
			" WHERE umserver = $1 AND umuser IN ($2, 0)") > 0)
		options = list_concat(options,
							  GetUserMapping(owner, server->serverid)->options);
	MemoryContextSwitchTo(old);
	return options;
}

/* ----- states ----- */

void
fluct_catalog_count_start(const char *stream, int worker, int starts)
{
	Call		call = {0};

	add_text(&call, stream);
	add_int(&call, worker);
	add_int(&call, starts);
	run(&call,
		"INSERT INTO fluct.stream_states AS s"
		" (stream, worker, starts, state, failures, next_start)"
		" VALUES ($1, $2, $3, 'starting', 1, clock_timestamp())"
		" ON CONFLICT (stream, worker) DO UPDATE SET"
		" starts = $3, state = 'starting', since = clock_timestamp(),"
		" failures = CASE s.starts WHEN $3 THEN s.failures + 1 ELSE 1 END,"
		" next_start = clock_timestamp() + CASE"
		"  WHEN s.starts <> $3 OR s.failures = 0 THEN '0'"
		"  ELSE least(interval '1 minute',"
		"   interval '0.2 s' * 2 ^ least(s.failures - 1, 10)) END");
}

void
fluct_catalog_count_success(const char *stream, int worker)
{
	Call		call = {0};

	add_text(&call, stream);
	add_int(&call, worker);
	run(&call,
		"UPDATE fluct.stream_states SET failures = 0, next_start = NULL"
		" WHERE stream = $1 AND worker = $2 AND failures > 0");
}

void
fluct_catalog_set_state(const char *stream, int worker, int starts,
						const char *state, const char *reason,
						const char *detail, const char *error)
{
	Call		call = {0};

	add_text(&call, stream);
	add_int(&call, worker);
	add_int(&call, starts);
	add_text(&call, state);
	add_text(&call, reason);
	add_text(&call, detail);
	add_text(&call, error);
	run(&call,
		"INSERT INTO fluct.stream_states AS s"
		" (stream, worker, starts, state, reason, detail, last_error,"
		"  last_error_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7,"
		"  CASE WHEN $7 IS NOT NULL THEN clock_timestamp() END)"
		" ON CONFLICT (stream, worker) DO UPDATE SET"
		" starts = $3, state = $4, reason = $5, detail = $6,"
		" since = CASE WHEN s.state = $4 AND s.reason IS NOT DISTINCT FROM $5"
		"  THEN s.since ELSE clock_timestamp() END,"
		" last_error = coalesce($7, s.last_error),"
		" last_error_at = CASE WHEN $7 IS NULL THEN s.last_error_at"
		"  ELSE clock_timestamp() END");
}

/* ----- positions ----- */

FluctPosition *
fluct_catalog_positions(const char *stream, int *count,
						MemoryContext context)
{
	Call		call = {0};
	FluctPosition *positions;

	add_text(&call, stream);
	*count = (int) run(&call,
					   "SELECT partition, next_offset,"
					   " coalesce(log_start_offset, -1),"
					   " coalesce(log_end_offset, -1)"
					   " FROM fluct.stream_offsets WHERE stream = $1"
					   " ORDER BY partition");
	positions = MemoryContextAlloc(context, sizeof(FluctPosition) * (*count + 1));
	memset(positions, 0, sizeof(FluctPosition) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		positions[i].partition = field_int(i, 1);
		positions[i].next_offset = field_int(i, 2);
		positions[i].read_offset = positions[i].next_offset;
		positions[i].log_start = field_int(i, 3);
		positions[i].log_end = field_int(i, 4);
		positions[i].time_ms = -1;
	}
	return positions;
}

void
fluct_catalog_add_position(const char *stream, const char *topic,
						   const FluctPosition *position)
{
	Call		call = {0};

	add_text(&call, stream);
	add_text(&call, topic);
	add_int(&call, position->partition);
	add_int64(&call, position->next_offset);
	run(&call,
		"INSERT INTO fluct.stream_offsets"
		" (stream, topic, partition, next_offset) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT DO NOTHING");
}

int64
fluct_catalog_start_of(const char *start_at, int partition, bool *exact)
{
	Call		call = {0};

	add_text(&call, start_at);
	add_int(&call, partition);
	run(&call, "SELECT at, exact FROM fluct._start_of($1, $2)");
	*exact = field_bool(0, 2);
	return field_int(0, 1);
}

void
fluct_catalog_lock_positions(const char *stream)
{
	Call		call = {0};

	add_text(&call, stream);
	run(&call, "SELECT pg_advisory_xact_lock(hashtextextended("
		"'fluct positions ' || $1, 0))");
}

#define MEMBERS(member) \
	add_members(&call, positions, count, offsetof(FluctPosition, member))

bool
fluct_catalog_advance(const char *stream, const FluctPosition *positions,
					  int count)
{
	static SPIPlanPtr plan = NULL;
	Call		call = {0};

	add_text(&call, stream);
	add_partitions(&call, positions, count);
	MEMBERS(next_offset);
	MEMBERS(read_offset);
	MEMBERS(messages);
	MEMBERS(rows);
	MEMBERS(duplicates);
	MEMBERS(dead_letters);
	MEMBERS(tombstones);
	MEMBERS(time_ms);
	MEMBERS(log_start);
	MEMBERS(log_end);
	return run_kept(&call, &plan,
					"UPDATE fluct.stream_offsets o SET"
					" next_offset = u.goes_to,"
					" messages = o.messages + u.messages,"
					" rows = o.rows + u.rows,"
					" duplicates = o.duplicates + u.duplicates,"
					" dead_letters = o.dead_letters + u.dead_letters,"
					" tombstones = o.tombstones + u.tombstones,"
					" last_message_time = CASE WHEN u.ms >= 0"
					"  THEN to_timestamp(u.ms / 1000.0)"
					"  ELSE o.last_message_time END,"
					" log_start_offset = CASE WHEN u.log_start >= 0"
					"  THEN u.log_start ELSE o.log_start_offset END,"
					" log_end_offset = CASE WHEN u.log_end >= 0"
					"  THEN u.log_end ELSE o.log_end_offset END,"
					" last_commit = clock_timestamp()"
					" FROM ROWS FROM (unnest($2), unnest($3), unnest($4),"
					"  unnest($5), unnest($6), unnest($7), unnest($8),"
					"  unnest($9), unnest($10), unnest($11), unnest($12))"
					"  AS u(partition, stands_at, goes_to, messages, rows,"
					"   duplicates, dead_letters, tombstones, ms, log_start,"
					"   log_end)"
					" WHERE o.stream = $1 AND o.partition = u.partition"
					"  AND o.next_offset = u.stands_at") == (uint64) count;
}

void
fluct_catalog_note_log(const char *stream, const FluctPosition *positions,
					   int count)
{
	Call		call = {0};

	add_text(&call, stream);
	add_partitions(&call, positions, count);
	MEMBERS(log_start);
	MEMBERS(log_end);
	run(&call,
		"UPDATE fluct.stream_offsets o SET"
		" log_start_offset = u.log_start, log_end_offset = u.log_end"
		" FROM ROWS FROM (unnest($2), unnest($3), unnest($4))"
		"  AS u(partition, log_start, log_end)"
		" WHERE o.stream = $1 AND o.partition = u.partition"
		"  AND u.log_end >= 0 AND (o.log_end_offset, o.log_start_offset)"
		"   IS DISTINCT FROM (u.log_end, u.log_start)");
}

/* ----- what did not go in ----- */

void
fluct_catalog_add_dead_letter(const char *stream, const char *topic,
							  const FluctMessage *message)
{
	static SPIPlanPtr plan = NULL;
	const FluctRefusal *refusal = message->refusal;
	Call		call = {0};

	add_text(&call, stream);
	add_text(&call, topic);
	add_int(&call, message->partition);
	add_int64(&call, message->offset);
	add_bytes(&call, message->key, message->key_len);
	add_text(&call, message->headers);
	add_bytes(&call, message->value, message->value_len);
	add_time(&call, message->time_ms);
	add_text(&call, fluct_reason_name(refusal->reason));
	add_text(&call, refusal->sqlstate);
	add_text(&call, refusal->detail);
	add_text(&call, refusal->path[0] ? refusal->path : NULL);
	run_kept(&call, &plan,
			 "INSERT INTO fluct.dead_letters (stream, topic, partition,"
			 " \"offset\", key, headers, value, message_time, reason,"
			 " sqlstate, detail, path)"
			 " VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10, $11,"
			 "  $12)");
}

static const char *
field_bytes(MemoryContext context, int row, int column, size_t *len)
{
	bool		null;
	Datum		value = field(row, column, &null);
	MemoryContext old;
	bytea	   *bytes;

	*len = 0;
	if (null)
		return NULL;
	old = MemoryContextSwitchTo(context);
	bytes = DatumGetByteaPCopy(value);
	MemoryContextSwitchTo(old);
	*len = VARSIZE(bytes) - VARHDRSZ;
	return VARDATA(bytes);
}

FluctMessage *
fluct_catalog_dead_letters(const char *stream, ArrayType *ids, int64 **found,
						   int *count, MemoryContext context)
{
	Call		call = {0};
	FluctMessage *messages;

	add_text(&call, stream);
	add(&call, INT8ARRAYOID, PointerGetDatum(ids), false);
	*count = (int) run(&call,
					   "SELECT id, partition, \"offset\", key, headers, value,"
					   " coalesce((1000 * extract(epoch FROM"
					   "  message_time))::int8, -1)"
					   " FROM fluct.dead_letters"
					   " WHERE stream = $1 AND id = ANY ($2)"
					   " AND status = 'open' ORDER BY id FOR UPDATE");
	messages = MemoryContextAllocZero(context,
									  sizeof(FluctMessage) * (*count + 1));
	*found = MemoryContextAlloc(context, sizeof(int64) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		(*found)[i] = field_int(i, 1);
		messages[i].partition = field_int(i, 2);
		messages[i].offset = field_int(i, 3);
		messages[i].key = field_bytes(context, i, 4, &messages[i].key_len);
		messages[i].headers = field_text(context, i, 5);
		messages[i].value = field_bytes(context, i, 6,
										&messages[i].value_len);
		messages[i].full_len = messages[i].value_len;
		messages[i].time_ms = field_int(i, 7);
	}
	return messages;
}

int64
fluct_catalog_recent_dead_letters(const char *stream)
{
	Call		call = {0};

	add_text(&call, stream);
	run(&call,
		"SELECT count(*) FROM fluct.dead_letters d JOIN fluct.streams s"
		" ON d.stream = s.name WHERE s.name = $1 AND d.status = 'open'"
		" AND d.created_at > clock_timestamp() - s.error_window");
	return field_int(0, 1);
}

void
fluct_catalog_add_gap(const char *stream, const char *topic, int partition,
					  int64 from, int64 to, const char *reason)
{
	Call		call = {0};

	add_text(&call, stream);
	add_text(&call, topic);
	add_int(&call, partition);
	add_int64(&call, from);
	add_int64(&call, to);
	add_text(&call, reason);
	run(&call,
		"INSERT INTO fluct.gaps (stream, topic, partition, from_offset,"
		" to_offset, reason) VALUES ($1, $2, $3, $4, $5, $6)");
}

/* ----- partitions ----- */

void
fluct_catalog_maintain(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	Oid			owner = rel->rd_rel->relowner;
	Call		call = {0};
	Oid			user;
	int			context;
	int			nest = NewGUCNestLevel();

	relation_close(rel, AccessShareLock);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	run(&call, "SELECT FROM fluct.maintain_partitions()");
	AtEOXact_GUC(false, nest);
	SetUserIdAndSecContext(user, context);
}
