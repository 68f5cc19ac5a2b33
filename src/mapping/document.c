/*-------------------------------------------------------------------------
 *
 * document.c
 *	  The JSON document of a mapping, read member by member.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mapping/document.h"
#include "mapping/words.h"

bool
fluct_document_member(JsonbContainer *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key),
										value) != NULL;
}

char *
fluct_document_text(JsonbContainer *object, const char *key)
{
	JsonbValue	value;

	if (!fluct_document_member(object, key, &value))
		return NULL;
	if (value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"%s\" must be a string", key)));
	return pnstrdup(value.val.string.val, value.val.string.len);
}

JsonbContainer *
fluct_document_container(JsonbContainer *object, const char *key, bool array)
{
	JsonbValue	value;

	if (!fluct_document_member(object, key, &value))
		return NULL;
	if (value.type != jbvBinary ||
		JsonContainerIsArray(value.val.binary.data) != array)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: \"%s\" must be an %s", key,
						array ? "array" : "object")));
	return value.val.binary.data;
}

void
fluct_document_check_keys(JsonbContainer *object, const char *const *allowed, int nallowed,
						  const char *where)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		bool		known = false;
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		for (int i = 0; i < nallowed && !known; i++)
			known = strcmp(key, allowed[i]) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping: unknown key \"%s\" in %s", key, where),
					 fluct_words_hint(key, allowed, nallowed)));
	}
}
