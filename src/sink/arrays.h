/*-------------------------------------------------------------------------
 *
 * arrays.h
 *	  Encoded rows as arrays, a column each, for a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_ARRAYS_H
#define FLUCT_SINK_ARRAYS_H

#include "postgres.h"

#include "utils/hsearch.h"

#include "mapping/decode.h"
#include "mapping/mapping.h"

/* Rows, and whose they are, by column and then row. */
typedef struct FluctArrays
{
	int			ncolumns;
	const FluctColumn **columns;
	int			nrows;
	Datum	  **values;
	Datum	  **texts;			/* the same as text; NULL but for as_text */
	bool	  **nulls;
	int		   *record;			/* by row: the number of its record */
} FluctArrays;

/* Keys that were seen, each with the rows that have it. */
typedef struct FluctSeenKey
{
	uint64		hash;
	const FluctArrays *arrays;	/* one of its rows */
	int			row;
	int			rows;			/* how many */
	int			last;			/* the last record that deletes it, or -1 */
} FluctSeenKey;

typedef struct FluctSeen
{
	const FluctTarget *target;
	HTAB	   *table;
} FluctSeen;

/*
 * Values travel as arrays of the base type, which the INSERT makes a domain's.
 * There are no arrays of arrays, and an unnested array of a composite type is
 * several columns: these travel as text.
 */
extern Oid	fluct_arrays_type(const FluctColumn *column);

/* An element of such an array, as SQL of the base type. */
extern char *fluct_arrays_element(const FluctColumn *column, const char *element);

/*
 * A column of the relation that goes by this alias, as SQL of the base type:
 * a domain over an enum has none of the enum's operators.
 */
extern char *fluct_arrays_operand(const FluctColumn *column, const char *alias);

/* `OPERATOR(schema.name)`, wherever it is. */
extern const char *fluct_arrays_operator(Oid operator);

/* Room for rows of all columns of the target, or of those at these places. */
extern FluctArrays *fluct_arrays_make(const FluctTarget *target,
									  const int *places, int nplaces,
									  int nrows);

/* The rows of the records from..to-1 that are FLUCT_STORED. */
extern void fluct_arrays_read_rows(FluctArrays *arrays,
								   const FluctRowData *rows,
								   const FluctRecords *records, int from,
								   int to);
extern FluctArrays *fluct_arrays_read(const FluctTarget *target,
									  const FluctRows *rows, int from, int to);

/* One column as PostgreSQL's array. */
extern Datum fluct_arrays_column(FluctArrays *arrays, int c);

extern FluctSeen *fluct_arrays_begin_seen(const FluctTarget *target, int rows);

/* The key of row r; one that is new is added, or is NULL. */
extern FluctSeenKey *fluct_arrays_find_seen(FluctSeen *seen,
											const FluctArrays *arrays, int r,
											bool add);

#endif							/* FLUCT_SINK_ARRAYS_H */
