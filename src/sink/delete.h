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
 * A statement about the rows c of the parent's table that have the keys u of
 * the arrays, its parameters; u.n is the place of one in them, from 1 on.  It
 * begins with what names c, and a comma or USING.
 */
extern SPIPlanPtr fluct_delete_prepare_parents(const char *begin,
											   const FluctTarget *parent,
											   const char *end);

/*
 * The same of a child's rows c by the first columns of their parents' keys, to
 * be run by fluct_delete_run; it begins with what names c, and `with` comes
 * before u where it needs that.  Unless exact it may be about more rows.
 */
extern SPIPlanPtr fluct_delete_prepare_children(const char *begin,
												const char *with,
												const FluctTarget *child,
												int nkeys, bool exact);
extern uint64 fluct_delete_run(const FluctTarget *child, SPIPlanPtr plan,
							   FluctArrays *keys);

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
