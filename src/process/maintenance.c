/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *	  Partitions that are made ahead.
 *
 * A new partition evaluates what the table's owner has put on it: a partition
 * key, a CHECK, the expressions of indexes, triggers where rows are moved.  So
 * each table has a short-lived process, whose session is that of its owner,
 * and works in a restricted operation all the same.  An owner that cannot have
 * a session (a role without LOGIN may own tables) is left the restricted
 * operation.  For a superuser nothing runs by itself.
 *
 * The launcher does not wait for any of that.  A lock that is not available
 * now is retried next time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "bookkeeping/owner.h"
#include "bookkeeping/streams.h"
#include "pg/model.h"
#include "pg/query.h"
#include "pg/rights.h"
#include "process/maintenance.h"
#include "process/worker.h"

/* What a process is to do, in its bgw_extra. */
typedef struct Task
{
	Oid			database;
	Oid			table;
	Oid			owner;
	Oid			session;		/* the owner, or invalid if it cannot connect */
} Task;

StaticAssertDecl(sizeof(Task) <= BGW_EXTRALEN, "a task fits into bgw_extra");

static const char *const tables[] = {"order_lines", "raw_messages"};

/* ----- in the launcher ----- */

/* False where there is no such table, or nothing is to run for its owner. */
static bool
find_task(const char *table, Task *task)
{
	HeapTuple	tuple;
	char	   *detail,
			   *hint;
	const char *obstacle;

	if (!fluct_streams_installed())
		return false;
	task->database = MyDatabaseId;
	task->table = fluct_model_find(table);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(task->table));
	if (!HeapTupleIsValid(tuple))
		return false;
	task->owner = task->session = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	obstacle = fluct_owner_obstacle(table, "", task->owner, true, &detail, &hint);
	if (obstacle && strcmp(obstacle, "owner_cannot_connect") == 0)
		task->session = InvalidOid;
	return obstacle == NULL || !OidIsValid(task->session);
}

static void
start_task(const char *table, const Task *task)
{
	BackgroundWorker worker;

	fluct_worker_describe(&worker, "FluctMaintenanceMain",
						  "fluct maintenance");
	snprintf(worker.bgw_name, BGW_MAXLEN, "fluct maintenance of %s", table);
	memcpy(worker.bgw_extra, task, sizeof(Task));
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		ereport(LOG,
				(errmsg("no partitions of sales.%s are made ahead now", table),
				 errdetail("There is no free background worker."),
				 errhint("Raise max_worker_processes.")));
}

void
fluct_maintenance_start(void)
{
	for (int i = 0; i < lengthof(tables); i++)
	{
		Task		task;
		bool		found;

		fluct_worker_begin();
		found = find_task(tables[i], &task);
		fluct_worker_commit();
		if (found)
			start_task(tables[i], &task);
	}
}

/* ----- in a process of its own ----- */

static void
maintain(const Task *task)
{
	FluctQuery	query = {0};
	FluctRights before;

	fluct_worker_begin();
	before = fluct_rights_take(task->owner);
	fluct_query_add(&query, REGCLASSOID, ObjectIdGetDatum(task->table), false);
	fluct_query_run(&query, "SELECT FROM fluct._maintain($1)");
	fluct_rights_give_back(before);
	fluct_worker_commit();
}

void
FluctMaintenanceMain(Datum arg)
{
	Task		task;

	memcpy(&task, MyBgworkerEntry->bgw_extra, sizeof(Task));
	fluct_worker_unblock();
	fluct_worker_connect(task.database, task.session);
	fluct_worker_limit_locks();
	PG_TRY();
	{
		maintain(&task);
	}
	PG_CATCH();
	{
		fluct_worker_report_error(TopMemoryContext);
	}
	PG_END_TRY();
	proc_exit(0);
}
