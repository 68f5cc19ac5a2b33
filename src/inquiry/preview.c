/*-------------------------------------------------------------------------
 *
 * preview.c
 *	  preview_stream: what messages become, without storing them.
 *
 * The messages are decoded as those of a batch are, as the stream's owner, in
 * a transaction that is always rolled back; no offset moves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "base/refusal.h"
#include "inquiry/answer.h"
#include "inquiry/preview.h"
#include "inquiry/topic.h"
#include "kafka/consumer.h"
#include "mapping/column.h"
#include "mapping/decode.h"
#include "mapping/findings.h"
#include "mapping/relations.h"
#include "mapping/target.h"
#include "pg/rights.h"
#include "process/worker.h"
#include "sink/diagnosis.h"

#define READ_TIME		4000	/* ms for messages to arrive */

static void
put_json_datum(StringInfo out, Datum value, Oid type)
{
	char		when[MAXDATELEN + 1];
	Oid			output;
	bool		varlena;
	char	   *text;

	getTypeOutputInfo(type, &output, &varlena);
	switch (type)
	{
		case BOOLOID:
			appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
			break;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			(void) JsonEncodeDateTime(when, value, type, NULL);
			appendStringInfo(out, "\"%s\"", when);
			break;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case JSONOID:
		case JSONBOID:
			appendStringInfoString(out, OidOutputFunctionCall(output, value));
			break;
		default:
			text = OidOutputFunctionCall(output, value);
			escape_json(out, text);
	}
}

/* A field in COPY's binary form; returns where the next begins. */
static const char *
put_json_field(StringInfo out, const char *wire, const FluctColumn *column)
{
	uint32		word;
	int			len;

	memcpy(&word, wire, 4);
	len = (int) pg_ntoh32(word);
	if (len < 0)
	{
		appendStringInfoString(out, "null");
		return wire + 4;
	}
	put_json_datum(out, fluct_column_receive(column, wire + 4, len),
				   column->base);
	return wire + 4 + len;
}

/* The first of the rows, of these columns, as JSON; or NULL. */
static char *
first_row(const FluctColumn *columns, int ncolumns, const FluctRowData *rows)
{
	StringInfoData out;
	const char *wire = rows->data.data + 2;

	if (rows->nrows == 0)
		return NULL;
	initStringInfo(&out);
	for (int i = 0; i < ncolumns; i++)
	{
		appendStringInfoString(&out, i == 0 ? "{" : ", ");
		escape_json(&out, columns[i].name);
		appendStringInfoString(&out, ": ");
		wire = put_json_field(&out, wire, &columns[i]);
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* The key of what a message deletes. */
static void
preview_delete(const FluctMapping *mapping, const FluctRows *rows,
			   const char *fields[])
{
	fields[2] = mapping->targets[0].name;
	fields[3] = "0";
	fields[4] = first_row(mapping->deletes->keys[0], mapping->targets[0].nkeys,
						  &rows[0].deleted);
	fields[5] = "delete: the row with this key is deleted, and its rows in children";
}

/* Whether it would give rows. */
static bool
preview_message(FluctMapping *mapping, const FluctMessage *message)
{
	FluctRows  *rows = fluct_decode_begin(mapping, 1);
	FluctRefusal refusal = {0};
	const char *fields[8] = {psprintf("%d", message->partition),
	psprintf(INT64_FORMAT, message->offset)};

	fields[7] = message->topic;

	if (!fluct_decode_message(mapping, rows, 0, message, &refusal))
	{
		fields[5] = mapping->outcome == FLUCT_FILTERED ?
			mapping->where ? "filtered: the mapping's \"where\" does not mean it" :
			"filtered: it is about no row" :
			mapping->outcome == FLUCT_TOMBSTONE ?
			"tombstone: it has no value and is only counted" :
			psprintf("%s: %s", fluct_reason_name(refusal.reason),
					 refusal.detail);
		fields[6] = mapping->outcome == FLUCT_DEAD ? refusal.path : NULL;
	}
	else if (fluct_decode_deletes(rows, 0))
		preview_delete(mapping, rows, fields);
	else if (!fluct_diagnosis_check(mapping, rows, 0, &refusal))
	{
		fields[5] = psprintf("%s: %s", fluct_reason_name(refusal.reason),
							 refusal.detail);
		fields[6] = refusal.path;
	}
	if (fields[5])
	{
		fluct_answer_put_row(fields, lengthof(fields));
		return false;
	}
	for (int t = 0; t < mapping->ntargets; t++)
	{
		fields[2] = mapping->targets[t].name;
		fields[3] = psprintf("%d", rows[t].stored.nrows);
		fields[4] = first_row(mapping->targets[t].columns,
							  mapping->targets[t].ncolumns, &rows[t].stored);
		fluct_answer_put_row(fields, lengthof(fields));
	}
	return true;
}

static FluctMapping *
compile_mapping(const FluctTopic *topic)
{
	const FluctStream *stream = topic->stream;
	bool		update = strcmp(stream->on_conflict, "update") == 0;
	FluctMapping *mapping;

	mapping = fluct_mapping_compile(fluct_target_find(stream->name, stream->target),
									stream->mapping, stream->on_conflict,
									stream->framing, stream->on_tombstone,
									CurrentMemoryContext);
	fluct_decode_check_fallbacks(mapping);
	fluct_relations_check(mapping, update, InvalidOid, false);
	fluct_target_check_rights(mapping, update, InvalidOid);
	fluct_mapping_ready(mapping);
	return mapping;
}

/*
 * What the messages say against the mapping: paths that none of them had, and
 * times that are in another unit, to judge by Kafka's own.
 */
static char *
describe_doubts(const FluctMapping *mapping, bool accepted)
{
	char	   *missing = accepted ? fluct_findings_missing_paths(mapping) : NULL;
	char	   *far = fluct_findings_far_columns(mapping);

	if (missing && far)
		return psprintf("no message had %s; times in %s are more than a year from Kafka's",
						missing, far);
	if (missing)
		return psprintf("no message had %s", missing);
	return far ? psprintf("times in %s are more than a year from Kafka's", far) : NULL;
}

/* A row without a partition is a warning. */
static void
put_doubts(const char *doubts)
{
	const char *fields[8] = {NULL};

	fields[5] = doubts;
	fluct_answer_put_row(fields, lengthof(fields));
}

static int
by_place(const void *a, const void *b)
{
	const FluctMessage *one = a;
	const FluctMessage *other = b;

	if (one->topic != other->topic)
		return strcmp(one->topic, other->topic);
	if (one->partition != other->partition)
		return one->partition < other->partition ? -1 : 1;
	return one->offset < other->offset ? -1 : one->offset > other->offset;
}

/*
 * What the messages say against the mapping, or NULL; `accepts` says of each
 * whether it would give rows.  Column defaults are code of the table's owner: it
 * runs with the rights of the stream's owner.
 */
static char *
judge_as_owner(const FluctTopic *topic, const FluctMessage *messages, int count,
			   bool (*accepts) (FluctMapping *, const FluctMessage *))
{
	MemoryContext context = CurrentMemoryContext;
	FluctMapping *mapping;
	FluctRights before;
	char	   *doubts;
	bool		accepted = false;
	int			filtered = 0;

	fluct_worker_begin();
	before = fluct_rights_take(topic->owner);
	mapping = compile_mapping(topic);
	for (int i = 0; i < count; i++)
	{
		accepted |= accepts(mapping, &messages[i]);
		filtered += mapping->where && mapping->outcome == FLUCT_FILTERED;
	}
	fluct_rights_give_back(before);
	doubts = count > 0 && filtered == count ?
		pstrdup("the mapping's \"where\" means none of them") : describe_doubts(mapping, accepted);
	if (doubts)
		doubts = MemoryContextStrdup(context, doubts);
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
	return doubts;
}

static bool
gives_rows(FluctMapping *mapping, const FluctMessage *message)
{
	FluctRows  *rows = fluct_decode_begin(mapping, 1);
	FluctRefusal refusal = {0};

	return fluct_decode_message(mapping, rows, 0, message, &refusal) &&
		!fluct_decode_deletes(rows, 0);
}

/* What a look at these messages says against the mapping; NULL for nothing. */
char *
fluct_preview_doubts(const FluctTopic *topic, const FluctMessage *messages,
					 int count)
{
	return judge_as_owner(topic, messages, count, gives_rows);
}

void
fluct_preview_answer(FluctTopic *topic)
{
	const FluctInquiry *inquiry = topic->inquiry;
	FluctMessage *messages = palloc(sizeof(FluctMessage) * inquiry->count);
	FluctPlace	gone;
	char	   *doubts;
	int			count;

	fluct_client_open(topic->stream, topic->owner, &topic->client);
	if (!fluct_topic_places(topic) || !fluct_topic_log(topic) ||
		!fluct_topic_positions(topic, inquiry->has_start ? inquiry->start_at : NULL, &gone))
		fluct_answer_throw_trouble(topic->stream);
	if (topic->unknown)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot read topic \"%s\": unknown_partition", topic->stream->topic),
				 errdetail_internal("%s", topic->unknown)));
	count = fluct_topic_read(topic, topic->next, messages, inquiry->count, READ_TIME);
	if (count == 0 && fluct_kafka_trouble()->reason[0] != '\0')
		fluct_answer_throw_trouble(topic->stream);
	qsort(messages, count, sizeof(FluctMessage), by_place);
	doubts = judge_as_owner(topic, messages, count, preview_message);
	if (doubts)
		put_doubts(doubts);
}
