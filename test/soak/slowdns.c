/*-------------------------------------------------------------------------
 *
 * slowdns.c
 *	  A resolver whose name server never answers, to be preloaded.
 *
 * Names that end in ".hang.invalid" take as long as glibc would wait for one
 * silent name server: timeout x attempts of RES_OPTIONS, else 5 s x 2.  As
 * long as that, the thread is called "slowdns", so that a test can see it.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

typedef int (*Resolver) (const char *, const char *, const struct addrinfo *,
						 struct addrinfo **);

/* The number after `name:` in RES_OPTIONS. */
static int
option(const char *name, int otherwise)
{
	const char *options = getenv("RES_OPTIONS");
	const char *found = options ? strstr(options, name) : NULL;

	return found ? atoi(found + strlen(name)) : otherwise;
}

static int
hangs(const char *node)
{
	static const char suffix[] = ".hang.invalid";
	size_t		len = node ? strlen(node) : 0;

	return len >= sizeof(suffix) &&
		strcmp(node + len - (sizeof(suffix) - 1), suffix) == 0;
}

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	struct timespec left = {option("timeout:", 5) * option("attempts:", 2), 0};
	Resolver	next;

	if (hangs(node))
	{
		prctl(PR_SET_NAME, "slowdns");
		while (nanosleep(&left, &left) != 0);
		prctl(PR_SET_NAME, "waited");
		return EAI_AGAIN;
	}
	next = (Resolver) dlsym(RTLD_NEXT, "getaddrinfo");
	return next(node, service, hints, result);
}
