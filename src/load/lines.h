/*-------------------------------------------------------------------------
 *
 * lines.h
 *	  A server file by its lines, each a message of JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LOAD_LINES_H
#define FLUCT_LOAD_LINES_H

#include "postgres.h"

#include "base/refusal.h"
#include "load/reader.h"

/* A line is valid until the next is read. */
typedef struct FluctLines
{
	FluctReader *reader;
	FluctFile  *file;
	char	   *buffer;
	size_t		capacity;
	size_t		at;				/* of the next line */
	size_t		end;			/* of what was read */
	bool		eof;
	int64		number;			/* of the line last given, from 1 */
	int64		read;			/* of the line last read */
	bool		too_large;		/* it is longer than a message may be */
	char	   *held;			/* that line, if it is not given yet */
	size_t		held_len;
} FluctLines;

/* Opens the file, as fluct_reader_open does. */
extern void fluct_lines_open(FluctLines *lines, bytea *path, text * encoding,
							 bool gzip);

/*
 * The next line without its end; false at the end of the file.  Blank lines
 * at the end are ignored.  A line that is refused is one before another line
 * that is blank (with length 0), or one that is longer than a message may be
 * (with its beginning).
 */
extern bool fluct_lines_next_row(FluctLines *lines, char **line, size_t *len,
								 FluctRefusal *refusal);

/* The same, but a line that is refused refuses the file. */
extern bool fluct_lines_next(FluctLines *lines, char **line, size_t *len);

/* Refuses the file where its whole has not that SHA-256 (NULL = any). */
extern void fluct_lines_close(FluctLines *lines, bytea *sha256);

/* Refuses the file for one of its lines. */
extern void fluct_lines_refuse(const FluctLines *lines, int64 number,
							   const FluctRefusal *refusal)
			__attribute__((noreturn));

#endif							/* FLUCT_LOAD_LINES_H */
