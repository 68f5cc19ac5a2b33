/*-------------------------------------------------------------------------
 *
 * reader.h
 *	  A server file's bytes as UTF-8, whatever its encoding and compression.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LOAD_READER_H
#define FLUCT_LOAD_READER_H

#include "postgres.h"

#include "load/file.h"

typedef struct FluctReader FluctReader;

/*
 * Opens the file, as fluct_files_open does.  The encoding is one that
 * fluct_reader_encoding gave.
 */
extern FluctReader *fluct_reader_open(const char *path, const char *encoding,
									  bool gzip);

/* Reads on; 0 at the end.  The first argument is the FluctReader. */
extern size_t fluct_reader_read(void *arg, char *buffer, size_t size);

extern FluctFile *fluct_reader_file(const FluctReader *reader);

#endif							/* FLUCT_LOAD_READER_H */
