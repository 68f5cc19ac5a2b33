-- preload.sql: what postgresql.conf needs to say before streams run.

CREATE OR REPLACE FUNCTION fluct._database_list() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(', ', nullif(current_setting('fluct.database', true), ''),
					 CASE WHEN NOT fluct._served() THEN quote_ident(current_database()) END)
$$;
COMMENT ON FUNCTION fluct._database_list() IS
'fluct.database with this database in it.';

-- pg_cron's jobs are background workers only with cron.use_background_workers.
CREATE OR REPLACE FUNCTION fluct._workers_needed() RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	SELECT (current_setting('max_logical_replication_workers')::int > 0)::int
		+ cardinality(regexp_split_to_array(fluct._database_list(), ','))
		+ coalesce(current_setting('fluct.max_workers', true)::int, 4)
		+ 2 + 2		-- query Kafka, make partitions
		+ CASE WHEN current_setting('shared_preload_libraries') ~ '\mpg_cron\M'
			THEN 1 + CASE WHEN current_setting('cron.use_background_workers', true)::boolean
				THEN greatest(1, (SELECT count(*) FROM fluct.reports) + (SELECT count(*) FROM fluct.inboxes)) ELSE 0 END
			ELSE 0 END::int
$$;
COMMENT ON FUNCTION fluct._workers_needed() IS
'How many of max_worker_processes a server with this database''s streams can use at once: for logical replication 1, a launcher for each database, fluct.max_workers, 2 for calls that query Kafka, 2 that make partitions, and pg_cron''s; those of parallel queries come on top.';

CREATE OR REPLACE FUNCTION fluct._preload_lines() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
	SELECT concat_ws(E'\n',
		format('shared_preload_libraries = ''%s''',
			replace(concat_ws(',', nullif(current_setting('shared_preload_libraries'), ''), 'fluct'), '''', '''''')),
		format('fluct.database = ''%s''', replace(fluct._database_list(), '''', '''''')),
		CASE WHEN fluct._workers_needed() > current_setting('max_worker_processes')::int
			THEN format('max_worker_processes = %s', fluct._workers_needed()) END)
$$;
COMMENT ON FUNCTION fluct._preload_lines() IS
'The lines of postgresql.conf that streams of this database need, with what is set there now.';
