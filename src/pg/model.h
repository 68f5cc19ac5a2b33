/*-------------------------------------------------------------------------
 *
 * model.h
 *	  The tables that fluct.create_tables() makes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_MODEL_H
#define FLUCT_PG_MODEL_H

#include "postgres.h"

/* The table of schema sales of that name; InvalidOid where there is none. */
extern Oid	fluct_model_find(const char *name);

#endif							/* FLUCT_PG_MODEL_H */
