/*-------------------------------------------------------------------------
 *
 * copyrows.h
 *	  Encoded rows into a table by COPY's machinery.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_COPYROWS_H
#define FLUCT_COPYROWS_H

#include "postgres.h"

#include "decode.h"
#include "nodes/pg_list.h"

/* The rows of the messages from..to-1 that are FLUCT_STORED. */
extern uint64 fluct_copyrows_stored(const FluctTarget *target,
									const FluctRows *rows,
									const FluctMessage *messages,
									int from, int to);

/* Ready-made rows of these columns (String nodes). */
extern void fluct_copyrows_plain(Oid relid, List *columns, StringInfo rows);

#endif							/* FLUCT_COPYROWS_H */
