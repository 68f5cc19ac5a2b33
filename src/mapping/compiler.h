/*-------------------------------------------------------------------------
 *
 * compiler.h
 *	  A mapping that is being compiled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_COMPILER_H
#define FLUCT_MAPPING_COMPILER_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/rel.h"

#include "mapping/shape.h"

/* A mapping that is being compiled. */
typedef struct FluctCompiler
{
	FluctMapping *mapping;
	FluctTarget *target;		/* at hand */
	Relation	rel;
	bool		update;			/* on_conflict update */
} FluctCompiler;

#endif							/* FLUCT_MAPPING_COMPILER_H */
