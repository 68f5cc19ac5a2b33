/*-------------------------------------------------------------------------
 *
 * relations.c
 *	  The relations in which a stream's rows may end.
 *
 * What the name of a target stands for may be more than one table: partitions
 * and inheritors, the table below a view, the table that a rule names.  Each
 * of them must be one that commits with the offsets and survives a crash as
 * they do; and none may defer to the commit what a security-restricted
 * operation cannot defer.
 *
 * Everything is read from the catalogs.  With a lock on each partition a stream
 * would wait for the rewrite of a partition to which it writes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/parsenodes.h"
#include "parser/parsetree.h"
#include "rewrite/prs2lock.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "mapping/relations.h"
#include "pg/relation.h"

/* One target, and what has been looked at. */
typedef struct Look
{
	const FluctTarget *target;	/* NULL for the raw copy */
	const char *name;
	bool		temporary;		/* one of this session is taken */
	List	   *seen;			/* OIDs */
} Look;

static void look_at(Look *look, Oid relid, int events, bool named,
					const char *subject);

/* ----- one table ----- */

static void
refuse(const Look *look, const char *subject, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("%s cannot be the target of a stream", look->name),
			 errdetail("%s %s.", subject, why)));
}

static void
check_storage(const Look *look, const FormData_pg_class *rel,
			  const char *subject)
{
	if (rel->relkind == RELKIND_FOREIGN_TABLE)
		refuse(look, subject, "is a foreign table, which commits on its own");
	if (rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		refuse(look, subject,
			   "is unlogged: a crash empties it, and the offsets stay");
	if (rel->relpersistence == RELPERSISTENCE_TEMP &&
		!(look->temporary && isTempNamespace(rel->relnamespace)))
		refuse(look, subject, "is temporary, and ends with its session");
}

/*
 * Whether the update of an existing row changes one of the columns that the
 * foreign key references.
 */
static bool
updates_referenced(const Look *look, Oid relid, Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	bool		found = false;
	bool		null = true;
	Datum		confkey = (Datum) 0;

	if (HeapTupleIsValid(tuple))
		confkey = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_confkey,
								  &null);
	if (!null)
	{
		ArrayType  *array = DatumGetArrayTypeP(confkey);
		int16	   *columns = (int16 *) ARR_DATA_PTR(array);

		for (int i = 0; i < ARR_DIMS(array)[0]; i++)
			for (int c = 0; c < look->target->ncolumns; c++)
				found |= !look->target->columns[c].key &&
					strcmp(look->target->columns[c].name,
						   get_attname(relid, columns[i], false)) == 0;
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return found;
}

/* Whether a batch can queue an event of the trigger for the commit. */
static bool
defers(const Look *look, const FormData_pg_trigger *trigger, int events)
{
	int			fired = trigger->tgtype & events;

	if (!trigger->tginitdeferred || fired == 0 ||
		(trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN &&
		 trigger->tgenabled != TRIGGER_FIRES_ALWAYS))
		return false;
	if (RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_PK &&
		fired == TRIGGER_TYPE_UPDATE)
		return look->target &&
			updates_referenced(look, trigger->tgrelid, trigger->tgconstraint);
	return true;
}

static void
refuse_deferred(const Look *look, const FormData_pg_trigger *trigger)
{
	bool		constraint = OidIsValid(trigger->tgconstraint);

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s has the initially deferred %s \"%s\"", look->name,
					constraint ? "constraint" : "trigger",
					constraint ? get_constraint_name(trigger->tgconstraint) :
					NameStr(trigger->tgname)),
			 errdetail("A stream writes in a security-restricted operation, which allows none.")));
}

static void
check_deferred(const Look *look, Oid relid, int events)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		if (defers(look, trigger, events))
			refuse_deferred(look, trigger);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
}

/* ----- what a table leads to ----- */

static void
look_below(Look *look, Oid relid, const FormData_pg_class *rel, int events)
{
	bool		partitioned = rel->relkind == RELKIND_PARTITIONED_TABLE;
	ListCell   *lc;

	/* only a partition gets the rows that are inserted into what is above */
	if (!partitioned)
		events &= ~TRIGGER_TYPE_INSERT;
	foreach(lc, find_inheritance_children(relid, NoLock))
		look_at(look, lfirst_oid(lc), events, false,
				psprintf("Its %s %s", partitioned ? "partition" : "inheritor",
						 get_rel_name(lfirst_oid(lc))));
}

/* The tables of a FROM clause, those in subqueries too. */
static void
look_at_from(Look *look, Oid view, const Query *query, int events)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_SUBQUERY)
			look_at_from(look, view, rte->subquery, events);
		else if (rte->rtekind == RTE_RELATION && rte->relid != view)
			look_at(look, rte->relid, events, true,
					psprintf("Its rows end in %s, which",
							 get_rel_name(rte->relid)));
	}
}

/* Views are rules as well; a rule of another event names where rows go. */
static void
look_at_rules(Look *look, Oid relid, int events)
{
	Relation	rel = fluct_relation_open(relid, AccessShareLock);

	for (int i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
	{
		RewriteRule *rule = rel->rd_rules->rules[i];
		ListCell   *lc;

		foreach(lc, rule->actions)
		{
			Query	   *query = lfirst_node(Query, lc);
			Oid			target;

			if (rule->event == CMD_SELECT)
				look_at_from(look, relid, query, events);
			if (rule->event == CMD_SELECT || query->resultRelation == 0)
				continue;
			target = rt_fetch(query->resultRelation, query->rtable)->relid;
			look_at(look, target, events, true,
					psprintf("Its rule writes to %s, which",
							 get_rel_name(target)));
		}
	}
	relation_close(rel, AccessShareLock);
}

/* `named` by the mapping, a view or a rule: there, rules apply. */
static void
look_at(Look *look, Oid relid, int events, bool named, const char *subject)
{
	HeapTuple	tuple;
	FormData_pg_class rel;

	if (list_member_oid(look->seen, relid))
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return;					/* dropped meanwhile */
	rel = *(Form_pg_class) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	look->seen = lappend_oid(look->seen, relid);
	check_storage(look, &rel, subject);
	if (rel.relhastriggers)
		check_deferred(look, relid, events);
	if (rel.relhassubclass || rel.relkind == RELKIND_PARTITIONED_TABLE)
		look_below(look, relid, &rel, events);
	if (named && rel.relhasrules)
		look_at_rules(look, relid, events);
}

List *
fluct_relations_check(const FluctMapping *mapping, bool update, Oid raw,
					  bool temporary)
{
	List	   *all = NIL;

	for (int t = 0; t <= mapping->ntargets; t++)
	{
		Look		look = {0};
		int			events = TRIGGER_TYPE_INSERT;
		Oid			relid = raw;

		if (t == mapping->ntargets && !OidIsValid(raw))
			break;
		look.temporary = temporary;
		look.name = "the raw copy";
		if (t < mapping->ntargets)
		{
			look.target = &mapping->targets[t];
			look.name = look.target->name;
			relid = look.target->relid;
			if (update && t == 0)
				events |= TRIGGER_TYPE_UPDATE;
			if (update && (t > 0 || mapping->deletes))
				events |= TRIGGER_TYPE_DELETE;
		}
		look_at(&look, relid, events, true, "It");
		all = list_concat_unique_oid(all, look.seen);
	}
	list_sort(all, list_oid_cmp);
	return all;
}
