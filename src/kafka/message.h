/*-------------------------------------------------------------------------
 *
 * message.h
 *	  librdkafka's messages, copied.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_MESSAGE_H
#define FLUCT_KAFKA_MESSAGE_H

#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "base/message.h"

/* The headers of a message, looked at once. */
typedef struct FluctHeaders
{
	rd_kafka_headers_t *headers;	/* or NULL */
	size_t		room;			/* the most that they take as JSON */
} FluctHeaders;

/*
 * The most bytes that the copy of a message takes.  librdkafka parses the
 * headers of a message that has none each time that it is asked, so that is
 * done here alone.
 */
extern size_t fluct_message_room(const rd_kafka_message_t *message,
								 FluctHeaders *headers);

/* Copies a message to `to`, which has that room; returns the end. */
extern char *fluct_message_copy(const rd_kafka_message_t *message,
								const FluctHeaders *headers,
								FluctMessage *result, char *to);

#endif							/* FLUCT_KAFKA_MESSAGE_H */
