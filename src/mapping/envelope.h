/*-------------------------------------------------------------------------
 *
 * envelope.h
 *	  Rows in the envelope of a change: "envelope": "debezium".
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_ENVELOPE_H
#define FLUCT_MAPPING_ENVELOPE_H

#include "mapping/compiler.h"

/* Compiles the document's "envelope" into c->mapping->envelope, or NULL. */
extern void fluct_envelope_compile(FluctCompiler *c, JsonbContainer *document);

/*
 * Whether the column's path is one into the envelope; its source is set then.
 * -1: it begins so, and is not one.
 */
extern int	fluct_envelope_compile_path(FluctCompiler *c, FluctColumn *column);

/*
 * Narrows the message's bytes to its row, and says whether the row is deleted.
 * False with *refusal filled when it is refused, and without where it is about
 * no row.
 */
extern bool fluct_envelope_open(const FluctMapping *mapping,
								const char **bytes, size_t *len,
								bool *deleted, FluctRefusal *refusal);

/* Whether the row that has been scanned says itself that it is deleted. */
extern bool fluct_envelope_is_marked(const FluctMapping *mapping);

/* The value of `envelope.$...`. */
extern const FluctJsonValue *fluct_envelope_value(const FluctMapping *mapping,
												  const FluctColumn *column);

#endif							/* FLUCT_MAPPING_ENVELOPE_H */
