/*-------------------------------------------------------------------------
 *
 * flush.c
 *	  When a batch that is committed is on disk.
 *
 * A commit ends with a wait: its WAL is written and flushed, and the worker
 * has nothing to do meanwhile, though the messages of the next batch are in
 * hand.  So a batch that another one follows at once commits as with
 * synchronous_commit = off: its commit record is in WAL's buffers and its rows
 * are visible, and the WAL writer, which such a commit wakes, flushes it while
 * the next batch is decoded and written.  Before that one commits, this one is
 * on disk; and when no further one is in hand, it is flushed at once.
 *
 * Exactly once, still.  Rows, dead letters, rollup and offsets of a batch are
 * one transaction, so they are in WAL all or not at all, and a crash takes them
 * back together: the offsets say what is in the tables, and the next worker
 * reads from there what was taken back.  WAL is a sequence, so nothing
 * that was committed later, by whomever, survives without the batch: a session
 * that sees its rows and commits what it made of them has it flushed by that.
 *
 * At most one batch is visible and not on disk, by the order above; of each
 * worker, since each has its own.  The WAL writer bounds the time as well, by
 * three times wal_writer_delay.
 *
 * What others are told of a batch otherwise than by its rows (the group's
 * offsets at Kafka, the end of wait_for_stream and run_stream, lag and batches
 * in shared memory) waits for the flush (stream/durable.c), and so does the
 * end of the process, which pause_stream and seek_stream wait for.
 *
 * Where not.  Who set synchronous_commit for the role that owns the stream to
 * something else means that; standbys that a commit waits for confirm what was
 * flushed, so they would be asked a batch late; and without fsync there is
 * nothing to wait for.  All of that is looked at when the transaction is about
 * to commit, after deferred triggers: they see the settings as they are, and
 * what they set themselves holds.
 *
 * Nor where another extension stores rows on other nodes (sink.c): these make
 * their part permanent as soon as this server has committed, so a crash would
 * take back the offsets alone.  There, synchronous_commit = off waits as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "process/worker.h"
#include "sink/flush.h"

static bool batch_commits = false;	/* in fluct_flush_commit */
static bool more_follows = false;

/* Where WAL ends with the batch that may not be on disk; 0 = there is none. */
static XLogRecPtr pending = InvalidXLogRecPtr;

static bool
may_wait(void)
{
	if (!enableFsync)
		return false;
	if (synchronous_commit == SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		return true;
	return synchronous_commit == SYNCHRONOUS_COMMIT_ON &&
		!(SyncRepRequested() && SyncRepStandbyNames && SyncRepStandbyNames[0]);
}

/* The batch is about to commit. */
static void
before_commit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT || !batch_commits)
		return;
	fluct_flush_finish();
	more_follows = more_follows && may_wait();
	if (more_follows)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
}

static void
finish_at_exit(int code, Datum arg)
{
	fluct_flush_finish();
}

/* Before the process gives up its slot, which is registered before this. */
static void
begin_once(void)
{
	static bool begun = false;

	if (begun)
		return;
	RegisterXactCallback(before_commit, NULL);
	before_shmem_exit(finish_at_exit, (Datum) 0);
	begun = true;
}

void
fluct_flush_commit(bool more)
{
	begin_once();
	batch_commits = true;
	more_follows = more;
	PG_TRY();
	{
		fluct_worker_commit();
	}
	PG_FINALLY();
	{
		batch_commits = false;
	}
	PG_END_TRY();
	if (more_follows)
		pending = XactLastCommitEnd;
}

bool
fluct_flush_is_pending(void)
{
	return pending != InvalidXLogRecPtr;
}

void
fluct_flush_finish(void)
{
	if (pending != InvalidXLogRecPtr)
		XLogFlush(pending);
	pending = InvalidXLogRecPtr;
}
