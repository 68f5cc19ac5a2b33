/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  The stream worker: a process that consumes one stream.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_H
#define FLUCT_STREAM_H

#include "postgres.h"

/* Entry point of the process; the argument is the number of its slot. */
extern PGDLLEXPORT void FluctStreamMain(Datum arg);

#endif							/* FLUCT_STREAM_H */
