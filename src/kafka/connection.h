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

/*
 * Whether the server or a user mapping was changed, or given to another role,
 * since this process last tried to create its client.
 */
extern bool fluct_client_changed(const FluctStream *stream);

#endif							/* FLUCT_KAFKA_CONNECTION_H */
