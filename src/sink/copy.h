/*-------------------------------------------------------------------------
 *
 * copy.h
 *	  Encoded rows into a table by COPY's machinery.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_COPY_H
#define FLUCT_SINK_COPY_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "mapping/decode.h"

/* The rows of the messages from..to-1 that are FLUCT_STORED. */
extern uint64 fluct_copyrows_stored(const FluctTarget *target,
									const FluctRows *rows,
									const FluctMessage *messages,
									int from, int to);

/* Bytes, somewhere; rows of COPY's binary format may lie in several. */
typedef struct FluctPiece
{
	const char *data;
	size_t		len;
} FluctPiece;

/* Ready-made rows of these columns (String nodes), piece after piece. */
extern void fluct_copyrows_pieces(Oid relid, List *columns,
								  const FluctPiece *pieces, int npieces);

#endif							/* FLUCT_SINK_COPY_H */
