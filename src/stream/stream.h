/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  The stream worker: a process that consumes one stream.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_STREAM_H
#define FLUCT_STREAM_STREAM_H

#include "postgres.h"

#include "process/shmem.h"

/* Entry point of the process; the argument is the number of its slot. */
extern PGDLLEXPORT void FluctStreamMain(Datum arg);

/* All that comes after connecting; it does not return. */
extern void fluct_stream_work(FluctSlot *slot);

#endif							/* FLUCT_STREAM_STREAM_H */
