/*-------------------------------------------------------------------------
 *
 * format.h
 *	  How a value is written in a message: a column's "format" and "null".
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_FORMAT_H
#define FLUCT_MAPPING_FORMAT_H

#include "mapping/compiler.h"

/*
 * Compiles what the mapping's object says of the column ("format",
 * "time_zone", "scale", "inner", "null"); NULL for a path alone.  Errors are
 * 22023 and name the column.
 */
extern void fluct_format_compile(FluctCompiler *c, FluctColumn *column,
								 JsonbContainer *object);

/*
 * For a column with a `reading`: the value as the column's type takes it, in
 * `*plain`; what that needs is allocated in the current memory context.
 */
extern FluctReason fluct_format_read(const FluctColumn *column,
									 const FluctJsonValue *value,
									 FluctJsonValue *plain);

/* What would have been taken, for a value that was refused; or "". */
extern const char *fluct_format_expectation(const FluctColumn *column,
											FluctReason reason);

/* Whether both columns read a value in the same way. */
extern bool fluct_format_is_same(const FluctColumn *one,
								 const FluctColumn *other);

#endif							/* FLUCT_MAPPING_FORMAT_H */
