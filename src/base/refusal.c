/*-------------------------------------------------------------------------
 *
 * refusal.c
 *	  Texts of JSON values into PostgreSQL's binary forms; reasons by name.
 *
 * The functions are pure: no server, no locale, no state.  They must agree
 * with PostgreSQL's own input functions wherever they accept a text, because
 * a user compares what fluct stored with what a cast of the same text gives:
 *
 * - a numeric's wire form equals numeric_send(numeric_in(text)), display scale
 *	 included, so that 1.50 stays 1.50 and -0.0 becomes 0.0;
 * - a timestamp equals timestamptz_in(text) under TimeZone UTC.  Digits past
 *	 the sixth are rounded as there, through a double.
 *
 * A number's size is judged from its text alone.  1e131071 takes 8 bytes to
 * write and 64 KB to store, so nothing may be expanded before it is known to
 * have at most FLUCT_MAX_DIGITS digits.
 *
 *-------------------------------------------------------------------------
 */
#include "base/refusal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* numeric.c's limits: digits of base 10000, and how far an exponent may go. */
#define NUMERIC_DIGITS		4
#define MAX_EXPONENT		(INT32_MAX / 2)
#define NUMERIC_NEGATIVE	0x4000

#define USECS_PER_SEC		INT64_C(1000000)
#define SECS_PER_DAY		86400

/* Days from 0000-03-01 to 2000-01-01, PostgreSQL's day 0. */
#define DAYS_TO_2000		730425

/* As many digits of a fraction as a double holds exactly. */
#define FRACTION_DIGITS		15

typedef struct ReasonInfo
{
	const char *name;
	const char *sqlstate;
} ReasonInfo;

static const ReasonInfo reasons[] = {
	[FLUCT_OK] = {"ok", "00000"},
	[FLUCT_EMPTY_VALUE] = {"empty_value", "22P02"},
	[FLUCT_INVALID_JSON] = {"invalid_json", "22P02"},
	[FLUCT_INVALID_ENCODING] = {"invalid_encoding", "22021"},
	[FLUCT_NUL] = {"nul", "22P05"},
	[FLUCT_NOT_AN_OBJECT] = {"not_an_object", "2203C"},
	[FLUCT_DUPLICATE_KEY] = {"duplicate_key", "22030"},
	[FLUCT_MISSING_FIELD] = {"missing_field", "23502"},
	[FLUCT_NULL_FIELD] = {"null_field", "23502"},
	[FLUCT_WRONG_TYPE] = {"wrong_type", "22P02"},
	[FLUCT_NOT_FINITE] = {"not_finite", "22003"},
	[FLUCT_OUT_OF_RANGE] = {"out_of_range", "22003"},
	[FLUCT_BAD_TIMESTAMP] = {"bad_timestamp", "22007"},
	[FLUCT_EMPTY_KEY] = {"empty_key", "2200F"},
	[FLUCT_TOO_LONG] = {"too_long", "54000"},
	[FLUCT_TOO_DEEP] = {"too_deep", "54001"},
	[FLUCT_TOO_LARGE] = {"too_large", "54000"},
	[FLUCT_CONSTRAINT] = {"constraint", "23000"},
	[FLUCT_TRIGGER] = {"trigger", "09000"},
};

/*
 * A JSON number, taken apart.  `digits` begins at the first digit that is not
 * 0 (a decimal point may still stand among them); `point` counts the digits
 * before the decimal point from there, and may be negative.
 */
typedef struct Number
{
	bool		negative;
	const char *digits;
	int64_t		ndigits;
	int64_t		point;
	int64_t		dscale;
} Number;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

const char *
fluct_reason_name(FluctReason reason)
{
	return reasons[reason].name;
}

const char *
fluct_reason_sqlstate(FluctReason reason)
{
	return reasons[reason].sqlstate;
}

/*
 * Unicode's table 3-7: no overlong form, no surrogate, nothing past U+10FFFF.
 */
int
fluct_value_utf8_char(const char *p, const char *end)
{
	const unsigned char *u = (const unsigned char *) p;
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	int			length;

	if (p >= end)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xC2 || u[0] > 0xF4)
		return 0;
	length = u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
	if (end - p < length)
		return 0;
	if (u[0] == 0xE0)
		low = 0xA0;
	else if (u[0] == 0xED)
		high = 0x9F;
	else if (u[0] == 0xF0)
		low = 0x90;
	else if (u[0] == 0xF4)
		high = 0x8F;
	if (u[1] < low || u[1] > high)
		return 0;
	for (int i = 2; i < length; i++)
		if ((u[i] & 0xC0) != 0x80)
			return 0;
	return length;
}

/* C0, DEL and C1: what a terminal might obey. */
static bool
is_control(const char *p, int length)
{
	const unsigned char *u = (const unsigned char *) p;

	if (length == 1)
		return u[0] < 0x20 || u[0] == 0x7F;
	return length == 2 && u[0] == 0xC2 && u[1] < 0xA0;
}

/*
 * Copies text so that a terminal and a database of any kind can take it: whole
 * UTF-8 characters only, `?` for what is none or would control something, and
 * `...` where it was cut.
 */
void
fluct_copy_printable(char *out, size_t size, const char *text)
{
	const char *end = text + strlen(text);
	size_t		n = 0;

	while (text < end)
	{
		int			length = fluct_value_utf8_char(text, end);
		bool		bad = length == 0 || is_control(text, length);
		int			width = bad ? 1 : length;

		if (n + width + 3 >= size && n + (end - text) >= size)
		{
			memcpy(out + n, "...", 3);
			n += 3;
			break;
		}
		if (bad)
			out[n] = '?';
		else
			memcpy(out + n, text, length);
		n += width;
		text += length == 0 ? 1 : length;
	}
	out[n] = '\0';
}

void
fluct_refuse(FluctRefusal *refusal, FluctReason reason, const char *path,
			 const char *detail,...)
{
	char		text[4 * FLUCT_DETAIL_LEN];
	va_list		args;

	va_start(args, detail);
	if (vsnprintf(text, sizeof(text), detail, args) < 0)
		text[0] = '\0';
	va_end(args);

	refusal->reason = reason;
	memcpy(refusal->sqlstate, reasons[reason].sqlstate, 6);
	fluct_copy_printable(refusal->path, sizeof(refusal->path), path ? path : "");
	fluct_copy_printable(refusal->detail, sizeof(refusal->detail), text);
}

/* Reads `e+12`; what is too large for numeric_in comes back as its limit. */
static const char *
read_exponent(const char *p, const char *end, int64_t *exponent)
{
	bool		negative = false;
	const char *first;

	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	first = p;
	for (*exponent = 0; p < end && is_digit(*p); p++)
		if (*exponent < MAX_EXPONENT)
			*exponent = *exponent * 10 + (*p - '0');
	if (*exponent > MAX_EXPONENT)
		*exponent = MAX_EXPONENT;
	if (negative)
		*exponent = -*exponent;
	return p == first ? NULL : p;
}

/* Moves digits to the first that counts. */
static void
skip_zeros(Number *number, const char *end)
{
	const char *p = number->digits;

	while (p < end && (*p == '0' || *p == '.'))
	{
		if (*p++ == '0')
		{
			number->ndigits--;
			number->point--;
		}
	}
	number->digits = p;
}

/* Takes a number apart; its size is judged here, for all who use it. */
static FluctReason
read_number(const char *text, size_t len, Number *number)
{
	const char *p = text;
	const char *end = text + len;
	const char *mantissa_end;
	int64_t		integers;
	int64_t		fractions = 0;
	int64_t		exponent = 0;

	number->negative = p < end && *p == '-';
	p += number->negative;
	number->digits = p;
	while (p < end && is_digit(*p))
		p++;
	integers = p - number->digits;
	if (integers == 0 || (integers > 1 && number->digits[0] == '0'))
		return FLUCT_INVALID_JSON;
	if (p < end && *p == '.')
	{
		const char *first = ++p;

		while (p < end && is_digit(*p))
			p++;
		fractions = p - first;
		if (fractions == 0)
			return FLUCT_INVALID_JSON;
	}
	mantissa_end = p;
	if (p < end && (*p == 'e' || *p == 'E'))
		p = read_exponent(p + 1, end, &exponent);
	if (p != end)
		return FLUCT_INVALID_JSON;

	number->ndigits = integers + fractions;
	number->point = integers + exponent;
	number->dscale = fractions > exponent ? fractions - exponent : 0;
	skip_zeros(number, mantissa_end);
	if (exponent >= MAX_EXPONENT || exponent <= -MAX_EXPONENT)
		return FLUCT_OUT_OF_RANGE;
	integers = number->ndigits > 0 && number->point > 1 ? number->point : 1;
	if (integers + number->dscale > FLUCT_MAX_DIGITS)
		return FLUCT_OUT_OF_RANGE;
	return FLUCT_OK;
}

FluctReason
fluct_value_check_number(const char *text, size_t len)
{
	Number		number;

	return read_number(text, len, &number);
}

static char *
put_int16(char *out, int value)
{
	out[0] = (char) ((unsigned) value >> 8);
	out[1] = (char) value;
	return out + 2;
}

/*
 * Writes the digits in groups of four, the first so that the decimal point
 * falls between two groups; groups of zeros at the end are left out.
 */
static char *
put_groups(char *out, const Number *number, int weight)
{
	int			room = (int) number->point - NUMERIC_DIGITS * weight;
	char	   *last = out;
	const char *p = number->digits;
	int			group = 0;

	for (int64_t i = 0; i < number->ndigits; p++)
	{
		if (*p == '.')
			continue;
		group = group * 10 + (*p - '0');
		i++;
		if (--room > 0 && i < number->ndigits)
			continue;
		for (; room > 0; room--)
			group *= 10;
		out = put_int16(out, group);
		if (group != 0)
			last = out;
		group = 0;
		room = NUMERIC_DIGITS;
	}
	return last;
}

FluctReason
fluct_value_numeric(const char *text, size_t len, char *wire, size_t *wire_len)
{
	Number		number;
	FluctReason reason = read_number(text, len, &number);
	char	   *out = wire + 8;
	int			weight = 0;

	if (reason != FLUCT_OK)
		return reason;
	if (number.ndigits > 0)
	{
		/* floor((point - 1) / 4), kept clear of division of negatives */
		weight = (int) ((number.point + 4 * FLUCT_MAX_DIGITS - 1) /
						NUMERIC_DIGITS) - FLUCT_MAX_DIGITS;
		out = put_groups(out, &number, weight);
	}
	*wire_len = out - wire;
	put_int16(wire, (int) (out - wire - 8) / 2);
	put_int16(wire + 2, weight);
	put_int16(wire + 4,
			  number.negative && number.ndigits > 0 ? NUMERIC_NEGATIVE : 0);
	put_int16(wire + 6, (int) number.dscale);
	return FLUCT_OK;
}

/* Up to 64 digits into an unsigned magnitude; false past 64 bits. */
static bool
read_magnitude(const Number *number, uint64_t *magnitude)
{
	const char *p = number->digits;
	int64_t		left = number->ndigits > 0 ? number->point : 0;

	for (*magnitude = 0; left > 0; left--)
	{
		int64_t		index = number->point - left;
		int			digit = 0;

		if (index < number->ndigits)
		{
			p += *p == '.';
			digit = *p++ - '0';
		}
		if (*magnitude > (UINT64_MAX - digit) / 10)
			return false;
		*magnitude = *magnitude * 10 + digit;
	}
	return true;
}

/* Has the number a digit other than 0 behind the decimal point? */
static bool
has_fraction(const Number *number)
{
	const char *p = number->digits;

	for (int64_t i = 0; i < number->ndigits; p++)
	{
		if (*p == '.')
			continue;
		if (i++ >= number->point && *p != '0')
			return true;
	}
	return false;
}

FluctReason
fluct_value_int64(const char *text, size_t len, int64_t min, int64_t max,
				  int64_t *result)
{
	Number		number;
	FluctReason reason = read_number(text, len, &number);
	uint64_t	magnitude;

	if (reason != FLUCT_OK)
		return reason;
	if (has_fraction(&number))
		return FLUCT_WRONG_TYPE;
	if (!read_magnitude(&number, &magnitude) ||
		magnitude > (uint64_t) INT64_MAX + number.negative)
		return FLUCT_OUT_OF_RANGE;
	if (!number.negative)
		*result = (int64_t) magnitude;
	else if (magnitude == 0)
		*result = 0;
	else
		*result = -(int64_t) (magnitude - 1) - 1;
	return *result < min || *result > max ? FLUCT_OUT_OF_RANGE : FLUCT_OK;
}

/* n digits, exactly; -1 if there are fewer. */
static int
read_digits(const char **p, const char *end, int n)
{
	int			value = 0;

	if (end - *p < n)
		return -1;
	for (; n > 0; n--, (*p)++)
	{
		if (!is_digit(**p))
			return -1;
		value = value * 10 + (**p - '0');
	}
	return value;
}

static bool
read_mark(const char **p, const char *end, char mark)
{
	if (*p >= end || **p != mark)
		return false;
	(*p)++;
	return true;
}

static int
days_of_month(int year, int month)
{
	static const signed char days[] =
	{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/*
 * `YYYY-MM-DD` as days since 2000-01-01, counted in years that begin in March,
 * so that the leap day is a year's last.
 */
static bool
read_date(const char **p, const char *end, int64_t *days)
{
	int			year;
	int			month;
	int			day;

	if ((year = read_digits(p, end, 4)) < 1 || !read_mark(p, end, '-') ||
		(month = read_digits(p, end, 2)) < 1 || month > 12 ||
		!read_mark(p, end, '-') || (day = read_digits(p, end, 2)) < 1 ||
		day > days_of_month(year, month))
		return false;
	year -= month <= 2;
	month = (month + 9) % 12;
	*days = 365 * year + year / 4 - year / 100 + year / 400 +
		(153 * month + 2) / 5 + day - 1 - DAYS_TO_2000;
	return true;
}

/* `hh:mm:ss` as seconds of the day; second 60 is the next minute's 0. */
static bool
read_time(const char **p, const char *end, int64_t *seconds)
{
	int			hour;
	int			minute;
	int			second;

	if ((hour = read_digits(p, end, 2)) < 0 || hour > 23 ||
		!read_mark(p, end, ':') ||
		(minute = read_digits(p, end, 2)) < 0 || minute > 59 ||
		!read_mark(p, end, ':') ||
		(second = read_digits(p, end, 2)) < 0 || second > 60)
		return false;
	*seconds = hour * 3600 + minute * 60 + second;
	return true;
}

/* `.f+` or nothing, as microseconds. */
static bool
read_fraction(const char **p, const char *end, int64_t *usecs)
{
	double		value = 0;
	double		scale = 1;
	const char *first;

	*usecs = 0;
	if (!read_mark(p, end, '.'))
		return true;
	for (first = *p; *p < end && is_digit(**p); (*p)++)
	{
		if (*p - first >= FRACTION_DIGITS)
			continue;
		value = value * 10 + (**p - '0');
		scale *= 10;
	}
	*usecs = (int64_t) rint(value / scale * 1000000.0);
	return *p > first;
}

/* Nothing, `Z`, `+hh:mm`, `+hhmm` or `+hh`, as seconds east of UTC. */
static bool
read_offset(const char **p, const char *end, int64_t *seconds)
{
	int			sign;
	int			hours;
	int			minutes = 0;

	*seconds = 0;
	if (*p == end || read_mark(p, end, 'Z') || read_mark(p, end, 'z'))
		return true;
	if (**p != '+' && **p != '-')
		return false;
	sign = *(*p)++ == '-' ? -1 : 1;
	hours = read_digits(p, end, 2);
	if (hours < 0 || hours > 23)
		return false;
	if (*p < end)
	{
		(void) read_mark(p, end, ':');
		minutes = read_digits(p, end, 2);
	}
	if (minutes < 0 || minutes > 59)
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

FluctReason
fluct_value_timestamp(const char *text, size_t len, int64_t *usecs)
{
	const char *p = text;
	const char *end = text + len;
	int64_t		days;
	int64_t		seconds;
	int64_t		fraction;
	int64_t		offset;

	if (!read_date(&p, end, &days) ||
		!(read_mark(&p, end, 'T') || read_mark(&p, end, 't') ||
		  read_mark(&p, end, ' ')) ||
		!read_time(&p, end, &seconds) ||
		!read_fraction(&p, end, &fraction) ||
		!read_offset(&p, end, &offset) || p != end)
		return FLUCT_BAD_TIMESTAMP;
	*usecs = (days * SECS_PER_DAY + seconds - offset) * USECS_PER_SEC +
		fraction;
	return FLUCT_OK;
}

static unsigned
read_hex4(const char *p)
{
	unsigned	value = 0;

	for (int i = 0; i < 4; i++)
	{
		char		c = p[i];

		value = value * 16 +
			(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return value;
}

static char *
put_utf8(char *out, unsigned code)
{
	if (code < 0x80)
		*out++ = (char) code;
	else if (code < 0x800)
		*out++ = (char) (0xC0 | code >> 6);
	else if (code < 0x10000)
	{
		*out++ = (char) (0xE0 | code >> 12);
		*out++ = (char) (0x80 | (code >> 6 & 0x3F));
	}
	else
	{
		*out++ = (char) (0xF0 | code >> 18);
		*out++ = (char) (0x80 | (code >> 12 & 0x3F));
		*out++ = (char) (0x80 | (code >> 6 & 0x3F));
	}
	if (code >= 0x80)
		*out++ = (char) (0x80 | (code & 0x3F));
	return out;
}

static char
unescape_char(char c)
{
	switch (c)
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		default:
			return c;			/* quote, backslash, slash */
	}
}

/* p is behind a string's opening quote; returns what follows the string. */
static const char *
skip_string(const char *p, const char *end)
{
	while (p < end && *p != '"')
		p += *p == '\\' ? 2 : 1;
	return p + 1;
}

size_t
fluct_value_count(const char *text, size_t len)
{
	const char *end = text + len;
	size_t		count = 1;

	for (const char *p = text; p < end;)
	{
		if (*p == '"')
		{
			p = skip_string(p + 1, end);
			continue;
		}
		count += *p == ',' || *p == '[' || *p == '{';
		p++;
	}
	return count;
}

size_t
fluct_value_unescape(const char *text, size_t len, char *out)
{
	const char *end = text + len;
	char	   *start = out;

	while (text < end)
	{
		const char *slash = memchr(text, '\\', end - text);
		size_t		plain = (slash ? slash : end) - text;
		unsigned	code;

		memmove(out, text, plain);
		out += plain;
		text += plain;
		if (text == end)
			break;
		if (text[1] != 'u')
		{
			*out++ = unescape_char(text[1]);
			text += 2;
			continue;
		}
		code = read_hex4(text + 2);
		text += 6;
		if (code >= 0xD800 && code <= 0xDBFF)
		{
			code = 0x10000 + ((code & 0x3FF) << 10) +
				(read_hex4(text + 2) & 0x3FF);
			text += 6;
		}
		out = put_utf8(out, code);
	}
	return out - start;
}
