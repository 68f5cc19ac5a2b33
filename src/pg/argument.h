/*-------------------------------------------------------------------------
 *
 * argument.h
 *	  Arguments of C functions that must be given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_ARGUMENT_H
#define FLUCT_PG_ARGUMENT_H

#include "postgres.h"

#include "fmgr.h"

/* Errors: 22004 when the n-th argument, from 0, is NULL; `name` is in it. */
extern void fluct_argument_require(FunctionCallInfo fcinfo, int n,
								   const char *name);

#endif							/* FLUCT_PG_ARGUMENT_H */
