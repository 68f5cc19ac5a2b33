/*-------------------------------------------------------------------------
 *
 * messages.h
 *	  Random messages: whole ones, broken ones, and values at their limits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_FUZZ_MESSAGES_H
#define FLUCT_FUZZ_MESSAGES_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* What a value should look like, most of the time. */
typedef enum FuzzKind
{
	FUZZ_ANY,
	FUZZ_NUMBER,
	FUZZ_NUMBER_TEXT,
	FUZZ_STRING,
	FUZZ_TIMESTAMP,
	FUZZ_DATE,
	FUZZ_UUID,
	FUZZ_BOOL,
	FUZZ_KINDS
} FuzzKind;

typedef struct FuzzSamples
{
	int			count;
	StringInfoData *samples;
} FuzzSamples;

/* The numbers of one iteration depend on seed and iteration alone. */
extern void fuzz_seed(uint64 seed, uint64 iteration);
extern uint32 fuzz_below(uint32 n);

/* {"v": a value of that kind, ...}, sometimes broken. */
extern void fuzz_value_message(StringInfo out, FuzzKind kind);

/* An order, made up or one of the samples, mostly broken. */
extern void fuzz_order_message(StringInfo out, const FuzzSamples *samples);

#endif							/* FLUCT_FUZZ_MESSAGES_H */
