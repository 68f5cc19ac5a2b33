/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  The role for which something runs by itself.
 *
 * What runs by itself has the rights of its owner, so it must be the role
 * that asked for it, and none that code planted by others would gain from.
 *
 * An owner is stored by name and OID.  The OID decides in the cluster in
 * which it was stored: a renamed role keeps what it owns, and who gets an old
 * name does not get what went with it.  In another cluster, after a restore,
 * only the name means anything; there nothing runs before somebody starts it.
 *
 * A process of the owner's needs LOGIN, and CONNECT on the database.  A
 * background worker that lacks either dies while it connects, before it can
 * say so; so whoever starts one looks first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "bookkeeping/owner.h"
#include "pg/argument.h"
#include "pg/compat.h"

PG_FUNCTION_INFO_V1(fluct_owner_role);
PG_FUNCTION_INFO_V1(fluct_require_owner);

Oid
fluct_owner_find(const char *name, Oid role, const char *system)
{
	const char *here = psprintf(UINT64_FORMAT, GetSystemIdentifier());

	if (!OidIsValid(role) || system == NULL || strcmp(system, here) != 0)
		return get_role_oid(name, true);
	return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)) ? role :
		InvalidOid;
}

/* The arguments are name, OID and system identifier; the last two may be NULL. */
static Oid
find_owner(FunctionCallInfo fcinfo)
{
	return fluct_owner_find(text_to_cstring(PG_GETARG_TEXT_PP(0)),
							PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
							PG_ARGISNULL(2) ? NULL :
							text_to_cstring(PG_GETARG_TEXT_PP(2)));
}

/*
 * fluct._owner_role(name text, role oid, system_identifier text) RETURNS oid
 *
 * fluct_owner_find; NULL when there is no such role.
 */
Datum
fluct_owner_role(PG_FUNCTION_ARGS)
{
	Oid			role = PG_ARGISNULL(0) ? InvalidOid : find_owner(fcinfo);

	if (!OidIsValid(role))
		PG_RETURN_NULL();
	PG_RETURN_OID(role);
}

/* ----- what may run ----- */

static const char *
cannot_connect(const char *name, const char *missing, char *grant,
			   char **detail, char **hint)
{
	*detail = psprintf("role \"%s\" has no %s, which its background worker needs",
					   name, missing);
	*hint = grant;
	return "owner_cannot_connect";
}

const char *
fluct_owner_obstacle(const char *owned, const char *name, Oid role,
					 bool connects, char **detail, char **hint)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	FormData_pg_authid found;

	if (!HeapTupleIsValid(tuple))
	{
		bool		another = OidIsValid(get_role_oid(name, true));

		*detail = psprintf(another ?
						   "role \"%s\" is not the one that owned %s, which is gone" :
						   "role \"%s\", the owner of %s, does not exist",
						   name, owned);
		*hint = "Drop it, and create it as the role that it is to belong to.";
		return another ? "owner_changed" : "privilege_lost";
	}
	found = *(Form_pg_authid) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	name = pstrdup(NameStr(found.rolname));
	if (found.rolsuper)
	{
		*detail = psprintf("role \"%s\" is a superuser, and code on its tables would run as one",
						   name);
		*hint = psprintf("ALTER ROLE %s NOSUPERUSER; or create it as an operator (fluct.grant_operator).",
						 quote_identifier(name));
		return "owner_is_superuser";
	}
	if (connects && !found.rolcanlogin)
		return cannot_connect(name, "LOGIN",
							  psprintf("ALTER ROLE %s LOGIN;", quote_identifier(name)),
							  detail, hint);
	if (connects && !fluct_compat_may_connect(MyDatabaseId, role))
	{
		const char *database = get_database_name(MyDatabaseId);

		return cannot_connect(name, psprintf("CONNECT on database \"%s\"", database),
							  psprintf("GRANT CONNECT ON DATABASE %s TO %s;",
									   quote_identifier(database),
									   quote_identifier(name)),
							  detail, hint);
	}
	return NULL;
}

void
fluct_owner_require(const char *owned, const char *name, Oid role,
					bool connects)
{
	char	   *detail,
			   *hint;
	const char *reason = fluct_owner_obstacle(owned, name, role, connects,
											  &detail, &hint);

	if (reason)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg_internal("%s", detail),
				 errdetail_internal("%s", reason),
				 errhint("%s", hint)));
}

void
fluct_owner_require_session(Oid role)
{
	const char *name = GetUserNameFromId(role, false);

	if (GetSessionUserId() != role)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a session of role \"%s\" can store these messages again",
						name),
				 errdetail("Code on the tables runs with the rights of the stream's owner, and this session is one of role \"%s\".",
						   GetUserNameFromId(GetSessionUserId(), false)),
				 errhint("Connect as %s.", quote_identifier(name))));
}

/*
 * fluct._require_owner(name text, role oid, system_identifier text)
 * RETURNS oid
 *
 * The owner, if something may run for it by itself (42501).
 */
Datum
fluct_require_owner(PG_FUNCTION_ARGS)
{
	Oid			role;

	fluct_argument_require(fcinfo, 0, "name");
	role = find_owner(fcinfo);
	fluct_owner_require("this", text_to_cstring(PG_GETARG_TEXT_PP(0)), role, true);
	PG_RETURN_OID(role);
}

/* ----- the extension's owner ----- */

Oid
fluct_owner_of_extension(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("fluct"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return owner;
}
