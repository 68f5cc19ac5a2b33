/*-------------------------------------------------------------------------
 *
 * login.c
 *	  How to log in to a member: a server of postgres_fdw, and a user mapping.
 *
 * A member is asked with the user mapping of the role whose rights the question
 * is asked with, or else the one for PUBLIC.  That one only reads: a role that
 * may write there must not be borrowed by everybody here.  The rules are those of
 * postgres_fdw, so that nobody borrows the rights of this server's
 * operating-system user at the member: the mapping holds a password, and the
 * member asks for it (ask.c looks when it is connected); or a superuser has
 * set password_required to false.  Unlike there, superusers are not excepted.
 *
 * Whoever owns a server decides where it leads.  So the mapping of a role is
 * sent only to a server of that role itself or of a superuser, and one without
 * a password only to a server of a superuser.  A mapping for PUBLIC is the
 * server's owner's own.  And since whoever owns it says what that member
 * answers, it belongs to the owner of sales.orders, to a role of which that one
 * is a member, or to a superuser; who later makes a server of that name does not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "libpq-fe.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "members/login.h"
#include "pg/guc.h"
#include "pg/model.h"

#define MOST_OF_OURS	8		/* parameters beside the options */

static uint32
version_of(HeapTuple tuple)
{
	struct
	{
		TransactionId xmin;
		ItemPointerData tid;
	}			version;

	memset(&version, 0, sizeof(version));
	version.xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	version.tid = tuple->t_self;
	return hash_bytes((const unsigned char *) &version, sizeof(version));
}

/* Asked before the server is read: a change in between is a newer version. */
static uint32
server_version(const char *name)
{
	HeapTuple	tuple = SearchSysCache1(FOREIGNSERVERNAME, CStringGetDatum(name));
	uint32		version = 0;

	if (HeapTupleIsValid(tuple))
	{
		version = version_of(tuple);
		ReleaseSysCache(tuple);
	}
	return version;
}

static ForeignServer *
find_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, false);
	Oid			owner = fluct_model_owner();

	if (!superuser_arg(server->owner) &&
		!(OidIsValid(owner) && is_member_of_role_nosuper(owner, server->owner)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("server \"%s\" of role \"%s\" must not be asked as a member",
						server->servername, GetUserNameFromId(server->owner, true)),
				 errdetail("The owner of a server decides what it answers, and that counts in the rankings of the owner of sales.orders."),
				 errhint("ALTER SERVER %s OWNER TO ...; or SELECT fluct.remove_member(...);",
						 quote_identifier(server->servername))));
	return server;
}

/* The tuple of the role's mapping, or, to read, of the one for PUBLIC. */
static HeapTuple
find_mapping(const ForeignServer *server, Oid role, bool writes)
{
	HeapTuple	tuple = NULL;
	Oid			tried[] = {role, InvalidOid};

	for (int i = 0; i < (writes ? 1 : 2) && !HeapTupleIsValid(tuple); i++)
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
								ObjectIdGetDatum(tried[i]),
								ObjectIdGetDatum(server->serverid));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" has no user mapping for server \"%s\"",
						GetUserNameFromId(role, false), server->servername),
				 writes ? errdetail("A partition is handed over with the user mapping of the role that calls; the one for PUBLIC only reads.") :
				 errdetail("A member is asked with the user mapping of whoever asks, or the one for PUBLIC."),
				 errhint("CREATE USER MAPPING FOR %s SERVER %s OPTIONS (user '%s', password 'SECRET'), with a role that %s there.",
						 quote_identifier(GetUserNameFromId(role, false)),
						 quote_identifier(server->servername),
						 writes ? "OPERATOR" : "READER",
						 writes ? "owns the stream" : "has grant_reader()")));
	return tuple;
}

static const char *
option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
		if (strcmp(lfirst_node(DefElem, lc)->defname, name) == 0)
		return defGetString(lfirst_node(DefElem, lc));
	return NULL;
}

static bool
needs_password(List *mapping)
{
	const char *required = option(mapping, "password_required");
	bool		value = true;

	if (required)
		(void) parse_bool(required, &value);
	return value;
}

static void
check_owner(const ForeignServer *server, Oid mapped, bool password)
{
	bool		own = OidIsValid(mapped) ? server->owner == mapped : true;

	if (superuser_arg(server->owner) || (own && password))
		return;
	if (!password)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("server \"%s\" must belong to a superuser", server->servername),
				 errdetail("Its user mapping has password_required 'false', so that its owner could use the operating-system user of this server anywhere."),
				 errhint("ALTER SERVER %s OWNER TO ...", quote_identifier(server->servername))));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the user mapping of role \"%s\" must not be sent to server \"%s\" of role \"%s\"",
					GetUserNameFromId(mapped, false), server->servername,
					GetUserNameFromId(server->owner, true)),
			 errdetail("The owner of a server decides where it leads, and who gets what its user mappings hold."),
			 errhint("Make a server of your own, or let a superuser own it: ALTER SERVER %s OWNER TO ...",
					 quote_identifier(server->servername))));
}

static void
check_password(const ForeignServer *server, List *mapping, Oid mapped)
{
	const char *password = option(mapping, "password");

	if (password && password[0] != '\0')
		return;
	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg("the user mapping of %s for server \"%s\" has no password",
					OidIsValid(mapped) ? psprintf("role \"%s\"", GetUserNameFromId(mapped, false)) : "PUBLIC",
					server->servername),
			 errdetail("Without one this server's operating-system user would log in. Only a superuser allows that, by password_required 'false'."),
			 errhint("ALTER USER MAPPING FOR %s SERVER %s OPTIONS (ADD password 'SECRET')",
					 OidIsValid(mapped) ? quote_identifier(GetUserNameFromId(mapped, false)) : "PUBLIC",
					 quote_identifier(server->servername))));
}

/* ----- parameters ----- */

static void
add(FluctLogin *login, const char *keyword, const char *value)
{
	login->keywords[login->n] = pstrdup(keyword);
	login->values[login->n++] = pstrdup(value);
}

/* Those options that are libpq's; the others are postgres_fdw's own. */
static void
add_options(FluctLogin *login, List *options)
{
	PQconninfoOption *known = PQconndefaults();
	ListCell   *lc;

	if (known == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		for (PQconninfoOption * o = known; o->keyword; o++)
			if (strcmp(o->keyword, def->defname) == 0 &&
				strcmp(o->keyword, "options") != 0 &&
				strcmp(o->keyword, "client_encoding") != 0)
				add(login, o->keyword, defGetString(def));
	}
	PQconninfoFree(known);
}

static char *
quote_setting(const char *value)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	for (; *value; value++)
	{
		if (*value == ' ' || *value == '\\')
			appendStringInfoChar(&quoted, '\\');
		appendStringInfoChar(&quoted, *value);
	}
	return quoted.data;
}

/*
 * The times in an answer's texts are read in the zone of whoever asks, and what
 * a member has answered holds there after a crash.
 */
static void
add_ours(FluctLogin *login, List *options, bool writes)
{
	const char *theirs = option(options, "options");

	add(login, "client_encoding", GetDatabaseEncodingName());
	add(login, "fallback_application_name", "fluct");
	add(login, "options",
		psprintf("-c synchronous_commit=on %s -c search_path=pg_catalog -c datestyle=ISO -c intervalstyle=postgres -c timezone=%s"
				 " -c default_transaction_read_only=%s -c default_transaction_isolation=%s"
				 " -c statement_timeout=%d",
				 theirs ? theirs : "",
				 quote_setting(GetConfigOption("timezone", false, false)),
				 writes ? "off" : "on",
				 writes ? "read\\ committed" : "repeatable\\ read",
				 fluct_member_timeout));
	login->keywords[login->n] = login->values[login->n] = NULL;
}

FluctLogin *
fluct_login_find(const char *name, Oid role, bool writes)
{
	uint32		version = server_version(name);
	ForeignServer *server = find_server(name);
	HeapTuple	tuple = find_mapping(server, role, writes);
	Form_pg_user_mapping form = (Form_pg_user_mapping) GETSTRUCT(tuple);
	Oid			mapped = form->umuser;
	UserMapping *mapping = GetUserMapping(role, server->serverid);
	FluctLogin *login = palloc0(sizeof(FluctLogin));
	int			most = list_length(server->options) +
	list_length(mapping->options) + MOST_OF_OURS;

	login->mapping = form->oid;
	login->version = hash_combine(version, version_of(tuple));
	ReleaseSysCache(tuple);
	login->password = needs_password(mapping->options);
	if (login->password)
		check_password(server, mapping->options, mapped);
	check_owner(server, mapped, login->password);
	login->keywords = palloc0(sizeof(char *) * most);
	login->values = palloc0(sizeof(char *) * most);
	add_options(login, server->options);
	add_options(login, mapping->options);
	add_ours(login, server->options, writes);
	login->version = hash_combine(login->version,
								  hash_bytes((const unsigned char *) login->values[login->n - 1],
											 strlen(login->values[login->n - 1])));
	return login;
}
