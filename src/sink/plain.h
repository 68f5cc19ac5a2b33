/*-------------------------------------------------------------------------
 *
 * plain.h
 *	  Which tables the direct path serves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_PLAIN_H
#define FLUCT_SINK_PLAIN_H

#include "postgres.h"

#include "utils/relcache.h"

/*
 * Whether the direct path stores in the relation (the one that is named, or
 * one of its partitions) what COPY's machinery would.  `rel` is open and
 * locked.
 */
extern bool fluct_plain_is(Relation rel);

#endif							/* FLUCT_SINK_PLAIN_H */
