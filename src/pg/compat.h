/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every test of PG_VERSION_NUM, as functions, for PostgreSQL 15 to 19.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_COMPAT_H
#define FLUCT_PG_COMPAT_H

#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "common/base64.h"
#include "executor/executor.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/relcache.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "fluct is for PostgreSQL 15 to 19"
#endif

/* Whether the role has the rights of the relation's owner. */
static inline bool
fluct_compat_owns_relation(Oid relid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, role);
#else
	return pg_class_ownercheck(relid, role);
#endif
}

/* A wait event of the extension's own; before 17 they had no names. */
static inline uint32
fluct_compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	(void) name;
	return PG_WAIT_EXTENSION;
#endif
}

/* A set of events to wait for, to be freed by the caller. */
static inline WaitEventSet *
fluct_compat_wait_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(CurrentMemoryContext, nevents);
#endif
}

/* The bytes in base64; from 18 on they are unsigned. */
static inline int
fluct_compat_base64(const char *bytes, int len, char *to, int room)
{
#if PG_VERSION_NUM >= 180000
	return pg_b64_encode((const uint8 *) bytes, len, to, room);
#else
	return pg_b64_encode(bytes, len, to, room);
#endif
}

/* The index of a primary key that is checked at once; or InvalidOid. */
static inline Oid
fluct_compat_primary_key(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

/* Inserts into all indexes; returns the constraints to check later. */
static inline List *
fluct_compat_insert_index_tuples(ResultRelInfo *info, TupleTableSlot *slot,
								 EState *estate)
{
#if PG_VERSION_NUM >= 190000
	return ExecInsertIndexTuples(info, estate, 0, slot, NIL, NULL);
#elif PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL);
#endif
}

/* Before the first use of a descriptor whose columns have been filled in. */
static inline void
fluct_compat_finish_desc(TupleDesc desc)
{
#if PG_VERSION_NUM >= 190000
	TupleDescFinalize(desc);
#else
	(void) desc;
#endif
}

/* From the columns of the table that is named to the partition's, or NULL. */
static inline TupleConversionMap *
fluct_compat_child_map(ResultRelInfo *child, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecGetRootToChildMap(child, estate);
#else
	(void) estate;
	return child->ri_RootToPartitionMap;
#endif
}

/* Whether the role has CONNECT on the database. */
static inline bool
fluct_compat_may_connect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

#endif							/* FLUCT_PG_COMPAT_H */
