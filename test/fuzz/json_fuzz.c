/*-------------------------------------------------------------------------
 *
 * json_fuzz.c
 *	  Feeds the scanner what nobody would send, and checks what must hold.
 *
 * For every input:
 * - it is accepted if and only if a slow, recursive reading of the grammar
 *	 below accepts it, which shares no code with the scanner;
 * - the same bytes give the same answer twice (guesses don't change it);
 * - a refusal has a reason, its SQLSTATE, a path and a printable detail;
 * - an accepted message's values lie inside it, are accepted alone, and
 *	 convert: a number to a numeric, a string to valid UTF-8.
 * The input lies at the end of a heap block, so that ASan sees a read beyond.
 *
 * With clang: -fsanitize=fuzzer,address,undefined.  Otherwise, with
 * -DFLUCT_FUZZ_MAIN, `json_fuzz [iterations [seed]]` mutates samples.
 *
 *-------------------------------------------------------------------------
 */
#include "json/json.h"
#include "../unit/tap.h"
#include "base/refusal.h"
#include "json/number.h"
#include "json/string.h"
#include "json/timestamp.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Heap heap;
static FluctJson *json;
static FluctJson *single;		/* reads `{"v": value}` */
static int	accepted_count;

#define require(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "does not hold: %s\n", #condition); \
			abort(); \
		} \
	} while (0)

/*
 * The grammar, read slowly.  Each function returns what follows, or NULL.
 */

typedef struct Seen
{
	char	   *key;
	size_t		len;
} Seen;

static const char *slow_value(const char *p, const char *end, int depth);

static const char *
slow_blanks(const char *p, const char *end)
{
	while (p < end && memchr(" \t\r\n", *p, 4) != NULL)
		p++;
	return p;
}

static int
slow_hex(const char *p, const char *end)
{
	char		digits[5] = {0};
	char	   *stop;
	long		value;

	if (end - p < 4)
		return -1;
	memcpy(digits, p, 4);
	if (strspn(digits, "0123456789abcdefABCDEF") != 4)
		return -1;
	value = strtol(digits, &stop, 16);
	return (int) value;
}

/* A whole character as Unicode defines UTF-8, by computing its code. */
static int
slow_utf8(const char *p, const char *end)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned	code = (unsigned char) *p;
	int			length;

	if (code < 0x80)
		return 1;
	if (code >= 0xF8 || code < 0xC0)
		return 0;
	length = code >= 0xF0 ? 4 : code >= 0xE0 ? 3 : 2;
	code &= 0x7F >> length;
	if (end - p < length)
		return 0;
	for (int i = 1; i < length; i++)
	{
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3F);
	}
	if (code < least[length] || code > 0x10FFFF ||
		(code >= 0xD800 && code < 0xE000))
		return 0;
	return length;
}

static const char *
slow_escape(const char *p, const char *end)
{
	int			code;
	int			low;

	if (end - p < 2 || p[1] == '\0')
		return NULL;
	if (p[1] != 'u')
		return strchr("\"\\/bfnrt", p[1]) ? p + 2 : NULL;
	code = slow_hex(p + 2, end);
	if (code <= 0 || (code >= 0xDC00 && code < 0xE000))
		return NULL;
	if (code < 0xD800 || code >= 0xE000)
		return p + 6;
	if (end - p < 8 || p[6] != '\\' || p[7] != 'u')
		return NULL;
	low = slow_hex(p + 8, end);
	return low >= 0xDC00 && low < 0xE000 ? p + 12 : NULL;
}

static const char *
slow_string(const char *p, const char *end)
{
	if (p == end || *p++ != '"')
		return NULL;
	while (p != NULL && p < end && *p != '"')
	{
		if ((unsigned char) *p < 0x20)
			return NULL;
		if (*p == '\\')
			p = slow_escape(p, end);
		else if (slow_utf8(p, end) > 0)
			p += slow_utf8(p, end);
		else
			return NULL;
	}
	return p != NULL && p < end ? p + 1 : NULL;
}

/* Digits of the number when written out, by writing it out. */
static bool
slow_fits(const char *p, const char *end)
{
	char		text[4096];
	char	   *e;
	char	   *dot;
	long		exponent = 0;
	long		integers;
	long		fractions;
	size_t		zeros;

	if (end - p >= (ptrdiff_t) sizeof(text))
		return false;
	memcpy(text, p, end - p);
	text[end - p] = '\0';
	e = strpbrk(text, "eE");
	if (e != NULL)
	{
		exponent = strtol(e + 1, NULL, 10);
		*e = '\0';
	}
	if (exponent > 100000000 || exponent < -100000000)
		return false;
	dot = strchr(text, '.');
	fractions = dot ? (long) strlen(dot + 1) : 0;
	if (dot != NULL)
		memmove(dot, dot + 1, strlen(dot));
	zeros = strspn(text, "-0");
	integers = (long) strlen(text + zeros) - fractions + exponent;
	if (text[zeros] == '\0' || integers < 1)
		integers = 1;
	fractions = fractions > exponent ? fractions - exponent : 0;
	return integers + fractions <= FLUCT_MAX_DIGITS;
}

static const char *
slow_digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p > start ? p : NULL;
}

static const char *
slow_number(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = slow_digits(p, end);
	if (p != NULL && p < end && *p == '.')
		p = slow_digits(p + 1, end);
	if (p != NULL && p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = slow_digits(p, end);
	}
	return p;
}

/* Adds a key to those of an object; false if it is there. */
static bool
slow_add(Seen **seen, int *count, const char *p, const char *end)
{
	Seen		key;

	key.key = malloc(end - p);
	key.len = fluct_string_unescape(p + 1, end - p - 2, key.key);
	*seen = realloc(*seen, (*count + 1) * sizeof(Seen));
	(*seen)[(*count)++] = key;
	for (int i = 0; i + 1 < *count; i++)
		if ((*seen)[i].len == key.len &&
			memcmp((*seen)[i].key, key.key, key.len) == 0)
			return false;
	return true;
}

static const char *
slow_members(const char *p, const char *end, int depth)
{
	Seen	   *seen = NULL;
	int			count = 0;

	for (;;)
	{
		const char *key = p;

		p = slow_string(p, end);
		if (p == NULL || !slow_add(&seen, &count, key, p))
			p = NULL;
		else
			p = slow_blanks(p, end);
		if (p != NULL && (p == end || *p != ':'))
			p = NULL;
		if (p != NULL)
			p = slow_value(slow_blanks(p + 1, end), end, depth);
		if (p != NULL)
			p = slow_blanks(p, end);
		if (p == NULL || p == end || *p != ',')
			break;
		p = slow_blanks(p + 1, end);
	}
	for (int i = 0; i < count; i++)
		free(seen[i].key);
	free(seen);
	return p != NULL && p < end && *p == '}' ? p + 1 : NULL;
}

static const char *
slow_elements(const char *p, const char *end, int depth)
{
	for (;;)
	{
		p = slow_value(p, end, depth);
		if (p == NULL)
			return NULL;
		p = slow_blanks(p, end);
		if (p == end || *p != ',')
			break;
		p = slow_blanks(p + 1, end);
	}
	return p < end && *p == ']' ? p + 1 : NULL;
}

static const char *
slow_value(const char *p, const char *end, int depth)
{
	const char *inner;

	if (p == end)
		return NULL;
	if (*p == '"')
		return slow_string(p, end);
	if (*p != '{' && *p != '[')
	{
		if (end - p >= 4 && (memcmp(p, "true", 4) == 0 ||
							 memcmp(p, "null", 4) == 0))
			return p + 4;
		if (end - p >= 5 && memcmp(p, "false", 5) == 0)
			return p + 5;
		return slow_number(p, end);
	}
	if (depth == 64)
		return NULL;
	inner = slow_blanks(p + 1, end);
	if (inner < end && *inner == (*p == '{' ? '}' : ']'))
		return inner + 1;
	if (*p == '{')
		return slow_members(inner, end, depth + 1);
	return slow_elements(inner, end, depth + 1);
}

static bool
slow_accepts(const char *p, const char *end)
{
	p = slow_blanks(p, end);
	if (p == end || *p != '{')
		return false;
	p = slow_value(p, end, 0);
	return p != NULL && slow_blanks(p, end) == end;
}

/*
 * What must hold
 */

static void
check_text(const char *text)
{
	const char *end = text + strlen(text);

	while (text < end)
	{
		int			length = slow_utf8(text, end);

		require(length > 0 && (length > 1 || (*text >= 0x20 && *text != 0x7F)));
		text += length;
	}
}

static void
check_refusal(const FluctRefusal *refusal)
{
	require(refusal->reason > FLUCT_OK && refusal->reason <= FLUCT_TRIGGER);
	require(strcmp(refusal->sqlstate,
				   fluct_reason_sqlstate(refusal->reason)) == 0);
	require(refusal->path[0] == '$' && refusal->detail[0] != '\0');
	check_text(refusal->path);
	check_text(refusal->detail);
}

static void
check_conversion(const FluctJsonValue *value)
{
	char		wire[FLUCT_NUMERIC_WIRE_LEN];
	size_t		len;
	int64_t		integer;
	char	   *out;

	if (value->type == FLUCT_JSON_NUMBER)
	{
		if (slow_fits(value->text, value->text + value->len))
		{
			require(fluct_number_numeric(value->text, value->len, wire, &len) ==
					FLUCT_OK);
			require(len >= 8 && len <= sizeof(wire) && len % 2 == 0);
		}
		else
		{
			require(fluct_number_numeric(value->text, value->len, wire, &len) ==
					FLUCT_OUT_OF_RANGE);
			require(fluct_json_has_long_number(json));
		}
		(void) fluct_number_int64(value->text, value->len, INT64_MIN,
								  INT64_MAX, &integer);
	}
	if (value->type == FLUCT_JSON_STRING)
	{
		out = malloc(value->len + 1);
		len = fluct_string_unescape(value->text, value->len, out);
		require(value->escaped ? len < value->len : len == value->len);
		for (char *p = out; p < out + len;)
		{
			require(slow_utf8(p, out + len) > 0);
			p += slow_utf8(p, out + len);
		}
		free(out);
		(void) fluct_timestamp_parse(value->text, value->len, &integer);
	}
}

/* The value alone, in quotes again if it had them, is accepted, too. */
static void
check_value(const FluctJsonValue *value, const char *bytes, size_t size)
{
	const char *quote = value->type == FLUCT_JSON_STRING ? "\"" : "";
	FluctRefusal refusal;
	char	   *text;
	int			len;

	if (value->type == FLUCT_JSON_ABSENT)
		return;
	require(value->text >= bytes && value->text + value->len <= bytes + size);
	check_conversion(value);
	text = malloc(value->len + 16);
	len = sprintf(text, "{\"v\":%s", quote);
	memcpy(text + len, value->text, value->len);
	len += value->len;
	len += sprintf(text + len, "%s}", quote);
	require(fluct_json_parse(single, text, len, &refusal) ||
			refusal.reason == FLUCT_TOO_DEEP);
	if (refusal.reason == FLUCT_OK)
		require(fluct_json_field(single, 0)->type == value->type);
	free(text);
}

static void
check_members(int rowset, int row, const char *bytes, size_t size)
{
	int			count;
	const FluctJsonMember *members;

	members = fluct_json_unmapped(json, rowset, row, &count);
	for (int i = 0; i < count; i++)
	{
		check_value(&members[i].key, bytes, size);
		check_value(&members[i].value, bytes, size);
	}
}

static void
check_results(const char *bytes, size_t size)
{
	for (int i = 0; i < 3; i++)
		check_value(fluct_json_field(json, i), bytes, size);
	check_members(FLUCT_JSON_ROOT, 0, bytes, size);
	for (int rowset = 0; rowset < 2; rowset++)
		for (int i = 0; i < fluct_json_row_count(json, rowset); i++)
		{
			require(fluct_json_row_type(json, rowset, i) !=
					FLUCT_JSON_ABSENT);
			for (int j = 0; j < 2; j++)
				check_value(fluct_json_cell(json, rowset, i, j), bytes, size);
			check_members(rowset, i, bytes, size);
		}
}

static void
set_up(void)
{
	FluctAllocator allocator = {heap_resize, &heap};
	int			rows;

	json = fluct_json_create(&allocator);
	single = fluct_json_create(&allocator);
	require(fluct_json_add_field(single, -1, "$.v") == 0);
	require(fluct_json_add_field(json, -1, "$.a") == 0);
	require(fluct_json_add_field(json, -1, "$.order_id") == 1);
	require(fluct_json_add_field(json, -1, "$.b.a") == 2);
	rows = fluct_json_add_rowset(json, "$.order_lines[*]");
	require(fluct_json_add_field(json, rows, "@.volume") == 0);
	require(fluct_json_add_field(json, rows, "@") == 1);
	rows = fluct_json_add_rowset(json, "$.b.r[*]");
	require(fluct_json_add_field(json, rows, "@.a.b") == 0);
	require(fluct_json_add_field(json, rows, "@.\xc3\xa9") == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FluctRefusal refusal = {FLUCT_OK};
	FluctRefusal again = {FLUCT_OK};
	char	   *block = malloc(size + 1);
	char	   *bytes = block + 1;
	bool		accepted;

	if (json == NULL)
		set_up();
	memcpy(bytes, data, size);
	accepted = fluct_json_parse(json, bytes, size, &refusal);
	/* a path that steps into a value without members is not of the grammar */
	require((accepted || refusal.reason == FLUCT_WRONG_TYPE) ==
			slow_accepts(bytes, bytes + size));
	require(fluct_json_parse(json, bytes, size, &again) == accepted);
	if (accepted)
		check_results(bytes, size);
	else
	{
		check_refusal(&refusal);
		require(memcmp(&refusal, &again, offsetof(FluctRefusal, path)) == 0);
		require(strcmp(refusal.path, again.path) == 0);
	}
	accepted_count += accepted;
	free(block);
	return 0;
}

#ifdef FLUCT_FUZZ_MAIN

static const char *const samples[] = {
	"{\"order_id\": \"befd15dd\", \"customer_id\": \"b3b191a0\","
	" \"order_lines\": [{\"product_id\": \"6fd457c1\", \"volume\": 98,"
	" \"price\": 30.23}, {\"product_id\": \"x\", \"volume\": 1e2}],"
	" \"amount\": 2962.54, \"timestamp\": \"2022-10-28T14:31:13.542504\"}",
	"{\"a\": {\"b\": [1, 2, {\"c\": null}], \"\": true}, \"b\": {\"a\": -0.5e-3,"
	" \"r\": [{\"a\": {\"b\": \"\\u00e9\\ud83d\\ude00\\n\"}}, 7, [],"
	" {\"\xc3\xa9\": false}]}}",
	"{\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,"
	"\"k9\":9,\"k10\":1,\"k11\":1,\"k12\":1,\"k13\":1,\"k14\":1,\"k15\":1,"
	"\"k16\":1,\"k17\":1,\"k18\":1,\"k19\":{\"k1\":\"\xe2\x82\xac\"}}",
	"[[[[{}]]]]", "{\"a\":[\"\xf0\x9f\x98\x80\"]}", "{}"
};

static const char *const pieces[] = {
	"{", "}", "[", "]", ":", ",", "\"", "\\", "\\u0000", "\\ud83d", "\\ude00",
	"\"a\":", "\"k1\":", "null", "1e64", "1e1000", "-0", "0.1", "e5", " ", "\n",
	"\xef\xbb\xbf", "\xc3\xa9", "\xff", "\xed\xa0\x80", "\"order_lines\":[",
	"\"\\u0061\":1,", "12345678901234567890123456789012345678901234567890",
	"[[[[[[[[[[[[[[[[[[[[[[[[", "{\"a\":{\"a\":{\"a\":{\"a\":"
};

/* One random change; the room is twice what any mutation chain can need. */
static size_t
mutate(char *text, size_t len)
{
	size_t		at = len > 0 ? random() % len : 0;
	size_t		to = at + (len > at ? random() % (len - at) % 40 : 0);
	const char *piece = pieces[random() % (sizeof(pieces) / sizeof(*pieces))];
	size_t		n = strlen(piece);

	switch (random() % 6)
	{
		case 0:
			text[at] = (char) random();
			return len > 0 ? len : 1;
		case 1:
			if (len > 0)
				text[at] ^= 1 << random() % 8;
			return len;
		case 2:					/* remove a run */
			memmove(text + at, text + to, len - to);
			return len - (to - at);
		case 3:					/* double a run */
			memmove(text + to, text + at, len - at);
			return len + (to - at);
		case 4:					/* cut */
			return random() % 8 == 0 ? at : len;
		default:
			memmove(text + at + n, text + at, len - at);
			memcpy(text + at, piece, n);
			return len + n;
	}
}

int
main(int argc, char **argv)
{
	long		iterations = argc > 1 ? atol(argv[1]) : 100000;
	long		seed = argc > 2 ? atol(argv[2]) : 1;
	static char text[16384];

	srandom((unsigned) seed);
	for (long i = 0; i < iterations; i++)
	{
		const char *sample = samples[random() % (sizeof(samples) /
												 sizeof(*samples))];
		size_t		len = strlen(sample);

		memcpy(text, sample, len);
		for (long n = random() % 6; n > 0; n--)
			len = mutate(text, len);
		(void) LLVMFuzzerTestOneInput((const uint8_t *) text, len);
	}
	ok(accepted_count > 0 && accepted_count < iterations,
	   "%ld messages, %d accepted, seed %ld", iterations, accepted_count,
	   seed);
	heap_free(&heap);
	return done_testing();
}

#endif							/* FLUCT_FUZZ_MAIN */
