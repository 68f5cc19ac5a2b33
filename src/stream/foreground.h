/*-------------------------------------------------------------------------
 *
 * foreground.h
 *	  A stream worker that a session started, and watches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_FOREGROUND_H
#define FLUCT_STREAM_FOREGROUND_H

#include "postgres.h"

#include "stream/watch.h"

/* The life of the stream worker, in a process that is connected already. */
extern void fluct_foreground_run(const char *stream, const FluctWatch *watch)
			__attribute__((noreturn));

#endif							/* FLUCT_STREAM_FOREGROUND_H */
