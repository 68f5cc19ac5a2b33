/*-------------------------------------------------------------------------
 *
 * column.h
 *	  One column of a mapping, compiled against its table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_COLUMN_H
#define FLUCT_MAPPING_COLUMN_H

#include "mapping/compiler.h"

/*
 * Compiles what the mapping says of a column of c->target, or the column that
 * its "extra" names; both in the mapping's context.
 */
extern void fluct_column_compile(FluctCompiler *c, FluctColumn *column,
								 const char *name, const JsonbValue *spec);
extern void fluct_column_compile_extra(FluctCompiler *c, FluctColumn *column,
									   const char *name);

/* Its path, or 22023. */
extern void fluct_column_compile_path(FluctCompiler *c, FluctColumn *column);

/* Whether a domain on the way to the base type is NOT NULL. */
extern bool fluct_column_refuses_null(Oid type);

/*
 * A field of COPY's binary format, without its length, as a value of the
 * column's base type, with its typmod applied; errors are those of the type.
 */
extern Datum fluct_column_receive(const FluctColumn *column,
								  const char *data, int len);

#endif							/* FLUCT_MAPPING_COLUMN_H */
