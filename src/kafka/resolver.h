/*-------------------------------------------------------------------------
 *
 * resolver.h
 *	  Names of hosts, for librdkafka, within a second.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_RESOLVER_H
#define FLUCT_KAFKA_RESOLVER_H

#include "kafka/brokers.h"

struct addrinfo;

/* A callback for rd_kafka_conf_set_resolve_cb; called in any thread. */
extern int	fluct_resolver_resolve(const char *node, const char *service,
								   const struct addrinfo *hints,
								   struct addrinfo **result, void *opaque);

/*
 * Before a client is made: its brokers must be in this list, "" = any.  False
 * where there is no memory for it.
 */
extern bool fluct_resolver_begin(const char *allowed);

/*
 * The broker that was refused last since then: its address is not given, so
 * nothing is sent there, whoever named it.  False if there is none.
 */
extern bool fluct_resolver_refused(FluctBroker *broker);

#endif							/* FLUCT_KAFKA_RESOLVER_H */
