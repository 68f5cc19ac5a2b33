/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Dead letters through the sink again.
 *
 * A dead letter is stored as the stream would store its message now, with its
 * current mapping and as its owner, in the transaction that closes it.  The
 * open row is locked and closed in one transaction, so it is stored once, even
 * if others retry it at the same time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/refusal.h"
#include "bookkeeping/dead_letters.h"
#include "bookkeeping/owner.h"
#include "bookkeeping/streams.h"
#include "mapping/framing.h"
#include "pg/argument.h"
#include "sink/sink.h"

PG_FUNCTION_INFO_V1(fluct_retry);

static void
put_result(ReturnSetInfo *rsinfo, int64 id, const FluctMessage *message)
{
	const FluctRefusal *refusal = message->refusal;
	Datum		values[6] = {0};
	bool		nulls[6] = {false, false, true, true, true, true};

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(message->outcome == FLUCT_DEAD ? "refused" :
									message->outcome == FLUCT_DUPLICATE ? "duplicate" :
									message->outcome == FLUCT_FILTERED ? "filtered" :
									"stored");
	if (message->outcome == FLUCT_DEAD)
	{
		memset(nulls, false, sizeof(nulls));
		values[2] = CStringGetTextDatum(fluct_reason_name(refusal->reason));
		values[3] = CStringGetTextDatum(refusal->sqlstate);
		values[4] = CStringGetTextDatum(refusal->path);
		values[5] = CStringGetTextDatum(refusal->detail);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * fluct._retry(stream text, ids bigint[], value text)
 * RETURNS TABLE (id bigint, outcome text, reason text, sqlstate text,
 *				  path text, detail text)
 *
 * outcome is stored, duplicate (its key exists already), filtered or refused.
 * value, unless NULL, replaces each message's own.
 */
Datum
fluct_retry(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = CurrentMemoryContext;
	FluctStream *stream;
	FluctSink  *sink;
	FluctMessage *messages;
	int64	   *ids;
	int			count;

	fluct_argument_require(fcinfo, 0, "stream");
	fluct_argument_require(fcinfo, 1, "ids");
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	stream = fluct_streams_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), context);
	fluct_owner_require(psprintf("stream \"%s\"", stream->name),
						stream->owner, stream->role, false);
	fluct_owner_require_session(stream->role);
	messages = fluct_dead_letters_take(stream->name,
									   PG_GETARG_ARRAYTYPE_P(1), &ids,
									   &count, context);
	for (int i = 0; i < count && !PG_ARGISNULL(2); i++)
	{
		text	   *value = PG_GETARG_TEXT_PP(2);

		fluct_framing_replace(stream->framing, &messages[i],
							  text_to_cstring(value), VARSIZE_ANY_EXHDR(value));
		/* a key of which only the beginning was kept is still not whole */
		if (messages[i].full_len != FLUCT_LENGTH_UNKNOWN ||
			messages[i].key_len < FLUCT_KEPT_OF_TOO_LARGE)
			messages[i].full_len = messages[i].value_len;
	}
	stream->keep_raw = false;	/* the raw copy has the message as it came */
	sink = fluct_sink_open_held(stream, stream->role,
								context);
	for (int at = 0, taken; at < count; at += taken)
	{
		taken = fluct_sink_store(sink, messages + at, count - at);
		for (int i = at; i < at + taken; i++)
			put_result(rsinfo, ids[i], &messages[i]);
	}
	fluct_sink_close(sink);
	SPI_finish();
	return (Datum) 0;
}
