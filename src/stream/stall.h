/*-------------------------------------------------------------------------
 *
 * stall.h
 *	  Whether a running stream makes progress.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_STALL_H
#define FLUCT_STREAM_STALL_H

#include "postgres.h"

/* Counts the bytes of messages that have arrived. */
extern void fluct_stall_note_received(size_t bytes);

/*
 * Compares the worker's positions with the ends of Kafka's log, if that is
 * due; for a moment in which no message is waiting.  True if the client should
 * be replaced: it delivers nothing, although Kafka holds more.
 */
extern bool fluct_stall_look(void);

/*
 * Fails for a fault of Kafka's log, and says where it is: known if the log goes
 * on in one partition only.
 */
extern void fluct_stall_fail(const char *reason, const char *detail)
			__attribute__((noreturn));

/* Sets the state `running`, with the reason that was found, if any. */
extern void fluct_stall_say(void);

#endif							/* FLUCT_STREAM_STALL_H */
