/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  The role for which something runs by itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_OWNER_H
#define FLUCT_BOOKKEEPING_OWNER_H

#include "postgres.h"

/*
 * The role that a stored owner is: by its OID in the cluster of that system
 * identifier, so that a renamed role is followed; by its name in any other,
 * and where no OID is stored.  Invalid when there is no such role.
 */
extern Oid	fluct_owner_find(const char *name, Oid role, const char *system);

/*
 * Why what is owned may not run for that role now: privilege_lost (there is
 * no such role), owner_changed (another one has its name), owner_is_superuser,
 * owner_cannot_connect; NULL when nothing prevents it.  The last reason is
 * looked for only if it is to connect.  detail and hint are allocated in the
 * current memory context.
 */
extern const char *fluct_owner_obstacle(const char *owned, const char *name, Oid role,
										bool connects, char **detail,
										char **hint);

/* The same as an error (42501). */
extern void fluct_owner_require(const char *owned, const char *name, Oid role,
								bool connects);

/*
 * Refuses a session of any other role than this one (42501): code on the
 * role's tables is to run in it.
 */
extern void fluct_owner_require_session(Oid role);

/* The extension's owner, who writes the bookkeeping; or invalid. */
extern Oid	fluct_owner_of_extension(void);

#endif							/* FLUCT_BOOKKEEPING_OWNER_H */
