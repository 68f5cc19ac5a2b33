/*-------------------------------------------------------------------------
 *
 * watermarks.c
 *	  The ends and offsets of Kafka's log, asked for until Kafka answers.
 *
 * The caller decides how long: a stream's worker asks for ever, and says so in
 * its state; a worker that serves a session gives up soon.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bookkeeping/offsets.h"
#include "kafka/watermarks.h"
#include "process/worker.h"

#define READINGS			3	/* of an end that is hard to believe */
#define READING_INTERVAL	500 /* ms between them */

int
fluct_kafkalog_partitions(FluctPatience patience)
{
	TimestampTz begin = GetCurrentTimestamp();
	int			count;

	while ((count = fluct_kafka_partitions()) < 0)
		if (!patience(begin))
			return -1;
	fluct_kafka_clear_trouble();
	return count;
}

bool
fluct_kafkalog_ask(FluctOffset *offsets, int count, FluctPatience patience)
{
	TimestampTz begin = GetCurrentTimestamp();

	while (count > 0 && !fluct_kafka_offsets(offsets, count))
		if (!patience(begin))
			return false;
	fluct_kafka_clear_trouble();
	return true;
}

FluctOffset *
fluct_kafkalog_ends(int npartitions, int64 at, FluctPatience patience)
{
	FluctOffset *offsets = palloc0(sizeof(FluctOffset) * (npartitions + 1));

	for (int i = 0; i < npartitions; i++)
	{
		offsets[i].partition = i;
		offsets[i].at = at;
	}
	return fluct_kafkalog_ask(offsets, npartitions, patience) ? offsets : NULL;
}

bool
fluct_kafkalog_resolve(const char *start_at, const FluctOffset *ends,
					   int64 *next, int npartitions, FluctPatience patience)
{
	FluctOffset *start = palloc0(sizeof(FluctOffset) * (npartitions + 1));
	bool	   *exact = palloc0(sizeof(bool) * (npartitions + 1));

	fluct_worker_begin();
	for (int i = 0; i < npartitions; i++)
	{
		start[i].partition = i;
		start[i].at = fluct_offsets_start_of(start_at, i, &exact[i]);
	}
	fluct_worker_commit();
	for (int i = 0; i < npartitions; i++)
	{
		if (next[i] < 0)
			continue;
		if (exact[i])
			start[i].offset = start[i].at;
		else if (!fluct_kafkalog_ask(&start[i], 1, patience))
			return false;
		next[i] = start[i].offset < 0 ? ends[i].offset : start[i].offset;
	}
	return true;
}

/*
 * A log's end may fall back for a moment when its leader changes, so a position
 * is taken to be beyond it only after three readings.
 */
bool
fluct_kafkalog_confirm(const int64 *next, FluctOffset *ends, int npartitions,
					   FluctPatience patience)
{
	for (int reading = 1; reading < READINGS; reading++)
	{
		bool		beyond = false;

		for (int i = 0; i < npartitions; i++)
			beyond = beyond || next[i] > ends[i].offset;
		if (!beyond)
			break;
		fluct_worker_wait(PGINVALID_SOCKET, READING_INTERVAL);
		if (!fluct_kafkalog_ask(ends, npartitions, patience))
			return false;
	}
	return true;
}
