/*-------------------------------------------------------------------------
 *
 * printable.h
 *	  Texts from outside, as they are shown.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_PRINTABLE_H
#define FLUCT_PG_PRINTABLE_H

#include "postgres.h"

/*
 * Bytes of any kind, as they are shown in messages, views and the log: what is
 * not safe to print is \xNN or \uNNNN.  In the current memory context.
 */
extern char *fluct_printable(const char *bytes, size_t len);

#endif							/* FLUCT_PG_PRINTABLE_H */
