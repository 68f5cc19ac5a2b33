/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  Statements of the rollup's own.
 *
 * SPI must be connected, and the user be the rollup's owner.  They see all that
 * is committed now, and what this transaction did.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_ROLLUP_STATEMENT_H
#define FLUCT_ROLLUP_STATEMENT_H

#include "postgres.h"

#include "executor/spi.h"

extern void fluct_statement_execute(SPIPlanPtr plan, Datum *args);

/* One without parameters, planned once in the life of the process. */
extern void fluct_statement_run(void **plan, const char *sql);

/* The same with one parameter, a bigint. */
extern void fluct_statement_run_with(void **plan, const char *sql,
									 Datum argument);

/* Whether one of these is running. */
extern bool fluct_statement_is_running(void);

#endif							/* FLUCT_ROLLUP_STATEMENT_H */
