/*-------------------------------------------------------------------------
 *
 * insert.h
 *	  Encoded rows into a table, by COPY's machinery or by INSERT.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_INSERT_H
#define FLUCT_SINK_INSERT_H

#include "postgres.h"

#include "executor/spi.h"

#include "mapping/decode.h"
#include "mapping/mapping.h"
#include "sink/arrays.h"

/* The statements of one target, prepared once for a mapping. */
typedef struct FluctStatements
{
	SPIPlanPtr	insert;			/* NULL where COPY stores the rows */
	SPIPlanPtr	clear;			/* deletes a child's rows of known parents */
	SPIPlanPtr	lock;			/* locks rows that are deleted next */
	SPIPlanPtr	remove;			/* deletes rows by their own or their parent's
								 * key */
	SPIPlanPtr	stored;			/* reads what is there, to be compared; NULL =
								 * it is not */
} FluctStatements;

/*
 * Decides between COPY and INSERT and prepares what is needed; SPI must be
 * connected and the user must be the stream's owner.
 */
extern void fluct_store_prepare(FluctTarget *target, bool update,
								FluctStatements *statements);

extern void fluct_store_end(FluctStatements *statements);

/*
 * From here on: rows of the records from..to-1 that are FLUCT_STORED.
 *
 * INSERT, for rows without a conflict rule.
 */
extern uint64 fluct_store_insert(const FluctTarget *target, SPIPlanPtr plan,
								 const FluctRows *rows, int from, int to);

/*
 * INSERT … ON CONFLICT of the parent's rows; those that were there already, or
 * newer, become FLUCT_DUPLICATE.  Where what is absent is kept, all of them have
 * values in the same columns.  An error of class 27 asks to store fewer messages at
 * a time: a trigger changes keys, so that which row went in cannot be told.
 */
extern uint64 fluct_store_merge(const FluctTarget *target, SPIPlanPtr plan,
								const FluctRows *rows, int from, int to);

/*
 * Of several records with one key, the last of the newest stays FLUCT_STORED and
 * the others become FLUCT_DUPLICATE.
 */
extern void fluct_store_keep_last(const FluctTarget *target,
								  const FluctRows *rows, int from, int to);

/* Runs a statement that takes these arrays; the rows that it processed. */
extern uint64 fluct_store_execute(SPIPlanPtr plan, FluctArrays *arrays);

/* The keys that RETURNING gave, as rows of the target. */
extern FluctArrays *fluct_store_returned(const FluctTarget *target,
										 SPITupleTable *returned,
										 uint64 processed);

/* Whether COPY's machinery does with the table's rows what INSERT does. */
extern bool fluct_store_is_bare(SPIPlanPtr insert, Oid relid);

#endif							/* FLUCT_SINK_INSERT_H */
