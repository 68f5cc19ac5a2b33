/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Whether what a path gives can ever be a value of its column.
 *
 * A field of the message can be of any type, so only messages show whether it
 * fits.  What Kafka gives is always of one type: a column that cannot hold it
 * would make every message a dead letter, and is refused.
 *
 * The rows of a child that are replaced are found by the parent's key alone.
 * So the child must have the key as the parent has it: a column of another type,
 * length or collation may give two keys one value, and the rows of another
 * parent would go; or one key two values, and rows of earlier versions remain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "mapping/format.h"
#include "mapping/source.h"
#include "pg/model.h"

static bool
holds_number(const FluctColumn *column)
{
	switch (column->form)
	{
		case FLUCT_FORM_BOOL:
		case FLUCT_FORM_DATE:
		case FLUCT_FORM_UUID:
		case FLUCT_FORM_BYTEA:
			return false;
		case FLUCT_FORM_TIMESTAMP:
			return column->format != FLUCT_FORMAT_PLAIN;
		case FLUCT_FORM_OTHER:
			return !column->is_array &&
				(column->category == TYPCATEGORY_NUMERIC ||
				 column->category == TYPCATEGORY_STRING);
		case FLUCT_FORM_TEXT:
			return column->format == FLUCT_FORMAT_PLAIN || column->format == FLUCT_FORMAT_SCALAR;
		default:
			return column->format == FLUCT_FORMAT_PLAIN || column->format == FLUCT_FORMAT_NUMBER;
	}
}

/* Milliseconds since 1970 need 41 bits. */
static bool
holds_time(const FluctColumn *column)
{
	return holds_number(column) && column->form != FLUCT_FORM_INT2 &&
		column->form != FLUCT_FORM_INT4;
}

static bool
holds_bytes(const FluctColumn *column)
{
	return (column->form != FLUCT_FORM_TIMESTAMP ||
			column->format == FLUCT_FORMAT_PLAIN || column->reading) &&
		(column->form != FLUCT_FORM_BOOL || column->reading);
}

static bool
holds_name(const FluctColumn *column)
{
	return column->form == FLUCT_FORM_TEXT ||
		column->form == FLUCT_FORM_BYTEA ||
		column->form == FLUCT_FORM_JSON || column->form == FLUCT_FORM_JSONB ||
		column->form == FLUCT_FORM_OTHER;
}

static bool
holds(const FluctColumn *column)
{
	switch (column->source)
	{
		case FLUCT_ROW_NUMBER:
		case FLUCT_KAFKA_OFFSET:
		case FLUCT_KAFKA_PARTITION:
		case FLUCT_KAFKA_SCHEMA_ID:
			return holds_number(column);
		case FLUCT_KAFKA_TIMESTAMP:
			return holds_time(column);
		case FLUCT_KAFKA_KEY:
			return holds_bytes(column);
		case FLUCT_KAFKA_TOPIC:
			return holds_name(column);
		case FLUCT_KAFKA_HEADERS:
			return column->form == FLUCT_FORM_JSON ||
				column->form == FLUCT_FORM_JSONB;
		default:
			return true;
	}
}

void
fluct_source_check(const FluctColumn *column, const char *target)
{
	if (!holds(column))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s cannot hold %s",
						column->name, target, column->path),
				 errdetail("The column is of type %s.",
						   format_type_be(column->type))));
}

bool
fluct_source_collations_agree(Oid one, Oid other)
{
	return one == other ||
		(get_collation_isdeterministic(one) && get_collation_isdeterministic(other));
}

/* Whether what is equal in one column is equal in the other, and only that. */
static bool
compare_alike(const FluctColumn *one, const FluctColumn *other)
{
	return one->base == other->base && one->typmod == other->typmod &&
		fluct_source_collations_agree(one->collation, other->collation);
}

/* Whether both are filled from one value, and keep the same of it. */
static bool
is_same(const FluctColumn *parent, const FluctColumn *child)
{
	bool		integers = parent->form >= FLUCT_FORM_INT2 &&
	parent->form <= FLUCT_FORM_INT8 && child->form >= FLUCT_FORM_INT2 &&
	child->form <= FLUCT_FORM_INT8;

	return parent->source == child->source &&
		parent->rowset == child->rowset && parent->field == child->field &&
		(parent->header == NULL || strcmp(parent->header, child->header) == 0) &&
		fluct_format_is_same(parent, child) &&
		(integers || compare_alike(parent, child)) &&
		OidIsValid(lookup_type_cache(child->base, TYPECACHE_EQ_OPR)->eq_opr);
}

/* Whether the triggers work on orders by which the lines follow them. */
static bool
are_carried_along(Oid orders)
{
	Relation	rel = relation_open(orders, AccessShareLock);
	const TriggerDesc *desc = rel->trigdesc;
	int			working = 0;
	bool		carried;

	for (int i = 0; desc && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];

		working += (strcmp(trigger->tgname, "orders_move_lines") == 0 ||
					strcmp(trigger->tgname, "orders_delete_lines") == 0) &&
			trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN;
	}
	/* a trigger before the row may give orders another time than the lines */
	carried = working == 2 && !desc->trig_insert_before_row &&
		!desc->trig_update_before_row;
	relation_close(rel, AccessShareLock);
	return carried;
}

/* Whether no trigger may change a row of the table or of its partitions. */
static bool
is_without_triggers(Oid relid)
{
	List	   *relations = lcons_oid(relid, find_inheritance_children(relid, NoLock));
	ListCell   *cell;
	bool		without = true;

	foreach(cell, relations)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(cell)));

		if (!HeapTupleIsValid(tuple))
			continue;			/* dropped since */
		without &= !((Form_pg_class) GETSTRUCT(tuple))->relhastriggers &&
			((Form_pg_class) GETSTRUCT(tuple))->relkind != RELKIND_FOREIGN_TABLE;
		ReleaseSysCache(tuple);
	}
	return without;
}

/*
 * Lines have the time of their order, by which partitions and BRIN find them,
 * where by order_id alone all lines would be read.  It is taken as a part of
 * the key where nothing can make the two differ: both are filled from one
 * value, and an order whose time changes, or that goes, takes its lines along.
 */
static void
add_time(const FluctTarget *parent, FluctTarget *child)
{
	if (parent->relid != fluct_model_find("orders") ||
		child->relid != fluct_model_find("order_lines") ||
		!are_carried_along(parent->relid) || !is_without_triggers(child->relid))
		return;
	for (int p = 0; p < parent->ncolumns; p++)
	{
		const FluctColumn *time = &parent->columns[p];

		if (strcmp(time->name, "ordered_at") != 0 || !time->required)
			continue;
		for (int i = 0; i < child->ncolumns; i++)
			if (strcmp(child->columns[i].name, "ordered_at") == 0 &&
				child->columns[i].base == TIMESTAMPTZOID &&
				is_same(time, &child->columns[i]))
			{
				child->parent_keys[child->nparent_keys++] = i;
				child->keyed_by_time = true;
			}
	}
}

/* The key's collation, where the child has a column of its type with another. */
static const char *
describe_collation(const FluctColumn *key, const FluctTarget *child)
{
	for (int i = 0; i < child->ncolumns; i++)
		if (child->columns[i].base == key->base && child->columns[i].typmod == key->typmod &&
			!fluct_source_collations_agree(child->columns[i].collation, key->collation))
			return psprintf(" COLLATE %s", quote_identifier(get_collation_name(key->collation)));
	return "";
}

void
fluct_source_find_parent_keys(const FluctTarget *parent, FluctTarget *child)
{
	child->nparent_keys = parent->nkeys;
	child->parent_keys = palloc(sizeof(int) * (parent->nkeys + 1));
	for (int k = 0; k < parent->nkeys; k++)
	{
		const FluctColumn *key = &parent->columns[parent->keys[k]];
		int			i = 0;

		while (i < child->ncolumns && !is_same(key, &child->columns[i]))
			i++;
		if (i == child->ncolumns)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("on_conflict update cannot replace the rows of %s",
							child->name),
					 errdetail("It has no column of type %s%s that is mapped to %s, the key of %s.",
							   format_type_with_typemod(key->base, key->typmod),
							   describe_collation(key, child), key->path, parent->name),
					 errhint("Map one with fluct.map_column(), or take on_conflict nothing.")));
		child->parent_keys[k] = i;
	}
	add_time(parent, child);
}

char *
fluct_source_escape(const char *text)
{
	StringInfoData json;

	initStringInfo(&json);
	escape_json(&json, text);
	json.data[json.len - 1] = '\0';
	return json.data + 1;
}
