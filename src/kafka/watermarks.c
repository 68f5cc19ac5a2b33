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
fluct_kafkalog_places(FluctPlace **places, FluctPatience patience)
{
	TimestampTz begin = GetCurrentTimestamp();
	int			count;

	while ((count = fluct_kafka_places(places)) < 0)
		if (!patience(begin))
			return -1;
	fluct_kafka_clear_trouble();
	return count;
}

/* All or none of the offsets. */
static bool
ask(FluctOffset *offsets, int count, FluctPatience patience)
{
	TimestampTz begin = GetCurrentTimestamp();

	while (count > 0 && !fluct_kafka_offsets(offsets, count))
		if (!patience(begin))
			return false;
	fluct_kafka_clear_trouble();
	return true;
}

FluctOffset *
fluct_kafkalog_ends(const FluctPlace *places, int count, int64 at,
					FluctPatience patience)
{
	FluctOffset *offsets = palloc0(sizeof(FluctOffset) * (count + 1));

	for (int i = 0; i < count; i++)
	{
		offsets[i].topic = places[i].topic;
		offsets[i].partition = places[i].partition;
		offsets[i].at = at;
	}
	return ask(offsets, count, patience) ? offsets : NULL;
}

/* Where start_at begins, as far as it is a question for Kafka: their number. */
static int
read_start(const char *start_at, const FluctOffset *ends, int64 *next,
		   int count, FluctOffset *questions, int *of)
{
	int			n = 0;

	fluct_worker_begin();
	for (int i = 0; i < count; i++)
	{
		bool		exact;
		int64		at;

		if (next[i] < 0)
			continue;
		at = fluct_offsets_start_of(start_at, ends[i].topic,
									ends[i].partition, &exact);
		if (exact)
			next[i] = at;
		else
		{
			questions[n] = ends[i];
			questions[n].at = at;
			of[n++] = i;
		}
	}
	fluct_worker_commit();
	return n;
}

bool
fluct_kafkalog_resolve(const char *start_at, const FluctOffset *ends,
					   int64 *next, int count, FluctPatience patience)
{
	FluctOffset *questions = palloc0(sizeof(FluctOffset) * (count + 1));
	int		   *of = palloc0(sizeof(int) * (count + 1));
	int			n = read_start(start_at, ends, next, count, questions, of);

	if (!ask(questions, n, patience))
		return false;
	for (int i = 0; i < n; i++)
		next[of[i]] = questions[i].offset < 0 ? ends[of[i]].offset :
			questions[i].offset;
	return true;
}

/*
 * A log's end may fall back for a moment when its leader changes, so a position
 * is taken to be beyond it only after three readings.
 */
bool
fluct_kafkalog_confirm(const int64 *next, FluctOffset *ends, int count,
					   FluctPatience patience)
{
	for (int reading = 1; reading < READINGS; reading++)
	{
		bool		beyond = false;

		for (int i = 0; i < count; i++)
			beyond = beyond || next[i] > ends[i].offset;
		if (!beyond)
			break;
		fluct_worker_wait(PGINVALID_SOCKET, READING_INTERVAL);
		if (!ask(ends, count, patience))
			return false;
	}
	return true;
}
