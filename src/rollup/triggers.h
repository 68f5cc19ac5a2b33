/*-------------------------------------------------------------------------
 *
 * triggers.h
 *	  The triggers that keep sales.industry_spend equal to the orders.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_TRIGGERS_H
#define FLUCT_ROLLUP_TRIGGERS_H

#include "postgres.h"

/*
 * Whether one of them is at work: an error that happens now is of the rollup's
 * own statements, or of what somebody put on its tables, and no row's fault.
 */
extern bool fluct_rollup_is_working(void);

#endif							/* FLUCT_ROLLUP_TRIGGERS_H */
