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

/*
 * The message's headers, or NULL.  librdkafka parses those of a message that
 * has none each time that it is asked, so it should be asked once.
 */
extern rd_kafka_headers_t *fluct_message_headers(const rd_kafka_message_t *message);

/* The most bytes that the copy of a message takes. */
extern size_t fluct_message_room(const rd_kafka_message_t *message,
								 const rd_kafka_headers_t *headers);

/* Copies a message to `to`, which has that room; returns the end. */
extern char *fluct_message_copy(const rd_kafka_message_t *message,
								const rd_kafka_headers_t *headers,
								FluctMessage *result, char *to);

#endif							/* FLUCT_KAFKA_MESSAGE_H */
