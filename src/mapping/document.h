/*-------------------------------------------------------------------------
 *
 * document.h
 *	  The JSON document of a mapping, read member by member.
 *
 * A member of another type than asked for, or an unknown one, is an error
 * (22023).
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_DOCUMENT_H
#define FLUCT_MAPPING_DOCUMENT_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Whether the object has that member; *value is filled if it has. */
extern bool fluct_document_member(JsonbContainer *object, const char *key,
								  JsonbValue *value);

/* A string, or an object or array; NULL if there is no such member. */
extern char *fluct_document_text(JsonbContainer *object, const char *key);
extern JsonbContainer *fluct_document_container(JsonbContainer *object,
												const char *key, bool array);

/* Refuses members other than the allowed ones; `where` names the object. */
extern void fluct_document_check_keys(JsonbContainer *object,
									  const char *const *allowed,
									  int nallowed, const char *where);

#endif							/* FLUCT_MAPPING_DOCUMENT_H */
