/*-------------------------------------------------------------------------
 *
 * spend.h
 *	  Rows by minute into the rollup, and by hour and day.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_SPEND_H
#define FLUCT_ROLLUP_SPEND_H

#include "postgres.h"

#include "rollup/buckets.h"

#define FLUCT_SPEND_UPSERT \
	" ON CONFLICT (width, bucket, industry, slot) DO UPDATE" \
	" SET orders = s.orders + excluded.orders," \
	" amount = s.amount + excluded.amount"

/* The slot that is this transaction's own. */
extern int	fluct_spend_slot(Oid rollup);

/* The beginning of the bucket of that many seconds, in UTC. */
extern int64 fluct_spend_bucket(int64 at, int width);

/* Makes one row of those with the same key; returns their number. */
extern int	fluct_spend_merge(FluctSpend *rows, int n);

/* Writes them, as the rollup's owner, connected to SPI; changes their order. */
extern void fluct_spend_write(Oid rollup, FluctSpend *minutes, int n);

#endif							/* FLUCT_ROLLUP_SPEND_H */
