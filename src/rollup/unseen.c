/*-------------------------------------------------------------------------
 *
 * unseen.c
 *	  What the rollup's triggers do not see.
 *
 * A trigger that is disabled or gone books nothing, and one on a table that is
 * partitioned, or inherits or is inherited, does not fire for rows that come and
 * go by another table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "rollup/statement.h"
#include "rollup/unseen.h"

static int
event_type(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_INSERT(event))
		return TRIGGER_TYPE_INSERT;
	return TRIGGER_FIRED_BY_UPDATE(event) ? TRIGGER_TYPE_UPDATE :
		TRIGGER_TYPE_DELETE;
}

/*
 * Whether an AFTER trigger of ours follows, which ends what is begun: one that
 * is disabled, or gone, books nothing.
 */
bool
fluct_unseen_is_booked(const TriggerData *data)
{
	const TriggerDesc *desc = data->tg_relation->trigdesc;
	bool		is_replica = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
	char		own = is_replica ? TRIGGER_FIRES_ON_REPLICA : TRIGGER_FIRES_ON_ORIGIN;
	Oid			schema = get_func_namespace(data->tg_trigger->tgfoid);

	for (int i = 0; i < desc->numtriggers; i++)
	{
		const Trigger *other = &desc->triggers[i];
		const char *name;

		if ((other->tgenabled != own &&
			 other->tgenabled != TRIGGER_FIRES_ALWAYS) ||
			TRIGGER_FOR_ROW(other->tgtype) || !TRIGGER_FOR_AFTER(other->tgtype) ||
			(other->tgtype & event_type(data->tg_event)) == 0 ||
			get_func_namespace(other->tgfoid) != schema)
			continue;
		name = get_func_name(other->tgfoid);
		if (strcmp(name, "_rollup_orders") == 0 ||
			strcmp(name, "_rollup_industries") == 0)
			return true;
	}
	return false;
}

/*
 * Whether rows may come and go by another table: a statement on a partition or
 * an inheritor fires its own triggers alone, one on the parent those of the
 * parent.  fluct._rollup_obstacle() knows while it is so, a mark what came of it.
 */
static bool
has_relatives(Relation relation)
{
	return relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		has_superclass(RelationGetRelid(relation)) ||
		(relation->rd_rel->relhassubclass &&
		 find_inheritance_children(RelationGetRelid(relation), NoLock) != NIL);
}

static void
mark_invalid(bool is_orders)
{
	static void *plans[2];

	fluct_statement_run(&plans[is_orders],
						is_orders ?
						"UPDATE sales.rollup_state SET valid = false,"
						" reason = 'sales.orders was partitioned, or inherited' WHERE valid" :
						"UPDATE sales.rollup_state SET valid = false,"
						" reason = 'sales.customer_industries was partitioned, or inherited' WHERE valid");
}

void
fluct_unseen_note(Relation relation, bool is_orders)
{
	if (has_relatives(relation))
		mark_invalid(is_orders);
}
