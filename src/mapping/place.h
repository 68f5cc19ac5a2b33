/*-------------------------------------------------------------------------
 *
 * place.h
 *	  Where in a message a value is, and what is refused there.
 *
 * Paths have FLUCT_PATH_LEN bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_PLACE_H
#define FLUCT_MAPPING_PLACE_H

#include "mapping/shape.h"

/* The path of a row of the target's rowset, or of one above it. */
extern void fluct_place_of_row(const FluctJson *json, const FluctTarget *target,
							   int rowset, int row, char *path);

/* The path of the target's rows, or of those above it, in that row. */
extern void fluct_place_of_rows(const FluctJson *json, const FluctTarget *target,
								int rowset, int row, char *path);

/*
 * The path of a column's value by the numbers of the record in the message and
 * of the row in the record (-1 = not known), as far as they say it.
 */
extern void fluct_place_of_column(const FluctMapping *mapping,
								  const FluctTarget *target,
								  const FluctColumn *column, int record,
								  int row, char *path);

/*
 * Refuses the message at hand for the column's value in that row of the rowset,
 * which is the column's own or one in it.
 */
extern void fluct_place_refuse(const FluctMapping *mapping,
							   const FluctTarget *target,
							   const FluctColumn *column, int rowset, int row,
							   FluctReason reason, FluctRefusal *refusal);

#endif							/* FLUCT_MAPPING_PLACE_H */
