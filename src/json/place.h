/*-------------------------------------------------------------------------
 *
 * place.h
 *	  Where in a message the scan is, and what is refused there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_PLACE_H
#define FLUCT_JSON_PLACE_H

#include "json/json.h"
#include "json/tree.h"

/* Refuses the message for the fault that the scan found, and where. */
extern void fluct_jsonplace_refuse(const FluctJson *json,
								   FluctRefusal *refusal);

/*
 * Paths go on from the node into a value that has no such members or elements;
 * the first one is noted.
 */
extern void fluct_jsonplace_misstep(FluctJson *json, const Node *node,
									FluctJsonType type, const char *text,
									const char *end)
			__attribute__((cold, noinline));

#endif							/* FLUCT_JSON_PLACE_H */
