/*-------------------------------------------------------------------------
 *
 * kafkactl.c
 *	  Topics and messages for tests: Kafka's Admin API and producer.
 *
 * A call does one thing, waits until the broker shows the result to
 * others, too, and ends; any failure is a line on standard error and exit
 * code 1.  So nothing is ever freed that the end of the process frees.
 * `kafka --help` describes the commands.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_TOPICS	2000		/* of one create-topic */
#define TIMEOUT_MS			30000
#define MAX_HEADERS			512
#define FETCH				1	/* the protocol's number of that request */
#define MAX_MESSAGE_BYTES	"1000000000"

typedef struct Command
{
	const char *name;
	const char *usage;
	int			min_args;
	void		(*run) (const char *broker, int argc, char **argv);
} Command;

/* How to make messages of the input; headers are `name=value`. */
typedef struct Production
{
	int32_t		partition;		/* -1: in turn */
	int32_t		partition_count;
	bool		keyed;
	bool		whole;
	int64_t		times;			/* how often to send the input */
	int64_t		timestamp;		/* 0: now */
	char	   *headers[MAX_HEADERS];
	int			header_count;
	FILE	   *input;
	int64_t		count;			/* of the messages produced so far */
} Production;

static int64_t failed_deliveries;


__attribute__((format(printf, 1, 2), noreturn))
static void
die(const char *format,...)
{
	va_list		args;

	fputs("kafka: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static int64_t
number(const char *digits, const char *what)
{
	char	   *end;
	int64_t		value;

	errno = 0;
	value = strtoll(digits, &end, 10);
	if (errno != 0 || end == digits || *end != '\0' || value < 0)
		die("%s is not a number: \"%s\"", what, digits);
	return value;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Between two looks at something that the broker is about to change. */
static void
pause_briefly(void)
{
	struct timespec pause = {0, 10 * 1000000};

	nanosleep(&pause, NULL);
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		errstr[512];

	if (rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr)) !=
		RD_KAFKA_CONF_OK)
		die("%s", errstr);
}

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void) rk;
	(void) opaque;
	if (message->err && failed_deliveries++ == 0)
		fprintf(stderr, "kafka: not delivered: %s\n",
				rd_kafka_err2str(message->err));
}

/* The library's own lines would repeat what the exit message says. */
static void
be_silent(const rd_kafka_t *rk, int level, const char *facility,
		  const char *text)
{
	(void) rk;
	(void) level;
	(void) facility;
	(void) text;
}

/* A client that can do everything; transactional_id may be NULL. */
static rd_kafka_t *
connect_to(const char *broker, const char *transactional_id)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char		errstr[512];

	set(conf, "bootstrap.servers", broker);
	set(conf, "broker.address.family", "v4");
	set(conf, "reconnect.backoff.ms", "50");
	set(conf, "reconnect.backoff.max.ms", "250");
	set(conf, "compression.codec", "lz4");
	set(conf, "linger.ms", "5");
	set(conf, "enable.idempotence", "true");
	set(conf, "partitioner", "murmur2_random");
	set(conf, "message.max.bytes", MAX_MESSAGE_BYTES);
	set(conf, "queue.buffering.max.kbytes", "1000000");
	if (transactional_id != NULL)
		set(conf, "transactional.id", transactional_id);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_log_cb(conf, be_silent);

	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		die("%s", errstr);
	return rk;
}


/*
 * Looking
 */

/* The number of partitions that have a leader; -1 without an answer. */
static int
count_partitions(rd_kafka_t *rk, const char *topic)
{
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
	const struct rd_kafka_metadata *metadata;
	int			count = 0;

	if (rd_kafka_metadata(rk, 0, rkt, &metadata, 2000) != 0)
		return -1;
	if (metadata->topic_cnt == 1 && metadata->topics[0].err == 0)
	{
		for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
		{
			if (metadata->topics[0].partitions[i].leader >= 0)
				count++;
		}
	}
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(rkt);
	return count;
}

static void
await_partitions(rd_kafka_t *rk, const char *topic, int wanted)
{
	int64_t		deadline = now_ms() + TIMEOUT_MS;

	while (count_partitions(rk, topic) != wanted)
	{
		if (now_ms() > deadline)
			die("topic \"%s\" does not get its %d partitions", topic, wanted);
		pause_briefly();
	}
}

/* Whether the broker answers, and every partition has its leader. */
static bool
is_ready(rd_kafka_t *rk)
{
	const struct rd_kafka_metadata *metadata;
	bool		ready;

	if (rd_kafka_metadata(rk, 1, NULL, &metadata, 500) != 0)
		return false;
	ready = metadata->broker_cnt > 0;
	for (int i = 0; i < metadata->topic_cnt; i++)
	{
		for (int j = 0; j < metadata->topics[i].partition_cnt; j++)
			ready = ready && metadata->topics[i].partitions[j].leader >= 0;
	}
	rd_kafka_metadata_destroy(metadata);
	return ready;
}

static void
wait_ready(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	int64_t		deadline = now_ms() + number(argv[0], "seconds") * 1000;

	(void) argc;
	while (!is_ready(rk))
	{
		if (now_ms() > deadline)
			die("%s does not answer", broker);
		pause_briefly();
	}
}

static void
describe(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	int			count = count_partitions(rk, argv[0]);

	(void) argc;
	if (count < 0)
		die("%s does not answer", broker);
	if (count == 0)
		die("no topic \"%s\"", argv[0]);
	for (int i = 0; i < count; i++)
	{
		int64_t		low;
		int64_t		high;
		rd_kafka_resp_err_t err;

		err = rd_kafka_query_watermark_offsets(rk, argv[0], i, &low, &high,
											   TIMEOUT_MS);
		if (err)
			die("partition %d: %s", i, rd_kafka_err2str(err));
		printf("%d\t%" PRId64 "\t%" PRId64 "\n", i, low, high);
	}
}


/*
 * Changing
 */

/* Waits for an admin request's end; dies of a failure of the whole. */
static rd_kafka_event_t *
await_admin(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * TIMEOUT_MS);

	if (event == NULL)
		die("no answer in time");
	if (rd_kafka_event_error(event))
		die("%s", rd_kafka_event_error_string(event));
	return event;
}

static void
check_topics(const rd_kafka_topic_result_t **topics, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (rd_kafka_topic_result_error(topics[i]))
			die("%s", rd_kafka_topic_result_error_string(topics[i]) ?
				rd_kafka_topic_result_error_string(topics[i]) :
				rd_kafka_err2str(rd_kafka_topic_result_error(topics[i])));
	}
}

/* Splits `name=value` in place and returns the value. */
static char *
split_pair(char *pair)
{
	char	   *equals = strchr(pair, '=');

	if (equals == NULL)
		die("not of the form name=value: \"%s\"", pair);
	*equals = '\0';
	return equals + 1;
}

static void
create_topic(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	int			partitions = (int) number(argv[1], "partitions");
	rd_kafka_NewTopic_t *created[MOST_TOPICS];
	const rd_kafka_topic_result_t **topics;
	const char *last = NULL;
	char		errstr[512];
	size_t		n = 0;
	size_t		count;

	for (char *name = strtok(argv[0], ","); name && n < MOST_TOPICS; name = strtok(NULL, ","))
	{
		last = name;
		created[n] = rd_kafka_NewTopic_new(name, partitions, 1, errstr,
										   sizeof(errstr));
		if (created[n++] == NULL)
			die("%s", errstr);
	}
	for (int i = 2; i < argc; i++)
	{
		char	   *value = split_pair(argv[i]);

		for (size_t t = 0; t < n; t++)
			rd_kafka_NewTopic_set_config(created[t], argv[i], value);
	}
	rd_kafka_CreateTopics(rk, created, n, NULL, queue);
	topics = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(await_admin(queue)),
												 &count);
	check_topics(topics, count);
	await_partitions(rk, last, partitions);
}

static void
add_partitions(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	int			partitions = (int) number(argv[1], "partitions");
	rd_kafka_NewPartitions_t *request;
	const rd_kafka_topic_result_t **topics;
	char		errstr[512];
	size_t		count;

	(void) argc;
	request = rd_kafka_NewPartitions_new(argv[0], (size_t) partitions, errstr,
										 sizeof(errstr));
	if (request == NULL)
		die("%s", errstr);
	rd_kafka_CreatePartitions(rk, &request, 1, NULL, queue);
	topics = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(await_admin(queue)),
													 &count);
	check_topics(topics, count);
	await_partitions(rk, argv[0], partitions);
}

static void
delete_topic(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(argv[0]);
	const rd_kafka_topic_result_t **topics;
	size_t		count;

	(void) argc;
	rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
	topics = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(await_admin(queue)),
												 &count);
	check_topics(topics, count);
	await_partitions(rk, argv[0], 0);
}

/*
 * Topic settings.  This request replaces them all; the incremental one needs
 * librdkafka 2.2.
 */
static void
alter_topic(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_ConfigResource_t *resource;
	const rd_kafka_ConfigResource_t **resources;
	size_t		count;

	resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, argv[0]);
	for (int i = 1; i < argc; i++)
	{
		char	   *value = split_pair(argv[i]);

		rd_kafka_ConfigResource_set_config(resource, argv[i], value);
	}
	rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
	resources = rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(await_admin(queue)),
													   &count);
	if (count == 1 && rd_kafka_ConfigResource_error(resources[0]))
		die("%s", rd_kafka_ConfigResource_error_string(resources[0]));
}

static void
delete_records(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_topic_partition_list_t *before;
	rd_kafka_DeleteRecords_t *request;
	const rd_kafka_topic_partition_list_t *after;

	(void) argc;
	before = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(before, argv[0],
									  (int32_t) number(argv[1], "partition"))->offset =
		number(argv[2], "offset");
	request = rd_kafka_DeleteRecords_new(before);
	rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
	after = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(await_admin(queue)));
	if (after->elems[0].err)
		die("%s", rd_kafka_err2str(after->elems[0].err));
}

/* The right of the user etl to do something, as the Admin API has it. */
static void
name_right(char **argv, rd_kafka_ResourceType_t *type,
		   rd_kafka_AclOperation_t *operation)
{
	if (strcmp(argv[0], "topic") == 0)
		*type = RD_KAFKA_RESOURCE_TOPIC;
	else if (strcmp(argv[0], "group") == 0)
		*type = RD_KAFKA_RESOURCE_GROUP;
	else
		die("neither topic nor group: \"%s\"", argv[0]);
	if (strcmp(argv[2], "read") == 0)
		*operation = RD_KAFKA_ACL_OPERATION_READ;
	else if (strcmp(argv[2], "describe") == 0)
		*operation = RD_KAFKA_ACL_OPERATION_DESCRIBE;
	else
		die("neither read nor describe: \"%s\"", argv[2]);
}

static void
allow(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_ResourceType_t type;
	rd_kafka_AclOperation_t operation;
	rd_kafka_AclBinding_t *right;
	const rd_kafka_acl_result_t **results;
	size_t		count;
	char		errstr[512];

	(void) argc;
	name_right(argv, &type, &operation);
	right = rd_kafka_AclBinding_new(type, argv[1],
									RD_KAFKA_RESOURCE_PATTERN_LITERAL,
									"User:etl", "*", operation,
									RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, errstr,
									sizeof(errstr));
	if (right == NULL)
		die("%s", errstr);
	rd_kafka_CreateAcls(rk, &right, 1, NULL, queue);
	results = rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(await_admin(queue)),
											  &count);
	if (count == 1 && rd_kafka_acl_result_error(results[0]))
		die("%s", rd_kafka_error_string(rd_kafka_acl_result_error(results[0])));
}

static void
disallow(const char *broker, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to(broker, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_ResourceType_t type;
	rd_kafka_AclOperation_t operation;
	rd_kafka_AclBindingFilter_t *right;
	char		errstr[512];

	(void) argc;
	name_right(argv, &type, &operation);
	right = rd_kafka_AclBindingFilter_new(type, argv[1],
										  RD_KAFKA_RESOURCE_PATTERN_LITERAL,
										  "User:etl", "*", operation,
										  RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
										  errstr, sizeof(errstr));
	if (right == NULL)
		die("%s", errstr);
	rd_kafka_DeleteAcls(rk, &right, 1, NULL, queue);
	(void) await_admin(queue);
}


/*
 * Producing
 */

static void
parse_options(Production *production, int argc, char **argv)
{
	int			option;

	memset(production, 0, sizeof(*production));
	production->partition = -1;
	production->input = stdin;
	production->times = 1;
	optind = 1;
	while ((option = getopt(argc, argv, "p:kwr:t:h:")) != -1)
	{
		if (option == 'p')
			production->partition = (int32_t) number(optarg, "partition");
		else if (option == 'k')
			production->keyed = true;
		else if (option == 'w')
			production->whole = true;
		else if (option == 'r')
			production->times = number(optarg, "times");
		else if (option == 't')
			production->timestamp = number(optarg, "time");
		else if (option == 'h' && production->header_count < MAX_HEADERS)
			production->headers[production->header_count++] = optarg;
		else
			die("unknown option; see kafka --help");
	}
	if (optind < argc && strcmp(argv[optind], "-") != 0)
	{
		production->input = fopen(argv[optind], "rb");
		if (production->input == NULL)
			die("%s: %s", argv[optind], strerror(errno));
	}
}

static rd_kafka_headers_t *
make_headers(const Production *production)
{
	rd_kafka_headers_t *headers;

	headers = rd_kafka_headers_new((size_t) production->header_count);
	for (int i = 0; i < production->header_count; i++)
	{
		const char *name = production->headers[i];
		const char *equals = strchr(name, '=');

		if (equals == NULL)
			die("not of the form name=value: \"%s\"", name);
		rd_kafka_header_add(headers, name, equals - name, equals + 1, -1);
	}
	return headers;
}

/* A NULL value is a tombstone. */
static void
send_message(rd_kafka_t *rk, const char *topic, Production *production,
			 const char *key, size_t key_len, char *value, size_t len)
{
	int32_t		partition = production->partition;
	rd_kafka_headers_t *headers = make_headers(production);
	rd_kafka_resp_err_t err;

	if (partition < 0 && key == NULL)
		partition = (int32_t) (production->count % production->partition_count);
	if (partition < 0)
		partition = RD_KAFKA_PARTITION_UA;
	for (;;)
	{
		err = rd_kafka_producev(rk,
								RD_KAFKA_V_TOPIC(topic),
								RD_KAFKA_V_PARTITION(partition),
								RD_KAFKA_V_KEY(key, key_len),
								RD_KAFKA_V_VALUE(value, len),
								RD_KAFKA_V_TIMESTAMP(production->timestamp),
								RD_KAFKA_V_HEADERS(headers),
								RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
								RD_KAFKA_V_END);
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			break;
		rd_kafka_poll(rk, 100);
	}
	if (err)
		die("message %" PRId64 ": %s", production->count + 1,
			rd_kafka_err2str(err));
	production->count++;
	rd_kafka_poll(rk, 0);
}

static void
send_line(rd_kafka_t *rk, const char *topic, Production *production,
		  char *line, size_t len)
{
	char	   *tab;

	if (!production->keyed)
	{
		send_message(rk, topic, production, NULL, 0, line, len);
		return;
	}
	tab = memchr(line, '\t', len);
	if (tab == NULL)
		send_message(rk, topic, production, line, len, NULL, 0);
	else
		send_message(rk, topic, production, line, tab - line, tab + 1,
					 len - (tab + 1 - line));
}

static void
send_input(rd_kafka_t *rk, const char *topic, Production *production)
{
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;
	int64_t		deadline = now_ms() + 30000;

	/* one that is busy, or was frozen, may not know its topics yet */
	while ((production->partition_count = count_partitions(rk, topic)) <= 0 &&
		   now_ms() < deadline)
		pause_briefly();
	if (production->partition_count < 0)
		die("the broker does not answer");
	if (production->partition_count == 0)
		die("no topic \"%s\"", topic);
	if (production->whole)
	{
		/* no byte is a delimiter, so read as often as there is something */
		size_t		total = 0;

		do
		{
			size = total + 1024 * 1024;
			line = realloc(line, size);
			if (line == NULL)
				die("out of memory");
			len = (ssize_t) fread(line + total, 1, size - total,
								  production->input);
			total += (size_t) len;
		} while (len > 0);
		send_line(rk, topic, production, line, total);
		return;
	}
	for (int64_t i = 0; i < production->times; i++)
	{
		if (i > 0)
			rewind(production->input);
		while ((len = getline(&line, &size, production->input)) >= 0)
		{
			if (len > 0 && line[len - 1] == '\n')
				len--;
			send_line(rk, topic, production, line, (size_t) len);
		}
	}
}

static void
flush_all(rd_kafka_t *rk)
{
	rd_kafka_resp_err_t err = rd_kafka_flush(rk, 2 * TIMEOUT_MS);

	if (err)
		die("not all delivered: %s", rd_kafka_err2str(err));
	if (failed_deliveries > 0)
		die("%" PRId64 " messages not delivered", failed_deliveries);
}

static void
produce(const char *broker, int argc, char **argv)
{
	Production	production;
	rd_kafka_t *rk;

	parse_options(&production, argc, argv);
	rk = connect_to(broker, NULL);
	send_input(rk, argv[0], &production);
	flush_all(rk);
}

static void
check_transaction(rd_kafka_error_t *error)
{
	if (error != NULL)
		die("%s", rd_kafka_error_string(error));
}

static void
produce_transaction(const char *broker, int argc, char **argv)
{
	const char *end = argv[1];
	Production	production;
	rd_kafka_t *rk;
	char		id[64];

	if (strcmp(end, "commit") != 0 && strcmp(end, "abort") != 0 &&
		strcmp(end, "open") != 0)
		die("a transaction ends by commit or abort, or stays open, not \"%s\"",
			end);
	parse_options(&production, argc - 1, argv + 1);
	snprintf(id, sizeof(id), "kafkactl-%ld-%ld", (long) getpid(),
			 (long) time(NULL));
	rk = connect_to(broker, id);
	check_transaction(rd_kafka_init_transactions(rk, TIMEOUT_MS));
	check_transaction(rd_kafka_begin_transaction(rk));
	send_input(rk, argv[0], &production);
	flush_all(rk);
	if (strcmp(end, "commit") == 0)
		check_transaction(rd_kafka_commit_transaction(rk, TIMEOUT_MS));
	else if (strcmp(end, "abort") == 0)
		check_transaction(rd_kafka_abort_transaction(rk, TIMEOUT_MS));
}


/*
 * A cluster that is none: librdkafka's, in this process, for faults that a
 * real broker can't be made to have.
 */

/* Fetch requests fail, all of them: what they ask for is never delivered. */
static void
refuse_fetches(rd_kafka_mock_cluster_t *cluster)
{
	rd_kafka_resp_err_t errors[1000];

	for (int i = 0; i < 1000; i++)
		errors[i] = RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
	for (int i = 0; i < 100; i++)
		rd_kafka_mock_push_request_errors_array(cluster, FETCH, 1000, errors);
}

static void
mock_command(rd_kafka_mock_cluster_t *cluster, char *line)
{
	const char *word = strtok(line, " \n");
	const char *broker = strtok(NULL, " \n");
	const char *ms = strtok(NULL, " \n");
	int32_t		id = broker ? (int32_t) number(broker, "broker") : -1;

	if (word == NULL)
		return;
	if (strcmp(word, "refuse-fetches") == 0)
		refuse_fetches(cluster);
	else if (strcmp(word, "allow-fetches") == 0)
		rd_kafka_mock_clear_request_errors(cluster, FETCH);
	else if (strcmp(word, "down") == 0 && broker)
		rd_kafka_mock_broker_set_down(cluster, id);
	else if (strcmp(word, "up") == 0 && broker)
		rd_kafka_mock_broker_set_up(cluster, id);
	else if (strcmp(word, "delay") == 0 && ms)
		rd_kafka_mock_broker_set_rtt(cluster, id, (int) number(ms, "delay"));
	else
		die("not a command of the mock cluster: %s", word);
	printf("done\n");
	fflush(stdout);
}

/* It ends with its standard input. */
static void
mock(const char *brokers, int argc, char **argv)
{
	rd_kafka_t *rk = connect_to("none:9", NULL);
	rd_kafka_mock_cluster_t *cluster;
	char	   *line = NULL;
	size_t		size = 0;

	(void) argc;
	cluster = rd_kafka_mock_cluster_new(rk, (int) number(brokers, "brokers"));
	if (cluster == NULL)
		die("no mock cluster");
	if (rd_kafka_mock_topic_create(cluster, argv[0],
								   (int) number(argv[1], "partitions"), 1))
		die("no topic \"%s\"", argv[0]);
	printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);
	while (getline(&line, &size, stdin) >= 0)
		mock_command(cluster, line);
}


static const Command commands[] = {
	{"wait", "SECONDS", 1, wait_ready},
	{"create-topic", "TOPIC PARTITIONS [KEY=VALUE...]", 2, create_topic},
	{"add-partitions", "TOPIC PARTITIONS", 2, add_partitions},
	{"alter-topic", "TOPIC KEY=VALUE...", 2, alter_topic},
	{"delete-topic", "TOPIC", 1, delete_topic},
	{"delete-records", "TOPIC PARTITION BEFORE_OFFSET", 3, delete_records},
	{"allow", "topic|group NAME read|describe", 3, allow},
	{"disallow", "topic|group NAME read|describe", 3, disallow},
	{"describe", "TOPIC", 1, describe},
	{"produce", "TOPIC [OPTION...] [FILE]", 1, produce},
	{"produce-transaction", "TOPIC commit|abort|open [OPTION...] [FILE]", 2,
	produce_transaction},
	{"mock", "TOPIC PARTITIONS", 2, mock}
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		if (argc < 3 || strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (argc - 3 < commands[i].min_args)
			die("usage: kafka %s BROKER %s", commands[i].name,
				commands[i].usage);
		commands[i].run(argv[2], argc - 3, argv + 3);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	die("usage: kafkactl COMMAND HOST:PORT ARGUMENT...; see kafka --help");
}
