/*-------------------------------------------------------------------------
 *
 * column.c
 *	  One column of a mapping, compiled against its table.
 *
 * What a column's type asks for is decided once: the binary form in which its
 * values travel, the function that reads it, with the typmod, and what stands
 * for a field that is absent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "mapping/column.h"
#include "mapping/document.h"
#include "mapping/envelope.h"
#include "mapping/format.h"
#include "mapping/kafka.h"
#include "mapping/source.h"
#include "mapping/words.h"
#include "pg/sqlstate.h"

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

/*
 * `^.a` is of the row that holds this one, `^#` its number; `^^.a` is of the
 * row above that.
 */
static int
add_above(FluctCompiler *c, FluctColumn *column)
{
	FluctJson  *json = c->mapping->json;
	const char *path = column->path;
	int			rowset = c->target->rowset;

	for (; *path == '^'; path++)
	{
		if (rowset == FLUCT_JSON_ROOT)
			return -1;
		rowset = fluct_json_above(json, rowset);
	}
	if (rowset == FLUCT_JSON_ROOT)
		return -1;
	column->rowset = rowset;
	if (strcmp(path, "#") == 0)
	{
		column->source = FLUCT_ROW_NUMBER;
		return 0;
	}
	column->source = FLUCT_FROM_ROW;
	return fluct_json_add_field(json, rowset, psprintf("@%s", path));
}

/* The field that a path into the message names, or -1. */
static int
add_field(FluctCompiler *c, FluctColumn *column)
{
	int			rowset = c->target->rowset;
	FluctJson  *json = c->mapping->json;

	if (rowset == FLUCT_JSON_ROOT || column->path[0] == '$')
	{
		column->source = FLUCT_FROM_MESSAGE;
		return fluct_json_add_field(json, FLUCT_JSON_ROOT, column->path);
	}
	if (column->path[0] == '^')
		return add_above(c, column);
	column->rowset = rowset;
	if (strcmp(column->path, "#") == 0)
	{
		column->source = FLUCT_ROW_NUMBER;
		return 0;
	}
	if (strcmp(column->path, "@key") == 0)
	{
		column->source = FLUCT_ROW_KEY;
		return fluct_json_add_key(json, rowset);
	}
	column->source = FLUCT_FROM_ROW;
	return fluct_json_add_field(json, rowset, column->path);
}

void
fluct_column_compile_path(FluctCompiler *c, FluctColumn *column)
{
	bool		of_row = c->target->rowset != FLUCT_JSON_ROOT;
	int			outside;

	column->rowset = FLUCT_JSON_ROOT;
	outside = fluct_kafka_compile(c, column);
	if (outside == 0)
		outside = fluct_envelope_compile_path(c, column);
	if (outside > 0)
		return;
	column->field = outside < 0 ? -1 : add_field(c, column);
	if (column->field < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s has the invalid path \"%s\"",
						column->name, c->target->name, column->path),
				 errhint(of_row ?
						 "A path is $.field, $.list[0], $[\"odd.field\"], @.field, ^.field or ^# of the row that holds this one, #, @key, or kafka.offset, kafka.partition, kafka.timestamp, kafka.key, kafka.key.$.field, kafka.topic, kafka.headers, kafka.headers.NAME, kafka.schema_id, envelope.$.field." :
						 "A path is $.field, $.list[0], $[\"odd.field\"], or kafka.offset, kafka.partition, kafka.timestamp, kafka.key, kafka.key.$.field, kafka.topic, kafka.headers, kafka.headers.NAME, kafka.schema_id, envelope.$.field; @ and # are for children, and where the mapping has \"rows\".")));
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
		if (column->form == FLUCT_FORM_JSON || column->form == FLUCT_FORM_JSONB)
			text = fluct_source_escape(text);
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

bool
fluct_column_refuses_null(Oid type)
{
	while (get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		Form_pg_type form;
		bool		notnull;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		form = (Form_pg_type) GETSTRUCT(tuple);
		notnull = form->typnotnull;
		type = form->typbasetype;
		ReleaseSysCache(tuple);
		if (notnull)
			return true;
	}
	return false;
}

/*
 * The category of the base type; of an array, that of its elements, and of a
 * range of times, that of its bounds.
 */
static char
category_of(const FluctColumn *column)
{
	Oid			type = column->is_array ? get_element_type(column->base) : column->base;
	Oid			range = type_is_multirange(type) ? get_multirange_range(type) : type;
	char		category;
	bool		preferred;

	if (type_is_range(range))
	{
		get_type_category_preferred(get_range_subtype(range), &category, &preferred);
		if (category == TYPCATEGORY_DATETIME)
			return category;
	}
	get_type_category_preferred(type, &category, &preferred);
	return category;
}

/* Whether a value of the type may hold a numeric, as many digits as it has. */
static bool
holds_numeric(Oid type)
{
	Oid			part;
	TupleDesc	desc;
	bool		holds = false;

	check_stack_depth();
	type = getBaseType(type);
	part = get_element_type(type);
	if (type_is_multirange(type))
		part = get_multirange_range(type);
	if (type_is_range(type))
		part = get_range_subtype(type);
	if (OidIsValid(part))
		return holds_numeric(part);
	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return type == NUMERICOID || type == JSONBOID;
	desc = lookup_rowtype_tupdesc(type, -1);
	for (int i = 0; i < desc->natts && !holds; i++)
		holds = !TupleDescAttr(desc, i)->attisdropped &&
			holds_numeric(TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
	return holds;
}

static FluctColumn *
compile_element(const FluctColumn *array)
{
	FluctColumn *element = palloc0(sizeof(FluctColumn));

	element->type = get_element_type(array->base);
	element->base = getBaseType(element->type);
	element->form = form_of(element->base);
	element->category = array->category;
	element->writes_out = array->writes_out;
	return element;
}

static void
refuse_unknown_column(const FluctCompiler *c, const char *name)
{
	TupleDesc	desc = RelationGetDescr(c->rel);
	const char **names = palloc(sizeof(char *) * (desc->natts + 1));
	const char *near;
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			names[n++] = NameStr(TupleDescAttr(desc, i)->attname);
	near = fluct_words_near(name, names, n);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("mapping: table %s has no column \"%s\"",
					c->target->name, name),
			 err_generic_string(PG_DIAG_TABLE_NAME, c->target->name),
			 err_generic_string(PG_DIAG_COLUMN_NAME, name),
			 near ?
			 errhint("Did you mean \"%s\"? Otherwise add the column, or take it out of the mapping with fluct.unmap_column().",
					 near) :
			 errhint("Add the column, or take it out of the mapping with fluct.unmap_column().")));
}

/* Finds the attribute and what its type asks for. */
static void
compile_attribute(FluctCompiler *c, FluctColumn *column)
{
	Form_pg_attribute att;
	AttrNumber	attnum = get_attnum(c->target->relid, column->name);
	Oid			input;

	if (attnum == InvalidAttrNumber || attnum < 0)
		refuse_unknown_column(c, column->name);
	att = TupleDescAttr(RelationGetDescr(c->rel), attnum - 1);
	if (att->attgenerated || att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s is generated",
						column->name, c->target->name)));
	column->attnum = attnum;
	column->type = att->atttypid;
	column->typmod = att->atttypmod;
	column->base = getBaseTypeAndTypmod(att->atttypid, &column->typmod);
	column->collation = att->attcollation;
	column->form = form_of(column->base);
	column->nullable = !att->attnotnull && !fluct_column_refuses_null(att->atttypid);
	column->findings = palloc0(sizeof(FluctFindings));
	column->is_array = OidIsValid(get_element_type(column->base));
	column->category = category_of(column);
	column->writes_out = holds_numeric(column->base);
	if (column->is_array)
		column->element = compile_element(column);
	if (column->typmod >= VARHDRSZ &&
		(column->element ? column->element->base : column->base) == BPCHAROID)
		column->padded = column->typmod - VARHDRSZ;
	column->as_text = column->is_array || type_is_rowtype(column->base) ||
		!OidIsValid(get_array_type(column->base));
	if (column->form == FLUCT_FORM_OTHER)
		getTypeInputInfo(column->base, &input, &column->ioparam);
	else
		getTypeBinaryInputInfo(column->base, &input, &column->ioparam);
	fmgr_info_cxt(input, &column->input, c->mapping->context);
}

/*
 * An input function sees nothing but the value.  So what it raises is about the
 * value, be it a syntax error in a tsvector (42601) or in an hstore (XX000), or
 * the name of a table that does not exist (42P01), unless it may pass.
 */
static Datum
read_text(const FluctColumn *column, const char *data, int len)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *text = pnstrdup(data, len);
	ErrorData  *error;
	Datum		value = (Datum) 0;

	PG_TRY();
	{
		value = InputFunctionCall((FmgrInfo *) &column->input, text,
								  column->ioparam, column->typmod);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (fluct_sqlstate_is_of_data(error->sqlerrcode) ||
			fluct_sqlstate_may_pass(error->sqlerrcode) ||
			fluct_sqlstate_is_damage(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		error->sqlerrcode = ERRCODE_INVALID_TEXT_REPRESENTATION;
		ReThrowError(error);
	}
	PG_END_TRY();
	pfree(text);
	return value;
}

Datum
fluct_column_receive(const FluctColumn *column, const char *data, int len)
{
	StringInfoData buf;

	if (column->form == FLUCT_FORM_OTHER)
		return read_text(column, data, len);
	buf.data = (char *) data;
	buf.len = len;
	buf.maxlen = len;
	buf.cursor = 0;
	return ReceiveFunctionCall((FmgrInfo *) &column->input, &buf,
							   column->ioparam, column->typmod);
}

/* The table's own default, which may be an identity's or a domain's. */
static void
compile_default(FluctCompiler *c, FluctColumn *column, Node *expr)
{
	Oid			send;
	bool		varlena;

	column->default_expr = expr;
	if (column->form == FLUCT_FORM_OTHER)
		getTypeOutputInfo(column->type, &send, &varlena);
	else
		getTypeBinaryOutputInfo(column->type, &send, &varlena);
	fmgr_info_cxt(send, &column->send, c->mapping->context);
}

void
fluct_column_compile(FluctCompiler *c, FluctColumn *column, const char *name,
					 const JsonbValue *spec)
{
	static const char *const keys[] = {"path", "format", "required", "default",
	"time_zone", "scale", "inner", "null"};
	JsonbValue	value;
	JsonbContainer *object = NULL;
	Node	   *expr;

	column->name = pstrdup(name);
	compile_attribute(c, column);
	expr = build_column_default(c->rel, column->attnum);
	column->required = !column->nullable && expr == NULL;
	if (spec->type == jbvString)
		column->path = pnstrdup(spec->val.string.val, spec->val.string.len);
	else if (spec->type == jbvBinary &&
			 JsonContainerIsObject(spec->val.binary.data))
	{
		object = spec->val.binary.data;
		fluct_document_check_keys(object, keys, lengthof(keys), name);
		column->path = fluct_document_text(object, "path");
	}
	if (column->path == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s has no path", name,
						c->target->name)));
	fluct_column_compile_path(c, column);
	fluct_format_compile(c, column, object);
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
	if (!column->required && expr)
		compile_default(c, column, expr);
	fluct_source_check(column, c->target->name);
}

void
fluct_column_compile_extra(FluctCompiler *c, FluctColumn *column, const char *name)
{
	Node	   *expr;

	column->name = pstrdup(name);
	compile_attribute(c, column);
	expr = build_column_default(c->rel, column->attnum);
	if (expr)
		compile_default(c, column, expr);
	if (column->form != FLUCT_FORM_JSON && column->form != FLUCT_FORM_JSONB)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: extra column \"%s\" of %s is not of type jsonb",
						name, c->target->name)));
	column->source = FLUCT_EXTRA;
	column->rowset = c->target->rowset;
	column->path = "extra";
	column->field = -1;
}
