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
 * Narrows the message's bytes to its row, and says whether the row is deleted.
 * False with *refusal filled when it is refused, and without where it is about
 * no row.
 */
extern bool fluct_envelope_open(const FluctMapping *mapping,
								const char **bytes, size_t *len,
								bool *deleted, FluctRefusal *refusal);

/* Whether the row that has been scanned says itself that it is deleted. */
extern bool fluct_envelope_is_marked(const FluctMapping *mapping);

#endif							/* FLUCT_MAPPING_ENVELOPE_H */
