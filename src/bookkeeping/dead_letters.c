/*-------------------------------------------------------------------------
 *
 * dead_letters.c
 *	  fluct.dead_letters: the messages that could not be stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/refusal.h"
#include "bookkeeping/dead_letters.h"
#include "pg/query.h"

void
fluct_dead_letters_add(const char *stream, const FluctMessage *message)
{
	static SPIPlanPtr plan = NULL;
	const FluctRefusal *refusal = message->refusal;
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_text(&query, message->topic);
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
fluct_dead_letters_take(const char *stream, ArrayType *ids, int64 **found,
						int *count, MemoryContext context)
{
	FluctQuery	query = {0};
	FluctMessage *messages;

	fluct_query_add_text(&query, stream);
	fluct_query_add(&query, INT8ARRAYOID, PointerGetDatum(ids), false);
	fluct_query_add_int(&query, FLUCT_KEPT_OF_TOO_LARGE);
	*count = (int) fluct_query_run(&query,
								   "SELECT id, partition, \"offset\", key, headers, value,"
								   " coalesce((1000 * extract(epoch FROM"
								   "  message_time))::int8, " CppAsString2(FLUCT_TIME_NOT_KEPT) "),"
								   " coalesce(reason = 'too_large'"
								   "  AND $3 IN (length(key), length(value)), false), topic"
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
		messages[i].full_len = fluct_query_field_bool(i, 8) ?
			FLUCT_LENGTH_UNKNOWN : messages[i].value_len;
		messages[i].time_ms = fluct_query_field_int(i, 7);
		messages[i].topic = fluct_query_field_text(context, i, 9);
	}
	return messages;
}

int64
fluct_dead_letters_recent(const char *stream)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_run(&query,
					"SELECT count(*) FROM fluct.dead_letters d JOIN fluct.streams s"
					" ON d.stream = s.name WHERE s.name = $1 AND d.status = 'open'"
					" AND d.created_at > clock_timestamp() - s.error_window");
	return fluct_query_field_int(0, 1);
}
