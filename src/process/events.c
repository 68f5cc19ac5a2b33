/*-------------------------------------------------------------------------
 *
 * events.c
 *	  NOTIFY fluct_events: a stream has a new state, a report a new podium.
 *
 * A NOTIFY can fail at the commit (its queue is full when a listener sleeps in
 * a transaction), and must then not undo what it tells of.  So events are left
 * here once that is committed, and the launcher of the database sends them in
 * a transaction of its own.  What fails is tried again at its next turn, and
 * logged once.
 *
 * Anybody who can connect can listen, and can send what looks like an event.
 * So the payload has names and times, and nothing that a message held.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "process/events.h"
#include "process/shmem.h"
#include "process/worker.h"

#define CHANNEL			"fluct_events"
#define MAX_WAITING		256		/* of all databases; older ones are lost */

typedef struct Event
{
	uint64		number;			/* from 1; 0 = none */
	Oid			database;
	char		kind[16];
	char		name[NAMEDATALEN];
	char		state[FLUCT_STATE_LEN];
	TimestampTz as_of;
} Event;

/* All under the lock. */
typedef struct Events
{
	LWLock	   *lock;
	uint64		last;
	Event		events[MAX_WAITING];
} Events;

static Events *waiting = NULL;

static void
attach(void *memory, LWLock *lock, bool found)
{
	waiting = memory;
	if (!found)
		waiting->lock = lock;
}

void
fluct_events_init(void)
{
	fluct_shmem_register("fluct events", sizeof(Events), attach);
}

void
fluct_events_put(const char *kind, const char *name, const char *state,
				 TimestampTz as_of)
{
	Event	   *event;

	if (waiting == NULL)
		return;
	LWLockAcquire(waiting->lock, LW_EXCLUSIVE);
	event = &waiting->events[waiting->last % MAX_WAITING];
	event->number = ++waiting->last;
	event->database = MyDatabaseId;
	strlcpy(event->kind, kind, sizeof(event->kind));
	strlcpy(event->name, name, sizeof(event->name));
	strlcpy(event->state, state ? state : "", sizeof(event->state));
	event->as_of = as_of;
	LWLockRelease(waiting->lock);
	fluct_shmem_wake_launchers();
}

/* Those of this database, oldest first; returns their number. */
static int
take(Event *found)
{
	int			n = 0;

	LWLockAcquire(waiting->lock, LW_SHARED);
	for (int i = 0; i < MAX_WAITING; i++)
	{
		const Event *event =
		&waiting->events[(waiting->last + i) % MAX_WAITING];

		if (event->number > 0 && event->database == MyDatabaseId)
			found[n++] = *event;
	}
	LWLockRelease(waiting->lock);
	return n;
}

static void
forget(const Event *sent, int n)
{
	LWLockAcquire(waiting->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
	{
		Event	   *event =
		&waiting->events[(sent[i].number - 1) % MAX_WAITING];

		if (event->number == sent[i].number)
			event->number = 0;
	}
	LWLockRelease(waiting->lock);
}

static char *
payload_of(const Event *event)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"kind\": \"%s\", \"%s\": ", event->kind,
					 strcmp(event->kind, FLUCT_EVENT_PODIUM) == 0 ?
					 "report" : "stream");
	escape_json(&text, event->name);
	if (event->state[0] != '\0')
		appendStringInfo(&text, ", \"state\": \"%s\"", event->state);
	appendStringInfoString(&text, ", \"as_of\": ");
	escape_json(&text, timestamptz_to_str(event->as_of));
	appendStringInfoChar(&text, '}');
	return text.data;
}

static void
log_failure(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
	ereport(LOG,
			(errmsg("events cannot be sent on channel \"" CHANNEL "\": %s",
					error->message),
			 errdetail("They are kept, up to %d of them, and tried again.",
					   MAX_WAITING)));
}

void
fluct_events_send(void)
{
	static bool failed = false;
	MemoryContext context = CurrentMemoryContext;
	Event	   *found;
	int			n;

	if (waiting == NULL || !OidIsValid(MyDatabaseId))
		return;
	found = palloc(sizeof(Event) * MAX_WAITING);
	n = take(found);
	if (n == 0)
		return;
	PG_TRY();
	{
		fluct_worker_begin();
		for (int i = 0; i < n; i++)
			Async_Notify(CHANNEL, payload_of(&found[i]));
		fluct_worker_commit();
		forget(found, n);
		failed = false;
	}
	PG_CATCH();
	{
		if (failed)
		{
			FlushErrorState();
			AbortOutOfAnyTransaction();
			MemoryContextSwitchTo(context);
		}
		else
			log_failure(context);
		failed = true;
	}
	PG_END_TRY();
}
