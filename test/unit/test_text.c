/*-------------------------------------------------------------------------
 *
 * test_text.c
 *	  Characters of UTF-8, and how those are shown that are not safe to print.
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

static void
test_printable(void)
{
	static const char *const cases[][2] = {
		{"plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \\ \"", "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \\ \""},
		{"a\033[31mb", "a\\x1b[31mb"},
		{"a\tb\r\nc\177", "a\\x09b\\x0d\\x0ac\\x7f"},
		{"\xc2\x9b" "31m", "\\u009b31m"},
		{"\xe2\x80\xaegnp", "\\u202egnp"},
		{"\xe2\x81\xa6x\xe2\x81\xa9", "\\u2066x\\u2069"},
		{"\xef\xbb\xbf", "\\ufeff"},
		{"\xf3\xa0\x81\x81", "\\udb40\\udc41"},
		{"\xff\xc3", "\\xff\\xc3"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},
	};
	char		out[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		fluct_text_printable(out, sizeof(out), cases[i][0]);
		is_text(out, cases[i][1], "shown");
		fluct_text_printable(out, sizeof(out), cases[i][1]);
		is_text(out, cases[i][1], "what is shown, as it is");
	}
}

/* Every room from 4 bytes on, with the byte behind it untouched. */
static void
test_truncation(void)
{
	static const char text[] = "ab\xe2\x82\xac" "c\033d\xf3\xa0\x81\x81" "e";
	char		whole[64];
	char		out[64];

	fluct_text_printable(whole, sizeof(whole), text);
	for (size_t size = 4; size <= strlen(whole) + 1; size++)
	{
		bool		fits = strlen(whole) < size;
		size_t		len;

		memset(out, 'z', sizeof(out));
		fluct_text_printable(out, size, text);
		len = strlen(out);
		ok(len < size && out[size] == 'z', "%zu bytes are not passed", size);
		ok(fits ? strcmp(out, whole) == 0 :
		   strcmp(out + len - 3, "...") == 0 && memcmp(out, whole, len - 3) == 0,
		   "%zu bytes: whole, or its beginning and dots", size);
		for (const char *p = out; *p; p++)
			if (fluct_text_utf8_char(p, out + len) > 1)
				p += fluct_text_utf8_char(p, out + len) - 1;
			else if (*p & 0x80)
				ok(false, "%zu bytes: no half of a character", size);
	}
}

int
main(void)
{
	test_utf8();
	test_printable();
	test_truncation();
	return done_testing();
}
