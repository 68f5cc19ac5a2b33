-- schedules.sql: what is wrong with what runs on a schedule, and with files.
--
-- pg_cron is asked with the rights of the extension's owner, since a role sees
-- its own jobs only.  Of what a job said, one line is shown.

CREATE OR REPLACE FUNCTION fluct._scheduled(OUT what text, OUT owner text, OUT job text, OUT command text, OUT schedule text, OUT again text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('report "%s"', r.report), r.owner, fluct._job_name(r.report), fluct._job_command(r.report), r.schedule,
	   format('SELECT fluct.schedule_fluctuations(%L, %L, …);', r.report, r.schedule)
  FROM fluct.reports r WHERE r.schedule IS NOT NULL
UNION ALL
SELECT format('inbox "%s"', i.name), i.owner, j.job, j.command, i.schedule, format('SELECT fluct.schedule_inbox(%L, %L);', i.name, i.schedule)
  FROM fluct.inboxes i, fluct._inbox_job(i.name) j WHERE i.schedule IS NOT NULL
$$;
COMMENT ON FUNCTION fluct._scheduled() IS 'reports and inboxes with a schedule, their job in pg_cron, and the call that makes it again';

-- A run takes its time, and pg_cron begins up to a second late: five minutes.
CREATE OR REPLACE FUNCTION fluct._health_schedules() RETURNS SETOF fluct._problem
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	zone text := fluct._cron_zone();
	cron_database text := (fluct._cron_settings()).cron_database;
	elsewhere text := CASE WHEN cron_database <> current_database() THEN format('; pg_cron runs in database "%s"', cron_database) END;
BEGIN
	RETURN QUERY
	SELECT 'critical', format('report "%s"', r.report), 'late', l.slot,
		   format('the slot of %s is not recorded; the last one is of %s%s', l.slot, r.last_slot, elsewhere),
		   format('As role %I, to see why: SELECT fluct._run_report(%L);', r.owner, r.report)
	  FROM fluct.reports r, LATERAL (SELECT fluct._latest_slot(r.schedule, now() - interval '5 minutes', zone) AS slot) l
	 WHERE r.schedule IS NOT NULL AND l.slot > r.last_slot;
	RETURN QUERY
	SELECT 'critical', format('inbox "%s"', i.name), 'late', d.due,
		   format('the scan of %s did not come to its end; %s%s', d.due,
				  CASE WHEN i.last_scan IS NULL THEN 'none ever did' ELSE format('the last one that did was at %s', i.last_scan) END, elsewhere),
		   format('As role %I, to see why: CALL fluct.scan_inbox(%L);', i.owner, i.name)
	  FROM fluct.inboxes i,
		   LATERAL (SELECT CASE WHEN i.schedule ~* 'second' THEN date_trunc('second', now()) - interval '5 minutes'
								ELSE fluct._latest_slot(i.schedule, now() - interval '5 minutes', zone) END AS due) d
	 WHERE i.schedule IS NOT NULL AND d.due > greatest(i.last_scan, i.scheduled_at)
	   AND NOT EXISTS (SELECT FROM fluct._loads() l WHERE l.kind = i.kind AND l.role = fluct._inbox_owner(i));
END
$$;
COMMENT ON FUNCTION fluct._health_schedules() IS 'reports and inboxes whose slot came five minutes ago without having run';

CREATE OR REPLACE FUNCTION fluct._health_files() RETURNS SETOF fluct._problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT 'warning', format('inbox "%s"', b.inbox), 'refused_file', min(b.loaded_at),
	   format('%s refused; the last: %s, %s%s', CASE count(*) WHEN 1 THEN '1 file is' ELSE count(*) || ' files are' END,
			  (array_agg(b.name ORDER BY b.id DESC))[1], (array_agg(b.reason ORDER BY b.id DESC))[1],
			  ' in line ' || (array_agg(b.line ORDER BY b.id DESC))[1]),
	   format('SELECT file, reason, line, detail FROM fluct.files WHERE inbox = %L AND status = ''refused''; drop the corrected file under the same name, or as the owner: SELECT fluct.reload_file(%L, %L); it is shown for 7 days.',
			  b.inbox, b.inbox, (array_agg(b.name ORDER BY b.id DESC))[1])
  FROM (SELECT DISTINCT ON (f.inbox, n.name) f.*, n.name
		  FROM fluct.files f, LATERAL (SELECT substring(f.file FROM '[^/]*$') AS name) n
		 WHERE f.inbox IN (SELECT i.name FROM fluct.inboxes i) AND f.loaded_at > now() - interval '7 days'
		 ORDER BY f.inbox, n.name, f.id DESC) b
 WHERE b.status = 'refused'
 GROUP BY b.inbox
$$;
COMMENT ON FUNCTION fluct._health_files() IS 'files of inboxes that were refused in the last 7 days, and no later file of that name was loaded';

-- pg_cron numbers runs upwards and never deletes: the newest are enough.
CREATE OR REPLACE FUNCTION fluct._cron_jobs(OUT id bigint, OUT job text, OUT command text, OUT active boolean, OUT username text,
	OUT status text, OUT ended timestamptz, OUT said text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RETURN QUERY EXECUTE $q$
			SELECT j.jobid, j.jobname::text, j.command, j.active, j.username::text, d.status, d.end_time,
				   fluct._printable(left(split_part(d.return_message, E'\n', 1), 200))
			  FROM cron.job j
			  LEFT JOIN (SELECT DISTINCT ON (r.jobid) r.jobid, r.status, r.end_time, r.return_message
						   FROM (SELECT * FROM cron.job_run_details ORDER BY runid DESC LIMIT 10000) r
						  WHERE r.status IN ('succeeded', 'failed')
						  ORDER BY r.jobid, r.runid DESC) d USING (jobid)
			 WHERE j.database = current_database() AND j.command ~ '\mfluct\.'$q$;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._cron_jobs() IS 'the jobs of pg_cron in this database that call fluct, with the end of the last run of each; none where pg_cron is in another database';

CREATE OR REPLACE FUNCTION fluct._health_cron() RETURNS SETOF fluct._problem
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	cron record := fluct._cron_settings();
	wanted bigint := (SELECT count(*) FROM fluct._scheduled());
BEGIN
	IF wanted > 0 AND cron.cron_database IS NULL THEN
		RETURN QUERY SELECT 'critical', 'pg_cron', 'cron_dead', pg_postmaster_start_time(),
			format('pg_cron is not preloaded, and %s schedules need it', wanted),
			format('Put shared_preload_libraries = ''%s'' in postgresql.conf, and restart the server.', concat_ws(',', nullif(cron.preloaded, ''), 'pg_cron'));
	ELSIF (wanted > 0 OR EXISTS (SELECT FROM fluct._cron_jobs()))
		AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.backend_type = 'pg_cron launcher') THEN
		RETURN QUERY SELECT 'critical', 'pg_cron', 'cron_dead', NULL::timestamptz, format('the process pg_cron launcher does not run%s',
				CASE WHEN cron.cron_database <> current_database() THEN format('; its database is "%s"', cron.cron_database) END),
			format('The server''s log says why: the database "%s" must exist, and a worker of max_worker_processes (%s) be free. A restart starts it again.',
				   cron.cron_database, current_setting('max_worker_processes'));
	END IF;
	IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RETURN QUERY SELECT 'critical', s.what, 'job_missing', NULL::timestamptz, format('pg_cron has no job "%s"', s.job),
			format('As role %I: %s', s.owner, s.again)
		  FROM fluct._scheduled() s
		 WHERE NOT EXISTS (SELECT FROM fluct._cron_jobs() j WHERE j.command = s.command);
	END IF;
	RETURN QUERY
	SELECT CASE WHEN j.active THEN 'critical' ELSE 'warning' END, coalesce(s.what, format('job "%s"', coalesce(j.job, j.id::text))),
		   CASE WHEN j.active THEN 'job_failed' ELSE 'job_inactive' END, j.ended,
		   CASE WHEN j.active THEN 'its last run failed: ' || coalesce(j.said, '') ELSE 'its job in pg_cron is not active' END,
		   CASE WHEN j.active THEN format('SELECT start_time, status, return_message FROM cron.job_run_details '
										  'WHERE jobid = %s ORDER BY runid DESC LIMIT 5; as role %I: %s', j.id, j.username, j.command)
				ELSE format('SELECT cron.alter_job(%s, active := true);', j.id) END
	  FROM fluct._cron_jobs() j
	  LEFT JOIN fluct._scheduled() s ON s.command = j.command
	 WHERE j.status = 'failed' OR NOT j.active;
END
$$;
COMMENT ON FUNCTION fluct._health_cron() IS 'a pg_cron that is needed and does not run, jobs that are gone, not active, or whose last run failed';
