/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  What a stream that runs for a session reports to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/timestamp.h"

#include "process/worker.h"
#include "stream/watch.h"

#define PROGRESS_INTERVAL	5000	/* ms between lines */

FluctWatch *fluct_watch = NULL;

static TimestampTz last_line = 0;
static int64 batches_then = 0;	/* at the last line */

void
fluct_watch_speak(void)
{
	whereToSendOutput = DestRemote;
}

void
fluct_watch_hush(void)
{
	whereToSendOutput = DestNone;
}

void
fluct_watch_say_state(const char *stream, const char *state,
					  const char *reason, const char *detail)
{
	const char *until = strcmp(reason, "unknown_topic") == 0 ?
	psprintf("for %d s", FLUCT_WATCH_TOPIC_WAIT / 1000) : "until it succeeds; cancel the call to stop";

	fluct_watch_speak();
	ereport(NOTICE,
			(errmsg("stream \"%s\" is %s: %s", stream, state, reason),
			 detail ? errdetail_internal("%s", detail) : 0,
			 strcmp(state, "backing_off") == 0 ?
			 errhint("It is tried again %s. SELECT * FROM fluct.check_stream('%s'); shows more.",
					 until, stream) : 0));
	fluct_watch_hush();
}

void
fluct_watch_count(const FluctPosition *touched, int n)
{
	int64		messages = 0;

	for (int i = 0; i < n; i++)
	{
		messages += touched[i].messages;
		fluct_watch->rows += touched[i].rows;
		fluct_watch->duplicates += touched[i].duplicates;
		fluct_watch->dead_letters += touched[i].dead_letters;
	}
	fluct_watch->messages += messages;
	fluct_watch->batches += messages > 0;
}

static void
say_counts(const char *stream, const char *word, uint64 lag)
{
	const FluctWatch *w = fluct_watch;

	fluct_watch_speak();
	ereport(NOTICE,
			(errmsg("stream \"%s\"%s: " INT64_FORMAT " messages, " INT64_FORMAT " rows, " INT64_FORMAT " duplicates, " INT64_FORMAT " dead letters; lag " UINT64_FORMAT,
					stream, word, w->messages, w->rows, w->duplicates,
					w->dead_letters, lag)));
	fluct_watch_hush();
}

void
fluct_watch_say_progress(const char *stream, uint64 lag)
{
	if (last_line == 0)
		last_line = GetCurrentTimestamp();
	if (fluct_watch->batches == batches_then ||
		fluct_worker_ms_since(last_line) < PROGRESS_INTERVAL)
		return;
	last_line = GetCurrentTimestamp();
	batches_then = fluct_watch->batches;
	say_counts(stream, "", lag);
}

void
fluct_watch_finish(const char *stream, uint64 lag)
{
	say_counts(stream, lag == 0 ? " has caught up" : " was run", lag);
	pq_putemptymessage(FLUCT_RUN_DONE);
	proc_exit(0);
}

void
fluct_watch_begin_again(void)
{
	StringInfoData message;

	pq_beginmessage(&message, FLUCT_RUN_AGAIN);
	pq_sendbytes(&message, (char *) fluct_watch, sizeof(FluctWatch));
	pq_endmessage(&message);
	proc_exit(0);
}
