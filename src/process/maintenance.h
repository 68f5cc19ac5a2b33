/*-------------------------------------------------------------------------
 *
 * maintenance.h
 *	  Partitions that are made ahead.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_MAINTENANCE_H
#define FLUCT_PROCESS_MAINTENANCE_H

#include "postgres.h"

/*
 * Starts a process for each partitioned table of the model that exists, and
 * waits for none.  For the launcher, outside of a transaction.
 */
extern void fluct_maintenance_start(void);

extern PGDLLEXPORT void FluctMaintenanceMain(Datum arg);

#endif							/* FLUCT_PROCESS_MAINTENANCE_H */
