/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The launcher: starts a worker for each stream that should run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LAUNCHER_H
#define FLUCT_LAUNCHER_H

#include "postgres.h"

extern void fluct_launcher_register(void);
extern PGDLLEXPORT void FluctLauncherMain(Datum arg);

#endif							/* FLUCT_LAUNCHER_H */
