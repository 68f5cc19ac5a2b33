/*-------------------------------------------------------------------------
 *
 * test_utf16.c
 *	  UTF-16 of either order, in pieces of any size, and what is not UTF-16.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/csv.h"
#include "csv/utf16.h"
#include "tap.h"

static char out[400000];

/* The whole, given in pieces, with as much room each time. */
static const char *
decode(const char *bytes, size_t len, FluctUtf16Order order, size_t piece,
	   size_t room)
{
	size_t		at = fluct_utf16_mark(&order, bytes, len);
	size_t		end = at;
	size_t		n = 0;

	for (;;)
	{
		size_t		used;
		size_t		got = fluct_utf16_decode(&order, bytes + at, end - at,
											 end == len, out + n, room, &used);

		n += got;
		at += used;
		if (at == len)
			break;
		if (got == 0 && end == len)
			return "no progress";
		if (end < len && got == 0)
			end = end + piece > len ? len : end + piece;
	}
	out[n] = '\0';
	return out;
}

static void
decodes(const char *bytes, size_t len, FluctUtf16Order order,
		const char *wanted, const char *name)
{
	is_text(decode(bytes, len, order, len + 1, sizeof(out)), wanted, name);
	for (size_t piece = 1; piece < 6; piece++)
		for (size_t room = FLUCT_UTF16_MAX_CHAR; room < 10; room++)
			if (strcmp(decode(bytes, len, order, piece, room), wanted) != 0)
				ok(false, "%s, in pieces of %zu with room for %zu: %s", name,
				   piece, room, out);
}

#define DECODES(bytes, order, wanted, name) \
	decodes(bytes, sizeof(bytes) - 1, order, wanted, name)

static void
test_orders(void)
{
	DECODES("\xFF\xFE" "a\0;\0", FLUCT_UTF16_BY_MARK, "a;", "little, by its mark");
	DECODES("\xFE\xFF" "\0a\0;", FLUCT_UTF16_BY_MARK, "a;", "big, by its mark");
	DECODES("a\0;\0", FLUCT_UTF16_BY_MARK, "a;", "little without a mark");
	DECODES("\0a\0;", FLUCT_UTF16_BIG, "a;", "big without a mark");
	DECODES("\xFE\xFF" "\0a", FLUCT_UTF16_BIG, "a", "big, marked too");
	DECODES("\xFF\xFE" "a\0", FLUCT_UTF16_LITTLE, "a", "little, marked too");
	DECODES("a\0" "\xFF\xFE" "b\0", FLUCT_UTF16_LITTLE, "a\xEF\xBB\xBF" "b",
			"a mark elsewhere is data");
	DECODES("", FLUCT_UTF16_BY_MARK, "", "nothing");
	DECODES("\xFF\xFE", FLUCT_UTF16_BY_MARK, "", "a mark alone");
}

static void
test_characters(void)
{
	DECODES("\xE9\x00\xAC\x20\x3D\xD8\x80\xDE", FLUCT_UTF16_LITTLE,
			"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x9A\x80", "two, three and four bytes");
	DECODES("\xFF\x07\x00\x08\xFF\xFF\x00\xD8\x00\xDC\xFF\xDB\xFF\xDF",
			FLUCT_UTF16_LITTLE,
			"\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
			"the first and last of each length");
}

static void
test_broken(void)
{
	DECODES("\x00\xD8" "a\0", FLUCT_UTF16_LITTLE, "\xFF\xD8" "a",
			"the first half of a pair");
	DECODES("\x00\xDC" "a\0", FLUCT_UTF16_LITTLE, "\xFF\xDC" "a",
			"the second half");
	DECODES("\x00\xDC\x00\xD8", FLUCT_UTF16_LITTLE, "\xFF\xDC\xFF\xD8",
			"the halves in the wrong order");
	DECODES("\x00\xD8\x3D\xD8\x80\xDE", FLUCT_UTF16_LITTLE,
			"\xFF\xD8\xF0\x9F\x9A\x80", "a half before a pair");
	DECODES("a\0b", FLUCT_UTF16_LITTLE, "a\xFF\xFF", "half of a unit at the end");
	DECODES("a\0\x00\xD8\x00", FLUCT_UTF16_LITTLE, "a\xFF\xD8\xFF\xFF",
			"half of a pair, and half of a unit");
}

/* Each character of each plane, there and back. */
static void
test_all(void)
{
	int			wrong = 0;

	for (unsigned code = 1; code < 0x110000; code++)
	{
		char		in[4];
		size_t		len = 2;
		unsigned	first = code;
		unsigned	back;
		const unsigned char *got = (const unsigned char *) out;

		if (code >= 0xD800 && code < 0xE000)
			continue;
		if (code >= 0x10000)
		{
			first = 0xD800 + ((code - 0x10000) >> 10);
			in[2] = (code - 0x10000) & 0xFF;
			in[3] = 0xDC + ((code - 0x10000) >> 8 & 3);
			len = 4;
		}
		in[0] = first & 0xFF;
		in[1] = first >> 8;
		if (len == 2 && (first == 0xFEFF || first == 0xFFFE))
			continue;			/* a mark, at the beginning */
		decode(in, len, FLUCT_UTF16_LITTLE, len, 8);
		if (got[0] < 0x80)
			back = got[0];
		else if (got[0] < 0xE0)
			back = (got[0] & 0x1F) << 6 | (got[1] & 0x3F);
		else if (got[0] < 0xF0)
			back = (got[0] & 0xF) << 12 | (got[1] & 0x3F) << 6 | (got[2] & 0x3F);
		else
			back = (got[0] & 7) << 18 | (got[1] & 0x3F) << 12 |
				(got[2] & 0x3F) << 6 | (got[3] & 0x3F);
		wrong += back != code;
	}
	ok(wrong == 0, "all of Unicode, %d wrong", wrong);
}

int
main(void)
{
	test_orders();
	test_characters();
	test_broken();
	test_all();
	return done_testing();
}
