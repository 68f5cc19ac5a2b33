/*-------------------------------------------------------------------------
 *
 * number.c
 *	  JSON numbers as integers and in the wire form of numeric.
 *
 * The functions are pure: no server, no locale, no state.  A numeric's wire
 * form equals numeric_send(numeric_in(text)), display scale included, so that
 * 1.50 stays 1.50 and -0.0 becomes 0.0: users compare what fluct stored with
 * what a cast of the same text gives.
 *
 * A number's size is judged from its text alone.  1e131071 takes 8 bytes to
 * write and 64 KB to store, so nothing is expanded before it is known to have
 * at most FLUCT_MAX_DIGITS digits.
 *
 *-------------------------------------------------------------------------
 */
#include "json/number.h"

#include "base/text.h"

/* numeric.c's limits: digits of base 10000, and how far an exponent may go. */
#define NUMERIC_DIGITS		4
#define MAX_EXPONENT		(INT32_MAX / 2)
#define NUMERIC_NEGATIVE	0x4000

#define PLAIN_DIGITS		18	/* no more than 64 bits hold */

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

/* Reads `e+12`; what is too large for numeric_in becomes its limit. */
static const char *
read_exponent(const char *p, const char *end, int64_t *exponent)
{
	bool		negative = false;
	const char *first;

	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	first = p;
	for (*exponent = 0; p < end && fluct_text_is_digit(*p); p++)
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

/* Takes a number apart, and checks its size for all callers. */
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
	while (p < end && fluct_text_is_digit(*p))
		p++;
	integers = p - number->digits;
	if (integers == 0 || (integers > 1 && number->digits[0] == '0'))
		return FLUCT_INVALID_JSON;
	if (p < end && *p == '.')
	{
		const char *first = ++p;

		while (p < end && fluct_text_is_digit(*p))
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
fluct_number_check(const char *text, size_t len)
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
fluct_number_numeric(const char *text, size_t len, char *wire, size_t *wire_len)
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

/* A number's digits into an unsigned magnitude; false past 64 bits. */
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

/* Whether a digit other than 0 follows the decimal point. */
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

/* Most integers: digits alone, as many as always fit; false for all others. */
static inline bool
read_plain(const char *text, size_t len, int64_t *result)
{
	bool		negative = len > 0 && text[0] == '-';
	const char *p = text + negative;
	const char *end = text + len;

	if (p == end || end - p > PLAIN_DIGITS || (*p == '0' && end - p > 1))
		return false;
	for (*result = 0; p < end && fluct_text_is_digit(*p); p++)
		*result = *result * 10 + (*p - '0');
	if (negative)
		*result = -*result;
	return p == end;
}

FluctReason
fluct_number_int64(const char *text, size_t len, int64_t min, int64_t max,
				   int64_t *result)
{
	Number		number;
	FluctReason reason;
	uint64_t	magnitude;

	if (read_plain(text, len, result))
		return *result < min || *result > max ? FLUCT_OUT_OF_RANGE : FLUCT_OK;
	reason = read_number(text, len, &number);
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
