/*-------------------------------------------------------------------------
 *
 * stored.h
 *	  Encoded rows into a table, by the direct path or by COPY's machinery.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_STORED_H
#define FLUCT_SINK_STORED_H

#include "postgres.h"

#include "mapping/decode.h"

/* The rows of the records from..to-1 that are FLUCT_STORED. */
extern void fluct_stored_write(const FluctTarget *target,
							   const FluctRows *rows, int from, int to);

#endif							/* FLUCT_SINK_STORED_H */
