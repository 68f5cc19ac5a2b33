/*-------------------------------------------------------------------------
 *
 * lag.c
 *	  What Kafka's log has beyond the positions, and those who wait for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bookkeeping/offsets.h"
#include "bookkeeping/states.h"
#include "kafka/consumer.h"
#include "pg/unixtime.h"
#include "process/worker.h"
#include "stream/durable.h"
#include "stream/position.h"
#include "stream/stand.h"
#include "stream/state.h"

#define LOG_INTERVAL		10000	/* ms between notes of Kafka's log */
#define HELD_INTERVAL		60000	/* ms between notes that nothing is new */
#define RATE_WINDOW			10000	/* ms */

/*
 * Whether all that Kafka has is committed, now.  The log's ends are as of the
 * last response of the brokers, so they say nothing once there was trouble,
 * until Kafka was asked again.
 */
static void
note_held(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		all = true;

	if (fluct_kafka_trouble()->reason[0] != '\0' || fluct_kafka_in_doubt())
		fluct_stand.sure = false;
	if (!fluct_stand.sure)
		return;
	for (int i = 0; i < fluct_stand.npositions; i++)
	{
		FluctPosition *p = &fluct_stand.positions[i];

		if (p->log_end < 0 || p->log_end > p->next_offset)
		{
			all = false;
			continue;
		}
		p->held_ms = fluct_unixtime_from_timestamp(now);
		fluct_stand.held_news = true;
	}
	if (all)
		fluct_slot->held_at = now;
}

void
fluct_position_observe(void)
{
	uint64		lag = 0;

	for (int i = 0; i < fluct_stand.npositions; i++)
	{
		FluctPosition *p = &fluct_stand.positions[i];
		int64		start,
					end;

		if (fluct_kafka_log(p->topic, p->partition, &start, &end))
		{
			p->log_start = start;
			p->log_end = end;
		}
		if (p->log_end > p->next_offset)
			lag += p->log_end - p->next_offset;
	}
	pg_atomic_write_u64(&fluct_slot->lag, lag);
	note_held();
	if (fluct_worker_ms_since(fluct_stand.rate_since) >= RATE_WINDOW)
	{
		pg_atomic_write_u64(&fluct_slot->rate,
							fluct_stand.rate_count * 1000 / fluct_worker_ms_since(fluct_stand.rate_since));
		fluct_stand.rate_since = GetCurrentTimestamp();
		fluct_stand.rate_count = 0;
	}
}

void
fluct_position_note_held(void)
{
	if (!fluct_stand.held_news)
		return;
	fluct_stand.held_news = false;
	fluct_stand.held_noted = GetCurrentTimestamp();
	fluct_worker_begin();
	fluct_offsets_note_held(fluct_stream->name, fluct_stand.positions,
							fluct_stand.npositions);
	fluct_worker_commit();
}

void
fluct_position_note_log(void)
{
	if (fluct_worker_ms_since(fluct_stand.last_note) < LOG_INTERVAL)
		return;
	fluct_stand.last_note = GetCurrentTimestamp();
	fluct_worker_begin();
	fluct_offsets_note_log(fluct_stream->name, fluct_stand.positions,
						   fluct_stand.npositions);

	/*
	 * a worker that runs this long has not failed, even with nothing to
	 * commit
	 */
	fluct_states_count_success(fluct_stream->name, fluct_slot->worker);
	fluct_worker_commit();
	if (fluct_worker_ms_since(fluct_stand.held_noted) >= HELD_INTERVAL)
		fluct_position_note_held();
}

FluctOffset *
fluct_position_ask_ends(void)
{
	FluctOffset *ends = palloc0(sizeof(FluctOffset) * (fluct_stand.npositions + 1));

	for (int i = 0; i < fluct_stand.npositions; i++)
	{
		ends[i].topic = fluct_stand.positions[i].topic;
		ends[i].partition = fluct_stand.positions[i].partition;
		ends[i].at = FLUCT_OFFSET_END;
	}
	if (fluct_stand.npositions > 0 && !fluct_kafka_offsets(ends, fluct_stand.npositions))
		return NULL;
	fluct_stand.sure = true;
	return ends;
}

/*
 * wait_for_stream: asks where the log ends now, and reports when it is
 * reached.
 */
void
fluct_position_serve_waiters(void)
{
	uint64		wanted = pg_atomic_read_u64(&fluct_slot->sync_wanted);
	FluctOffset *ends;

	if (fluct_stand.sync_ticket == 0 &&
		wanted > pg_atomic_read_u64(&fluct_slot->sync_done))
	{
		fluct_durable_tell();	/* Kafka may not answer at once */
		ends = fluct_position_ask_ends();
		if (ends == NULL)
			return;
		for (int i = 0; i < fluct_stand.npositions; i++)
			fluct_stand.sync_target[i] = ends[i].offset;
		fluct_stand.sync_ticket = wanted;
		pfree(ends);
	}
	if (fluct_stand.sync_ticket == 0)
		return;
	for (int i = 0; i < fluct_stand.npositions; i++)
		if (fluct_stand.positions[i].next_offset < fluct_stand.sync_target[i])
			return;
	fluct_durable_tell();
	pg_atomic_write_u64(&fluct_slot->sync_done, fluct_stand.sync_ticket);
	fluct_stand.sync_ticket = 0;
	ConditionVariableBroadcast(&fluct_shared->progress);
}
