/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  fluct's own locks, which nobody else can take.
 *
 * They are advisory locks in classes of their own.  pg_advisory_lock() and its
 * kin reach classes 1 and 2 only, so no other role can hold one up with a key
 * that it guesses; and the SQL functions here are for the extension's owner
 * alone, so what takes a lock for a role has checked what that role may do.
 *
 * Each is held until the end of the transaction.  At session level,
 * pg_advisory_unlock_all() in a trigger of anybody's would release it.  Work
 * of several transactions takes it again in each of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/lock.h"

PG_FUNCTION_INFO_V1(fluct_sql_lock);
PG_FUNCTION_INFO_V1(fluct_sql_lock_shared);
PG_FUNCTION_INFO_V1(fluct_sql_try_lock);

static bool
acquire(FluctLockClass class, uint32 high, uint32 low, LOCKMODE mode, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, high, low, class);
	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

static bool
acquire_key(FluctLockClass class, const char *key, LOCKMODE mode, bool wait)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) key,
										   strlen(key), 0);

	return acquire(class, (uint32) (hash >> 32), (uint32) hash, mode, wait);
}

void
fluct_lock(FluctLockClass class, const char *key)
{
	(void) acquire_key(class, key, ExclusiveLock, true);
}

bool
fluct_lock_try(FluctLockClass class, const char *key)
{
	return acquire_key(class, key, ExclusiveLock, false);
}

bool
fluct_lock_try_pair(FluctLockClass class, uint32 high, uint32 low)
{
	return acquire(class, high, low, ExclusiveLock, false);
}

static LOCKTAG
place_tag(Oid role, int place)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, InvalidOid, role, place, FLUCT_LOCK_PLACE);
	return tag;
}

bool
fluct_lock_try_place(Oid role, int place)
{
	LOCKTAG		tag = place_tag(role, place);

	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
fluct_lock_leave_place(Oid role, int place)
{
	LOCKTAG		tag = place_tag(role, place);

	LockRelease(&tag, ExclusiveLock, false);
}

/* ----- for SQL ----- */

static FluctLockClass
class_argument(FunctionCallInfo fcinfo)
{
	static const struct
	{
		const char *name;
		FluctLockClass class;
	}			classes[] = {
		{"directory", FLUCT_LOCK_DIRECTORY},
		{"inbox", FLUCT_LOCK_INBOX},
		{"load", FLUCT_LOCK_LOAD},
		{"positions", FLUCT_LOCK_POSITIONS},
		{"report", FLUCT_LOCK_REPORT},
		{"run", FLUCT_LOCK_RUN},
		{"stream", FLUCT_LOCK_STREAM},
		{"tables", FLUCT_LOCK_TABLES},
	};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (int i = 0; i < lengthof(classes); i++)
		if (strcmp(classes[i].name, name) == 0)
			return classes[i].class;
	elog(ERROR, "unknown class of locks: %s", name);
}

static bool
lock_arguments(FunctionCallInfo fcinfo, LOCKMODE mode, bool wait)
{
	return acquire_key(class_argument(fcinfo),
					   text_to_cstring(PG_GETARG_TEXT_PP(1)), mode, wait);
}

/* fluct._lock(class text, key text): waits */
Datum
fluct_sql_lock(PG_FUNCTION_ARGS)
{
	(void) lock_arguments(fcinfo, ExclusiveLock, true);
	PG_RETURN_VOID();
}

/* fluct._lock_shared(class text, key text): waits for those who do not share */
Datum
fluct_sql_lock_shared(PG_FUNCTION_ARGS)
{
	(void) lock_arguments(fcinfo, ShareLock, true);
	PG_RETURN_VOID();
}

/* fluct._try_lock(class text, key text): false when somebody else has it */
Datum
fluct_sql_try_lock(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(lock_arguments(fcinfo, ExclusiveLock, false));
}
