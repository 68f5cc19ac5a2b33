/*-------------------------------------------------------------------------
 *
 * delete.h
 *	  Rows that go: those that messages delete, and those of children that are
 *	  replaced.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_DELETE_H
#define FLUCT_SINK_DELETE_H

#include "postgres.h"

#include "mapping/decode.h"
#include "mapping/mapping.h"
#include "sink/insert.h"

/*
 * Prepares what the targets need beside fluct_store_prepare; SPI must be
 * connected and the user must be the stream's owner.
 */
extern void fluct_delete_prepare(const FluctMapping *mapping,
								 FluctStatements *statements);

/*
 * Deletes the rows, and those of children, that records which are FLUCT_STORED
 * delete.  Records that store a row of which a later one says so become
 * FLUCT_DUPLICATE, and so does what deletes a row that is not there.
 */
extern void fluct_delete_rows(const FluctMapping *mapping,
							  const FluctStatements *statements,
							  const FluctRows *rows, int from, int to);

/* Deletes the child's rows of the parents that have just been updated. */
extern void fluct_delete_replaced(const FluctTarget *child, SPIPlanPtr plan,
								  const FluctRows *rows, int from, int to);

#endif							/* FLUCT_SINK_DELETE_H */
