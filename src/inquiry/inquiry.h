/*-------------------------------------------------------------------------
 *
 * inquiry.h
 *	  An inquiry: what a session asks a worker, and how it is answered.
 *
 * It lies in dynamic shared memory, with the queue of the answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_INQUIRY_H
#define FLUCT_INQUIRY_INQUIRY_H

#include "postgres.h"

#include "stream/watch.h"

#define FLUCT_INQUIRY_START_LEN	4096

typedef enum FluctInquiryKind
{
	FLUCT_INQUIRY_CHECK,		/* rows of item, status, detail, hint */
	FLUCT_INQUIRY_PREVIEW,		/* rows of preview_stream's columns */
	FLUCT_INQUIRY_SEEK,			/* rows of partition, the log's begin and end,
								 * and where start_at begins */
	FLUCT_INQUIRY_RECONCILE,	/* rows of reconcile_stream's columns */
	FLUCT_INQUIRY_SAMPLE,		/* rows of a topic's newest messages: topic,
								 * whether framed, the JSON as text */
	FLUCT_INQUIRY_RUN			/* notices, and a last message (watch.h) */
} FluctInquiryKind;

/*
 * At the beginning of the dynamic shared memory segment whose handle is the
 * worker's argument; the queue of its answers follows, at FLUCT_INQUIRY_QUEUE.
 * Only the session writes it, before the worker starts.
 */
typedef struct FluctInquiry
{
	Oid			database;
	Oid			owner;			/* of the stream: the role of the session */
	char		stream[NAMEDATALEN];	/* or, of FLUCT_INQUIRY_SAMPLE, server */
	FluctInquiryKind kind;
	int			count;			/* messages to show */
	bool		has_start;
	char		start_at[FLUCT_INQUIRY_START_LEN];	/* or topic */
	FluctWatch	watch;			/* of FLUCT_INQUIRY_RUN */
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

#endif							/* FLUCT_INQUIRY_INQUIRY_H */
