/*-------------------------------------------------------------------------
 *
 * test_text.c
 *	  Characters of UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#include "base/text.h"
#include "tap.h"

static void
test_utf8(void)
{
	static const struct
	{
		const char *bytes;
		int			length;
	}			cases[] = {
		{"a", 1}, {"\xc3\xa9", 2}, {"\xe2\x82\xac", 3},
		{"\xf0\x9f\x98\x80", 4}, {"\xf4\x8f\xbf\xbf", 4},
		{"\xed\x9f\xbf", 3}, {"\xee\x80\x80", 3},
		{"\x80", 0}, {"\xc0\x80", 0}, {"\xc1\xbf", 0}, {"\xe0\x9f\xbf", 0},
		{"\xed\xa0\x80", 0}, {"\xf0\x8f\xbf\xbf", 0}, {"\xf4\x90\x80\x80", 0},
		{"\xf5\x80\x80\x80", 0}, {"\xff", 0}, {"\xc3", 0}, {"\xe2\x82", 0},
		{"\xc3\x28", 0}, {"\xe2\x28\xa1", 0}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *p = cases[i].bytes;

		ok(fluct_text_utf8_char(p, p + strlen(p)) == cases[i].length,
		   "UTF-8 case %zu", i);
	}
}

int
main(void)
{
	test_utf8();
	return done_testing();
}
