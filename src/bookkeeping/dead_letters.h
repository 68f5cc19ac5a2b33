/*-------------------------------------------------------------------------
 *
 * dead_letters.h
 *	  fluct.dead_letters: the messages that could not be stored.
 *
 * SPI must be connected.  Results are in the memory context that is given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_DEAD_LETTERS_H
#define FLUCT_BOOKKEEPING_DEAD_LETTERS_H

#include "postgres.h"

#include "utils/array.h"

#include "base/message.h"

/* A message with its refusal. */
extern void fluct_dead_letters_add(const char *stream,
								   const FluctMessage *message);

/*
 * The open dead letters of the stream with these ids, locked, as messages;
 * *found has their ids, *count how many there are.
 */
extern FluctMessage *fluct_dead_letters_take(const char *stream,
											 ArrayType *ids, int64 **found,
											 int *count,
											 MemoryContext context);

/* How many of the stream, within its error_window, are open. */
extern int64 fluct_dead_letters_recent(const char *stream);

#endif							/* FLUCT_BOOKKEEPING_DEAD_LETTERS_H */
