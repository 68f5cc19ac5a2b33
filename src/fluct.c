/*-------------------------------------------------------------------------
 *
 * fluct.c
 *	  _PG_init: wires everything; nobody includes this file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "load/progress.h"
#include "pg/guc.h"
#include "process/announce.h"
#include "process/batches.h"
#include "process/events.h"
#include "process/launcher.h"
#include "process/shmem.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* Without a preload there are no processes, and everything else works. */
void
_PG_init(void)
{
	fluct_guc_init();
	fluct_announce_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	fluct_shmem_init();
	fluct_progress_init();
	fluct_batches_init();
	fluct_events_init();
	fluct_launcher_register();
}
