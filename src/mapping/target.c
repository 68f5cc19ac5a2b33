/*-------------------------------------------------------------------------
 *
 * target.c
 *	  Which tables can be targets, and the mapping of one that has none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "mapping/decode.h"
#include "mapping/target.h"

PG_FUNCTION_INFO_V1(fluct_check_mapping);
PG_FUNCTION_INFO_V1(fluct_derive_mapping);

static void
check_foreign_partitions(const FluctTarget *t)
{
	ListCell   *lc;

	if (get_rel_relkind(t->relid) != RELKIND_PARTITIONED_TABLE)
		return;
	foreach(lc, find_all_inheritors(t->relid, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s cannot be the target of a stream", t->name),
				 errdetail("Its partition %s is a foreign table, which commits on its own.",
						   get_rel_name(lfirst_oid(lc)))));
}

static void
check_deferred(const FluctTarget *t, Relation rel)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tginitdeferred)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s has the initially deferred %s \"%s\"", t->name,
							OidIsValid(trigger->tgconstraint) ? "constraint" : "trigger",
							OidIsValid(trigger->tgconstraint) ?
							get_constraint_name(trigger->tgconstraint) : trigger->tgname),
					 errdetail("A stream writes in a security-restricted operation, which allows none.")));
	}
}

void
fluct_target_check_targets(const FluctMapping *mapping)
{
	for (int i = 0; i < mapping->ntargets; i++)
	{
		const FluctTarget *t = &mapping->targets[i];
		Relation	rel = relation_open(t->relid, AccessShareLock);

		check_foreign_partitions(t);
		check_deferred(t, rel);
		relation_close(rel, AccessShareLock);
	}
}

void
fluct_target_check_owner(const FluctMapping *mapping, Oid owner)
{
	for (int i = 0; i < mapping->ntargets; i++)
	{
		const FluctTarget *t = &mapping->targets[i];
		Relation	rel = relation_open(t->relid, AccessShareLock);

		if (superuser_arg(owner) && !superuser_arg(rel->rd_rel->relowner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("a stream of the superuser %s cannot write to %s",
							GetUserNameFromId(owner, false), t->name),
					 errdetail("Its owner %s is not a superuser, and could run code as one through it.",
							   GetUserNameFromId(rel->rd_rel->relowner, false)),
					 errhint("Create the stream as the owner of the table.")));
		relation_close(rel, AccessShareLock);
	}
}

/* ----- the mapping of a table without one ----- */

Jsonb *
fluct_target_derive(Oid target)
{
	Relation	rel = relation_open(target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData text;
	bool		extra = false;
	const char *separator = "";

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"columns\": {");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		StringInfoData path;

		if (att->attisdropped || att->attgenerated ||
			att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			continue;
		if (att->atttypid == JSONBOID &&
			strcmp(NameStr(att->attname), "extra") == 0)
		{
			extra = true;
			continue;
		}
		initStringInfo(&path);
		appendStringInfoString(&path, "$[");
		escape_json(&path, NameStr(att->attname));
		appendStringInfoChar(&path, ']');
		if (NameStr(att->attname)[strspn(NameStr(att->attname),
										 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0')
		{
			resetStringInfo(&path);
			appendStringInfo(&path, "$.%s", NameStr(att->attname));
		}
		appendStringInfoString(&text, separator);
		escape_json(&text, NameStr(att->attname));
		appendStringInfoString(&text, ": ");
		escape_json(&text, path.data);
		separator = ", ";
	}
	appendStringInfoString(&text, extra ? "}, \"extra\": \"extra\"}" : "}}");
	relation_close(rel, AccessShareLock);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(text.data)));
}

/* ----- what SQL calls ----- */

/*
 * _check_mapping(target regclass, mapping jsonb, on_conflict text, owner oid):
 * the names of all tables that the mapping writes to, or an error.
 */
Datum
fluct_check_mapping(PG_FUNCTION_ARGS)
{
	FluctMapping *mapping;
	Datum	   *names;

	mapping = fluct_mapping_compile(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1),
									text_to_cstring(PG_GETARG_TEXT_PP(2)),
									CurrentMemoryContext);
	fluct_decode_check_fallbacks(mapping);
	fluct_target_check_targets(mapping);
	fluct_target_check_owner(mapping, PG_GETARG_OID(3));
	names = palloc(sizeof(Datum) * mapping->ntargets);
	for (int t = 0; t < mapping->ntargets; t++)
		names[t] = CStringGetTextDatum(mapping->targets[t].name);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, mapping->ntargets, TEXTOID,
										  -1, false, TYPALIGN_INT));
}

Datum
fluct_derive_mapping(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(fluct_target_derive(PG_GETARG_OID(0)));
}
