/*-------------------------------------------------------------------------
 *
 * filename.h
 *	  File names as they are displayed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_LOAD_FILENAME_H
#define FLUCT_LOAD_FILENAME_H

/* The bytes as text, newly allocated. */
extern char *fluct_filename_show(const char *bytes);

/* The text as bytes, in place. */
extern char *fluct_filename_read(char *shown);

#endif							/* FLUCT_LOAD_FILENAME_H */
