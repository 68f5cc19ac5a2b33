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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
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
 * The rows of the catalog that the client was created with; zeros for none.
 *
 * They are noted as the caches have them, since the options come from there,
 * and compared with the tables: who is woken by a commit may be quicker than
 * the message that invalidates its caches.
 */
typedef struct Version
{
	TransactionId xmin;
	ItemPointerData tid;
} Version;

static Oid	opened_for = InvalidOid;
static Version opened_server;
static Version opened_mappings[2];	/* the owner's, PUBLIC's */

static Version
version_of(HeapTuple tuple)
{
	Version		version;

	memset(&version, 0, sizeof(version));
	if (HeapTupleIsValid(tuple))
	{
		version.xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		version.tid = tuple->t_self;
	}
	return version;
}

static Version
cached_version(HeapTuple tuple)
{
	Version		version = version_of(tuple);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return version;
}

static Version
stored_version(Oid catalog, Oid index, ScanKey keys, int nkeys)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, index, true, NULL, nkeys, keys);
	Version		version = version_of(systable_getnext(scan));

	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

static void
note_versions(const ForeignServer *server, Oid owner)
{
	Datum		id = ObjectIdGetDatum(server->serverid);

	opened_for = owner;
	opened_server = cached_version(SearchSysCache1(FOREIGNSERVEROID, id));
	for (int i = 0; i < 2; i++)
		opened_mappings[i] =
			cached_version(SearchSysCache2(USERMAPPINGUSERSERVER,
										   ObjectIdGetDatum(i == 0 ? owner : InvalidOid),
										   id));
}

static bool
are_changed(const char *server_name)
{
	Oid			server = get_foreign_server_oid(server_name, true);
	ScanKeyData keys[2];
	Version		now;

	ScanKeyInit(&keys[0], Anum_pg_foreign_server_oid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(server));
	now = stored_version(ForeignServerRelationId, ForeignServerOidIndexId,
						 keys, 1);
	if (memcmp(&now, &opened_server, sizeof(now)) != 0)
		return true;
	for (int i = 0; i < 2; i++)
	{
		ScanKeyInit(&keys[0], Anum_pg_user_mapping_umuser,
					BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(i == 0 ? opened_for : InvalidOid));
		ScanKeyInit(&keys[1], Anum_pg_user_mapping_umserver,
					BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(server));
		now = stored_version(UserMappingRelationId, UserMappingUserServerIndexId,
							 keys, 2);
		if (memcmp(&now, &opened_mappings[i], sizeof(now)) != 0)
			return true;
	}
	return false;
}

bool
fluct_client_changed(const FluctStream *stream)
{
	bool		changed;

	if (!OidIsValid(opened_for))
		return false;
	fluct_worker_begin();
	changed = are_changed(stream->server);
	fluct_worker_commit();
	return changed;
}

/* The options of a server, and of the owner's user mapping if there is one. */
static List *
read_options(const char *server_name, Oid owner)
{
	ForeignServer *server = GetForeignServerByName(server_name, false);
	Datum		id = ObjectIdGetDatum(server->serverid);

	note_versions(server, owner);
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
		List	   *options = read_options(stream->server, owner);

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
	(void) read_options(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						PG_GETARG_OID(1));
	PG_RETURN_VOID();
}
