/*-------------------------------------------------------------------------
 *
 * file.h
 *	  Server files: opened safely, identified by their content.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LOAD_FILE_H
#define FLUCT_LOAD_FILE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "base/message.h"

typedef struct FluctFile FluctFile;

/*
 * Opens the file for the current user; it is closed with the current memory
 * context.  Errors: not_found, unreadable, outside_root, not_regular_file.
 */
extern FluctFile *fluct_files_open(const char *path);

/* A path as SQL gives it, NUL-terminated. */
extern char *fluct_files_path(bytea *path);

/*
 * What follows fluct.inbox_root's folder in a path, or NULL if it is not
 * below.  A relative path begins at the root.
 */
extern const char *fluct_files_below_root(const char *path);

/* What to do about a path that is not below; which roles need not. */
extern char *fluct_files_root_hint(const char *others);

/* A file's time, to the microsecond. */
extern TimestampTz fluct_files_time(const struct timespec *time);

/* Reads on, hashing; 0 at the end.  The first argument is the FluctFile. */
extern size_t fluct_files_read(void *arg, char *buffer, size_t size);

/* Refuses it as a whole, with an ERROR. */
extern void fluct_files_refuse(const FluctFile *file, int sqlstate,
							   const char *reason, const char *detail);

/* Its name without folders, printable. */
extern const char *fluct_files_name(const FluctFile *file);

/* Reads to the end; whether the whole has that SHA-256 (NULL = any). */
extern bool fluct_files_unchanged(FluctFile *file, bytea *wanted);

#endif							/* FLUCT_LOAD_FILE_H */
