/*-------------------------------------------------------------------------
 *
 * flush.h
 *	  When a batch that is committed is on disk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_FLUSH_H
#define FLUCT_SINK_FLUSH_H

/*
 * fluct_worker_commit for a batch.  The batch before is on disk when this one
 * is visible.  `more`: the next one follows at once, so this one's flush may
 * be left to whatever comes first, the next commit or fluct_flush_finish.
 */
extern void fluct_flush_commit(bool more);

/* Whether a batch is committed that may not be on disk. */
extern bool fluct_flush_is_pending(void);

/* Returns when it is on disk. */
extern void fluct_flush_finish(void);

#endif							/* FLUCT_SINK_FLUSH_H */
