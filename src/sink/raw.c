/*-------------------------------------------------------------------------
 *
 * raw.c
 *	  The raw copy: each message as it arrived.
 *
 * A message's bytes are most of what is written.  By the direct path they go
 * from where they lie into the tuple, and are compressed there; COPY, where
 * that cannot be, reads them without a copy of ours before it.  Where a rule,
 * row security or another extension decides about the rows, or a column is of
 * another type, INSERT takes them as arrays.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "pg/query.h"
#include "pg/relation.h"
#include "pg/routed.h"
#include "pg/unixtime.h"
#include "sink/copy.h"
#include "sink/direct.h"
#include "sink/insert.h"
#include "sink/raw.h"

/* What is filled, in this order. */
#define COLUMNS 8

static const char *const column_names[COLUMNS] = {
	"stream", "topic", "partition", "offset", "message_time", "key",
	"headers", "value"
};
static const Oid column_types[COLUMNS] = {
	TEXTOID, TEXTOID, INT4OID, INT8OID, TIMESTAMPTZOID, BYTEAOID, JSONBOID,
	BYTEAOID
};

/* One call. */
typedef struct RawCopy
{
	Oid			relid;
	const char *stream;
	const FluctMessage *messages;
	AttrNumber	attnums[COLUMNS];
} RawCopy;

/* ----- the direct path ----- */

/*
 * Whether the columns are of the types that are filled; with a typmod only
 * where something applies it.
 */
static bool
find_columns(Oid relid, AttrNumber *attnums, bool typmods)
{
	for (int c = 0; c < COLUMNS; c++)
	{
		Oid			type;
		int32		typmod;
		Oid			collation;

		attnums[c] = get_attnum(relid, column_names[c]);
		if (attnums[c] <= 0)
			return false;
		get_atttypetypmodcoll(relid, attnums[c], &type, &typmod, &collation);
		if (type != column_types[c] || (typmod >= 0 && !typmods))
			return false;
	}
	return true;
}

/* The fields of a message's row. */
typedef struct RawFields
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
} RawFields;

/* A value of bytea, or of text; NULL where there are no bytes. */
static void
set_bytes(RawFields *fields, int c, const char *data, size_t len)
{
	fields->nulls[c] = data == NULL;
	fields->values[c] = data == NULL ? (Datum) 0 :
		PointerGetDatum(cstring_to_text_with_len(data, len));
}

static void
set_value(RawFields *fields, int c, Datum value, bool isnull)
{
	fields->nulls[c] = isnull;
	fields->values[c] = value;
}

static void
make_fields(const char *stream, const FluctMessage *message, RawFields *fields)
{
	TimestampTz time = 0;
	bool		timed = fluct_unixtime_to_timestamp(message->time_ms, &time);
	Datum		headers = (Datum) 0;

	if (message->headers)
		headers = DirectFunctionCall1(jsonb_in,
									  CStringGetDatum(message->headers));
	set_bytes(fields, 0, stream, strlen(stream));
	set_bytes(fields, 1, message->topic, strlen(message->topic));
	set_value(fields, 2, Int32GetDatum(message->partition), false);
	set_value(fields, 3, Int64GetDatum(message->offset), false);
	set_value(fields, 4, TimestampTzGetDatum(time), !timed);
	set_bytes(fields, 5, message->key, message->key_len);
	set_value(fields, 6, headers, message->headers == NULL);
	set_bytes(fields, 7, message->value, message->value_len);
}

static void
fill_row(const RawCopy *raw, const FluctMessage *message, TupleTableSlot *slot)
{
	RawFields	fields;

	make_fields(raw->stream, message, &fields);
	for (int c = 0; c < COLUMNS; c++)
	{
		slot->tts_values[raw->attnums[c] - 1] = fields.values[c];
		slot->tts_isnull[raw->attnums[c] - 1] = fields.nulls[c];
	}
}

/* Stores what it can; says in `left` which messages are COPY's. */
static void
store_directly(RawCopy *raw, int from, int to, bool *left)
{
	FluctDirect *direct = find_columns(raw->relid, raw->attnums, false) ?
	fluct_direct_begin(raw->relid, raw->attnums, COLUMNS) : NULL;

	for (int i = from; i < to; i++)
	{
		const FluctMessage *message = &raw->messages[i];

		if (direct == NULL || message->full_len != message->value_len)
			continue;
		fill_row(raw, message, fluct_direct_row(direct));
		left[i - from] = !fluct_direct_add(direct);
	}
	if (direct)
		fluct_direct_end(direct);
	else
		memset(left, true, to - from);
}

/* ----- COPY ----- */

static void
put_int(StringInfo out, int64 value, int bytes)
{
	char		wire[12];
	uint32		length = pg_hton32(bytes);
	uint64		wide = pg_hton64((uint64) value);

	memcpy(wire, &length, 4);
	memcpy(wire + 4, (char *) &wide + 8 - bytes, bytes);
	appendBinaryStringInfo(out, wire, 4 + bytes);
}

static void
put_bytes(StringInfo out, const char *data, size_t len)
{
	uint32		length = pg_hton32(data ? (uint32) len : (uint32) -1);

	appendBinaryStringInfo(out, (char *) &length, 4);
	if (data)
		appendBinaryStringInfo(out, data, len);
}

/* A row up to its value, of which it has only the length. */
static void
put_head(const char *stream, const FluctMessage *message, StringInfo out)
{
	uint32		length;
	TimestampTz time;

	appendBinaryStringInfo(out, "\0\010", 2);
	put_bytes(out, stream, strlen(stream));
	put_bytes(out, message->topic, strlen(message->topic));
	put_int(out, message->partition, 4);
	put_int(out, message->offset, 8);
	if (fluct_unixtime_to_timestamp(message->time_ms, &time))
		put_int(out, time, 8);
	else
		put_bytes(out, NULL, 0);
	put_bytes(out, message->key, message->key_len);
	if (message->headers)
	{
		length = pg_hton32(strlen(message->headers) + 1);
		appendBinaryStringInfo(out, (char *) &length, 4);
		appendStringInfoChar(out, 1);	/* version of jsonb's binary form */
		appendStringInfoString(out, message->headers);
	}
	else
		put_bytes(out, NULL, 0);
	length = pg_hton32(message->value ? (uint32) message->value_len :
					   (uint32) -1);
	appendBinaryStringInfo(out, (char *) &length, 4);
}

/* The messages that are left, as pieces of which each second one is a value. */
static void
copy_rows(const RawCopy *raw, List *columns, int from, int to,
		  const bool *left)
{
	FluctPiece *pieces = palloc(sizeof(FluctPiece) * 2 * (to - from + 1));
	int			n = 0;
	StringInfoData heads;

	initStringInfo(&heads);
	for (int i = from; i < to; i++)
	{
		const FluctMessage *message = &raw->messages[i];
		int			start = heads.len;

		if (message->full_len != message->value_len || !left[i - from])
			continue;
		put_head(raw->stream, message, &heads);
		pieces[n++].len = heads.len - start;
		pieces[n].data = message->value;
		pieces[n++].len = message->value_len;
	}
	/* the heads moved while they grew; now their place is final */
	for (int i = 0, at = 0; i < n; i += 2)
	{
		pieces[i].data = heads.data + at;
		at += pieces[i].len;
	}
	fluct_copyrows_pieces(raw->relid, columns, pieces, n);
	pfree(heads.data);
}

static void
store_as_copy(Oid relid, const char *stream, const FluctMessage *messages,
			  int from, int to)
{
	RawCopy		raw = {relid, stream, messages};
	bool	   *left = palloc0(sizeof(bool) * (to - from + 1));
	List	   *columns = NIL;

	for (int c = 0; c < COLUMNS; c++)
		columns = lappend(columns, makeString(pstrdup(column_names[c])));
	fluct_copyrows_check_rights(relid, columns);
	store_directly(&raw, from, to, left);
	copy_rows(&raw, columns, from, to, left);
}

/* ----- INSERT ----- */

/* The rows as arrays, a column each. */
static void
fill_arrays(const char *stream, const FluctMessage *messages, int from, int to,
			Datum *arrays)
{
	int			n = 0;
	Datum	   *values[COLUMNS];
	bool	   *nulls[COLUMNS];

	for (int c = 0; c < COLUMNS; c++)
	{
		values[c] = palloc(sizeof(Datum) * (to - from + 1));
		nulls[c] = palloc(sizeof(bool) * (to - from + 1));
	}
	for (int i = from; i < to; i++)
	{
		RawFields	fields;

		if (messages[i].full_len != messages[i].value_len)
			continue;
		make_fields(stream, &messages[i], &fields);
		for (int c = 0; c < COLUMNS; c++)
		{
			values[c][n] = fields.values[c];
			nulls[c][n] = fields.nulls[c];
		}
		n++;
	}
	for (int c = 0; c < COLUMNS; c++)
		arrays[c] = fluct_query_array(column_types[c], values[c], nulls[c], n);
}

static void
store_by_insert(SPIPlanPtr insert, const char *stream,
				const FluctMessage *messages, int from, int to)
{
	Datum		arrays[COLUMNS];

	fill_arrays(stream, messages, from, to, arrays);
	fluct_query_execute(insert, arrays);
	SPI_freetuptable(SPI_tuptable);
}

void
fluct_raw_store(Oid relid, SPIPlanPtr insert, const char *stream,
				const FluctMessage *messages, int from, int to)
{
	if (insert)
		store_by_insert(insert, stream, messages, from, to);
	else
		store_as_copy(relid, stream, messages, from, to);
}

/* ----- which of them ----- */

static SPIPlanPtr
prepare(Oid relid, bool returning)
{
	Oid			types[COLUMNS];
	char	   *sql = psprintf("%sINSERT INTO %s (stream, topic, partition,"
							   " \"offset\", message_time, key, headers, value)"
							   " SELECT u.* FROM ROWS FROM"
							   " (pg_catalog.unnest($1), pg_catalog.unnest($2),"
							   "  pg_catalog.unnest($3), pg_catalog.unnest($4),"
							   "  pg_catalog.unnest($5), pg_catalog.unnest($6),"
							   "  pg_catalog.unnest($7), pg_catalog.unnest($8))"
							   " AS u%s",
							   returning ? "WITH i AS (" : "",
							   quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
														  get_rel_name(relid)),
							   returning ? " RETURNING 1) SELECT pg_catalog.count(*) FROM i" : "");

	for (int c = 0; c < COLUMNS; c++)
		types[c] = get_array_type(column_types[c]);
	return fluct_query_prepare(sql, COLUMNS, types, 0);
}

SPIPlanPtr
fluct_raw_prepare(Oid relid)
{
	Relation	rel = fluct_relation_open(relid, AccessShareLock);
	bool		ruled = rel->rd_rules != NULL;
	SPIPlanPtr	plan = prepare(relid, false);
	AttrNumber	attnums[COLUMNS];

	relation_close(rel, AccessShareLock);
	if (!ruled && find_columns(relid, attnums, true) &&
		fluct_store_is_bare(plan, relid))
	{
		SPI_freeplan(plan);
		return NULL;
	}
	if (fluct_routed_is(plan))
	{
		SPI_freeplan(plan);
		return prepare(relid, true);
	}
	return plan;
}
