/*-------------------------------------------------------------------------
 *
 * procedure.h
 *	  The beginning of a procedure that commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_PROCEDURE_H
#define FLUCT_PG_PROCEDURE_H

#include "postgres.h"

#include "fmgr.h"

/*
 * Connects to SPI so that SPI_commit works.  Errors: 25001, with that name of
 * the procedure, in a transaction block or a function.
 */
extern void fluct_procedure_connect(FunctionCallInfo fcinfo, const char *name);

#endif							/* FLUCT_PG_PROCEDURE_H */
