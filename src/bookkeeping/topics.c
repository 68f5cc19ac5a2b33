/*-------------------------------------------------------------------------
 *
 * topics.c
 *	  The topics of a stream: one, a list, or all that match a pattern.
 *
 * The pattern is PostgreSQL's regular expression (of `~`), not librdkafka's:
 * a stream never subscribes, so it is matched here.  PostgreSQL's engine can
 * be interrupted, and is the same where a pattern is declared, where a worker
 * matches it, and where its author tries it in psql.  It takes what POSIX's
 * extended expressions are.
 *
 * Topics of Kafka's own begin with two underscores, and match only a pattern
 * that says so itself: nobody means __consumer_offsets by ^.*
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"

#include "bookkeeping/topics.h"

#define NAME_SIZE	256			/* Kafka allows 249 characters */

PG_FUNCTION_INFO_V1(fluct_consumes);

const char *
fluct_topics_keep(const char *name)
{
	static HTAB *names = NULL;
	char		key[NAME_SIZE] = {0};

	if (names == NULL)
	{
		HASHCTL		about = {.keysize = NAME_SIZE,.entrysize = NAME_SIZE};

		names = hash_create("fluct topics", 16, &about, HASH_ELEM | HASH_STRINGS);
	}
	strlcpy(key, name, NAME_SIZE);
	return hash_search(names, key, HASH_ENTER, NULL);
}

bool
fluct_topics_is_pattern(const char *declared)
{
	return declared[0] == '^';
}

bool
fluct_topics_are_many(const char *declared)
{
	return fluct_topics_is_pattern(declared) || strchr(declared, ',') != NULL;
}

char	  **
fluct_topics_names(const char *declared, int *count)
{
	char	  **names = palloc(sizeof(char *) * (strlen(declared) / 2 + 2));
	char	   *rest = pstrdup(declared);

	*count = 0;
	while (rest)
	{
		char	   *comma = strchr(rest, ',');

		names[(*count)++] = rest;
		if (comma)
			*comma++ = '\0';
		rest = comma;
	}
	return names;
}

int
fluct_topics_count(const FluctPlace *places, int count)
{
	int			topics = 0;

	for (int i = 0; i < count; i++)
		topics += i == 0 || places[i].topic != places[i - 1].topic;
	return topics;
}

/* The place of a topic in a list, or -1. */
static int
place_in_list(const char *declared, const char *topic)
{
	size_t		len = strlen(topic);
	int			place = 0;

	for (const char *at = declared; at; place++)
	{
		const char *comma = strchr(at, ',');

		if ((comma ? comma - at : strlen(at)) == len &&
			memcmp(at, topic, len) == 0)
			return place;
		at = comma ? comma + 1 : NULL;
	}
	return -1;
}

bool
fluct_topics_include(const char *declared, const char *topic)
{
	Datum		matches;

	if (!fluct_topics_is_pattern(declared))
		return place_in_list(declared, topic) >= 0;
	if (strncmp(topic, "__", 2) == 0 && strncmp(declared, "^__", 3) != 0)
		return false;
	matches = DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
									  CStringGetTextDatum(topic),
									  CStringGetTextDatum(declared));
	return DatumGetBool(matches);
}

int
fluct_topics_worker(const char *declared, const char *topic, int partition,
					int workers)
{
	uint32		first = 0;

	if (fluct_topics_is_pattern(declared))
		first = string_hash(topic, NAME_SIZE) % workers;
	else
		first = place_in_list(declared, topic);
	return (first + partition) % workers;
}

char *
fluct_topics_describe(const char *declared, const char *topic, int partition)
{
	if (fluct_topics_are_many(declared))
		return psprintf("topic \"%s\", partition %d", topic, partition);
	return psprintf("partition %d", partition);
}

/*
 * fluct._consumes(declared text, topic text) RETURNS boolean
 */
Datum
fluct_consumes(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(fluct_topics_include(text_to_cstring(PG_GETARG_TEXT_PP(0)),
										text_to_cstring(PG_GETARG_TEXT_PP(1))));
}
