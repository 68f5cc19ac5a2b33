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
 * This runs in threads of librdkafka and of its own: no palloc, no ereport.
 * The threads block all signals, which are PostgreSQL's.
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
	question = make_question(node, service, hints);
	return question ? ask_patiently(question, result) : EAI_MEMORY;
}
