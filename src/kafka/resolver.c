/*-------------------------------------------------------------------------
 *
 * resolver.c
 *	  Names of hosts, for librdkafka, within a second.
 *
 * A client cannot be destroyed while one of its threads is inside getaddrinfo,
 * which takes as long as the machine's resolver does: 5 s for each silent name
 * server, two minutes with some services of nsswitch.conf.  So a separate
 * thread makes the call; the caller waits for a second, and then reports that
 * the name cannot be resolved now.  The thread is abandoned.  It holds
 * nothing of librdkafka, OpenSSL or PostgreSQL when the process exits.
 *
 * Each connection begins here, also those to brokers that no server names but
 * other brokers do (advertised.listeners).  So here fluct.allowed_brokers is
 * held against them; a broker that is not allowed gets no address.
 *
 * This runs in librdkafka's threads and in its own: no palloc, no ereport, no
 * setting, which a reload would change meanwhile.  The threads block all
 * signals, which are PostgreSQL's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "kafka/resolver.h"

#define PATIENCE			1	/* s */
#define MOST_THREADS		16	/* abandoned ones included */

/* A call of getaddrinfo; freed by the last thread that uses it. */
typedef struct Question
{
	char	   *node;
	char	   *service;
	struct addrinfo hints;
	struct addrinfo *answer;
	int			code;			/* of getaddrinfo */
	bool		answered;
	bool		given_up;
} Question;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static int	threads = 0;

/* Under the mutex, too; of the one client of this process. */
static char *allowed = NULL;	/* NULL = any */
static FluctBroker refused;		/* no host = none */

static void
free_question(Question *question)
{
	free(question->node);
	free(question->service);
	free(question);
}

static void *
ask(void *argument)
{
	Question   *question = argument;
	struct addrinfo *answer = NULL;
	int			code;
	bool		given_up;

	code = getaddrinfo(question->node, question->service, &question->hints,
					   &answer);
	pthread_mutex_lock(&mutex);
	question->code = code;
	question->answer = answer;
	question->answered = true;
	given_up = question->given_up;
	threads--;
	pthread_cond_broadcast(&answered);
	pthread_mutex_unlock(&mutex);
	if (given_up)
	{
		if (code == 0)
			freeaddrinfo(answer);
		free_question(question);
	}
	return NULL;
}

static bool
start_thread(Question *question)
{
	pthread_t	thread;
	sigset_t	all,
				before;
	bool		started;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(&thread, NULL, ask, question) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (started)
		pthread_detach(thread);
	return started;
}

/* Holding the mutex: waits for the answer, as long as PATIENCE. */
static void
await_answer(const Question *question)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE;
	while (!question->answered &&
		   pthread_cond_timedwait(&answered, &mutex, &end) == 0);
}

static Question *
make_question(const char *node, const char *service,
			  const struct addrinfo *hints)
{
	Question   *question = calloc(1, sizeof(Question));

	if (question == NULL)
		return NULL;
	question->node = node ? strdup(node) : NULL;
	question->service = service ? strdup(service) : NULL;
	question->hints = *hints;
	return question;
}

static int
ask_patiently(Question *question, struct addrinfo **result)
{
	int			code = EAI_AGAIN;
	bool		is_ours = true;

	pthread_mutex_lock(&mutex);
	if (threads < MOST_THREADS && start_thread(question))
	{
		threads++;
		await_answer(question);
		is_ours = question->answered;
		question->given_up = !is_ours;
		if (is_ours)
		{
			code = question->code;
			*result = question->answer;
		}
	}
	pthread_mutex_unlock(&mutex);
	if (is_ours)
		free_question(question);
	return code;
}

bool
fluct_resolver_begin(const char *list)
{
	char	   *copy = list[0] != '\0' ? strdup(list) : NULL;

	if (list[0] != '\0' && copy == NULL)
		return false;
	pthread_mutex_lock(&mutex);
	free(allowed);
	allowed = copy;
	refused.host[0] = '\0';
	pthread_mutex_unlock(&mutex);
	return true;
}

static bool
is_allowed(const char *node, const char *service)
{
	int			port = service ? atoi(service) : FLUCT_BROKER_PORT;
	bool		good;

	pthread_mutex_lock(&mutex);
	good = allowed == NULL ||
		(node != NULL && fluct_brokers_has(allowed, node, port));
	if (!good)
	{
		strlcpy(refused.host, node ? node : "", sizeof(refused.host));
		refused.port = port;
	}
	pthread_mutex_unlock(&mutex);
	return good;
}

bool
fluct_resolver_refused(FluctBroker *broker)
{
	pthread_mutex_lock(&mutex);
	*broker = refused;
	pthread_mutex_unlock(&mutex);
	return broker->host[0] != '\0';
}

int
fluct_resolver_resolve(const char *node, const char *service,
					   const struct addrinfo *hints,
					   struct addrinfo **result, void *opaque)
{
	Question   *question;

	if (node == NULL && service == NULL)
	{
		freeaddrinfo(*result);
		return 0;
	}
	if (!is_allowed(node, service))
		return EAI_FAIL;
	question = make_question(node, service, hints);
	return question ? ask_patiently(question, result) : EAI_MEMORY;
}
