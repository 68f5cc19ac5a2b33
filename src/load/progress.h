/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  The progress of loads, for other sessions to see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LOAD_PROGRESS_H
#define FLUCT_LOAD_PROGRESS_H

#include "base/message.h"

extern void fluct_progress_init(void);

/*
 * All but the first do nothing unless this backend is in a load, and fluct
 * preloaded.  A load ends with its transaction at the latest.
 */
extern void fluct_progress_open(const char *file, int64_t bytes);
extern void fluct_progress_bytes(int64_t n);
extern void fluct_progress_rows(int64_t n);

#endif							/* FLUCT_LOAD_PROGRESS_H */
