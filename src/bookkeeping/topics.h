/*-------------------------------------------------------------------------
 *
 * topics.h
 *	  The topics of a stream: one, a list, or all that match a pattern.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_TOPICS_H
#define FLUCT_BOOKKEEPING_TOPICS_H

#include "postgres.h"

/* The most topics that one stream consumes. */
#define FLUCT_MOST_TOPICS	1000

/* A partition of a topic; the name is one of fluct_topics_keep. */
typedef struct FluctPlace
{
	const char *topic;
	int32		partition;
} FluctPlace;

/*
 * The name, for the life of the process: two that are equal are the same
 * pointer.
 */
extern const char *fluct_topics_keep(const char *name);

/* What create_stream's topic may be, in the form in which it is stored. */
extern bool fluct_topics_is_pattern(const char *declared);
extern bool fluct_topics_are_many(const char *declared);

/* The names of a list, or of one topic, in the current memory context. */
extern char **fluct_topics_names(const char *declared, int *count);

/* How many topics the places are of. */
extern int	fluct_topics_count(const FluctPlace *places, int count);

/* Whether the stream that declares this consumes that topic. */
extern bool fluct_topics_include(const char *declared, const char *topic);

/*
 * Which of so many workers has that partition of the topic.  A topic that is
 * added changes nothing for the others.
 */
extern int	fluct_topics_worker(const char *declared, const char *topic,
								int partition, int workers);

/* In messages: `partition 2`, or `topic "a", partition 2` where it has many. */
extern char *fluct_topics_describe(const char *declared, const char *topic,
								   int partition);

#endif							/* FLUCT_BOOKKEEPING_TOPICS_H */
