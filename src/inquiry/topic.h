/*-------------------------------------------------------------------------
 *
 * topic.h
 *	  What a worker finds out for a session: question, answer, Kafka's state.
 *
 * The question lies in dynamic shared memory, with the queue of the answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_TOPIC_H
#define FLUCT_INQUIRY_TOPIC_H

#include "postgres.h"

#include "bookkeeping/streams.h"
#include "kafka/connection.h"
#include "kafka/consumer.h"
#include "stream/watch.h"

#define FLUCT_INQUIRY_START_LEN	4096

typedef enum FluctQuestion
{
	FLUCT_CHECK,				/* rows of item, status, detail, hint */
	FLUCT_PREVIEW,				/* rows of preview_stream's columns */
	FLUCT_SEEK,					/* rows of partition, the log's begin and end,
								 * and where start_at begins */
	FLUCT_RECONCILE,			/* rows of reconcile_stream's columns */
	FLUCT_RUN					/* notices, and a last word (watch.h) */
} FluctQuestion;

/*
 * At the beginning of the dynamic shared memory segment whose handle is the
 * worker's argument; the queue of its answers follows, at FLUCT_INQUIRY_QUEUE.
 * Only the session writes it, before the worker starts.
 */
typedef struct FluctInquiry
{
	Oid			database;
	char		stream[NAMEDATALEN];
	FluctQuestion question;
	int			count;			/* messages to show */
	bool		has_start;
	char		start_at[FLUCT_INQUIRY_START_LEN];
	FluctWatch	watch;			/* of FLUCT_RUN */
} FluctInquiry;

#define FLUCT_INQUIRY_QUEUE		MAXALIGN(sizeof(FluctInquiry))

/*
 * The kinds of messages in the queue, besides the protocol's own for errors
 * and notices: a row (int16 number of fields; each its int32 length, -1 for
 * NULL, and its text), a sign of life, and the end of the answer.
 */
#define FLUCT_ANSWER_ROW	'D'
#define FLUCT_ANSWER_ALIVE	'L'
#define FLUCT_ANSWER_END	'C'

/* What is asked about, and what is known of it. */
typedef struct FluctSubject
{
	const FluctInquiry *inquiry;
	FluctStream *stream;
	Oid			owner;
	FluctClient client;
	int			npartitions;	/* of the topic */
	FluctOffset *begin;			/* of Kafka's log, by partition */
	FluctOffset *end;
	int64	   *next;			/* where the stream stands; -1 = not its own */
	bool		is_new;			/* it has no position yet */
} FluctSubject;

/* The one of this process; the last fields are filled by the calls below. */
extern FluctSubject fluct_subject;

/*
 * A row of the answer, to the session; NULL is NULL.  A sign of life, where
 * the next row takes seconds.  And the last word.
 */
extern void fluct_look_put_row(const char *const *fields, int count);
extern void fluct_look_put_life(void);
extern void fluct_look_put_end(void);

/* The session's error when Kafka did not answer. */
extern void fluct_look_throw_trouble(void)
			__attribute__((noreturn));

/*
 * These ask Kafka for a few seconds at most.  False: fluct_kafka_trouble says
 * why.  In this order: the topic's partitions; where its log begins and ends;
 * where the stream stands, or would begin, or, unless NULL, where start_at
 * begins (*gone is a partition that it stands in and the topic has not, or
 * -1).
 */
extern bool fluct_look_partitions(void);
extern bool fluct_look_log(void);
extern bool fluct_look_positions(const char *start_at, int *gone);

/* Where start_at begins in all partitions of the topic, the stream's or not. */
extern bool fluct_look_start(const char *start_at);

/* Reads the ends again where next is beyond one, until that is believed. */
extern bool fluct_look_confirm_ends(void);

/*
 * Reads up to max messages, from these offsets on by partition (-1: not this
 * one), to the ends of the log or for so many ms; returns how many.
 */
extern int	fluct_look_read(const int64 *from, FluctMessage *messages, int max,
							long ms);

/*
 * Kafka's time of the oldest message that it holds from these offsets on, in
 * ms since 1970, or -1; *all is false when not every partition answered.
 */
extern int64 fluct_look_oldest(const int64 *from, long ms, bool *all);

#endif							/* FLUCT_INQUIRY_TOPIC_H */
