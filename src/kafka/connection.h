/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  The Kafka client of a stream: whose options, and which group.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_CONNECTION_H
#define FLUCT_KAFKA_CONNECTION_H

#include "postgres.h"

#include "bookkeeping/streams.h"

/* What it connects to, as the options say; strings are NULL when not given. */
typedef struct FluctClient
{
	char	   *brokers;
	char	   *protocol;
	char	   *mechanism;
	char	   *group;
} FluctClient;

/*
 * Creates this process's client with the options of the stream's server and
 * of its owner's user mapping.  *about is filled as far as possible, even
 * if there is an ERROR; its strings are in the current memory context.
 */
extern void fluct_client_open(const FluctStream *stream, Oid owner,
							  FluctClient *about);

#endif							/* FLUCT_KAFKA_CONNECTION_H */
