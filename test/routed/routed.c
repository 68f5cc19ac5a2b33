/*-------------------------------------------------------------------------
 *
 * routed.c
 *	  An extension that routes tables, in small, for tests.
 *
 * The rows of a table that routed.tables names lie in another one, of the same
 * name with _shard at its end, as they would lie on other nodes: the planner is
 * told so, and who reads or writes the table by a statement does not notice;
 * who opens the relation finds an empty shell.  What such an extension does
 * differently from the table itself, it does, too:
 *
 * - RETURNING comes in another order;
 * - a statement's count is that of the rows that it sent, conflicts included;
 * - without RETURNING an error has lost its SQLSTATE;
 * - with routed.unreachable, a statement that writes fails with 08006;
 * - refused are: system columns, transition tables beside a routed table, an
 *   empty select list, FOR UPDATE, and a change of the column that says where a
 *   row lies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static char *routed_tables;
static char *routed_column;
static bool routed_unreachable;
static planner_hook_type former_hook;

/* ----- which tables ----- */

/* The table that holds the rows of this one; InvalidOid if it has its own. */
static Oid
shard_of(Oid relid)
{
	Oid			namespace = get_rel_namespace(relid);
	char	   *name = get_rel_name(relid);
	char	   *qualified;
	List	   *names;
	ListCell   *cell;

	if (name == NULL || routed_tables[0] == '\0' ||
		!SplitIdentifierString(pstrdup(routed_tables), ',', &names))
		return InvalidOid;
	qualified = psprintf("%s_%s", get_namespace_name(namespace), name);
	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), qualified) == 0)
			return get_relname_relid(psprintf("%s_shard", name), namespace);
	}
	return InvalidOid;
}

/* ----- what is refused ----- */

static void
refuse(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("routed: %s", what)));
}

static bool
is_routed(Query *query, int varno)
{
	RangeTblEntry *entry = rt_fetch(varno, query->rtable);

	return entry->rtekind == RTE_RELATION &&
		OidIsValid(shard_of(entry->relid));
}

static bool
find_system_column(Node *node, Query *query)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varlevelsup == 0 && var->varattno < 0 &&
			is_routed(query, var->varno))
			refuse("system columns are not supported");
		return false;
	}
	return expression_tree_walker(node, find_system_column, query);
}

static void
refuse_changed_place(Query *query)
{
	ListCell   *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && entry->resname &&
			strcmp(entry->resname, routed_column) == 0)
			refuse("modifying the partition value of rows is not allowed");
	}
}

static void
refuse_unsupported(Query *query)
{
	bool		transition = false;
	ListCell   *cell;

	foreach(cell, query->rtable)
		transition |= lfirst_node(RangeTblEntry, cell)->rtekind ==
		RTE_NAMEDTUPLESTORE;
	if (transition)
		refuse("transition tables cannot be joined");
	if (query->commandType == CMD_SELECT && query->targetList == NIL)
		refuse("an empty select list is not supported");
	if (query->commandType == CMD_SELECT && query->rowMarks != NIL)
		refuse("FOR UPDATE is not supported");
	if (query->commandType == CMD_UPDATE &&
		is_routed(query, query->resultRelation))
		refuse_changed_place(query);
	query_tree_walker(query, find_system_column, query, 0);
}

/* ----- where the rows are ----- */

static void
move_permissions(Query *query, Oid from, Oid to)
{
#if PG_VERSION_NUM >= 160000
	ListCell   *cell;

	foreach(cell, query->rteperminfos)
	{
		RTEPermissionInfo *info = lfirst_node(RTEPermissionInfo, cell);

		if (info->relid == from)
			info->relid = to;
	}
#endif
}

/* Sets the flag if there is a routed table in it. */
static bool
redirect(Node *node, bool *found)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		bool		here = false;
		ListCell   *cell;

		foreach(cell, query->rtable)
		{
			RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
			Oid			shard = entry->rtekind == RTE_RELATION ?
			shard_of(entry->relid) : InvalidOid;

			if (!OidIsValid(shard))
				continue;
			if (!here)
				refuse_unsupported(query);
			here = true;
			LockRelationOid(shard, entry->rellockmode);
			move_permissions(query, entry->relid, shard);
			entry->relid = shard;
			entry->relkind = get_rel_relkind(shard);
			entry->inh = false;
		}
		*found |= here;
		return query_tree_walker(query, redirect, found, 0);
	}
	return expression_tree_walker(node, redirect, found);
}

/* ----- sending ----- */

typedef struct Sending
{
	CustomScanState css;
	bool		returning;
	bool		main;			/* whose count is the statement's */
	bool		done;
	List	   *returned;		/* MinimalTuples, the last one first */
} Sending;

/* Rows that are sent, and their source, of the innermost that runs. */
static uint64 sent;
static ExecProcNodeMtd fetch_source;

static TupleTableSlot *
count_source(PlanState *source)
{
	TupleTableSlot *slot = fetch_source(source);

	if (!TupIsNull(slot))
		sent++;
	return slot;
}

static void
begin_sending(CustomScanState *node, EState *estate, int eflags)
{
	Sending    *sending = (Sending *) node;
	CustomScan *scan = (CustomScan *) node->ss.ps.plan;
	ModifyTable *write = linitial_node(ModifyTable, scan->custom_plans);

	sending->returning = write->returningLists != NIL;
	sending->main = write->canSetTag;
	node->custom_ps = list_make1(ExecInitNode((Plan *) write, estate, eflags));
}

static void
send_all(Sending *sending)
{
	PlanState  *write = linitial(sending->css.custom_ps);
	PlanState  *source = outerPlanState(write);
	EState	   *estate = sending->css.ss.ps.state;
	MemoryContext context = estate->es_query_cxt;
	uint64		outer_sent = sent;
	ExecProcNodeMtd outer_source = fetch_source;
	TupleTableSlot *slot;

	if (routed_unreachable)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("routed: connection to the remote node failed")));
	sent = 0;
	fetch_source = source->ExecProcNodeReal ? source->ExecProcNodeReal :
		source->ExecProcNode;
	source->ExecProcNode = count_source;
	for (slot = ExecProcNode(write); !TupIsNull(slot); slot = ExecProcNode(write))
	{
		MemoryContext before = MemoryContextSwitchTo(context);

		sending->returned = lcons(ExecCopySlotMinimalTuple(slot),
								  sending->returned);
		MemoryContextSwitchTo(before);
	}
	if (sending->main)
		estate->es_processed = Max(estate->es_processed, sent);
	sent = outer_sent;
	fetch_source = outer_source;
}

/* The remote error, as it arrives. */
static void
send(Sending *sending)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		send_all(sending);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (sending->returning || error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			error->sqlerrcode == ERRCODE_CONNECTION_FAILURE)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("routed: failure on the remote node: %s",
						error->message)));
	}
	PG_END_TRY();
}

static TupleTableSlot *
continue_sending(CustomScanState *node)
{
	Sending    *sending = (Sending *) node;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (!sending->done)
		send(sending);
	sending->done = true;
	if (sending->returned == NIL)
		return NULL;
	ExecForceStoreMinimalTuple(linitial(sending->returned), slot, false);
	sending->returned = list_delete_first(sending->returned);
	return slot;
}

static void
end_sending(CustomScanState *node)
{
	ExecEndNode(linitial(node->custom_ps));
}

static void
again(CustomScanState *node)
{
	elog(ERROR, "routed: a statement that writes does not run twice");
}

static const CustomExecMethods exec_methods = {
	.CustomName = "Routed",
	.BeginCustomScan = begin_sending,
	.ExecCustomScan = continue_sending,
	.EndCustomScan = end_sending,
	.ReScanCustomScan = again
};

static Node *
make_sending(CustomScan *scan)
{
	Sending    *sending = palloc0(sizeof(Sending));

	NodeSetTag(sending, T_CustomScanState);
	sending->css.methods = &exec_methods;
	return (Node *) sending;
}

static const CustomScanMethods scan_methods = {
	.CustomName = "Routed",
	.CreateCustomScanState = make_sending
};

static Plan *
wrap(Plan *plan)
{
	CustomScan *scan;
	ListCell   *cell;

	if (plan == NULL || !IsA(plan, ModifyTable))
		return plan;
	scan = makeNode(CustomScan);
	scan->scan.plan.startup_cost = plan->startup_cost;
	scan->scan.plan.total_cost = plan->total_cost;
	scan->scan.plan.plan_rows = plan->plan_rows;
	scan->scan.plan.plan_width = plan->plan_width;
	scan->custom_plans = list_make1(plan);
	scan->methods = &scan_methods;
	if (((ModifyTable *) plan)->returningLists == NIL)
		return (Plan *) scan;
	scan->custom_scan_tlist = copyObject(plan->targetlist);
	foreach(cell, plan->targetlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Node	   *value = (Node *) entry->expr;
		Var		   *var = makeVar(INDEX_VAR, entry->resno, exprType(value),
								  exprTypmod(value), exprCollation(value), 0);

		scan->scan.plan.targetlist =
			lappend(scan->scan.plan.targetlist,
					makeTargetEntry((Expr *) var, entry->resno,
									entry->resname, entry->resjunk));
	}
	return (Plan *) scan;
}

/* The planner's arguments after its first three. */
#if PG_VERSION_NUM >= 190000
#define REST_DECLARED ParamListInfo params, ExplainState *explain
#define REST params, explain
#else
#define REST_DECLARED ParamListInfo params
#define REST params
#endif

static PlannedStmt *
route(Query *query, const char *text, int options, REST_DECLARED)
{
	bool		found = false;
	PlannedStmt *statement;
	ListCell   *cell;

	if (routed_tables[0] != '\0' && !IsBootstrapProcessingMode())
		redirect((Node *) query, &found);
	statement = former_hook ? former_hook(query, text, options, REST) :
		standard_planner(query, text, options, REST);
	if (!found)
		return statement;
	statement->planTree = wrap(statement->planTree);
	foreach(cell, statement->subplans)
		lfirst(cell) = wrap(lfirst(cell));
	return statement;
}

void
_PG_init(void)
{
	DefineCustomStringVariable("routed.tables",
							   "Tables whose rows lie elsewhere, as schema_table, separated by commas.",
							   NULL, &routed_tables, "", PGC_SUSET,
							   GUC_LIST_INPUT, NULL, NULL, NULL);
	DefineCustomStringVariable("routed.column",
							   "The column that says where a row lies.",
							   NULL, &routed_column, "order_id", PGC_SUSET, 0,
							   NULL, NULL, NULL);
	DefineCustomBoolVariable("routed.unreachable",
							 "Whether the other nodes are down.",
							 NULL, &routed_unreachable, false, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	former_hook = planner_hook;
	planner_hook = route;
}
