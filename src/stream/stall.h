/*-------------------------------------------------------------------------
 *
 * stall.h
 *	  Whether a stream that runs makes progress.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_STALL_H
#define FLUCT_STREAM_STALL_H

#include "postgres.h"

/* So many bytes of messages have come. */
extern void fluct_stall_note_received(size_t bytes);

/*
 * Compares where the worker stands with where Kafka's log ends, when that is
 * due; for a moment in which nothing is there to be taken.  True when the
 * client should be replaced: it delivers nothing, though Kafka holds more.
 */
extern bool fluct_stall_look(void);

/* The state `running`, with the reason that was found, if any. */
extern void fluct_stall_say(void);

#endif							/* FLUCT_STREAM_STALL_H */
