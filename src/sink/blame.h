/*-------------------------------------------------------------------------
 *
 * blame.h
 *	  Whether the data is to blame for an error of the tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_BLAME_H
#define FLUCT_SINK_BLAME_H

#include "postgres.h"

#include "base/message.h"

/*
 * Between these two it is noted how deep in triggers an ERROR happens.  After
 * one, fluct_blame_end is not called: PG_TRY takes the callback away.
 */
extern void fluct_blame_begin(ErrorContextCallback *callback);
extern void fluct_blame_end(ErrorContextCallback *callback);

/* Of the last error between them: whether, and for which reason. */
extern bool fluct_blame_data(const ErrorData *error, FluctReason *reason);

#endif							/* FLUCT_SINK_BLAME_H */
