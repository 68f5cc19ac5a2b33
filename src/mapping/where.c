/*-------------------------------------------------------------------------
 *
 * where.c
 *	  Which messages a condition of a mapping means.
 *
 * {"$.type": ["order", "return"], "kafka.headers.region": "eu"}: each path has
 * the value, or one of those of a list.  Strings, numbers, true and false equal
 * their like; null also a path that the message does not have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "json/number.h"
#include "json/string.h"
#include "mapping/column.h"
#include "mapping/document.h"
#include "mapping/envelope.h"
#include "mapping/kafka.h"
#include "mapping/where.h"

/* One path, and the values that it may have. */
typedef struct Term
{
	FluctColumn column;
	int			nvalues;
	FluctJsonValue *values;		/* unescaped */
} Term;

struct FluctWhere
{
	int			nterms;
	Term	   *terms;
};

/* ----- compiling ----- */

static void
take_value(const char *path, const JsonbValue *from, FluctJsonValue *value)
{
	switch (from->type)
	{
		case jbvNull:
			value->type = FLUCT_JSON_NULL;
			value->text = "null";
			break;
		case jbvBool:
			value->type = FLUCT_JSON_BOOL;
			value->text = from->val.boolean ? "true" : "false";
			break;
		case jbvString:
			value->type = FLUCT_JSON_STRING;
			value->text = pnstrdup(from->val.string.val, from->val.string.len);
			break;
		case jbvNumeric:
			value->type = FLUCT_JSON_NUMBER;
			value->text = DatumGetCString(DirectFunctionCall1(numeric_out,
															  NumericGetDatum(from->val.numeric)));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping: the condition on %s is not a value or a list of values", path)));
	}
	value->len = strlen(value->text);
}

static void
compile_values(Term *term, const JsonbValue *value)
{
	JsonbContainer *list;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
	{
		term->nvalues = 1;
		term->values = palloc0(sizeof(FluctJsonValue));
		take_value(term->column.path, value, term->values);
		return;
	}
	list = value->val.binary.data;
	term->nvalues = JsonContainerSize(list);
	term->values = palloc0(sizeof(FluctJsonValue) * (term->nvalues + 1));
	for (int i = 0; i < term->nvalues; i++)
		take_value(term->column.path, getIthJsonbValueFromContainer(list, i),
				   &term->values[i]);
}

static void
compile_term(FluctCompiler *c, Term *term, const char *path, const JsonbValue *value)
{
	FluctColumn *column = &term->column;

	column->name = "where";
	column->path = pstrdup(path);
	column->form = FLUCT_FORM_TEXT;
	fluct_column_compile_path(c, column);
	if (column->source != FLUCT_FROM_MESSAGE && column->source != FLUCT_FROM_ENVELOPE &&
		column->source != FLUCT_KAFKA_KEY && column->source != FLUCT_KAFKA_KEY_PATH && column->source != FLUCT_KAFKA_HEADER &&
		column->source != FLUCT_KAFKA_TOPIC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: a condition cannot be on %s", path),
				 errhint("It is on a path of the message, or on kafka.key, kafka.key.$.field, kafka.headers.NAME, kafka.topic or envelope.$.field.")));
	compile_values(term, value);
}

FluctWhere *
fluct_where_compile(FluctCompiler *c, JsonbContainer *object, const char *key)
{
	JsonbContainer *terms = fluct_document_container(object, key, false);
	FluctWhere *where;
	JsonbIterator *it;
	JsonbValue	name,
				value;

	if (terms == NULL)
		return NULL;
	where = palloc0(sizeof(FluctWhere));
	where->terms = palloc0(sizeof(Term) * (JsonContainerSize(terms) + 1));
	it = JsonbIteratorInit(terms);
	for (;;)
	{
		JsonbIteratorToken token = JsonbIteratorNext(&it, &name, true);

		if (token == WJB_DONE)
			break;
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&it, &value, true);
		compile_term(c, &where->terms[where->nterms++],
					 pnstrdup(name.val.string.val, name.val.string.len), &value);
	}
	if (where->nterms == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"%s\" has no condition", key),
				 errhint("It is such as {\"$.type\": [\"order\", \"return\"]}.")));
	return where;
}

/* ----- messages ----- */

static bool
is_equal_number(const FluctJsonValue *one, const FluctJsonValue *other)
{
	if (one->len == other->len && memcmp(one->text, other->text, one->len) == 0)
		return true;
	if (fluct_number_check(one->text, one->len) != FLUCT_OK)
		return false;
	return DatumGetBool(DirectFunctionCall2(numeric_eq,
											DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(one->text, one->len)),
																ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)),
											DirectFunctionCall3(numeric_in, CStringGetDatum(other->text),
																ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

static bool
is_equal_string(const FluctJsonValue *one, const FluctJsonValue *wanted)
{
	char	   *plain;
	size_t		len;
	bool		same;

	if (!one->escaped)
		return one->len == wanted->len && memcmp(one->text, wanted->text, one->len) == 0;
	plain = palloc(one->len + 1);
	len = fluct_string_unescape(one->text, one->len, plain);
	same = len == wanted->len && memcmp(plain, wanted->text, len) == 0;
	pfree(plain);
	return same;
}

static bool
is_equal(const FluctJsonValue *value, const FluctJsonValue *wanted)
{
	if (value->type == FLUCT_JSON_ABSENT)
		return wanted->type == FLUCT_JSON_NULL;
	if (value->type != wanted->type)
		return false;
	if (value->type == FLUCT_JSON_STRING)
		return is_equal_string(value, wanted);
	if (value->type == FLUCT_JSON_NUMBER)
		return is_equal_number(value, wanted);
	return value->text[0] == wanted->text[0];
}

/* A path that cannot be read (a key that is not JSON) has no value. */
static void
read_value(FluctMapping *mapping, const FluctColumn *column,
		   const FluctKafka *kafka, FluctJsonValue *value)
{
	bool		raw;

	value->type = FLUCT_JSON_ABSENT;
	value->escaped = false;
	switch (column->source)
	{
		case FLUCT_FROM_MESSAGE:
			*value = *fluct_json_field(mapping->json, column->field);
			break;
		case FLUCT_FROM_ENVELOPE:
			*value = *fluct_envelope_value(mapping, column);
			break;
		case FLUCT_KAFKA_KEY:
			value->type = kafka->message->key ? FLUCT_JSON_STRING : FLUCT_JSON_ABSENT;
			value->text = kafka->message->key;
			value->len = kafka->message->key_len;
			break;
		case FLUCT_KAFKA_TOPIC:
			value->type = FLUCT_JSON_STRING;
			value->text = kafka->topic;
			value->len = strlen(kafka->topic);
			break;
		default:
			if (fluct_kafka_value(mapping, column, kafka->message, value, &raw) != FLUCT_OK)
				value->type = FLUCT_JSON_ABSENT;
			break;
	}
}

bool
fluct_where_holds(FluctMapping *mapping, const FluctWhere *where,
				  const FluctKafka *kafka, bool scanned)
{
	for (int i = 0; i < where->nterms; i++)
	{
		const Term *term = &where->terms[i];
		FluctJsonValue value;
		bool		found = false;

		if ((!scanned && term->column.source == FLUCT_FROM_MESSAGE) ||
			(kafka->message->value == NULL && term->column.source == FLUCT_FROM_ENVELOPE))
			continue;
		read_value(mapping, &term->column, kafka, &value);
		for (int v = 0; v < term->nvalues && !found; v++)
			found = is_equal(&value, &term->values[v]);
		if (!found)
			return false;
	}
	return true;
}
