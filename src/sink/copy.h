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

/* Bytes, somewhere; rows of COPY's binary format may lie in several. */
typedef struct FluctPiece
{
	const char *data;
	size_t		len;
} FluctPiece;

/* Refuses a user who may not insert into these columns (String nodes). */
extern void fluct_copyrows_check_rights(Oid relid, List *columns);

/* Ready-made rows of these columns (String nodes), piece after piece. */
extern void fluct_copyrows_pieces(Oid relid, List *columns,
								  const FluctPiece *pieces, int npieces);

#endif							/* FLUCT_SINK_COPY_H */
