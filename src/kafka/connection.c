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

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "bookkeeping/streams.h"
#include "kafka/connection.h"
#include "kafka/consumer.h"
#include "kafka/options.h"
#include "process/worker.h"

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
			*wanted[i].value = strVal(def->arg);
}

void
fluct_client_open(const FluctStream *stream, Oid owner, FluctClient *about)
{
	List	   *options;
	ListCell   *lc;
	FluctSetting *settings;
	int			nsettings;
	MemoryContext context = CurrentMemoryContext;

	memset(about, 0, sizeof(FluctClient));
	fluct_worker_begin();
	options = fluct_streams_options(stream->server, owner, context);
	foreach(lc, options)
		note_option(lfirst_node(DefElem, lc), about);
	if (about->group == NULL)
		about->group = MemoryContextStrdup(context,
										   psprintf("fluct.%s.%s",
													get_database_name(MyDatabaseId),
													stream->name));
	settings = fluct_options_settings(options, stream->owner, &nsettings);
	fluct_kafka_open(settings, nsettings, about->group, stream->topic);
	fluct_worker_commit();
}
