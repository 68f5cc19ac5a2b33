/*-------------------------------------------------------------------------
 *
 * query.h
 *	  One way to run a statement and to read its rows.
 *
 * SPI must be connected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_QUERY_H
#define FLUCT_PG_QUERY_H

#include "postgres.h"

#include "executor/spi.h"

#define FLUCT_QUERY_ARGS	20

/* The arguments of a statement; begin with {0} and add them in order. */
typedef struct FluctQuery
{
	int			nargs;
	Oid			types[FLUCT_QUERY_ARGS];
	Datum		values[FLUCT_QUERY_ARGS];
	char		nulls[FLUCT_QUERY_ARGS];
} FluctQuery;

extern void fluct_query_add(FluctQuery *query, Oid type, Datum value,
							bool null);

/* NULL is NULL. */
extern void fluct_query_add_text(FluctQuery *query, const char *value);
extern void fluct_query_add_bytes(FluctQuery *query, const char *value,
								  size_t len);
extern void fluct_query_add_int(FluctQuery *query, int value);
extern void fluct_query_add_int64(FluctQuery *query, int64 value);

/* A timestamptz from milliseconds since 1970; negative is NULL. */
extern void fluct_query_add_time(FluctQuery *query, int64 ms);

/* An array of the element's type, of n values. */
extern void fluct_query_add_array(FluctQuery *query, Oid element,
								  const Datum *values, int n);

/* The same by itself; nulls may be NULL. */
extern Datum fluct_query_array(Oid element, const Datum *values,
							   const bool *nulls, int n);

/* Runs it; returns the number of rows. */
extern uint64 fluct_query_run(FluctQuery *query, const char *sql);

/* The same, planned once in the life of the process. */
extern uint64 fluct_query_run_kept(FluctQuery *query, SPIPlanPtr *plan,
								   const char *sql);

/* A plan that is the caller's to free; options are CURSOR_OPT_... */
extern SPIPlanPtr fluct_query_prepare(const char *sql, int nargs,
									  const Oid *types, int options);

/* Runs a plan whose arguments are not NULL; returns the number of rows. */
extern uint64 fluct_query_execute(SPIPlanPtr plan, const Datum *values);

/* Fields of the last result: rows from 0, columns from 1. */
extern Datum fluct_query_field(int row, int column, bool *null);
extern char *fluct_query_field_text(MemoryContext context, int row,
									int column);
extern const char *fluct_query_field_bytes(MemoryContext context, int row,
										   int column, size_t *len);

/* An int8 or int4; -1 for NULL. */
extern int64 fluct_query_field_int(int row, int column);
extern bool fluct_query_field_bool(int row, int column);

#endif							/* FLUCT_PG_QUERY_H */
