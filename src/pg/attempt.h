/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Work that may fail, in a subtransaction of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_ATTEMPT_H
#define FLUCT_PG_ATTEMPT_H

#include "postgres.h"

/*
 * NULL, or the error in which the work ended, in the caller's memory context;
 * then the subtransaction is rolled back.
 */
extern ErrorData *fluct_attempt(void (*work) (void *arg), void *arg);

#endif							/* FLUCT_PG_ATTEMPT_H */
