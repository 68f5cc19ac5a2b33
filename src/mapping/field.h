/*-------------------------------------------------------------------------
 *
 * field.h
 *	  One field of a row, in the form of COPY's binary format.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_FIELD_H
#define FLUCT_MAPPING_FIELD_H

#include "lib/stringinfo.h"

#include "mapping/shape.h"

/* What one message gives besides its JSON. */
typedef struct FluctKafka
{
	const FluctMessage *message;
	const char *topic;
} FluctKafka;

/* Whether the column's value is that of a row, and not of the whole message. */
static inline bool
fluct_field_is_of_row(const FluctColumn *column)
{
	return column->source == FLUCT_FROM_ROW || column->source == FLUCT_ROW_KEY ||
		column->source == FLUCT_ROW_NUMBER || column->source == FLUCT_EXTRA;
}

/*
 * Adds the field, with its length, of the message that mapping->json has
 * parsed; or returns the reason why it cannot be stored.
 */
extern FluctReason fluct_field_of_message(FluctMapping *mapping,
										  const FluctColumn *column,
										  const FluctKafka *kafka,
										  StringInfo out);

/*
 * The same for the columns of which fluct_field_is_of_row is true; the row of
 * the rowset is the column's own, or one in it.
 */
extern FluctReason fluct_field_of_row(FluctMapping *mapping,
									  const FluctColumn *column, int rowset,
									  int row, const FluctKafka *kafka,
									  StringInfo out);

#endif							/* FLUCT_MAPPING_FIELD_H */
