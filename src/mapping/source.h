/*-------------------------------------------------------------------------
 *
 * source.h
 *	  Whether what a path gives can ever be a value of its column.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_SOURCE_H
#define FLUCT_MAPPING_SOURCE_H

#include "mapping/shape.h"

/* Refuses a column that no message could fill (22023). */
extern void fluct_source_check(const FluctColumn *column, const char *target);

/*
 * Refuses a child without a column for each of the parent's key (22023), of
 * the same type and collation, by which its rows can be found; else fills parent_keys.
 */
extern void fluct_source_find_parent_keys(const FluctTarget *parent,
										  FluctTarget *child);

/* Text as it stands between the quotes of a JSON string. */
extern char *fluct_source_escape(const char *text);

/* Whether the texts that are equal under one are those under the other. */
extern bool fluct_source_collations_agree(Oid one, Oid other);

#endif							/* FLUCT_MAPPING_SOURCE_H */
