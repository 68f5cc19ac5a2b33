/*-------------------------------------------------------------------------
 *
 * pending.h
 *	  What a transaction writes right before it commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_PENDING_H
#define FLUCT_ROLLUP_PENDING_H

#include "postgres.h"

#include "rollup/buckets.h"

/* A row of customer_industries that came (sign 1) or went (-1); text. */
extern void fluct_pending_link(Datum customer, Datum industry, int sign);

/* All of them went. */
extern void fluct_pending_clear_links(void);

/*
 * Rows of the rollup, by minute, which are copied.  SPI must be connected, and
 * the user be the rollup's owner.
 */
extern void fluct_pending_spend(Oid rollup, const FluctSpend *minutes, int n);

/* The rollup is empty. */
extern void fluct_pending_clear_spend(void);

#endif							/* FLUCT_ROLLUP_PENDING_H */
