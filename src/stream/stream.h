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

#include "stream/watch.h"

/* Entry point of the process; the argument is the number of its slot. */
extern PGDLLEXPORT void FluctStreamMain(Datum arg);

/* The same in a worker that a session started, and watches. */
extern void fluct_stream_run(const char *stream, const FluctWatch *watch)
			__attribute__((noreturn));

#endif							/* FLUCT_STREAM_STREAM_H */
