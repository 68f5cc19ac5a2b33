/*-------------------------------------------------------------------------
 *
 * unchanged.c
 *	  What is stored again and exists already, as it is.
 *
 * reprocess_stream stores mostly what is there.  Under on_conflict update each
 * order would be updated, and its lines deleted and inserted: more work than
 * storing it the first time, and as many dead rows.  So rows are compared, and
 * records whose rows are all there are left alone.
 *
 * Equal means the same bytes in every column that is mapped; the children's
 * rows in any order, and each as often.  What is in doubt is written.
 *
 * Concurrent writers.  The parents are locked as the INSERT would lock them,
 * in the order of the records.  Who replaces their children updates the parent
 * before, so what the next statement finds of the children stays until the end
 * of the transaction.
 *
 * Nothing is compared where it would make another difference than time: there
 * are triggers of users, rules, row security, another extension that routes
 * the rows; or a child has a column that is not mapped, in which a new row has
 * its default.
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
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "pg/query.h"
#include "pg/routed.h"
#include "sink/arrays.h"
#include "sink/datum.h"
#include "sink/delete.h"
#include "sink/unchanged.h"

/* A child's rows in another order are looked for among this many. */
#define LOOK_AROUND		256

/* ----- where ----- */

/* Those of fluct do nothing where a row stays as it is. */
static bool
has_users_triggers(Oid relid)
{
	Oid			own = get_namespace_oid("fluct", false);
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1,
							  &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		found = !trigger->tgisinternal &&
			get_func_namespace(trigger->tgfoid) != own;
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return found;
}

/* Whether all columns are mapped that do not follow from others. */
static bool
is_mapped(Relation rel, const FluctTarget *target)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			columns = 0;

	for (int i = 0; i < desc->natts; i++)
		columns += !TupleDescAttr(desc, i)->attisdropped &&
			!TupleDescAttr(desc, i)->attgenerated;
	return columns == target->ncolumns;
}

/* Whether keys that differ in the parent differ in the child. */
static bool
is_exact(const FluctTarget *child)
{
	for (int k = 0; k < child->nparent_keys; k++)
	{
		Oid			collation = child->columns[child->parent_keys[k]].collation;

		if (OidIsValid(collation) && !get_collation_isdeterministic(collation))
			return false;
	}
	return true;
}

static bool
can_compare(const FluctTarget *target, bool child)
{
	Relation	rel = relation_open(target->relid, AccessShareLock);
	char		kind = rel->rd_rel->relkind;
	bool		can = (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) &&
	rel->rd_rules == NULL && (!child || is_mapped(rel, target));
	ListCell   *cell;

	relation_close(rel, AccessShareLock);
	if (!can || (child && !is_exact(target)) ||
		pg_class_aclcheck(target->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
		check_enable_rls(target->relid, InvalidOid, true) == RLS_ENABLED ||
		fluct_routed_table(target->relid))
		return false;
	foreach(cell, find_all_inheritors(target->relid, NoLock, NULL))
		can &= !has_users_triggers(lfirst_oid(cell));
	return can;
}

static SPIPlanPtr
prepare(const FluctTarget *target, bool child)
{
	StringInfoData begin;

	initStringInfo(&begin);
	appendStringInfo(&begin, "SELECT %s", child ? "" : "u.n, ");
	for (int c = 0; c < target->ncolumns; c++)
		appendStringInfo(&begin, "%sc.%s", c == 0 ? "" : ", ",
						 quote_identifier(target->columns[c].name));
	appendStringInfo(&begin, " FROM %s c%s", target->name, child ? "" : ",");
	if (child)
		return fluct_delete_prepare_children(begin.data, ",", target,
											 target->nparent_keys, false);
	return fluct_delete_prepare_parents(begin.data, target,
										" ORDER BY u.n FOR NO KEY UPDATE OF c");
}

void
fluct_unchanged_prepare(const FluctMapping *mapping, FluctStatements *statements)
{
	if (mapping->targets[0].nkeys == 0 || mapping->targets[0].keep)
		return;
	for (int t = 0; t < mapping->ntargets; t++)
		if (!can_compare(&mapping->targets[t], t > 0))
			return;
	for (int t = 0; t < mapping->ntargets; t++)
		statements[t].stored = prepare(&mapping->targets[t], t > 0);
}

/* ----- comparing ----- */

/* The rows of one target that are to be stored, and which of them are there. */
typedef struct Wanted
{
	const FluctTarget *target;
	const FluctRowData *rows;
	int			first;			/* the number of the first row */
	const char **places;		/* by row */
	bool	   *found;
	int		   *next;			/* by record: the row that is due */
	bool	   *simple;			/* by column */
	Datum	   *values;			/* a stored row, after `before` columns */
	bool	   *nulls;
	TupleDesc	desc;
	int			before;
	MemoryContext context;		/* of one row */
} Wanted;

/* Where the next row begins, or the next column of one. */
static const char *
skip_field(const char *at)
{
	int32		len;

	memcpy(&len, at, 4);
	len = (int32) pg_ntoh32(len);
	return at + 4 + Max(len, 0);
}

static Wanted *
begin(const FluctTarget *target, const FluctRowData *rows, int from, int to)
{
	Wanted	   *wanted = palloc0(sizeof(Wanted));
	int			n = rows->row_starts[to] - rows->row_starts[from];
	const char *at = rows->data.data + rows->starts[from];

	wanted->target = target;
	wanted->rows = rows;
	wanted->first = rows->row_starts[from];
	wanted->places = palloc(sizeof(char *) * (n + 1));
	wanted->found = palloc0(sizeof(bool) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		wanted->places[i] = at + 2; /* after the number of columns */
		at += 2;
		for (int c = 0; c < target->ncolumns; c++)
			at = skip_field(at);
	}
	wanted->next = palloc(sizeof(int) * (to - from + 1));
	for (int r = from; r < to; r++)
		wanted->next[r - from] = rows->row_starts[r];
	wanted->simple = palloc(sizeof(bool) * (target->ncolumns + 1));
	for (int c = 0; c < target->ncolumns; c++)
		wanted->simple[c] = fluct_datum_is_simple(&target->columns[c]);
	wanted->values = palloc(sizeof(Datum) * (target->ncolumns + 1));
	wanted->nulls = palloc(sizeof(bool) * (target->ncolumns + 1));
	wanted->context = AllocSetContextCreate(CurrentMemoryContext, "fluct row",
											ALLOCSET_DEFAULT_SIZES);
	return wanted;
}

/* Whether the stored row at hand is that one. */
static bool
is_equal(const Wanted *wanted, int row)
{
	const char *at = wanted->places[row - wanted->first];

	for (int c = 0; c < wanted->target->ncolumns; c++)
	{
		const FluctColumn *column = &wanted->target->columns[c];
		Form_pg_attribute att = TupleDescAttr(wanted->desc, wanted->before + c);
		int			i = wanted->before + c;
		int32		len;

		memcpy(&len, at, 4);
		len = (int32) pg_ntoh32(len);
		if (wanted->nulls[i] != (len < 0))
			return false;
		if (len >= 0 &&
			!datum_image_eq(wanted->values[i],
							fluct_datum_read(column, wanted->simple[c], at + 4, len),
							att->attbyval, att->attlen))
			return false;
		at = skip_field(at);
	}
	return true;
}

/* Takes the record's row that equals the stored one; false if there is none. */
static bool
take(Wanted *wanted, int record, int from)
{
	int			start = wanted->rows->row_starts[record];
	int			n = wanted->rows->row_starts[record + 1] - start;
	int			due = wanted->next[record - from] - start;

	for (int i = 0; i < Min(n, LOOK_AROUND); i++)
	{
		int			row = start + (due + i) % n;

		if (wanted->found[row - wanted->first] || !is_equal(wanted, row))
			continue;
		wanted->found[row - wanted->first] = true;
		wanted->next[record - from] = row + 1;
		return true;
	}
	return false;
}

/* A record of which a row is not there is not FLUCT_STORED. */
static void
leave_missing(Wanted *wanted, FluctOutcome *outcomes, int from, int to)
{
	const int  *starts = wanted->rows->row_starts;

	for (int r = from; r < to; r++)
		for (int row = starts[r]; row < starts[r + 1]; row++)
			if (outcomes[r] == FLUCT_STORED && !wanted->found[row - wanted->first])
				outcomes[r] = FLUCT_PENDING;
	MemoryContextDelete(wanted->context);
}

/* The parent's key by itself. */
static FluctArrays *
read_parent_keys(const FluctTarget *parent, const FluctRows *rows, int from, int to)
{
	FluctArrays *all = fluct_arrays_read(parent, rows, from, to);
	FluctArrays *keys = fluct_arrays_make(parent, parent->keys, parent->nkeys, 0);

	keys->nrows = all->nrows;
	keys->record = all->record;
	for (int k = 0; k < parent->nkeys; k++)
	{
		keys->values[k] = all->values[parent->keys[k]];
		keys->texts[k] = all->texts[parent->keys[k]];
		keys->nulls[k] = all->nulls[parent->keys[k]];
	}
	return keys;
}

/* ----- whose a stored row is ----- */

/* Parents' keys as a child has them, to be looked up. */
typedef struct Owners
{
	FluctTarget key;			/* as if the child had no other columns */
	FluctSeen  *seen;
	const FluctArrays *keys;
	FluctArrays *one;			/* that of the stored row at hand */
} Owners;

static void
begin_owners(Owners *owners, const FluctTarget *child, const FluctArrays *keys)
{
	int			n = child->nparent_keys;

	owners->key.nkeys = n;
	owners->key.keys = palloc(sizeof(int) * n);
	owners->key.columns = palloc(sizeof(FluctColumn) * n);
	for (int k = 0; k < n; k++)
	{
		owners->key.keys[k] = k;
		owners->key.columns[k] = child->columns[child->parent_keys[k]];
	}
	owners->keys = keys;
	owners->one = fluct_arrays_make(child, child->parent_keys, n, 1);
	owners->seen = fluct_arrays_begin_seen(&owners->key, keys->nrows);
	for (int r = 0; r < keys->nrows; r++)
		fluct_arrays_find_seen(owners->seen, keys, r, true);
}

/* The record of the stored row at hand, or -1. */
static int
find_owner(const Owners *owners, const FluctTarget *child, const Wanted *wanted)
{
	FluctSeenKey *key;

	for (int k = 0; k < child->nparent_keys; k++)
		owners->one->values[k][0] = wanted->values[child->parent_keys[k]];
	key = fluct_arrays_find_seen(owners->seen, owners->one, 0, false);
	return key ? owners->keys->record[key->row] : -1;
}

/*
 * The records of `rows` that are FLUCT_STORED become FLUCT_PENDING unless the
 * rows that are stored under these keys are theirs, and all of theirs.  Of a
 * child there may be others among these.
 */
static void
compare(const FluctTarget *target, bool child, SPIPlanPtr plan,
		FluctArrays *keys, const FluctRows *rows, int from, int to)
{
	Wanted	   *wanted = begin(target, &rows->stored, from, to);
	FluctOutcome *outcomes = rows->records->outcomes;
	Owners		owners = {0};
	uint64		n;
	MemoryContext old;

	if (child)
		begin_owners(&owners, target, keys);
	n = child ? fluct_delete_run(target, plan, keys) : fluct_store_execute(plan, keys);
	wanted->desc = SPI_tuptable->tupdesc;
	wanted->before = child ? 0 : 1;
	old = MemoryContextSwitchTo(wanted->context);
	for (uint64 i = 0; i < n; i++)
	{
		int			record;

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(SPI_tuptable->vals[i], wanted->desc, wanted->values,
						  wanted->nulls);
		record = child ? find_owner(&owners, target, wanted) :
			keys->record[DatumGetInt64(wanted->values[0]) - 1];
		if (record >= 0 && outcomes[record] == FLUCT_STORED &&
			!take(wanted, record, from))
			outcomes[record] = FLUCT_PENDING;
		MemoryContextReset(wanted->context);
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
	leave_missing(wanted, outcomes, from, to);
}

/*
 * A record that has no key here, or half of one, is not FLUCT_STORED.  False if
 * keys of such a record are among these.
 */
static bool
keep_records(const FluctArrays *keys, FluctOutcome *outcomes, int from, int to)
{
	bool	   *has = palloc0(sizeof(bool) * (to - from + 1));
	bool		all = true;

	for (int i = 0; i < keys->nrows; i++)
	{
		has[keys->record[i] - from] = true;
		for (int k = 0; k < keys->ncolumns; k++)
			has[keys->record[i] - from] &= !keys->nulls[k][i];
		all &= has[keys->record[i] - from];
	}
	for (int r = from; r < to; r++)
		if (!has[r - from])
			outcomes[r] = FLUCT_PENDING;
	return all;
}

static FluctArrays *
read_keys(const FluctTarget *target, bool child, const FluctRows *rows, int from,
		  int to)
{
	FluctArrays *keys;

	if (!child)
		return read_parent_keys(target, rows, from, to);
	keys = fluct_arrays_make(target, target->parent_keys, target->nparent_keys,
							 rows->keys.row_starts[to] - rows->keys.row_starts[from]);
	fluct_arrays_read_rows(keys, &rows->keys, rows->records, from, to);
	return keys;
}

bool *
fluct_unchanged_find(const FluctMapping *mapping,
					 const FluctStatements *statements, const FluctRows *rows,
					 int from, int to)
{
	FluctRecords records = *rows->records;
	bool	   *unchanged = palloc(sizeof(bool) * (to - from + 1));

	records.outcomes = palloc(sizeof(FluctOutcome) * (records.count + 1));
	memcpy(records.outcomes, rows->records->outcomes,
		   sizeof(FluctOutcome) * records.count);
	for (int t = 0; t < mapping->ntargets; t++)
	{
		const FluctTarget *target = &mapping->targets[t];
		FluctRows	mine = rows[t];
		FluctArrays *keys;

		mine.records = &records;
		keys = read_keys(target, t > 0, &mine, from, to);
		/* with half a key there is no record left that has it */
		if (!keep_records(keys, records.outcomes, from, to))
			keys = read_keys(target, t > 0, &mine, from, to);
		if (keys->nrows > 0)
			compare(target, t > 0, statements[t].stored, keys, &mine, from, to);
	}
	for (int r = from; r < to; r++)
		unchanged[r - from] = records.outcomes[r] == FLUCT_STORED;
	return unchanged;
}
