/*-------------------------------------------------------------------------
 *
 * raw.c
 *	  The raw copy: each message as it arrived.
 *
 * The values are most of the bytes, and go to COPY without being copied first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/unixtime.h"
#include "sink/copy.h"
#include "sink/insert.h"
#include "sink/raw.h"

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
put_head(const char *stream, const char *topic,
		 const FluctMessage *message, StringInfo out)
{
	uint32		length;
	TimestampTz time;

	appendBinaryStringInfo(out, "\0\010", 2);
	put_bytes(out, stream, strlen(stream));
	put_bytes(out, topic, strlen(topic));
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

void
fluct_raw_store(Oid relid, const char *stream, const char *topic,
				const FluctMessage *messages, int from, int to)
{
	static const char *const names[] = {
		"stream", "topic", "partition", "offset", "message_time", "key",
		"headers", "value"
	};
	List	   *columns = NIL;
	FluctPiece *pieces = palloc(sizeof(FluctPiece) * 2 * (to - from + 1));
	int			n = 0;
	StringInfoData heads;

	for (int i = 0; i < lengthof(names); i++)
		columns = lappend(columns, makeString(pstrdup(names[i])));
	initStringInfo(&heads);
	for (int i = from; i < to; i++)
	{
		int			start = heads.len;

		if (messages[i].full_len != messages[i].value_len)
			continue;
		put_head(stream, topic, &messages[i], &heads);
		pieces[n++].len = heads.len - start;
		pieces[n].data = messages[i].value;
		pieces[n++].len = messages[i].value_len;
	}
	/* the heads moved while they grew; now their place is final */
	for (int i = 0, at = 0; i < n; i += 2)
	{
		pieces[i].data = heads.data + at;
		at += pieces[i].len;
	}
	fluct_copyrows_pieces(relid, columns, pieces, n);
	pfree(heads.data);
}

void
fluct_raw_check(Oid relid)
{
	static Oid	types[] = {TEXTOID, TEXTOID, INT4OID, INT8OID, TIMESTAMPTZOID, BYTEAOID, JSONBOID, BYTEAOID};
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		ruled = rel->rd_rules != NULL;
	char	   *sql = psprintf("INSERT INTO %s (stream, topic, partition,"
							   " \"offset\", message_time, key, headers, value)"
							   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
							   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
														  RelationGetRelationName(rel)));
	SPIPlanPtr	plan;

	relation_close(rel, AccessShareLock);
	plan = SPI_prepare(sql, lengthof(types), types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	if (ruled || !fluct_store_is_bare(plan, relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sales.raw_messages cannot hold the raw copy"),
				 errdetail("A rule, row security, a view or another extension decides where its rows go."),
				 errhint("keep_raw => false in fluct.alter_stream() does without it.")));
	SPI_freeplan(plan);
}
