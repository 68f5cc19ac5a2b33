/*-------------------------------------------------------------------------
 *
 * words.h
 *	  The nearest of some words, for hints.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_WORDS_H
#define FLUCT_MAPPING_WORDS_H

/* The nearest one, or NULL if none is near. */
extern const char *fluct_words_near(const char *word, const char *const *words,
									int nwords);

/* For ereport: a hint with the nearest one, if there is one. */
extern int	fluct_words_hint(const char *word, const char *const *words,
							 int nwords);

#endif							/* FLUCT_MAPPING_WORDS_H */
