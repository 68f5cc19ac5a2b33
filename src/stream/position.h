/*-------------------------------------------------------------------------
 *
 * position.h
 *	  Where a stream worker stands in each of its partitions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_POSITION_H
#define FLUCT_STREAM_POSITION_H

#include "postgres.h"

#include "bookkeeping/offsets.h"
#include "kafka/consumer.h"

/*
 * Finds the positions, creates those that are missing, compares them with
 * Kafka's log and assigns them to the client.  Waits for silent brokers.
 */
extern void fluct_position_take(void);

/* Partitions of this worker. */
extern const FluctPosition *fluct_position_all(void);
extern int	fluct_position_count(void);

/*
 * Whether the positions are those for these places of the stream's topics;
 * else the next worker is to begin with what was added.
 */
extern bool fluct_position_fits(const FluctPlace *places, int count);

/*
 * Whether the message belongs in the batch.  One that is committed already
 * does not: it is a witness, and fails the stream if it has changed.
 */
extern bool fluct_position_read(const FluctMessage *message);

/*
 * Where each partition goes with this batch: those that move, in *touched,
 * which has room for all; returns how many.
 */
extern int	fluct_position_plan(FluctPosition *touched);

/* Takes over the positions that have moved. */
extern void fluct_position_settle(const FluctPosition *touched, int n);

/* Mirrors them to Kafka's group offsets. */
extern void fluct_position_mirror(const FluctPosition *touched, int n);

/* Whether only markers lie between a position and its partition's end. */
extern bool fluct_position_behind_markers(void);

/*
 * Whether all is read that Kafka had by its last answers.  False with markers
 * at the end, until Kafka has reported that end.
 */
extern bool fluct_position_in_hand(void);

/* Lag and rate to shared memory; the log's ends to the table now and then. */
extern void fluct_position_observe(void);
extern void fluct_position_note_log(void);

/*
 * Stores when all that Kafka had was last known to be committed: it is done
 * now and then, after a batch, and before something keeps the worker from
 * knowing it.
 */
extern void fluct_position_note_held(void);

/*
 * Where the readable log of this worker's partitions ends now, by their place;
 * NULL when Kafka does not say (see fluct_kafka_trouble).
 */
extern FluctOffset *fluct_position_ask_ends(void);

/*
 * wait_for_stream: notes where the log ends, and reports when it is reached.
 * Asking Kafka may stand behind a fetch that waits for messages: to be called
 * without a batch in hand, or, by a worker that is behind, after each.
 */
extern void fluct_position_serve_waiters(void);

#endif							/* FLUCT_STREAM_POSITION_H */
