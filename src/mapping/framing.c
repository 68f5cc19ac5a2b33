/*-------------------------------------------------------------------------
 *
 * framing.c
 *	  What stands before the JSON of a message.
 *
 * Clients of a schema registry write a byte 0 and the schema's id, 4 bytes
 * with the highest first, before each value, and often before each key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bswap.h"

#include "base/refusal.h"
#include "mapping/framing.h"

#define PREFIX_LEN	5

FluctFraming
fluct_framing_of(const char *word)
{
	return word && strcmp(word, "registry") == 0 ? FLUCT_FRAMING_REGISTRY : FLUCT_FRAMING_NONE;
}

static bool
has_prefix(const char *bytes, size_t len)
{
	return len > PREFIX_LEN && bytes[0] == '\0';
}

int32
fluct_framing_skip(const char **bytes, size_t *len, FluctRefusal *refusal)
{
	uint32		id;

	if (!has_prefix(*bytes, *len))
	{
		if (refusal && **bytes == '\0')
			fluct_refuse(refusal, FLUCT_INVALID_JSON, "$",
						 "%zu bytes, too short for the schema registry's prefix of %d bytes and JSON",
						 *len, PREFIX_LEN);
		else if (refusal)
			fluct_refuse(refusal, FLUCT_INVALID_JSON, "$",
						 "the first byte is 0x%02x, expected 0x00 of the schema registry's prefix (framing => 'registry')",
						 (unsigned char) **bytes);
		return 0;
	}
	memcpy(&id, *bytes + 1, sizeof(id));
	*bytes += PREFIX_LEN;
	*len -= PREFIX_LEN;
	return (int32) pg_ntoh32(id);
}

void
fluct_framing_replace(const char *framing, FluctMessage *message,
					  const char *text, size_t len)
{
	size_t		before = fluct_framing_of(framing) == FLUCT_FRAMING_NONE ? 0 : PREFIX_LEN;
	char	   *value = palloc0(before + len);

	if (before > 0 && message->value && has_prefix(message->value, message->value_len))
		memcpy(value, message->value, before);
	memcpy(value + before, text, len);
	message->value = value;
	message->value_len = before + len;
}
