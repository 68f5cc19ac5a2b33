/*-------------------------------------------------------------------------
 *
 * unixtime.h
 *	  Times since 1970 as PostgreSQL has them, since 2000.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_UNIXTIME_H
#define FLUCT_PG_UNIXTIME_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* 2000-01-01, counted from 1970-01-01. */
#define FLUCT_UNIXTIME_2000_MS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)
#define FLUCT_UNIXTIME_2000_USECS	(FLUCT_UNIXTIME_2000_MS * 1000)

/*
 * Kafka's milliseconds since 1970 as a timestamptz; false for none (negative),
 * and for what is beyond PostgreSQL's range: a producer may write any number.
 */
static inline bool
fluct_unixtime_to_timestamp(int64 ms, TimestampTz *result)
{
	if (ms < 0 || ms >= END_TIMESTAMP / 1000 + FLUCT_UNIXTIME_2000_MS)
		return false;
	*result = (ms - FLUCT_UNIXTIME_2000_MS) * 1000;
	return true;
}

/* Milliseconds since 1970, rounded down; of times from then on. */
static inline int64
fluct_unixtime_from_timestamp(TimestampTz time)
{
	return time / 1000 + FLUCT_UNIXTIME_2000_MS;
}

#endif							/* FLUCT_PG_UNIXTIME_H */
