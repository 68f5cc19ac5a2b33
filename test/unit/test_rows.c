/*-------------------------------------------------------------------------
 *
 * test_rows.c
 *	  Rows within rows, members as rows, single objects, elements by index;
 *	  and the bytes that travel as base64.
 *
 *-------------------------------------------------------------------------
 */
#include "base/refusal.h"
#include "json/binary.h"
#include "json/json.h"
#include "json/timestamp.h"
#include "tap.h"

static Heap heap;

static FluctJson *
create(void)
{
	FluctAllocator allocator = {heap_resize, &heap};

	return fluct_json_create(&allocator);
}

static bool
parse(FluctJson *json, const char *text)
{
	static char *block = NULL;
	FluctRefusal refusal = {0};
	size_t		len = strlen(text);

	free(block);
	block = malloc(len + 1);
	memcpy(block + 1, text, len);
	if (fluct_json_parse(json, block + 1, len, &refusal))
		return true;
	printf("# %s %s: %s\n", fluct_reason_name(refusal.reason), refusal.path,
		   refusal.detail);
	return false;
}

static void
is_cell(FluctJson *json, int rowset, int row, int field, const char *text)
{
	const FluctJsonValue *value = fluct_json_cell(json, rowset, row, field);
	char		got[64];

	snprintf(got, sizeof(got), "%.*s", (int) value->len,
			 value->text ? value->text : "");
	is_text(got, text, text);
}

static void
test_nested(void)
{
	FluctJson  *json = create();
	int			lines = fluct_json_add_rows(json, FLUCT_JSON_ROOT, "$.orders[*].lines[*]", false);
	int			orders = fluct_json_above(json, lines);
	int			id = fluct_json_add_field(json, orders, "@.id");
	int			sku = fluct_json_add_field(json, lines, "@.sku");

	ok(lines >= 0 && orders >= 0 && fluct_json_above(json, orders) == FLUCT_JSON_ROOT, "rows within rows");
	for (int i = 0; i < 2; i++)
	{
		ok(parse(json, "{\"orders\":[{\"lines\":[{\"sku\":1},{\"sku\":2}],\"id\":\"a\"},"
				 "{\"id\":\"b\",\"lines\":[]},{\"id\":\"c\",\"lines\":[{\"sku\":3}]},{\"id\":\"d\"}]}"), "parsed");
		ok(fluct_json_row_count(json, lines) == 3 && fluct_json_row_count(json, orders) == 4, "rows");
		is_cell(json, lines, 2, sku, "3");
		is_cell(json, orders, fluct_json_row_above(json, lines, 0), id, "a");
		is_cell(json, orders, fluct_json_row_above(json, lines, 2), id, "c");
		ok(fluct_json_row_index(json, lines, 1) == 1 && fluct_json_row_index(json, lines, 2) == 0, "their number");
		ok(fluct_json_first_within(json, lines, orders, 0) == 0 && fluct_json_first_within(json, lines, orders, 1) == 2 &&
		   fluct_json_first_within(json, lines, orders, 2) == 2 && fluct_json_first_within(json, lines, orders, 3) == 3 &&
		   fluct_json_first_within(json, lines, FLUCT_JSON_ROOT, 0) == 0 && fluct_json_first_within(json, lines, FLUCT_JSON_ROOT, 1) == 3 &&
		   fluct_json_first_within(json, lines, lines, 1) == 1, "where those of an order begin");
		ok(fluct_json_row_within(json, lines, 2, orders) == 2 && fluct_json_row_within(json, lines, 2, lines) == 2 &&
		   fluct_json_row_within(json, lines, 2, FLUCT_JSON_ROOT) == 0, "the order of a line");
		ok(fluct_json_rows_type(json, lines, 1) == FLUCT_JSON_ARRAY &&
		   fluct_json_rows_type(json, lines, 3) == FLUCT_JSON_ABSENT, "each order's array");
	}
	fluct_json_limit_rows(json, lines, 3);
	ok(!parse(json, "{\"orders\":[{},{},{},{}]}"), "a limit of the rows above");
}

static void
test_root(void)
{
	FluctJson  *json = create();
	int			records = fluct_json_add_rows(json, FLUCT_JSON_ROOT, "$[*]", false);
	int			lines = fluct_json_add_rows(json, records, "@.l[*]", false);
	int			id = fluct_json_add_field(json, records, "@.id");

	ok(parse(json, "[{\"id\":1,\"l\":[7,8]},{\"id\":2,\"l\":[9]}]"), "an array as a message");
	is_cell(json, records, 1, id, "2");
	ok(fluct_json_row_above(json, lines, 2) == 1, "rows of a record");
	ok(!parse(json, "3"), "a number is not a message");
	ok(fluct_json_add_rows(json, records, "$.a[*]", false) == -1 &&
	   fluct_json_add_rows(json, FLUCT_JSON_ROOT, "@.a[*]", false) == -1, "where a path begins");
	ok(fluct_json_add_field(json, FLUCT_JSON_ROOT, "$[0]") == -1, "rows are not taken by index");
}

static void
test_members(void)
{
	FluctJson  *json = create();
	int			lines = fluct_json_add_rows(json, FLUCT_JSON_ROOT, "$.lines.*", false);
	int			key = fluct_json_add_key(json, lines);
	int			sku = fluct_json_add_field(json, lines, "@.sku");

	for (int i = 0; i < 2; i++)
	{
		ok(parse(json, "{\"lines\":{\"a\":{\"sku\":1,\"x\":0},\"sku\":{\"sku\":2}}}"), "members");
		is_cell(json, lines, 0, key, "a");
		is_cell(json, lines, 1, key, "sku");
		is_cell(json, lines, 1, sku, "2");
	}
	ok(!parse(json, "{\"lines\":{\"a\":{},\"\\u0061\":{}}}"), "the same name twice");
	ok(parse(json, "{\"lines\":[{\"sku\":1}]}") && fluct_json_row_count(json, lines) == 0 &&
	   !fluct_json_takes(json, lines, fluct_json_rowset_type(json, lines)), "an array has no members");
	ok(fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.lines.a") == -1 &&
	   fluct_json_add_rows(json, FLUCT_JSON_ROOT, "$.lines[*]", false) == -1, "one kind of rows");
}

static void
test_single(void)
{
	FluctJson  *json = create();
	int			lines = fluct_json_add_rows(json, FLUCT_JSON_ROOT, "$.line[*]", true);
	int			sku = fluct_json_add_field(json, lines, "@.sku");
	int			whole = fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.line");

	for (int i = 0; i < 2; i++)
	{
		ok(parse(json, "{\"line\":{\"sku\":1,\"y\":2},\"z\":3}") && fluct_json_row_count(json, lines) == 1, "an object");
		is_cell(json, lines, 0, sku, "1");
		is_cell(json, FLUCT_JSON_ROOT, 0, whole, "{\"sku\":1,\"y\":2}");
		ok(fluct_json_row_type(json, lines, 0) == FLUCT_JSON_OBJECT &&
		   fluct_json_takes(json, lines, fluct_json_rowset_type(json, lines)), "is an array of one");
		ok(parse(json, "{\"line\":[{\"sku\":1},{\"sku\":2}]}") && fluct_json_row_count(json, lines) == 2, "an array");
	}
}

static void
test_index(void)
{
	FluctJson  *json = create();
	int			second = fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.a[1]");
	int			deep = fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.a[2].b[0]");
	int			odd = fluct_json_add_field(json, FLUCT_JSON_ROOT, "$[\"a.b\"]");

	ok(fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.a[x]") == -1 &&
	   fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.a[-1]") == -1 &&
	   fluct_json_add_rows(json, FLUCT_JSON_ROOT, "$.a[*]", false) == -1, "what is not an index");
	for (int i = 0; i < 2; i++)
	{
		ok(parse(json, "{\"a.b\":5,\"a\":[0,\"x\",{\"b\":[7]},9]}"), "by index");
		is_cell(json, FLUCT_JSON_ROOT, 0, second, "x");
		is_cell(json, FLUCT_JSON_ROOT, 0, deep, "7");
		is_cell(json, FLUCT_JSON_ROOT, 0, odd, "5");
	}
	ok(parse(json, "{\"a\":[]}"), "no such element");
	is_cell(json, FLUCT_JSON_ROOT, 0, second, "");
	ok(!parse(json, "{\"a\":[0,0,4]}"), "a path into a number");
}

static void
is_decimal(const char *base64, int scale, const char *wanted)
{
	unsigned char bytes[FLUCT_DECIMAL_BYTES];
	char		text[FLUCT_DECIMAL_ROOM];
	size_t		len;

	if (!ok(fluct_binary_base64(base64, strlen(base64), bytes, &len), "base64 %s", base64))
		return;
	text[fluct_binary_decimal(bytes, len, scale, text)] = '\0';
	is_text(text, wanted, wanted);
}

static void
test_binary(void)
{
	unsigned char bytes[16];
	size_t		len;

	is_decimal("AxY=", 2, "7.90");
	is_decimal("/zA=", 2, "-2.08");
	is_decimal("gA==", 0, "-128");
	is_decimal("AA==", 3, "0.000");
	is_decimal("", 0, "0");
	is_decimal("AQ==", 5, "0.00001");
	is_decimal("ATSyQgK7AAA", 4, "8689028941027.7376");
	is_decimal("//////////////////////////////////////////8=", 10, "-0.0000000001");
	ok(fluct_binary_base64("-_8", 3, bytes, &len) && len == 2 && bytes[0] == 0xFB && bytes[1] == 0xFF, "the other alphabet");
	ok(!fluct_binary_base64("a", 1, bytes, &len) && !fluct_binary_base64("a b=", 4, bytes, &len) &&
	   !fluct_binary_base64("YR==", 4, bytes, &len) && !fluct_binary_base64("YWI==", 5, bytes, &len), "what is not base64");
}

static void
test_local(void)
{
	int64_t		usecs;
	bool		zoned;

	ok(fluct_timestamp_parse_local("2000-01-01 00:00:01", 19, &usecs, &zoned) == FLUCT_OK && !zoned && usecs == 1000000, "no offset");
	ok(fluct_timestamp_parse_local("2000-01-01T00:00:00Z", 20, &usecs, &zoned) == FLUCT_OK && zoned, "Z is one");
	ok(fluct_timestamp_parse_local("2000-01-01T00:00:00+01", 22, &usecs, &zoned) == FLUCT_OK && zoned, "so is +01");
}

int
main(void)
{
	test_nested();
	test_root();
	test_members();
	test_single();
	test_index();
	test_binary();
	test_local();
	heap_free(&heap);
	return done_testing();
}
