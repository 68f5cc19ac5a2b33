/*-------------------------------------------------------------------------
 *
 * model.c
 *	  The tables that fluct.create_tables() makes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "utils/lsyscache.h"

#include "pg/model.h"

Oid
fluct_model_find(const char *name)
{
	Oid			schema = get_namespace_oid("sales", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}
