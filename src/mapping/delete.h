/*-------------------------------------------------------------------------
 *
 * delete.h
 *	  Which messages delete a row, and by which key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_DELETE_H
#define FLUCT_MAPPING_DELETE_H

#include "mapping/compiler.h"

/*
 * Compiles the document's "delete" into c->mapping->deletes, which stays NULL
 * where nothing deletes; the targets must be compiled.  tombstones: messages
 * without a value delete as well.  Errors are 22023.
 */
extern void fluct_delete_compile(FluctCompiler *c, JsonbContainer *document,
								 bool tombstones);

/* How many columns the target's rows are deleted by; 0 = they are not. */
extern int	fluct_delete_key(const FluctMapping *mapping, int target);

#endif							/* FLUCT_MAPPING_DELETE_H */
