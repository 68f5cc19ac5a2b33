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

/*
 * The owner of sales.orders.  Where that is missing, be it that its owner
 * renamed it a moment ago, the others may be there: then who made the schema.
 */
extern Oid	fluct_model_owner(void);

#endif							/* FLUCT_PG_MODEL_H */
