/*-------------------------------------------------------------------------
 *
 * predict.h
 *	  What must become of a message, by PostgreSQL's own JSON parser and input
 *	  functions and by the rules of the contract.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_FUZZ_PREDICT_H
#define FLUCT_FUZZ_PREDICT_H

#include "postgres.h"

#include "mapping/mapping.h"
#include "nodes/pg_list.h"

#define FUZZ_REASON(reason)	(1u << (reason))

typedef struct FuzzPrediction
{
	uint32		reasons;		/* those it may be refused with; 0 = accepted */
	bool		unknown;		/* not predicted: jsonb knows no such number */
	int			sqlstate;		/* with which jsonb_in refused it, or 0 */
	List	   *values;			/* FuzzExpected, of each column of each row */
} FuzzPrediction;

/* A stored value as its type's output function writes it. */
typedef struct FuzzExpected
{
	const FluctColumn *column;
	char	   *text;			/* NULL for NULL */
	bool		nearly;			/* a time that was rounded to microseconds */
	bool		unknown;		/* not predicted */
} FuzzExpected;

extern void fuzz_predict(FuzzPrediction *prediction,
						 const FluctMapping *mapping, const char *bytes,
						 size_t len);

/* The input function's result, or its SQLSTATE. */
extern int	fuzz_try_input(Oid type, char *text, Datum *result);

/* Text of a value of that type. */
extern char *fuzz_output(Oid type, Datum value);

#endif							/* FLUCT_FUZZ_PREDICT_H */
