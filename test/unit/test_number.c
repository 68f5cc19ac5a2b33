/*-------------------------------------------------------------------------
 *
 * test_number.c
 *	  Numbers as numeric and as integers.
 *
 * The expected wire forms (numeric_send) were taken from PostgreSQL 15.
 *
 *-------------------------------------------------------------------------
 */
#include "json/number.h"
#include <inttypes.h>

#include "base/refusal.h"
#include "tap.h"

static void
hex(const char *bytes, size_t len, char *out)
{
	*out = '\0';
	for (size_t i = 0; i < len; i++)
		out += sprintf(out, "%02x%s", (unsigned char) bytes[i],
					   i % 2 == 1 && i + 1 < len ? " " : "");
}

static void
test_numeric(void)
{
	static const struct
	{
		const char *text;
		const char *wire;
	}			cases[] = {
		{"0", "0000 0000 0000 0000"},
		{"-0", "0000 0000 0000 0000"},
		{"-0.00", "0000 0000 0000 0002"},
		{"0e5", "0000 0000 0000 0000"},
		{"0e-5", "0000 0000 0000 0005"},
		{"0.00e1", "0000 0000 0000 0001"},
		{"1", "0001 0000 0000 0000 0001"},
		{"-1", "0001 0000 4000 0000 0001"},
		{"1.50", "0002 0000 0000 0002 0001 1388"},
		{"1.0", "0001 0000 0000 0001 0001"},
		{"10000", "0001 0001 0000 0000 0001"},
		{"9999", "0001 0000 0000 0000 270f"},
		{"0.01", "0001 ffff 0000 0002 0064"},
		{"0.00001", "0001 fffe 0000 0005 03e8"},
		{"0.0001", "0001 ffff 0000 0004 0001"},
		{"1e3", "0001 0000 0000 0000 03e8"},
		{"1E+4", "0001 0001 0000 0000 0001"},
		{"1.5e3", "0001 0000 0000 0000 05dc"},
		{"1.50e1", "0001 0000 0000 0001 000f"},
		{"100e-2", "0001 0000 0000 0002 0001"},
		{"12345e-4", "0002 0000 0000 0004 0001 0929"},
		{"123456789.123456789",
		"0006 0002 0000 0009 0001 0929 1a85 04d2 162e 2328"},
		{"189921.66000000006",
		"0005 0001 0000 000b 0012 26c1 19c8 0000 003c"},
		{"0.1e1", "0001 0000 0000 0000 0001"},
		{"0.000000000000000000000000000000000000000000000000000000000000001",
		"0001 fff0 0000 003f 000a"},
		{"1234567890123456789012345678901234567890123456789012345678901234",
			"0010 000f 0000 0000 04d2 162e 2334 0d80 1ed2 04d2 162e 2334 0d80"
		" 1ed2 04d2 162e 2334 0d80 1ed2 04d2"},
	};
	char		wire[FLUCT_NUMERIC_WIRE_LEN];
	char		got[FLUCT_NUMERIC_WIRE_LEN * 3];
	size_t		len;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *text = cases[i].text;

		if (!ok(fluct_number_numeric(text, strlen(text), wire, &len) ==
				FLUCT_OK, "%s is a number", text))
			continue;
		hex(wire, len, got);
		is_text(got, cases[i].wire, text);
	}
}

/* `digits` times the digit, behind `before`. */
static const char *
digits_of(const char *before, char digit, size_t digits)
{
	static char text[FLUCT_MAX_DIGITS + 100];
	size_t		len = strlen(before);

	memcpy(text, before, len);
	memset(text + len, digit, digits);
	text[len + digits] = '\0';
	return text;
}

static void
checks(const char *text, FluctReason reason)
{
	ok(fluct_number_check(text, strlen(text)) == reason, "%.60s: %s", text,
	   fluct_reason_name(reason));
}

static void
test_number_limits(void)
{
	static const char *const too_large[] = {
		"1e1000", "1e131071", "1e999999999999999999999", "1e-1000", "0e-1000",
		"0e99999999999", "1e-99999999999", "-1.5e-999"
	};
	static const char *const fits[] = {
		"1e999", "1e-999", "0e100000", "-9e999", "1e64", "1e-64",
		"0.000000000000000000000000000000000000000000000000000000000000000000"
		"1e67",
		"1000000000000000000000000000000000000000000000000000000000000000000e0"
	};
	static const char *const wrong[] = {
		"", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e1", "0x1",
		"1 ", " 1", "NaN", "Infinity", "1e1.5", "--1", "1,5"
	};

	for (size_t i = 0; i < sizeof(too_large) / sizeof(too_large[0]); i++)
		checks(too_large[i], FLUCT_OUT_OF_RANGE);
	for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++)
		checks(fits[i], FLUCT_OK);
	checks(digits_of("", '9', FLUCT_MAX_DIGITS), FLUCT_OK);
	checks(digits_of("", '9', FLUCT_MAX_DIGITS + 1), FLUCT_OUT_OF_RANGE);
	checks(digits_of("-0.", '3', FLUCT_MAX_DIGITS - 1), FLUCT_OK);
	checks(digits_of("-0.", '3', FLUCT_MAX_DIGITS), FLUCT_OUT_OF_RANGE);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		checks(wrong[i], FLUCT_INVALID_JSON);
}

/* The longest numbers fill the wire form's room, and no more. */
static void
test_longest_wire(void)
{
	char		wire[FLUCT_NUMERIC_WIRE_LEN];
	size_t		longest = 0;

	for (size_t point = 0; point < 8; point++)
	{
		size_t		len;
		char		text[FLUCT_MAX_DIGITS + 2];

		memset(text, '7', FLUCT_MAX_DIGITS + 1);
		text[point + 1] = '.';
		if (ok(fluct_number_numeric(text, FLUCT_MAX_DIGITS + 1, wire, &len) == FLUCT_OK,
			   "%d digits, %zu before the point", FLUCT_MAX_DIGITS, point + 1) &&
			len > longest)
			longest = len;
	}
	ok(longest <= FLUCT_NUMERIC_WIRE_LEN, "take %zu bytes", longest);
}

static void
test_int64(void)
{
	static const struct
	{
		const char *text;
		FluctReason reason;
		int64_t		value;
	}			cases[] = {
		{"0", FLUCT_OK, 0}, {"-0", FLUCT_OK, 0}, {"-0.0", FLUCT_OK, 0},
		{"3.0", FLUCT_OK, 3}, {"3.5", FLUCT_WRONG_TYPE, 0},
		{"1e3", FLUCT_OK, 1000}, {"1.25e2", FLUCT_OK, 125},
		{"1.255e2", FLUCT_WRONG_TYPE, 0}, {"1e-1", FLUCT_WRONG_TYPE, 0},
		{"100e-2", FLUCT_OK, 1}, {"0.001e3", FLUCT_OK, 1},
		{"0.05", FLUCT_WRONG_TYPE, 0}, {"-12", FLUCT_OK, -12},
		{"9223372036854775807", FLUCT_OK, INT64_MAX},
		{"9223372036854775808", FLUCT_OUT_OF_RANGE, 0},
		{"-9223372036854775808", FLUCT_OK, INT64_MIN},
		{"-9223372036854775809", FLUCT_OUT_OF_RANGE, 0},
		{"18446744073709551616", FLUCT_OUT_OF_RANGE, 0},
		{"1e19", FLUCT_OUT_OF_RANGE, 0}, {"1e63", FLUCT_OUT_OF_RANGE, 0},
		{"1e64", FLUCT_OUT_OF_RANGE, 0}, {"1e-64", FLUCT_WRONG_TYPE, 0},
		{"1e1001", FLUCT_OUT_OF_RANGE, 0}, {"x", FLUCT_INVALID_JSON, 0},
		{"-999999999999999999", FLUCT_OK, -INT64_C(999999999999999999)},
		{"1000000000000000000", FLUCT_OK, INT64_C(1000000000000000000)},
		{"", FLUCT_INVALID_JSON, 0}, {"-", FLUCT_INVALID_JSON, 0},
		{"01", FLUCT_INVALID_JSON, 0}, {"-00", FLUCT_INVALID_JSON, 0},
		{"12x", FLUCT_INVALID_JSON, 0},
	};
	int64_t		value;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		FluctReason reason;

		value = 0;
		reason = fluct_number_int64(cases[i].text, strlen(cases[i].text),
									INT64_MIN, INT64_MAX, &value);
		ok(reason == cases[i].reason &&
		   (reason != FLUCT_OK || value == cases[i].value),
		   "integer %s: %s, %" PRId64, cases[i].text,
		   fluct_reason_name(reason), value);
	}
	ok(fluct_number_int64("2147483648", 10, INT32_MIN, INT32_MAX, &value) ==
	   FLUCT_OUT_OF_RANGE, "bounds: one above");
	ok(fluct_number_int64("-2147483648", 11, INT32_MIN, INT32_MAX, &value) ==
	   FLUCT_OK, "bounds: the least");
}

int
main(void)
{
	test_numeric();
	test_number_limits();
	test_longest_wire();
	test_int64();
	return done_testing();
}
