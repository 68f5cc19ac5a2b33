/*-------------------------------------------------------------------------
 *
 * samekey.h
 *	  Whether some columns of a row are those of the row before it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_SAMEKEY_H
#define FLUCT_SINK_SAMEKEY_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/tupdesc.h"

/* The columns, and what the row before had in them. */
typedef struct FluctSameKey
{
	int			n;
	AttrNumber	attnums[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	bool		known;			/* there was a row before */
	MemoryContext context;		/* holds the values */
} FluctSameKey;

/* Adds a column; false if there are too many. */
extern bool fluct_samekey_add(FluctSameKey *key, AttrNumber attnum);

/*
 * Whether the row's columns are byte by byte what they were in the last call,
 * and remembers them.
 */
extern bool fluct_samekey_is(FluctSameKey *key, TupleDesc desc,
							 const Datum *values, const bool *nulls);

#endif							/* FLUCT_SINK_SAMEKEY_H */
