/*-------------------------------------------------------------------------
 *
 * encode.h
 *	  A JSON value into the binary form of a column's type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_ENCODE_H
#define FLUCT_MAPPING_ENCODE_H

#include "port/pg_bswap.h"

#include "json/number.h"
#include "json/string.h"
#include "mapping/shape.h"

/* The most bytes that a value takes, with its length word. */
#define FLUCT_ENCODE_ROOM(value) (4 + FLUCT_NUMERIC_WIRE_LEN + (value)->len)

/*
 * The most values that a jsonb column may hold.  jsonb_recv takes about 1 us
 * and 100 bytes for each, so 10 MB of "1," would cost seconds and half a GB.
 */
#define FLUCT_MAX_JSONB_VALUES	100000

/* NULL is a length of -1. */
#define FLUCT_ENCODED_NULL		"\377\377\377\377"

/*
 * The value with its length word at `to`, which has FLUCT_ENCODE_ROOM.
 * Returns the bytes written, or 0 with the reason of refusal.
 */
extern size_t fluct_encode(const FluctColumn *column,
						   const FluctJsonValue *value, char *to,
						   FluctReason *reason);

/*
 * Whether a time is written as a word, such as `now`, which is refused.  In an
 * array or a range times begin after a bracket or a comma.
 */
extern bool fluct_encode_is_word(const FluctColumn *column, const char *text,
								 size_t len);

/* A number in a string: FLUCT_OK, or why it is not one. */
extern FluctReason fluct_encode_check_number(const char *text, size_t len);

/* Counts the values only if the bytes could hold too many. */
static inline size_t
fluct_count_values(const char *text, size_t len)
{
	return len > FLUCT_MAX_JSONB_VALUES ? fluct_string_count_values(text, len) : 1;
}

/* Numbers in network order, at any alignment. */
static inline void
fluct_put16(char *to, uint16 value)
{
	value = pg_hton16(value);
	memcpy(to, &value, 2);
}

static inline void
fluct_put32(char *to, uint32 value)
{
	value = pg_hton32(value);
	memcpy(to, &value, 4);
}

static inline void
fluct_put64(char *to, uint64 value)
{
	value = pg_hton64(value);
	memcpy(to, &value, 8);
}

#endif							/* FLUCT_MAPPING_ENCODE_H */
