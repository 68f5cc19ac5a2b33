/*-------------------------------------------------------------------------
 *
 * leaf.h
 *	  One table into which the direct path stores rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_LEAF_H
#define FLUCT_SINK_LEAF_H

#include "postgres.h"

#include "nodes/execnodes.h"

typedef struct FluctLeaf FluctLeaf;

/* Rows that wait in one leaf at most. */
#define FLUCT_LEAF_ROWS	256

/*
 * A leaf of the current memory context, where rows are kept until they are
 * flushed.  `info` is the executor's, with its indexes open.
 */
extern FluctLeaf *fluct_leaf_open(EState *estate, ResultRelInfo *info);

/* Whether rows may be added: the table is plain. */
extern bool fluct_leaf_is_plain(const FluctLeaf *leaf);
extern ResultRelInfo *fluct_leaf_info(const FluctLeaf *leaf);

/*
 * Checks a row, whose columns are those of the table that is named, against
 * the constraints, and keeps a copy.  Returns its bytes.  There must be room
 * (fluct_leaf_is_full).
 */
extern Size fluct_leaf_add(FluctLeaf *leaf, TupleTableSlot *slot);
extern bool fluct_leaf_is_full(const FluctLeaf *leaf);

/* Writes the rows, and their entries in the indexes. */
extern void fluct_leaf_flush(FluctLeaf *leaf);

/* Gives back pins and slots; rows may be added all the same. */
extern void fluct_leaf_rest(FluctLeaf *leaf);

/* Before the executor closes the indexes. */
extern void fluct_leaf_close(FluctLeaf *leaf);

#endif							/* FLUCT_SINK_LEAF_H */
