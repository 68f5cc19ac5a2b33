/*-------------------------------------------------------------------------
 *
 * delete.c
 *	  Which messages delete a row, and by which key.
 *
 * "delete": {"where": {"$.op": "d"}, "columns": {"id": "$.before.id"}} has the
 * words of a mapping's "where", and the paths of the target's key in a message
 * that deletes; a key column that it does not name has its path in "columns".
 * With on_tombstone delete, messages without a value delete by these paths, too.
 *
 * The rows of a child go by the parent's key, as the child has it.  The lines
 * of an order, which are found by its time as well, are left to the triggers of
 * orders: a message that deletes need not say the time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"

#include "mapping/column.h"
#include "mapping/delete.h"
#include "mapping/document.h"
#include "mapping/update.h"
#include "mapping/where.h"
#include "pg/relation.h"

/* ----- the key ----- */

static int
find_key_column(const FluctTarget *t, const char *name)
{
	for (int k = 0; k < t->nkeys; k++)
		if (strcmp(t->columns[t->keys[k]].name, name) == 0)
			return k;
	return -1;
}

static char *
list_key(const FluctTarget *t)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int k = 0; k < t->nkeys; k++)
		appendStringInfo(&list, "%s%s", k == 0 ? "" : ", ",
						 t->columns[t->keys[k]].name);
	return list.data;
}

/* What the message does not say is never taken from a default. */
static void
require(FluctColumn *column, const FluctColumn *like)
{
	column->required = true;
	column->fallback = NULL;
	column->default_expr = NULL;
	column->key = like->key;
	column->findings = like->findings;
}

/* The parent's key: as "columns" has it, or as the rows have it. */
static FluctColumn *
compile_key(FluctCompiler *c, JsonbContainer *columns)
{
	FluctTarget *t = c->target;
	FluctColumn *key = palloc0(sizeof(FluctColumn) * t->nkeys);
	JsonbIterator *it = columns ? JsonbIteratorInit(columns) : NULL;
	JsonbIteratorToken token;
	JsonbValue	value;

	for (int k = 0; k < t->nkeys; k++)
		key[k] = t->columns[t->keys[k]];
	while (it && (token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *name;
		int			k;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		k = find_key_column(t, name);
		if (k < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping: column \"%s\" in \"delete\" is not part of the key of %s",
							name, t->name),
					 errhint("Rows are deleted by their key: %s.", list_key(t))));
		JsonbIteratorNext(&it, &value, true);
		memset(&key[k], 0, sizeof(FluctColumn));
		fluct_column_compile(c, &key[k], name, &value);
	}
	for (int k = 0; k < t->nkeys; k++)
		require(&key[k], &t->columns[t->keys[k]]);
	return key;
}

/* The same values for the columns that a child has it in. */
static FluctColumn *
key_of_child(const FluctTarget *child, const FluctColumn *key, int nkeys)
{
	FluctColumn *columns = palloc(sizeof(FluctColumn) * nkeys);

	for (int k = 0; k < nkeys; k++)
	{
		const FluctColumn *own = &child->columns[child->parent_keys[k]];

		columns[k] = *own;
		columns[k].source = key[k].source;
		columns[k].rowset = key[k].rowset;
		columns[k].field = key[k].field;
		columns[k].header = key[k].header;
		columns[k].path = key[k].path;
		columns[k].format = key[k].format;
		columns[k].reading = key[k].reading;
		columns[k].zone = key[k].zone;
		require(&columns[k], own);
	}
	return columns;
}

/* ----- compiling ----- */

static void
compile_keys(FluctCompiler *c, JsonbContainer *columns)
{
	FluctMapping *mapping = c->mapping;
	FluctDeletes *deletes = mapping->deletes;

	c->target = &mapping->targets[0];
	c->rel = fluct_relation_open(c->target->relid, AccessShareLock);
	deletes->keys = palloc0(sizeof(FluctColumn *) * mapping->ntargets);
	deletes->keys[0] = compile_key(c, columns);
	relation_close(c->rel, AccessShareLock);
	for (int t = 1; t < mapping->ntargets; t++)
		if (!mapping->targets[t].keyed_by_time)
			deletes->keys[t] = key_of_child(&mapping->targets[t], deletes->keys[0],
											mapping->targets[0].nkeys);
}

/* A message without a value has its key, its topic and its partition. */
static void
check_tombstones(const FluctTarget *t, const FluctColumn *key)
{
	const FluctColumn *missing = NULL;
	bool		keyed = false;

	for (int k = 0; k < t->nkeys; k++)
		if (key[k].source == FLUCT_KAFKA_KEY || key[k].source == FLUCT_KAFKA_KEY_PATH)
			keyed = true;
		else if (key[k].source != FLUCT_KAFKA_TOPIC && key[k].source != FLUCT_KAFKA_PARTITION)
			missing = &key[k];
	if (missing || !keyed)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_tombstone delete needs the key of %s in the key of the messages",
						t->name),
				 missing ? errdetail("Column \"%s\" is mapped to %s, which a message without a value does not have.",
									 missing->name, missing->path) : 0,
				 errhint("Map it to kafka.key, or to kafka.key.$.%s where the key is JSON; or keep its path for rows, and add \"delete\": {\"columns\": {\"%s\": \"kafka.key\"}} to the mapping.",
						 (missing ? missing : key)->name, (missing ? missing : key)->name)));
}

void
fluct_delete_compile(FluctCompiler *c, JsonbContainer *document,
					 bool tombstones)
{
	static const char *const keys[] = {"where", "columns"};
	JsonbContainer *object = fluct_document_container(document, "delete", false);
	bool		envelope = c->mapping->envelope != NULL;
	FluctDeletes *deletes;

	if (object == NULL && !tombstones && !envelope)
		return;
	if (object)
		fluct_document_check_keys(object, keys, lengthof(keys), "\"delete\"");
	fluct_update_require(c, object ? "mapping: \"delete\"" : envelope ?
						 "mapping: \"envelope\"" : "on_tombstone delete");
	if (c->mapping->targets[0].nkeys == 0)
		return;					/* refused for that */
	deletes = c->mapping->deletes = palloc0(sizeof(FluctDeletes));
	compile_keys(c, object ? fluct_document_container(object, "columns", false) : NULL);
	deletes->where = object ? fluct_where_compile(c, object, "where") : NULL;
	deletes->tombstones = tombstones;
	if (tombstones)
		check_tombstones(c->target, deletes->keys[0]);
	if (envelope && deletes->where)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"delete\" has a \"where\", and the envelope says what deletes")));
	if (!tombstones && !envelope && deletes->where == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"delete\" has no \"where\""),
				 errhint("It says which messages delete, such as {\"$.op\": \"d\"}.")));
}

int
fluct_delete_key(const FluctMapping *mapping, int target)
{
	return mapping->deletes && mapping->deletes->keys[target] ?
		mapping->targets[0].nkeys : 0;
}
