/*-------------------------------------------------------------------------
 *
 * delta.h
 *	  What changed in orders or in customers' industries, into the rollup.
 *
 * SPI must be connected, and the user be the rollup's owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_DELTA_H
#define FLUCT_ROLLUP_DELTA_H

#include "postgres.h"

#include "rollup/buckets.h"

typedef struct FluctDelta FluctDelta;

/* For the rollup of that OID; lives in the current memory context. */
extern FluctDelta *fluct_delta_begin(Oid rollup);

/*
 * An order that came (sign 1) or went (-1), for each present industry of its
 * customer.  customer is text, at timestamptz, amount numeric; they are
 * copied.  Orders and industries do not mix within one delta, and orders before
 * the horizon are left out.
 */
extern void fluct_delta_order(FluctDelta *delta, Datum customer,
							  Datum at, Datum amount, int sign);

/* An industry that a customer gained or lost, for all orders of theirs. */
extern void fluct_delta_industry(FluctDelta *delta, Datum customer,
								 Datum industry, int sign);

/* Writes what is not written yet. */
extern void fluct_delta_end(FluctDelta *delta);

/*
 * Instead of that: what is not written yet, by minute, to be written later.  It
 * lives as long as the delta, which is to be dropped.
 */
extern FluctSpend *fluct_delta_minutes(FluctDelta *delta, int *n);
extern void fluct_delta_drop(FluctDelta *delta);

/* Empties the rollup, but for what lies before the horizon. */
extern void fluct_delta_clear(void);

#endif							/* FLUCT_ROLLUP_DELTA_H */
