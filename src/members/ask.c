/*-------------------------------------------------------------------------
 *
 * ask.c
 *	  A question to all members at the same time.
 *
 * A question (answer.c) goes to all members at once, by libpq's asynchronous
 * calls and one wait for all; a member that does not answer within
 * fluct.member_timeout is missing, with the reason.  So the time of an answer is
 * that of the slowest member, and a hanging one costs the timeout and no more.
 *
 * Connections are kept for the life of the session, one for each member and
 * role, since making one costs as much as the answer: a login, and at the
 * member a process whose plans are not there yet.  A connection on which a
 * query was under way when something failed is closed, and so is one whose
 * server or user mapping has changed.  A kept connection that turns out to be
 * dead is replaced, once.
 *
 * The statements read one snapshot each, in a read-only transaction at the
 * member.  One writes, and may come twice: take_over, by which a partition goes
 * to a member (sql/members/hand_over.sql).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "libpq-fe.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "members/answer.h"
#include "members/login.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/printable.h"
#include "pg/query.h"

PG_FUNCTION_INFO_V1(fluct_ask_members);
PG_FUNCTION_INFO_V1(fluct_let_be_missing);

#define MOST_ARGS	10
#define MOST_OF_A_REASON	1000	/* bytes */

/* ----- connections that are kept ----- */

typedef struct Line
{
	Oid			mapping;
	uint32		version;
	PGconn	   *conn;			/* NULL = the place is free */
	bool		clean;			/* nothing is under way on it */
} Line;

static Line *lines = NULL;
static int	nlines = 0;

static void
hang_up(Line *line)
{
	if (line->conn == NULL)
		return;
	PQfinish(line->conn);
	line->conn = NULL;
	ReleaseExternalFD();
}

/* The line that is kept for the mapping, or a free one. */
static int
find_line(Oid mapping)
{
	int			free = -1;

	for (int i = 0; i < nlines; i++)
	{
		if (lines[i].conn && lines[i].mapping == mapping)
			return i;
		if (lines[i].conn == NULL)
			free = i;
	}
	if (free >= 0)
		return free;
	if (lines == NULL)
		lines = MemoryContextAllocZero(TopMemoryContext, sizeof(Line));
	else
		lines = repalloc(lines, sizeof(Line) * (nlines + 1));
	memset(&lines[nlines], 0, sizeof(Line));
	return nlines++;
}

/* ----- one member ----- */

typedef enum Phase
{
	CONNECTING,
	ASKING,
	DONE
} Phase;

typedef struct Member
{
	const char *name;
	FluctLogin *login;
	int			line;
	bool		kept;			/* the connection is from an earlier question */
	Phase		phase;
	PostgresPollingStatusType wants;
	PGresult   *result;			/* at hand */
	FluctAnswer *answer;
	bool		whole;			/* its end has come */
	char	   *refusal;		/* or an error in its place */
	char	   *missing;		/* why there is no answer; NULL = there is */
} Member;

typedef struct Question
{
	const FluctQuestion *known;
	int			nargs;
	const char *args[MOST_ARGS];
	int			nmembers;
	Member	   *members;
} Question;

static PGconn *
conn_of(const Member *member)
{
	return lines[member->line].conn;
}

static char *
first_line(const char *message)
{
	size_t		length = strcspn(message, "\n");

	return length == 0 ? pstrdup("no reason given") :
		pnstrdup(message, length);
}

static void
give_up(Member *member, char *reason)
{
	member->missing = reason;
	member->phase = DONE;
	if (conn_of(member))
		hang_up(&lines[member->line]);
}

static void
dial(Member *member)
{
	Line	   *line = &lines[member->line];
	FluctLogin *login = member->login;

	member->kept = false;
	member->phase = CONNECTING;
	member->wants = PGRES_POLLING_WRITING;
	if (!AcquireExternalFD())
	{
		give_up(member, pstrdup("too many open files"));
		return;
	}
	line->mapping = login->mapping;
	line->version = login->version;
	line->clean = false;
	line->conn = PQconnectStartParams(login->keywords, login->values, 0);
	if (line->conn == NULL)
	{
		ReleaseExternalFD();
		give_up(member, pstrdup("out of memory"));
	}
	else if (PQstatus(line->conn) == CONNECTION_BAD)
		give_up(member, first_line(PQerrorMessage(line->conn)));
}

/* A connection that broke while it was kept says nothing about the member. */
static void
fail(Member *member)
{
	if (member->kept)
	{
		hang_up(&lines[member->line]);
		dial(member);
	}
	else
		give_up(member, member->refusal ? member->refusal :
				first_line(PQerrorMessage(conn_of(member))));
}

static void
ignore_notice(void *arg, const PGresult * result)
{
}

static void
send_question(Member *member, const Question *question)
{
	PGconn	   *conn = conn_of(member);

	member->phase = ASKING;
	lines[member->line].clean = false;
	fluct_answer_clear(member->answer);
	member->whole = false;
	member->refusal = NULL;
	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	if (PQsetnonblocking(conn, 1) != 0 ||
		!PQsendQueryParams(conn, question->known->statement, question->nargs, NULL,
						   question->args, NULL, NULL, 0))
		fail(member);
	else
	{
		(void) PQsetSingleRowMode(conn);
		member->wants = PGRES_POLLING_WRITING;
	}
}

static void
begin(Member *member, const Question *question)
{
	Line	   *line = &lines[member->line];

	if (line->conn && (!line->clean || line->version != member->login->version ||
					   PQstatus(line->conn) != CONNECTION_OK))
		hang_up(line);
	if (line->conn == NULL)
	{
		dial(member);
		return;
	}
	member->kept = true;
	send_question(member, question);
}

static void
go_on_connecting(Member *member, const Question *question)
{
	member->wants = PQconnectPoll(conn_of(member));
	if (member->wants == PGRES_POLLING_FAILED)
		fail(member);
	else if (member->wants == PGRES_POLLING_OK)
	{
		if (member->login->password && !PQconnectionUsedPassword(conn_of(member)))
			give_up(member, pstrdup("it did not ask for the password of the user mapping, and only a superuser allows that, by password_required 'false'"));
		else
			send_question(member, question);
	}
}

static char *
remote_error(const PGresult * result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (state && (strcmp(state, "42883") == 0 || strcmp(state, "3F000") == 0))
		return psprintf("it has no fluct of this version: %s", message);
	return psprintf("%s (SQLSTATE %s)", message ? message : "no reason given",
					state ? state : "unknown");
}

/* The last result has come, or the connection has ended. */
static void
end_answer(Member *member)
{
	if (PQstatus(conn_of(member)) == CONNECTION_BAD ||
		!(member->whole || member->refusal))
		fail(member);
	else if (member->refusal)
		give_up(member, member->refusal);
	else
	{
		lines[member->line].clean = true;
		member->missing = fluct_answer_check(member->answer);
		member->phase = DONE;
	}
}

/* The rows of a result, or why it has none; returns whether more may come. */
static bool
take_result(Member *member)
{
	ExecStatusType status = PQresultStatus(member->result);
	char	   *fault;

	if (status != PGRES_TUPLES_OK && status != PGRES_SINGLE_TUPLE)
	{
		member->refusal = remote_error(member->result);
		return true;
	}
	member->whole = status == PGRES_TUPLES_OK;
	fault = fluct_answer_add(member->answer, member->result);
	if (fault != NULL)
		give_up(member, fault);
	return fault == NULL;
}

static void
take_results(Member *member)
{
	PGconn	   *conn = conn_of(member);
	bool		more = true;

	while (more && !PQisBusy(conn))
	{
		member->result = PQgetResult(conn);
		if (member->result == NULL)
		{
			end_answer(member);
			return;
		}
		more = take_result(member);
		PQclear(member->result);
		member->result = NULL;
	}
}

static void
go_on_asking(Member *member)
{
	PGconn	   *conn = conn_of(member);
	int			left;

	if (!PQconsumeInput(conn))
	{
		fail(member);
		return;
	}
	left = PQflush(conn);
	if (left < 0)
	{
		fail(member);
		return;
	}
	member->wants = left > 0 ? PGRES_POLLING_WRITING : PGRES_POLLING_READING;
	take_results(member);
}

/* ----- all of them ----- */

static void
wait_for_any(Question *question, long timeout)
{
	WaitEventSet *set = fluct_compat_wait_set(question->nmembers + 2);
	WaitEvent  *events = palloc(sizeof(WaitEvent) * (question->nmembers + 2));
	int			n;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < question->nmembers; i++)
	{
		Member	   *member = &question->members[i];

		if (member->phase != DONE)
			AddWaitEventToSet(set, member->wants == PGRES_POLLING_READING ?
							  WL_SOCKET_READABLE :
							  WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE,
							  PQsocket(conn_of(member)), NULL, member);
	}
	n = WaitEventSetWait(set, timeout, events, question->nmembers + 2,
						 fluct_compat_wait_event("FluctMembers"));
	FreeWaitEventSet(set);
	for (int i = 0; i < n; i++)
	{
		Member	   *member = events[i].user_data;

		if (member == NULL)
			ResetLatch(MyLatch);
		else if (member->phase == CONNECTING)
			go_on_connecting(member, question);
		else if (member->phase == ASKING)
			go_on_asking(member);
	}
	pfree(events);
	CHECK_FOR_INTERRUPTS();
}

static bool
is_done(const Question *question)
{
	for (int i = 0; i < question->nmembers; i++)
		if (question->members[i].phase != DONE)
			return false;
	return true;
}

static void
gather(Question *question)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  fluct_member_timeout);

	while (!is_done(question))
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0)
			break;
		wait_for_any(question, left);
	}
	for (int i = 0; i < question->nmembers; i++)
		if (question->members[i].phase != DONE)
			give_up(&question->members[i],
					psprintf("no answer within %d ms (fluct.member_timeout)",
							 fluct_member_timeout));
}

/* ----- for SQL ----- */

static char **
texts_of(ArrayType *array, int *n)
{
	Datum	   *values;
	bool	   *nulls;
	char	  **texts;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, n);
	texts = palloc(sizeof(char *) * (*n + 1));
	for (int i = 0; i < *n; i++)
		texts[i] = nulls[i] ? NULL : TextDatumGetCString(values[i]);
	return texts;
}

/* The members' servers; an ERROR for a name that is not a member's. */
static char **
servers_of(Datum members, char **names, int n)
{
	FluctQuery	query = {0};
	MemoryContext context = CurrentMemoryContext;
	char	  **servers = palloc(sizeof(char *) * (n + 1));

	SPI_connect();
	fluct_query_add(&query, TEXTARRAYOID, members, false);
	fluct_query_run(&query,
					"SELECT m.server FROM unnest($1) WITH ORDINALITY u(name, n)"
					" LEFT JOIN fluct.members m ON m.name = u.name ORDER BY u.n");
	for (int i = 0; i < n; i++)
	{
		servers[i] = fluct_query_field_text(context, i, 1);
		if (servers[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("member \"%s\" does not exist",
							names[i] ? names[i] : "NULL"),
					 errhint("SELECT name, server FROM fluct.members; lists all.")));
	}
	SPI_finish();
	return servers;
}

static void
read_question(FunctionCallInfo fcinfo, Question *question)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			nmembers;
	char	  **names = texts_of(PG_GETARG_ARRAYTYPE_P(1), &nmembers);
	char	  **servers = servers_of(PG_GETARG_DATUM(1), names, nmembers);
	char	  **args = texts_of(PG_GETARG_ARRAYTYPE_P(2), &question->nargs);

	question->known = fluct_answer_question(name);
	if (question->known == NULL || question->nargs > MOST_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown question: %s", name)));
	memcpy(question->args, args, sizeof(char *) * question->nargs);
	question->members = palloc0(sizeof(Member) * (nmembers + 1));
	question->nmembers = nmembers;
	for (int i = 0; i < question->nmembers; i++)
	{
		question->members[i].name = names[i];
		question->members[i].login = fluct_login_find(servers[i], GetUserId(),
													  question->known->writes);
		question->members[i].line = -1;
		question->members[i].answer =
			fluct_answer_begin(question->known, names[i], rsinfo->setDesc);
	}
	for (int i = 0; i < question->nmembers; i++)
	{
		Member	   *member = &question->members[i];

		member->line = find_line(member->login->mapping);
		lines[member->line].mapping = member->login->mapping;
		begin(member, question);
	}
}

static void
put_answer(ReturnSetInfo *rsinfo, const Member *member)
{
	Datum		values[3] = {CStringGetTextDatum(member->name)};
	bool		nulls[3] = {false, false, true};

	if (member->missing == NULL)
	{
		fluct_answer_give(member->answer, rsinfo);
		return;
	}
	values[1] = CStringGetTextDatum(fluct_printable(member->missing,
													strnlen(member->missing, MOST_OF_A_REASON)));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Also after an ERROR: closes the connections on which a query is under way. */
static void
clear(Question *question)
{
	for (int i = 0; i < question->nmembers; i++)
		PQclear(question->members[i].result);
	for (int i = 0; i < nlines; i++)
		if (!lines[i].clean)
			hang_up(&lines[i]);
}

/*
 * fluct._ask_members(question text, members text[], args text[],
 *	 OUT member text, OUT missing text, OUT answer text[]) RETURNS SETOF record
 *
 * The rows of each member's answer, or one row that says why there is none.
 */
Datum
fluct_ask_members(PG_FUNCTION_ARGS)
{
	Question	question = {0};

	InitMaterializedSRF(fcinfo, 0);
	PG_TRY();
	{
		read_question(fcinfo, &question);
		gather(&question);
		for (int i = 0; i < question.nmembers; i++)
			put_answer((ReturnSetInfo *) fcinfo->resultinfo,
					   &question.members[i]);
	}
	PG_FINALLY();
	{
		clear(&question);
	}
	PG_END_TRY();
	return (Datum) 0;
}

/*
 * fluct._allow_missing(allow_missing boolean): if true, sets fluct.allow_missing
 * until the function ends that calls this, which has a SET of its own.
 */
Datum
fluct_let_be_missing(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0) && PG_GETARG_BOOL(0))
		(void) set_config_option("fluct.allow_missing", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	PG_RETURN_VOID();
}
