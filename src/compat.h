/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every test of PG_VERSION_NUM, as functions, for PostgreSQL 15 to 18.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_COMPAT_H
#define FLUCT_COMPAT_H

#include "postgres.h"

#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "fluct is for PostgreSQL 15 to 18"
#endif

/* A wait event of the extension's own; before 17 they had no names. */
static inline uint32
fluct_compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	(void) name;
	return PG_WAIT_EXTENSION;
#endif
}

#endif							/* FLUCT_COMPAT_H */
