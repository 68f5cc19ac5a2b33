/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  A worker's answer to an inquiry, row by row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqformat.h"

#include "inquiry/answer.h"
#include "inquiry/inquiry.h"
#include "kafka/consumer.h"

void
fluct_answer_put_row(const char *const *fields, int count)
{
	StringInfoData message;

	pq_beginmessage(&message, FLUCT_ANSWER_ROW);
	pq_sendint16(&message, count);
	for (int i = 0; i < count; i++)
	{
		int			len = fields[i] ? (int) strlen(fields[i]) : -1;

		pq_sendint32(&message, len);
		if (len > 0)
			pq_sendbytes(&message, fields[i], len);
	}
	pq_endmessage(&message);
}

void
fluct_answer_put_end(void)
{
	StringInfoData message;

	pq_beginmessage(&message, FLUCT_ANSWER_END);
	pq_endmessage(&message);
}

void
fluct_answer_put_life(void)
{
	StringInfoData message;

	pq_beginmessage(&message, FLUCT_ANSWER_ALIVE);
	pq_endmessage(&message);
}

/* What a stream that meets it does, and its check does not know. */
static int
hint_at_too_large(const FluctStream *stream)
{
	if (stream->name == NULL)
		return errhint("Bound max.message.bytes of the topic.");
	return errhint("To look behind it, pass start_at with a later offset, as in '{\"0\": 43}'. SELECT * FROM fluct.seek_stream('%s', '{\"0\": 43}'); moves the stream there, while it is paused or failed. Bound max.message.bytes of the topic.",
				   stream->name);
}

void
fluct_answer_throw_trouble(const FluctStream *stream)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();
	bool		known = trouble->reason[0] != '\0';

	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
			 errmsg("cannot read topic \"%s\": %s", stream->topic,
					known ? trouble->reason : "broker_unreachable"),
			 errdetail("%s", known ? trouble->detail : "No message has arrived."),
			 strcmp(trouble->reason, "message_too_large") == 0 ? hint_at_too_large(stream) :
			 stream->name ? errhint("SELECT * FROM fluct.check_stream('%s');",
									stream->name) : 0));
}
