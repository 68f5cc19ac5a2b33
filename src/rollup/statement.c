/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Statements of the rollup's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/snapmgr.h"

#include "pg/query.h"
#include "rollup/statement.h"

static bool running = false;

bool
fluct_statement_is_running(void)
{
	return running;
}

void
fluct_statement_execute(SPIPlanPtr plan, Datum *args)
{
	int			result;
	bool		before = running;

	running = true;
	PG_TRY();
	{
		result = SPI_execute_snapshot(plan, args, NULL, GetLatestSnapshot(),
									  InvalidSnapshot, false, true, 0);
	}
	PG_FINALLY();
	{
		running = before;
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s",
			 SPI_result_code_string(result));
}

void
fluct_statement_run(void **plan, const char *sql)
{
	if (*plan == NULL)
		*plan = fluct_query_prepare(sql, 0, NULL, 0);
	fluct_statement_execute(*plan, NULL);
}

void
fluct_statement_run_with(void **plan, const char *sql, Datum argument)
{
	Oid			type = INT8OID;

	if (*plan == NULL)
		*plan = fluct_query_prepare(sql, 1, &type, 0);
	fluct_statement_execute(*plan, &argument);
}
