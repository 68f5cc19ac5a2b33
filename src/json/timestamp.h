/*-------------------------------------------------------------------------
 *
 * timestamp.h
 *	  Timestamps of RFC 3339.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_TIMESTAMP_H
#define FLUCT_JSON_TIMESTAMP_H

#include "base/message.h"

/*
 * RFC 3339 date-time, seconds and offset optional (none = UTC), `T`, `t` or
 * one blank between; microseconds since 2000-01-01 00:00 UTC.  Digits past the sixth
 * are rounded, second 60 is the next minute's 0, 24:00 the next day's.
 * FLUCT_OK or FLUCT_BAD_TIMESTAMP.
 */
extern FluctReason fluct_timestamp_parse(const char *text, size_t len,
										 int64_t *usecs);

/* The same; *zoned says whether it has an offset, without which it is UTC. */
extern FluctReason fluct_timestamp_parse_local(const char *text, size_t len,
											   int64_t *usecs, bool *zoned);

#endif							/* FLUCT_JSON_TIMESTAMP_H */
