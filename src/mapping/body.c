/*-------------------------------------------------------------------------
 *
 * body.c
 *	  What is read of a message: which bytes, whether it is wanted, whether it
 *	  deletes.
 *
 * A message without a value has nothing to scan: a stream whose tombstones
 * delete takes all that it asks of them from Kafka's key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/refusal.h"
#include "mapping/body.h"
#include "mapping/envelope.h"
#include "mapping/framing.h"
#include "mapping/kafka.h"
#include "mapping/where.h"
#include "pg/guc.h"

static bool
check_size(const FluctMessage *message, FluctRefusal *refusal)
{
	if (message->full_len == FLUCT_LENGTH_UNKNOWN)
		fluct_refuse(refusal, FLUCT_TOO_LARGE, "$",
					 "only the beginning of the message was kept");
	else if (message->full_len > message->value_len ||
			 message->full_len > (size_t) fluct_max_message_bytes)
		fluct_refuse(refusal, FLUCT_TOO_LARGE, "$",
					 "%zu bytes with its key and headers, more than fluct.max_message_bytes",
					 message->full_len);
	else if (message->value && message->value_len == 0)
		fluct_refuse(refusal, FLUCT_EMPTY_VALUE, "$", "the value has 0 bytes");
	return refusal->reason == FLUCT_OK;
}

static bool
scan(FluctMapping *mapping, const FluctMessage *message, bool *deletes,
	 FluctRefusal *refusal)
{
	const char *value = message->value;
	size_t		len = message->value_len;

	if (mapping->framing != FLUCT_FRAMING_NONE)
	{
		mapping->schema_id = fluct_framing_skip(&value, &len, refusal);
		if (refusal->reason != FLUCT_OK)
			return false;
	}
	if ((mapping->envelope == NULL ||
		 fluct_envelope_open(mapping, &value, &len, deletes, refusal)) &&
		fluct_json_scan(mapping->json, value, len, refusal))
		return true;
	if (len > 0 && value[0] == '\0')
		fluct_refuse(refusal, FLUCT_NUL, "$", mapping->framing == FLUCT_FRAMING_NONE ?
					 "a NUL byte at the beginning, as in schema-registry framing: framing => 'registry' skips it" :
					 "a NUL byte after the schema registry's prefix, as in Protobuf or Avro, which cannot be read");
	return false;
}

bool
fluct_body_read(FluctMapping *mapping, const FluctKafka *kafka, bool *deletes,
				FluctRefusal *refusal)
{
	const FluctDeletes *means = mapping->deletes;
	bool		tombstone = kafka->message->value == NULL;

	*deletes = tombstone && means && means->tombstones;
	mapping->outcome = tombstone && !*deletes ? FLUCT_TOMBSTONE : FLUCT_FILTERED;
	fluct_kafka_begin(mapping);
	if (!check_size(kafka->message, refusal) || (tombstone && !*deletes) ||
		(!tombstone && !scan(mapping, kafka->message, deletes, refusal)))
		return false;
	if (!tombstone && mapping->envelope && fluct_envelope_is_marked(mapping))
		*deletes = true;
	/* a row that is gone may not have more than its key */
	if (mapping->where &&
		!fluct_where_holds(mapping, mapping->where, kafka, !*deletes))
		return false;
	if (!tombstone && means && means->where)
		*deletes = fluct_where_holds(mapping, means->where, kafka, true);
	if (tombstone || fluct_json_fits(mapping->json, refusal))
		return true;
	if (refusal->reason == FLUCT_NOT_AN_OBJECT && fluct_json_row_type(mapping->json, FLUCT_JSON_ROOT, 0) == FLUCT_JSON_ARRAY)
		fluct_refuse(refusal, FLUCT_NOT_AN_OBJECT, "$",
					 "the message is an array; \"rows\": \"$[*]\" in the mapping makes each element a record");
	return false;
}
