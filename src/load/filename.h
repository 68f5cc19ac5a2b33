/*-------------------------------------------------------------------------
 *
 * filename.h
 *	  Names of files as they are shown.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LOAD_FILENAME_H
#define FLUCT_LOAD_FILENAME_H

/* The bytes as they are shown, in new memory. */
extern char *fluct_filename_show(const char *bytes);

/* What was shown, as bytes; in place. */
extern char *fluct_filename_read(char *shown);

#endif							/* FLUCT_LOAD_FILENAME_H */
