/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  The Kafka client of a stream: whose options, and which group.
 *
 * The stream's worker and the worker that answers questions about the stream
 * connect in the same way, so that what one finds holds for the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_user_mapping.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "bookkeeping/streams.h"
#include "kafka/connection.h"
#include "kafka/consumer.h"
#include "kafka/options.h"
#include "process/worker.h"

PG_FUNCTION_INFO_V1(fluct_check_server_owner);

/*
 * Refuses to give a user mapping to a server of somebody else's: whoever owns
 * a server may point it at a broker of their own.  Being a member of a role
 * is no reason to be given its secrets, and not to send them either.
 */
static void
check_owner(const ForeignServer *server, Oid owner)
{
	const char *role;

	if (server->owner == owner || superuser_arg(server->owner))
		return;
	role = GetUserNameFromId(owner, false);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the user mapping of role \"%s\" must not be sent to server \"%s\" of role \"%s\"",
					role, server->servername,
					GetUserNameFromId(server->owner, true)),
			 errdetail("The owner of a server decides which brokers get what its user mappings hold."),
			 errhint("Make a server of your own, or let a superuser own it: ALTER SERVER %s OWNER TO ...",
					 quote_identifier(server->servername))));
}

/*
 * The options of a server, and of the owner's user mapping if there is one;
 * the stream that asks, or NULL.
 */
static List *
read_options(const char *server_name, const char *stream, Oid owner)
{
	ForeignServer *server = GetForeignServerByName(server_name, true);
	Datum		id;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", server_name),
				 stream ?
				 errhint("Create it, or name another: SELECT fluct.alter_stream('%s', server => 'SERVER');",
						 stream) : 0));
	id = ObjectIdGetDatum(server->serverid);
	/* GetUserMapping raises an error where there is none */
	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(owner), id) &&
		!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), id))
		return server->options;
	check_owner(server, owner);
	return list_concat(server->options,
					   GetUserMapping(owner, server->serverid)->options);
}

static void
note_option(const DefElem *def, FluctClient *about)
{
	const struct
	{
		const char *name;
		char	  **value;
	}			wanted[] =
	{
		{"bootstrap_servers", &about->brokers},
		{"security_protocol", &about->protocol},
		{"sasl_mechanism", &about->mechanism},
		{"group_id", &about->group},
	};

	for (int i = 0; i < lengthof(wanted); i++)
		if (strcmp(def->defname, wanted[i].name) == 0)
			*wanted[i].value = fluct_options_value(def);
}

static void
note_options(const FluctStream *stream, List *options, FluctClient *about)
{
	ListCell   *lc;

	foreach(lc, options)
		note_option(lfirst_node(DefElem, lc), about);
	if (about->group == NULL)
		about->group = psprintf("fluct.%s.%s", get_database_name(MyDatabaseId),
								stream->name ? stream->name : "sample");
}

void
fluct_client_open(const FluctStream *stream, Oid owner, FluctClient *about)
{
	FluctSettings settings = {0};
	MemoryContext old;
	MemoryContext context = CurrentMemoryContext;

	memset(about, 0, sizeof(FluctClient));
	fluct_worker_begin();
	old = MemoryContextSwitchTo(context);
	PG_TRY();
	{
		List	   *options = read_options(stream->server, stream->name, owner);

		note_options(stream, options, about);
		fluct_options_settings(options, stream->owner, &settings);
		fluct_kafka_open(&settings, about->group, stream->topic);
	}
	PG_FINALLY();
	{
		fluct_options_wipe(&settings);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	fluct_worker_commit();
}

/* fluct._check_server_owner(server text, owner oid): the same check */
Datum
fluct_check_server_owner(PG_FUNCTION_ARGS)
{
	(void) read_options(text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL,
						PG_GETARG_OID(1));
	PG_RETURN_VOID();
}
