/*-------------------------------------------------------------------------
 *
 * framing.h
 *	  What stands before the JSON of a message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_FRAMING_H
#define FLUCT_MAPPING_FRAMING_H

#include "postgres.h"

#include "mapping/shape.h"

/* By the word of a stream; NULL = none. */
extern FluctFraming fluct_framing_of(const char *word);

/*
 * Goes past the registry's prefix and returns its schema id.  Bytes without
 * that stay, with *refusal filled unless it is NULL.
 */
extern int32 fluct_framing_skip(const char **bytes, size_t *len,
								FluctRefusal *refusal);

/*
 * The message with another text for its JSON, in the current memory context,
 * and with the prefix it had; a message without one gets the schema id 0.
 */
extern void fluct_framing_replace(const char *framing, FluctMessage *message,
								  const char *text, size_t len);

#endif							/* FLUCT_MAPPING_FRAMING_H */
