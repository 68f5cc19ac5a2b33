/*-------------------------------------------------------------------------
 *
 * inbox.h
 *	  The folders of an inbox.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LOAD_INBOX_H
#define FLUCT_LOAD_INBOX_H

#include "postgres.h"

/* A file name given by SQL, not a path. */
extern char *fluct_inbox_name(text * shown);

/*
 * Opens the folder `sub` ("" = itself) of an inbox's directory as the current
 * user may; `make` creates `sub`.  -1 if there is no `sub`.
 */
extern int	fluct_inbox_open(const char *directory, const char *sub, bool make);

/* A folder could not be opened, created or written: errno says why. */
extern void fluct_inbox_refuse(const char *directory, const char *what);

#endif							/* FLUCT_LOAD_INBOX_H */
