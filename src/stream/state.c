/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The state of a stream worker: what it reports, and when it exits.
 *
 * A state goes to shared memory at once, and to the table and the log if its
 * reason is a new one: an outage is a few lines, however long it lasts, and at
 * most two a minute.
 *
 * Restart is the reconfiguration: a worker that waits here checks whether the
 * stream still matches what it was started for, and exits if not.
 *
 * A worker that runs for a session (run_stream) also reports all that to the
 * session.  There may be no shared memory that tells it about changes, so it
 * reads the stream's row each time; and where others leave the work to a
 * successor, it tells the session, which starts one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "bookkeeping/states.h"
#include "bookkeeping/streams.h"
#include "kafka/changes.h"
#include "pg/guc.h"
#include "pg/printable.h"
#include "process/events.h"
#include "process/worker.h"
#include "stream/state.h"
#include "stream/watch.h"

#define CHECK_INTERVAL		2000	/* ms, in a longer nap */

FluctSlot  *fluct_slot = NULL;
FluctStream *fluct_stream = NULL;
void		(*fluct_state_leaving) (void) = NULL;

static uint64 changes_seen = 0;
static char database[NAMEDATALEN];	/* the name of this one */
static char last_reason[FLUCT_STATE_LEN];	/* as stored in the table */

/* The reason that the log named last, by this worker or the one before. */
static char trouble[FLUCT_STATE_LEN];

/* ----- states ----- */

/* Bookkeeping that failed must not stop the stream. */
static void
swallow_error(MemoryContext context)
{
	if (fluct_shmem_may_log(fluct_slot))
		EmitErrorReport();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
}

/* A detail as it is stored and logged: it has names that users chose. */
static const char *
shown(const char *detail)
{
	return detail ? fluct_printable(detail, strlen(detail)) : NULL;
}

static void
store_state(const char *state, const char *reason, const char *detail,
			const char *error, const char *const *about)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		fluct_worker_begin();
		fluct_states_set(fluct_stream->name, fluct_slot->worker,
						 fluct_stream->starts, state, reason, detail,
						 error, about);
		fluct_worker_commit();
	}
	PG_CATCH();
	{
		swallow_error(context);
	}
	PG_END_TRY();
}

/* What to do about the state that was stored; NULL where that fails. */
static char *
find_remedy(void)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *volatile remedy = NULL;

	PG_TRY();
	{
		fluct_worker_begin();
		remedy = fluct_states_remedy(fluct_stream->name, fluct_slot->worker,
									 fluct_watch, context);
		fluct_worker_commit();
	}
	PG_CATCH();
	{
		swallow_error(context);
	}
	PG_END_TRY();
	return remedy;
}

static void
prepare_to_leave(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		if (fluct_state_leaving)
			fluct_state_leaving();
	}
	PG_CATCH();
	{
		swallow_error(context);
	}
	PG_END_TRY();
}

/*
 * Logs a new reason.  If the stream has used up its lines of this minute, it
 * is logged when there are some again, if it lasts: in an outage reasons
 * alternate, and workers come and go.
 */
static void
log_trouble(const char *state, const char *reason, const char *detail)
{
	static int	unlogged = 0;
	bool		known = strcmp(reason, trouble) == 0;

	/* a producer's transaction is nobody's trouble here */
	if (strcmp(reason, "open_transaction") == 0)
		return;
	strlcpy(trouble, reason, sizeof(trouble));
	if (known && !fluct_slot->untold)
		return;
	unlogged += fluct_slot->untold && !known;
	/* the launcher logs who blocks it */
	if (strcmp(reason, "waiting_for_lock") == 0 && !fluct_watch)
	{
		fluct_slot->untold = false;
		return;
	}
	fluct_slot->untold = !fluct_shmem_may_log(fluct_slot);
	if (fluct_slot->untold)
		return;
	ereport(LOG,
			(errmsg("stream \"%s\" is %s: %s", fluct_stream->name, state,
					reason),
			 detail ? errdetail_internal("%s", detail) : 0,
			 unlogged ? errhint("%d earlier states were not logged.",
								unlogged) : 0,
			 errhidecontext(true)));
	unlogged = 0;
}

static void
log_recovery(void)
{
	if (trouble[0] == '\0')
		return;
	ereport(LOG,
			(errmsg("stream \"%s\" has recovered from %s", fluct_stream->name,
					trouble),
			 errhidecontext(true)));
	trouble[0] = '\0';
	fluct_slot->untold = false;
}

static void
report_activity(const char *state, const char *reason)
{
	char		text[256];

	snprintf(text, sizeof(text), "stream %s: %s%s%s", fluct_slot->stream, state,
			 reason ? ", " : "", reason ? reason : "");
	pgstat_report_activity(strcmp(state, "running") == 0 && reason == NULL ?
						   STATE_IDLE : STATE_RUNNING, text);
}

/* A session can try again, and need not wait for what may never pass. */
void
fluct_state_give_up(void)
{
	char	   *remedy = fluct_stream ? find_remedy() : NULL;

	fluct_watch_speak();
	ereport(FATAL,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("stream \"%s\" cannot run now: %s", fluct_slot->stream,
					fluct_slot->reason),
			 errdetail_internal("%s", shown(fluct_slot->detail)),
			 remedy ? errhint("%s", remedy) : 0));
}

/* Metadata of a topic that was just created reach a broker in seconds. */
static void
give_up_unknown_topic(void)
{
	if (strcmp(fluct_slot->reason, "unknown_topic") == 0 &&
		fluct_worker_ms_since(fluct_slot->since) >= FLUCT_WATCH_TOPIC_WAIT)
		fluct_state_give_up();
}

/*
 * Reports the state: to other processes at once, to the table and the log if
 * the reason is a new one.  That a worker was stuck, the launcher has said.
 */
void
fluct_state_set(const char *state, const char *reason, const char *detail)
{
	char		key[FLUCT_STATE_LEN];

	fluct_shmem_note_alive(fluct_slot);
	if (strcmp(fluct_slot->reason, "stalled") == 0)
		strlcpy(trouble, "stalled", sizeof(trouble));
	fluct_shmem_set_state(fluct_slot, state, reason, detail);
	report_activity(state, reason);
	if (reason == NULL && strcmp(state, "running") == 0)
		log_recovery();
	snprintf(key, sizeof(key), "%s", reason ? reason : state);
	if (strcmp(key, last_reason) == 0)
	{
		if (fluct_watch)
			give_up_unknown_topic();
		if (reason && fluct_slot->untold)
			log_trouble(state, reason, shown(detail));
		return;
	}
	strlcpy(last_reason, key, sizeof(last_reason));
	detail = shown(detail);
	store_state(state, reason, detail, reason ? detail : NULL, NULL);
	fluct_events_put(FLUCT_EVENT_STATE, fluct_stream->name, state,
					 GetCurrentTimestamp());
	if (reason && fluct_watch)
		fluct_watch_say_state(fluct_stream->name, state, reason, detail);
	if (reason)
		log_trouble(state, reason, detail);
	if (reason && strcmp(reason, "waiting_for_lock") == 0)
		fluct_shmem_wake_launchers();
}

void
fluct_state_fail(const char *reason, const char *detail)
{
	fluct_state_fail_about(reason, detail, NULL);
}

void
fluct_state_fail_about(const char *reason, const char *detail,
					   const char *const *about)
{
	char	   *remedy;

	detail = shown(detail);
	fluct_shmem_set_state(fluct_slot, "failed", reason, detail);
	prepare_to_leave();
	store_state("failed", reason, detail, detail, about);
	remedy = find_remedy();
	fluct_events_put(FLUCT_EVENT_STATE, fluct_stream->name, "failed",
					 GetCurrentTimestamp());
	if (fluct_watch)
	{
		fluct_watch_speak();
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream \"%s\" has failed: %s", fluct_stream->name, reason),
				 detail ? errdetail_internal("%s", detail) : 0,
				 errhint("What was committed is kept.%s%s", remedy ? " " : "",
						 remedy ? remedy : "")));
	}
	ereport(LOG,
			(errmsg("stream \"%s\" has failed: %s", fluct_stream->name, reason),
			 detail ? errdetail_internal("%s", detail) : 0,
			 errhidecontext(true),
			 remedy ? errhint("%s", remedy) : 0));

	proc_exit(0);
}

void
fluct_state_fail_at(const char *reason, const char *detail, const char *topic,
					int partition, int64 offset)
{
	const char *about[] = {
		psprintf("%d", partition), psprintf(INT64_FORMAT, offset),
		strcmp(topic, fluct_stream->topic) == 0 ? NULL : topic, NULL
	};

	fluct_state_fail_about(reason, detail, about);
}

/* ----- changes ----- */

/* Two workers of one stream would only fight. */
static void
leave_if_started(const FluctStream *stream)
{
	if (!stream->enabled || !stream->here)
		return;
	fluct_watch_speak();
	ereport(FATAL,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("stream \"%s\" is started", stream->name),
			 errdetail("It has a worker of its own."),
			 errhint("SELECT fluct.pause_stream('%s'); stops that one.",
					 stream->name)));
}

static FluctStream *
read_stream(MemoryContext context)
{
	FluctStream *stream;

	fluct_worker_begin();
	strlcpy(database, get_database_name(MyDatabaseId), NAMEDATALEN);
	stream = fluct_streams_find(fluct_slot->stream, context);
	fluct_worker_commit();
	return stream;
}

/*
 * For a session, one worker has all partitions, wherever the stream last ran.
 */
static void
begin_watched(void)
{
	if (fluct_stream == NULL)
	{
		fluct_watch_speak();
		ereport(FATAL,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream \"%s\" no longer exists", fluct_slot->stream)));
	}
	fluct_stream->workers = 1;
	leave_if_started(fluct_stream);
}

/*
 * The launcher has stored that the worker starts, and left the reason why the
 * one before did not go on.
 */
static void
begin_in_trouble(void)
{
	char	   *reason;

	fluct_worker_begin();
	if (fluct_states_take(fluct_stream->name, fluct_slot->worker,
						  fluct_stream->starts, &reason) && reason)
		strlcpy(trouble, reason, sizeof(trouble));
	fluct_worker_commit();
	if (trouble[0] == '\0')
		fluct_state_set("starting", NULL, NULL);
	else
		report_activity("starting", NULL);
}

void
fluct_state_begin(FluctSlot *slot)
{
	fluct_slot = slot;
	changes_seen = pg_atomic_read_u64(&fluct_shared->changes);
	fluct_stream = read_stream(TopMemoryContext);
	if (fluct_watch)
		begin_watched();
	else if (fluct_stream == NULL || !fluct_stream->enabled ||
			 !fluct_stream->here)
		proc_exit(0);
	fluct_shmem_set_served(slot, fluct_stream->version, fluct_stream->created_at);
	begin_in_trouble();
}

void
fluct_state_make_way(void)
{
	prepare_to_leave();
	fluct_worker_begin();
	fluct_states_count_success(fluct_stream->name, fluct_slot->worker);
	fluct_worker_commit();
	if (fluct_watch)
		fluct_watch_begin_again();
	proc_exit(0);
}

static bool
may_have_changed(void)
{
	uint64		changes = pg_atomic_read_u64(&fluct_shared->changes);

	if (fluct_watch)
		return true;			/* no one notifies it */
	if (changes == changes_seen)
		return false;
	changes_seen = changes;
	return true;
}

void
fluct_state_leave_to_another(void)
{
	if (fluct_watch)
	{
		fluct_watch_speak();
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another worker has moved the offsets of stream \"%s\"",
						fluct_stream->name),
				 errdetail("The other one continues with what this one had not committed.")));
	}
	ereport(LOG,
			(errmsg("stream \"%s\": another worker has moved the offsets, so this one exits",
					fluct_stream->name)));
	proc_exit(0);
}

static bool
is_another_stream(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "fluct stream as it is",
												  ALLOCSET_SMALL_SIZES);
	FluctStream *now = read_stream(context);
	bool		changed;

	if (now && fluct_watch)
		leave_if_started(now);
	else if (now && (!now->enabled || !now->here))
		now = NULL;
	changed = now == NULL || now->version != fluct_stream->version ||
		now->created_at != fluct_stream->created_at;
	MemoryContextDelete(context);
	return changed;
}

/* Exits if the stream no longer matches what this worker was started for. */
void
fluct_state_check(void)
{
	fluct_worker_serve();
	if (!fluct_watch && (!fluct_enabled || !fluct_guc_has_database(database)))
	{
		prepare_to_leave();
		proc_exit(0);
	}
	if ((may_have_changed() && is_another_stream()) ||
		fluct_changes_found(fluct_stream))
		fluct_state_make_way();
}

/* A nap is also interrupted for others, so its end is a matter of time. */
void
fluct_state_nap(long ms)
{
	TimestampTz begin = GetCurrentTimestamp();
	long		left = ms;

	while (left > 0)
	{
		fluct_worker_wait(PGINVALID_SOCKET, Min(left, CHECK_INTERVAL));
		fluct_state_check();
		left = ms - fluct_worker_ms_since(begin);
	}
}
