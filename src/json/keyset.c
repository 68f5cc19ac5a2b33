/*-------------------------------------------------------------------------
 *
 * keyset.c
 *	  The keys of the open JSON objects, to find duplicates.
 *
 * The keys of an open object are on a stack, above those of the objects around
 * it.  Few are compared one by one; from FEW_KEYS on they have a hash table on
 * a second stack.  Only the innermost open object adds keys, so
 * its table is the topmost one and can grow in place.
 *
 * The hash is SipHash with a secret of the process: a million keys made to
 * collide would otherwise cost hours, and a message comes from outside.
 *
 *-------------------------------------------------------------------------
 */
#include "json/keyset.h"

#include <string.h>
#include <time.h>

#include "json/string.h"


/* Up to here an object's keys are compared one by one. */
#define FEW_KEYS		16

/* The size of an object's first hash table. */
#define FIRST_TABLE		64

void
fluct_keyset_init(FluctKeySet *set, const FluctAllocator *allocator)
{
	memset(set, 0, sizeof(FluctKeySet));
	set->allocator = *allocator;
	set->secret[0] = (uint64_t) (uintptr_t) set ^ (uint64_t) time(NULL) << 32;
	set->secret[1] = (uint64_t) (uintptr_t) &set ^ (uint64_t) clock() << 40;
}

void
fluct_keyset_reset(FluctKeySet *set, const char *bytes)
{
	set->bytes = bytes;
	fluct_vector_reset(&set->keys, &set->allocator, sizeof(FluctKey));
	fluct_vector_reset(&set->unescaped, &set->allocator, 1);
	fluct_vector_reset(&set->slots, &set->allocator, sizeof(uint32_t));
}

FluctKey
fluct_keyset_key(FluctKeySet *set, const char *p, size_t len, bool escaped)
{
	FluctKey	key = {(uint32_t) (p - set->bytes), (uint32_t) len, 0, escaped};

	if (escaped)
	{
		char	   *out = fluct_vector_reserve(&set->unescaped,
											   &set->allocator, len, 1);

		key.at = (uint32_t) set->unescaped.count;
		key.len = (uint32_t) fluct_string_unescape(p, len, out);
		set->unescaped.count += key.len;
	}
	return key;
}

#define ROTATE(x, n)	((x) << (n) | (x) >> (64 - (n)))

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTATE(v[1], 13) ^ v[0];
	v[0] = ROTATE(v[0], 32);
	v[2] += v[3];
	v[3] = ROTATE(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTATE(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTATE(v[1], 17) ^ v[2];
	v[2] = ROTATE(v[2], 32);
}

/* SipHash-1-3 */
static uint32_t
hash_bytes(const FluctKeySet *set, const char *p, size_t len)
{
	uint64_t	v[4] = {
		set->secret[0] ^ UINT64_C(0x736f6d6570736575),
		set->secret[1] ^ UINT64_C(0x646f72616e646f6d),
		set->secret[0] ^ UINT64_C(0x6c7967656e657261),
		set->secret[1] ^ UINT64_C(0x7465646279746573)
	};
	uint64_t	word;
	size_t		left = len;

	for (; left >= 8; left -= 8, p += 8)
	{
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	memcpy(&word, p, left);
	word |= (uint64_t) len << 56;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xFF;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	word = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (uint32_t) (word ^ word >> 32);
}

const char *
fluct_keyset_text(const FluctKeySet *set, const FluctKey *key)
{
	return (key->escaped ? set->unescaped.data : set->bytes) + key->at;
}

static bool
same_key(const FluctKeySet *set, const FluctKey *a, const FluctKey *b)
{
	return a->len == b->len &&
		memcmp(fluct_keyset_text(set, a), fluct_keyset_text(set, b), a->len) == 0;
}

/* The slot that holds the key, or the empty one where it belongs. */
static uint32_t *
find_slot(const FluctKeySet *set, const FluctKeyMark *mark, const FluctKey *key)
{
	uint32_t   *table = (uint32_t *) set->slots.data + mark->table;
	const FluctKey *keys = (const FluctKey *) set->keys.data;
	size_t		mask = mark->table_size - 1;

	for (size_t i = key->hash & mask;; i = (i + 1) & mask)
	{
		if (table[i] == 0 ||
			(keys[table[i] - 1].hash == key->hash &&
			 same_key(set, &keys[table[i] - 1], key)))
			return &table[i];
	}
}

/* Gives the innermost object a table twice as large as before. */
static void
grow_table(FluctKeySet *set, FluctKeyMark *mark)
{
	FluctKey   *keys = (FluctKey *) set->keys.data;
	size_t		size = mark->table_size * 2;

	if (size == 0)
	{
		size = FIRST_TABLE;
		mark->table = set->slots.count;
		for (size_t i = mark->first_key; i < set->keys.count; i++)
			keys[i].hash = hash_bytes(set, fluct_keyset_text(set, &keys[i]),
									  keys[i].len);
	}
	mark->table_size = size;
	set->slots.count = mark->table;
	memset(fluct_vector_reserve(&set->slots, &set->allocator, size, sizeof(uint32_t)), 0,
		   size * sizeof(uint32_t));
	set->slots.count += size;
	for (size_t i = mark->first_key; i < set->keys.count; i++)
		*find_slot(set, mark, &keys[i]) = (uint32_t) i + 1;
}

bool
fluct_keyset_add(FluctKeySet *set, FluctKeyMark *mark, const FluctKey *added)
{
	FluctKey   *key = fluct_vector_reserve(&set->keys, &set->allocator, 1, sizeof(FluctKey));
	size_t		count = set->keys.count - mark->first_key;

	*key = *added;
	if (count < FEW_KEYS)
	{
		for (size_t i = 1; i <= count; i++)
			if (same_key(set, key - i, key))
				return false;
	}
	else
	{
		uint32_t   *slot;

		if (count * 2 >= mark->table_size)
			grow_table(set, mark);
		key->hash = hash_bytes(set, fluct_keyset_text(set, key), key->len);
		slot = find_slot(set, mark, key);
		if (*slot != 0)
			return false;
		*slot = (uint32_t) set->keys.count + 1;
	}
	set->keys.count++;
	return true;
}
