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

/* The mapping of each column to the top-level field of its name. */
extern Jsonb *fluct_target_derive(Oid target);

/* Refuses tables that a batch cannot be written to atomically. */
extern void fluct_target_check_targets(const FluctMapping *mapping);

/* A superuser's stream may write only to tables of superusers (42501). */
extern void fluct_target_check_owner(const FluctMapping *mapping, Oid owner);

#endif							/* FLUCT_MAPPING_TARGET_H */
