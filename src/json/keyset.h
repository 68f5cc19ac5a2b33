/*-------------------------------------------------------------------------
 *
 * keyset.h
 *	  The keys of the open JSON objects, to find duplicates.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_KEYSET_H
#define FLUCT_JSON_KEYSET_H

#include "base/message.h"
#include "base/vector.h"

/* A key as bytes; `escaped` says which text it is in. */
typedef struct FluctKey
{
	uint32_t	at;				/* in the message, or in `unescaped` */
	uint32_t	len;
	uint32_t	hash;			/* set when the object has a table */
	bool		escaped;
} FluctKey;

typedef struct FluctKeySet
{
	FluctAllocator allocator;
	uint64_t	secret[2];
	const char *bytes;			/* the message */
	FluctVector keys;			/* FluctKey; a stack, like the next two */
	FluctVector unescaped;		/* char: keys that were written escaped */
	FluctVector slots;			/* uint32_t: hash tables, 1 + index of a key */
} FluctKeySet;

/* An open object's part of the stacks, from these places on. */
typedef struct FluctKeyMark
{
	size_t		first_key;
	size_t		unescaped;
	size_t		table;
	size_t		table_size;		/* 0 = none */
} FluctKeyMark;

extern void fluct_keyset_init(FluctKeySet *set,
							  const FluctAllocator *allocator);

/* A new message begins; no object is open. */
extern void fluct_keyset_reset(FluctKeySet *set, const char *bytes);

/* The key at p in the message; valid while its object is open. */
extern FluctKey fluct_keyset_key(FluctKeySet *set, const char *p, size_t len,
								 bool escaped);
extern const char *fluct_keyset_text(const FluctKeySet *set,
									 const FluctKey *key);

/* Adds a key to those of the innermost object; false if it is a duplicate. */
extern bool fluct_keyset_add(FluctKeySet *set, FluctKeyMark *mark,
							 const FluctKey *key);

/* An object opens within the innermost one. */
static inline void
fluct_keyset_open(const FluctKeySet *set, FluctKeyMark *mark)
{
	mark->first_key = set->keys.count;
	mark->unescaped = set->unescaped.count;
	mark->table_size = 0;
}

/* The innermost object closes. */
static inline void
fluct_keyset_close(FluctKeySet *set, const FluctKeyMark *mark)
{
	set->keys.count = mark->first_key;
	set->unescaped.count = mark->unescaped;
	if (mark->table_size > 0)
		set->slots.count = mark->table;
}

#endif							/* FLUCT_JSON_KEYSET_H */
