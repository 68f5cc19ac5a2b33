-- privileges.sql: who may do what.
--
-- What changes anything, reads a file or shows processes is not for PUBLIC.
-- The rest (sums over tables that the caller must be able to read) is.

REVOKE ALL ON FUNCTION fluct._live() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fluct._live(), fluct._loads() TO pg_monitor;
GRANT SELECT ON fluct.stat_streams, fluct.stat_partitions, fluct.freshness, fluct._stream_state, fluct.stat_files TO pg_monitor;

-- The functions that act with the rights of the extension's owner, and their
-- siblings that do the work.
DO $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'fluct'::regnamespace AND p.prosrc LIKE 'fluct\_call\_as\_%'
			AND p.prorettype <> 'trigger'::regtype
		UNION ALL
		SELECT sibling.oid FROM pg_catalog.pg_proc p
		JOIN pg_catalog.pg_proc sibling ON sibling.pronamespace = p.pronamespace
			AND sibling.proname = '_' || p.proname AND sibling.proargtypes = p.proargtypes
		WHERE p.pronamespace = 'fluct'::regnamespace AND p.prosrc LIKE 'fluct\_call\_as\_%'
		UNION ALL
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'fluct'::regnamespace
			AND p.proname IN ('_own_stream', '_ask', '_sync', '_sync_done', '_await_progress',
							  '_announce_change', '_retry', '_require_rest', '_move_position', '_check_rights', '_check_mapping',
							  '_derive_mapping', '_reprocess', '_store_chunk', 'run_stream', 'reprocess_stream')
	LOOP
		EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', f);
	END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION fluct._grant(role regrole, grants text[]) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	statement text;
BEGIN
	FOREACH statement IN ARRAY grants LOOP
		statement := format('GRANT %s TO %s;', statement, role);
		EXECUTE statement;
		RETURN NEXT statement;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._grant(regrole, text[]) IS 'Does the GRANTs to the role and returns them.';

CREATE OR REPLACE FUNCTION fluct.grant_reader(role regrole) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	grants text[] := ARRAY['USAGE ON SCHEMA fluct', 'EXECUTE ON FUNCTION fluct._live()', 'EXECUTE ON FUNCTION fluct._loads()'];
BEGIN
	INSERT INTO fluct.granted_roles (role, role_oid, system_identifier)
	SELECT r.rolname, r.oid, c.system_identifier FROM pg_roles r, pg_control_system() c WHERE r.oid = grant_reader.role
	ON CONFLICT DO NOTHING;
	grants := grants || (
		SELECT array_agg('SELECT ON ' || c.oid::regclass ORDER BY c.relname)
		FROM pg_class c
		WHERE c.relnamespace = 'fluct'::regnamespace AND c.relkind IN ('r', 'v'));
	IF EXISTS (SELECT FROM fluct._model_relations() m WHERE m.is_ours) THEN
		grants := grants || 'USAGE ON SCHEMA sales'::text || (
			SELECT array_agg('SELECT ON ' || m.relation::regclass ORDER BY m.name) FROM fluct._model_relations() m WHERE m.is_ours);
	END IF;
	RETURN QUERY SELECT * FROM fluct._grant(role, grants);
END
$$;
COMMENT ON FUNCTION fluct.grant_reader(regrole) IS
'Lets a role read all of fluct and of sales: orders, rankings, how the streams are doing. Does the GRANTs and returns them; create_tables() repeats them for what it makes later.';

CREATE OR REPLACE FUNCTION fluct._next_step(role regrole) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.step
	FROM (VALUES ('-- The next step, so that fluct.create_tables() can make the tables:'),
				 (format('CREATE SCHEMA sales AUTHORIZATION %s;', role)),
				 (format('-- or: GRANT CREATE ON DATABASE %I TO %s;', current_database(), role))) n(step)
	WHERE to_regnamespace('sales') IS NULL
		AND NOT has_database_privilege(role, current_database(), 'CREATE')
$$;
COMMENT ON FUNCTION fluct._next_step(regrole) IS 'what a new operator lacks to make the tables: the statement, which grant_operator() prints and leaves to its caller';

CREATE OR REPLACE FUNCTION fluct.grant_operator(role regrole) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT * FROM fluct._grant(role,
		ARRAY['USAGE ON FOREIGN DATA WRAPPER fluct_kafka'] || (
		SELECT array_agg(format('EXECUTE ON %s %s', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
								p.oid::regprocedure) ORDER BY p.proname)
		FROM pg_proc p
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		WHERE p.pronamespace = 'fluct'::regnamespace
			AND (p.proname !~ '^_' OR p.proname IN (
				'_begin_run', '_reprocess_chunk', '_known_report', '_save_report', '_cron_settings',
				'_read_csv', '_lines_span', '_load_lines', '_trim_bookkeeping',
				'_inbox_work', '_scan_file', '_finish_file', '_end_scan', '_set_schedule', '_remember_relations'))
			AND p.proname NOT IN ('grant_reader', 'grant_operator', 'kafka_options_validator')
			AND NOT has_function_privilege('public', p.oid, 'EXECUTE')));
	RETURN QUERY SELECT * FROM fluct.grant_reader(role);
	RETURN QUERY SELECT * FROM fluct._next_step(role);
END
$$;
COMMENT ON FUNCTION fluct.grant_operator(regrole) IS
'Lets a role make the tables, declare and run streams, load files and record rankings, and read all of fluct and of sales. Does the GRANTs and returns them, and then, as a next step that it leaves to the caller, what the role needs to make schema sales. Whoever is not the owner of the tables gets INSERT, UPDATE and DELETE on them from their owner.';

REVOKE ALL ON FUNCTION fluct._grant(regrole, text[]), fluct._next_step(regrole), fluct.grant_reader(regrole), fluct.grant_operator(regrole) FROM PUBLIC;
