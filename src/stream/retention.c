/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  How long Kafka keeps what the stream has not read, for fluct.health.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bookkeeping/offsets.h"
#include "kafka/consumer.h"
#include "process/worker.h"
#include "stream/retention.h"
#include "stream/state.h"

static int64 noted = -2;		/* FLUCT_RETENTION_UNKNOWN */

void
fluct_retention_note(void)
{
	int64		ms = fluct_kafka_retention();

	if (ms == noted || fluct_kafka_trouble()->reason[0] != '\0')
		return;
	noted = ms;
	fluct_worker_begin();
	fluct_offsets_note_retention(fluct_stream->name, fluct_stream->topic, ms);
	fluct_worker_commit();
}
