/*-------------------------------------------------------------------------
 *
 * relation.h
 *	  Relations by OID or name, which may be gone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_RELATION_H
#define FLUCT_PG_RELATION_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* The one of that name, quoted and qualified as SQL has it; or 42P01. */
extern Oid	fluct_relation_find(const char *name, bool missing_ok);

/* relation_open, but a relation that is not there is undefined_table. */
extern Relation fluct_relation_open(Oid relid, LOCKMODE lockmode);

/* Its name without the schema; the same error. */
extern char *fluct_relation_name(Oid relid);

#endif							/* FLUCT_PG_RELATION_H */
