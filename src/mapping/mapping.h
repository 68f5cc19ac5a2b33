/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  A mapping, compiled against its tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_MAPPING_H
#define FLUCT_MAPPING_MAPPING_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "mapping/shape.h"

/*
 * Compiles in a new child of `parent`, from what the catalogs say: no code of
 * the table's runs.  on_conflict is nothing, error or update,
 * framing none (or NULL) or registry, on_tombstone ignore (or NULL) or delete.
 * Errors name the
 * table and the column: 22023 for an invalid mapping, 42703 for a column that
 * does not exist, 42P01 for such a table.
 */
extern FluctMapping *fluct_mapping_compile(Oid target, Jsonb *mapping,
										   const char *on_conflict,
										   const char *framing,
										   const char *on_tombstone,
										   MemoryContext parent);

/*
 * The table that a child's "target" names in a mapping of that parent;
 * InvalidOid if there is none.
 */
extern Oid	fluct_mapping_find_child(Oid parent, const char *name);

/*
 * Makes it ready to decode messages.  Defaults are planned here, and planning
 * executes what is immutable in them: so this is for the current user to have
 * taken the rights of the stream's owner.
 */
extern void fluct_mapping_ready(FluctMapping *mapping);

#endif							/* FLUCT_MAPPING_MAPPING_H */
