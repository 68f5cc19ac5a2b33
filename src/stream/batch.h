/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  The batch that a stream worker gathers and commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_BATCH_H
#define FLUCT_STREAM_BATCH_H

#include "postgres.h"

#include "base/message.h"

/* Opens the stream's tables. */
extern void fluct_batch_begin(void);

/* The messages that wait to be committed, until the next call here. */
extern const FluctMessage *fluct_batch_messages(int *count);

/* Takes what has arrived; how many: 0 = the client's queue is empty. */
extern int	fluct_batch_gather(void);

/*
 * Milliseconds until the messages are to be committed if no more arrive; to be
 * asked when the client's queue is empty.
 */
extern long fluct_batch_wait(void);

/*
 * Commits what was gathered if it is time.  `drained`: the client's queue is
 * empty, so what is committed is to be on disk.  Returns when it is committed,
 * and whether there was something; an error of the database is waited out, or
 * fails the stream.
 */
extern bool fluct_batch_commit_if_ended(bool drained);

/* Drops the messages; positions are to be read again. */
extern void fluct_batch_forget(void);

#endif							/* FLUCT_STREAM_BATCH_H */
