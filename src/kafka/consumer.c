/*-------------------------------------------------------------------------
 *
 * consumer.c
 *	  librdkafka, here and nowhere else.
 *
 * Life and death.  The client's threads must be gone before the process is:
 * exit() under live TLS threads is a crash, and a crash restarts the cluster.
 * So the client is destroyed in one before_shmem_exit callback, registered
 * before it is created.  Destroying never waits for the group, since there is
 * none: partitions are always assigned, never subscribed to.
 *
 * Messages.  A message that is still held when an ERROR is thrown makes the
 * destruction hang for ever.  So fluct_kafka_poll asks for memory without
 * throwing, copies, and gives all messages back before anything can throw.
 *
 * Threads.  The callbacks (trouble.c) run in our own thread, inside
 * fluct_kafka_poll and the other calls here: errors and log lines are queued.
 *
 * Wake-up.  librdkafka writes a byte into a pipe when its queue goes from
 * empty to non-empty, and only then: so the queue must be polled until it
 * is empty before waiting for the pipe.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "kafka/consumer.h"
#include "kafka/message.h"
#include "kafka/metadata.h"
#include "kafka/refill.h"
#include "kafka/resolver.h"
#include "kafka/retention.h"
#include "pg/guc.h"

#define CALL_TIMEOUT		1000	/* ms: the longest call */
#define POLL_AT_ONCE		64	/* a batch may be that much too long */

/*
 * The limits of what is fetched ahead, of all partitions together, since they
 * share one queue: bytes of messages, and a number of them, since librdkafka
 * adds about 450 bytes to each, which it does not count.  How the queue is
 * filled again while a batch is stored: refill.c.
 *
 * A response is taken whole, so each broker adds to the queue what one response
 * decompresses to: hence responses of 1 MB.  Measured, with 200 partitions of
 * 5 MB, lz4, with the raw copy and without, beside three busy processes on two
 * cores: the worker's private memory is 92 to 98 MB at its peak; with a queue
 * of 56 MB, 101 to 112 MB and once 128 MB.
 */
#define QUEUE_MESSAGES		"50000"
#define QUEUE_BUDGET_KB		49152
#define SCRAM_FIXED		0x02060100	/* librdkafka's version 2.6.1 */

PG_FUNCTION_INFO_V1(fluct_librdkafka_version);

/* The one client of this process. */
typedef struct Client
{
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	char	   *topics;			/* of the stream, as it declares them */
	int			pipe[2];
	bool		callback_registered;
	FluctPlace *assigned;
	int64	   *ends;			/* by place in it: end reached, or -1 */
	int			nassigned;
	size_t		size;			/* of a message, as of the last that came */
	bool		group_refusal_said;
	bool		heard;			/* of the partitions, since the assignment */
} Client;

static Client kafka = {.pipe = {-1, -1}};

const char *
fluct_kafka_version_name(void)
{
	return rd_kafka_version_str();
}

Datum
fluct_librdkafka_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(rd_kafka_version_str()));
}

/* ----- life and death ----- */

static void
forget_assigned(void)
{
	if (kafka.ends)
	{
		pfree(kafka.ends);
		pfree(kafka.assigned);
	}
	kafka.ends = NULL;
	kafka.assigned = NULL;
	kafka.nassigned = 0;
}

void
fluct_kafka_close(void)
{
	fluct_refill_end();
	fluct_retention_end();
	if (kafka.queue)
		rd_kafka_queue_destroy(kafka.queue);
	fluct_metadata_end();
	if (kafka.client)
		rd_kafka_destroy_flags(kafka.client,
							   RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	kafka.queue = NULL;
	kafka.client = NULL;
	if (kafka.topics)
		pfree(kafka.topics);
	kafka.topics = NULL;
	forget_assigned();
	for (int i = 0; i < 2; i++)
	{
		if (kafka.pipe[i] >= 0)
			close(kafka.pipe[i]);
		kafka.pipe[i] = -1;
	}
}

/* The callback in which the client is destroyed. */
static void
close_at_exit(int code, Datum arg)
{
	fluct_kafka_close();
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		reason[256];

	if (rd_kafka_conf_set(conf, name, value, reason,
						  sizeof(reason)) == RD_KAFKA_CONF_OK)
		return;
	rd_kafka_conf_destroy(conf);
	/* librdkafka's own words repeat the value, which may be a secret */
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("librdkafka does not accept the value of \"%s\"", name)));
}

static rd_kafka_conf_t *
make_conf(const FluctSettings *settings, const char *group)
{
	static const char *const fixed[][2] = {
		{"auto.offset.reset", "error"},
		{"enable.auto.commit", "false"},
		{"enable.auto.offset.store", "false"},
		{"isolation.level", "read_committed"},
		{"enable.partition.eof", "true"},
		{"check.crcs", "true"},
		{"allow.auto.create.topics", "false"},
		{"log.queue", "true"},
		{"debug", "topic"},		/* see trouble.c */
		{"queued.min.messages", QUEUE_MESSAGES},
		{"session.timeout.ms", "500"},	/* see fluct_kafka_mirror */
		{"receive.message.max.bytes", "33554432"},
		{"client.software.name", "fluct"},
	};
	static const char *const defaults[][2] = {
		{"client.id", "fluct"},
		{"reconnect.backoff.max.ms", "2000"},
		{"socket.timeout.ms", "10000"},
		{"socket.keepalive.enable", "true"},
		/* a query is queued behind a fetch that waits for messages */
		{"fetch.wait.max.ms", "100"},
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	for (int i = 0; i < lengthof(defaults); i++)
		set(conf, defaults[i][0], defaults[i][1]);
	for (int i = 0; i < settings->count; i++)
		set(conf, settings->settings[i].name, settings->settings[i].value);
	for (int i = 0; i < lengthof(fixed); i++)
		set(conf, fixed[i][0], fixed[i][1]);
	set(conf, "queued.max.messages.kbytes", psprintf("%d", QUEUE_BUDGET_KB));

	/* a full queue is checked again after 1 s; since 2.2 that can be set */
	(void) rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "50", NULL, 0);
	set(conf, "fetch.max.bytes", psprintf("%d", FLUCT_KAFKA_RESPONSE_BYTES));
	set(conf, "fetch.message.max.bytes",
		psprintf("%d", FLUCT_KAFKA_RESPONSE_BYTES));
	set(conf, "group.id", group);
	rd_kafka_conf_set_error_cb(conf, fluct_trouble_on_error);
	rd_kafka_conf_set_log_cb(conf, fluct_trouble_on_log);
	rd_kafka_conf_set_resolve_cb(conf, fluct_resolver_resolve);
	return conf;
}

static bool
is_old_scram(const FluctSettings *settings)
{
	for (int i = 0; i < settings->count; i++)
		if (strcmp(settings->settings[i].name, "sasl.mechanism") == 0)
			return strncmp(settings->settings[i].value, "SCRAM", 5) == 0 &&
				rd_kafka_version() < SCRAM_FIXED;
	return false;
}

static void
open_pipe(void)
{
	if (pipe(kafka.pipe) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create a pipe: %m")));
	for (int i = 0; i < 2; i++)
		if (fcntl(kafka.pipe[i], F_SETFL, O_NONBLOCK) < 0 ||
			fcntl(kafka.pipe[i], F_SETFD, FD_CLOEXEC) < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not set up a pipe: %m")));
}

void
fluct_kafka_open(const FluctSettings *settings, const char *group,
				 const char *topics)
{
	rd_kafka_conf_t *conf;
	char		reason[256];

	Assert(kafka.client == NULL);
	if (!kafka.callback_registered)
		before_shmem_exit(close_at_exit, (Datum) 0);
	kafka.callback_registered = true;

	fluct_trouble_begin(is_old_scram(settings));
	if (!fluct_resolver_begin(fluct_allowed_brokers))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	open_pipe();
	kafka.topics = MemoryContextStrdup(TopMemoryContext, topics);
	conf = make_conf(settings, group);
	kafka.client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason,
								sizeof(reason));
	if (kafka.client == NULL)
	{
		rd_kafka_conf_destroy(conf);
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("could not create a Kafka client"),
				 errdetail("%s", reason)));
	}
	rd_kafka_set_log_queue(kafka.client, NULL);
	rd_kafka_poll_set_consumer(kafka.client);
	kafka.queue = rd_kafka_queue_get_consumer(kafka.client);
	rd_kafka_queue_io_event_enable(kafka.queue, kafka.pipe[1], "1", 1);
	fluct_metadata_begin(kafka.client, topics);
}

pgsocket
fluct_kafka_socket(void)
{
	return kafka.pipe[0];
}

void
fluct_kafka_drain_socket(void)
{
	char		waste[64];

	while (read(kafka.pipe[0], waste, sizeof(waste)) > 0);
}

/* ----- queries ----- */

/*
 * Serves the callbacks, so that the trouble behind a time-out is known.  Once
 * messages may be in the queue, fluct_kafka_poll does that.
 */
static void
serve_callbacks(void)
{
	if (kafka.ends == NULL)
		(void) rd_kafka_queue_poll_callback(kafka.queue, 0);
}

int
fluct_kafka_places(FluctPlace **places)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t error;

	error = fluct_metadata_ask(kafka.client, kafka.topics, &metadata,
							   CALL_TIMEOUT);
	serve_callbacks();
	return fluct_metadata_take(error, kafka.topics, metadata, places);
}

char *
fluct_kafka_cluster(void)
{
	char	   *answer = rd_kafka_clusterid(kafka.client, CALL_TIMEOUT);
	char		id[128];

	if (answer == NULL)
		return NULL;
	strlcpy(id, answer, sizeof(id));
	rd_kafka_mem_free(kafka.client, answer);
	return pstrdup(id);
}

int64
fluct_kafka_retention(void)
{
	/* each topic has its own, and only one is asked for */
	if (fluct_topics_are_many(kafka.topics))
		return FLUCT_RETENTION_UNKNOWN;
	return fluct_retention_look(kafka.client, kafka.topics);
}

bool
fluct_kafka_offsets(FluctOffset *offsets, int count)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t error;

	list = rd_kafka_topic_partition_list_new(count);
	for (int i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, offsets[i].topic,
										  offsets[i].partition)->offset =
			offsets[i].at;
	error = rd_kafka_offsets_for_times(kafka.client, list, CALL_TIMEOUT);
	for (int i = 0; i < count; i++)
	{
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR && list->elems[i].err)
			error = list->elems[i].err;
		offsets[i].offset = list->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	serve_callbacks();
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR && fluct_kafka_trouble()->reason[0] == '\0')
		fluct_trouble_note(error, NULL);
	return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ----- positions ----- */

static rd_kafka_topic_partition_list_t *
make_list(const FluctPlace *places, const int64 *offsets, int count)
{
	rd_kafka_topic_partition_list_t *list;

	list = rd_kafka_topic_partition_list_new(count);
	for (int i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, places[i].topic,
										  places[i].partition)->offset = offsets[i];
	return list;
}

void
fluct_kafka_assign(const FluctPlace *places, const int64 *offsets, int count)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t error;

	forget_assigned();
	kafka.assigned = MemoryContextAlloc(TopMemoryContext,
										sizeof(FluctPlace) * (count + 1));
	kafka.ends = MemoryContextAlloc(TopMemoryContext,
									sizeof(int64) * (count + 1));
	kafka.nassigned = count;
	kafka.heard = false;
	for (int i = 0; i < count; i++)
	{
		kafka.assigned[i] = places[i];
		kafka.ends[i] = -1;
	}
	fluct_trouble_clear_doubt();
	list = make_list(places, offsets, count);
	fluct_refill_begin(list);
	error = rd_kafka_assign(kafka.client, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("could not assign the partitions of topic \"%s\"",
						kafka.topics),
				 errdetail("%s", rd_kafka_err2str(error))));
}

/*
 * The place in kafka.assigned, or -1.  It is mostly the one before or the one
 * after it.
 */
static int
find_assigned(const char *topic, int32 partition)
{
	static int	last = 0;

	for (int i = 0; i < kafka.nassigned; i++)
	{
		int			at = (last + i) % kafka.nassigned;
		const FluctPlace *place = &kafka.assigned[at];

		if (place->partition == partition &&
			(place->topic == topic || strcmp(place->topic, topic) == 0))
			return last = at;
	}
	return -1;
}

/*
 * Mirrors the positions to the group, for dashboards of other tools.  A commit
 * waits for the group's coordinator to be found as long as a session may last,
 * and until then the client cannot be destroyed (45 s, measured); so a session
 * is short.  Nothing else here depends on it.
 */
void
fluct_kafka_mirror(const FluctPlace *places, const int64 *offsets, int count)
{
	rd_kafka_topic_partition_list_t *list;

	if (fluct_trouble_group_refused())
	{
		if (!kafka.group_refusal_said)
			ereport(LOG,
					(errmsg("Kafka refuses the group of the stream, so its positions are not shown there"),
					 errhint("Allow READ on the group, for dashboards of lag; the stream itself does not need it.")));
		kafka.group_refusal_said = true;
		return;
	}
	list = make_list(places, offsets, count);
	(void) rd_kafka_commit(kafka.client, list, 1);
	rd_kafka_topic_partition_list_destroy(list);
}

bool
fluct_kafka_heard(void)
{
	return kafka.heard;
}

int64
fluct_kafka_end_reached(const char *topic, int32 partition)
{
	int			at = find_assigned(topic, partition);

	return at >= 0 ? kafka.ends[at] : -1;
}

bool
fluct_kafka_log(const char *topic, int32 partition, int64 *start, int64 *end)
{
	return rd_kafka_get_watermark_offsets(kafka.client, topic, partition,
										  start, end) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		*start >= 0 && *end >= 0;
}

/* ----- messages ----- */

/* An event that is not a message: an end reached, or an error. */
static void
take_event(const rd_kafka_message_t *event)
{
	if (event->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
	{
		int			at = find_assigned(rd_kafka_topic_name(event->rkt),
									   event->partition);

		if (at >= 0)
			kafka.ends[at] = event->offset;
		kafka.heard = true;
		return;
	}
	fluct_trouble_note(event->err, rd_kafka_message_errstr(event));
	if (event->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
		fluct_trouble_note_loss(event->partition);
}

/* Copies the messages and destroys them; -1 when there is no memory. */
static int
take_all(rd_kafka_message_t **arrived, int n, FluctMessage *messages)
{
	FluctHeaders headers[POLL_AT_ONCE];
	size_t		room = 0;
	char	   *to;
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		if (!arrived[i]->err)
			room += fluct_message_room(arrived[i], &headers[i]);
	}
	to = MemoryContextAllocExtended(CurrentMemoryContext, room + 1,
									MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	for (int i = 0; i < n; i++)
	{
		int			at = -1;

		if (arrived[i]->err)
			take_event(arrived[i]);
		else
			at = find_assigned(rd_kafka_topic_name(arrived[i]->rkt),
							   arrived[i]->partition);
		if (at >= 0 && to)
		{
			to = fluct_message_copy(arrived[i], &headers[i], &messages[count],
									to);
			kafka.size = fluct_message_bytes(&messages[count]);
			messages[count++].topic = kafka.assigned[at].topic;
		}
		kafka.heard = kafka.heard || count > 0;
		rd_kafka_message_destroy(arrived[i]);
	}
	return to ? count : -1;
}

int
fluct_kafka_poll(FluctMessage *messages, int max)
{
	rd_kafka_message_t *arrived[POLL_AT_ONCE];
	ssize_t		n;
	int			count = 0;

	/* events alone are no reason to stop: only an empty queue is */
	while (count == 0)
	{
		fluct_refill_look(kafka.client, kafka.queue, kafka.size);
		n = rd_kafka_consume_batch_queue(kafka.queue, 0, arrived,
										 Min(max, POLL_AT_ONCE));
		if (n <= 0)
			break;
		count = take_all(arrived, (int) n, messages);
		if (count < 0)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("Failed on copying messages from Kafka.")));
	}
	return count;
}
