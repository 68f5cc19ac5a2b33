/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  A mapping, compiled against its tables.
 *
 * A mapping is a JSON document:
 *
 *	{"where": {PATH: VALUE or [VALUE, ...]},
 *	 "envelope": "debezium",
 *	 "delete": {"where": as above, "columns": {KEY COLUMN: as below}},
 *	 "columns": {COLUMN: PATH or {"path", "format", "required", "default"}},
 *	 "extra": COLUMN, "version": COLUMN, "absent": "keep",
 *	 "rows": "$.a[*]", "required": false, "single": true,
 *	 "children": [{"target": TABLE, "rows": "$.a[*]", "columns": ...,
 *				   "extra": COLUMN, "required": false, "single": true}]}
 *
 * A message is one record, a row of the target with its children; with "rows"
 * at the top, each element of that array is, and the rows of a child lie in it,
 * as in "@.b[*]".
 *
 * PATH is `$...` (the message), `@...` (the element of the rows), `#` (its
 * number from 1), `@key` (its name), `^...` (the row that holds it, `^#`),
 * `envelope.$...` or `kafka.` offset, partition, timestamp, key, topic, headers,
 * schema_id.  All mistakes are found here, before the first message, with an
 * error that names the table and the column.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "mapping/column.h"
#include "mapping/delete.h"
#include "mapping/document.h"
#include "mapping/envelope.h"
#include "mapping/framing.h"
#include "mapping/mapping.h"
#include "mapping/source.h"
#include "mapping/update.h"
#include "mapping/where.h"
#include "pg/alloc.h"
#include "pg/compat.h"
#include "pg/relation.h"

/* ----- one target ----- */

static void
compile_columns(FluctCompiler *c, JsonbContainer *object)
{
	FluctTarget *t = c->target;
	JsonbContainer *columns = fluct_document_container(object, "columns", false);
	char	   *extra = fluct_document_text(object, "extra");
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key,
				value;

	if (columns == NULL || JsonContainerSize(columns) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: %s has no \"columns\"", t->name),
				 errhint("They are paths by column, as {\"id\": \"$.id\"}.")));
	t->columns = palloc0(sizeof(FluctColumn) * (JsonContainerSize(columns) + 1));
	it = JsonbIteratorInit(columns);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		JsonbIteratorNext(&it, &value, true);
		fluct_column_compile(c, &t->columns[t->ncolumns], name, &value);
		t->ncolumns++;
	}
	if (extra)
	{
		for (int i = 0; i < t->ncolumns; i++)
			if (strcmp(t->columns[i].name, extra) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("mapping: column \"%s\" of %s is both mapped and \"extra\"",
								extra, t->name)));
		fluct_column_compile_extra(c, &t->columns[t->ncolumns++], extra);
	}
}

/* A column that is NOT NULL without a default must be mapped. */
static void
check_unmapped(FluctCompiler *c)
{
	TupleDesc	desc = RelationGetDescr(c->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool		mapped = att->attisdropped || att->attgenerated ||
		!(att->attnotnull || fluct_column_refuses_null(att->atttypid)) ||
		build_column_default(c->rel, i + 1) != NULL;

		for (int j = 0; j < c->target->ncolumns && !mapped; j++)
			mapped = c->target->columns[j].attnum == i + 1;
		if (!mapped)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping: column \"%s\" of %s is NOT NULL without a default, and nothing is mapped to it",
							NameStr(att->attname), c->target->name)));
	}
}

/*
 * The places of the index's columns in t->columns, or false.  A predicate is
 * not asked of the relcache, which would execute what is immutable in it.
 */
static bool
key_of_index(FluctTarget *t, Relation index)
{
	Form_pg_index form = index->rd_index;
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	int		   *keys = palloc(sizeof(int) * nkeys);

	if (!form->indisunique || !form->indisvalid || !form->indimmediate ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL))
		return false;
	for (int k = 0; k < nkeys; k++)
	{
		keys[k] = -1;
		for (int i = 0; i < t->ncolumns; i++)
			if (t->columns[i].attnum == form->indkey.values[k] &&
				!t->columns[i].nullable &&
				fluct_source_collations_agree(t->columns[i].collation,
											  index->rd_indcollation[k]))
				keys[k] = i;
		if (keys[k] < 0)
			return false;
	}
	t->nkeys = nkeys;
	t->keys = keys;
	return true;
}

/*
 * The unique key that defines duplicates: the primary key, or else the first
 * unique index whose columns are all mapped.
 */
static void
find_key(FluctCompiler *c)
{
	List	   *indexes = RelationGetIndexList(c->rel);
	Oid			primary = fluct_compat_primary_key(c->rel);
	ListCell   *lc;

	if (OidIsValid(primary))
		indexes = lcons_oid(primary, list_delete_oid(indexes, primary));
	foreach(lc, indexes)
	{
		Relation	index = relation_open(lfirst_oid(lc), AccessShareLock);
		bool		found = key_of_index(c->target, index);

		relation_close(index, AccessShareLock);
		if (found)
			break;
	}
	for (int k = 0; k < c->target->nkeys; k++)
		c->target->columns[c->target->keys[k]].key = true;
}

static void
compile_target(FluctCompiler *c, FluctTarget *t, Oid relid,
			   JsonbContainer *object)
{
	char		kind;

	c->target = t;
	c->rel = fluct_relation_open(relid, AccessShareLock);
	kind = c->rel->rd_rel->relkind;
	t->relid = relid;
	t->version = -1;
	t->name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(c->rel)),
										 RelationGetRelationName(c->rel));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		kind != RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s cannot be the target of a stream", t->name),
				 kind == RELKIND_FOREIGN_TABLE ?
				 errdetail("A foreign table commits on its own, so its rows and the offsets could diverge.") :
				 errdetail("A target is a table, a partitioned table or a view.")));
	compile_columns(c, object);
	check_unmapped(c);
	if (kind != RELKIND_VIEW)
		find_key(c);
	t->by_copy = kind != RELKIND_VIEW && c->rel->rd_rules == NULL;
	for (int i = 0; i < t->ncolumns; i++)
		if (t->columns[i].form == FLUCT_FORM_OTHER)
			t->by_copy = false;
	relation_close(c->rel, AccessShareLock);
}

/* A name without a schema means the parent's. */
static RangeVar *
name_child(Oid parent, const char *name)
{
	RangeVar   *relation = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(name)));

	if (relation->schemaname == NULL)
		relation->schemaname = get_namespace_name(get_rel_namespace(parent));
	return relation;
}

Oid
fluct_mapping_find_child(Oid parent, const char *name)
{
	return RangeVarGetRelid(name_child(parent, name), NoLock, true);
}

static Oid
find_child(FluctCompiler *c, const char *name)
{
	RangeVar   *relation = name_child(c->mapping->targets[0].relid, name);
	Oid			relid = RangeVarGetRelid(relation, NoLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("mapping: table %s of a child does not exist",
						quote_qualified_identifier(relation->schemaname, relation->relname)),
				 errhint("Create it, or correct \"target\" in \"children\" of the mapping.")));
	return relid;
}

static bool
read_flag(JsonbContainer *object, const char *key, bool otherwise)
{
	JsonbValue	value;

	if (!fluct_document_member(object, key, &value))
		return otherwise;
	if (value.type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"%s\" of rows must be true or false", key)));
	return value.val.boolean;
}

/* How many rowsets are between the message and the rowset's rows. */
static int
depth_of(const FluctJson *json, int rowset)
{
	int			depth = 0;

	for (; rowset != FLUCT_JSON_ROOT; rowset = fluct_json_above(json, rowset))
		depth++;
	return depth;
}

/* Whether each of its rows lies in one record. */
static bool
is_in_records(const FluctCompiler *c, const FluctTarget *t)
{
	int			records = c->mapping->targets[0].rowset;
	int			rowset = t->rowset;

	while (rowset != records && rowset != FLUCT_JSON_ROOT)
		rowset = fluct_json_above(c->mapping->json, rowset);
	return rowset == records;
}

/* Where the rows of the target lie; `name` is its name. */
static void
compile_rows(FluctCompiler *c, FluctTarget *t, char *rows, const char *name,
			 JsonbContainer *object)
{
	const FluctTarget *parent = &c->mapping->targets[0];
	bool		of_record = rows[0] == '@' && t != parent;
	FluctJson  *json = c->mapping->json;

	t->rowset = fluct_json_add_rows(json, of_record ? parent->rowset : FLUCT_JSON_ROOT,
									rows, read_flag(object, "single", false));
	if (t->rowset < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: invalid path \"%s\" in \"rows\" of %s", rows,
						name),
				 errhint("It names an array of the message, as in $.order_lines[*], an object whose members are rows, as in $.lines.*, or arrays in arrays, as in $.orders[*].lines[*]; two targets with the same rows agree on \"single\".")));
	if (!is_in_records(c, t))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"rows\" of %s do not lie in those of %s", name,
						parent->name),
				 errhint("With \"rows\" at the top of the mapping, those of a child begin with @, the record, as in @.lines[*].")));
	t->rows_path = of_record ? psprintf("%s%s", parent->rows_path, rows + 1) : rows;
	t->depth = depth_of(json, t->rowset);
	t->optional = !read_flag(object, "required", true);
}

/* No message needs more rows than its rows may take bytes. */
static void
limit_rows(FluctCompiler *c, const FluctTarget *t)
{
	fluct_json_limit_rows(c->mapping->json, t->rowset,
						  FLUCT_MAPPING_ROW_BYTES / (2 + 4 * t->ncolumns));
}

static void
compile_parent(FluctCompiler *c, FluctTarget *t, Oid relid,
			   JsonbContainer *object)
{
	char	   *rows = fluct_document_text(object, "rows");
	JsonbValue	value;

	t->rowset = FLUCT_JSON_ROOT;
	if (rows)
		compile_rows(c, t, rows, "the mapping", object);
	else if (fluct_document_member(object, "required", &value) ||
			 fluct_document_member(object, "single", &value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"required\" and \"single\" at the top are about \"rows\", which are missing")));
	compile_target(c, t, relid, object);
	limit_rows(c, t);
}

static void
compile_child(FluctCompiler *c, FluctTarget *t, JsonbContainer *object)
{
	static const char *const keys[] = {"target", "rows", "columns", "extra",
	"required", "single"};
	char	   *name,
			   *rows;

	fluct_document_check_keys(object, keys, lengthof(keys), "a child");
	name = fluct_document_text(object, "target");
	rows = fluct_document_text(object, "rows");
	if (name == NULL || rows == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: a child needs \"target\" and \"rows\"")));
	compile_rows(c, t, rows, name, object);
	compile_target(c, t, find_child(c, name), object);
	t->nkeys = 0;
	if (c->update)
		fluct_source_find_parent_keys(&c->mapping->targets[0], t);
	limit_rows(c, t);
}

static void
compile_children(FluctCompiler *c, JsonbContainer *children)
{
	int			n = children ? JsonContainerSize(children) : 0;

	for (int i = 0; i < n; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(children, i);

		if (value->type != jbvBinary ||
			!JsonContainerIsObject(value->val.binary.data))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping: a child must be an object")));
		compile_child(c, &c->mapping->targets[i + 1],
					  value->val.binary.data);
		c->mapping->ntargets++;
	}
}

static void
apply_conflict_rule(FluctTarget *parent, const char *on_conflict)
{
	if (strcmp(on_conflict, "error") == 0)
		parent->nkeys = 0;
	else if (parent->nkeys > 0)
		parent->by_copy = false;
}

FluctMapping *
fluct_mapping_compile(Oid target, Jsonb *mapping, const char *on_conflict,
					  const char *framing, const char *on_tombstone,
					  MemoryContext parent)
{
	static const char *const keys[] = {"columns", "extra", "children", "where",
	"delete", "version", "absent", "rows", "required", "single", "envelope"};
	MemoryContext context = AllocSetContextCreate(parent, "fluct mapping",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FluctAllocator allocator = fluct_alloc_in(context);
	FluctCompiler c = {0};
	JsonbContainer *children;

	if (!JB_ROOT_IS_OBJECT(mapping))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a mapping must be a JSON object")));
	fluct_document_check_keys(&mapping->root, keys, lengthof(keys), "the mapping");
	children = fluct_document_container(&mapping->root, "children", true);
	c.mapping = palloc0(sizeof(FluctMapping));
	c.mapping->context = context;
	c.mapping->framing = fluct_framing_of(framing);
	c.mapping->json = fluct_json_create(&allocator);
	c.mapping->targets = palloc0(sizeof(FluctTarget) *
								 (1 + (children ? JsonContainerSize(children) : 0)));
	c.mapping->econtext = GetPerTupleExprContext(CreateExecutorState());
	c.mapping->ntargets = 1;
	fluct_envelope_compile(&c, &mapping->root);
	compile_parent(&c, &c.mapping->targets[0], target, &mapping->root);
	c.target = &c.mapping->targets[0];
	c.mapping->where = fluct_where_compile(&c, &mapping->root, "where");
	apply_conflict_rule(&c.mapping->targets[0], on_conflict);
	c.update = strcmp(on_conflict, "update") == 0;
	fluct_update_compile(&c, &mapping->root);
	compile_children(&c, children);
	fluct_delete_compile(&c, &mapping->root,
						 on_tombstone && strcmp(on_tombstone, "delete") == 0);
	MemoryContextSwitchTo(old);
	return c.mapping;
}

void
fluct_mapping_ready(FluctMapping *mapping)
{
	MemoryContext old = MemoryContextSwitchTo(mapping->context);

	for (int t = 0; t < mapping->ntargets; t++)
		for (int i = 0; i < mapping->targets[t].ncolumns; i++)
		{
			FluctColumn *column = &mapping->targets[t].columns[i];

			if (column->default_expr)
				column->column_default =
					ExecPrepareExpr((Expr *) column->default_expr,
									mapping->econtext->ecxt_estate);
		}
	MemoryContextSwitchTo(old);
}
