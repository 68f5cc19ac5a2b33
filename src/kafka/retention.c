/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  How long Kafka keeps the messages of a topic.
 *
 * It is asked of the broker's configuration, and only a warning depends on it
 * (fluct.health).  So the answer is never waited for, and a refusal (Kafka's
 * ACLs may deny DESCRIBE_CONFIGS) is not reported: the retention is then not
 * known.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "kafka/retention.h"

#define ASK_INTERVAL		600000	/* ms: it may be changed in Kafka */
#define ANSWER_TIMEOUT		10000	/* ms */

static rd_kafka_queue_t *answers = NULL;
static bool asking = false;
static TimestampTz asked_at = 0;
static int64 retention = FLUCT_RETENTION_UNKNOWN;

void
fluct_retention_end(void)
{
	if (answers)
		rd_kafka_queue_destroy(answers);
	answers = NULL;
	asking = false;
	asked_at = 0;
	retention = FLUCT_RETENTION_UNKNOWN;
}

static void
ask(rd_kafka_t *client, const char *topic)
{
	rd_kafka_ConfigResource_t *resource;
	rd_kafka_AdminOptions_t *options;

	if (answers == NULL)
		answers = rd_kafka_queue_new(client);
	resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	options = rd_kafka_AdminOptions_new(client,
										RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	(void) rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_TIMEOUT,
													 NULL, 0);
	rd_kafka_DescribeConfigs(client, &resource, 1, options, answers);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ConfigResource_destroy(resource);
	asking = true;
	asked_at = GetCurrentTimestamp();
}

static int64
retention_of(const rd_kafka_ConfigResource_t *resource)
{
	const rd_kafka_ConfigEntry_t **entries;
	size_t		count;
	int64		ms = FLUCT_RETENTION_UNKNOWN;
	bool		deletes = false;

	entries = rd_kafka_ConfigResource_configs(resource, &count);
	for (size_t i = 0; i < count; i++)
	{
		const char *name = rd_kafka_ConfigEntry_name(entries[i]);
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);

		if (value && strcmp(name, "retention.ms") == 0)
			ms = strtoll(value, NULL, 10);
		if (value && strcmp(name, "cleanup.policy") == 0)
			deletes = strstr(value, "delete") != NULL;
	}
	if (ms == FLUCT_RETENTION_UNKNOWN)
		return ms;
	return deletes && ms >= 0 ? ms : FLUCT_RETENTION_FOREVER;
}

static void
take(rd_kafka_event_t *event)
{
	const rd_kafka_DescribeConfigs_result_t *result =
	rd_kafka_event_DescribeConfigs_result(event);
	const rd_kafka_ConfigResource_t **resources;
	size_t		count = 0;

	asking = false;
	if (result == NULL || rd_kafka_event_error(event))
		return;
	resources = rd_kafka_DescribeConfigs_result_resources(result, &count);
	if (count == 1 && rd_kafka_ConfigResource_error(resources[0]) ==
		RD_KAFKA_RESP_ERR_NO_ERROR)
		retention = retention_of(resources[0]);
}

int64
fluct_retention_look(rd_kafka_t *client, const char *topic)
{
	rd_kafka_event_t *event;

	if (!asking &&
		(asked_at == 0 ||
		 TimestampDifferenceExceeds(asked_at, GetCurrentTimestamp(),
									ASK_INTERVAL)))
		ask(client, topic);
	if (asking && (event = rd_kafka_queue_poll(answers, 0)) != NULL)
	{
		take(event);
		rd_kafka_event_destroy(event);
	}
	return retention;
}
