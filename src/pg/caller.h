/*-------------------------------------------------------------------------
 *
 * caller.h
 *	  Whose rights a function works with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_CALLER_H
#define FLUCT_PG_CALLER_H

#include "postgres.h"

#include "fmgr.h"

/*
 * Calls the function of the same name with an underscore before it, with the
 * caller's rights.  For C functions that do something around it.
 */
extern Datum fluct_call_as_is(PG_FUNCTION_ARGS);

#endif							/* FLUCT_PG_CALLER_H */
