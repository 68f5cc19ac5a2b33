/*-------------------------------------------------------------------------
 *
 * refusal.h
 *	  Texts of JSON values into PostgreSQL's binary forms; reasons by name.
 *
 * All functions are pure, and return FLUCT_OK or the reason of refusal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BASE_REFUSAL_H
#define FLUCT_BASE_REFUSAL_H

#include "base/message.h"

/* The most digits of a number when it is written out without exponent. */
#define FLUCT_MAX_DIGITS	64

/* Room for numeric's wire form of FLUCT_MAX_DIGITS digits. */
#define FLUCT_NUMERIC_WIRE_LEN	64

extern const char *fluct_reason_name(FluctReason reason);
extern const char *fluct_reason_sqlstate(FluctReason reason);

/* Fills a refusal; path may be NULL, detail is a printf format. */
extern void fluct_refuse(FluctRefusal *refusal, FluctReason reason,
						 const char *path, const char *detail,...)
			__attribute__((format(printf, 4, 5)));

/* Copies text for people: whole UTF-8, no control characters, cut by `...`. */
extern void fluct_copy_printable(char *out, size_t size, const char *text);

/* Bytes of the UTF-8 character at p (1 to 4), or 0 if none stands there. */
extern int	fluct_value_utf8_char(const char *p, const char *end);

/*
 * FLUCT_OK, FLUCT_INVALID_JSON (not a JSON number) or FLUCT_OUT_OF_RANGE: more
 * than FLUCT_MAX_DIGITS when written out (1e3 has 4, 0.01 has 3).  Costs no
 * more than reading the text.
 */
extern FluctReason fluct_value_check_number(const char *text, size_t len);

/* What numeric_recv reads: ndigits, weight, sign, dscale, base-10000 digits. */
extern FluctReason fluct_value_numeric(const char *text, size_t len,
									   char *wire, size_t *wire_len);

/* Integers are never rounded: 3.0 is 3, 3.5 is FLUCT_WRONG_TYPE. */
extern FluctReason fluct_value_int64(const char *text, size_t len,
									 int64_t min, int64_t max, int64_t *result);

/*
 * RFC 3339 date-time, offset optional (none = UTC), `T`, `t` or one blank
 * between; microseconds since 2000-01-01 00:00 UTC.  Digits past the sixth
 * are rounded, second 60 is the next minute's 0.
 */
extern FluctReason fluct_value_timestamp(const char *text, size_t len,
										 int64_t *usecs);

/*
 * How many values a scanned JSON value holds, itself included; an empty
 * container counts as two.
 */
extern size_t fluct_value_count(const char *text, size_t len);

/* A scanned JSON string without its escapes; out has room for len bytes. */
extern size_t fluct_value_unescape(const char *text, size_t len, char *out);

#endif							/* FLUCT_BASE_REFUSAL_H */
