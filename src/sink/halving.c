/*-------------------------------------------------------------------------
 *
 * halving.c
 *	  The search for the messages that are to blame for an error.
 *
 * Halving.  The messages of a batch are written in one go.  When the tables
 * refuse that for the data's sake, each half is tried in a subtransaction of
 * its own, and so on down to the guilty message, which becomes a dead letter;
 * all the others are stored in the same commit.
 *
 * What that costs.  With one guilty message, the halves that succeed come to
 * one batch, and the attempts that fail to at most 1 + 1/2 + 1/4 ... = 2 more,
 * if each is refused only at its end.  Decoding, the raw copy and the rows are
 * steps of their own, so that what one of them refuses costs no other.  So it
 * stays below 3 batches, whatever the size (measured: at most 2.3, for a CHECK
 * on a child; test/bench/README.md).  An attempt ends at its first guilty
 * message, so many of them cost less than one each: n attempts of a statement
 * or two, and the parents of every attempt that a child refuses, at most
 * log2(n) times (measured: 4.4 batches with every second one guilty).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/attempt.h"
#include "pg/sqlstate.h"
#include "sink/blame.h"
#include "sink/halving.h"

/* One search. */
typedef struct Search
{
	FluctStep	step;
	FluctBury	bury;
	void	   *arg;
	FluctMessage *messages;
} Search;

/* The step on some of the messages. */
typedef struct Attempt
{
	const Search *search;
	int			from;
	int			to;
} Attempt;

static void
take_step(void *arg)
{
	const Attempt *attempt = arg;
	const Search *search = attempt->search;
	ErrorContextCallback callback;

	fluct_blame_begin(&callback);
	search->step(search->arg, search->messages, attempt->from, attempt->to);
	fluct_blame_end(&callback);
}

/* In the words of whoever owns the table. */
static char *
hint_to_partition(const ErrorData *error)
{
	if (error->schema_name == NULL || error->table_name == NULL)
		return NULL;
	if (strcmp(error->schema_name, "sales") == 0 &&
		(strcmp(error->table_name, "order_lines") == 0 ||
		 strcmp(error->table_name, "raw_messages") == 0))
		return pstrdup("SELECT fluct.create_tables(); makes the default partition, or says how to attach it; fluct.maintain_partitions() those by time.");
	return psprintf("CREATE TABLE %s PARTITION OF %s DEFAULT; takes what has no other partition.",
					quote_qualified_identifier(error->schema_name,
											   psprintf("%s_default", error->table_name)),
					quote_qualified_identifier(error->schema_name, error->table_name));
}

/* NULL, or the error that the data is to blame for. */
static ErrorData *
try_step(const Search *search, int from, int to, FluctReason *reason)
{
	Attempt		attempt = {search, from, to};
	ErrorData  *error = fluct_attempt(take_step, &attempt);

	if (error && !fluct_blame_data(error, reason))
	{
		if (fluct_sqlstate_is_missing_partition(error) && error->hint == NULL)
			error->hint = hint_to_partition(error);
		ReThrowError(error);
	}
	return error;
}

static void
isolate(const Search *search, int from, int to)
{
	FluctReason reason;
	FluctOutcome *before = palloc(sizeof(FluctOutcome) * (to - from + 1));
	ErrorData  *error;
	int			middle = from + (to - from) / 2;

	for (int i = from; i < to; i++)
		before[i - from] = search->messages[i].outcome;
	CHECK_FOR_INTERRUPTS();
	error = try_step(search, from, to, &reason);
	for (int i = from; error && i < to; i++)
		search->messages[i].outcome = before[i - from];
	pfree(before);
	if (error == NULL)
		return;
	if (to - from == 1)
	{
		search->bury(search->arg, search->messages, from, reason, error);
		return;
	}
	FreeErrorData(error);
	isolate(search, from, middle);
	isolate(search, middle, to);
}

void
fluct_halving_run(FluctStep step, FluctBury bury, void *arg,
				  FluctMessage *messages, int from, int to)
{
	Search		search = {step, bury, arg, messages};

	if (from < to)
		isolate(&search, from, to);
}
