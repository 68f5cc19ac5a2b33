/*-------------------------------------------------------------------------
 *
 * topic.h
 *	  What Kafka says about the topic of an inquiry.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_TOPIC_H
#define FLUCT_INQUIRY_TOPIC_H

#include "postgres.h"

#include "bookkeeping/streams.h"
#include "inquiry/inquiry.h"
#include "kafka/connection.h"
#include "kafka/consumer.h"

/*
 * What the inquiry is about, and what is known of it.  The worker fills the
 * first three, fluct_client_open the fourth, and the calls below the rest, in
 * their memory context.
 */
typedef struct FluctTopic
{
	const FluctInquiry *inquiry;
	FluctStream *stream;
	Oid			owner;
	FluctClient client;
	FluctPlace *places;			/* the partitions of its topics */
	int			nplaces;
	FluctOffset *begin;			/* of Kafka's log, by place */
	FluctOffset *end;
	int64	   *next;			/* where the stream stands; -1 = not its own */
	bool		is_new;			/* it has no position yet */
	char	   *unknown;		/* a partition that is named and not there */
} FluctTopic;

/*
 * These ask Kafka for a few seconds at most.  False: fluct_kafka_trouble says
 * why.  In this order: the topics' partitions; where their log begins and ends;
 * where the stream stands, or would begin, or, unless NULL, where start_at
 * begins (*gone is where it stands and no partition is, or its topic is NULL).
 */
extern bool fluct_topic_places(FluctTopic *topic);
extern bool fluct_topic_log(FluctTopic *topic);
extern bool fluct_topic_positions(FluctTopic *topic, const char *start_at,
								  FluctPlace *gone);

/* The index of a place, or -1. */
extern int	fluct_topic_find(const FluctTopic *topic, const char *name,
							 int partition);

/* Where start_at begins in all partitions of the topics, the stream's or not. */
extern bool fluct_topic_start(FluctTopic *topic, const char *start_at);

/* Reads the ends again where next is beyond one, until that is believed. */
extern bool fluct_topic_confirm_ends(FluctTopic *topic);

/*
 * Reads up to max messages, from these offsets on by place (-1: not this
 * one), to the ends of the log or for so many ms; returns how many.
 */
extern int	fluct_topic_read(const FluctTopic *topic, const int64 *from,
							 FluctMessage *messages, int max, long ms);

/*
 * Kafka's time of the oldest message that it holds from these offsets on, in
 * ms since 1970, or -1; *all is false when not every partition answered.
 */
extern int64 fluct_topic_oldest(const FluctTopic *topic, const int64 *from,
								long ms, bool *all);

#endif							/* FLUCT_INQUIRY_TOPIC_H */
