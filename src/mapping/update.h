/*-------------------------------------------------------------------------
 *
 * update.h
 *	  What a mapping says of a row that already exists.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_UPDATE_H
#define FLUCT_MAPPING_UPDATE_H

#include "mapping/compiler.h"

/*
 * Compiles the document's "version" and "absent" into c->target, the parent.
 * Errors are 22023, and 42703 for a column that does not exist.
 */
extern void fluct_update_compile(FluctCompiler *c, JsonbContainer *document);

/* Refuses `what` without on_conflict update. */
extern void fluct_update_require(const FluctCompiler *c, const char *what);

#endif							/* FLUCT_MAPPING_UPDATE_H */
