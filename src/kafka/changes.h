/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  Whether what a client was created with has changed since.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_CHANGES_H
#define FLUCT_KAFKA_CHANGES_H

#include "postgres.h"

#include "bookkeeping/streams.h"

/* Notes what this process is about to create its client with. */
extern void fluct_changes_begin(const FluctStream *stream, Oid owner);

/*
 * Whether the server, the owner's user mapping or a file of secrets is another
 * one since.  Cheap enough for each turn of a loop; outside of transactions.
 */
extern bool fluct_changes_found(const FluctStream *stream);

#endif							/* FLUCT_KAFKA_CHANGES_H */
