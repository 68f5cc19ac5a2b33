/*-------------------------------------------------------------------------
 *
 * csvguess.h
 *	  What was meant: kinds of files that are no CSV, near names, delimiters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_CSV_CSVGUESS_H
#define FLUCT_CSV_CSVGUESS_H

#include "base/message.h"

/* What people put in place of a comma. */
#define FLUCT_CSV_DELIMITERS	";\t|"

/* Of a name, how much is compared when the nearest one is sought. */
#define FLUCT_CSV_NAME_LEN		64

/* What a file with these first bytes is, if it is no CSV; else NULL. */
extern const char *fluct_csvguess_kind(const char *bytes, size_t len,
									   bool *is_text);

/* Changes of single bytes that make one name of the other (Levenshtein). */
extern int	fluct_csvguess_distance(const char *a, size_t a_len, const char *b,
									size_t b_len);

/* The delimiter with which a name stands in this text, or 0. */
extern char fluct_csvguess_delimiter(const char *text, size_t text_len,
									 const char *name);

#endif							/* FLUCT_CSV_CSVGUESS_H */
