/*-------------------------------------------------------------------------
 *
 * rights.h
 *	  The one way to work with another role's rights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_RIGHTS_H
#define FLUCT_PG_RIGHTS_H

#include "postgres.h"

/* What there was before; the caller keeps it for fluct_rights_give_back. */
typedef struct FluctRights
{
	Oid			user;
	int			context;		/* SECURITY_ flags */
	int			nest;			/* the level of settings that was opened */
} FluctRights;

/*
 * From here on the code works with the rights of `role`, in a
 * security-restricted operation and in a nest level of settings of its own: so
 * what somebody planted on that role's tables gets neither the rights of the
 * process nor a hold on its settings.  Within a transaction only.
 */
extern FluctRights fluct_rights_take(Oid role);

/*
 * Ends that, in the reverse order of the calls.  After an ERROR it must not be
 * called: the abort of the transaction, or of the subtransaction in which the
 * rights were taken, gives back rights and settings.
 */
extern void fluct_rights_give_back(FluctRights before);

#endif							/* FLUCT_PG_RIGHTS_H */
