/*-------------------------------------------------------------------------
 *
 * decode.h
 *	  A message into rows in the form of COPY's binary format.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_DECODE_H
#define FLUCT_MAPPING_DECODE_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "mapping/mapping.h"

/*
 * The records of a batch: those of message i begin at starts[i], end at the
 * next.  A message is one, unless the mapping has "rows"; one that is refused
 * has none.
 */
typedef struct FluctRecords
{
	int		   *starts;
	int			count;
	int			room;
	FluctOutcome *outcomes;		/* by record; the sink's */
	StringInfoData present;		/* where what is absent is kept: by record and
								 * column of the parent, 1 if it has a value */
} FluctRecords;

/* Rows in the form of COPY; record r's begin at starts[r], end at the next. */
typedef struct FluctRowData
{
	StringInfoData data;
	int			nrows;
	int		   *starts;
	int		   *row_starts;
} FluctRowData;

/* The rows of one target for a batch. */
typedef struct FluctRows
{
	FluctRecords *records;		/* the same for all targets */
	FluctRowData stored;
	FluctRowData keys;			/* of a child whose rows are replaced: the
								 * parent's key, as the child has it */
	FluctRowData deleted;		/* the same, of the rows that are deleted */
} FluctRows;

/* Empty rows for up to nmessages, in the current memory context. */
extern FluctRows *fluct_decode_begin(const FluctMapping *mapping,
									 int nmessages);

/* Bytes of the rows of all targets, up to message number i. */
extern size_t fluct_decode_bytes(const FluctMapping *mapping,
								 const FluctRows *rows, int i);

/*
 * Adds the rows of message number i to every target's, and takes back what
 * was added for it or later ones before.  False with *refusal filled when it
 * is refused, and when it is not wanted; it then has no rows, and
 * mapping->outcome says what becomes of it.
 */
extern bool fluct_decode_message(FluctMapping *mapping, FluctRows *rows, int i,
								 const FluctMessage *message,
								 FluctRefusal *refusal);

/* Whether message number i deletes. */
extern bool fluct_decode_deletes(const FluctRows *rows, int i);

/* Says that message number i has no rows. */
extern void fluct_decode_nothing(const FluctMapping *mapping, FluctRows *rows,
								 int i);

/* Refuses a mapping whose "default" that its column cannot hold. */
extern void fluct_decode_check_fallbacks(const FluctMapping *mapping);

#endif							/* FLUCT_MAPPING_DECODE_H */
