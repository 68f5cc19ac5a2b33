/*-------------------------------------------------------------------------
 *
 * target.h
 *	  Which tables can be targets, and the mapping of one that has none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_TARGET_H
#define FLUCT_MAPPING_TARGET_H

#include "mapping/mapping.h"

/* What a target gets whose columns are the top-level fields of their names. */
extern Jsonb *fluct_target_derive(Oid target);

/* Refuses what a batch can't be written to atomically, by name. */
extern void fluct_target_check_targets(const FluctMapping *mapping);

/* A superuser's stream may write only to tables of superusers (42501). */
extern void fluct_target_check_owner(const FluctMapping *mapping, Oid owner);

#endif							/* FLUCT_MAPPING_TARGET_H */
