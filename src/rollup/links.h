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

/* A row that came (sign 1) or went (-1); customer and industry are text. */
extern void fluct_links_add(Datum customer, Datum industry, int sign);

/* All rows went. */
extern void fluct_links_clear(void);

#endif							/* FLUCT_ROLLUP_LINKS_H */
