/*-------------------------------------------------------------------------
 *
 * routed.h
 *	  Tables of which another extension decides where their rows lie.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_ROUTED_H
#define FLUCT_PG_ROUTED_H

#include "postgres.h"

#include "executor/spi.h"

/*
 * Whether another extension carries out the statement of a kept plan: it is
 * one statement that writes, and no ModifyTable.
 */
extern bool fluct_routed_is(SPIPlanPtr plan);

/*
 * The same of a relation that is to be written, by its name.  SPI must be
 * connected; it is planned with the rights at hand.
 */
extern bool fluct_routed_is_table(Oid relid);

/* Refuses sales.orders where it is routed (42809). */
extern void fluct_routed_refuse_orders(Oid relid);

#endif							/* FLUCT_PG_ROUTED_H */
