/*-------------------------------------------------------------------------
 *
 * vitals.c
 *	  What only the server knows about itself: versions, space, its databases.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "pg/guc.h"
#include "pg/query.h"
#include "process/vitals.h"

PG_FUNCTION_INFO_V1(fluct_library_version);
PG_FUNCTION_INFO_V1(fluct_listed_databases);
PG_FUNCTION_INFO_V1(fluct_disks);

/* The version of this library, which may be another than the extension's. */
Datum
fluct_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(FLUCT_VERSION));
}

void
fluct_vitals_tell_version(void)
{
	static bool told = false;
	FluctQuery	query = {0};

	if (told)
		return;
	told = true;
	fluct_query_add_text(&query, FLUCT_VERSION);
	if (fluct_query_run(&query,
						"SELECT extversion FROM pg_catalog.pg_extension"
						" WHERE extname = 'fluct' AND extversion <> $1") > 0)
		ereport(LOG,
				(errmsg("fluct's library is version %s, the extension in database \"%s\" is version %s",
						FLUCT_VERSION, get_database_name(MyDatabaseId),
						fluct_query_field_text(CurrentMemoryContext, 0, 1)),
				 errhint("As a superuser in that database: ALTER EXTENSION fluct UPDATE;")));
}

/* _listed_databases(): the names in fluct.database. */
Datum
fluct_listed_databases(PG_FUNCTION_ARGS)
{
	List	   *databases = fluct_guc_databases();
	Datum	   *names = palloc(sizeof(Datum) * (list_length(databases) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, databases)
		names[n++] = CStringGetTextDatum(strVal(lfirst(lc)));
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false,
										  TYPALIGN_INT));
}

/* One file system, unless it is that device, or cannot be looked at. */
static void
put_disk(ReturnSetInfo *rsinfo, const char *folder, const char *name,
		 uint64 *device)
{
	struct stat file;
	struct statvfs disk;
	Datum		values[3];
	bool		nulls[3] = {0};

	if (stat(folder, &file) != 0 || (uint64) file.st_dev == *device ||
		statvfs(folder, &disk) != 0)
		return;
	*device = file.st_dev;
	values[0] = CStringGetTextDatum(name);
	values[1] = Int64GetDatum((int64) disk.f_blocks * (int64) disk.f_frsize);
	values[2] = Int64GetDatum((int64) disk.f_bavail * (int64) disk.f_frsize);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* _disks(): folder, total, free (bytes), of the data and of the WAL if apart. */
Datum
fluct_disks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64		device = PG_UINT64_MAX;

	InitMaterializedSRF(fcinfo, 0);
	put_disk(rsinfo, DataDir, "data directory", &device);
	put_disk(rsinfo, "pg_wal", "pg_wal", &device);
	return (Datum) 0;
}
