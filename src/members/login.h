/*-------------------------------------------------------------------------
 *
 * login.h
 *	  How to log in to a member.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MEMBERS_LOGIN_H
#define FLUCT_MEMBERS_LOGIN_H

#include "postgres.h"

/* Parameters for libpq, and what they were made of. */
typedef struct FluctLogin
{
	int			n;
	const char **keywords;		/* ended by NULL, as the values */
	const char **values;
	bool		password;		/* the member must have asked for the password */
	Oid			mapping;		/* the user mapping */
	uint32		version;		/* changes with the server and the mapping */
} FluctLogin;

/*
 * The login of a role, by its user mapping or the one for PUBLIC, in the
 * current memory context; to write, by the role's own alone.  Raises an ERROR,
 * with the statement to paste, where there is none, or one that must not be used.
 */
extern FluctLogin *fluct_login_find(const char *server, Oid role, bool writes);

#endif							/* FLUCT_MEMBERS_LOGIN_H */
