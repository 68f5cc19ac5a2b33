-- server.sql: what is wrong with the server, as far as fluct depends on it.

CREATE OR REPLACE FUNCTION fluct._library_version() RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_library_version';
COMMENT ON FUNCTION fluct._library_version() IS 'the version of the library that this session has loaded';

CREATE OR REPLACE FUNCTION fluct._librdkafka_version() RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_librdkafka_version';
COMMENT ON FUNCTION fluct._librdkafka_version() IS 'the version of librdkafka that it has loaded';

CREATE OR REPLACE FUNCTION fluct._listed_databases() RETURNS text[]
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_listed_databases';
COMMENT ON FUNCTION fluct._listed_databases() IS 'the names in fluct.database';

CREATE OR REPLACE FUNCTION fluct._disks(OUT folder text, OUT total bigint, OUT free bigint) RETURNS SETOF record
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_disks';
COMMENT ON FUNCTION fluct._disks() IS 'bytes of the file system of the data directory, and of that of pg_wal if it is another; free: for the server';

-- pg_relation_size locks what it looks at, like a reader.
CREATE OR REPLACE FUNCTION fluct._daily_growth() RETURNS numeric
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce((SELECT avg(pg_total_relation_size(p.partition)) FROM fluct._partitions(to_regclass('sales.raw_messages')) p
				  WHERE p.until BETWEEN now() - interval '7 days' AND now()), 0)
	 + coalesce((SELECT sum(pg_total_relation_size(p.partition) / greatest(1, extract(epoch FROM now() - p.since) / 86400))
				   FROM fluct._partitions(to_regclass('sales.order_lines')) p WHERE now() >= p.since AND now() < p.until), 0)
$$;
COMMENT ON FUNCTION fluct._daily_growth() IS 'bytes a day by which the raw copy (of the last whole days) and the lines (of this month) grow';

CREATE OR REPLACE FUNCTION fluct._health_disk() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN d.free < d.total / 20 OR d.free < g.bytes THEN 'critical' ELSE 'warning' END, d.folder, 'disk', now(),
	   format('%s of %s free', pg_size_pretty(d.free), pg_size_pretty(d.total))
	   || CASE WHEN d.folder = 'data directory' AND g.bytes > 1048576 THEN
			  format('; raw copy and lines grow by about %s a day, which fills it in %s days',
					 pg_size_pretty(g.bytes), round(d.free / nullif(g.bytes, 0), 1))
			  ELSE '' END,
	   'Add space, or keep less: CALL fluct.apply_retention(raw => ''30 days'', lines => ''1 year'');'
  FROM fluct._disks() d, (SELECT round(fluct._daily_growth()) AS bytes) g
 WHERE d.free < d.total / 10 OR (d.folder = 'data directory' AND d.free < 7 * g.bytes)
$$;
COMMENT ON FUNCTION fluct._health_disk() IS 'a disk with less than a tenth free (critical: a twentieth), or full within 7 days (critical: a day) at the pace of the last ones';

CREATE OR REPLACE FUNCTION fluct._rollup_problem() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._rollup_problem() IS '_rollup_obstacle, with the rights of the tables'' owner where the caller has them; NULL before create_tables()';
CREATE OR REPLACE FUNCTION fluct.__rollup_problem() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass('sales.orders') IS NULL OR to_regclass('sales.rollup_state') IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN fluct._rollup_obstacle();
END
$$;
COMMENT ON FUNCTION fluct.__rollup_problem() IS '_rollup_problem, with those rights';

CREATE OR REPLACE FUNCTION fluct._health_rollup() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'warning', 'rollup', 'rollup_invalid', NULL::timestamptz, o.obstacle || '; the ranking reads the orders one by one', 'SELECT fluct.rebuild_rollup();'
  FROM (SELECT fluct._rollup_problem() AS obstacle) o
 WHERE o.obstacle IS NOT NULL
$$;
COMMENT ON FUNCTION fluct._health_rollup() IS 'a rollup that is not read until it is rebuilt';

CREATE OR REPLACE FUNCTION fluct._health_slots() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'warning', 'workers', 'slots', max(w.changed_at),
	   format('the streams that are started need %s workers, and fluct.max_workers is %s, for all databases', sum(w.workers), m.setting),
	   format('ALTER SYSTEM SET fluct.max_workers = %s; SELECT pg_reload_conf(); max_worker_processes (%s) must have room for them.',
			  sum(w.workers), current_setting('max_worker_processes'))
  FROM fluct.streams w, (SELECT current_setting('fluct.max_workers', true)::int AS setting) m
 WHERE w.enabled AND fluct._preloaded()
 GROUP BY m.setting HAVING sum(w.workers) > m.setting
UNION ALL
SELECT 'warning', format('database "%s"', d.name), 'unknown_database', pg_conf_load_time(), 'fluct.database names it, and it does not exist',
	   'Create it, or correct fluct.database in postgresql.conf, and SELECT pg_reload_conf();'
  FROM unnest(fluct._listed_databases()) d(name)
 WHERE fluct._preloaded() AND NOT EXISTS (SELECT FROM pg_database p WHERE p.datname = d.name)
$$;
COMMENT ON FUNCTION fluct._health_slots() IS 'more workers wanted than fluct.max_workers allows; a database of fluct.database that does not exist';

-- What is within max_wal_size is there without any slot.
CREATE OR REPLACE FUNCTION fluct._health_replication() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN h.bytes > d.free THEN 'critical' ELSE 'warning' END,
	   format('replication slot "%s"', s.slot_name), 'replication_slot', NULL::timestamptz,
	   format('nobody reads it, and it keeps %s of WAL; %s are free', pg_size_pretty(h.bytes), pg_size_pretty(d.free)),
	   format('Start what reads it, or SELECT pg_drop_replication_slot(%L); max_slot_wal_keep_size bounds what slots keep.', s.slot_name)
  FROM pg_replication_slots s
 CROSS JOIN LATERAL (SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
											s.restart_lsn) AS bytes) h
 CROSS JOIN (SELECT free FROM fluct._disks() ORDER BY folder = 'data directory' LIMIT 1) d
 WHERE NOT s.active AND h.bytes > pg_size_bytes(current_setting('max_wal_size'))
$$;
COMMENT ON FUNCTION fluct._health_replication() IS 'replication slots that nobody reads and that keep more WAL than max_wal_size; critical where it is more than is free';

CREATE OR REPLACE FUNCTION fluct._health_version() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'warning', 'extension', 'version', NULL::timestamptz, v.detail, v.hint
  FROM (SELECT format('the library is %s, the extension %s', fluct._library_version(), e.extversion) AS detail,
			   CASE WHEN a.default_version = fluct._library_version() THEN 'ALTER EXTENSION fluct UPDATE;'
					ELSE format('Version %s is installed: restart the server, then ALTER EXTENSION fluct UPDATE;', a.default_version) END AS hint
		  FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
		 WHERE e.extname = 'fluct' AND e.extversion <> fluct._library_version()
		UNION ALL
		SELECT format('version %s is installed, and the server has preloaded %s', a.default_version, fluct._library_version()),
			   'Restart the server, then ALTER EXTENSION fluct UPDATE;'
		  FROM pg_available_extensions a
		 WHERE a.name = 'fluct' AND a.default_version <> fluct._library_version() AND fluct._preloaded()
		   AND EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'fluct' AND e.extversion = fluct._library_version())) v
$$;
COMMENT ON FUNCTION fluct._health_version() IS 'extension, loaded library and installed files of different versions';
