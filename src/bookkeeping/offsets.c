/*-------------------------------------------------------------------------
 *
 * offsets.c
 *	  fluct.stream_offsets: where each stream stands; and fluct.gaps.
 *
 * The offsets move by compare-and-set, in the transaction that stores what
 * became of the messages (sink.c).  The statement that moves them is planned
 * once in the life of the process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"

#include "bookkeeping/offsets.h"
#include "pg/lock.h"
#include "pg/query.h"

/* ----- positions ----- */

FluctPosition *
fluct_offsets_read(const char *stream, int *count,
				   MemoryContext context)
{
	FluctQuery	query = {0};
	FluctPosition *positions;

	fluct_query_add_text(&query, stream);
	*count = (int) fluct_query_run(&query,
								   "SELECT topic, partition, next_offset,"
								   " coalesce(log_start_offset, -1),"
								   " coalesce(log_end_offset, -1),"
								   " coalesce(witness_offset, -1), witness_time,"
								   " witness_crc, epoch, cluster_id"
								   " FROM fluct.stream_offsets WHERE stream = $1"
								   " ORDER BY topic COLLATE \"C\", partition");
	positions = MemoryContextAlloc(context, sizeof(FluctPosition) * (*count + 1));
	memset(positions, 0, sizeof(FluctPosition) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		positions[i].topic =
			fluct_topics_keep(fluct_query_field_text(CurrentMemoryContext, i, 1));
		positions[i].partition = fluct_query_field_int(i, 2);
		positions[i].next_offset = fluct_query_field_int(i, 3);
		positions[i].read_offset = positions[i].next_offset;
		positions[i].log_start = fluct_query_field_int(i, 4);
		positions[i].log_end = fluct_query_field_int(i, 5);
		positions[i].time_ms = positions[i].held_ms = -1;
		positions[i].witness_offset = fluct_query_field_int(i, 6);
		positions[i].witness_time = fluct_query_field_int(i, 7);
		positions[i].witness_crc = fluct_query_field_int(i, 8);
		positions[i].epoch = fluct_query_field_int(i, 9);
		positions[i].cluster = fluct_query_field_text(context, i, 10);
	}
	return positions;
}

void
fluct_offsets_add(const char *stream, const FluctPosition *position)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, position->topic);
	fluct_query_add_int(&query, position->partition);
	fluct_query_add_int64(&query, position->next_offset);
	fluct_query_run(&query,
					"INSERT INTO fluct.stream_offsets"
					" (stream, topic, partition, next_offset, epoch, epoch_offset)"
					" VALUES ($1, $2, $3, $4, fluct._next_epoch($1, $2, $3), $4)"
					" ON CONFLICT DO NOTHING");
}

void
fluct_offsets_note_cluster(const char *stream, const char *cluster)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, cluster);
	fluct_query_run(&query,
					"UPDATE fluct.stream_offsets SET cluster_id = $2"
					" WHERE stream = $1 AND cluster_id IS NULL AND $2 IS NOT NULL");
}

int64
fluct_offsets_start_of(const char *start_at, const char *topic, int partition,
					   bool *exact)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, start_at);
	fluct_query_add_text(&query, topic);
	fluct_query_add_int(&query, partition);
	fluct_query_run(&query, "SELECT at, exact FROM fluct._start_of($1, $2, $3)");
	*exact = fluct_query_field_bool(0, 2);
	return fluct_query_field_int(0, 1);
}

void
fluct_offsets_lock(const char *stream)
{
	fluct_lock(FLUCT_LOCK_POSITIONS, stream);
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
	fluct_query_add_array(query, INT8OID, values, count);
}

static void
add_topics(FluctQuery *query, const FluctPosition *positions, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = CStringGetTextDatum(positions[i].topic);
	fluct_query_add_array(query, TEXTOID, values, count);
}

static void
add_partitions(FluctQuery *query, const FluctPosition *positions, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(positions[i].partition);
	fluct_query_add_array(query, INT4OID, values, count);
}

char *
fluct_offsets_unknown_partition(const char *stream, const char *start_at,
								const FluctPlace *places, int count,
								MemoryContext context)
{
	FluctPosition *positions = palloc0(sizeof(FluctPosition) * (count + 1));
	FluctQuery	query = {0};

	for (int i = 0; i < count; i++)
	{
		positions[i].topic = places[i].topic;
		positions[i].partition = places[i].partition;
	}
	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, start_at);
	add_topics(&query, positions, count);
	add_partitions(&query, positions, count);
	fluct_query_run(&query,
					"SELECT fluct._unknown_partition($1, $2, $3, $4)");
	return fluct_query_field_text(context, 0, 1);
}

void
fluct_offsets_lock_bookkeeping(void)
{
	FluctQuery	query = {0};

	fluct_query_run(&query, "LOCK TABLE fluct.skipped_offsets,"
					" fluct.dead_letters, fluct.stream_offsets,"
					" fluct.stream_states IN ROW EXCLUSIVE MODE");
}

#define MEMBERS(member) \
	add_members(&query, positions, count, offsetof(FluctPosition, member))

bool
fluct_offsets_has_stored(const char *stream, const char *mapping)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, mapping);
	return fluct_query_run(&query,
						   "SELECT FROM fluct.stream_offsets"
						   " WHERE stream = $1 AND stored_with = $2 LIMIT 1") > 0;
}

/* Moves on only what stands where the batch began, in the same epoch. */
static const char advance[] =
"UPDATE fluct.stream_offsets o SET"
" next_offset = u.goes_to,"
" messages = o.messages + u.messages,"
" rows = o.rows + u.rows,"
" duplicates = o.duplicates + u.duplicates,"
" dead_letters = o.dead_letters + u.dead_letters,"
" tombstones = o.tombstones + u.tombstones,"
" filtered = o.filtered + u.filtered,"
" last_message_time = CASE WHEN u.ms >= 0"
"  THEN least(to_timestamp(u.ms / 1000.0), clock_timestamp())"
"  ELSE o.last_message_time END,"
" log_start_offset = CASE WHEN u.log_start >= 0"
"  THEN u.log_start ELSE o.log_start_offset END,"
" log_end_offset = CASE WHEN u.log_end >= 0"
"  THEN u.log_end ELSE o.log_end_offset END,"
" witness_offset = nullif(u.witness, -1),"
" witness_time = u.witness_ms,"
" witness_crc = u.witness_crc,"
" stored_with = CASE WHEN u.rows + u.duplicates > 0"
"  THEN coalesce($18, o.stored_with)"
"  ELSE o.stored_with END,"
" last_commit = clock_timestamp()"
" FROM ROWS FROM (unnest($2), unnest($3), unnest($4),"
"  unnest($5), unnest($6), unnest($7), unnest($8),"
"  unnest($9), unnest($10), unnest($11), unnest($12),"
"  unnest($13), unnest($14), unnest($15), unnest($16), unnest($17), unnest($19))"
"  AS u(partition, stands_at, goes_to, messages, rows,"
"   duplicates, dead_letters, tombstones, ms, log_start,"
"   log_end, witness, witness_ms, witness_crc, epoch, topic, filtered)"
" WHERE o.stream = $1 AND o.partition = u.partition"
"  AND o.topic = u.topic AND o.epoch = u.epoch"
"  AND o.next_offset = u.stands_at";

bool
fluct_offsets_advance(const char *stream, const char *mapping,
					  const FluctPosition *positions, int count)
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
	MEMBERS(epoch);
	add_topics(&query, positions, count);
	fluct_query_add_text(&query, mapping);
	MEMBERS(filtered);
	return fluct_query_run_kept(&query, &plan, advance) == (uint64) count;
}

void
fluct_offsets_note_log(const char *stream, const FluctPosition *positions,
					   int count)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	add_partitions(&query, positions, count);
	MEMBERS(log_start);
	MEMBERS(log_end);
	add_topics(&query, positions, count);
	fluct_query_run(&query,
					"UPDATE fluct.stream_offsets o SET"
					" log_start_offset = u.log_start, log_end_offset = u.log_end"
					" FROM ROWS FROM (unnest($2), unnest($3), unnest($4), unnest($5))"
					"  AS u(partition, log_start, log_end, topic)"
					" WHERE o.stream = $1 AND o.topic = u.topic AND o.partition = u.partition"
					"  AND u.log_end >= 0 AND (o.log_end_offset, o.log_start_offset)"
					"   IS DISTINCT FROM (u.log_end, u.log_start)");
}

void
fluct_offsets_note_retention(const char *stream, const char *topic, int64 ms)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, topic);
	fluct_query_add_int64(&query, ms);
	fluct_query_run(&query,
					"UPDATE fluct.stream_offsets o SET retention = u.retention"
					" FROM (SELECT CASE WHEN $3 >= 0"
					"  THEN justify_hours(make_interval(secs => $3 / 1000.0)) END)"
					"  u(retention)"
					" WHERE o.stream = $1 AND o.topic = $2"
					"  AND o.retention IS DISTINCT FROM u.retention");
}

void
fluct_offsets_note_held(const char *stream, const FluctPosition *positions,
						int count)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	add_partitions(&query, positions, count);
	MEMBERS(held_ms);
	add_topics(&query, positions, count);
	fluct_query_run(&query,
					"UPDATE fluct.stream_offsets o SET"
					" held_until = to_timestamp(u.ms / 1000.0)"
					" FROM ROWS FROM (unnest($2), unnest($3), unnest($4))"
					"  AS u(partition, ms, topic)"
					" WHERE o.stream = $1 AND o.topic = u.topic"
					"  AND o.partition = u.partition AND u.ms >= 0"
					"  AND (o.held_until < to_timestamp(u.ms / 1000.0)) IS NOT FALSE");
}

/* ----- the witness ----- */

/* CRC-32C of the message's key and value. */
static int64
crc_of(const FluctMessage *message)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, message->key, message->key_len);
	COMP_CRC32C(crc, message->value, message->value_len);
	FIN_CRC32C(crc);
	return crc;
}

void
fluct_offsets_bear_witness(FluctPosition *position,
						   const FluctMessage *message)
{
	position->witness_offset =
		message->full_len == message->value_len ? message->offset : -1;
	position->witness_time = message->time_ms;
	position->witness_crc = crc_of(message);
}

bool
fluct_offsets_contradicts(const FluctMessage *message,
						  const FluctPosition *position)
{
	return message->offset == position->witness_offset &&
		message->full_len == message->value_len &&
		(message->time_ms != position->witness_time ||
		 crc_of(message) != position->witness_crc);
}

/* ----- gaps ----- */

void
fluct_offsets_add_gap(const char *stream, const FluctPosition *position,
					  int64 to, const char *reason)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, position->topic);
	fluct_query_add_int(&query, position->partition);
	fluct_query_add_int64(&query, position->next_offset);
	fluct_query_add_int64(&query, to);
	fluct_query_add_text(&query, reason);
	fluct_query_run(&query,
					"INSERT INTO fluct.gaps (stream, topic, partition, from_offset,"
					" to_offset, reason, epoch)"
					" SELECT $1, $2, $3, $4, $5, $6, o.epoch FROM fluct.stream_offsets o"
					" WHERE o.stream = $1 AND o.topic = $2 AND o.partition = $3");
}
