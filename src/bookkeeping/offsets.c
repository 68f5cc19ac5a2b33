/*-------------------------------------------------------------------------
 *
 * offsets.c
 *	  The extension's own tables, through SPI.
 *
 * Every statement names its tables in full, so that it does not matter what
 * search_path is.  The statements of a batch are planned once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/refusal.h"
#include "bookkeeping/offsets.h"
#include "pg/query.h"

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
	Datum		value = fluct_query_field(0, column, &null);
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
add_place(FluctQuery *query)
{
	fluct_query_add_text(query, psprintf(UINT64_FORMAT, GetSystemIdentifier()));
	fluct_query_add(query, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
}

FluctStream *
fluct_catalog_stream(const char *name, MemoryContext context)
{
	FluctQuery	query = {0};
	FluctStream *stream;
	Jsonb	   *mapping;
	bool		null;

	fluct_query_add_text(&query, name);
	add_place(&query);
	if (fluct_query_run(&query,
						"SELECT name, owner, server, topic, target, mapping, on_conflict,"
						" start_at, on_bad_message = 'fail', on_data_loss = 'skip',"
						" max_dead_letters, batch_size, batch_bytes,"
						" (1000 * extract(epoch FROM batch_interval))::int, workers,"
						" keep_raw, partitions, enabled,"
						" system_identifier = $2 AND database_oid = $3, starts, version,"
						" created_at"
						" FROM fluct.streams WHERE name = $1") == 0)
		return NULL;
	stream = MemoryContextAlloc(context, sizeof(FluctStream));
	memset(stream, 0, sizeof(FluctStream));
	stream->name = fluct_query_field_text(context, 0, 1);
	stream->owner = fluct_query_field_text(context, 0, 2);
	stream->server = fluct_query_field_text(context, 0, 3);
	stream->topic = fluct_query_field_text(context, 0, 4);
	stream->target = fluct_query_field_text(context, 0, 5);
	mapping = DatumGetJsonbP(fluct_query_field(0, 6, &null));
	stream->mapping = MemoryContextAlloc(context, VARSIZE(mapping));
	memcpy(stream->mapping, mapping, VARSIZE(mapping));
	stream->on_conflict = fluct_query_field_text(context, 0, 7);
	stream->start_at = fluct_query_field_text(context, 0, 8);
	stream->fail_on_bad_message = fluct_query_field_bool(0, 9);
	stream->skip_data_loss = fluct_query_field_bool(0, 10);
	stream->max_dead_letters = fluct_query_field_int(0, 11);
	stream->batch_size = fluct_query_field_int(0, 12);
	stream->batch_bytes = fluct_query_field_int(0, 13);
	stream->batch_interval = fluct_query_field_int(0, 14);
	stream->workers = fluct_query_field_int(0, 15);
	stream->keep_raw = fluct_query_field_bool(0, 16);
	read_partitions(context, stream, 17);
	stream->enabled = fluct_query_field_bool(0, 18);
	stream->here = fluct_query_field_bool(0, 19);
	stream->starts = fluct_query_field_int(0, 20);
	stream->version = fluct_query_field_int(0, 21);
	stream->created_at = DatumGetTimestampTz(fluct_query_field(0, 22, &null));
	return stream;
}

List *
fluct_catalog_wanted(MemoryContext context)
{
	FluctQuery	query = {0};
	List	   *wanted = NIL;
	uint64		n;

	add_place(&query);
	n = fluct_query_run(&query,
						"SELECT s.name, w.n, s.starts,"
						" CASE WHEN st.since >= pg_postmaster_start_time()"
						"  THEN coalesce(ceil(1000 * extract(epoch FROM"
						"   st.next_start - clock_timestamp())), 0)"
						"  ELSE 0 END::int8"
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

		one->stream = fluct_query_field_text(context, i, 1);
		one->worker = fluct_query_field_int(i, 2);
		one->starts = fluct_query_field_int(i, 3);
		one->wait = fluct_query_field_int(i, 4);
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
	FluctQuery	query = {0};

	/* GetUserMapping raises an error where there is none */
	fluct_query_add(&query, OIDOID, ObjectIdGetDatum(server->serverid), false);
	fluct_query_add(&query, OIDOID, ObjectIdGetDatum(owner), false);
	if (fluct_query_run(&query, "SELECT FROM pg_catalog.pg_user_mapping"
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
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_add_int(&query, starts);
	fluct_query_run(&query,
					"INSERT INTO fluct.stream_states AS s"
					" (stream, worker, starts, state, failures, next_start)"
					" VALUES ($1, $2, $3, 'starting', 1, clock_timestamp())"
					" ON CONFLICT (stream, worker) DO UPDATE SET"
					" starts = $3, state = 'starting', since = clock_timestamp(),"
					" failures = CASE WHEN s.starts = $3"
					"   AND s.since >= pg_postmaster_start_time()"
					"  THEN s.failures + 1 ELSE 1 END,"
					" next_start = clock_timestamp() + CASE"
					"  WHEN s.starts <> $3 OR s.failures = 0"
					"   OR s.since < pg_postmaster_start_time() THEN '0'"
					"  ELSE least(interval '1 minute',"
					"   interval '0.2 s' * 2 ^ least(s.failures - 1, 10)) END");
}

void
fluct_catalog_count_success(const char *stream, int worker)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_run(&query,
					"UPDATE fluct.stream_states SET failures = 0, next_start = NULL"
					" WHERE stream = $1 AND worker = $2 AND failures > 0");
}

void
fluct_catalog_set_state(const char *stream, int worker, int starts,
						const char *state, const char *reason,
						const char *detail, const char *error)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_add_int(&query, starts);
	fluct_query_add_text(&query, state);
	fluct_query_add_text(&query, reason);
	fluct_query_add_text(&query, detail);
	fluct_query_add_text(&query, error);
	fluct_query_run(&query,
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
	FluctQuery	query = {0};
	FluctPosition *positions;

	fluct_query_add_text(&query, stream);
	*count = (int) fluct_query_run(&query,
								   "SELECT partition, next_offset,"
								   " coalesce(log_start_offset, -1),"
								   " coalesce(log_end_offset, -1),"
								   " coalesce(witness_offset, -1), witness_time,"
								   " witness_crc, epoch, cluster_id"
								   " FROM fluct.stream_offsets WHERE stream = $1"
								   " ORDER BY partition");
	positions = MemoryContextAlloc(context, sizeof(FluctPosition) * (*count + 1));
	memset(positions, 0, sizeof(FluctPosition) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		positions[i].partition = fluct_query_field_int(i, 1);
		positions[i].next_offset = fluct_query_field_int(i, 2);
		positions[i].read_offset = positions[i].next_offset;
		positions[i].log_start = fluct_query_field_int(i, 3);
		positions[i].log_end = fluct_query_field_int(i, 4);
		positions[i].time_ms = -1;
		positions[i].witness_offset = fluct_query_field_int(i, 5);
		positions[i].witness_time = fluct_query_field_int(i, 6);
		positions[i].witness_crc = fluct_query_field_int(i, 7);
		positions[i].epoch = fluct_query_field_int(i, 8);
		positions[i].cluster = fluct_query_field_text(context, i, 9);
	}
	return positions;
}

void
fluct_catalog_add_position(const char *stream, const char *topic,
						   const FluctPosition *position)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, topic);
	fluct_query_add_int(&query, position->partition);
	fluct_query_add_int64(&query, position->next_offset);
	fluct_query_run(&query,
					"INSERT INTO fluct.stream_offsets"
					" (stream, topic, partition, next_offset, epoch, epoch_offset)"
					" VALUES ($1, $2, $3, $4, fluct._next_epoch($1, $3), $4)"
					" ON CONFLICT DO NOTHING");
}

void
fluct_catalog_note_cluster(const char *stream, const char *cluster)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, cluster);
	fluct_query_run(&query,
					"UPDATE fluct.stream_offsets SET cluster_id = $2"
					" WHERE stream = $1 AND cluster_id IS NULL AND $2 IS NOT NULL");
}

int64
fluct_catalog_start_of(const char *start_at, int partition, bool *exact)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, start_at);
	fluct_query_add_int(&query, partition);
	fluct_query_run(&query, "SELECT at, exact FROM fluct._start_of($1, $2)");
	*exact = fluct_query_field_bool(0, 2);
	return fluct_query_field_int(0, 1);
}

void
fluct_catalog_lock_positions(const char *stream)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_run(&query, "SELECT pg_advisory_xact_lock(hashtextextended("
					"'fluct positions ' || $1, 0))");
}

bool
fluct_catalog_try_run(const char *stream)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_run(&query, "SELECT pg_try_advisory_lock(hashtextextended("
					"'fluct run ' || $1, 0))");
	return fluct_query_field_bool(0, 1);
}

/* An int8 array of one member of each position. */
static void
add_members(FluctQuery *query, const FluctPosition *positions, int count,
			size_t member)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(*(const int64 *)
								  ((const char *) &positions[i] + member));
	fluct_query_add(query, INT8ARRAYOID,
					PointerGetDatum(construct_array(values, count, INT8OID, 8,
													FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
					false);
}

static void
add_partitions(FluctQuery *query, const FluctPosition *positions, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(positions[i].partition);
	fluct_query_add(query, INT4ARRAYOID,
					PointerGetDatum(construct_array(values, count, INT4OID, 4, true,
													TYPALIGN_INT)),
					false);
}

void
fluct_catalog_lock_bookkeeping(void)
{
	FluctQuery	query = {0};

	fluct_query_run(&query, "LOCK TABLE fluct.skipped_offsets,"
					" fluct.dead_letters, fluct.stream_offsets,"
					" fluct.stream_states IN ROW EXCLUSIVE MODE");
}

int64
fluct_catalog_crc(const FluctMessage *message)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, message->key, message->key_len);
	COMP_CRC32C(crc, message->value, message->value_len);
	FIN_CRC32C(crc);
	return crc;
}

#define MEMBERS(member) \
	add_members(&query, positions, count, offsetof(FluctPosition, member))

bool
fluct_catalog_advance(const char *stream, const FluctPosition *positions,
					  int count)
{
	static SPIPlanPtr plan = NULL;
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	add_partitions(&query, positions, count);
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
	MEMBERS(witness_offset);
	MEMBERS(witness_time);
	MEMBERS(witness_crc);
	return fluct_query_run_kept(&query, &plan,
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
								" witness_offset = nullif(u.witness, -1),"
								" witness_time = u.witness_ms,"
								" witness_crc = u.witness_crc,"
								" last_commit = clock_timestamp()"
								" FROM ROWS FROM (unnest($2), unnest($3), unnest($4),"
								"  unnest($5), unnest($6), unnest($7), unnest($8),"
								"  unnest($9), unnest($10), unnest($11), unnest($12),"
								"  unnest($13), unnest($14), unnest($15))"
								"  AS u(partition, stands_at, goes_to, messages, rows,"
								"   duplicates, dead_letters, tombstones, ms, log_start,"
								"   log_end, witness, witness_ms, witness_crc)"
								" WHERE o.stream = $1 AND o.partition = u.partition"
								"  AND o.next_offset = u.stands_at") == (uint64) count;
}

void
fluct_catalog_note_log(const char *stream, const FluctPosition *positions,
					   int count)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	add_partitions(&query, positions, count);
	MEMBERS(log_start);
	MEMBERS(log_end);
	fluct_query_run(&query,
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
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, topic);
	fluct_query_add_int(&query, message->partition);
	fluct_query_add_int64(&query, message->offset);
	fluct_query_add_bytes(&query, message->key, message->key_len);
	fluct_query_add_text(&query, message->headers);
	fluct_query_add_bytes(&query, message->value, message->value_len);
	fluct_query_add_time(&query, message->time_ms);
	fluct_query_add_text(&query, fluct_reason_name(refusal->reason));
	fluct_query_add_text(&query, refusal->sqlstate);
	fluct_query_add_text(&query, refusal->detail);
	fluct_query_add_text(&query, refusal->path[0] ? refusal->path : NULL);
	fluct_query_run_kept(&query, &plan,
						 "INSERT INTO fluct.dead_letters (stream, topic, partition,"
						 " \"offset\", key, headers, value, message_time, reason,"
						 " sqlstate, detail, path)"
						 " VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10, $11,"
						 "  $12)");
}

FluctMessage *
fluct_catalog_dead_letters(const char *stream, ArrayType *ids, int64 **found,
						   int *count, MemoryContext context)
{
	FluctQuery	query = {0};
	FluctMessage *messages;

	fluct_query_add_text(&query, stream);
	fluct_query_add(&query, INT8ARRAYOID, PointerGetDatum(ids), false);
	*count = (int) fluct_query_run(&query,
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
		(*found)[i] = fluct_query_field_int(i, 1);
		messages[i].partition = fluct_query_field_int(i, 2);
		messages[i].offset = fluct_query_field_int(i, 3);
		messages[i].key = fluct_query_field_bytes(context, i, 4, &messages[i].key_len);
		messages[i].headers = fluct_query_field_text(context, i, 5);
		messages[i].value = fluct_query_field_bytes(context, i, 6,
													&messages[i].value_len);
		messages[i].full_len = messages[i].value_len;
		messages[i].time_ms = fluct_query_field_int(i, 7);
	}
	return messages;
}

int64
fluct_catalog_recent_dead_letters(const char *stream)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_run(&query,
					"SELECT count(*) FROM fluct.dead_letters d JOIN fluct.streams s"
					" ON d.stream = s.name WHERE s.name = $1 AND d.status = 'open'"
					" AND d.created_at > clock_timestamp() - s.error_window");
	return fluct_query_field_int(0, 1);
}

void
fluct_catalog_add_gap(const char *stream, const char *topic, int partition,
					  int64 from, int64 to, const char *reason)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, topic);
	fluct_query_add_int(&query, partition);
	fluct_query_add_int64(&query, from);
	fluct_query_add_int64(&query, to);
	fluct_query_add_text(&query, reason);
	fluct_query_run(&query,
					"INSERT INTO fluct.gaps (stream, topic, partition, from_offset,"
					" to_offset, reason, epoch)"
					" SELECT $1, $2, $3, $4, $5, $6, o.epoch FROM fluct.stream_offsets o"
					" WHERE o.stream = $1 AND o.partition = $3");
}

/* ----- partitions ----- */

void
fluct_catalog_maintain(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	Oid			owner = rel->rd_rel->relowner;
	FluctQuery	query = {0};
	Oid			user;
	int			context;
	int			nest = NewGUCNestLevel();

	relation_close(rel, AccessShareLock);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	fluct_query_run(&query, "SELECT FROM fluct.maintain_partitions()");
	AtEOXact_GUC(false, nest);
	SetUserIdAndSecContext(user, context);
}
