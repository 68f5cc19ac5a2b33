/*-------------------------------------------------------------------------
 *
 * number.h
 *	  JSON numbers as integers and in the wire form of numeric.
 *
 * All functions are pure, and return FLUCT_OK or the reason of refusal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_NUMBER_H
#define FLUCT_JSON_NUMBER_H

#include "base/message.h"

/*
 * The most digits of a number that is stored as numeric or in jsonb, when it
 * is written out without exponent: 8 bytes must not become 131,072 digits.
 */
#define FLUCT_MAX_DIGITS	1000

/* Room for numeric's wire form of FLUCT_MAX_DIGITS digits. */
#define FLUCT_NUMERIC_WIRE_LEN	520

/*
 * FLUCT_OK, FLUCT_INVALID_JSON (not a JSON number) or FLUCT_OUT_OF_RANGE: more
 * than FLUCT_MAX_DIGITS when written out (1e3 has 4, 0.01 has 3).  Costs no
 * more than reading the text.
 */
extern FluctReason fluct_number_check(const char *text, size_t len);

/* What numeric_recv reads: ndigits, weight, sign, dscale, base-10000 digits. */
extern FluctReason fluct_number_numeric(const char *text, size_t len,
										char *wire, size_t *wire_len);

/* Integers are never rounded: 3.0 is 3, 3.5 is FLUCT_WRONG_TYPE. */
extern FluctReason fluct_number_int64(const char *text, size_t len,
									  int64_t min, int64_t max,
									  int64_t *result);

#endif							/* FLUCT_JSON_NUMBER_H */
