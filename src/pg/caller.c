/*-------------------------------------------------------------------------
 *
 * caller.c
 *	  Whose rights a function works with.
 *
 * Bookkeeping tables are written by functions only, and a function must know
 * who called it: the owner of a stream is its creator.  A SECURITY DEFINER
 * function cannot know that.  So a public function that writes bookkeeping is
 * one of these, which calls the function of the same name and arguments with
 * an underscore before the name, which nobody else may call:
 *
 * - fluct_call_as_owner remembers the caller and becomes the extension's
 *	 owner; the sibling asks fluct._caller() and checks as the caller.
 * - fluct_call_as_caller is the way back, for the part of the work that
 *	 touches users' tables and files.  Nothing that the caller could have made
 *	 (temporary tables, triggers) is touched before or after it as the owner.
 * - fluct_call_as_is changes nobody's rights.
 * - fluct_call_on_tables is for what reads and writes the tables in sales and
 *	 no bookkeeping.  The caller's rights are enough for that, and where they
 *	 include those of the tables' owner (a superuser, a member), they are more
 *	 than code that the owner has planted there may have: then it works with
 *	 the owner's, in a restricted operation.  Code that runs within such a
 *	 call has a caller, too, and is not served with that role's rights.
 *
 * An error that our own functions raise is complete with its message, detail
 * and hint; the list of the functions it came through is removed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "pg/caller.h"
#include "pg/model.h"
#include "pg/rights.h"

PG_FUNCTION_INFO_V1(fluct_call_as_owner);
PG_FUNCTION_INFO_V1(fluct_call_as_caller);
PG_FUNCTION_INFO_V1(fluct_call_as_is);
PG_FUNCTION_INFO_V1(fluct_call_on_tables);
PG_FUNCTION_INFO_V1(fluct_caller);

/* Who called the innermost function of fluct_call_as_owner. */
static Oid	caller = InvalidOid;

typedef struct Sibling
{
	FmgrInfo	function;
	Oid			owner;
} Sibling;

/* The function `_name` with the same arguments as the one called. */
static Sibling *
find_sibling(FunctionCallInfo fcinfo)
{
	Sibling    *sibling;
	HeapTuple	tuple,
				other;
	Form_pg_proc proc;
	char		name[NAMEDATALEN];

	if (fcinfo->flinfo->fn_extra != NULL)
		return fcinfo->flinfo->fn_extra;
	sibling = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(Sibling));
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u",
			 fcinfo->flinfo->fn_oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	snprintf(name, sizeof(name), "_%s", NameStr(proc->proname));
	other = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name),
							PointerGetDatum(&proc->proargtypes),
							ObjectIdGetDatum(proc->pronamespace));
	if (!HeapTupleIsValid(other) ||
		((Form_pg_proc) GETSTRUCT(other))->proowner != proc->proowner)
		elog(ERROR, "function %s has no sibling", NameStr(proc->proname));
	sibling->owner = proc->proowner;
	fmgr_info_cxt(((Form_pg_proc) GETSTRUCT(other))->oid, &sibling->function,
				  fcinfo->flinfo->fn_mcxt);
	ReleaseSysCache(other);
	ReleaseSysCache(tuple);
	fcinfo->flinfo->fn_extra = sibling;
	return sibling;
}

/* Whether each function that an error came through is ours. */
static bool
is_ours(const char *context)
{
	/* in the language of lc_messages */
	const char *line = dgettext(PG_TEXTDOMAIN("plpgsql"),
								"PL/pgSQL function %s line %d at %s");
	char	   *function = pnstrdup(line, strcspn(line, "%"));
	bool		any = false;

	/* some languages begin with the name */
	if (context == NULL || function[0] == '\0')
		return false;
	for (const char *p = strstr(context, function); p != NULL;
		 p = strstr(p, function))
	{
		p += strlen(function);
		/* quoted where quote_all_identifiers is on */
		if (strncmp(p, "fluct.", 6) != 0 && strncmp(p, "\"fluct\".", 8) != 0)
			return false;
		any = true;
	}
	return any;
}

/* The error at hand, without its context if that is only our own functions. */
static void
throw_again(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (!is_ours(error->context) &&
		strncmp(error->message, "file \"", strlen("file \"")) != 0)
		PG_RE_THROW();
	error->context = NULL;
	FlushErrorState();
	ReThrowError(error);
}

/* Calls the sibling as `user`, on behalf of `for_whom`. */
static Datum
call_sibling(FunctionCallInfo fcinfo, Sibling *sibling, Oid user, Oid for_whom)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	MemoryContext memory = CurrentMemoryContext;
	Oid			outer_caller = caller;
	Oid			outer_user;
	int			context;
	volatile Datum result = (Datum) 0;

	GetUserIdAndSecContext(&outer_user, &context);
	InitFunctionCallInfoData(*call, &sibling->function, fcinfo->nargs,
							 fcinfo->fncollation, fcinfo->context,
							 fcinfo->resultinfo);
	memcpy(call->args, fcinfo->args, sizeof(NullableDatum) * fcinfo->nargs);
	caller = for_whom;
	SetUserIdAndSecContext(user, context | SECURITY_LOCAL_USERID_CHANGE);
	PG_TRY();
	{
		result = FunctionCallInvoke(call);
	}
	PG_CATCH();
	{
		caller = outer_caller;
		SetUserIdAndSecContext(outer_user, context);
		throw_again(memory);
	}
	PG_END_TRY();
	caller = outer_caller;
	SetUserIdAndSecContext(outer_user, context);
	fcinfo->isnull = call->isnull;
	return result;
}

/*
 * All of these functions write, or need a process that only a primary starts:
 * check_stream, for example, would wait for its worker in vain.
 */
static void
refuse_in_recovery(Oid function)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute fluct.%s() during recovery",
						get_func_name(function)),
				 errhint("Call it on the primary, or here once this server is promoted.")));
}

Datum
fluct_call_as_owner(PG_FUNCTION_ARGS)
{
	Sibling    *sibling = find_sibling(fcinfo);

	refuse_in_recovery(fcinfo->flinfo->fn_oid);
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot call fluct.%s() within a security-restricted operation",
						get_func_name(fcinfo->flinfo->fn_oid))));
	return call_sibling(fcinfo, sibling, sibling->owner, GetUserId());
}

Datum
fluct_call_as_caller(PG_FUNCTION_ARGS)
{
	if (!OidIsValid(caller) || InSecurityRestrictedOperation())
		elog(ERROR, "there is no caller");
	return call_sibling(fcinfo, find_sibling(fcinfo), caller, caller);
}

Datum
fluct_call_as_is(PG_FUNCTION_ARGS)
{
	return call_sibling(fcinfo, find_sibling(fcinfo), GetUserId(), caller);
}

Datum
fluct_call_on_tables(PG_FUNCTION_ARGS)
{
	Sibling    *sibling = find_sibling(fcinfo);
	Oid			user = GetUserId();
	Oid			owner = fluct_model_owner();
	FluctRights before;
	Datum		result;

	/* only the extension's owner works on behalf of the caller */
	if (user == sibling->owner && OidIsValid(caller))
		user = caller;
	if (!OidIsValid(owner) || owner == user || !has_privs_of_role(user, owner))
		return call_sibling(fcinfo, sibling, user, caller);
	before = fluct_rights_take(owner);
	result = call_sibling(fcinfo, sibling, owner, user);
	fluct_rights_give_back(before);
	return result;
}

/* The role that called the public function; NULL outside of one. */
Datum
fluct_caller(PG_FUNCTION_ARGS)
{
	if (!OidIsValid(caller))
		PG_RETURN_NULL();
	PG_RETURN_OID(caller);
}
