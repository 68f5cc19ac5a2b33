/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  A mapping, compiled against its tables.
 *
 * A mapping is a JSON document:
 *
 *	{"columns": {COLUMN: PATH or {"path", "format", "required", "default"}},
 *	 "extra": COLUMN,
 *	 "children": [{"target": TABLE, "rows": "$.a[*]", "columns": ...,
 *				   "extra": COLUMN}]}
 *
 * PATH is `$...` (the message), `@...` (the element of the child's array), `#`
 * (its number from 1) or `kafka.` offset, partition, timestamp, key, topic,
 * headers.  All mistakes are found here, before the first message, with an
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

#include "mapping/document.h"
#include "mapping/mapping.h"
#include "pg/alloc.h"
#include "pg/compat.h"

typedef struct Compiler
{
	FluctMapping *mapping;
	FluctTarget *target;		/* being compiled */
	Relation	rel;
} Compiler;

/* ----- one column ----- */

static FluctForm
form_of(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return FLUCT_FORM_TEXT;
		case INT2OID:
			return FLUCT_FORM_INT2;
		case INT4OID:
			return FLUCT_FORM_INT4;
		case INT8OID:
			return FLUCT_FORM_INT8;
		case NUMERICOID:
			return FLUCT_FORM_NUMERIC;
		case FLOAT4OID:
			return FLUCT_FORM_FLOAT4;
		case FLOAT8OID:
			return FLUCT_FORM_FLOAT8;
		case BOOLOID:
			return FLUCT_FORM_BOOL;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return FLUCT_FORM_TIMESTAMP;
		case DATEOID:
			return FLUCT_FORM_DATE;
		case UUIDOID:
			return FLUCT_FORM_UUID;
		case BYTEAOID:
			return FLUCT_FORM_BYTEA;
		case JSONOID:
			return FLUCT_FORM_JSON;
		case JSONBOID:
			return FLUCT_FORM_JSONB;
		default:
			return FLUCT_FORM_OTHER;
	}
}

static void
compile_path(Compiler *c, FluctColumn *column)
{
	static const struct
	{
		const char *path;
		FluctSource source;
	}			words[] = {
		{"kafka.offset", FLUCT_KAFKA_OFFSET},
		{"kafka.partition", FLUCT_KAFKA_PARTITION},
		{"kafka.timestamp", FLUCT_KAFKA_TIMESTAMP},
		{"kafka.key", FLUCT_KAFKA_KEY},
		{"kafka.topic", FLUCT_KAFKA_TOPIC},
		{"kafka.headers", FLUCT_KAFKA_HEADERS},
	};
	bool		child = c->target->rowset != FLUCT_JSON_ROOT;
	FluctJson  *json = c->mapping->json;

	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(column->path, words[i].path) == 0)
		{
			column->source = words[i].source;
			return;
		}
	column->field = -1;
	if (child && strcmp(column->path, "#") == 0)
	{
		column->source = FLUCT_ROW_NUMBER;
		return;
	}
	if (child && column->path[0] == '@')
	{
		column->source = FLUCT_FROM_ROW;
		column->field = fluct_json_add_field(json, c->target->rowset,
											 column->path);
	}
	else
	{
		column->source = FLUCT_FROM_MESSAGE;
		column->field = fluct_json_add_field(json, FLUCT_JSON_ROOT,
											 column->path);
	}
	if (column->field < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s has the invalid path \"%s\"",
						column->name, c->target->name, column->path),
				 errhint(child ?
						 "A path is $.field, @.field, #, or kafka.offset, kafka.partition, kafka.timestamp, kafka.key, kafka.topic, kafka.headers." :
						 "A path is $.field, or kafka.offset, kafka.partition, kafka.timestamp, kafka.key, kafka.topic, kafka.headers; @ and # are for children.")));
}

static void
compile_format(Compiler *c, FluctColumn *column, const char *format)
{
	bool		time = column->form == FLUCT_FORM_TIMESTAMP;
	bool		number = column->form >= FLUCT_FORM_INT2 &&
	column->form <= FLUCT_FORM_FLOAT8;

	if (format == NULL || (time && strcmp(format, "iso8601") == 0))
		column->format = FLUCT_FORMAT_PLAIN;
	else if (time && strcmp(format, "epoch_ms") == 0)
		column->format = FLUCT_FORMAT_EPOCH_MS;
	else if (time && strcmp(format, "epoch_s") == 0)
		column->format = FLUCT_FORMAT_EPOCH_S;
	else if (number && strcmp(format, "text") == 0)
		column->format = FLUCT_FORMAT_TEXT;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s cannot have the format \"%s\"",
						column->name, c->target->name, format),
				 errdetail("The column is of type %s.",
						   format_type_be(column->type)),
				 errhint("Formats are iso8601, epoch_ms and epoch_s for a timestamp, and text for a number that comes as a string.")));
	if (column->source == FLUCT_KAFKA_TIMESTAMP && time)
		column->format = FLUCT_FORMAT_EPOCH_MS;
}

/* The "default" of a column, as a value that the scanner could have found. */
static void
compile_fallback(FluctColumn *column, const JsonbValue *value)
{
	FluctJsonValue *result = palloc0(sizeof(FluctJsonValue));
	const char *text;

	if (value->type == jbvString)
	{
		result->type = FLUCT_JSON_STRING;
		text = pnstrdup(value->val.string.val, value->val.string.len);
	}
	else
	{
		Jsonb	   *whole = JsonbValueToJsonb((JsonbValue *) value);

		text = JsonbToCString(NULL, &whole->root, VARSIZE(whole));
		result->type = value->type == jbvNull ? FLUCT_JSON_NULL :
			value->type == jbvNumeric ? FLUCT_JSON_NUMBER :
			value->type == jbvBool ? FLUCT_JSON_BOOL :
			text[0] == '[' ? FLUCT_JSON_ARRAY : FLUCT_JSON_OBJECT;
	}
	result->text = text;
	result->len = strlen(text);
	column->fallback = result;
}

/* Finds the attribute and the form that its type needs. */
static Form_pg_attribute
compile_attribute(Compiler *c, FluctColumn *column)
{
	Form_pg_attribute att;
	AttrNumber	attnum = get_attnum(c->target->relid, column->name);
	Oid			base;

	if (attnum == InvalidAttrNumber || attnum < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("mapping: table %s has no column \"%s\"",
						c->target->name, column->name),
				 errhint("Add the column, or take it out of the mapping with fluct.unmap_column().")));
	att = TupleDescAttr(RelationGetDescr(c->rel), attnum - 1);
	if (att->attgenerated || att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s is generated",
						column->name, c->target->name)));
	base = getBaseType(att->atttypid);
	column->attnum = attnum;
	column->type = att->atttypid;
	column->collation = att->attcollation;
	column->form = form_of(base);
	column->array_element = column->form == FLUCT_FORM_OTHER ? TEXTOID : base;
	column->nullable = !att->attnotnull;
	return att;
}

static void
compile_default(Compiler *c, FluctColumn *column)
{
	Node	   *expr = build_column_default(c->rel, column->attnum);
	Oid			send;
	bool		varlena;

	if (expr == NULL || column->form == FLUCT_FORM_OTHER)
		return;
	column->default_expr = expr;
	getTypeBinaryOutputInfo(column->type, &send, &varlena);
	fmgr_info_cxt(send, &column->send, c->mapping->context);
}

static void
compile_column(Compiler *c, FluctColumn *column, const char *name,
			   const JsonbValue *spec)
{
	static const char *const keys[] = {"path", "format", "required", "default"};
	Form_pg_attribute att;
	JsonbValue	value;
	JsonbContainer *object = NULL;
	char	   *format = NULL;

	column->name = pstrdup(name);
	att = compile_attribute(c, column);
	column->required = att->attnotnull && !att->atthasdef;
	if (spec->type == jbvString)
		column->path = pnstrdup(spec->val.string.val, spec->val.string.len);
	else if (spec->type == jbvBinary &&
			 JsonContainerIsObject(spec->val.binary.data))
	{
		object = spec->val.binary.data;
		fluct_document_check_keys(object, keys, lengthof(keys), name);
		column->path = fluct_document_text(object, "path");
		format = fluct_document_text(object, "format");
	}
	if (column->path == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s has no path", name,
						c->target->name)));
	compile_path(c, column);
	compile_format(c, column, format);
	if (object && fluct_document_member(object, "default", &value))
	{
		compile_fallback(column, &value);
		column->required = false;
	}
	if (object && fluct_document_member(object, "required", &value))
	{
		if (value.type != jbvBool)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping: \"required\" of column \"%s\" must be true or false",
							name)));
		column->required = value.val.boolean;
	}
	if (!column->required && att->atthasdef)
		compile_default(c, column);
}

static void
compile_extra(Compiler *c, FluctColumn *column, const char *name)
{
	column->name = pstrdup(name);
	compile_attribute(c, column);
	if (column->form != FLUCT_FORM_JSON && column->form != FLUCT_FORM_JSONB)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: extra column \"%s\" of %s is not of type jsonb",
						name, c->target->name)));
	column->source = FLUCT_EXTRA;
	column->path = "extra";
	column->field = -1;
}

/* ----- one target ----- */

static void
compile_columns(Compiler *c, JsonbContainer *object)
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
				 errmsg("mapping: %s has no \"columns\"", t->name)));
	t->columns = palloc0(sizeof(FluctColumn) * (JsonContainerSize(columns) + 1));
	it = JsonbIteratorInit(columns);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		JsonbIteratorNext(&it, &value, true);
		compile_column(c, &t->columns[t->ncolumns], name, &value);
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
		compile_extra(c, &t->columns[t->ncolumns++], extra);
	}
}

/* A column that is NOT NULL without a default must be mapped. */
static void
check_unmapped(Compiler *c)
{
	TupleDesc	desc = RelationGetDescr(c->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool		mapped = att->attisdropped || !att->attnotnull ||
		att->atthasdef || att->attidentity;

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
				t->columns[i].form != FLUCT_FORM_OTHER)
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
find_key(Compiler *c)
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
compile_target(Compiler *c, FluctTarget *t, Oid relid, int rowset,
			   char *rows_path, JsonbContainer *object)
{
	char		kind;

	c->target = t;
	c->rel = relation_open(relid, AccessShareLock);
	kind = c->rel->rd_rel->relkind;
	t->relid = relid;
	t->rowset = rowset;
	t->rows_path = rows_path;
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

Oid
fluct_mapping_find_relation(const char *name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));

	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, false);
}

static void
compile_child(Compiler *c, FluctTarget *t, JsonbContainer *object)
{
	static const char *const keys[] = {"target", "rows", "columns", "extra"};
	char	   *name,
			   *rows;
	int			rowset;

	fluct_document_check_keys(object, keys, lengthof(keys), "a child");
	name = fluct_document_text(object, "target");
	rows = fluct_document_text(object, "rows");
	if (name == NULL || rows == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: a child needs \"target\" and \"rows\"")));
	rowset = fluct_json_add_rowset(c->mapping->json, rows);
	if (rowset < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: invalid path \"%s\" in \"rows\" of %s", rows,
						name),
				 errhint("It names an array of the message, as in $.order_lines[*].")));
	compile_target(c, t,
				   fluct_mapping_find_relation(name),
				   rowset, rows, object);
	t->nkeys = 0;
}

static void
compile_children(Compiler *c, JsonbContainer *children)
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
					  MemoryContext parent)
{
	static const char *const keys[] = {"columns", "extra", "children"};
	MemoryContext context = AllocSetContextCreate(parent, "fluct mapping",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FluctAllocator allocator = fluct_alloc_in(context);
	Compiler	c = {0};
	JsonbContainer *children;

	if (!JB_ROOT_IS_OBJECT(mapping))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a mapping must be a JSON object")));
	fluct_document_check_keys(&mapping->root, keys, lengthof(keys), "the mapping");
	children = fluct_document_container(&mapping->root, "children", true);
	c.mapping = palloc0(sizeof(FluctMapping));
	c.mapping->context = context;
	c.mapping->json = fluct_json_create(&allocator);
	c.mapping->targets = palloc0(sizeof(FluctTarget) *
								 (1 + (children ? JsonContainerSize(children) : 0)));
	c.mapping->econtext = GetPerTupleExprContext(CreateExecutorState());
	c.mapping->ntargets = 1;
	compile_target(&c, &c.mapping->targets[0], target, FLUCT_JSON_ROOT, NULL,
				   &mapping->root);
	apply_conflict_rule(&c.mapping->targets[0], on_conflict);
	compile_children(&c, children);
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
