/*-------------------------------------------------------------------------
 *
 * states.c
 *	  fluct.stream_states: how each worker is, and how often it failed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "bookkeeping/states.h"
#include "pg/query.h"

bool
fluct_states_take(const char *stream, int worker, int starts, char **reason)
{
	FluctQuery	query = {0};

	*reason = NULL;
	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_add_int(&query, starts);
	if (fluct_query_run(&query,
						"SELECT CASE WHEN starts = $3 THEN reason END"
						" FROM fluct.stream_states WHERE stream = $1 AND worker = $2"
						" FOR UPDATE SKIP LOCKED") > 0)
	{
		*reason = fluct_query_field_text(CurrentMemoryContext, 0, 1);
		return true;
	}
	return fluct_query_run(&query,
						   "SELECT FROM fluct.stream_states"
						   " WHERE stream = $1 AND worker = $2 AND $3 IS NOT NULL") == 0;
}

void
fluct_states_count_start(const char *stream, int worker, int starts)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_add_int(&query, starts);
	fluct_query_run(&query,
					"INSERT INTO fluct.stream_states AS s"
					" (stream, worker, starts, state, failures, next_start)"
					" VALUES ($1, $2, $3, 'starting', 1, clock_timestamp())"
					" ON CONFLICT (stream, worker) DO UPDATE SET"
					" starts = $3, state = 'starting', since = clock_timestamp(),"
					" failures = CASE WHEN s.starts = $3"
					"   AND s.since >= pg_postmaster_start_time()"
					"  THEN s.failures + 1 ELSE 1 END,"
					" next_start = clock_timestamp() + CASE"
					"  WHEN s.starts <> $3 OR s.failures = 0"
					"   OR s.since < pg_postmaster_start_time() THEN '0'"
					"  ELSE least(interval '1 minute',"
					"   interval '0.2 s' * 2 ^ least(s.failures - 1, 10)) END");
}

void
fluct_states_count_success(const char *stream, int worker)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_run(&query,
					"UPDATE fluct.stream_states SET failures = 0, next_start = NULL"
					" WHERE stream = $1 AND worker = $2 AND failures > 0");
}

void
fluct_states_set(const char *stream, int worker, int starts,
				 const char *state, const char *reason,
				 const char *detail, const char *error,
				 const char *const *about)
{
	FluctQuery	query = {0};
	Datum		words[4];
	int			n = 0;

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_add_int(&query, starts);
	fluct_query_add_text(&query, state);
	fluct_query_add_text(&query, reason);
	fluct_query_add_text(&query, detail);
	fluct_query_add_text(&query, error);
	for (; about && about[n]; n++)
		words[n] = CStringGetTextDatum(about[n]);
	fluct_query_add_array(&query, TEXTOID, words, n);
	fluct_query_run(&query,
					"INSERT INTO fluct.stream_states AS s"
					" (stream, worker, starts, state, reason, detail, last_error,"
					"  last_error_at, about)"
					" VALUES ($1, $2, $3, $4, $5, $6, $7,"
					"  CASE WHEN $7 IS NOT NULL THEN clock_timestamp() END,"
					"  nullif($8, '{}'))"
					" ON CONFLICT (stream, worker) DO UPDATE SET"
					" starts = $3, state = $4, reason = $5, detail = $6,"
					" about = EXCLUDED.about,"
					" since = CASE WHEN s.state = $4 AND s.reason IS NOT DISTINCT FROM $5"
					"  THEN s.since ELSE clock_timestamp() END,"
					" last_error = coalesce($7, s.last_error),"
					" last_error_at = CASE WHEN $7 IS NULL THEN s.last_error_at"
					"  ELSE clock_timestamp() END");
}

char *
fluct_states_remedy(const char *stream, int worker, bool in_session,
					MemoryContext context)
{
	FluctQuery	query = {0};

	fluct_query_add_text(&query, stream);
	fluct_query_add_int(&query, worker);
	fluct_query_add(&query, BOOLOID, BoolGetDatum(in_session), false);
	if (fluct_query_run(&query,
						"SELECT fluct._remedy(stream, reason, about, in_session => $3)"
						" FROM fluct.stream_states WHERE stream = $1 AND worker = $2") == 0)
		return NULL;
	return fluct_query_field_text(context, 0, 1);
}
