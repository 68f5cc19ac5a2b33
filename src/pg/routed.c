/*-------------------------------------------------------------------------
 *
 * routed.c
 *	  Tables whose rows another extension stores elsewhere.
 *
 * Such an extension takes the table's place in the planner: a statement that
 * writes gets a plan of its own.  The relation itself is an empty shell: code
 * that opens it sees no rows, and nobody would look for rows that it stores.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/plannodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/resowner.h"

#include "pg/argument.h"
#include "pg/model.h"
#include "pg/query.h"
#include "pg/relation.h"
#include "pg/rights.h"
#include "pg/routed.h"

PG_FUNCTION_INFO_V1(fluct_is_routed);
PG_FUNCTION_INFO_V1(fluct_routed_among);

/* NULL, where rules make several statements of it, or none. */
static const PlannedStmt *
only_statement(const CachedPlan *cached)
{
	return list_length(cached->stmt_list) == 1 ?
		linitial_node(PlannedStmt, cached->stmt_list) : NULL;
}

NodeTag
fluct_routed_root(SPIPlanPtr plan)
{
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	const PlannedStmt *stmt;
	NodeTag		root = T_Invalid;

	if (cached == NULL)
		return T_Invalid;
	stmt = only_statement(cached);
	if (stmt && stmt->planTree)
		root = nodeTag(stmt->planTree);
	ReleaseCachedPlan(cached, CurrentResourceOwner);
	return root;
}

bool
fluct_routed_is(SPIPlanPtr plan)
{
	NodeTag		root = fluct_routed_root(plan);

	return root != T_Invalid && root != T_ModifyTable;
}

bool
fluct_routed_stays_here(SPIPlanPtr plan)
{
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	const PlannedStmt *stmt;
	bool		here;
	ListCell   *lc;

	if (cached == NULL)
		return false;
	stmt = only_statement(cached);
	here = stmt && stmt->planTree && IsA(stmt->planTree, ModifyTable);
	if (stmt)
		foreach(lc, stmt->subplans)
			here |= lfirst(lc) && IsA(lfirst(lc), ModifyTable);
	ReleaseCachedPlan(cached, CurrentResourceOwner);
	return here;
}

bool
fluct_routed_table(Oid relid)
{
	char	   *name = fluct_relation_name(relid);
	SPIPlanPtr	plan;
	bool		routed;

	plan = fluct_query_prepare(psprintf("INSERT INTO %s DEFAULT VALUES",
										quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name)),
							   0, NULL, 0);
	routed = fluct_routed_is(plan);
	SPI_freeplan(plan);
	return routed;
}

void
fluct_routed_refuse_orders(Oid relid)
{
	if (relid == fluct_model_find("orders") && fluct_routed_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("sales.orders cannot be distributed"),
				 errdetail("Its triggers keep the rollup equal to the orders, and fire where the rows are stored."),
				 errhint("Distribute sales.order_lines and sales.raw_messages, which hold nearly all bytes, and leave sales.orders here.")));
}

/* fluct._is_routed(rel regclass): as the caller, who may write there. */
Datum
fluct_is_routed(PG_FUNCTION_ARGS)
{
	bool		routed;

	SPI_connect();
	routed = fluct_routed_table(PG_GETARG_OID(0));
	SPI_finish();
	PG_RETURN_BOOL(routed);
}

/*
 * fluct._routed_among(relations regclass[], owner oid) RETURNS regclass[]
 *
 * Those whose rows another extension stores elsewhere; planned with the rights
 * of the owner, who may insert there.
 */
Datum
fluct_routed_among(PG_FUNCTION_ARGS)
{
	FluctRights before;
	Datum	   *relids;
	int			n,
				found = 0;

	fluct_argument_require(fcinfo, 0, "relations");
	fluct_argument_require(fcinfo, 1, "owner");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), REGCLASSOID, sizeof(Oid), true,
					  TYPALIGN_INT, &relids, NULL, &n);
	SPI_connect();
	before = fluct_rights_take(PG_GETARG_OID(1));
	for (int i = 0; i < n; i++)
		if (fluct_routed_table(DatumGetObjectId(relids[i])))
			relids[found++] = relids[i];
	fluct_rights_give_back(before);
	SPI_finish();
	PG_RETURN_ARRAYTYPE_P(construct_array(relids, found, REGCLASSOID,
										  sizeof(Oid), true, TYPALIGN_INT));
}
