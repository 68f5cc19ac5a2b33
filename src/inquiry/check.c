/*-------------------------------------------------------------------------
 *
 * check.c
 *	  check_stream: whether a stream would find all that it needs.
 *
 * The items come in the order in which a connection is made, and what follows
 * a failure is skipped: its own failure would only repeat the first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bookkeeping/offsets.h"
#include "bookkeeping/streams.h"
#include "inquiry/answer.h"
#include "inquiry/check.h"
#include "inquiry/preview.h"
#include "inquiry/topic.h"
#include "kafka/consumer.h"
#include "process/worker.h"

#define OLDEST_TIME		1000	/* ms for the oldest messages to arrive */
#define TOPICS_NAMED	5
#define SAMPLE			100		/* messages at which the mapping is tried */

/* The items that Kafka answers, in their order. */
typedef enum CheckItem
{
	DNS, BROKER, TLS, LOGIN, TOPIC, PARTITIONS, RETENTION, WAITING, ITEMS
} CheckItem;

static const char *const item_names[ITEMS] = {
	"dns", "broker", "tls", "login", "topic", "partitions", "retention",
	"messages waiting"
};

static void
put_item(CheckItem item, const char *status, const char *detail, const char *hint)
{
	const char *fields[4] = {item_names[item], status, detail, hint};

	fluct_answer_put_row(fields, lengthof(fields));
}

static void
skip_from(CheckItem item)
{
	for (; item < ITEMS; item++)
		put_item(item, "skipped", NULL, NULL);
}

/* Which item a reason of the client's trouble belongs to. */
static CheckItem
item_of(const char *reason)
{
	static const struct
	{
		const char *reason;
		CheckItem	item;
	}			known[] =
	{
		{"dns_failure", DNS},
		{"tls_failure", TLS},
		{"authentication_failed", LOGIN},
		{"authorization_failed", TOPIC},
		{"unknown_topic", TOPIC},
	};

	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(known[i].reason, reason) == 0)
			return known[i].item;
	return BROKER;
}

static const char *
hint_for(const FluctTopic *topic, const char *reason)
{
	const FluctStream *stream = topic->stream;

	if (strcmp(reason, "dns_failure") == 0)
		return psprintf("Check bootstrap_servers of server \"%s\", and name resolution on this machine.",
						stream->server);
	if (strcmp(reason, "tls_failure") == 0)
		return psprintf("Check ssl_ca_pem and security_protocol of server \"%s\", and the certificates.",
						stream->server);
	if (strcmp(reason, "authentication_failed") == 0 && fluct_kafka_has_old_scram())
		return "Use a newer librdkafka, or PLAIN over TLS; with Kafka 3, check user and password.";
	if (strcmp(reason, "authentication_failed") == 0)
		return psprintf("Check sasl_username and sasl_password in the user mapping of role \"%s\" for server \"%s\", and sasl_mechanism of the server.",
						stream->owner, stream->server);
	if (strcmp(reason, "authorization_failed") == 0)
		return psprintf("Allow READ on topic \"%s\" and on group \"%s\".",
						stream->topic, topic->client.group);
	if (strcmp(reason, "broker_not_allowed") == 0)
		return "Let the administrator add the broker to fluct.allowed_brokers, or check advertised.listeners of the brokers.";
	if (strcmp(reason, "unknown_topic") == 0 &&
		fluct_topics_is_pattern(stream->topic))
		return psprintf("The stream waits for a topic that matches. Topics that the user may not describe are not seen, and those of Kafka's own, such as __consumer_offsets, only where the pattern begins with ^__. SELECT fluct.alter_stream('%s', topic => '...'); changes the pattern.",
						stream->name);
	if (strcmp(reason, "unknown_topic") == 0)
		return "fluct does not create topics: create it in Kafka, or drop the stream.";
	return psprintf("Check bootstrap_servers and security_protocol of server \"%s\", that a broker is running there, and that no firewall is between.",
					stream->server);
}

/*
 * What to do if the positions are those of another topic, of one of several
 * or, with NULL, of all.
 */
static const char *
hint_to_seek(const FluctTopic *topic, const char *name)
{
	const char *stream = topic->stream->name;
	const char *only = name && fluct_topics_are_many(topic->stream->topic) ?
	psprintf(", topic => '%s'", name) : "";

	return psprintf("If the topic was recreated: SELECT * FROM fluct.seek_stream('%s', 'earliest'%s, force => true); and then SELECT fluct.start_stream('%s');",
					stream, only, stream);
}

/* The cluster of the stream's positions, if it is not the one that answers. */
static const char *
other_cluster(const FluctTopic *topic, const char *here)
{
	MemoryContext context = CurrentMemoryContext;
	FluctPosition *positions;
	int			count;

	fluct_worker_begin();
	positions = fluct_offsets_read(topic->stream->name, &count, context);
	fluct_worker_commit();
	for (int i = 0; here && i < count; i++)
		if (positions[i].cluster && strcmp(positions[i].cluster, here) != 0)
			return positions[i].cluster;
	return NULL;
}

static bool
check_cluster(const FluctTopic *topic)
{
	const char *here = fluct_kafka_cluster();
	const char *there = other_cluster(topic, here);

	if (there == NULL)
		return true;
	put_item(TOPIC, "fail",
			 psprintf("cluster_changed: server \"%s\" leads to cluster %s, but the stream's position is in cluster %s",
					  topic->stream->server, here, there),
			 hint_to_seek(topic, NULL));
	skip_from(TOPIC + 1);
	return false;
}

/* The topic, or how many there are and the first of them. */
static char *
describe_topics(const FluctTopic *topic)
{
	StringInfoData out;
	const char *last = NULL;
	int			named = 0;

	if (!fluct_topics_are_many(topic->stream->topic))
		return psprintf("topic %s", topic->stream->topic);
	initStringInfo(&out);
	appendStringInfo(&out, "%d topics: ", fluct_topics_count(topic->places,
															 topic->nplaces));
	for (int i = 0; i < topic->nplaces && named <= TOPICS_NAMED; i++)
		if (topic->places[i].topic != last)
		{
			last = topic->places[i].topic;
			appendStringInfo(&out, "%s%s", named > 0 ? ", " : "",
							 named < TOPICS_NAMED ? last : "...");
			named++;
		}
	return out.data;
}

static bool
check_topics(const FluctTopic *topic)
{
	int			topics = fluct_topics_count(topic->places, topic->nplaces);

	if (topics <= FLUCT_MOST_TOPICS)
		return true;
	put_item(TOPIC, "fail",
			 psprintf("too_many_topics: %d match, and a stream consumes at most %d",
					  topics, FLUCT_MOST_TOPICS),
			 "Use a narrower pattern, or several streams.");
	skip_from(TOPIC + 1);
	return false;
}

/* An item that is good, up to the topic. */
static void
put_good(const FluctTopic *topic, CheckItem item)
{
	const FluctClient *client = &topic->client;
	const char *protocol = client->protocol ? client->protocol : "plaintext";
	bool		sasl = strncmp(protocol, "sasl", 4) == 0;

	if (item == DNS)
		put_item(item, "ok", client->brokers, NULL);
	else if (item == BROKER)
		put_item(item, "ok", psprintf("queried with librdkafka %s",
									  fluct_kafka_version_name()), NULL);
	else if (item == TLS)
		put_item(item, strstr(protocol, "ssl") ? "ok" : "skipped", protocol,
				 NULL);
	else if (item == LOGIN)
		put_item(item, sasl ? "ok" : "skipped",
				 sasl ? client->mechanism : protocol, NULL);
	else if (item == TOPIC)
		put_item(item, "ok", psprintf("%s, group id %s", describe_topics(topic),
									  client->group), NULL);
}

static void
put_trouble(const FluctTopic *topic, CheckItem item, const char *hint)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();

	put_item(item, "fail", psprintf("%s: %s", trouble->reason, trouble->detail),
			 hint ? hint : hint_for(topic, trouble->reason));
	skip_from(item + 1);
}

/* Opens the client; an ERROR in the options is the login's. */
static bool
open_client(FluctTopic *topic)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool good = false;

	PG_TRY();
	{
		fluct_client_open(topic->stream, topic->owner, &topic->client);
		good = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		for (CheckItem i = DNS; i < LOGIN; i++)
			put_item(i, "skipped", NULL, NULL);
		put_item(LOGIN, "fail", error->detail ?
				 psprintf("%s: %s", error->message, error->detail) :
				 error->message, error->hint);
		skip_from(LOGIN + 1);
	}
	PG_END_TRY();
	return good;
}

static bool
check_partitions(const FluctTopic *topic, const FluctPlace *gone)
{
	const FluctStream *stream = topic->stream;
	int			topics = fluct_topics_count(topic->places, topic->nplaces);
	int			share = 0;

	for (int i = 0; i < topic->nplaces; i++)
		share += topic->next[i] >= 0;
	if (gone->topic)
		put_item(PARTITIONS, "fail",
				 psprintf("topic_changed: the stream has a position in partition %d of topic \"%s\", which does not exist",
						  gone->partition, gone->topic),
				 hint_to_seek(topic, gone->topic));
	else if (topic->unknown)
		put_item(PARTITIONS, "fail", topic->unknown,
				 psprintf("Add the partition in Kafka, or correct it: SELECT fluct.alter_stream('%s', partitions => ..., start_at => ...);",
						  stream->name));
	else if (stream->workers > Max(share, 1))
		put_item(PARTITIONS, "warn",
				 psprintf("%d, fewer than the %d workers", share, stream->workers),
				 psprintf("SELECT fluct.alter_stream('%s', workers => %d);",
						  stream->name, share));
	else
		put_item(PARTITIONS, "ok",
				 psprintf("%d%s%s", share, stream->partitions ?
						  psprintf(" of %d", topic->nplaces) : "",
						  topics > 1 ? psprintf(" in %d topics", topics) : ""),
				 NULL);
	return gone->topic == NULL && topic->unknown == NULL;
}

/* How old Kafka's oldest message is, in words. */
static const char *
describe_retention(const FluctTopic *topic)
{
	int64	   *from = palloc(sizeof(int64) * topic->nplaces);
	int64		oldest;
	bool		all;

	for (int i = 0; i < topic->nplaces; i++)
		from[i] = topic->next[i] < 0 ? -1 :
			topic->begin[i].offset;
	oldest = fluct_topic_oldest(topic, from, OLDEST_TIME, &all);
	if (oldest < 0)
		return "nothing that is needed has been deleted";
	return psprintf("oldest message in Kafka: %s%s",
					timestamptz_to_str(time_t_to_timestamptz(oldest / 1000)),
					all ? "" : " or earlier");
}

static void
check_retention(const FluctTopic *topic)
{
	int64		lost = 0;

	for (int i = 0; i < topic->nplaces; i++)
	{
		const FluctPlace *place = &topic->places[i];

		if (topic->next[i] > topic->end[i].offset && topic->is_new)
		{
			put_item(RETENTION, "fail",
					 psprintf("unknown_offset: %s: start_at names offset " INT64_FORMAT ", but Kafka's log ends at " INT64_FORMAT,
							  fluct_topics_describe(topic->stream->topic, place->topic,
													place->partition),
							  topic->next[i], topic->end[i].offset),
					 psprintf("SELECT fluct.alter_stream('%s', start_at => ...);",
							  topic->stream->name));
			return;
		}
		if (topic->next[i] > topic->end[i].offset)
		{
			put_item(RETENTION, "fail",
					 psprintf("topic_changed: %s: offset " INT64_FORMAT " is next, but Kafka's log ends at " INT64_FORMAT,
							  fluct_topics_describe(topic->stream->topic, place->topic,
													place->partition),
							  topic->next[i], topic->end[i].offset),
					 hint_to_seek(topic, place->topic));
			return;
		}
		if (topic->next[i] >= 0 && topic->next[i] < topic->begin[i].offset)
			lost += topic->begin[i].offset - topic->next[i];
	}
	if (lost > 0)
	{
		put_item(RETENTION, topic->stream->skip_data_loss ? "warn" : "fail",
				 psprintf("data_loss: Kafka has deleted " INT64_FORMAT " offsets that had not been read yet",
						  lost),
				 topic->stream->skip_data_loss ?
				 "The stream skips them and records a row in fluct.gaps." :
				 psprintf("SELECT fluct.alter_stream('%s', on_data_loss => 'skip'); skips them.",
						  topic->stream->name));
		return;
	}
	put_item(RETENTION, "ok", describe_retention(topic), NULL);
}

/* A mapping that cannot be compiled is the item `columns`. */
static char *
look_for_doubts(FluctTopic *topic, FluctMessage *messages, int count)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *volatile doubts = NULL;

	PG_TRY();
	{
		doubts = fluct_preview_doubts(topic, messages, count);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return doubts;
}

static void
check_waiting(FluctTopic *topic)
{
	FluctMessage *messages = palloc(sizeof(FluctMessage) * SAMPLE);
	int64		waiting = 0;
	int			count;
	char	   *doubts;

	for (int i = 0; i < topic->nplaces; i++)
		if (topic->next[i] >= 0)
			waiting += Max(0, topic->end[i].offset -
						   Max(topic->next[i], topic->begin[i].offset));
	count = waiting > 0 ?
		fluct_topic_read(topic, topic->next, messages, SAMPLE, OLDEST_TIME) : 0;
	doubts = count > 0 ? look_for_doubts(topic, messages, count) : NULL;
	put_item(WAITING, doubts ? "warn" : "ok",
			 psprintf(INT64_FORMAT "%s%s%s", waiting,
					  topic->is_new ? ", from start_at on" : "",
					  doubts ? psprintf("; of the first %d, ", count) : "",
					  doubts ? doubts : ""),
			 doubts ? psprintf("SELECT * FROM fluct.preview_stream('%s'); shows what they become. Are the paths right, and does format name the unit (epoch_s: seconds, epoch_ms: milliseconds)?",
							   topic->stream->name) : NULL);
}

void
fluct_check_answer(FluctTopic *topic)
{
	CheckItem	failed = TOPIC + 1;
	FluctPlace	gone;

	if (!open_client(topic))
		return;
	if (!fluct_topic_places(topic))
		failed = item_of(fluct_kafka_trouble()->reason);
	for (CheckItem i = DNS; i < TOPIC && i < failed; i++)
		put_good(topic, i);
	if (failed <= TOPIC)
	{
		put_trouble(topic, failed, NULL);
		return;
	}
	if (!check_cluster(topic))
		return;
	if (!check_topics(topic))
		return;
	put_good(topic, TOPIC);
	if (!fluct_topic_log(topic) || !fluct_topic_positions(topic, NULL, &gone))
	{
		put_trouble(topic, PARTITIONS,
					strcmp(fluct_kafka_trouble()->reason, "broker_not_allowed") == 0 ? NULL :
					"The bootstrap servers answer, but a partition's leader does not: check advertised.listeners of the brokers.");
		return;
	}
	if (!check_partitions(topic, &gone))
	{
		skip_from(RETENTION);
		return;
	}
	check_retention(topic);
	check_waiting(topic);
}
