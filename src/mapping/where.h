/*-------------------------------------------------------------------------
 *
 * where.h
 *	  Which messages a condition of a mapping means.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_WHERE_H
#define FLUCT_MAPPING_WHERE_H

#include "mapping/compiler.h"
#include "mapping/field.h"

/*
 * Compiles the condition that is the member `key` of the object, {PATH: value
 * or list of values, ...}; NULL if there is none.  Errors are 22023.
 */
extern FluctWhere *fluct_where_compile(FluctCompiler *c, JsonbContainer *object,
									   const char *key);

/*
 * Whether the message fulfils all of it; if it has not been scanned, what is
 * asked of Kafka's key, headers and topic.
 */
extern bool fluct_where_holds(FluctMapping *mapping, const FluctWhere *where,
							  const FluctKafka *kafka, bool scanned);

#endif							/* FLUCT_MAPPING_WHERE_H */
