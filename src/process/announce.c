/*-------------------------------------------------------------------------
 *
 * announce.c
 *	  What others learn of a transaction once it has committed.
 *
 * After the commit, and not before: a process that wakes up must see the
 * change, and the log must not tell of what was rolled back, be it to a
 * savepoint.
 *
 * Names and reasons in a line of the log are shown as they are printed: a role
 * chooses its own, and whoever reads the log has a terminal.
 *
 * COMMIT PREPARED comes from another session, which knows nothing of this one,
 * and the worker of a stream that was paused so would never wake up.  So a
 * transaction that has changed a stream, which always is a line in the log,
 * cannot be prepared.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "pg/printable.h"
#include "process/announce.h"
#include "process/events.h"
#include "process/shmem.h"

typedef struct Line
{
	SubTransactionId subtransaction;
	char	   *message;		/* NULL: an event */
	char	   *detail;
	char	   *kind;
	char	   *name;
	char	   *state;
	TimestampTz as_of;
} Line;

static bool wake_pending = false;
static List *lines = NIL;		/* in TopTransactionContext */

static void
write_lines(void)
{
	ListCell   *lc;

	foreach(lc, lines)
	{
		const Line *line = lfirst(lc);

		if (line->message == NULL)
		{
			fluct_events_put(line->kind, line->name, line->state, line->as_of);
			continue;
		}
		ereport(LOG_SERVER_ONLY,
				(errmsg_internal("%s", line->message),
				 line->detail ? errdetail_internal("%s", line->detail) : 0,
				 errhidestmt(true), errhidecontext(true)));
	}
}

static void
refuse_prepare(void)
{
	ListCell   *lc;

	foreach(lc, lines)
		if (((const Line *) lfirst(lc))->message)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has changed a stream"),
				 errhint("Create, alter, start, pause, seek and drop streams in a transaction of their own.")));
}

static void
after_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_PREPARE)
		refuse_prepare();
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT)
		write_lines();
	if (event == XACT_EVENT_COMMIT && wake_pending && fluct_shared)
		fluct_shmem_wake_all();
	wake_pending = false;
	lines = NIL;
}

/* A savepoint that is released passes its lines on, one that is not does not. */
static void
after_subtransaction(SubXactEvent event, SubTransactionId mine,
					 SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	foreach(lc, lines)
	{
		Line	   *line = lfirst(lc);

		if (line->subtransaction != mine)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			line->subtransaction = parent;
		else if (event == SUBXACT_EVENT_ABORT_SUB)
			lines = foreach_delete_current(lines, lc);
	}
}

void
fluct_announce_init(void)
{
	RegisterXactCallback(after_transaction, NULL);
	RegisterSubXactCallback(after_subtransaction, NULL);
}

void
fluct_announce_wake(void)
{
	wake_pending = true;
}

/* In the memory of the transaction, in which the caller then is. */
static Line *
add_line(void)
{
	Line	   *line = palloc0(sizeof(Line));

	line->subtransaction = GetCurrentSubTransactionId();
	lines = lappend(lines, line);
	return line;
}

void
fluct_announce_line(const char *message, const char *detail)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Line	   *line = add_line();

	line->message = fluct_printable(message, strlen(message));
	line->detail = detail ? fluct_printable(detail, strlen(detail)) : NULL;
	MemoryContextSwitchTo(old);
}

void
fluct_announce_event(const char *kind, const char *name, const char *state,
					 TimestampTz as_of)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Line	   *line = add_line();

	line->kind = pstrdup(kind);
	line->name = pstrdup(name);
	line->state = state ? pstrdup(state) : NULL;
	line->as_of = as_of;
	MemoryContextSwitchTo(old);
}
