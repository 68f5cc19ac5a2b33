/*-------------------------------------------------------------------------
 *
 * relations.h
 *	  The relations in which a stream's rows may end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_RELATIONS_H
#define FLUCT_MAPPING_RELATIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "mapping/mapping.h"

/*
 * Refuses, by name, a target in which a batch cannot be written atomically or
 * would not survive a crash (42809), and a deferred constraint or trigger that
 * the stream's own writes would fire (0A000); update is on_conflict's.  It
 * looks at partitions, inheritors, and what views and rules lead to, without a
 * lock on what is below the targets, and executes nothing.
 *
 * Returns the OIDs of all that it looked at, sorted: when one of them changes,
 * it is time to look again.  `raw` is one more table that gets rows, unless it
 * is invalid.  `temporary` takes temporary tables of this session: those of a
 * load, for no worker can have any.
 */
extern List *fluct_relations_check(const FluctMapping *mapping, bool update,
								   Oid raw, bool temporary);

#endif							/* FLUCT_MAPPING_RELATIONS_H */
