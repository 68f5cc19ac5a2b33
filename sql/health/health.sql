-- health.sql: the one place to look at.

-- One check that fails, or waits for a lock, must not hide the others.
CREATE OR REPLACE FUNCTION fluct._health() RETURNS SETOF fluct._problem
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
	checks text[] := '{streams,freshness,dead_letters,gaps,retention,handovers,members,schedules,files,cron,disk,replication,rollup,slots,version}';
	for_primary text[] := '{schedules,cron}';
	name text;
BEGIN
	FOREACH name IN ARRAY checks LOOP
		CONTINUE WHEN pg_is_in_recovery() AND name = ANY (for_primary);
		BEGIN
			RETURN QUERY EXECUTE format('SELECT * FROM fluct._health_%s()', name);
		EXCEPTION WHEN OTHERS THEN
			RETURN NEXT ROW('warning', 'health', 'unknown', clock_timestamp(), format('its check of %s failed: %s', name, SQLERRM),
							CASE SQLSTATE WHEN '55P03' THEN
								'SELECT pid, query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0; shows who waits for a lock.'
							ELSE format('As a superuser: SELECT * FROM fluct._health_%s();', name) END)::fluct._problem;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._health() IS 'the rows of health, each check by itself; on a standby not those of what runs on the primary only';

CREATE OR REPLACE VIEW fluct.health AS
SELECT h.severity, fluct._printable(h.what) AS what, h.problem, h.since, fluct._printable(h.detail) AS detail, fluct._printable(h.hint) AS hint
  FROM fluct._health() h
 ORDER BY array_position('{critical,warning,notice}'::text[], h.severity), h.since, h.what, h.problem;
COMMENT ON VIEW fluct.health IS 'What is wrong, a row a problem, the worst first; empty = well. No broker is asked.';
COMMENT ON COLUMN fluct.health.severity IS 'critical (data is late or may be lost), warning (will be, or needs a look), notice (a person did it)';
COMMENT ON COLUMN fluct.health.what IS 'stream, report, inbox or member with its name; rollup, pg_cron, …';
COMMENT ON COLUMN fluct.health.problem IS 'one word: failed, backing_off, stalled, waiting_for_lock, open_transaction, starting, paused, behind, dead_letters, gap, retention, handover, member, late, refused_file, cron_dead, job_missing, job_failed, job_inactive, disk, replication_slot, rollup_invalid, slots, unknown_database, version, unknown';
COMMENT ON COLUMN fluct.health.since IS 'since when, as far as is known';
COMMENT ON COLUMN fluct.health.detail IS 'the fact';
COMMENT ON COLUMN fluct.health.hint IS 'what to do, statements first';
