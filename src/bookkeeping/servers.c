/*-------------------------------------------------------------------------
 *
 * servers.c
 *	  Streams and members follow a server that is renamed.
 *
 * They are rows with the server's name, which pg_depend does not know, hence
 * an event trigger; in C, since only the command's tree has the old name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"

#include "pg/query.h"

PG_FUNCTION_INFO_V1(fluct_follow_server);

/*
 * fluct._follow_server() RETURNS event_trigger, on ddl_command_end
 */
Datum
fluct_follow_server(PG_FUNCTION_ARGS)
{
	EventTriggerData *data;
	RenameStmt *rename;
	FluctQuery	query = {0};

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by an event trigger")));
	data = (EventTriggerData *) fcinfo->context;
	rename = (RenameStmt *) data->parsetree;
	if (!IsA(rename, RenameStmt) || rename->renameType != OBJECT_FOREIGN_SERVER)
		PG_RETURN_NULL();
	SPI_connect();
	fluct_query_add_text(&query, strVal(rename->object));
	fluct_query_add_text(&query, rename->newname);
	fluct_query_run(&query, "SELECT fluct._rename_server($1, $2)");
	SPI_finish();
	PG_RETURN_NULL();
}
