/*-------------------------------------------------------------------------
 *
 * tables.h
 *	  The tables of the rollup, and the place of their owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_TABLES_H
#define FLUCT_ROLLUP_TABLES_H

#include "postgres.h"

#include "fmgr.h"

#include "pg/rights.h"

/* The tables; those that a trigger works on are of one owner. */
typedef struct FluctRollup
{
	Oid			spend;
	Oid			state;
	Oid			orders;
	Oid			industries;		/* of customers */
	Oid			owner;
} FluctRollup;

/* The tables, if the one of that OID is among them and we may serve it. */
extern FluctRollup fluct_rollup_find(Oid relid);

/* From here on as the owner, connected to SPI; and the way back. */
extern FluctRights fluct_rollup_enter(const FluctRollup *rollup);
extern void fluct_rollup_leave(FluctRights before);

/* Keeps the other side from being changed until the transaction ends. */
extern void fluct_rollup_lock_orders_side(const FluctRollup *rollup);
extern void fluct_rollup_lock_industries_side(const FluctRollup *rollup);

/*
 * Runs a trigger so that an error in it is known to be the rollup's own;
 * returns what a trigger returns that changes nothing.
 */
extern Datum fluct_rollup_work(void (*trigger) (FunctionCallInfo fcinfo),
							   FunctionCallInfo fcinfo);

/*
 * Whether a trigger of the rollup is at work: an error now is one of the rollup's
 * own statements, or of what somebody put on its tables, and no row's fault.
 */
extern bool fluct_rollup_is_working(void);

/*
 * In PG_CATCH: throws the error of the rollup's tables again, as one that no
 * row is to blame for.  The context is where the trigger was called.
 */
extern void fluct_rollup_throw(MemoryContext context)
			__attribute__((noreturn));

#endif							/* FLUCT_ROLLUP_TABLES_H */
