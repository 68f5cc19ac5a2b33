/*-------------------------------------------------------------------------
 *
 * backoff.c
 *	  What a stream worker does after an error of the database.
 *
 * Faults that may pass are waited out, a little longer each time; the batch
 * stays in memory, and its offsets are where they were.  All else fails the
 * stream, and only start_stream starts it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "common/pg_prng.h"

#include "pg/sqlstate.h"
#include "stream/backoff.h"
#include "stream/durable.h"
#include "stream/state.h"

#define LONGEST_RETRY		60000	/* ms between tries of a batch */

static const char *
reason_of_sqlstate(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_UNDEFINED_COLUMN:
			return "column_missing";
		case ERRCODE_UNDEFINED_TABLE:
			return "target_missing";
		case ERRCODE_INVALID_COLUMN_REFERENCE:
			return "key_missing";
		case ERRCODE_WRONG_OBJECT_TYPE:
			return "target_refused";
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return "privilege_lost";
		case ERRCODE_DISK_FULL:
			return "disk_full";
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
			return "read_only";
		case ERRCODE_LOCK_NOT_AVAILABLE:
			return "waiting_for_lock";
		case ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION:
		case ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE:
			return "bad_connection";
		default:
			return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_CONNECTION_EXCEPTION ?
				"node_unreachable" : "error";
	}
}

void
fluct_backoff_digest_error(MemoryContext context, int attempt)
{
	ErrorData  *error;
	const char *reason;
	const char *names;			/* of relations, which say why */
	bool		published;
	const char *about[3] = {0};
	char	   *detail;
	double		wait;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction(); /* the batch's subtransactions as well */
	MemoryContextSwitchTo(context);
	fluct_durable_tell();		/* the batch before does not wait for this */
	/* by the launcher, perhaps, since the stream is paused */
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		fluct_state_check();
	published = fluct_sqlstate_is_of_publication(error);
	reason = published ? "error" : reason_of_sqlstate(error->sqlerrcode);
	/* any other error's detail may hold values of a message */
	names = published || error->sqlerrcode == ERRCODE_WRONG_OBJECT_TYPE ?
		error->detail : NULL;
	detail = psprintf("%s (SQLSTATE %s)%s%s%s%s", error->message,
					  unpack_sql_state(error->sqlerrcode),
					  names ? ". " : "", names ? names : "",
					  !error->hint ? "" : names ? " " : ". ",
					  error->hint ? error->hint : "");
	if (!fluct_sqlstate_may_pass(error->sqlerrcode))
	{
		/* perhaps because the stream was changed and then its table */
		fluct_state_check();
		about[0] = error->column_name;
		about[1] = error->table_name;
		fluct_state_fail_about(reason, detail, about);
	}
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		/*
		 * the wait was in the lock's queue, and the next one is best spent
		 * there too, where the launcher sees who blocks it
		 */
		fluct_state_set("running", reason,
						"no lock within 5 s; the batch is tried again");
		fluct_state_check();
		return;
	}
	fluct_state_set("backing_off", reason, detail);
	wait = Min(200 * pow(2, Min(attempt, 10)), LONGEST_RETRY);
	fluct_state_nap((long) (wait * (0.5 + pg_prng_double(&pg_global_prng_state) / 2)));
}
