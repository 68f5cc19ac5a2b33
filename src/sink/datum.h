/*-------------------------------------------------------------------------
 *
 * datum.h
 *	  A field of COPY's binary format as a value of its column.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_DATUM_H
#define FLUCT_SINK_DATUM_H

#include "postgres.h"

#include "mapping/shape.h"

/* Whether fluct_datum_read knows the column's form; not with a type modifier. */
extern bool fluct_datum_is_simple(const FluctColumn *column);

/*
 * The value of the field at `at`, without its length word; what it points to
 * is in the current memory context.  `simple` is what fluct_datum_is_simple
 * says.  The errors are those of the type.
 */
extern Datum fluct_datum_read(const FluctColumn *column, bool simple,
							  const char *at, int len);

#endif							/* FLUCT_SINK_DATUM_H */
