/*-------------------------------------------------------------------------
 *
 * brokers.c
 *	  Lists of brokers, host:port, and whether one is in a list.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "kafka/brokers.h"

#define SEPARATORS	", "
#define NAME		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define ADDRESS		"abcdefABCDEF0123456789:."	/* IPv6 */

static bool
read_port(const char **p, int *port)
{
	const char *digit = *p;

	for (*port = 0; *digit >= '0' && *digit <= '9' && *port <= 65535; digit++)
		*port = *port * 10 + (*digit - '0');
	if (digit == *p || *port < 1 || *port > 65535)
		return false;
	*p = digit;
	return true;
}

bool
fluct_brokers_next(const char **list, FluctBroker *broker)
{
	const char *p = *list + strspn(*list, SEPARATORS);
	bool		brackets = *p == '[';
	const char *host = p + brackets;
	size_t		len = strspn(host, brackets ? ADDRESS : NAME);

	broker->port = FLUCT_BROKER_PORT;
	*list = p;
	if (len == 0 || len >= FLUCT_BROKER_LEN)
		return false;
	memcpy(broker->host, host, len);
	broker->host[len] = '\0';
	p = host + len;
	if (brackets && *p++ != ']')
		return false;
	if (*p == ':')
	{
		p++;
		if (!read_port(&p, &broker->port))
			return false;
	}
	if (*p != '\0' && strchr(SEPARATORS, *p) == NULL)
		return false;
	*list = p + strspn(p, SEPARATORS);
	return true;
}

bool
fluct_brokers_has(const char *list, const char *host, int port)
{
	FluctBroker broker;

	while (fluct_brokers_next(&list, &broker))
		if (broker.port == port && pg_strcasecmp(broker.host, host) == 0)
			return true;
	return false;
}
