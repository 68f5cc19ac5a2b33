/*-------------------------------------------------------------------------
 *
 * rights.c
 *	  The one way to work with another role's rights.
 *
 * Both halves are always taken together.  The restricted operation refuses SET
 * ROLE and whatever else would change the user, but not SET and set_config();
 * the nest level reverts those.
 *
 * An ERROR leaves both as they are until somebody ends the transaction or
 * subtransaction in which it happened: AbortTransaction and
 * AbortSubTransaction set user and context back to what they were at their
 * begin, and AtEOXact_GUC rolls back every nest level that was opened since.
 * A PG_CATCH that goes on without that would go on as the other role.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "pg/rights.h"

FluctRights
fluct_rights_take(Oid role)
{
	FluctRights before;

	GetUserIdAndSecContext(&before.user, &before.context);
	before.nest = NewGUCNestLevel();
	SetUserIdAndSecContext(role, before.context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	return before;
}

void
fluct_rights_give_back(FluctRights before)
{
	AtEOXact_GUC(false, before.nest);
	SetUserIdAndSecContext(before.user, before.context);
}
