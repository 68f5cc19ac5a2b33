/*-------------------------------------------------------------------------
 *
 * procedure.c
 *	  The beginning of a procedure that commits.
 *
 * Such procedures are C and not SQL so that a transaction block is refused
 * before anything is done, and so that no snapshot is held between their
 * transactions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/parsenodes.h"

#include "pg/procedure.h"

void
fluct_procedure_connect(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run inside a transaction block or a function",
						name),
				 errdetail("It commits as it goes."),
				 errhint("COMMIT first.")));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}
