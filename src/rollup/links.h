/*-------------------------------------------------------------------------
 *
 * links.h
 *	  A digest of customer_industries, kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_LINKS_H
#define FLUCT_ROLLUP_LINKS_H

#include "postgres.h"

/* What a row adds to the digest; customer and industry are text. */
extern uint64 fluct_links_hash(Datum customer, Datum industry);

/*
 * Adds to the digest, or sets it where all rows had gone.  SPI must be
 * connected, and the user be the rollup's owner.
 */
extern void fluct_links_write(bool cleared, uint64 sum);

#endif							/* FLUCT_ROLLUP_LINKS_H */
