/*-------------------------------------------------------------------------
 *
 * relation.c
 *	  Relations by OID or name, which may be gone.
 *
 * A regclass may be any number, and a table may be dropped between its name
 * and its lock: for the core an internal error, here one that says what it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "pg/relation.h"

static void
refuse(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", relid)));
}

Oid
fluct_relation_find(const char *name, bool missing_ok)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));

	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, missing_ok);
}

Relation
fluct_relation_open(Oid relid, LOCKMODE lockmode)
{
	Relation	rel = try_relation_open(relid, lockmode);

	if (rel == NULL)
		refuse(relid);
	return rel;
}

char *
fluct_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		refuse(relid);
	return name;
}
