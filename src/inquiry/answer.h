/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  A worker's answer to an inquiry, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_INQUIRY_ANSWER_H
#define FLUCT_INQUIRY_ANSWER_H

#include "postgres.h"

#include "bookkeeping/streams.h"

/* A row; a field that is NULL is NULL. */
extern void fluct_answer_put_row(const char *const *fields, int count);

/* A sign of life, where the next row takes seconds. */
extern void fluct_answer_put_life(void);

/* The last message. */
extern void fluct_answer_put_end(void);

/* Ends the inquiry with an ERROR: Kafka did not answer about the stream. */
extern void fluct_answer_throw_trouble(const FluctStream *stream)
			__attribute__((noreturn));

#endif							/* FLUCT_INQUIRY_ANSWER_H */
