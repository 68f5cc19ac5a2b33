/*-------------------------------------------------------------------------
 *
 * test_string.c
 *	  Escapes, and values counted.
 *
 *-------------------------------------------------------------------------
 */
#include "json/string.h"
#include "tap.h"

static void
test_unescape(void)
{
	static const struct
	{
		const char *in;
		const char *out;
	}			cases[] = {
		{"", ""}, {"plain", "plain"}, {"a\\\"b", "a\"b"},
		{"\\\\\\/\\b\\f\\n\\r\\t", "\\/\b\f\n\r\t"},
		{"\\u0041\\u00e9\\u20ac", "A\xc3\xa9\xe2\x82\xac"},
		{"\\uD83D\\uDE00!", "\xf0\x9f\x98\x80!"},
		{"x\\u00E9y", "x\xc3\xa9y"},
	};
	char		out[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t		len = strlen(cases[i].in);

		out[fluct_string_unescape(cases[i].in, len, out)] = '\0';
		is_text(out, cases[i].out, cases[i].in);
	}
}

static void
test_count(void)
{
	static const struct
	{
		const char *text;
		size_t		count;
	}			cases[] = {
		{"1", 1}, {"[1]", 2}, {"[1,2,3]", 4}, {"{\"a\":1,\"b\":[2,3]}", 5},
		{"\"[,{\"", 1}, {"[\"\\\",,,\",\"\\\\\"]", 3}, {"[\"\"]", 2},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(fluct_string_count_values(cases[i].text, strlen(cases[i].text)) ==
		   cases[i].count, "%s holds %zu values", cases[i].text, cases[i].count);
}

int
main(void)
{
	test_unescape();
	test_count();
	return done_testing();
}
