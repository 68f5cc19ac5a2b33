/*-------------------------------------------------------------------------
 *
 * binary.c
 *	  Bytes that travel in JSON as text: base64, and decimals in it.
 *
 * Kafka Connect's Decimal is the unscaled integer, big-endian in two's
 * complement, in base64; the scale is in its schema.
 *
 *-------------------------------------------------------------------------
 */
#include "json/binary.h"

#include <string.h>

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

bool
fluct_binary_base64(const char *text, size_t len, unsigned char *out,
					size_t *outlen)
{
	uint32_t	bits = 0;
	int			nbits = 0;
	size_t		n = 0;
	size_t		padding = 0;

	while (padding < 2 && len > 0 && text[len - 1] == '=')
	{
		len--;
		padding++;
	}
	if (len % 4 == 1 || (padding > 0 && (len + padding) % 4 != 0))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		int			value = base64_value(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t) value;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			out[n++] = (unsigned char) (bits >> nbits);
		}
	}
	*outlen = n;
	return (bits & ((1u << nbits) - 1)) == 0;
}

/* The magnitude of a number in two's complement; whether it is negative. */
static bool
take_sign(unsigned char *bytes, size_t len)
{
	unsigned	carry = 1;

	if (len == 0 || (bytes[0] & 0x80) == 0)
		return false;
	for (size_t i = len; i-- > 0;)
	{
		carry += (unsigned char) ~bytes[i];
		bytes[i] = (unsigned char) carry;
		carry >>= 8;
	}
	return true;
}

/* Divides by ten in place; returns the remainder. */
static unsigned
next_digit(unsigned char *bytes, size_t len)
{
	unsigned	rest = 0;

	for (size_t i = 0; i < len; i++)
	{
		rest = rest << 8 | bytes[i];
		bytes[i] = (unsigned char) (rest / 10);
		rest %= 10;
	}
	return rest;
}

size_t
fluct_binary_decimal(unsigned char *bytes, size_t len, int scale, char *out)
{
	char		digits[FLUCT_DECIMAL_ROOM];
	bool		negative = take_sign(bytes, len);
	int			n = 0;
	char	   *to = out;

	while (len > 0 && bytes[0] == 0)
	{
		bytes++;
		len--;
	}
	while (len > 0)
	{
		digits[n++] = (char) ('0' + next_digit(bytes, len));
		while (len > 0 && bytes[0] == 0)
		{
			bytes++;
			len--;
		}
	}
	while (n <= scale)
		digits[n++] = '0';
	if (negative)
		*to++ = '-';
	while (n > 0)
	{
		*to++ = digits[--n];
		if (n == scale && scale > 0)
			*to++ = '.';
	}
	return to - out;
}
