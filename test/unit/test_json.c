/*-------------------------------------------------------------------------
 *
 * test_json.c
 *	  What the scanner accepts, refuses (with which words), and picks out.
 *
 *-------------------------------------------------------------------------
 */
#include "base/refusal.h"
#include "json/json.h"
#include "json/number.h"
#include "json/string.h"
#include "tap.h"

static Heap heap;
static FluctJson *json;
static int	order_id;
static int	amount;
static int	lines;
static int	product_id;
static int	volume;

/* The default mapping, in part. */
static void
set_up(void)
{
	FluctAllocator allocator = {heap_resize, &heap};

	json = fluct_json_create(&allocator);
	order_id = fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.order_id");
	amount = fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.amount");
	lines = fluct_json_add_rowset(json, "$.order_lines[*]");
	product_id = fluct_json_add_field(json, lines, "@.product_id");
	volume = fluct_json_add_field(json, lines, "@.volume");
}

/* Parses from a block that ends where the text ends, for ASan's sake. */
static bool
parse(FluctJson *parser, const char *text, size_t len, FluctRefusal *refusal)
{
	static char *block = NULL;

	free(block);
	block = malloc(len + 1);
	memcpy(block + 1, text, len);
	memset(refusal, 0, sizeof(*refusal));
	return fluct_json_parse(parser, block + 1, len, refusal);
}

static bool
parse_text(FluctJson *parser, const char *text, FluctRefusal *refusal)
{
	return parse(parser, text, strlen(text), refusal);
}

static void
accepts(const char *text)
{
	FluctRefusal refusal;
	bool		accepted = parse_text(json, text, &refusal);

	if (!ok(accepted, "accepted: %.60s", text))
		printf("# %s %s: %s\n", fluct_reason_name(refusal.reason),
			   refusal.path, refusal.detail);
}

static void
refuses_bytes(const char *text, size_t len, FluctReason reason,
			  const char *path, const char *detail)
{
	FluctRefusal refusal;
	bool		accepted = parse(json, text, len, &refusal);
	bool		right = !accepted && refusal.reason == reason &&
	strcmp(refusal.path, path) == 0 &&
	(detail == NULL || strcmp(refusal.detail, detail) == 0);

	if (!ok(right, "%s at %s", fluct_reason_name(reason), path))
		printf("# got %s at %s: %s\n# for %.80s\n",
			   accepted ? "accepted" : fluct_reason_name(refusal.reason),
			   refusal.path, refusal.detail, text);
}

static void
refuses(const char *text, FluctReason reason, const char *path,
		const char *detail)
{
	refuses_bytes(text, strlen(text), reason, path, detail);
}

static void
is_value(const FluctJsonValue *value, FluctJsonType type, const char *text,
		 const char *name)
{
	bool		right = value->type == type &&
	(text == NULL || (value->len == strlen(text) &&
					  memcmp(value->text, text, value->len) == 0));

	if (!ok(right, "%s", name))
		printf("# got type %d, %.*s\n", value->type, (int) value->len,
			   value->text ? value->text : "");
}

static void
test_grammar(void)
{
	accepts("{}");
	accepts(" \t\r\n{ \"a\" : 1 , \"b\" : [ ] } \n");
	accepts("{\"a\":[1,-2,0,-0,0.5,1e5,1E-5,1.5e+3,[],{},[[]],\"\"]}");
	accepts("{\"a\":true,\"b\":false,\"c\":null}");
	accepts("{\"\\u00e9\\ud83d\\ude00\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}");
	accepts("{\"\":1,\"a\":\"\x7f\"}");
	accepts("{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 and more text\"}");

	refuses("", FLUCT_INVALID_JSON, "$", "nothing but blanks at byte 0");
	refuses(" \n ", FLUCT_INVALID_JSON, "$", "nothing but blanks at byte 3");
	refuses("{", FLUCT_INVALID_JSON, "$",
			"the message ends where a key is expected at byte 1");
	refuses("{\"a\"", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":1", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":1,", FLUCT_INVALID_JSON, "$", NULL);
	refuses("{\"a\":1,}", FLUCT_INVALID_JSON, "$",
			"expected a key, found \"}\" at byte 7");
	refuses("{,}", FLUCT_INVALID_JSON, "$", NULL);
	refuses("{\"a\":[1,]}", FLUCT_INVALID_JSON, "$.a[1]", NULL);
	refuses("{\"a\":[1 2]}", FLUCT_INVALID_JSON, "$.a[0]", NULL);
	refuses("{\"a\":[1}", FLUCT_INVALID_JSON, "$.a[0]", NULL);
	refuses("{\"a\":{]}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\" 1}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{a:1}", FLUCT_INVALID_JSON, "$", NULL);
	refuses("{'a':1}", FLUCT_INVALID_JSON, "$", NULL);
	refuses("{\"a\":tru}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":truex}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":True}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":NaN}", FLUCT_INVALID_JSON, "$.a",
			"expected a value, found \"N\" at byte 5");
	refuses("{\"a\":-Infinity}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":01}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":1.}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":.5}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":1e}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":-}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":+1}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":0x10}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":1}/* c */", FLUCT_INVALID_JSON, "$", NULL);
	refuses("{\"a\":1}\n{\"a\":2}", FLUCT_INVALID_JSON, "$",
			"expected the end of the message, found \"{\" at byte 8");
	refuses("{\"a\":1}}", FLUCT_INVALID_JSON, "$", NULL);
	refuses("{\"a\":\"x", FLUCT_INVALID_JSON, "$.a",
			"the message ends in the string that begins at byte 5");
	refuses("{\"a\":\"x\\", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":\"x\\\"", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("\xef\xbb\xbf{}", FLUCT_INVALID_JSON, "$",
			"a byte order mark at byte 0");
}

static void
test_strings(void)
{
	refuses("{\"a\":\"x\ty\"}", FLUCT_INVALID_JSON, "$.a",
			"control character 0x09 in a string at byte 7");
	refuses("{\"a\":\"\\x41\"}", FLUCT_INVALID_JSON, "$.a",
			"an unknown escape at byte 6");
	refuses("{\"a\":\"\\u12g4\"}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":\"\\u12\"}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":\"\\ud83d\"}", FLUCT_INVALID_JSON, "$.a",
			"half of a surrogate pair, \\ud83d, at byte 6");
	refuses("{\"a\":\"\\ud83d\\u0041\"}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":\"\\ude00\"}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{\"a\":\"\\ud83d\\ud", FLUCT_INVALID_JSON, "$.a", NULL);

	refuses("{\"note\":\"a\\u0000b\"}", FLUCT_NUL, "$.note",
			"an escaped NUL, \\u0000, at byte 10");
	refuses("{\"\\u0000\":1}", FLUCT_NUL, "$", NULL);
	refuses_bytes("{\"a\":\"x\0y\"}", 11, FLUCT_NUL, "$.a",
				  "a NUL byte at byte 7");
	refuses_bytes("{\"a\":\"\\\0\"}", 10, FLUCT_INVALID_JSON, "$.a", NULL);
	refuses_bytes("{\0}", 3, FLUCT_NUL, "$", "a NUL byte at byte 1");
	refuses_bytes("{}\0", 3, FLUCT_NUL, "$", NULL);
	refuses_bytes("\0\0\0\0\7{}", 7, FLUCT_NUL, "$",
				  "a NUL byte at byte 0");

	refuses("{\"a\":\"caf\xe9\"}", FLUCT_INVALID_ENCODING, "$.a",
			"byte 0xe9 is not valid UTF-8 at byte 9");
	refuses("{\"a\xc0\x80\":1}", FLUCT_INVALID_ENCODING, "$", NULL);
	refuses("{\"a\":\"\xed\xa0\x80\"}", FLUCT_INVALID_ENCODING, "$.a", NULL);
	refuses("{\"a\":\"\xf4\x90\x80\x80\"}", FLUCT_INVALID_ENCODING, "$.a",
			NULL);
	refuses("{\"a\":\"\xe2\x82", FLUCT_INVALID_ENCODING, "$.a", NULL);
	refuses("{\"a\":\xff}", FLUCT_INVALID_ENCODING, "$.a", NULL);
	refuses("{\"a\":\xc3\xa9}", FLUCT_INVALID_JSON, "$.a", NULL);
	refuses("{}\xff", FLUCT_INVALID_ENCODING, "$", NULL);
	refuses_bytes("\xff\xfe{\0}\0", 6, FLUCT_INVALID_ENCODING, "$",
				  "a UTF-16 byte order mark at byte 0");
}

/* A byte that ends the fast run, at each place of the machine's words. */
static void
test_alignment(void)
{
	char		text[100];
	FluctRefusal refusal;
	int			right = 0;

	for (int at = 0; at < 40; at++)
	{
		for (int i = 0; i < 4; i++)
		{
			static const char bad[] = {'\x1f', '\x80', '\0', '\\'};

			memset(text, 'x', sizeof(text));
			memcpy(text, "{\"a\":\"", 6);
			text[6 + at] = bad[i];
			memcpy(text + 60, "\"}", 2);
			right += !parse(json, text, 62, &refusal);
			right += parse(json, memset(text + 6 + at, '~', 1) ? text : "",
						   62, &refusal);
		}
	}
	ok(right == 320, "odd bytes are found wherever they stand");
}

static void
test_top_level(void)
{
	refuses("null", FLUCT_NOT_AN_OBJECT, "$", "the message is null");
	refuses(" [1, {\"a\": 2}] ", FLUCT_NOT_AN_OBJECT, "$",
			"the message is an array");
	refuses("\"x\"", FLUCT_NOT_AN_OBJECT, "$", "the message is a string");
	refuses("-1.5", FLUCT_NOT_AN_OBJECT, "$", "the message is a number");
	refuses("true", FLUCT_NOT_AN_OBJECT, "$", "the message is a boolean");
	refuses("hello", FLUCT_INVALID_JSON, "$", NULL);
	refuses("[1", FLUCT_INVALID_JSON, "$[0]", NULL);
}

static void
test_duplicates(void)
{
	static char text[200000];
	char	   *p;

	refuses("{\"amount\": 1, \"amount\": 2}", FLUCT_DUPLICATE_KEY, "$.amount",
			"the key is repeated at byte 14");
	refuses("{\"amount\": 1, \"am\\u006funt\": 2}", FLUCT_DUPLICATE_KEY,
			"$[\"am\\u006funt\"]", NULL);
	refuses("{\"x\": 1, \"\\u0078\": 2}", FLUCT_DUPLICATE_KEY,
			"$[\"\\u0078\"]", NULL);
	refuses("{\"x\\n\": 1, \"x\\u000a\": 2}", FLUCT_DUPLICATE_KEY,
			"$[\"x\\u000a\"]", NULL);
	refuses("{\"o\": {\"p\": [{}, {\"q\": 1, \"q\": 1}]}}",
			FLUCT_DUPLICATE_KEY, "$.o.p[1].q", NULL);
	refuses("{\"order_lines\":[{\"volume\":1},{\"volume\":1,\"volume\":1}]}",
			FLUCT_DUPLICATE_KEY, "$.order_lines[1].volume", NULL);
	refuses("{\"a\": {\"b\": 1}, \"c\": 1, \"a\": 2}", FLUCT_DUPLICATE_KEY,
			"$.a", NULL);
	accepts("{\"a\": {\"a\": {\"a\": 1}}, \"b\": {\"a\": 1}}");
	accepts("{\"a\": 1, \"A\": 2, \"a \": 3}");

	/* many keys, in an object in an object that has many, too */
	for (int twice = 0; twice <= 2; twice++)
	{
		p = text;
		*p++ = '{';
		for (int i = 0; i < 1000; i++)
			p += sprintf(p, "\"k%d\":%d,", i, i);
		p += sprintf(p, "\"in\":{");
		for (int i = 0; i < 1000; i++)
			p += sprintf(p, "\"k%d\":{\"x\":1},", i);
		p += sprintf(p, "\"%s\":1}", twice == 1 ? "k\\u0037" : "k");
		for (int i = 1000; i < 2000; i++)
			p += sprintf(p, ",\"k%d\":%d", i, i);
		p += sprintf(p, ",\"%s\":1}", twice == 2 ? "k500" : "k");
		if (twice == 0)
			accepts(text);
		else
			refuses(text, FLUCT_DUPLICATE_KEY,
					twice == 1 ? "$.in[\"k\\u0037\"]" : "$.k500", NULL);
	}
}

static void
test_limits(void)
{
	char		text[1000];

	memset(text, '[', 500);
	memcpy(text, "{\"a\":", 5);
	refuses(text, FLUCT_TOO_DEEP,
			"$.a[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
			"[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
			"[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
			"[0][0][0]", "more than 64 levels at byte 68");
	memset(text + 5 + 63, ']', 63);
	text[5 + 126] = '}';
	text[5 + 127] = '\0';
	accepts(text);
}

/* A long number is stored nowhere, or where its column says so. */
static void
test_long_numbers(void)
{
	static const struct
	{
		const char *message;
		bool		is_long;
	}			cases[] = {
		{"{\"x\":123456.5e10}", false},
		{"{\"x\":{\"y\":[0,1e-64]}}", false},
		{"{\"x\":1e999,\"y\":-1e-999}", false},
		{"{\"amount\":1e131071}", true},
		{"{\"x\":{\"y\":[0,1e-1000]}}", true},
		{"{\"x\":\"1e131071\"}", false},
		{"{\"x\":\"\\\"1e131071\", \"y\": 5}", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		accepts(cases[i].message);
		ok(fluct_json_has_long_number(json) == cases[i].is_long,
		   "  has a long number: %d", cases[i].is_long);
		ok(fluct_string_has_long_number(cases[i].message,
										strlen(cases[i].message)) == cases[i].is_long,
		   "  and so has its text");
	}
}

static void
test_fields(void)
{
	static const char *const text =
	"{\"amount\": 2962.54, \"order_id\": \"a\\tb\", \"zzz\": [1, {}],"
	" \"order_lines\": [{\"product_id\": \"p\", \"volume\": 98, \"price\": 3},"
	" {\"volume\": null}, {}, 7, [1]], \"y\\u0079\": true}";
	FluctRefusal refusal;
	const FluctJsonMember *members;
	int			count;

	ok(parse_text(json, text, &refusal), "an order is read");
	is_value(fluct_json_field(json, amount), FLUCT_JSON_NUMBER, "2962.54",
			 "a number as written");
	is_value(fluct_json_field(json, order_id), FLUCT_JSON_STRING, "a\\tb",
			 "a string without its quotes");
	ok(fluct_json_field(json, order_id)->escaped, "still escaped");
	ok(fluct_json_rowset_type(json, lines) == FLUCT_JSON_ARRAY &&
	   fluct_json_row_count(json, lines) == 5, "five lines");
	is_value(fluct_json_cell(json, lines, 0, product_id), FLUCT_JSON_STRING,
			 "p", "first product");
	ok(!fluct_json_cell(json, lines, 0, product_id)->escaped, "not escaped");
	is_value(fluct_json_cell(json, lines, 0, volume), FLUCT_JSON_NUMBER, "98",
			 "first volume");
	is_value(fluct_json_cell(json, lines, 1, product_id), FLUCT_JSON_ABSENT,
			 NULL, "second product is absent");
	is_value(fluct_json_cell(json, lines, 1, volume), FLUCT_JSON_NULL, "null",
			 "second volume is null");
	is_value(fluct_json_cell(json, lines, 2, volume), FLUCT_JSON_ABSENT, NULL,
			 "an empty element has absent cells");
	ok(fluct_json_row_type(json, lines, 2) == FLUCT_JSON_OBJECT &&
	   fluct_json_row_type(json, lines, 3) == FLUCT_JSON_NUMBER &&
	   fluct_json_row_type(json, lines, 4) == FLUCT_JSON_ARRAY,
	   "the elements' types");

	members = fluct_json_unmapped(json, FLUCT_JSON_ROOT, 0, &count);
	ok(count == 2, "two members of the message are unmapped");
	is_value(&members[0].key, FLUCT_JSON_STRING, "zzz", "the first's key");
	is_value(&members[0].value, FLUCT_JSON_ARRAY, "[1, {}]", "its value");
	is_value(&members[1].key, FLUCT_JSON_STRING, "y\\u0079", "the second's");
	ok(members[1].key.escaped, "key is escaped");
	is_value(&members[1].value, FLUCT_JSON_BOOL, "true", "its value");
	members = fluct_json_unmapped(json, lines, 0, &count);
	ok(count == 1, "one of the first line");
	is_value(&members[0].key, FLUCT_JSON_STRING, "price", "its key");
	(void) fluct_json_unmapped(json, lines, 1, &count);
	ok(count == 0, "none of the second");

	ok(parse_text(json, "{}", &refusal), "nothing is left for the next message");
	is_value(fluct_json_field(json, amount), FLUCT_JSON_ABSENT, NULL,
			 "a field that is not there is absent");
	ok(fluct_json_rowset_type(json, lines) == FLUCT_JSON_ABSENT &&
	   fluct_json_row_count(json, lines) == 0, "no rows");
	(void) fluct_json_unmapped(json, FLUCT_JSON_ROOT, 0, &count);
	ok(count == 0, "no unmapped members");

	ok(parse_text(json, "{\"order_lines\":{\"volume\":1}}", &refusal) &&
	   fluct_json_rowset_type(json, lines) == FLUCT_JSON_OBJECT &&
	   fluct_json_row_count(json, lines) == 0, "a rowset that is an object");
	ok(parse_text(json, "{\"order_lines\":null}", &refusal) &&
	   fluct_json_rowset_type(json, lines) == FLUCT_JSON_NULL, "one of null");
	ok(parse_text(json, "{\"order_lines\":[]}", &refusal) &&
	   fluct_json_rowset_type(json, lines) == FLUCT_JSON_ARRAY &&
	   fluct_json_row_count(json, lines) == 0, "an empty one");
}

static void
test_paths(void)
{
	static const char *const wrong[] = {
		"", "a", "$a", "$.", "$..a", "$.a.", "$[a]", "$['a'", "$['a", "$['a\\n']", "$[\"a\"",
		"$[\"a]", "$[-1]", "$.a[*]", "$.a[x]", "$.a b", "@", "@.a", "#",
		"$.a[\"\\x\"]", "$.\xff", "kafka.offset", "$.a*", "$ .a"
	};
	static const char *const text =
	"{\"a\": {\"b\": {\"c\": 1, \"x y\": 2}, \"z\": 9}, \"q\\\"\": {\"\": 3},"
	" \"r\": {\"s\": [{\"t\": {\"u\": 4}}, 5]}}";
	FluctAllocator allocator = {heap_resize, &heap};
	FluctJson  *other = fluct_json_create(&allocator);
	FluctRefusal refusal;
	int			c = fluct_json_add_field(other, -1, "$.a.b.c");
	int			xy = fluct_json_add_field(other, -1, "$.a.b[\"x y\"]");
	int			b = fluct_json_add_field(other, -1, "$[\"a\"].b");
	int			all = fluct_json_add_field(other, -1, "$");
	int			empty = fluct_json_add_field(other, -1, "$[\"q\\u0022\"][\"\"]");
	int			rows = fluct_json_add_rowset(other, "$.r.s[*]");
	int			u = fluct_json_add_field(other, rows, "@.t.u");
	int			whole = fluct_json_add_field(other, rows, "@");
	int			count;

	ok(c == 0 && xy == 1 && b == 2 && all == 3 && empty == 4 && rows == 0 &&
	   u == 0 && whole == 1, "paths get numbers, from 0 in each rowset");
	ok(fluct_json_add_field(other, -1, "$.a[\"b\"].c") == c &&
	   fluct_json_add_rowset(other, "$[\"r\"].s[*]") == rows &&
	   fluct_json_add_field(other, rows, "@[\"t\"].u") == u &&
	   fluct_json_add_field(other, -1, "$['a'].b['x y']") == xy,
	   "the same path gives the same number");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(fluct_json_add_field(other, -1, wrong[i]) == -1,
		   "\"%s\" is no path", wrong[i]);
	ok(fluct_json_add_rowset(other, "$.x") == -1 &&
	   fluct_json_add_rowset(other, "@.x[*]") == -1 &&
	   fluct_json_add_rowset(other, "$.x[*].y") == -1 &&
	   fluct_json_add_field(other, rows, "$.x") == -1 &&
	   fluct_json_add_field(other, rows + 1, "@.x") == -1,
	   "nor are these, here");

	for (int i = 0; i < 3; i++) /* the third time by guesses */
		ok(parse_text(other, text, &refusal), "nested paths");
	is_value(fluct_json_field(other, c), FLUCT_JSON_NUMBER, "1", "$.a.b.c");
	is_value(fluct_json_field(other, xy), FLUCT_JSON_NUMBER, "2", "x y");
	is_value(fluct_json_field(other, b), FLUCT_JSON_OBJECT,
			 "{\"c\": 1, \"x y\": 2}", "an object as written");
	is_value(fluct_json_field(other, all), FLUCT_JSON_OBJECT, text, "$");
	is_value(fluct_json_field(other, empty), FLUCT_JSON_NUMBER, "3",
			 "odd keys");
	is_value(fluct_json_cell(other, rows, 0, u), FLUCT_JSON_NUMBER, "4",
			 "@.t.u");
	is_value(fluct_json_cell(other, rows, 0, whole), FLUCT_JSON_OBJECT,
			 "{\"t\": {\"u\": 4}}", "@");
	is_value(fluct_json_cell(other, rows, 1, whole), FLUCT_JSON_NUMBER, "5",
			 "@ of a number");
	(void) fluct_json_unmapped(other, -1, 0, &count);
	ok(count == 0, "a path's first key is mapped");
	ok(!parse_text(other, "{\"a\":{\"b\":3},\"r\":[{\"s\":[1]}]}", &refusal) &&
	   refusal.reason == FLUCT_WRONG_TYPE && strcmp(refusal.path, "$.a.b") == 0,
	   "a path through a number");
	ok(parse_text(other, "{\"a\":{\"b\":null},\"r\":null}", &refusal),
	   "paths through NULL");
	is_value(fluct_json_field(other, c), FLUCT_JSON_ABSENT, NULL, "absent");
	ok(fluct_json_rowset_type(other, rows) == FLUCT_JSON_ABSENT, "absent");
}

/* More columns than Frame.seen has bits. */
static void
test_many_columns(void)
{
	FluctAllocator allocator = {heap_resize, &heap};
	FluctJson  *wide = fluct_json_create(&allocator);
	FluctRefusal refusal;
	char		text[4000];
	char		path[20];
	char	   *p = text;
	int			right = 0;

	for (int i = 0; i < 200; i++)
	{
		sprintf(path, "$.c%d", i);
		right += fluct_json_add_field(wide, -1, path) == i;
		p += sprintf(p, "%c\"c%d\":%d", i ? ',' : '{', i, i);
	}
	strcpy(p, "}");
	right += parse(wide, text, p + 1 - text, &refusal);
	right += parse(wide, text, p + 1 - text, &refusal);
	for (int i = 0; i < 200; i++)
		right += atoi(fluct_json_field(wide, i)->text) == i;
	ok(right == 402, "200 columns");
	p += sprintf(p, ",\"c150\":1}");
	ok(!parse(wide, text, p - text, &refusal) &&
	   refusal.reason == FLUCT_DUPLICATE_KEY, "one of them twice");
}

/* Checks the memory that a message takes; test_json_work.c counts the work. */
static void
costs(const char *name, const char *text, size_t len, bool accepted)
{
	size_t		before = heap.bytes;
	FluctRefusal refusal;

	heap.peak = heap.bytes;
	ok(fluct_json_parse(json, text, len, &refusal) == accepted, "%s", name);
	printf("# %zu KB\n", (heap.peak - before) / 1024);
	ok(heap.peak - before < 100 * 1024, "%s: memory", name);
}

static void
test_hostile(void)
{
	size_t		size = 10 * 1024 * 1024;
	char	   *text = malloc(size + 64);
	char	   *p;
	FluctRefusal refusal;

	memset(text, '[', 100000);
	costs("[ x 100,000", text, 100000, false);
	p = text + sprintf(text, "{\"a\":[0");
	for (int i = 0; i < 10000; i++)
		p += sprintf(p, ",1e131071");
	p += sprintf(p, "]}");
	costs("1e131071 x 10,000", text, p - text, true);
	p = text + sprintf(text, "{\"unmapped\":[0");
	while (p < text + size)
		p += sprintf(p, ",1");
	p += sprintf(p, "]}");
	costs("10 MB array", text, p - text, true);
	p = text + sprintf(text, "{\"unmapped\":[0");
	while (p < text + size)
		p += sprintf(p, ",{\"a\":{}}");
	p += sprintf(p, "]}");
	costs("10 MB array of objects", text, p - text, true);

	p = text + sprintf(text, "{\"o\":{\"a\":1");
	for (int i = 0; i < 500000; i++)
		p += sprintf(p, ",\"k%d\":1", i);
	p += sprintf(p, "}}");
	ok(parse(json, text, p - text, &refusal), "an object of 500,000 keys");
	ok(parse_text(json, "{}", &refusal) && heap.bytes < 8 * 1024 * 1024,
	   "its memory is given back: %zu KB", heap.bytes / 1024);
	free(text);
}

/* A path goes on only into objects, or arrays; NULL and absent values end it. */
static void
test_missteps(void)
{
	static const struct
	{
		const char *message;
		const char *path;		/* NULL = accepted */
		const char *detail;
	}			cases[] = {
		{"{\"a\":{\"b\":1}}", NULL, NULL},
		{"{\"a\":{}}", NULL, NULL},
		{"{\"a\":null}", NULL, NULL},
		{"{}", NULL, NULL},
		{"{\"a\":\"{\\\"b\\\":5}\"}", "$.a",
		"found \"{\\\"b\\\":5}\", expected an object"},
		{"{\"a\":[1,2]}", "$.a", "found [1,2], expected an object"},
		{"{\"a\":5}", "$.a", "found 5, expected an object"},
		{"{\"a\":true,\"r\":5}", "$.a", "found true, expected an object"},
		{"{\"r\":[{\"x\":{\"y\":1}},{\"x\":7}]}", "$.r[1].x",
		"found 7, expected an object"},
		{"{\"r\":[{\"x\":null},{}]}", NULL, NULL},
		{"{\"a\":5,\"a\":6}", "$.a", NULL}, /* a duplicate key comes first */
		{"{\"l\":[{\"x\":1}],\"b\":[1,2]}", NULL, NULL},
		{"{\"l\":{\"0\":{\"x\":1}}}", "$.l", "found {\"0\":{\"x\":1}}, expected an array"},
		{"{\"l\":\"x\"}", "$.l", "found \"x\", expected an array"},
		{"{\"l\":[5]}", "$.l[0]", "found 5, expected an object"},
		{"{\"b\":{\"c\":1}}", NULL, NULL},
		{"{\"b\":1}", "$.b", "found 1, expected an object"},
		{"{\"r\":[{\"p\":{\"0\":1}}]}", "$.r[0].p", "found {\"0\":1}, expected an array"},
		{"{\"l\":[],\"b\":[],\"r\":[{\"p\":[]}]}", NULL, NULL},
	};
	FluctAllocator allocator = {heap_resize, &heap};
	FluctJson  *own = fluct_json_create(&allocator);
	int			rows = fluct_json_add_rowset(own, "$.r[*]");

	fluct_json_add_field(own, FLUCT_JSON_ROOT, "$.a.b");
	fluct_json_add_field(own, rows, "@.x.y");
	fluct_json_add_field(own, FLUCT_JSON_ROOT, "$.l[0].x");
	fluct_json_add_field(own, FLUCT_JSON_ROOT, "$.b[1]");
	fluct_json_add_field(own, FLUCT_JSON_ROOT, "$.b.c");
	fluct_json_add_field(own, rows, "@.p[0]");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		FluctRefusal refusal;
		bool		accepted = parse_text(own, cases[i].message, &refusal);
		bool		right = accepted == (cases[i].path == NULL);

		if (!accepted)
			right = right && strcmp(refusal.path, cases[i].path) == 0 &&
				refusal.reason == (cases[i].detail ? FLUCT_WRONG_TYPE : FLUCT_DUPLICATE_KEY) &&
				(cases[i].detail == NULL || strcmp(refusal.detail, cases[i].detail) == 0);
		if (!ok(right, "a step in %s", cases[i].message))
			printf("# got %s at %s: %s\n", fluct_reason_name(refusal.reason),
				   refusal.path, refusal.detail);
	}
}

static void
test_row_limit(void)
{
	FluctAllocator allocator = {heap_resize, &heap};
	FluctJson  *own = fluct_json_create(&allocator);
	int			rows = fluct_json_add_rowset(own, "$.r[*]");
	FluctRefusal refusal;

	fluct_json_limit_rows(own, rows, 3);
	fluct_json_limit_rows(own, rows, 5);
	ok(parse_text(own, "{\"r\":[1,2,3]}", &refusal), "as many rows as allowed");
	ok(!parse_text(own, "{\"r\":[1,2,3,4]}", &refusal) &&
	   refusal.reason == FLUCT_TOO_LARGE && strcmp(refusal.path, "$.r[3]") == 0,
	   "one more is %s at %s", fluct_reason_name(refusal.reason), refusal.path);
	ok(parse_text(own, "{\"q\":[1,2,3,4]}", &refusal), "another array is not limited");
}

int
main(void)
{
	set_up();
	for (int i = 0; i < 2; i++) /* without and with guesses */
	{
		test_grammar();
		test_strings();
		test_alignment();
		test_top_level();
		test_duplicates();
		test_limits();
		test_long_numbers();
		test_fields();
	}
	test_paths();
	test_missteps();
	test_row_limit();
	test_many_columns();
	test_hostile();
	heap_free(&heap);
	return done_testing();
}
