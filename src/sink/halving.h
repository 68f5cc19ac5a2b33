/*-------------------------------------------------------------------------
 *
 * halving.h
 *	  The search for the messages that are to blame for an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_HALVING_H
#define FLUCT_SINK_HALVING_H

#include "postgres.h"

#include "base/message.h"

/* One step of a batch, done for the messages from..to-1. */
typedef void (*FluctStep) (void *arg, FluctMessage *messages, int from,
						   int to);

/* Called for a message that fails by itself, with the error. */
typedef void (*FluctBury) (void *arg, FluctMessage *messages, int guilty,
						   FluctReason reason, const ErrorData *error);

/*
 * Does the step for the messages from..to-1, in the order of the messages and
 * in subtransactions, and buries those for which it fails for the data's sake;
 * their outcome is then what it was before.  Any other error goes on.
 */
extern void fluct_halving_run(FluctStep step, FluctBury bury, void *arg,
							  FluctMessage *messages, int from, int to);

#endif							/* FLUCT_SINK_HALVING_H */
