/*-------------------------------------------------------------------------
 *
 * diagnosis.h
 *	  Which column of a message's rows an error is about.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_DIAGNOSIS_H
#define FLUCT_SINK_DIAGNOSIS_H

#include "postgres.h"

#include "mapping/decode.h"

/*
 * Fills path, of FLUCT_PATH_LEN bytes, with the place in the message whose
 * value its column does not take; leaves it empty where no column is known.
 * The error is the one that refused the message, alone.
 */
extern void fluct_diagnosis_find(const FluctMapping *mapping,
								 const FluctRows *rows, int message,
								 const ErrorData *error, char *path);

/* The refusal of a message by that error; an empty path is none. */
extern void fluct_diagnosis_refuse(FluctRefusal *refusal, FluctReason reason,
								   const char *path, const ErrorData *error);

/*
 * Whether the columns take all values of a message that is decoded, to judge
 * by their types and domains; if not, why.  Nothing is stored.
 */
extern bool fluct_diagnosis_check(const FluctMapping *mapping,
								  const FluctRows *rows, int message,
								  FluctRefusal *refusal);

#endif							/* FLUCT_SINK_DIAGNOSIS_H */
