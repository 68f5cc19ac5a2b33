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
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bookkeeping/offsets.h"
#include "bookkeeping/streams.h"
#include "inquiry/check.h"
#include "inquiry/topic.h"
#include "kafka/consumer.h"
#include "process/worker.h"

#define OLDEST_TIME		1000	/* ms for the oldest messages to arrive */

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

	fluct_look_put_row(fields, lengthof(fields));
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
hint_for(const char *reason)
{
	const FluctStream *stream = fluct_subject.stream;

	if (strcmp(reason, "dns_failure") == 0)
		return psprintf("Look at bootstrap_servers of server \"%s\", and at the resolver of this machine.",
						stream->server);
	if (strcmp(reason, "tls_failure") == 0)
		return psprintf("Look at ssl_ca_pem and security_protocol of server \"%s\", and at the certificates.",
						stream->server);
	if (strcmp(reason, "authentication_failed") == 0 && fluct_kafka_has_old_scram())
		return "Use a newer librdkafka, or PLAIN over TLS; with Kafka 3, look at user and password.";
	if (strcmp(reason, "authentication_failed") == 0)
		return psprintf("Look at sasl_username and sasl_password in the user mapping of role \"%s\" for server \"%s\", and at sasl_mechanism of the server.",
						stream->owner, stream->server);
	if (strcmp(reason, "authorization_failed") == 0)
		return psprintf("Allow READ on topic \"%s\" and on group \"%s\".",
						stream->topic, fluct_subject.client.group);
	if (strcmp(reason, "unknown_topic") == 0)
		return "A stream makes no topic: create it in Kafka, or drop the stream.";
	return psprintf("Look at bootstrap_servers and security_protocol of server \"%s\"; does a broker run there, and does a firewall let this machine through?",
					stream->server);
}

/* What to do where the positions are those of another topic. */
static const char *
hint_to_seek(void)
{
	const char *stream = fluct_subject.stream->name;

	return psprintf("If the topic was made anew: SELECT * FROM fluct.seek_stream('%s', 'earliest', force => true); and then SELECT fluct.start_stream('%s');",
					stream, stream);
}

/* The cluster in which the stream stands, if it is not the one that answers. */
static const char *
other_cluster(const char *here)
{
	MemoryContext context = CurrentMemoryContext;
	FluctPosition *positions;
	int			count;

	fluct_worker_begin();
	positions = fluct_offsets_read(fluct_subject.stream->name, &count, context);
	fluct_worker_commit();
	for (int i = 0; here && i < count; i++)
		if (positions[i].cluster && strcmp(positions[i].cluster, here) != 0)
			return positions[i].cluster;
	return NULL;
}

static bool
check_cluster(void)
{
	const char *here = fluct_kafka_cluster();
	const char *there = other_cluster(here);

	if (there == NULL)
		return true;
	put_item(TOPIC, "fail",
			 psprintf("cluster_changed: server \"%s\" leads to cluster %s, and the stream stands in cluster %s",
					  fluct_subject.stream->server, here, there),
			 hint_to_seek());
	skip_from(TOPIC + 1);
	return false;
}

/* An item that is good, up to the topic. */
static void
put_good(CheckItem item)
{
	const FluctClient *client = &fluct_subject.client;
	const char *protocol = client->protocol ? client->protocol : "plaintext";
	bool		sasl = strncmp(protocol, "sasl", 4) == 0;

	if (item == DNS)
		put_item(item, "ok", client->brokers, NULL);
	else if (item == BROKER)
		put_item(item, "ok", psprintf("asked with librdkafka %s",
									  fluct_kafka_version_name()), NULL);
	else if (item == TLS)
		put_item(item, strstr(protocol, "ssl") ? "ok" : "skipped", protocol,
				 NULL);
	else if (item == LOGIN)
		put_item(item, sasl ? "ok" : "skipped",
				 sasl ? client->mechanism : protocol, NULL);
	else if (item == TOPIC)
		put_item(item, "ok", psprintf("topic %s, group id %s",
									  fluct_subject.stream->topic, client->group), NULL);
}

static void
put_trouble(CheckItem item, const char *hint)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();

	put_item(item, "fail", psprintf("%s: %s", trouble->reason, trouble->detail),
			 hint ? hint : hint_for(trouble->reason));
	skip_from(item + 1);
}

/* Opens the client; an ERROR in the options is the login's. */
static bool
open_client(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool good = false;

	PG_TRY();
	{
		fluct_client_open(fluct_subject.stream, fluct_subject.owner, &fluct_subject.client);
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
check_partitions(int gone)
{
	const FluctStream *stream = fluct_subject.stream;
	int			share = stream->npartitions ? stream->npartitions :
	fluct_subject.npartitions;

	for (int i = 0; i < stream->npartitions; i++)
		if (stream->partitions[i] >= fluct_subject.npartitions)
		{
			put_item(PARTITIONS, "fail",
					 psprintf("the stream is to consume partition %d, and the topic has %d",
							  stream->partitions[i], fluct_subject.npartitions), NULL);
			return false;
		}
	if (gone >= 0)
		put_item(PARTITIONS, "fail",
				 psprintf("topic_changed: the stream stands in partition %d, and the topic has %d",
						  gone, fluct_subject.npartitions),
				 hint_to_seek());
	else if (stream->workers > share)
		put_item(PARTITIONS, "warn",
				 psprintf("%d, fewer than the %d workers", share, stream->workers),
				 psprintf("SELECT fluct.alter_stream('%s', workers => %d);",
						  stream->name, share));
	else
		put_item(PARTITIONS, "ok", stream->npartitions ?
				 psprintf("%d of %d", share, fluct_subject.npartitions) :
				 psprintf("%d", share), NULL);
	return gone < 0;
}

/* Since when Kafka holds messages, in words. */
static const char *
describe_retention(void)
{
	int64	   *from = palloc(sizeof(int64) * fluct_subject.npartitions);
	int64		oldest;
	bool		all;

	for (int i = 0; i < fluct_subject.npartitions; i++)
		from[i] = fluct_subject.next[i] < 0 ? -1 :
			fluct_subject.begin[i].offset;
	oldest = fluct_look_oldest(from, OLDEST_TIME, &all);
	if (oldest < 0)
		return "nothing that is wanted is gone";
	return psprintf("Kafka holds messages since %s%s",
					timestamptz_to_str(time_t_to_timestamptz(oldest / 1000)),
					all ? "" : " or earlier");
}

static void
check_retention(void)
{
	int64		lost = 0;

	for (int i = 0; i < fluct_subject.npartitions; i++)
	{
		if (fluct_subject.next[i] > fluct_subject.end[i].offset && !fluct_subject.is_new)
		{
			put_item(RETENTION, "fail",
					 psprintf("topic_changed: partition %d: offset " INT64_FORMAT " is wanted, and Kafka's log ends at " INT64_FORMAT,
							  i, fluct_subject.next[i], fluct_subject.end[i].offset),
					 hint_to_seek());
			return;
		}
		if (fluct_subject.next[i] >= 0 && fluct_subject.next[i] < fluct_subject.begin[i].offset)
			lost += fluct_subject.begin[i].offset - fluct_subject.next[i];
	}
	if (lost > 0)
	{
		put_item(RETENTION, fluct_subject.stream->skip_data_loss ? "warn" : "fail",
				 psprintf("data_loss: Kafka has deleted " INT64_FORMAT " offsets that were not read yet",
						  lost),
				 fluct_subject.stream->skip_data_loss ?
				 "The stream goes past them, and leaves a row in fluct.gaps." :
				 psprintf("SELECT fluct.alter_stream('%s', on_data_loss => 'skip'); goes past them.",
						  fluct_subject.stream->name));
		return;
	}
	put_item(RETENTION, "ok", describe_retention(), NULL);
}

static void
check_waiting(void)
{
	int64		waiting = 0;

	for (int i = 0; i < fluct_subject.npartitions; i++)
		if (fluct_subject.next[i] >= 0)
			waiting += Max(0, fluct_subject.end[i].offset -
						   Max(fluct_subject.next[i], fluct_subject.begin[i].offset));
	put_item(WAITING, "ok", psprintf(INT64_FORMAT "%s", waiting,
									 fluct_subject.is_new ? ", from start_at on" : ""),
			 NULL);
}

void
fluct_check_answer(void)
{
	CheckItem	failed = TOPIC + 1;
	int			gone;

	if (!open_client())
		return;
	if (!fluct_look_partitions())
		failed = item_of(fluct_kafka_trouble()->reason);
	for (CheckItem i = DNS; i < TOPIC && i < failed; i++)
		put_good(i);
	if (failed <= TOPIC)
	{
		put_trouble(failed, NULL);
		return;
	}
	if (!check_cluster())
		return;
	put_good(TOPIC);
	if (!fluct_look_log() || !fluct_look_positions(NULL, &gone))
	{
		put_trouble(PARTITIONS, "The bootstrap servers answer, and a partition's leader does not: look at advertised.listeners of the brokers.");
		return;
	}
	if (!check_partitions(gone))
	{
		skip_from(RETENTION);
		return;
	}
	check_retention();
	check_waiting();
}
