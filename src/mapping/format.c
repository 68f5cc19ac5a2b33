/*-------------------------------------------------------------------------
 *
 * format.c
 *	  How a value is written in a message: a column's "format" and "null".
 *
 * A format turns the value in the message into another one, which the column's
 * type then reads as if the message had held that (encode.c).  A column with
 * neither a format of this kind nor "null" has no `reading`, and its values do
 * not come here.
 *
 * Local times.  With "time_zone", a time without an offset is one of that zone,
 * as in timestamptz_in: in the hour that is skipped in spring it is read with
 * the offset before the change, and in the hour that comes twice in autumn with
 * the offset after it, which is the standard time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "json/binary.h"
#include "json/number.h"
#include "json/string.h"
#include "mapping/bytes.h"
#include "mapping/document.h"
#include "mapping/encode.h"
#include "mapping/format.h"
#include "mapping/words.h"
#include "pg/alloc.h"

/* A format's name, and the columns that may have it. */
typedef struct Format
{
	const char *name;
	FluctFormat format;
	bool		converts;		/* its values are read here */
	bool		(*may) (const FluctColumn *column);
} Format;

static bool
is_time(const FluctColumn *column)
{
	return column->form == FLUCT_FORM_TIMESTAMP;
}

static bool
is_date(const FluctColumn *column)
{
	return column->form == FLUCT_FORM_DATE;
}

static bool
is_number(const FluctColumn *column)
{
	return column->form >= FLUCT_FORM_INT2 && column->form <= FLUCT_FORM_FLOAT8;
}

static bool
is_text(const FluctColumn *column)
{
	return column->form == FLUCT_FORM_TEXT ||
		(column->form == FLUCT_FORM_OTHER && column->category == TYPCATEGORY_STRING);
}

static bool
is_boolean(const FluctColumn *column)
{
	return column->form == FLUCT_FORM_BOOL;
}

static bool
is_bytes(const FluctColumn *column)
{
	return column->form == FLUCT_FORM_BYTEA || column->form == FLUCT_FORM_TEXT;
}

static bool
is_any(const FluctColumn *column)
{
	return true;
}

/* `text` is listed twice: for columns of text and of numbers. */
static const Format formats[] = {
	{"iso8601", FLUCT_FORMAT_PLAIN, false, is_time},
	{"epoch_s", FLUCT_FORMAT_EPOCH_S, true, is_time},
	{"epoch_ms", FLUCT_FORMAT_EPOCH_MS, true, is_time},
	{"epoch_us", FLUCT_FORMAT_EPOCH_US, true, is_time},
	{"epoch_ns", FLUCT_FORMAT_EPOCH_NS, true, is_time},
	{"epoch_days", FLUCT_FORMAT_EPOCH_DAYS, true, is_date},
	{"text", FLUCT_FORMAT_TEXT, false, is_number},
	{"text", FLUCT_FORMAT_SCALAR, true, is_text},
	{"number", FLUCT_FORMAT_NUMBER, true, is_number},
	{"boolean", FLUCT_FORMAT_BOOLEAN, true, is_boolean},
	{"base64", FLUCT_FORMAT_BASE64, true, is_bytes},
	{"hex", FLUCT_FORMAT_HEX, true, is_bytes},
	{"decimal", FLUCT_FORMAT_DECIMAL, true, is_number},
	{"json", FLUCT_FORMAT_JSON, true, is_any},
};

/* ----- compiling ----- */

static void
refuse_format(const FluctCompiler *c, const FluctColumn *column, const char *name)
{
	const char *names[lengthof(formats)];
	bool		known = false;
	const char *near;

	for (int i = 0; i < lengthof(formats); i++)
	{
		names[i] = formats[i].name;
		known |= strcmp(name, names[i]) == 0;
	}
	near = known ? NULL : fluct_words_near(name, names, lengthof(names));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("mapping: column \"%s\" of %s cannot have the format \"%s\"",
					column->name, c->target->name, name),
			 errdetail("The column is of type %s.", format_type_be(column->type)),
			 near ? errhint("Did you mean \"%s\"?", near) :
			 errhint("Formats are iso8601, epoch_s, epoch_ms, epoch_us and epoch_ns for a timestamp; epoch_days for a date; number, decimal and text for a number; text for text; boolean; base64 and hex for bytea or text; json.")));
}

static const Format *
find_format(const FluctCompiler *c, const FluctColumn *column, const char *name)
{
	for (int i = 0; i < lengthof(formats); i++)
		if (strcmp(formats[i].name, name) == 0 && formats[i].may(column))
			return &formats[i];
	refuse_format(c, column, name);
	return NULL;
}

/* An option of one format only. */
static bool
has_option(const FluctCompiler *c, const FluctColumn *column,
		   JsonbContainer *object, const char *option, bool fits,
		   const char *format, JsonbValue *value)
{
	if (!fluct_document_member(object, option, value))
		return false;
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s has \"%s\", which is for the format %s",
						column->name, c->target->name, option, format)));
	return true;
}

/*
 * Names only: a POSIX form such as UTC+2 means the opposite of what most people
 * read in it.  It has a digit, as few names do.
 */
static pg_tz *
find_zone(const char *name)
{
	static const char *const with_digits[] = {
		"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT", "GMT0", "GMT+0", "GMT-0"
	};
	bool		known = strpbrk(name, "0123456789<") == NULL ||
	pg_strncasecmp(name, "Etc/", 4) == 0;

	for (int i = 0; i < lengthof(with_digits) && !known; i++)
		known = pg_strcasecmp(name, with_digits[i]) == 0;
	return known && pg_strncasecmp(name, "posix", 5) != 0 ? pg_tzset(name) : NULL;
}

static void
compile_zone(const FluctCompiler *c, FluctColumn *column, JsonbContainer *object)
{
	JsonbValue	value;
	char	   *name;

	if (!has_option(c, column, object, "time_zone",
					is_time(column) && column->format == FLUCT_FORMAT_PLAIN,
					"iso8601 of a timestamp", &value))
		return;
	name = fluct_document_text(object, "time_zone");
	column->zone = find_zone(name);
	if (column->zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s has the unknown \"time_zone\" \"%s\"",
						column->name, c->target->name, name),
				 errhint("pg_timezone_names has the names, such as Europe/Berlin.")));
}

static void
compile_scale(const FluctCompiler *c, FluctColumn *column, JsonbContainer *object)
{
	JsonbValue	value;
	int64		scale;

	column->reading->scale = -1;
	if (!has_option(c, column, object, "scale",
					column->format == FLUCT_FORMAT_DECIMAL, "decimal", &value))
		return;
	scale = value.type == jbvNumeric ?
		DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric))) : -1;
	if (scale < 0 || scale > FLUCT_DECIMAL_SCALE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"scale\" of column \"%s\" must be a number from 0 to %d",
						column->name, FLUCT_DECIMAL_SCALE)));
	column->reading->scale = (int) scale;
}

static void
compile_variable_scale(const FluctCompiler *c, FluctReading *reading)
{
	FluctAllocator allocator = fluct_alloc_in(c->mapping->context);

	reading->decimal = fluct_json_create(&allocator);
	reading->value_field = fluct_json_add_field(reading->decimal, FLUCT_JSON_ROOT, "$.value");
	reading->scale_field = fluct_json_add_field(reading->decimal, FLUCT_JSON_ROOT, "$.scale");
}

/* The path into the JSON that the value is, for any format. */
static void
compile_inner(const FluctCompiler *c, FluctColumn *column, JsonbContainer *object)
{
	FluctAllocator allocator = fluct_alloc_in(c->mapping->context);
	FluctReading *reading = column->reading;
	char	   *inner = fluct_document_text(object, "inner");

	reading->inner = inner ? inner : "$";
	if (column->format != FLUCT_FORMAT_JSON && inner == NULL)
		return;
	reading->json = fluct_json_create(&allocator);
	fluct_json_take_any_root(reading->json);
	reading->field = fluct_json_add_field(reading->json, FLUCT_JSON_ROOT, reading->inner);
	if (reading->field < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"inner\" of column \"%s\" is the invalid path \"%s\"",
						column->name, reading->inner),
				 errhint("It is a path into the JSON that the value is, such as $.id.")));
}

static void
compile_nulls(FluctColumn *column, JsonbContainer *object)
{
	JsonbValue	value;
	JsonbContainer *words = NULL;
	FluctReading *reading = column->reading;
	bool		good = true;
	int			n;

	if (!fluct_document_member(object, "null", &value))
		return;
	if (value.type == jbvBinary)
		words = fluct_document_container(object, "null", true);
	n = words ? JsonContainerSize(words) : 0;
	reading->nulls = palloc0(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		JsonbValue *word = getIthJsonbValueFromContainer(words, i);

		good &= word->type == jbvString;
		if (word->type == jbvString)
			reading->nulls[reading->nnulls++] = pnstrdup(word->val.string.val,
														 word->val.string.len);
	}
	if (!good || n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"null\" of column \"%s\" must be a list of strings, such as [\"\", \"NULL\"]",
						column->name)));
}

void
fluct_format_compile(FluctCompiler *c, FluctColumn *column, JsonbContainer *object)
{
	char	   *name = object ? fluct_document_text(object, "format") : NULL;
	const Format *format = name ? find_format(c, column, name) : NULL;

	column->format = format ? format->format : FLUCT_FORMAT_PLAIN;
	if (column->source == FLUCT_KAFKA_TIMESTAMP && is_time(column))
		column->format = FLUCT_FORMAT_EPOCH_MS;
	if ((column->source == FLUCT_KAFKA_KEY || column->source == FLUCT_KAFKA_HEADER) &&
		is_number(column) && format == NULL)
		column->format = FLUCT_FORMAT_TEXT;
	if (object == NULL)
		return;
	column->reading = palloc0(sizeof(FluctReading));
	compile_zone(c, column, object);
	compile_scale(c, column, object);
	compile_inner(c, column, object);
	compile_nulls(column, object);
	if (column->format == FLUCT_FORMAT_DECIMAL)
		compile_variable_scale(c, column->reading);
	if (!(format && format->converts) && column->reading->nnulls == 0 &&
		column->reading->json == NULL)
		column->reading = NULL;
}

bool
fluct_format_is_same(const FluctColumn *one, const FluctColumn *other)
{
	const FluctReading *a = one->reading;
	const FluctReading *b = other->reading;

	if (one->format != other->format || one->zone != other->zone ||
		(a == NULL) != (b == NULL))
		return false;
	if (a == NULL)
		return true;
	if (a->scale != b->scale || (a->json == NULL) != (b->json == NULL) ||
		strcmp(a->inner, b->inner) != 0 || a->nnulls != b->nnulls)
		return false;
	for (int i = 0; i < a->nnulls; i++)
		if (strcmp(a->nulls[i], b->nulls[i]) != 0)
			return false;
	return true;
}

/* ----- values ----- */

/* A string's characters, without escapes. */
static void
unescape(const FluctJsonValue *value, FluctJsonValue *plain)
{
	char	   *text;

	*plain = *value;
	if (!value->escaped)
		return;
	text = palloc(value->len + 1);
	plain->len = fluct_string_unescape(value->text, value->len, text);
	plain->text = text;
	plain->escaped = false;
}

static bool
is_word(const FluctJsonValue *value, const char *word)
{
	return value->len == strlen(word) &&
		pg_strncasecmp(value->text, word, value->len) == 0;
}

static FluctReason
read_boolean(const FluctJsonValue *value, FluctJsonValue *plain)
{
	bool		yes = is_word(value, "1") || is_word(value, "true");

	if (!yes && !is_word(value, "0") && !is_word(value, "false"))
		return FLUCT_WRONG_TYPE;
	plain->type = FLUCT_JSON_BOOL;
	plain->text = yes ? "true" : "false";
	plain->len = strlen(plain->text);
	return FLUCT_OK;
}

/* A number, or a string that is one. */
static FluctReason
read_number(FluctJsonValue *plain)
{
	FluctReason reason;

	if (plain->type == FLUCT_JSON_NUMBER)
		return FLUCT_OK;
	if (plain->type != FLUCT_JSON_STRING)
		return FLUCT_WRONG_TYPE;
	reason = fluct_encode_check_number(plain->text, plain->len);
	plain->type = FLUCT_JSON_NUMBER;
	return reason;
}

/* {"scale": 2, "value": "AxY="}: *value becomes the string. */
static FluctReason
read_variable_scale(const FluctReading *reading, FluctJsonValue *value, int *scale)
{
	const FluctJsonValue *number;
	FluctRefusal refusal;
	int64		found;

	if (!fluct_json_parse(reading->decimal, value->text, value->len, &refusal))
		return FLUCT_WRONG_TYPE;
	number = fluct_json_field(reading->decimal, reading->scale_field);
	if (number->type != FLUCT_JSON_NUMBER ||
		fluct_number_int64(number->text, number->len, 0, FLUCT_DECIMAL_SCALE, &found) != FLUCT_OK)
		return FLUCT_WRONG_TYPE;
	*scale = (int) found;
	unescape(fluct_json_field(reading->decimal, reading->value_field), value);
	return FLUCT_OK;
}

static FluctReason
read_decimal(const FluctColumn *column, FluctJsonValue *plain)
{
	unsigned char bytes[FLUCT_DECIMAL_BYTES + 4];
	int			scale = column->reading->scale;
	char	   *text;
	size_t		len;

	if (plain->type == FLUCT_JSON_OBJECT)
	{
		FluctReason reason = read_variable_scale(column->reading, plain, &scale);

		if (reason != FLUCT_OK)
			return reason;
	}
	if (plain->type == FLUCT_JSON_NUMBER)
		return FLUCT_OK;
	if (plain->type != FLUCT_JSON_STRING || scale < 0)
		return FLUCT_WRONG_TYPE;
	if (plain->len > FLUCT_DECIMAL_BYTES / 3 * 4)
		return FLUCT_OUT_OF_RANGE;
	if (plain->len == 0 ||
		!fluct_binary_base64(plain->text, plain->len, bytes, &len))
		return FLUCT_WRONG_TYPE;
	text = palloc(FLUCT_DECIMAL_ROOM);
	plain->len = fluct_binary_decimal(bytes, len, scale, text);
	plain->text = text;
	plain->type = FLUCT_JSON_NUMBER;
	return FLUCT_OK;
}

static bool
stands_for_null(const FluctReading *reading, const FluctJsonValue *value)
{
	for (int i = 0; i < reading->nnulls && value->type == FLUCT_JSON_STRING; i++)
		if (value->len == strlen(reading->nulls[i]) &&
			memcmp(value->text, reading->nulls[i], value->len) == 0)
			return true;
	return false;
}

/* Where the path leads in JSON, written as such or in a string. */
static FluctReason
read_inner(const FluctColumn *column, const FluctJsonValue *value,
		   FluctJsonValue *plain)
{
	FluctJson  *json = column->reading->json;
	FluctRefusal refusal;

	*plain = *value;
	if (plain->type == FLUCT_JSON_STRING)
		unescape(value, plain);
	if (stands_for_null(column->reading, plain))
	{
		plain->type = FLUCT_JSON_NULL;
		return FLUCT_OK;
	}
	if (!fluct_json_parse(json, plain->text, plain->len, &refusal))
		return refusal.reason;
	*plain = *fluct_json_field(json, column->reading->field);
	if (column->form == FLUCT_FORM_JSONB && plain->type != FLUCT_JSON_STRING &&
		fluct_json_has_long_number(json) && plain->len > 0 &&
		fluct_string_has_long_number(plain->text, plain->len))
		return FLUCT_OUT_OF_RANGE;
	return FLUCT_OK;
}

FluctReason
fluct_format_read(const FluctColumn *column, const FluctJsonValue *value,
				  FluctJsonValue *plain)
{
	FluctReason reason;
	FluctJsonValue inner;

	if (column->reading->json)
	{
		reason = read_inner(column, value, &inner);
		if (reason != FLUCT_OK)
			return reason;
		value = &inner;
	}
	*plain = *value;
	if (value->type == FLUCT_JSON_STRING &&
		((column->form != FLUCT_FORM_JSON && column->form != FLUCT_FORM_JSONB) ||
		 column->reading->nnulls > 0))
		unescape(value, plain);
	if (stands_for_null(column->reading, plain))
		plain->type = FLUCT_JSON_NULL;
	if (plain->type == FLUCT_JSON_NULL || plain->type == FLUCT_JSON_ABSENT)
		return FLUCT_OK;
	switch (column->format)
	{
		case FLUCT_FORMAT_SCALAR:
			if (plain->type == FLUCT_JSON_NUMBER || plain->type == FLUCT_JSON_BOOL)
				plain->type = FLUCT_JSON_STRING;
			return FLUCT_OK;
		case FLUCT_FORMAT_BOOLEAN:
			return read_boolean(plain, plain);
		case FLUCT_FORMAT_BASE64:
			return fluct_bytes_base64(column, plain);
		case FLUCT_FORMAT_HEX:
			return fluct_bytes_hex(column, plain);
		case FLUCT_FORMAT_DECIMAL:
			return read_decimal(column, plain);
		case FLUCT_FORMAT_JSON:
		case FLUCT_FORMAT_PLAIN:
		case FLUCT_FORMAT_TEXT:
			if (column->form == FLUCT_FORM_JSON || column->form == FLUCT_FORM_JSONB)
				*plain = *value;
			return FLUCT_OK;
		default:
			reason = read_number(plain);
			/* more digits than any time has */
			if (reason == FLUCT_OK && (is_time(column) || is_date(column)) && value->type == FLUCT_JSON_STRING &&
				fluct_number_check(plain->text, plain->len) != FLUCT_OK)
				reason = FLUCT_BAD_TIMESTAMP;
			return reason;
	}
}

/* ----- refusals ----- */

static const char *
expected_time(const FluctColumn *column)
{
	switch (column->format)
	{
		case FLUCT_FORMAT_EPOCH_S:
			return "seconds since 1970, of the years 1900 to 9999";
		case FLUCT_FORMAT_EPOCH_MS:
			return "milliseconds since 1970, of the years 1900 to 9999";
		case FLUCT_FORMAT_EPOCH_US:
			return "microseconds since 1970, of the years 1900 to 9999";
		case FLUCT_FORMAT_EPOCH_NS:
			return "nanoseconds since 1970, of the years 1900 to 9999";
		case FLUCT_FORMAT_EPOCH_DAYS:
			return "days since 1970, of the years 1900 to 9999";
		default:
			return column->form == FLUCT_FORM_DATE ? "a date such as 2024-01-31" :
				"a time such as 2024-01-31T23:59:59.5+01:00";
	}
}

/* What the column itself takes, in the usual format. */
static const char *
expected_plain(const FluctColumn *column)
{
	Oid			element = get_element_type(column->base);

	if (column->form <= FLUCT_FORM_INT8 && column->form >= FLUCT_FORM_INT2)
		return "a whole number";
	if (is_number(column))
		return "a number";
	if (column->form == FLUCT_FORM_BOOL)
		return "true or false";
	if (column->form == FLUCT_FORM_TEXT)
		return "a string";
	if (OidIsValid(element))
		return psprintf("an array of %s", format_type_be(element));
	return psprintf("a string that is a %s", format_type_be(column->base));
}

/* Which format takes more. */
static const char *
other_format(const FluctColumn *column)
{
	if (column->form == FLUCT_FORM_BOOL)
		return "; the format boolean takes 1 and 0, too";
	if (is_time(column))
		return "; the formats epoch_s, epoch_ms, epoch_us and epoch_ns take a number";
	if (is_date(column))
		return "; the format epoch_days takes a number";
	if (column->form == FLUCT_FORM_TEXT)
		return "; the format text takes a number, too, a column of type jsonb any value";
	if (get_element_type(column->base) == TEXTOID)
		return "; the format text takes numbers, too";
	return "";
}

/* What a value of another kind should have been. */
static const char *
expected_value(const FluctColumn *column)
{
	switch (column->format)
	{
		case FLUCT_FORMAT_TEXT:
			return "a number in quotes; the format number takes both";
		case FLUCT_FORMAT_NUMBER:
			return "a number such as 12.5";
		case FLUCT_FORMAT_SCALAR:
			return "a string, a number, true or false";
		case FLUCT_FORMAT_BOOLEAN:
			return "true, false, 1 or 0, in quotes or not";
		case FLUCT_FORMAT_BASE64:
			return "base64";
		case FLUCT_FORMAT_HEX:
			return "two hexadecimal digits a byte";
		case FLUCT_FORMAT_DECIMAL:
			return column->reading->scale < 0 ? "an object with \"scale\" and \"value\"" :
				"a decimal in base64";
		case FLUCT_FORMAT_PLAIN:
		case FLUCT_FORMAT_JSON:
			return expected_plain(column);
		default:
			return "a number";
	}
}

static const char *
expected_type(const FluctColumn *column)
{
	const FluctReading *reading = column->reading;
	bool		usual = column->format == FLUCT_FORMAT_PLAIN ||
	column->format == FLUCT_FORMAT_JSON;

	return psprintf("%s%s%s", expected_value(column),
					reading && reading->json ? psprintf(" at %s in it", reading->inner) : "",
					usual ? other_format(column) : "");
}

const char *
fluct_format_expectation(const FluctColumn *column, FluctReason reason)
{
	if (reason == FLUCT_BAD_TIMESTAMP)
		return expected_time(column);
	if (reason == FLUCT_OUT_OF_RANGE)
		return is_number(column) || column->form == FLUCT_FORM_JSONB ?
			psprintf("a number that fits %s", format_type_be(column->type)) : "";
	return reason == FLUCT_WRONG_TYPE ? expected_type(column) : "";
}
