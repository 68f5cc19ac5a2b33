/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Live state of the workers in shared memory, and how to wake them.
 *
 * What must survive is in tables; here is only what a running process says
 * about itself, and the latches.  After a crash all of it starts empty.
 *
 * A slot belongs to the launcher from reserve to free; the worker in between
 * only fills it.  If a worker dies, its slot remains, and the launcher, which
 * is notified of its end, frees it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "base/text.h"
#include "process/shmem.h"

FluctShared *fluct_shared = NULL;

/* ----- shared memory, for any module ----- */

#define MOST_AREAS	4

static struct
{
	const char *name;
	Size		size;
	FluctShmemAttach attach;
}			areas[MOST_AREAS];

static int	nareas = 0;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	for (int i = 0; i < nareas; i++)
	{
		RequestAddinShmemSpace(MAXALIGN(areas[i].size));
		RequestNamedLWLockTranche(areas[i].name, 1);
	}
}

static void
startup(void)
{
	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < nareas; i++)
	{
		bool		found;
		void	   *memory = ShmemInitStruct(areas[i].name, areas[i].size,
											 &found);

		if (!found)
			memset(memory, 0, areas[i].size);
		areas[i].attach(memory,
						&(GetNamedLWLockTranche(areas[i].name))->lock, found);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
fluct_shmem_register(const char *name, Size size, FluctShmemAttach attach)
{
	if (nareas == 0)
	{
		previous_request_hook = shmem_request_hook;
		shmem_request_hook = request;
		previous_startup_hook = shmem_startup_hook;
		shmem_startup_hook = startup;
	}
	if (nareas == MOST_AREAS)
		elog(ERROR, "too many areas of shared memory");
	areas[nareas].name = name;
	areas[nareas].size = size;
	areas[nareas++].attach = attach;
}

/* ----- the workers' area, and waking ----- */

static void
begin_empty(LWLock *lock)
{
	fluct_shared->lock = lock;
	pg_atomic_init_u64(&fluct_shared->changes, 0);
	pg_atomic_init_u32(&fluct_shared->missing, 0);
	ConditionVariableInit(&fluct_shared->progress);
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];

		pg_atomic_init_u64(&slot->alive_at, 0);
		pg_atomic_init_u64(&slot->lag, 0);
		pg_atomic_init_u64(&slot->rate, 0);
		pg_atomic_init_u64(&slot->sync_wanted, 0);
		pg_atomic_init_u64(&slot->sync_done, 0);
	}
}

static void
attach_shared(void *memory, LWLock *lock, bool found)
{
	fluct_shared = memory;
	if (!found)
		begin_empty(lock);
}

void
fluct_shmem_wake_launchers(void)
{
	if (fluct_shared == NULL)
		return;
	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	for (int i = 0; i < FLUCT_MAX_LAUNCHERS; i++)
		if (fluct_shared->launchers[i].proc)
			SetLatch(&fluct_shared->launchers[i].proc->procLatch);
	LWLockRelease(fluct_shared->lock);
}

void
fluct_shmem_wake_all(void)
{
	pg_atomic_fetch_add_u64(&fluct_shared->changes, 1);
	fluct_shmem_wake_launchers();
	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
		if (fluct_shared->slots[i].proc)
			SetLatch(&fluct_shared->slots[i].proc->procLatch);
	LWLockRelease(fluct_shared->lock);
}

void
fluct_shmem_init(void)
{
	fluct_shmem_register("fluct", sizeof(FluctShared), attach_shared);
}

FluctSlot *
fluct_shmem_privately(const char *stream)
{
	LWLock	   *lock = MemoryContextAllocZero(TopMemoryContext, sizeof(LWLock));
	FluctSlot  *slot;

	LWLockInitialize(lock, LWTRANCHE_FIRST_USER_DEFINED);
	fluct_shared = MemoryContextAllocZero(TopMemoryContext,
										  sizeof(FluctShared));
	begin_empty(lock);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = fluct_shmem_reserve(MyDatabaseId, stream, 0, GetSessionUserId());
	LWLockRelease(lock);
	return slot;
}

/* ----- slots ----- */

static bool
is_of(const FluctSlot *slot, Oid database, const char *stream)
{
	return slot->database == database && strcmp(slot->stream, stream) == 0;
}

/* The slot of that worker, or NULL.  The caller holds the lock. */
FluctSlot *
fluct_shmem_find(Oid database, const char *stream, int worker)
{
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];

		if (slot->in_use && slot->worker == worker &&
			is_of(slot, database, stream))
			return slot;
	}
	return NULL;
}

/* A free slot, the one of the worker's predecessor if that is free. */
static FluctSlot *
find_free(Oid database, const char *stream, int worker)
{
	FluctSlot  *found = NULL;

	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];

		if (slot->in_use)
			continue;
		if (is_of(slot, database, stream) && slot->worker == worker)
			return slot;
		if (found == NULL)
			found = slot;
	}
	if (found)
	{
		memset(found->logged_at, 0, sizeof(found->logged_at));
		found->untold = false;
	}
	return found;
}

/* Takes a free slot; NULL when there is none.  The caller holds the lock. */
FluctSlot *
fluct_shmem_reserve(Oid database, const char *stream, int worker, Oid owner)
{
	FluctSlot  *slot = find_free(database, stream, worker);

	if (slot == NULL)
		return NULL;
	slot->in_use = true;
	slot->ticket++;
	slot->database = database;
	strlcpy(slot->stream, stream, NAMEDATALEN);
	slot->worker = worker;
	slot->owner = owner;
	slot->connected = false;
	slot->proc = NULL;
	slot->pid = 0;
	strlcpy(slot->state, "starting", FLUCT_STATE_LEN);
	slot->reason[0] = slot->detail[0] = '\0';
	slot->since = GetCurrentTimestamp();
	slot->held_at = 0;
	slot->version = 0;
	fluct_shmem_note_alive(slot);
	pg_atomic_write_u64(&slot->lag, 0);
	pg_atomic_write_u64(&slot->rate, 0);
	pg_atomic_write_u64(&slot->sync_wanted, 0);
	pg_atomic_write_u64(&slot->sync_done, 0);
	return slot;
}

void
fluct_shmem_free(FluctSlot *slot)
{
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	slot->in_use = false;
	slot->proc = NULL;
	slot->pid = 0;
	LWLockRelease(fluct_shared->lock);
	fluct_shmem_wake_launchers();
}

static void
detach(int code, Datum arg)
{
	FluctSlot  *slot = (FluctSlot *) DatumGetPointer(arg);

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	if (slot->proc == MyProc)
	{
		slot->proc = NULL;
		slot->pid = 0;
	}
	LWLockRelease(fluct_shared->lock);
	ConditionVariableBroadcast(&fluct_shared->progress);
	fluct_shmem_wake_launchers();
}

Datum
fluct_shmem_ticket(const FluctSlot *slot)
{
	return UInt32GetDatum(slot->ticket * FLUCT_MAX_SLOTS +
						  (uint32) (slot - fluct_shared->slots));
}

/*
 * A launcher that has just begun frees a slot without a process, which may be
 * about to start.
 */
FluctSlot *
fluct_shmem_attach(Datum ticket)
{
	FluctSlot  *slot = &fluct_shared->slots[DatumGetUInt32(ticket) %
											FLUCT_MAX_SLOTS];
	bool		mine;

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	mine = slot->in_use && slot->proc == NULL &&
		fluct_shmem_ticket(slot) == ticket;
	if (mine)
	{
		slot->proc = MyProc;
		slot->pid = MyProcPid;
	}
	LWLockRelease(fluct_shared->lock);
	if (!mine)
		return NULL;
	before_shmem_exit(detach, PointerGetDatum(slot));
	return slot;
}

void
fluct_shmem_set_served(FluctSlot *slot, int version, TimestampTz created_at)
{
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	slot->version = version;
	slot->created_at = created_at;
	LWLockRelease(fluct_shared->lock);
}

/* `since` moves only when the state or its reason changes. */
void
fluct_shmem_set_state(FluctSlot *slot, const char *state, const char *reason,
					  const char *detail)
{
	reason = reason ? reason : "";
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	if (strcmp(slot->state, state) != 0 || strcmp(slot->reason, reason) != 0)
		slot->since = GetCurrentTimestamp();
	strlcpy(slot->state, state, FLUCT_STATE_LEN);
	strlcpy(slot->reason, reason, FLUCT_STATE_LEN);
	fluct_text_printable(slot->detail, FLUCT_LIVE_DETAIL_LEN, detail ? detail : "");
	LWLockRelease(fluct_shared->lock);
	ConditionVariableBroadcast(&fluct_shared->progress);
}

bool
fluct_shmem_set_detail(FluctSlot *slot, const char *reason, const char *detail)
{
	bool		is_so;

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	is_so = slot->in_use && strcmp(slot->reason, reason) == 0;
	if (is_so)
		strlcpy(slot->detail, detail, FLUCT_LIVE_DETAIL_LEN);
	LWLockRelease(fluct_shared->lock);
	return is_so;
}

void
fluct_shmem_say_missing(int count)
{
	static int	said = 0;

	pg_atomic_fetch_add_u32(&fluct_shared->missing, count - said);
	said = count;
}

int
fluct_shmem_missing(void)
{
	return fluct_shared ? (int) pg_atomic_read_u32(&fluct_shared->missing) : 0;
}

void
fluct_shmem_note_alive(FluctSlot *slot)
{
	pg_atomic_write_u64(&slot->alive_at, (uint64) GetCurrentTimestamp());
}

/*
 * The detail names what the process waits for, since it cannot do so itself.
 */
bool
fluct_shmem_say_stuck(FluctSlot *slot, long ms)
{
	TimestampTz alive_at;
	bool		stuck;

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	alive_at = (TimestampTz) pg_atomic_read_u64(&slot->alive_at);
	stuck = slot->in_use && slot->proc &&
		(strcmp(slot->state, "running") == 0 ||
		 strcmp(slot->state, "starting") == 0) &&
		strcmp(slot->reason, "stalled") != 0 &&
		TimestampDifferenceExceeds(alive_at, GetCurrentTimestamp(), ms);
	if (stuck)
	{
		const char *event = pgstat_get_wait_event(slot->proc->wait_event_info);

		strlcpy(slot->state, "running", FLUCT_STATE_LEN);
		strlcpy(slot->reason, "stalled", FLUCT_STATE_LEN);
		snprintf(slot->detail, FLUCT_LIVE_DETAIL_LEN,
				 "pid %d has given no sign of life since %s; it is %s%s",
				 (int) slot->pid, timestamptz_to_str(alive_at),
				 event ? "waiting for " : "computing", event ? event : "");
		slot->since = GetCurrentTimestamp();
	}
	LWLockRelease(fluct_shared->lock);
	return stuck;
}

/* A stream's lines are those of all its workers, including former ones. */
bool
fluct_shmem_may_log(FluctSlot *slot)
{
	TimestampTz now = GetCurrentTimestamp();
	int			lines = 0;

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		const FluctSlot *other = &fluct_shared->slots[i];

		if (!is_of(other, slot->database, slot->stream))
			continue;
		for (int j = 0; j < FLUCT_LINES_PER_MINUTE; j++)
			if (other->logged_at[j] > now - USECS_PER_MINUTE &&
				other->logged_at[j] <= now)
				lines++;
	}
	if (lines < FLUCT_LINES_PER_MINUTE)
	{
		memmove(&slot->logged_at[1], &slot->logged_at[0],
				sizeof(slot->logged_at) - sizeof(slot->logged_at[0]));
		slot->logged_at[0] = now;
	}
	LWLockRelease(fluct_shared->lock);
	return lines < FLUCT_LINES_PER_MINUTE;
}
