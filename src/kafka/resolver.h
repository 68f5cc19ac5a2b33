/*-------------------------------------------------------------------------
 *
 * resolver.h
 *	  Names of hosts, for librdkafka, within a second.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_RESOLVER_H
#define FLUCT_KAFKA_RESOLVER_H

struct addrinfo;

/* A callback for rd_kafka_conf_set_resolve_cb; called in any thread. */
extern int	fluct_resolver_resolve(const char *node, const char *service,
								   const struct addrinfo *hints,
								   struct addrinfo **result, void *opaque);

#endif							/* FLUCT_KAFKA_RESOLVER_H */
