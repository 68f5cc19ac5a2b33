/*-------------------------------------------------------------------------
 *
 * retention.h
 *	  How long Kafka keeps what the stream has not read, for fluct.health.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_RETENTION_H
#define FLUCT_STREAM_RETENTION_H

/* Notes it when Kafka has said something new. */
extern void fluct_retention_note(void);

#endif							/* FLUCT_STREAM_RETENTION_H */
