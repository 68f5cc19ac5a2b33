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
 * Whether a statement is under way on orders, or else on the industries of
 * customers, whose changes are booked when it ends.
 */
extern bool fluct_rollup_books_statement(bool orders);

#endif							/* FLUCT_ROLLUP_TRIGGERS_H */
