/*-------------------------------------------------------------------------
 *
 * trouble.c
 *	  What went wrong last with the brokers.
 *
 * The callbacks run in our own thread, inside the calls of consumer.c.  They
 * only fill a struct, because throwing through librdkafka's frames would leave
 * its locks taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "base/text.h"
#include "kafka/resolver.h"
#include "kafka/trouble.h"

/* What is known of the one client of this process. */
typedef struct Known
{
	FluctTrouble trouble;
	FluctTrouble cause;			/* of no connection; librdkafka repeats it
								 * only after 30 s */
	char		connection[192];	/* what was last said of one */
	bool		doubt;			/* see fluct_kafka_in_doubt */
	bool		group_refused;	/* by ACLs; only the mirror needs it */
	bool		old_scram;		/* see fluct_kafka_has_old_scram */
} Known;

static Known known;

void
fluct_trouble_begin(bool old_scram)
{
	fluct_kafka_clear_trouble();
	fluct_trouble_connected();
	known.group_refused = false;
	known.old_scram = old_scram;
}

void
fluct_trouble_connected(void)
{
	known.cause.reason[0] = '\0';
}

void
fluct_trouble_clear_doubt(void)
{
	known.doubt = false;
}

bool
fluct_kafka_in_doubt(void)
{
	return known.doubt;
}

bool
fluct_kafka_has_old_scram(void)
{
	return known.old_scram;
}

bool
fluct_trouble_group_refused(void)
{
	return known.group_refused;
}

static const char *
reason_of(rd_kafka_resp_err_t error)
{
	switch (error)
	{
		case RD_KAFKA_RESP_ERR__RESOLVE:
			return "dns_failure";
		case RD_KAFKA_RESP_ERR__SSL:
			return "tls_failure";
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
			return "authentication_failed";
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
			return "authorization_failed";
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return "unknown_topic";
		case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
		case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
			return "data_loss";
			/* of zstd: more than receive.message.max.bytes unpacked */
		case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
			return "message_too_large";
		default:
			return "broker_unreachable";
	}
}

/*
 * The resolver gives no address of a broker that is not allowed, and
 * librdkafka takes that for a name that is not known.
 */
static bool
is_refused(int error, const char *said, char *detail, size_t size)
{
	FluctBroker broker;

	if (error != RD_KAFKA_RESP_ERR__RESOLVE || said == NULL ||
		!fluct_resolver_refused(&broker) || strstr(said, broker.host) == NULL)
		return false;
	snprintf(detail, size, "broker %s:%d is not in fluct.allowed_brokers",
			 broker.host, broker.port);
	return true;
}

/*
 * librdkafka ends what it says in "(after 301ms in state AUTH_REQ, 1 identical
 * error(s) suppressed)", which is another text each time.
 */
static void
cut_timing(char *detail)
{
	char	   *timing = strstr(detail, " (after ");

	if (timing != NULL && strstr(timing, "ms in state ") != NULL)
		*timing = '\0';
}

/*
 * A specific reason is not replaced by the unreachable broker that follows
 * from it, whose detail is what was last said about a connection.
 */
void
fluct_trouble_note(int error, const char *detail)
{
	const char *reason = reason_of((rd_kafka_resp_err_t) error);
	FluctTrouble *trouble = &known.trouble;
	bool		unreachable = strcmp(reason, "broker_unreachable") == 0;
	char		refused[FLUCT_BROKER_LEN + 64];

	if (is_refused(error, detail, refused, sizeof(refused)))
	{
		reason = "broker_not_allowed";
		detail = refused;
	}
	if (error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
	{
		known.group_refused = true;
		return;
	}
	if (unreachable && trouble->reason[0] != '\0')
		return;
	if (unreachable && known.cause.reason[0] != '\0')
	{
		*trouble = known.cause;
		return;
	}
	if (detail == NULL || error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		detail = unreachable && known.connection[0] ? known.connection :
			rd_kafka_err2str((rd_kafka_resp_err_t) error);
	strlcpy(trouble->reason, reason, sizeof(trouble->reason));
	fluct_text_printable(trouble->detail, sizeof(trouble->detail), detail);
	cut_timing(trouble->detail);
	if (known.old_scram && strcmp(reason, "authentication_failed") == 0)
		snprintf(trouble->detail, sizeof(trouble->detail),
				 "librdkafka before 2.6.1, and this is %s, cannot log in to Kafka 4 by SCRAM: use a newer one, or PLAIN over TLS",
				 rd_kafka_version_str());
	trouble->at = GetCurrentTimestamp();
	if (strcmp(reason, "unknown_topic") == 0)
		known.doubt = true;
	if (error == RD_KAFKA_RESP_ERR__RESOLVE ||
		error == RD_KAFKA_RESP_ERR__SSL ||
		error == RD_KAFKA_RESP_ERR__AUTHENTICATION)
		known.cause = *trouble;
}

/*
 * Whether the other side hung up on a TLS handshake, as a listener that has no
 * TLS does.  From 2.8 on librdkafka calls that a transport error; its texts
 * differ except for these words.  A handshake that times out is another thing.
 */
static bool
hung_up_on_tls(const char *reason)
{
	return strstr(reason, "Disconnected") != NULL &&
		strstr(reason, "in state SSL_HANDSHAKE") != NULL;
}

void
fluct_trouble_on_error(rd_kafka_t *client, int error, const char *reason, void *opaque)
{
	if (error == RD_KAFKA_RESP_ERR__TRANSPORT && hung_up_on_tls(reason))
		error = RD_KAFKA_RESP_ERR__SSL;
	/* one broker of several may fail; all of them are another event */
	if (error == RD_KAFKA_RESP_ERR__TRANSPORT ||
		error == RD_KAFKA_RESP_ERR__TIMED_OUT)
	{
		strlcpy(known.connection, reason, sizeof(known.connection));
		if (strstr(reason, "in state UP"))
			known.doubt = true;
		known.cause.reason[0] = '\0';
	}
	else
		fluct_trouble_note(error, reason);
}

/*
 * Two things are only logged: a response above receive.message.max.bytes,
 * and (with debug=topic) that a broker does not know or lead a partition.
 */
void
fluct_trouble_on_log(const rd_kafka_t *client, int level, const char *facility,
					 const char *line)
{
	if (strcmp(facility, "BROKERUA") == 0)
		known.doubt = true;
	if (strstr(line, "Invalid response size") == NULL)
		return;
	fluct_trouble_note(RD_KAFKA_RESP_ERR__BAD_MSG, line);
	strlcpy(known.trouble.reason, "message_too_large",
			sizeof(known.trouble.reason));
}

const FluctTrouble *
fluct_kafka_trouble(void)
{
	return &known.trouble;
}

void
fluct_kafka_clear_trouble(void)
{
	memset(&known.trouble, 0, sizeof(known.trouble));
	known.trouble.lost_partition = -1;
}

void
fluct_trouble_note_loss(int partition)
{
	known.trouble.lost_partition = partition;
}
