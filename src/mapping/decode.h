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
 * The rows of one target for a batch.  Message i owns the bytes from
 * starts[i] to starts[i + 1] and row_starts likewise.
 */
typedef struct FluctRows
{
	StringInfoData data;
	int			nrows;
	int		   *starts;
	int		   *row_starts;
} FluctRows;

/* Empty rows for up to nmessages, in the current memory context. */
extern FluctRows *fluct_decode_begin(const FluctMapping *mapping,
									 int nmessages);

/*
 * Adds the rows of message number i (0, 1, 2 … in order) to every target's.
 * False with *refusal filled when it is refused; it then has no rows.
 */
extern bool fluct_decode_message(FluctMapping *mapping, FluctRows *rows, int i,
								 const FluctMessage *message,
								 const char *topic, FluctRefusal *refusal);

/* Refuses a mapping with a "default" that its column cannot hold. */
extern void fluct_decode_check_fallbacks(const FluctMapping *mapping);

#endif							/* FLUCT_MAPPING_DECODE_H */
