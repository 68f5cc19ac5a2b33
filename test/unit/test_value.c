/*-------------------------------------------------------------------------
 *
 * test_value.c
 *	  Reasons, refusals, numbers, timestamps, escapes.
 *
 * The expected wire forms and microseconds were taken from PostgreSQL 15
 * (numeric_send, timestamptz_send).
 *
 *-------------------------------------------------------------------------
 */
#include "base/refusal.h"
#include <inttypes.h>

#include "tap.h"

static void
test_reasons(void)
{
	static const char *const words[] = {
		"ok", "empty_value", "invalid_json", "invalid_encoding", "nul",
		"not_an_object", "duplicate_key", "missing_field", "null_field",
		"wrong_type", "not_finite", "out_of_range", "bad_timestamp",
		"empty_key", "too_long", "too_deep", "too_large", "constraint",
		"trigger"
	};

	for (int i = FLUCT_OK; i <= FLUCT_TRIGGER; i++)
	{
		is_text(fluct_reason_name(i), words[i], words[i]);
		ok(strlen(fluct_reason_sqlstate(i)) == 5, "%s has a SQLSTATE",
		   words[i]);
	}
}

static void
test_refuse(void)
{
	FluctRefusal refusal;
	char		text[1000];

	fluct_refuse(&refusal, FLUCT_NUL, NULL, "%s at %d", "a NUL", 7);
	ok(refusal.reason == FLUCT_NUL, "reason is kept");
	is_text(refusal.sqlstate, "22P05", "SQLSTATE is the reason's");
	is_text(refusal.path, "", "no path is an empty one");
	is_text(refusal.detail, "a NUL at 7", "detail is formatted");

	fluct_refuse(&refusal, FLUCT_NUL, "$.a\x1b[31m", "x\xffy\n\xc2\x9bz");
	is_text(refusal.path, "$.a?[31m", "no control characters in the path");
	is_text(refusal.detail, "x?y??z", "no broken UTF-8 in the detail");

	for (int i = 0; i < 333; i++)
		memcpy(text + 3 * i, "\xe2\x82\xac", 4);
	for (int i = 0; i < 3; i++)
	{
		const char *end;

		fluct_refuse(&refusal, FLUCT_NUL, text + 3, "%.*s%s", i, "xx", text);
		ok(strlen(refusal.detail) < FLUCT_DETAIL_LEN &&
		   strlen(refusal.detail) > FLUCT_DETAIL_LEN - 5,
		   "a long detail is cut (%d)", i);
		end = refusal.detail + strlen(refusal.detail) - 3;
		is_text(end, "...", "and says so");
		ok(memcmp(end - 3, "\xe2\x82\xac", 3) == 0, "between characters");
	}
	memset(text, 'a', 255);
	text[255] = '\0';
	fluct_refuse(&refusal, FLUCT_NUL, text, "%s", text);
	is_text(refusal.path, text, "what just fits is not cut");
}

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

		if (!ok(fluct_value_numeric(text, strlen(text), wire, &len) ==
				FLUCT_OK, "%s is a number", text))
			continue;
		hex(wire, len, got);
		is_text(got, cases[i].wire, text);
	}
}

static void
test_number_limits(void)
{
	static const char *const too_large[] = {
		"1e64", "1e131071", "1e999999999999999999999", "1e-64", "0e-64",
		"0e99999999999", "1e-99999999999", "-1.5e-63",
		"12345678901234567890123456789012345678901234567890123456789012345",
		"0.0000000000000000000000000000000000000000000000000000000000000001"
	};
	static const char *const fits[] = {
		"1e63", "1e-63", "0e1000", "-9e63",
		"0.000000000000000000000000000000000000000000000000000000000000000000"
		"1e67",
		"1000000000000000000000000000000000000000000000000000000000000000000e0"
		/* 67 digits: see below */
	};
	static const char *const wrong[] = {
		"", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e1", "0x1",
		"1 ", " 1", "NaN", "Infinity", "1e1.5", "--1", "1,5"
	};

	for (size_t i = 0; i < sizeof(too_large) / sizeof(too_large[0]); i++)
		ok(fluct_value_check_number(too_large[i], strlen(too_large[i])) ==
		   FLUCT_OUT_OF_RANGE, "%s is out of range", too_large[i]);
	for (size_t i = 0; i + 1 < sizeof(fits) / sizeof(fits[0]); i++)
		ok(fluct_value_check_number(fits[i], strlen(fits[i])) == FLUCT_OK,
		   "%s fits", fits[i]);
	ok(fluct_value_check_number(fits[5], strlen(fits[5])) ==
	   FLUCT_OUT_OF_RANGE, "67 digits don't fit");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(fluct_value_check_number(wrong[i], strlen(wrong[i])) ==
		   FLUCT_INVALID_JSON, "\"%s\" is no number", wrong[i]);
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
		{"1e64", FLUCT_OUT_OF_RANGE, 0}, {"x", FLUCT_INVALID_JSON, 0},
	};
	int64_t		value;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		FluctReason reason;

		value = 0;
		reason = fluct_value_int64(cases[i].text, strlen(cases[i].text),
								   INT64_MIN, INT64_MAX, &value);
		ok(reason == cases[i].reason &&
		   (reason != FLUCT_OK || value == cases[i].value),
		   "integer %s: %s, %" PRId64, cases[i].text,
		   fluct_reason_name(reason), value);
	}
	ok(fluct_value_int64("2147483648", 10, INT32_MIN, INT32_MAX, &value) ==
	   FLUCT_OUT_OF_RANGE, "bounds: one above");
	ok(fluct_value_int64("-2147483648", 11, INT32_MIN, INT32_MAX, &value) ==
	   FLUCT_OK, "bounds: the least");
}

static void
test_timestamp(void)
{
	static const struct
	{
		const char *text;
		int64_t		usecs;
	}			good[] = {
		{"2000-01-01T00:00:00Z", 0},
		{"2000-01-01T00:00:00", 0},
		{"2000-01-01 00:00:00", 0},
		{"2000-01-01t00:00:00z", 0},
		{"2000-01-01T02:00:00+02:00", 0},
		{"2000-01-01T02:00:00+02", 0},
		{"2000-01-01T02:30:00+0230", 0},
		{"1999-12-31T22:00:00-02:00", 0},
		{"2000-01-01T00:00:00-00:00", 0},
		{"2022-10-28T14:31:13.542504", INT64_C(720282673542504)},
		{"2024-01-15T10:00:00.123456789Z", INT64_C(758628000123457)},
		{"2024-01-15T10:00:00.9999999Z", INT64_C(758628001000000)},
		{"2024-01-15T10:00:00.5Z", INT64_C(758628000500000)},
		{"2024-02-29T00:00:00Z", INT64_C(762480000000000)},
		{"2016-12-31T23:59:60Z", INT64_C(536544000000000)},
		{"2016-12-31T12:00:60Z", INT64_C(536500860000000)},
		{"0001-01-01T00:00:00Z", INT64_C(-63082281600000000)},
		{"9999-12-31T23:59:59.999999Z", INT64_C(252455615999999999)},
		{"1900-03-01T00:00:00Z", INT64_C(-3150576000000000)},
	};
	static const char *const bad[] = {
		"", "now", "infinity", "today", "01/02/2024", "2024-02-30T10:00:00Z",
		"2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
		"0000-01-01T00:00:00Z", "2024-13-01T00:00:00Z",
		"2024-00-01T00:00:00Z", "2024-01-00T00:00:00Z",
		"2024-01-01", "2024-01-01T00:00", "2024-01-01T00:00Z",
		"2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
		"2024-01-01T00:00:61Z", "2024-1-01T00:00:00Z",
		"24-01-01T00:00:00Z", "12024-01-01T00:00:00Z",
		"2024-01-01T00:00:00.", "2024-01-01T00:00:00.Z",
		"2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00 Z",
		"2024-01-01  00:00:00", "2024-01-01T00:00:00+24:00",
		"2024-01-01T00:00:00+02:60", "2024-01-01T00:00:00+2",
		"2024-01-01T00:00:00+02:", "2024-01-01T00:00:00+020",
		"2024-01-01T00:00:00+02:00:00", "2024-01-01T00:00:00ZZ",
		"2024-01-01T00:00:00 UTC", "2024-01-01T00:00:00 Europe/Paris",
		" 2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z ",
		"2024-W01-1T00:00:00Z", "20240101T000000Z", "-2024-01-01T00:00:00Z",
		"2024-01-01T00:00:00 BC", "1704067200"
	};
	int64_t		usecs;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		FluctReason reason;

		usecs = -1;
		reason = fluct_value_timestamp(good[i].text, strlen(good[i].text),
									   &usecs);
		ok(reason == FLUCT_OK && usecs == good[i].usecs,
		   "%s is %" PRId64, good[i].text, usecs);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(fluct_value_timestamp(bad[i], strlen(bad[i]), &usecs) ==
		   FLUCT_BAD_TIMESTAMP, "\"%s\" is refused", bad[i]);
}

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

		out[fluct_value_unescape(cases[i].in, len, out)] = '\0';
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
		ok(fluct_value_count(cases[i].text, strlen(cases[i].text)) ==
		   cases[i].count, "%s holds %zu values", cases[i].text, cases[i].count);
}

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

		ok(fluct_value_utf8_char(p, p + strlen(p)) == cases[i].length,
		   "UTF-8 case %zu", i);
	}
}

int
main(void)
{
	test_reasons();
	test_refuse();
	test_numeric();
	test_number_limits();
	test_int64();
	test_timestamp();
	test_unescape();
	test_count();
	test_utf8();
	return done_testing();
}
