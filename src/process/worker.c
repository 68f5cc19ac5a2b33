/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  What all background processes of fluct have in common.
 *
 * Whose rights.  A worker that touches users' tables has a session of the
 * stream's owner, so that what others planted there can become nobody else,
 * whatever way out it finds.  The bookkeeping is the exception: it is written
 * with the rights of the extension's owner, between fluct_worker_begin() and
 * fluct_worker_commit(), which gives them back before it commits: what fires
 * at a commit, a deferred trigger or a held cursor's query, fires as the
 * session's role.  What that left behind in the session's settings is reset
 * before anything else is done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "bookkeeping/owner.h"
#include "pg/compat.h"
#include "pg/pins.h"
#include "process/worker.h"

#define LOCK_TIMEOUT		"1s"
#define REPORT_INTERVAL		60000	/* ms */

void
fluct_worker_unblock(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

void
fluct_worker_describe(BackgroundWorker *worker, const char *function,
					  const char *type)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "fluct", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
}

void
fluct_worker_pin_settings(void)
{
	static const char *const pins[][2] = {
		{"role", "none"},
		{"search_path", "pg_catalog, pg_temp"},
		{"statement_timeout", "0"},
		{"transaction_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"row_security", "on"},
		{"session_replication_role", "origin"},
		{"default_tablespace", ""},
		{"check_function_bodies", "on"},
		{"restrict_nonsystem_relation_kind", ""},
		{"exit_on_error", "off"},
		{"jit", "off"},
	};

	/* not every version has every one of them */
	for (int i = 0; i < lengthof(pins); i++)
		if (GetConfigOption(pins[i][0], true, false))
			SetConfigOption(pins[i][0], pins[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	fluct_pins_set();
}

void
fluct_worker_connect(Oid database, Oid role)
{
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);
	fluct_worker_pin_settings();
}

/* Where the caller of fluct_worker_begin was; the commit goes back there. */
static MemoryContext outside = NULL;

/* Without the extension there is no bookkeeping, and nothing to be gained. */
static void
become_bookkeeper(void)
{
	Oid			owner = fluct_owner_of_extension();

	if (OidIsValid(owner))
		SetUserIdAndSecContext(owner, SECURITY_LOCAL_USERID_CHANGE);
}

/* What code that fired at the commit has set. */
static void
forget_settings(void)
{
	ResetAllOptions();
	if (GetUserId() != GetSessionUserId())
		SetConfigOption("role", "none", PGC_SUSET, PGC_S_SESSION);
}

void
fluct_worker_begin(void)
{
	outside = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	become_bookkeeper();
}

void
fluct_worker_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	SetUserIdAndSecContext(GetSessionUserId(), 0);
	CommitTransactionCommand();
	MemoryContextSwitchTo(outside);
	forget_settings();
	pgstat_report_stat(true);
}

long
fluct_worker_ms_since(TimestampTz then)
{
	TimestampTz now = GetCurrentTimestamp();

	return now < then ? INT_MAX : TimestampDifferenceMilliseconds(then, now);
}

void
fluct_worker_limit_locks(void)
{
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
}

/* What comes of LOCK_TIMEOUT; now and then, since it comes again and again. */
static void
report_lock(void)
{
	static TimestampTz reported = 0;

	if (fluct_worker_ms_since(reported) < REPORT_INTERVAL)
		return;
	reported = GetCurrentTimestamp();
	ereport(LOG,
			(errmsg("%s did not get a lock within " LOCK_TIMEOUT ", and leaves it for later",
					MyBgworkerEntry->bgw_name),
			 errhint("pg_locks shows who holds locks on the tables of schema fluct, and on the partitioned ones of schema sales.")));
}

void
fluct_worker_report_error(MemoryContext context)
{
	bool		locked = geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE;

	if (!locked)
		EmitErrorReport();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
	if (locked)
		report_lock();
}

void
fluct_worker_serve(void)
{
	CHECK_FOR_INTERRUPTS();
	if (!PostmasterIsAlive())
		proc_exit(1);
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
fluct_worker_wait(int socket, long timeout)
{
	static uint32 wait_event = 0;
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	if (wait_event == 0)
		wait_event = fluct_compat_wait_event("FluctMain");
	if (timeout >= 0)
		events |= WL_TIMEOUT;
	if (socket != PGINVALID_SOCKET)
		events |= WL_SOCKET_READABLE;
	(void) WaitLatchOrSocket(MyLatch, events, socket, timeout, wait_event);
	ResetLatch(MyLatch);
	fluct_worker_serve();
}
