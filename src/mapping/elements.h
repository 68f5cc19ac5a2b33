/*-------------------------------------------------------------------------
 *
 * elements.h
 *	  A JSON array as the text of an array of PostgreSQL's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_ELEMENTS_H
#define FLUCT_MAPPING_ELEMENTS_H

#include "json/json.h"
#include "json/number.h"
#include "mapping/shape.h"

/* The most bytes that a value takes, with its length word: 1e18 written out. */
static inline size_t
fluct_elements_room(const FluctColumn *column, const FluctJsonValue *value)
{
	return 4 + FLUCT_NUMERIC_WIRE_LEN +
		(column->is_array ? 4 : 1) * (size_t) value->len;
}

/*
 * As fluct_encode, for columns of all types: a JSON array becomes an array.
 * `to` has fluct_elements_room().
 */
extern size_t fluct_elements_encode(const FluctColumn *column,
									const FluctJsonValue *value, char *to,
									FluctReason *reason);

#endif							/* FLUCT_MAPPING_ELEMENTS_H */
