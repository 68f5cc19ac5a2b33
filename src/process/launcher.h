/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The launcher: starts a worker for each stream that should run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_LAUNCHER_H
#define FLUCT_PROCESS_LAUNCHER_H

#include "postgres.h"

extern void fluct_launcher_register(void);
extern PGDLLEXPORT void FluctLauncherMain(Datum arg);

#endif							/* FLUCT_PROCESS_LAUNCHER_H */
