/*-------------------------------------------------------------------------
 *
 * target.h
 *	  The rights and the key that a target needs, and a mapping by default.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_TARGET_H
#define FLUCT_MAPPING_TARGET_H

#include "mapping/mapping.h"

/*
 * The table of that name, quoted and qualified as SQL has it, which is the
 * target of the stream; or 42P01, with what to do.
 */
extern Oid	fluct_target_find(const char *stream, const char *name);

/*
 * The rights that the current user needs on the tables, by their ACLs alone
 * (42501); update is on_conflict's, raw gets rows as well unless it is invalid.
 */
extern void fluct_target_check_rights(const FluctMapping *mapping, bool update,
									  Oid raw);

/* Refuses a target that has lost the key that on_conflict needs (42P10). */
extern void fluct_target_check_key(const FluctMapping *mapping,
								   const char *on_conflict);

#endif							/* FLUCT_MAPPING_TARGET_H */
