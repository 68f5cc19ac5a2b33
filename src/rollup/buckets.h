/*-------------------------------------------------------------------------
 *
 * buckets.h
 *	  Rows of sales.industry_spend, added up in place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_BUCKETS_H
#define FLUCT_ROLLUP_BUCKETS_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef struct FluctSpend
{
	int			width;
	TimestampTz bucket;
	text	   *industry;
	int64		orders;
	Datum		amount;			/* numeric */
} FluctSpend;

/* The order of texts in the collation C. */
extern int	fluct_buckets_compare(const text * a, const text * b);

/*
 * Adds the rows, which are in the order of the key and each of another key,
 * to those of the slot, which nobody else may write.  False, and nothing
 * happened, if the table is not as create_tables() makes it.
 */
extern bool fluct_buckets_add(Oid relid, int slot, const FluctSpend *rows,
							  int n);

#endif							/* FLUCT_ROLLUP_BUCKETS_H */
