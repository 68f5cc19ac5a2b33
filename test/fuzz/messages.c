/*-------------------------------------------------------------------------
 *
 * messages.c
 *	  Random messages: whole ones, broken ones, and values at their limits.
 *
 * Bytes that are wholly random are refused at the first one, so most messages
 * are right but for one thing: a value is near a limit of its type, or a
 * message that was whole got a few mutations.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "messages.h"

#define MAX_MESSAGE		8192

static uint64 state;

void
fuzz_seed(uint64 seed, uint64 iteration)
{
	state = seed * UINT64CONST(0x9E3779B97F4A7C15) ^ iteration << 20;
}

/* splitmix64 */
static uint64
next(void)
{
	uint64		z = (state += UINT64CONST(0x9E3779B97F4A7C15));

	z = (z ^ z >> 30) * UINT64CONST(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64CONST(0x94D049BB133111EB);
	return z ^ z >> 31;
}

uint32
fuzz_below(uint32 n)
{
	return (uint32) (next() >> 32) % n;
}

static bool
one_in(uint32 n)
{
	return fuzz_below(n) == 0;
}

static const char *
one_of(const char *const *texts, int n)
{
	return texts[fuzz_below(n)];
}

#define ONE_OF(texts)	one_of(texts, lengthof(texts))

/* ----- values ----- */

static void
put_digits(StringInfo out, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfoChar(out, one_in(4) ? "09"[fuzz_below(2)] : '0' + fuzz_below(10));
}

static void
put_random_number(StringInfo out)
{
	if (one_in(3))
		appendStringInfoChar(out, '-');
	if (one_in(4))
		appendStringInfoChar(out, '0');
	else
	{
		appendStringInfoChar(out, '1' + fuzz_below(9));
		put_digits(out, fuzz_below(one_in(10) ? 66 : 20));
		if (one_in(60))
			appendStringInfo(out, "%0*d", 1 + fuzz_below(300), 0);
	}
	if (one_in(2))
	{
		appendStringInfoChar(out, '.');
		put_digits(out, 1 + fuzz_below(one_in(10) ? 66 : 12));
	}
	if (one_in(4))
	{
		appendStringInfo(out, "%c%s", "eE"[fuzz_below(2)], one_in(2) ? "-" : one_in(2) ? "+" : "");
		appendStringInfo(out, one_in(20) ? "%0300u" : "%u",
						 fuzz_below(one_in(5) ? 200000 : one_in(3) ? 70 : 12));
	}
}

/* A number a little below, at or above a limit, in several spellings. */
static void
put_number_at_limit(StringInfo out)
{
	static const char *const limits[] = {
		"3276", "214748364", "922337203685477580", "6553", "429496729",
		"1844674407370955161", "900719925474099", "1677721", "-3276",
		"-214748364", "-922337203685477580", "340282346638528859811704183484516925",
		"922337203685", "-922337203685", "922337203685477", "-922337203685477",
		"-2117", "-21086687", "9999999999999999999999999999999999999999999999999999999999999999"
	};
	static const char *const tails[] = {
		".0", ".5", ".00000000", "e0", "0e-1", ".50000", "e1", "E+0", "e-3",
		".000000000000000000000000000001"
	};

	appendStringInfoString(out, ONE_OF(limits));
	put_digits(out, fuzz_below(5));
	if (one_in(2))
		appendStringInfoString(out, ONE_OF(tails));
}

static void
put_number(StringInfo out)
{
	static const char *const odd[] = {
		"0", "-0", "0.0", "-0.0", "-0e5", "0e-70", "0e100", "1e64", "1e63",
		"-1e-63", "1e-64", "1e38", "3.4028235e38", "3.4028236e38", "1e-45",
		"7.0e-46", "1.1754944e-38", "7.038531e-26", "1e131071", "1e131072",
		"1e-16383", "1e-16384", "1e1000000", "1e99999999999", "01", "1.", ".5",
		"+1", "--1", "1e", "1e+", "NaN", "Infinity", "0x10", "1_000", "0.1e1",
		"16777217", "16777217.0000001", "9007199254740993", "1.50", "100000e-5"
	};

	switch (fuzz_below(4))
	{
		case 0:
			put_number_at_limit(out);
			break;
		case 1:
			appendStringInfoString(out, ONE_OF(odd));
			break;
		default:
			put_random_number(out);
	}
}

/* A character of a string; now and then written as an escape. */
static void
put_character(StringInfo out, char c, bool escape)
{
	if (escape)
		appendStringInfo(out, one_in(2) ? "\\u%04x" : "\\u%04X", (unsigned char) c);
	else
		appendStringInfoChar(out, c);
}

static void
put_quoted(StringInfo out, const char *text)
{
	bool		escapes = one_in(8);

	appendStringInfoChar(out, '"');
	for (; *text != '\0'; text++)
		put_character(out, *text, escapes && one_in(6));
	appendStringInfoChar(out, '"');
}

static void
put_string(StringInfo out)
{
	static const char *const parts[] = {
		"a", "order", " ", "\\n", "\\\\", "\\\"", "\\/", "\\b\\f\\r\\t", "\\u0041",
		"\\u00e9", "\\u20AC", "\\ud83d\\ude00", "\\uD83D", "\\ude00", "\\u0000",
		"\\ud83d\\u0041", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff",
		"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf4\x8f\xbf\xbf",
		"\xef\xbf\xbf", "\xc2\x85", "\x7f", "\t", "\x01", "\\x", "\\u12", "\\u00zz",
		"\\uFFFF", "\\u007f", "12", "true", "null", "{", "[", "0123456789abcdef"
	};
	int			safe = one_in(3) ? lengthof(parts) : 12;

	appendStringInfoChar(out, '"');
	for (int n = fuzz_below(6); n > 0; n--)
		appendStringInfoString(out, one_of(parts, safe));
	appendStringInfoChar(out, '"');
}

static void
put_timestamp(StringInfo out)
{
	static const char *const separators[] = {"T", "T", "T", " ", "t", "  ", ""};
	static const char *const offsets[] = {
		"", "Z", "z", "+00:00", "-00:00", "+05:30", "-0800", "+02", "+15:59",
		"-15:59:59", "+16:00", "+23:59", "-24:00", "+05:60", " UTC", " +02",
		"Europe/Berlin", "BC", " BC", "+1", "+100", "Z "
	};
	static const char *const words[] = {
		"now", "infinity", "-infinity", "epoch", "today", "yesterday", "allballs",
		"1/2/2024 10:00", "20240115T100000", "2024-01-15", "10:00:00", "",
		"2024-W03-1T10:00:00", "2024-015T10:00:00", "Mon Jan 15 10:00:00 2024",
		"J2459999", "+2024-01-15T10:00:00Z", "-2024-01-15T10:00:00Z",
		"12024-01-15T10:00:00Z", "2024-1-5T1:0:0", "2024-01-15T10:00Z",
		"2024-01-15T10Z", "2024-01-15T24:00:00Z", "0000-01-01T00:00:00Z"
	};
	bool		wild = one_in(6);
	StringInfoData text;

	initStringInfo(&text);
	if (one_in(12))
		appendStringInfoString(&text, ONE_OF(words));
	else
	{
		appendStringInfo(&text, "%04u-%02u-%02u%s%02u:%02u:%02u",
						 one_in(3) ? fuzz_below(10000) : 1999 + fuzz_below(30),
						 wild ? fuzz_below(15) : 1 + fuzz_below(12),
						 wild ? fuzz_below(34) : 1 + fuzz_below(29),
						 one_of(separators, wild ? lengthof(separators) : 5),
						 wild ? fuzz_below(26) : fuzz_below(24),
						 wild ? fuzz_below(62) : fuzz_below(60),
						 fuzz_below(wild ? 63 : 61));
		if (one_in(2))
		{
			appendStringInfoChar(&text, wild && one_in(5) ? ',' : '.');
			put_digits(&text, wild ? fuzz_below(40) : 1 + fuzz_below(10));
		}
		appendStringInfoString(&text, one_of(offsets, wild ? lengthof(offsets) : 12));
	}
	put_quoted(out, text.data);
}

static void
put_date(StringInfo out)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, one_in(8) ? "%u-%u-%u" : "%04u-%02u-%02u",
					 fuzz_below(10000), fuzz_below(one_in(4) ? 14 : 13), fuzz_below(32));
	if (one_in(10))
		appendStringInfoString(&text, one_in(2) ? " " : "T00:00:00Z");
	put_quoted(out, text.data);
}

static void
put_uuid(StringInfo out)
{
	StringInfoData text;
	bool		grouped = !one_in(4);
	bool		odd = one_in(5);

	initStringInfo(&text);
	if (odd && one_in(2))
		appendStringInfoChar(&text, '{');
	for (int i = 0; i < 16; i++)
	{
		appendStringInfo(&text, one_in(2) ? "%02x" : "%02X", fuzz_below(256));
		if ((grouped && (i == 3 || i == 5 || i == 7 || i == 9)) || (odd && one_in(5)))
			appendStringInfoChar(&text, '-');
	}
	if (odd && one_in(2))
		appendStringInfoChar(&text, '}');
	put_quoted(out, text.data);
}

static void put_value(StringInfo out, FuzzKind kind, int depth);

static void
put_container(StringInfo out, int depth)
{
	bool		object = one_in(2);
	int			n = fuzz_below(one_in(20) ? 30 : 4);

	appendStringInfoChar(out, object ? '{' : '[');
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoString(out, one_in(6) ? " ,\n" : ",");
		if (object && one_in(30))
			appendStringInfoString(out, "\"\\u0061\":");
		else if (object)
			appendStringInfo(out, "\"%c%d\"%s", 'a' + fuzz_below(3),
							 one_in(40) ? 0 : i, one_in(6) ? "\t: " : ":");
		put_value(out, FUZZ_ANY, depth + 1);
	}
	appendStringInfoChar(out, object ? '}' : ']');
}

static void
put_nested(StringInfo out)
{
	int			n = 55 + fuzz_below(20);
	bool		objects = one_in(2);

	for (int i = 0; i < n; i++)
		appendStringInfoString(out, objects ? "{\"a\":" : "[");
	appendStringInfoString(out, "1");
	for (int i = 0; i < n; i++)
		appendStringInfoChar(out, objects ? '}' : ']');
}

static void
put_value(StringInfo out, FuzzKind kind, int depth)
{
	static const char *const words[] = {
		"true", "false", "null", "true", "false", "nul", "True", "None", "undefined"
	};

	if (kind == FUZZ_ANY || one_in(20))
		kind = FUZZ_NUMBER + fuzz_below(FUZZ_KINDS);
	switch (kind)
	{
		case FUZZ_NUMBER:
			put_number(out);
			break;
		case FUZZ_NUMBER_TEXT:
			appendStringInfoChar(out, '"');
			put_number(out);
			appendStringInfoChar(out, '"');
			break;
		case FUZZ_STRING:
			put_string(out);
			break;
		case FUZZ_TIMESTAMP:
			put_timestamp(out);
			break;
		case FUZZ_DATE:
			put_date(out);
			break;
		case FUZZ_UUID:
			put_uuid(out);
			break;
		case FUZZ_BOOL:
			appendStringInfoString(out, one_of(words, one_in(10) ? lengthof(words) : 5));
			break;
		default:
			if (depth > 3)
				appendStringInfoString(out, "[]");
			else if (one_in(25))
				put_nested(out);
			else
				put_container(out, depth);
	}
}

/* ----- mutations ----- */

static void
splice(StringInfo out, int at, int cut, const char *piece, int n)
{
	StringInfoData result;

	initStringInfo(&result);
	appendBinaryStringInfo(&result, out->data, at);
	appendBinaryStringInfo(&result, piece, n);
	appendBinaryStringInfo(&result, out->data + at + cut, out->len - at - cut);
	resetStringInfo(out);
	appendBinaryStringInfo(out, result.data, Min(result.len, MAX_MESSAGE));
	pfree(result.data);
}

static void
insert_piece(StringInfo out, int at)
{
	static const char *const pieces[] = {
		"{", "}", "[", "]", ":", ",", "\"", "\\", "\\u0000", "\\ud83d", "\\ude00",
		"null", "1e64", "-0", "0.1", "e5", " ", "\n", "\v", "\xef\xbb\xbf",
		"\xc3\xa9", "\xff", "\xed\xa0\x80", "\"v\":1,", "\"order_id\":\"x\",",
		"\"\\u0061mount\":1,", "/**/", "'", "//", "00", "1234567890123456789012345678901234567890",
		"[[[[[[[[[[[[[[[[[[[[[[[[", "{\"a\":{\"a\":{\"a\":", ",\"order_lines\":[]"
	};
	const char *piece = ONE_OF(pieces);

	if (one_in(20))
		splice(out, at, 0, "\0", 1);
	else
		splice(out, at, 0, piece, strlen(piece));
}

static void
mutate(StringInfo out)
{
	int			at = out->len > 0 ? fuzz_below(out->len) : 0;
	int			run = fuzz_below(Min(40, out->len - at + 1));
	StringInfoData copy;

	switch (fuzz_below(7))
	{
		case 0:
			if (out->len > 0)
				out->data[at] = (char) fuzz_below(256);
			break;
		case 1:
			if (out->len > 0)
				out->data[at] ^= 1 << fuzz_below(8);
			break;
		case 2:
			splice(out, at, run, "", 0);
			break;
		case 3:
			initStringInfo(&copy);
			appendBinaryStringInfo(&copy, out->data + at, run);
			splice(out, fuzz_below(out->len + 1), 0, copy.data, copy.len);
			break;
		case 4:
			if (one_in(6))
				splice(out, at, out->len - at, "", 0);
			break;
		default:
			insert_piece(out, at);
	}
}

/* ----- messages ----- */

void
fuzz_value_message(StringInfo out, FuzzKind kind)
{
	appendStringInfoString(out, one_in(10) ? " {" : "{");
	if (one_in(4))
	{
		appendStringInfoString(out, "\"w\": ");
		put_value(out, FUZZ_ANY, 1);
		appendStringInfoChar(out, ',');
	}
	appendStringInfoString(out, one_in(20) ? "\"\\u0076\":" : one_in(20) ? "\"x\":" : "\"v\":");
	put_value(out, kind, 0);
	if (one_in(4))
	{
		appendStringInfoString(out, ", \"x\": ");
		put_value(out, FUZZ_ANY, 0);
	}
	appendStringInfoString(out, one_in(10) ? "}\n" : "}");
	if (one_in(4))
		for (int n = 1 + fuzz_below(3); n > 0; n--)
			mutate(out);
}

static void
put_member(StringInfo out, const char *key, FuzzKind kind)
{
	if (one_in(40))
		return;
	if (out->len > 0 && out->data[out->len - 1] != '{')
		appendStringInfoString(out, ", ");
	appendStringInfo(out, "\"%s\": ", key);
	put_value(out, one_in(40) ? FUZZ_BOOL : kind, 1);
}

static void
put_order(StringInfo out)
{
	appendStringInfoChar(out, '{');
	put_member(out, "order_id", FUZZ_STRING);
	put_member(out, "customer_id", FUZZ_UUID);
	put_member(out, "amount", FUZZ_NUMBER);
	put_member(out, "timestamp", FUZZ_TIMESTAMP);
	if (one_in(4))
		put_member(out, "other", FUZZ_ANY);
	appendStringInfoString(out, ", \"order_lines\": [");
	for (int n = fuzz_below(4); n > 0; n--)
	{
		appendStringInfoChar(out, '{');
		put_member(out, "product_id", FUZZ_STRING);
		appendStringInfo(out, ", \"volume\": %u", fuzz_below(1000));
		if (one_in(4))
			put_member(out, "price", FUZZ_NUMBER);
		else
			appendStringInfo(out, ", \"price\": %u.%02u", fuzz_below(1000), fuzz_below(100));
		if (one_in(6))
			put_member(out, "more", FUZZ_ANY);
		appendStringInfoString(out, n > 1 ? "}," : "}");
	}
	appendStringInfoString(out, "]}");
}

void
fuzz_order_message(StringInfo out, const FuzzSamples *samples)
{
	int			mutations = fuzz_below(4);

	if (samples->count == 0 || one_in(2))
	{
		put_order(out);
		mutations = one_in(3) ? mutations : 0;
	}
	else
	{
		const StringInfoData *sample = &samples->samples[fuzz_below(samples->count)];

		appendBinaryStringInfo(out, sample->data, sample->len);
	}
	for (; mutations > 0; mutations--)
		mutate(out);
}
