/*-------------------------------------------------------------------------
 *
 * streams.c
 *	  fluct.streams: what is to run, and how.
 *
 * Here as in the whole folder, every statement qualifies its tables, so that
 * search_path does not matter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "bookkeeping/owner.h"
#include "bookkeeping/streams.h"
#include "pg/query.h"

bool
fluct_streams_installed(void)
{
	return OidIsValid(get_extension_oid("fluct", true));
}

static void
read_partitions(MemoryContext context, FluctStream *stream, int column)
{
	bool		null;
	Datum		value = fluct_query_field(0, column, &null);
	Datum	   *elements;

	if (null)
		return;
	deconstruct_array(DatumGetArrayTypeP(value), INT4OID, 4, true,
					  TYPALIGN_INT, &elements, NULL, &stream->npartitions);
	stream->partitions = MemoryContextAlloc(context, sizeof(int) * (stream->npartitions + 1));
	for (int i = 0; i < stream->npartitions; i++)
		stream->partitions[i] = DatumGetInt32(elements[i]);
}

/* A stream runs only in the cluster and database in which it was started. */
static void
add_place(FluctQuery *query)
{
	fluct_query_add_text(query, psprintf(UINT64_FORMAT, GetSystemIdentifier()));
	fluct_query_add(query, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
}

/*
 * The owner, of the name in that column and of its OID and its cluster in
 * that and the next one.
 */
static Oid
read_owner(MemoryContext context, int row, int name, int role, char **now)
{
	bool		null;
	Datum		value = fluct_query_field(row, role, &null);
	const char *system = fluct_query_field_text(context, row, role + 1);
	Oid			owner;

	*now = fluct_query_field_text(context, row, name);
	owner = fluct_owner_find(*now, null ? InvalidOid : DatumGetObjectId(value),
							 system);
	if (OidIsValid(owner))
		*now = MemoryContextStrdup(context, GetUserNameFromId(owner, false));
	return owner;
}

FluctStream *
fluct_streams_find(const char *name, MemoryContext context)
{
	FluctQuery	query = {0};
	FluctStream *stream;
	Jsonb	   *mapping;
	bool		null;

	fluct_query_add_text(&query, name);
	add_place(&query);
	if (fluct_query_run(&query,
						"SELECT name, owner, server, topic, target, mapping, on_conflict,"
						" start_at, on_bad_message = 'fail', on_data_loss = 'skip',"
						" max_dead_letters, batch_size, batch_bytes,"
						" (1000 * extract(epoch FROM batch_interval))::int, workers,"
						" keep_raw, partitions, enabled,"
						" system_identifier = $2 AND database_oid = $3, starts, version,"
						" created_at, owner_oid, system_identifier, keyed, framing, on_tombstone"
						" FROM fluct.streams WHERE name = $1") == 0)
		return NULL;
	stream = MemoryContextAlloc(context, sizeof(FluctStream));
	memset(stream, 0, sizeof(FluctStream));
	stream->name = fluct_query_field_text(context, 0, 1);
	stream->role = read_owner(context, 0, 2, 23, &stream->owner);
	stream->server = fluct_query_field_text(context, 0, 3);
	stream->topic = fluct_query_field_text(context, 0, 4);
	stream->target = fluct_query_field_text(context, 0, 5);
	mapping = DatumGetJsonbP(fluct_query_field(0, 6, &null));
	stream->mapping = MemoryContextAlloc(context, VARSIZE(mapping));
	memcpy(stream->mapping, mapping, VARSIZE(mapping));
	stream->on_conflict = fluct_query_field_text(context, 0, 7);
	stream->start_at = fluct_query_field_text(context, 0, 8);
	stream->fail_on_bad_message = fluct_query_field_bool(0, 9);
	stream->skip_data_loss = fluct_query_field_bool(0, 10);
	stream->max_dead_letters = fluct_query_field_int(0, 11);
	stream->batch_size = fluct_query_field_int(0, 12);
	stream->batch_bytes = fluct_query_field_int(0, 13);
	stream->batch_interval = fluct_query_field_int(0, 14);
	stream->workers = fluct_query_field_int(0, 15);
	stream->keep_raw = fluct_query_field_bool(0, 16);
	read_partitions(context, stream, 17);
	stream->enabled = fluct_query_field_bool(0, 18);
	stream->here = fluct_query_field_bool(0, 19);
	stream->starts = fluct_query_field_int(0, 20);
	stream->version = fluct_query_field_int(0, 21);
	stream->created_at = DatumGetTimestampTz(fluct_query_field(0, 22, &null));
	stream->keyed = fluct_query_field_bool(0, 25);
	stream->framing = fluct_query_field_text(context, 0, 26);
	stream->on_tombstone = fluct_query_field_text(context, 0, 27);
	return stream;
}

FluctStream *
fluct_streams_get(const char *name, MemoryContext context)
{
	FluctStream *stream = fluct_streams_find(name, context);

	if (stream == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream \"%s\" does not exist", name)));
	return stream;
}

List *
fluct_streams_wanted(MemoryContext context)
{
	FluctQuery	query = {0};
	List	   *wanted = NIL;
	uint64		n;

	add_place(&query);
	n = fluct_query_run(&query,
						"SELECT s.name, w.n, s.starts,"
						" CASE WHEN st.since BETWEEN pg_postmaster_start_time() AND clock_timestamp()"
						"  THEN coalesce(ceil(1000 * extract(epoch FROM"
						"   st.next_start - clock_timestamp())), 0)"
						"  ELSE 0 END::int8, s.owner, s.owner_oid, s.system_identifier,"
						" s.version, s.created_at"
						" FROM fluct.streams s"
						" CROSS JOIN LATERAL generate_series(0, s.workers - 1) AS w(n)"
						" LEFT JOIN fluct.stream_states st"
						"  ON st.stream = s.name AND st.worker = w.n"
						"   AND st.starts = s.starts"
						" WHERE s.enabled AND s.system_identifier = $1"
						"  AND s.database_oid = $2"
						"  AND NOT EXISTS (SELECT FROM fluct.stream_states f"
						"   WHERE f.stream = s.name AND f.state = 'failed'"
						"    AND f.starts = s.starts)"
						" ORDER BY s.created_at, w.n");
	for (uint64 i = 0; i < n; i++)
	{
		FluctWanted *one = MemoryContextAlloc(context, sizeof(FluctWanted));
		MemoryContext old;
		bool		null;

		one->stream = fluct_query_field_text(context, i, 1);
		one->worker = fluct_query_field_int(i, 2);
		one->starts = fluct_query_field_int(i, 3);
		one->wait = fluct_query_field_int(i, 4);
		one->role = read_owner(context, i, 5, 6, &one->owner);
		one->version = fluct_query_field_int(i, 8);
		one->created_at = DatumGetTimestampTz(fluct_query_field(i, 9, &null));
		old = MemoryContextSwitchTo(context);
		wanted = lappend(wanted, one);
		MemoryContextSwitchTo(old);
	}
	return wanted;
}
