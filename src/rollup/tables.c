/*-------------------------------------------------------------------------
 *
 * tables.c
 *	  The tables of the rollup, and the place of their owner.
 *
 * What all its triggers begin with: the tables, found by name and refused where
 * they are not of one owner; the locks by which the two sides exclude each
 * other (the reasons are in triggers.c); that owner's rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/model.h"
#include "pg/rights.h"
#include "pg/sqlstate.h"
#include "rollup/tables.h"

/* ----- the tables ----- */

static Oid
find_table(const char *name)
{
	Oid			relid = fluct_model_find(name);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table sales.%s does not exist", name),
				 errdetail("The rollup needs it."),
				 errhint("SELECT fluct.create_tables();")));
	return relid;
}

static FormData_pg_class
class_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	FormData_pg_class class;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	class = *(Form_pg_class) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	return class;
}

/*
 * The triggers read and write as the rollup's owner: so only what is that
 * owner's, and what no code of somebody else's stands behind, as behind a
 * view or a partition.
 */
static void
check_table(const FluctRollup *rollup, Oid relid, bool ordinary)
{
	FormData_pg_class class = class_of(relid);

	if (ordinary && class.relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sales.%s is not an ordinary table",
						NameStr(class.relname)),
				 errdetail("The rollup needs it.")));
	if (class.relowner != rollup->owner)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sales.%s and the rollup have different owners",
						NameStr(class.relname)),
				 errdetail("sales.industry_spend, sales.rollup_state, sales.orders and sales.customer_industries belong to one role."),
				 errhint("ALTER TABLE sales.%s OWNER TO %s;",
						 quote_identifier(NameStr(class.relname)),
						 GetUserNameFromId(rollup->owner, true))));
}

/* Code that an earlier owner left there would run as a superuser. */
static void
check_owner(const FluctRollup *rollup)
{
	const char *owner = GetUserNameFromId(rollup->owner, true);

	if (!superuser_arg(rollup->owner) || superuser())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the rollup belongs to a superuser, role \"%s\"", owner),
			 errdetail("Triggers and indexes of its tables would run as a superuser, whoever writes orders."),
			 errhint("ALTER TABLE ... OWNER TO an operator, for each table in schema sales.")));
}

/* Whether a change of the table goes on to customer_industries. */
static bool
is_above(Oid relid)
{
	return relid == find_table("customers") || relid == find_table("industries");
}

FluctRollup
fluct_rollup_find(Oid relid)
{
	FluctRollup rollup;

	rollup.spend = find_table("industry_spend");
	rollup.state = find_table("rollup_state");
	rollup.orders = find_table("orders");
	rollup.industries = find_table("customer_industries");
	rollup.owner = class_of(rollup.spend).relowner;
	if (relid != rollup.orders && relid != rollup.industries &&
		relid != rollup.spend && !is_above(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the rollup's triggers may not serve table %s",
						get_rel_name(relid)),
				 errdetail("They belong on the tables that fluct.create_tables() makes.")));
	check_table(&rollup, relid, false);
	check_table(&rollup, rollup.spend, true);
	check_table(&rollup, rollup.state, true);
	check_table(&rollup, rollup.orders, relid != rollup.orders);
	check_table(&rollup, rollup.industries, relid != rollup.industries);
	check_owner(&rollup);
	return rollup;
}

/* ----- the owner's place ----- */

FluctRights
fluct_rollup_enter(const FluctRollup *rollup)
{
	FluctRights before = fluct_rights_take(rollup->owner);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return before;
}

void
fluct_rollup_leave(FluctRights before)
{
	SPI_finish();
	fluct_rights_give_back(before);
}

/* ----- the exclusion ----- */

void
fluct_rollup_lock_orders_side(const FluctRollup *rollup)
{
	LockRelationOid(rollup->industries, AccessShareLock);
	LockRelationOid(rollup->state, RowExclusiveLock);
}

void
fluct_rollup_lock_industries_side(const FluctRollup *rollup)
{
	LockRelationOid(rollup->orders, AccessShareLock);
	LockRelationOid(rollup->state, ShareRowExclusiveLock);
}

/* ----- whose error it is ----- */

static bool working = false;

bool
fluct_rollup_is_working(void)
{
	return working;
}

Datum
fluct_rollup_work(void (*trigger) (FunctionCallInfo fcinfo),
				  FunctionCallInfo fcinfo)
{
	bool		before = working;

	working = true;
	PG_TRY();
	{
		trigger(fcinfo);
	}
	PG_FINALLY();
	{
		working = before;
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}

/*
 * What the rollup's own tables refuse (a constraint or a trigger that somebody
 * added, a right that is gone) is not the fault of the row that is booked.
 */
void
fluct_rollup_throw(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (fluct_sqlstate_may_pass(error->sqlerrcode))
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("sales.industry_spend cannot be kept: %s", error->message),
			 errdetail("What changes orders and customers' industries waits until it can (SQLSTATE %s).",
					   unpack_sql_state(error->sqlerrcode)),
			 error->hint ? errhint("%s", error->hint) : 0));
}
