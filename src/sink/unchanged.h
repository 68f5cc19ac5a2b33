/*-------------------------------------------------------------------------
 *
 * unchanged.h
 *	  What is stored again and exists already, as it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_UNCHANGED_H
#define FLUCT_SINK_UNCHANGED_H

#include "postgres.h"

#include "mapping/decode.h"
#include "mapping/mapping.h"
#include "sink/insert.h"

/*
 * Prepares the comparison, after fluct_delete_prepare and like that, where
 * leaving equal rows as they are cannot be told from writing them.
 */
extern void fluct_unchanged_prepare(const FluctMapping *mapping,
									FluctStatements *statements);

/*
 * Locks the parents that exist of the records from..to-1 that are
 * FLUCT_STORED, and says of each record whether all of its rows are there and
 * its children have no others.
 */
extern bool *fluct_unchanged_find(const FluctMapping *mapping,
								  const FluctStatements *statements,
								  const FluctRows *rows, int from, int to);

#endif							/* FLUCT_SINK_UNCHANGED_H */
