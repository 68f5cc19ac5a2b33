/*-------------------------------------------------------------------------
 *
 * words.c
 *	  The nearest of some words, for hints.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "mapping/words.h"

const char *
fluct_words_near(const char *word, const char *const *words, int nwords)
{
	const char *near = NULL;
	int			len = strlen(word);
	int			least = Min(3, len - 1);	/* more changes are another word */

	for (int i = 0; i < nwords && len <= 64; i++)
	{
		int			changes = varstr_levenshtein_less_equal(word, len, words[i],
															strlen(words[i]), 1, 1, 1,
															least, true);

		if (changes <= least - (near != NULL))
		{
			least = changes;
			near = words[i];
		}
	}
	return near;
}

int
fluct_words_hint(const char *word, const char *const *words, int nwords)
{
	const char *near = fluct_words_near(word, words, nwords);

	return near ? errhint("Did you mean \"%s\"?", near) : 0;
}
