/*-------------------------------------------------------------------------
 *
 * routed.h
 *	  Tables whose rows another extension stores elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_ROUTED_H
#define FLUCT_PG_ROUTED_H

#include "postgres.h"

#include "executor/spi.h"

/*
 * The node at the root of a kept plan; T_Invalid if rules make several plans of
 * its statement.  That of a statement that writes is T_ModifyTable, unless
 * another extension carries it out.
 */
extern NodeTag fluct_routed_root(SPIPlanPtr plan);

/* Whether another extension carries out a statement that writes. */
extern bool fluct_routed_is(SPIPlanPtr plan);

/*
 * Whether PostgreSQL itself carries out the one writing part of a statement, be
 * it in a WITH; false also where rules make several statements of it.
 */
extern bool fluct_routed_stays_here(SPIPlanPtr plan);

/*
 * Whether one carries out what writes to the table; planned with the rights at
 * hand, and SPI must be connected.
 */
extern bool fluct_routed_table(Oid relid);

/* Refuses sales.orders where it is routed (42809). */
extern void fluct_routed_refuse_orders(Oid relid);

#endif							/* FLUCT_PG_ROUTED_H */
