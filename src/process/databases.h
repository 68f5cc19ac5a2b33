/*-------------------------------------------------------------------------
 *
 * databases.h
 *	  Which database a launcher serves, and that each has one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_DATABASES_H
#define FLUCT_PROCESS_DATABASES_H

#include "postgres.h"

#include "process/shmem.h"

/*
 * Connects the launcher of that number, 0 being the first, to its database;
 * does not return where there is none.  The name of it is the result.
 */
extern const char *fluct_databases_connect(int number);

/*
 * Exits if this launcher's database is no longer its to serve.  The first
 * launcher also starts those of the other databases.  Returns the ms after
 * which to look again.
 */
extern long fluct_databases_look(void);

/*
 * Reserves a slot for a worker, if one of fluct.max_workers is free and it is
 * this database's turn to take it; else NULL.
 */
extern FluctSlot *fluct_databases_take_turn(const char *stream, int worker,
											Oid owner);

/*
 * How many workers the streams of this database need; and whether one waits
 * for a slot, which is for others to consider in take_turn.
 */
extern void fluct_databases_note_wanted(int wanted);
extern void fluct_databases_note_waiting(bool waiting);

/* Workers and launchers that all databases need. */
extern int	fluct_databases_wanted(void);
extern int	fluct_databases_launchers(void);

#endif							/* FLUCT_PROCESS_DATABASES_H */
