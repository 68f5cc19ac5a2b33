/*-------------------------------------------------------------------------
 *
 * model.c
 *	  The tables that fluct.create_tables() makes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/model.h"

Oid
fluct_model_find(const char *name)
{
	Oid			schema = get_namespace_oid("sales", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/* The owner of schema sales; InvalidOid where there is none. */
static Oid
schema_owner(void)
{
	Oid			schema = get_namespace_oid("sales", true);
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

Oid
fluct_model_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(RELOID,
										ObjectIdGetDatum(fluct_model_find("orders")));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return schema_owner();
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}
