/*-------------------------------------------------------------------------
 *
 * relation.h
 *	  Relations by OID, which may be gone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_RELATION_H
#define FLUCT_PG_RELATION_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* relation_open, but a relation that is not there is undefined_table. */
extern Relation fluct_relation_open(Oid relid, LOCKMODE lockmode);

/* Its name without the schema; the same error. */
extern char *fluct_relation_name(Oid relid);

#endif							/* FLUCT_PG_RELATION_H */
