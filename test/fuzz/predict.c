/*-------------------------------------------------------------------------
 *
 * predict.c
 *	  What must become of a message, by PostgreSQL's own JSON parser and input
 *	  functions and by the rules of the contract.
 *
 * jsonb_in reads the message, and the input function of a column's type reads
 * the field; nothing of fluct's scanner or encoder is used.  Where the contract
 * is stricter than PostgreSQL, its rule stands here a second time, in a slower
 * and simpler way: that is the list of all disagreements that are meant.
 *
 * - The message: an object without duplicate keys, of at most 64 levels.
 * - A number that is stored as numeric or in jsonb has at most 1,000 digits as
 *	 numeric_out writes it.
 * - A path steps into objects, null and nothing.
 * - A string is no number and a number no string, unless the format says so.
 * - An integer may be written 3.0.
 * - A timestamp has the shape of RFC 3339, with or without seconds, whatever
 *	 else timestamptz_in knows; one that is a number is of the years 1900 to
 *	 9999; then an offset may reach 23:59, where timestamptz_in ends at 15:59, a
 *	 fraction may have any length, and 23:59:60.5 is half a second into the next
 *	 day, which timestamptz_in refuses.  A date is YYYY-MM-DD.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"
#include "predict.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "json/number.h"

#define SCAN_REASONS \
	(FUZZ_REASON(FLUCT_INVALID_JSON) | FUZZ_REASON(FLUCT_DUPLICATE_KEY) | \
	 FUZZ_REASON(FLUCT_TOO_DEEP) | FUZZ_REASON(FLUCT_OUT_OF_RANGE))

/* Digits of a fraction that a double could tell apart. */
#define FRACTION_DIGITS		20

/* ----- input functions ----- */

int
fuzz_try_input(Oid type, char *text, Datum *result)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	volatile int sqlstate = 0;
	Oid			function;
	Oid			param;

	getTypeInputInfo(type, &function, &param);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		*result = OidInputFunctionCall(function, text, param, -1);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		sqlstate = geterrcode();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;
	return sqlstate;
}

char *
fuzz_output(Oid type, Datum value)
{
	Oid			function;
	bool		varlena;

	getTypeOutputInfo(type, &function, &varlena);
	return OidOutputFunctionCall(function, value);
}

static char *
numeric_text(Numeric value)
{
	return fuzz_output(NUMERICOID, NumericGetDatum(value));
}

static bool
has_more_digits(Numeric value)
{
	char	   *text = numeric_text(value);
	size_t		digits = strlen(text) - (text[0] == '-') - (strchr(text, '.') != NULL);

	return digits > FLUCT_MAX_DIGITS;
}

/* ----- the message ----- */

/* Brackets open at one time, and members, of what is known to be JSON. */
static void
measure(const char *bytes, size_t len, int *depth, int *members)
{
	int			open = 0;
	bool		string = false;

	*depth = *members = 0;
	for (size_t i = 0; i < len; i++)
	{
		char		c = bytes[i];

		if (string && c == '\\')
			i++;
		else if (c == '"')
			string = !string;
		else if (!string)
		{
			open += c == '{' || c == '[';
			open -= c == '}' || c == ']';
			*depth = Max(*depth, open);
			*members += c == ':';
		}
	}
}

/* Members that jsonb kept, of which it keeps one a key; and long numbers. */
static void
measure_jsonb(JsonbContainer *container, int *members, bool *long_number)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;

	*members = 0;
	*long_number = false;
	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		*members += token == WJB_KEY;
		if ((token == WJB_VALUE || token == WJB_ELEM) &&
			value.type == jbvNumeric && has_more_digits(value.val.numeric))
			*long_number = true;
	}
}

static uint32
reasons_of_json(Jsonb *jsonb, const char *bytes, size_t len)
{
	uint32		reasons = 0;
	int			depth;
	int			members;
	int			kept;
	bool		long_number;

	measure(bytes, len, &depth, &members);
	measure_jsonb(&jsonb->root, &kept, &long_number);
	if (members > kept)
		reasons |= FUZZ_REASON(FLUCT_DUPLICATE_KEY);
	if (depth > 64)
		reasons |= FUZZ_REASON(FLUCT_TOO_DEEP);
	if (members == kept && depth <= 64 &&
		!JB_ROOT_IS_OBJECT(jsonb))
		reasons = FUZZ_REASON(FLUCT_NOT_AN_OBJECT);
	return reasons;
}

/* The whole message as jsonb, or NULL with the reasons that may be given. */
static Jsonb *
read_message(FuzzPrediction *prediction, const char *bytes, size_t len)
{
	char	   *text = pnstrdup(bytes, len);
	bool		encoded = pg_verify_mbstr(PG_UTF8, bytes, len, true);
	bool		nul = memchr(bytes, '\0', len) != NULL;
	Datum		result = (Datum) 0;

	/* pg_verify_mbstr refuses NUL as well */
	if (!nul && encoded)
		prediction->sqlstate = fuzz_try_input(JSONBOID, text, &result);
	else
		prediction->sqlstate = ERRCODE_CHARACTER_NOT_IN_REPERTOIRE;
	if (prediction->sqlstate == 0)
		return DatumGetJsonbP(result);
	prediction->reasons = SCAN_REASONS;
	if (len == 0)
		prediction->reasons = FUZZ_REASON(FLUCT_EMPTY_VALUE);
	if (nul || strstr(text, "\\u0000"))
		prediction->reasons |= FUZZ_REASON(FLUCT_NUL);
	if (!encoded)
		prediction->reasons |= FUZZ_REASON(FLUCT_INVALID_ENCODING);
	prediction->unknown =
		prediction->sqlstate == ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
	return NULL;
}

/* ----- a value of a column ----- */

typedef struct Expectation
{
	uint32		reasons;
	FuzzExpected *expected;
} Expectation;

static void
refuse(Expectation *e, FluctReason reason)
{
	e->reasons |= FUZZ_REASON(reason);
}

static char *
string_of(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* What the type's input function makes of the text, or the reason. */
static void
expect_input(Expectation *e, Oid type, char *text, FluctReason reason)
{
	Datum		result;

	if (fuzz_try_input(type, text, &result) != 0)
		refuse(e, reason);
	else
		e->expected->text = fuzz_output(type, result);
}

static Oid
type_of_form(FluctForm form)
{
	return form == FLUCT_FORM_INT2 ? INT2OID :
		form == FLUCT_FORM_INT4 ? INT4OID :
		form == FLUCT_FORM_INT8 ? INT8OID :
		form == FLUCT_FORM_FLOAT4 ? FLOAT4OID :
		form == FLUCT_FORM_FLOAT8 ? FLOAT8OID : NUMERICOID;
}

static void
expect_number(Expectation *e, FluctForm form, Numeric value)
{
	Datum		datum = NumericGetDatum(value);
	Datum		whole = DirectFunctionCall2(numeric_trunc, datum, Int32GetDatum(0));
	bool		integer = form == FLUCT_FORM_INT2 || form == FLUCT_FORM_INT4 ||
	form == FLUCT_FORM_INT8;

	if ((integer || form == FLUCT_FORM_NUMERIC) && has_more_digits(value))
		refuse(e, FLUCT_OUT_OF_RANGE);
	else if (integer && !DatumGetBool(DirectFunctionCall2(numeric_eq, datum, whole)))
		refuse(e, FLUCT_WRONG_TYPE);
	else
		expect_input(e, type_of_form(form),
					 numeric_text(integer ? DatumGetNumeric(whole) :
								  form == FLUCT_FORM_NUMERIC ? value :
								  DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, datum))),
					 FLUCT_OUT_OF_RANGE);
}

/* Whether the text is that of a JSON number; else the value is refused. */
static bool
is_number_text(Expectation *e, char *text)
{
	Datum		result;

	if (text[0] == '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
	{
		refuse(e, FLUCT_WRONG_TYPE);
		refuse(e, FLUCT_NOT_FINITE);
		return false;
	}
	if (fuzz_try_input(JSONOID, text, &result) == 0)
		return true;
	refuse(e, FLUCT_WRONG_TYPE);
	return false;
}

/* Its value; false where no numeric holds it. */
static bool
read_number(char *text, JsonbValue *number)
{
	Datum		result;

	return fuzz_try_input(JSONBOID, text, &result) == 0 &&
		JsonbExtractScalar(&DatumGetJsonbP(result)->root, number);
}

/* A string that is the text of a JSON number. */
static void
expect_number_text(Expectation *e, FluctForm form, const JsonbValue *value)
{
	char	   *text = string_of(value);
	JsonbValue	number;

	if (!is_number_text(e, text))
		return;
	if (form == FLUCT_FORM_FLOAT4 || form == FLUCT_FORM_FLOAT8)
	{
		/* no numeric on the way: a float takes any number of digits */
		expect_input(e, type_of_form(form), text, FLUCT_OUT_OF_RANGE);
		if (e->expected->text && strcmp(e->expected->text, "-0") == 0)
			e->expected->text = "0";
	}
	else if (!read_number(text, &number))
		refuse(e, FLUCT_OUT_OF_RANGE);
	else
		expect_number(e, form, number.val.numeric);
}

/* Whether the text has the shape, in which 0 stands for any digit. */
static bool
has_shape(const char *text, const char *shape)
{
	for (; *shape != '\0'; shape++, text++)
		if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
			return false;
	return true;
}

/*
 * RFC 3339's date-time with an optional offset; fills the place of the offset
 * and of the end of the digits of a fraction that are worth reading.
 */
static bool
is_rfc3339(const char *text, const char **worth, const char **offset)
{
	const char *p = text + 11;

	if (!has_shape(text, "0000-00-00") || text[10] == '\0' ||
		strchr("Tt ", text[10]) == NULL || !has_shape(p, "00:00") ||
		strncmp(p, "24", 2) > 0)
		return false;
	p += has_shape(p, "00:00:00") ? 8 : 5;
	*worth = p;
	if (*p == '.' && p == text + 19)
	{
		size_t		n = strspn(p + 1, "0123456789");

		if (n == 0)
			return false;
		*worth = p + 1 + Min(n, FRACTION_DIGITS);
		p += 1 + n;
	}
	*offset = p;
	if (*p == '\0' || strcmp(p, "Z") == 0 || strcmp(p, "z") == 0)
		return true;
	if ((*p != '+' && *p != '-') || !has_shape(p + 1, "00"))
		return false;
	if (strcmp(p + 3, "") != 0 &&
		!(strlen(p) == 5 && has_shape(p + 3, "00")) &&
		!(strlen(p) == 6 && has_shape(p + 3, ":00")))
		return false;
	return strncmp(p + 1, "24", 2) < 0;
}

/*
 * What timestamptz_in makes of it without the offset, less the offset; and
 * without second 60.
 */
static int
add_offset(const char *text, const char *worth, const char *offset,
		   Datum *result)
{
	char	   *plain = psprintf("%.*sZ", (int) (worth - text), text);
	bool		leap = strlen(text) > 18 && text[16] == ':' &&
	strncmp(text + 17, "60", 2) == 0;
	int			hours = 0;
	int			minutes = 0;
	int			sqlstate;

	if (leap)
		memcpy(plain + 17, "59", 2);
	sqlstate = fuzz_try_input(TIMESTAMPTZOID, plain, result);
	if (*offset == '+' || *offset == '-')
	{
		hours = (offset[1] - '0') * 10 + offset[2] - '0';
		if (offset[3] != '\0')
			minutes = atoi(offset + 3 + (offset[3] == ':'));
	}
	if (minutes > 59)
		return ERRCODE_DATETIME_FIELD_OVERFLOW;
	if (sqlstate == 0)
		*result = TimestampTzGetDatum(DatumGetTimestampTz(*result) -
									  (*offset == '-' ? -1 : 1) *
									  (hours * 60 + minutes) * USECS_PER_MINUTE +
									  (leap ? USECS_PER_SEC : 0));
	return sqlstate;
}

static void
expect_timestamp(Expectation *e, Oid type, const JsonbValue *value)
{
	char	   *text = string_of(value);
	const char *worth;
	const char *offset;
	Datum		result;

	if (!is_rfc3339(text, &worth, &offset) ||
		(fuzz_try_input(TIMESTAMPTZOID, text, &result) != 0 &&
		 add_offset(text, worth, offset, &result) != 0))
		refuse(e, FLUCT_BAD_TIMESTAMP);
	else
		e->expected->text = fuzz_output(type, result);
}

static TimestampTz
time_of(char *text)
{
	Datum		result = (Datum) 0;

	if (fuzz_try_input(TIMESTAMPTZOID, text, &result) != 0)
		elog(ERROR, "not a time: %s", text);
	return DatumGetTimestampTz(result);
}

/* Seconds or milliseconds since 1970, as PostgreSQL's microseconds. */
static void
expect_epoch(Expectation *e, FluctFormat format, Numeric value)
{
	Datum		factor = DirectFunctionCall1(int8_numeric,
											 Int64GetDatum(format == FLUCT_FORMAT_EPOCH_S ?
														   1000000 : 1000));
	Datum		since = DirectFunctionCall1(int8_numeric,
											Int64GetDatum((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
														  USECS_PER_DAY));
	Datum		usecs;
	Datum		most = DirectFunctionCall1(int8_numeric, Int64GetDatum(PG_INT64_MAX));
	Datum		result;

	/* so far away that the multiplication could overflow */
	if (DatumGetBool(DirectFunctionCall2(numeric_gt,
										 DirectFunctionCall1(numeric_abs, NumericGetDatum(value)),
										 most)))
	{
		refuse(e, FLUCT_BAD_TIMESTAMP);
		return;
	}
	usecs = DirectFunctionCall2(numeric_mul, NumericGetDatum(value), factor);
	usecs = DirectFunctionCall2(numeric_sub, usecs, since);
	usecs = DirectFunctionCall2(numeric_round, usecs, Int32GetDatum(0));
	if (fuzz_try_input(INT8OID, numeric_text(DatumGetNumeric(usecs)), &result) != 0 ||
		DatumGetInt64(result) < time_of("1900-01-01") ||
		DatumGetInt64(result) >= time_of("10000-01-01"))
		refuse(e, FLUCT_BAD_TIMESTAMP);
	else
	{
		e->expected->nearly = true;
		e->expected->text = fuzz_output(TIMESTAMPTZOID, result);
	}
}

/* A string that is a time since 1970. */
static void
expect_epoch_text(Expectation *e, FluctFormat format, const JsonbValue *value)
{
	char	   *text = string_of(value);
	JsonbValue	number;

	if (!is_number_text(e, text))
		return;
	if (!read_number(text, &number) || has_more_digits(number.val.numeric))
		refuse(e, FLUCT_BAD_TIMESTAMP);
	else
		expect_epoch(e, format, number.val.numeric);
}

static void
expect_string(Expectation *e, const FluctColumn *column, Oid type,
			  const JsonbValue *value)
{
	char	   *text = string_of(value);

	switch (column->form)
	{
		case FLUCT_FORM_TEXT:
		case FLUCT_FORM_OTHER:
			e->expected->text = text;
			if (text[0] == '\0' && column->key)
				refuse(e, FLUCT_EMPTY_KEY);
			break;
		case FLUCT_FORM_BYTEA:
			expect_input(e, BYTEAOID, text, FLUCT_WRONG_TYPE);
			break;
		case FLUCT_FORM_UUID:
			expect_input(e, UUIDOID, text, FLUCT_WRONG_TYPE);
			break;
		case FLUCT_FORM_DATE:
			if (strlen(text) == 10 && has_shape(text, "0000-00-00"))
				expect_input(e, DATEOID, text, FLUCT_BAD_TIMESTAMP);
			else
				refuse(e, FLUCT_BAD_TIMESTAMP);
			break;
		case FLUCT_FORM_TIMESTAMP:
			if (column->format == FLUCT_FORMAT_PLAIN)
				expect_timestamp(e, type, value);
			else
				expect_epoch_text(e, column->format, value);
			break;
		default:
			if (column->format == FLUCT_FORMAT_TEXT)
				expect_number_text(e, column->form, value);
			else
				refuse(e, FLUCT_WRONG_TYPE);
	}
}

static void
expect_value(Expectation *e, const FluctColumn *column, JsonbValue *value)
{
	bool		epoch = column->format == FLUCT_FORMAT_EPOCH_S ||
	column->format == FLUCT_FORMAT_EPOCH_MS;
	bool		number = column->form >= FLUCT_FORM_INT2 &&
	column->form <= FLUCT_FORM_FLOAT8 && column->format == FLUCT_FORMAT_PLAIN;
	Jsonb	   *jsonb;

	if (column->form == FLUCT_FORM_JSON || column->form == FLUCT_FORM_JSONB)
	{
		int			members;
		bool		long_number;

		jsonb = JsonbValueToJsonb(value);
		e->expected->text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
		measure_jsonb(&jsonb->root, &members, &long_number);
		if (long_number && column->form == FLUCT_FORM_JSONB)
			refuse(e, FLUCT_OUT_OF_RANGE);
	}
	else if (value->type == jbvString)
		expect_string(e, column, getBaseType(column->type), value);
	else if (value->type == jbvNumeric && number)
		expect_number(e, column->form, value->val.numeric);
	else if (value->type == jbvNumeric && epoch)
		expect_epoch(e, column->format, value->val.numeric);
	else if (value->type == jbvBool && column->form == FLUCT_FORM_BOOL)
		e->expected->text = value->val.boolean ? "t" : "f";
	else
		refuse(e, FLUCT_WRONG_TYPE);
}

/* ----- fields and rows ----- */

/*
 * The value at `$.a.b` or `@.a.b`, or NULL; *misstep is set where the path
 * goes on into a value that has no members.
 */
static JsonbValue *
find_value(JsonbContainer *object, const char *path, bool *misstep)
{
	JsonbValue *value = NULL;
	size_t		len;

	for (path += 2; object != NULL; path += len + 1)
	{
		len = strcspn(path, ".");
		if (!JsonContainerIsObject(object))
		{
			*misstep = true;
			return NULL;
		}
		value = getKeyJsonValueFromContainer(object, path, len, NULL);
		if (value == NULL || path[len] == '\0')
			return value;
		*misstep |= value->type != jbvBinary && value->type != jbvNull;
		object = value->type == jbvBinary ? value->val.binary.data : NULL;
	}
	return NULL;
}

/* Whether a path of the mapping begins with that key of message or row. */
static bool
is_mapped(const FluctMapping *mapping, int rowset, const JsonbValue *key)
{
	for (int t = 0; t < mapping->ntargets; t++)
	{
		const FluctTarget *target = &mapping->targets[t];

		for (int i = -1; i < target->ncolumns; i++)
		{
			const char *path = i < 0 ? target->rows_path : target->columns[i].path;
			bool		of_row = path && path[0] == '@';

			if (path == NULL || (path[0] != '$' && path[0] != '@') ||
				(of_row ? target->rowset != rowset : rowset != FLUCT_JSON_ROOT))
				continue;
			if (strcspn(path + 2, ".[") == key->val.string.len &&
				strncmp(path + 2, key->val.string.val, key->val.string.len) == 0)
				return true;
		}
	}
	return false;
}

/* What `extra` holds: the object without the keys that are mapped. */
static void
expect_extra(Expectation *e, const FluctMapping *mapping, int rowset,
			 JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	Datum		rest;
	int			members;
	bool		long_number;

	if (!JsonContainerIsObject(object))
		return;
	rest = DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(JsonbToCString(NULL, object, 0)));
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		if (token == WJB_KEY && is_mapped(mapping, rowset, &key))
			rest = DirectFunctionCall2(jsonb_delete, rest,
									   PointerGetDatum(cstring_to_text_with_len(key.val.string.val,
																				key.val.string.len)));
	if (JB_ROOT_COUNT(DatumGetJsonbP(rest)) > 0)
		e->expected->text = fuzz_output(JSONBOID, rest);
	measure_jsonb(&DatumGetJsonbP(rest)->root, &members, &long_number);
	if (long_number)
		refuse(e, FLUCT_OUT_OF_RANGE);
}

static void
expect_row(FuzzPrediction *prediction, const FluctMapping *mapping,
		   const FluctTarget *target, JsonbContainer *root,
		   JsonbContainer *element, int number)
{
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];
		FuzzExpected *expected = palloc0(sizeof(FuzzExpected));
		Expectation e = {0, expected};
		JsonbValue *value = NULL;
		bool		misstep = false;

		expected->column = column;
		prediction->values = lappend(prediction->values, expected);
		if (column->source == FLUCT_EXTRA)
		{
			expect_extra(&e, mapping, target->rowset, element ? element : root);
			prediction->reasons |= e.reasons;
			continue;
		}
		if (column->source == FLUCT_ROW_NUMBER)
		{
			expected->text = psprintf("%d", number);
			continue;
		}
		value = find_value(column->source == FLUCT_FROM_ROW ? element : root,
						   column->path, &misstep);
		if (misstep)
			refuse(&e, FLUCT_WRONG_TYPE);
		if (value != NULL && value->type != jbvNull)
			expect_value(&e, column, value);
		else if (column->required || !column->nullable)
			refuse(&e, value ? FLUCT_NULL_FIELD : FLUCT_MISSING_FIELD);
		prediction->reasons |= e.reasons;
	}
}

static void
expect_rows(FuzzPrediction *prediction, const FluctMapping *mapping,
			const FluctTarget *target, JsonbContainer *root)
{
	char	   *path = pnstrdup(target->rows_path, strlen(target->rows_path) - 3);
	bool		misstep = false;
	JsonbValue *rows = find_value(root, path, &misstep);
	int			n;

	if (rows == NULL || rows->type != jbvBinary ||
		!JsonContainerIsArray(rows->val.binary.data))
	{
		prediction->reasons |= FUZZ_REASON(rows == NULL ? FLUCT_MISSING_FIELD :
										   rows->type == jbvNull ? FLUCT_NULL_FIELD :
										   FLUCT_WRONG_TYPE);
		return;
	}
	n = JsonContainerSize(rows->val.binary.data);
	for (int i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(rows->val.binary.data, i);

		if (element->type != jbvBinary ||
			!JsonContainerIsObject(element->val.binary.data))
			prediction->reasons |= FUZZ_REASON(FLUCT_WRONG_TYPE);
		else
			expect_row(prediction, mapping, target, root,
					   element->val.binary.data, i + 1);
	}
}

void
fuzz_predict(FuzzPrediction *prediction, const FluctMapping *mapping,
			 const char *bytes, size_t len)
{
	Jsonb	   *jsonb;

	memset(prediction, 0, sizeof(*prediction));
	jsonb = read_message(prediction, bytes, len);
	if (jsonb == NULL)
		return;
	prediction->reasons = reasons_of_json(jsonb, bytes, len);
	if (prediction->reasons != 0)
		return;
	expect_row(prediction, mapping, &mapping->targets[0], &jsonb->root, NULL, 0);
	for (int t = 1; t < mapping->ntargets; t++)
		expect_rows(prediction, mapping, &mapping->targets[t], &jsonb->root);
}
