/*-------------------------------------------------------------------------
 *
 * kafka.c
 *	  What Kafka gives with a message: key, headers, and their paths.
 *
 * The headers come as a JSON array of {"key", "value"}, or "value_base64" where
 * the bytes are not text; a key may be JSON of its own.  Both are read at the
 * first column that asks for them.
 *
 * In the envelope of a change the key has its schema beside it where the value
 * has, so what is not found in the key is looked for in its "payload".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json/binary.h"
#include "json/string.h"
#include "mapping/framing.h"
#include "mapping/kafka.h"
#include "pg/alloc.h"

/* The scanners of key and headers, and whether they have read the message. */
struct FluctKafkaJson
{
	FluctJson  *key;
	FluctJson  *around;			/* of its payload's place; or NULL */
	int			payload;		/* field of this */
	FluctJson  *inner;			/* of the payload, with the fields of the key */
	bool		inner_read;
	bool		key_read;
	FluctReason key_reason;
	FluctJson  *headers;
	bool		headers_read;
	int			rowset;
	int			name;			/* fields of a header */
	int			value;
	int			value_base64;
};

static struct FluctKafkaJson *
json_of(FluctCompiler *c)
{
	if (c->mapping->kafka == NULL)
		c->mapping->kafka = palloc0(sizeof(struct FluctKafkaJson));
	return c->mapping->kafka;
}

static int
compile_header(FluctCompiler *c, FluctColumn *column, const char *name)
{
	FluctAllocator allocator = fluct_alloc_in(c->mapping->context);
	struct FluctKafkaJson *kafka = json_of(c);

	if (name[0] == '\0')
		return -1;
	column->source = FLUCT_KAFKA_HEADER;
	column->header = name;
	if (kafka->headers)
		return 1;
	kafka->headers = fluct_json_create(&allocator);
	kafka->rowset = fluct_json_add_rowset(kafka->headers, "$[*]");
	kafka->name = fluct_json_add_field(kafka->headers, kafka->rowset, "@.key");
	kafka->value = fluct_json_add_field(kafka->headers, kafka->rowset, "@.value");
	kafka->value_base64 = fluct_json_add_field(kafka->headers, kafka->rowset, "@.value_base64");
	return 1;
}

/* In both, so that the numbers are the same. */
static int
add_key_field(struct FluctKafkaJson *kafka, const char *path)
{
	if (kafka->inner)
		(void) fluct_json_add_field(kafka->inner, FLUCT_JSON_ROOT, path);
	return fluct_json_add_field(kafka->key, FLUCT_JSON_ROOT, path);
}

static int
compile_key(FluctCompiler *c, FluctColumn *column, const char *path)
{
	FluctAllocator allocator = fluct_alloc_in(c->mapping->context);
	struct FluctKafkaJson *kafka = json_of(c);

	if (kafka->key == NULL)
	{
		kafka->key = fluct_json_create(&allocator);
		fluct_json_take_any_root(kafka->key);
		if (c->mapping->envelope)
		{
			kafka->around = fluct_json_create(&allocator);
			kafka->payload = fluct_json_add_field(kafka->around, FLUCT_JSON_ROOT, "$.payload");
			kafka->inner = fluct_json_create(&allocator);
		}
	}
	column->source = FLUCT_KAFKA_KEY_PATH;
	column->field = add_key_field(kafka, path);
	return column->field < 0 ? -1 : 1;
}

static void
check_framed(const FluctCompiler *c, const FluctColumn *column)
{
	if (column->source == FLUCT_KAFKA_SCHEMA_ID && c->mapping->framing == FLUCT_FRAMING_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s is mapped to kafka.schema_id, and the messages have no framing",
						column->name, c->target->name),
				 errhint("framing => 'registry' says that the schema registry's prefix stands before the JSON.")));
}

int
fluct_kafka_compile(FluctCompiler *c, FluctColumn *column)
{
	static const struct
	{
		const char *path;
		FluctSource source;
	}			words[] = {
		{"kafka.offset", FLUCT_KAFKA_OFFSET},
		{"kafka.partition", FLUCT_KAFKA_PARTITION},
		{"kafka.timestamp", FLUCT_KAFKA_TIMESTAMP},
		{"kafka.key", FLUCT_KAFKA_KEY},
		{"kafka.topic", FLUCT_KAFKA_TOPIC},
		{"kafka.headers", FLUCT_KAFKA_HEADERS},
		{"kafka.schema_id", FLUCT_KAFKA_SCHEMA_ID},
	};

	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(column->path, words[i].path) == 0)
		{
			column->source = words[i].source;
			check_framed(c, column);
			return 1;
		}
	if (strncmp(column->path, "kafka.headers.", 14) == 0)
		return compile_header(c, column, column->path + 14);
	if (strncmp(column->path, "kafka.key.$", 11) == 0)
		return compile_key(c, column, column->path + 10);
	return strncmp(column->path, "kafka.", 6) == 0 ? -1 : 0;
}

void
fluct_kafka_begin(FluctMapping *mapping)
{
	if (mapping->kafka == NULL)
		return;
	mapping->kafka->key_read = false;
	mapping->kafka->headers_read = false;
}

static FluctReason
read_key(FluctMapping *mapping, const FluctMessage *message)
{
	struct FluctKafkaJson *kafka = mapping->kafka;
	const char *key = message->key;
	size_t		len = message->key_len;
	FluctRefusal refusal;

	if (kafka->key_read)
		return kafka->key_reason;
	kafka->key_read = true;
	if (mapping->framing != FLUCT_FRAMING_NONE)
		(void) fluct_framing_skip(&key, &len, NULL);
	kafka->key_reason = fluct_json_parse(kafka->key, key, len, &refusal) ?
		FLUCT_OK : refusal.reason;
	kafka->inner_read = false;
	if (kafka->inner && kafka->key_reason == FLUCT_OK &&
		fluct_json_scan(kafka->around, key, len, &refusal))
	{
		const FluctJsonValue *payload = fluct_json_field(kafka->around, kafka->payload);

		kafka->inner_read = payload->type == FLUCT_JSON_OBJECT;
		if (kafka->inner_read &&
			!fluct_json_parse(kafka->inner, payload->text, payload->len, &refusal))
			kafka->key_reason = refusal.reason;
	}
	return kafka->key_reason;
}

static const FluctJsonValue *
find_in_key(const struct FluctKafkaJson *kafka, int field)
{
	const FluctJsonValue *value = fluct_json_field(kafka->key, field);

	return value->type == FLUCT_JSON_ABSENT && kafka->inner_read ?
		fluct_json_field(kafka->inner, field) : value;
}

static bool
is_named(const FluctJsonValue *name, const char *wanted)
{
	char	   *plain;
	size_t		len;
	bool		same;

	if (!name->escaped)
		return name->len == strlen(wanted) &&
			memcmp(name->text, wanted, name->len) == 0;
	plain = palloc(name->len + 1);
	len = fluct_string_unescape(name->text, name->len, plain);
	same = len == strlen(wanted) && memcmp(plain, wanted, len) == 0;
	pfree(plain);
	return same;
}

static void
decode_bytes(FluctJsonValue *value)
{
	unsigned char *bytes = palloc(value->len + 4);
	size_t		len = 0;

	(void) fluct_binary_base64(value->text, value->len, bytes, &len);
	value->text = (const char *) bytes;
	value->len = len;
	value->escaped = false;
}

static void
find_header(const struct FluctKafkaJson *kafka, const char *name,
			FluctJsonValue *value, bool *raw)
{
	FluctJson  *json = kafka->headers;

	for (int i = fluct_json_row_count(json, kafka->rowset) - 1; i >= 0; i--)
	{
		if (!is_named(fluct_json_cell(json, kafka->rowset, i, kafka->name), name))
			continue;
		*value = *fluct_json_cell(json, kafka->rowset, i, kafka->value);
		if (value->type != FLUCT_JSON_ABSENT)
			return;
		*value = *fluct_json_cell(json, kafka->rowset, i, kafka->value_base64);
		decode_bytes(value);
		*raw = true;
		return;
	}
}

FluctReason
fluct_kafka_value(FluctMapping *mapping, const FluctColumn *column,
				  const FluctMessage *message, FluctJsonValue *value, bool *raw)
{
	struct FluctKafkaJson *kafka = mapping->kafka;
	FluctRefusal refusal;
	FluctReason reason;

	*raw = false;
	value->type = FLUCT_JSON_ABSENT;
	if (column->source == FLUCT_KAFKA_KEY_PATH)
	{
		if (message->key == NULL)
			return FLUCT_OK;
		reason = read_key(mapping, message);
		if (reason == FLUCT_OK)
			*value = *find_in_key(kafka, column->field);
		return reason;
	}
	if (message->headers == NULL)
		return FLUCT_OK;
	if (!kafka->headers_read &&
		!fluct_json_parse(kafka->headers, message->headers,
						  strlen(message->headers), &refusal))
		return refusal.reason;
	kafka->headers_read = true;
	find_header(kafka, column->header, value, raw);
	return FLUCT_OK;
}
