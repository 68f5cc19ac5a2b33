/*-------------------------------------------------------------------------
 *
 * brokers.h
 *	  Lists of brokers, host:port, and whether one is in a list.
 *
 * Safe in librdkafka's threads: nothing of PostgreSQL's is called.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_BROKERS_H
#define FLUCT_KAFKA_BROKERS_H

#include "postgres.h"

#define FLUCT_BROKER_LEN	256
#define FLUCT_BROKER_PORT	9092	/* where none is given */

typedef struct FluctBroker
{
	char		host[FLUCT_BROKER_LEN]; /* without the brackets of IPv6 */
	int			port;
} FluctBroker;

/*
 * Takes the next broker off a list that commas or blanks separate, and moves
 * *list behind it.  False at the end, or with *list not at its end where what
 * follows is not host, host:port or [IPv6]:port with a port from 1 to 65535.
 */
extern bool fluct_brokers_next(const char **list, FluctBroker *broker);

/* Whether the list has that broker; names of hosts have no case. */
extern bool fluct_brokers_has(const char *list, const char *host, int port);

#endif							/* FLUCT_KAFKA_BROKERS_H */
