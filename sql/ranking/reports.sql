-- reports.sql: rankings that are kept, by hand or on a schedule.
--
-- A report is a name for a set of ranking options, so that its rows in
-- sales.fluctuations can be compared with one another.  On a schedule, each of
-- its slots (the nominal times) is recorded once, as of that time and never as
-- of now(): a run that comes late, or after days without a server, gives the
-- rows that it would have given then, up to orders that came late.

-- The bookkeeping is the extension's owner's; what reads and writes the tables
-- in sales is done as the caller, by _record().

CREATE OR REPLACE FUNCTION fluct._known_report(report text)
RETURNS fluct.reports
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT r FROM fluct.reports r WHERE r.report = $1 $$;
COMMENT ON FUNCTION fluct._known_report(text) IS 'the report''s row, NULL where it is unknown';

CREATE OR REPLACE FUNCTION fluct._check_report_owner(r fluct.reports)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT coalesce(pg_has_role(fluct._caller(), fluct._owner_role(r.owner, r.owner_oid, r.system_identifier), 'MEMBER'), false) THEN
		RAISE EXCEPTION 'permission denied for report "%"', r.report
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = format('It belongs to role "%s".', r.owner),
			      HINT = 'Give your report another name.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_report_owner(fluct.reports) IS
'raises insufficient_privilege unless the caller is the report''s owner, a member of it or a superuser';

CREATE OR REPLACE FUNCTION fluct._check_report(r fluct.reports)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF r.report IS NULL OR octet_length(r.report) NOT BETWEEN 1 AND 50 OR r.report <> fluct._printable(r.report) THEN
		RAISE EXCEPTION 'report must be a name of 1 to 50 bytes without control characters'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', coalesce('"' || fluct._printable(r.report) || '"', 'NULL')),
			      HINT = '''default'' is the default.';
	END IF;
	IF r.catch_up IS NULL OR r.catch_up < 1 THEN
		RAISE EXCEPTION 'catch_up must be 1 or more'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', coalesce(r.catch_up::text, 'NULL')),
			      HINT = 'catch_up => 24 is the default.';
	END IF;
	PERFORM fluct._check_ranking_options(fluct._windows_of(now(), r.recent, r.baseline, r.time_zone),
								 r.measure, r.direction, r.average, r.min_baseline);
END
$$;
COMMENT ON FUNCTION fluct._check_report(fluct.reports) IS 'raises invalid_parameter_value where a report''s name or options are none';

CREATE OR REPLACE FUNCTION fluct._save_report(r fluct.reports)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known fluct.reports := fluct._known_report(r.report);
BEGIN
	IF known.report IS NULL THEN
		r.owner := pg_get_userbyid(fluct._caller());
		r.owner_oid := fluct._caller();
		r.system_identifier := (SELECT c.system_identifier::text FROM pg_control_system() c);
		r.created_at := now();
		INSERT INTO fluct.reports SELECT r.*;
		RETURN;
	END IF;
	PERFORM fluct._check_report_owner(known);
	UPDATE fluct.reports k
	   SET (recent, baseline, measure, direction, average, time_zone, min_baseline, schedule, catch_up, last_slot)
		 = (r.recent, r.baseline, r.measure, r.direction, r.average, r.time_zone, r.min_baseline, r.schedule, r.catch_up, r.last_slot)
	 WHERE k.report = r.report;
END
$$;
COMMENT ON FUNCTION fluct._save_report(fluct.reports) IS
'writes a report''s row; the caller owns a new one; raises insufficient_privilege where it is another role''s';

-- NULL means "as the report has it", so that a known report needs its name only.
CREATE OR REPLACE FUNCTION fluct._report(report text, recent interval, baseline interval, measure text, direction text, average text,
							  time_zone text, min_baseline numeric)
RETURNS fluct.reports
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	r fluct.reports := fluct._known_report(report);
	others text;
BEGIN
	IF r.report IS NULL THEN
		r.report := report;
		r.recent := coalesce(recent, '24 hours');
		r.baseline := coalesce(baseline, '30 days');
		r.measure := coalesce(measure, 'absolute');
		r.direction := coalesce(direction, 'both');
		r.average := coalesce(average, 'elapsed');
		r.time_zone := time_zone;
		r.min_baseline := min_baseline;
		r.catch_up := 24;
		PERFORM fluct._check_report(r);
		PERFORM fluct._save_report(r);
		RETURN r;
	END IF;
	PERFORM fluct._check_report_owner(r);
	SELECT string_agg(format('%s is %s, not %s', o.name, coalesce(o.has, 'NULL'), o.given), '; ') INTO others
	  FROM (VALUES ('recent', r.recent::text, recent::text, r.recent <> recent),
				   ('baseline', r.baseline::text, baseline::text, r.baseline <> baseline),
				   ('measure', r.measure, measure, r.measure <> measure),
				   ('direction', r.direction, direction, r.direction <> direction),
				   ('average', r.average, average, r.average <> average),
				   ('time_zone', r.time_zone, time_zone, time_zone IS DISTINCT FROM r.time_zone),
				   ('min_baseline', r.min_baseline::text, min_baseline::text, min_baseline IS DISTINCT FROM r.min_baseline)
		   ) o (name, has, given, differs)
	 WHERE o.differs AND o.given IS NOT NULL;
	IF others IS NOT NULL THEN
		RAISE EXCEPTION 'report "%" has other options', report
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('Its %s.', others),
			      HINT = 'Omit the options, give another report name, or change them by schedule_fluctuations().';
	END IF;
	RETURN r;
END
$$;
COMMENT ON FUNCTION fluct._report(text, interval, interval, text, text, text, text, numeric) IS
'the report of that name, made known with these options if it is new; raises invalid_parameter_value where a known one has others';

-- ---------------------------------------------------------------------------
-- Recording
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._record(r fluct.reports, as_of timestamptz, top_n int, tells boolean)
RETURNS SETOF fluct.podium_row
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._record(fluct.reports, timestamptz, int, boolean) IS
'replaces the report''s set of that time by every industry''s row, with the rights of the caller (or of the tables'' owner, where the caller has those), and returns the podium; tells: with the notices of a ranking';

CREATE OR REPLACE FUNCTION fluct.__record(r fluct.reports, as_of timestamptz, top_n int, tells boolean)
RETURNS SETOF fluct.podium_row
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w fluct._windows := fluct._windows_of(as_of, r.recent, r.baseline, r.time_zone);
	answers fluct._answer[] := fluct._gather(w, r.measure = 'zscore' OR r.average <> 'elapsed', true);
	ranking fluct._fluctuation[] := fluct._rank(w, r.measure, r.direction, r.average, r.min_baseline, answers);
	shortfall fluct._shortfall := fluct._find_shortfall(w, r.measure, r.average, answers);
	reason text := fluct._incomplete_reason(shortfall);
BEGIN
	DELETE FROM sales.fluctuations f WHERE f.report = r.report AND f.as_of = $2;
	INSERT INTO sales.fluctuations (
		report, as_of, agg_date, rank, industry, recent_value, baseline_avg, delta, delta_pct,
		score, recent_orders, baseline_orders, active_days,
		recent, baseline, measure, direction, average, time_zone,
		complete, incomplete_reason, source_offsets, computed_at)
	SELECT r.report, as_of, w.agg_date, f.rank, f.industry, f.recent_value, f.baseline_avg, f.delta, f.delta_pct,
		   f.score, f.recent_orders, f.baseline_orders, f.active_days,
		   r.recent, r.baseline, r.measure, r.direction, r.average, r.time_zone,
		   reason IS NULL, reason,
		   CASE WHEN answers IS NULL THEN fluct._source_offsets() ELSE (SELECT jsonb_object_agg(a.member, a.offsets) FROM unnest(answers) a) END,
		   now()
	  FROM unnest(ranking) f;
	IF tells THEN
		PERFORM fluct._tell(w, ranking, shortfall, answers);
	END IF;
	RETURN QUERY SELECT * FROM fluct._podium(ranking, top_n, reason IS NULL);
END
$$;
COMMENT ON FUNCTION fluct.__record(fluct.reports, timestamptz, int, boolean) IS '_record, as the caller';

CREATE OR REPLACE FUNCTION fluct.record_fluctuations(
	report text DEFAULT 'default',
	as_of timestamptz DEFAULT now(),
	recent interval DEFAULT NULL,
	baseline interval DEFAULT NULL,
	top_n int DEFAULT 3,
	measure text DEFAULT NULL,
	direction text DEFAULT NULL,
	average text DEFAULT NULL,
	time_zone text DEFAULT NULL,
	min_baseline numeric DEFAULT NULL,
	allow_missing boolean DEFAULT false)
RETURNS SETOF fluct.podium_row
LANGUAGE c ROWS 10 AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.record_fluctuations(text, timestamptz, interval, interval, int, text, text, text, text, numeric, boolean) IS
'Stores every industry''s row of the ranking as of a time in sales.fluctuations and returns the podium (rank <= top_n and score > 0); the same report and time again replaces its set. Options as top_fluctuations(); NULL = as the report has them, or the defaults where it is new. A known report with other options is refused (invalid_parameter_value).';

CREATE OR REPLACE FUNCTION fluct._record_fluctuations(
	report text, as_of timestamptz, recent interval, baseline interval, top_n int,
	measure text, direction text, average text, time_zone text, min_baseline numeric, allow_missing boolean)
RETURNS SETOF fluct.podium_row
LANGUAGE plpgsql ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.reports;
BEGIN
	PERFORM fluct._require_tables();
	PERFORM fluct._check_top_n(top_n);
	PERFORM fluct._allow_missing(allow_missing);
	r := fluct._report(report, recent, baseline, measure, direction, average, time_zone, min_baseline);
	PERFORM fluct._tell_zone(r.time_zone);
	PERFORM fluct._lock('report', r.report);
	PERFORM fluct._announce_event('podium', r.report, NULL, as_of);
	RETURN QUERY SELECT * FROM fluct._record(r, as_of, top_n, true);
END
$$;
COMMENT ON FUNCTION fluct._record_fluctuations(text, timestamptz, interval, interval, int, text, text, text, text, numeric, boolean) IS
'record_fluctuations, as the extension''s owner';

-- ---------------------------------------------------------------------------
-- On a schedule
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._job_name(report text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'fluct: ' || report $$;
COMMENT ON FUNCTION fluct._job_name(text) IS 'the name of a report''s job in pg_cron';

CREATE OR REPLACE FUNCTION fluct._job_command(report text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('SELECT fluct._run_report(%L)', report) $$;
COMMENT ON FUNCTION fluct._job_command(text) IS 'the statement of a report''s job in pg_cron';

CREATE OR REPLACE FUNCTION fluct._run_report(report text) RETURNS int
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._run_report(text) IS
'the job of a scheduled report: records the slots missing since the last one, oldest first, at most catch_up, each as of its own time; what is still missing is the next run''s. Returns their number, 0 at once where another run holds the lock.';

CREATE OR REPLACE FUNCTION fluct.__run_report(report text)
RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.reports := fluct._known_report(report);
	slot timestamptz;
	n int := 0;
BEGIN
	IF r.report IS NOT NULL THEN
		PERFORM fluct._check_report_owner(r);
	END IF;
	IF r.schedule IS NULL THEN
		RAISE EXCEPTION 'report "%" has no schedule', report
			USING ERRCODE = 'undefined_object', DETAIL = 'Its job in pg_cron is left over.',
			      HINT = format('SELECT cron.unschedule(%L)', fluct._job_name(report));
	ELSIF NOT fluct._try_lock('report', report) THEN
		RETURN 0;
	END IF;
	r := fluct._known_report(report);		-- the run before has moved last_slot
	FOR slot IN SELECT s FROM fluct._slots(r.schedule, r.last_slot, now(), fluct._cron_zone(), r.catch_up) s LOOP
		PERFORM fluct._record(r, slot, NULL, false);
		PERFORM fluct._announce_event('podium', r.report, NULL, slot);
		r.last_slot := slot;
		n := n + 1;
	END LOOP;
	IF n > 0 THEN
		PERFORM fluct._save_report(r);
	END IF;
	RETURN n;
END
$$;
COMMENT ON FUNCTION fluct.__run_report(text) IS '_run_report, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.schedule_fluctuations(
	report text,
	schedule text,
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	measure text DEFAULT 'absolute',
	direction text DEFAULT 'both',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL,
	min_baseline numeric DEFAULT NULL,
	catch_up int DEFAULT 24)
RETURNS fluct.scheduled_report
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.schedule_fluctuations(text, text, interval, interval, text, text, text, text, numeric, int) IS
'Records a report on a schedule by pg_cron, as the calling role: writes its options, records the latest slot at once, and returns the schedule, the zone it is read in and the next run. Again for the same report it changes schedule and options. Each run records the slots missing since the last one, oldest first, at most catch_up, each as of its own time. Options as top_fluctuations(). Errors: invalid_parameter_value, insufficient_privilege, object_not_in_prerequisite_state without pg_cron.';

CREATE OR REPLACE FUNCTION fluct._schedule_fluctuations(
	report text, schedule text, recent interval, baseline interval,
	measure text, direction text, average text, time_zone text, min_baseline numeric, catch_up int)
RETURNS fluct.scheduled_report
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known fluct.reports := fluct._known_report(report);
	r fluct.reports;
	zone text := fluct._cron_zone();
BEGIN
	PERFORM fluct._refuse_superuser(fluct._caller(), 'a schedule', 'It runs by itself, with the privileges of the caller.');
	PERFORM fluct._require_tables();
	PERFORM fluct._require_owner(pg_get_userbyid(fluct._caller()), NULL, NULL);
	IF known.report IS NOT NULL
	   AND fluct._owner_role(known.owner, known.owner_oid, known.system_identifier) IS DISTINCT FROM fluct._caller() THEN
		RAISE EXCEPTION 'report "%" belongs to role "%"', report, known.owner
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = 'Its schedule runs as its owner.',
			      HINT = format('Connect as %I, or give your report another name.', known.owner);
	END IF;
	r.report := report;
	r.recent := recent;
	r.baseline := baseline;
	r.measure := measure;
	r.direction := direction;
	r.average := average;
	r.time_zone := time_zone;
	r.min_baseline := min_baseline;
	r.schedule := schedule;
	r.catch_up := catch_up;
	r.last_slot := fluct._latest_slot(schedule, now(), zone);
	PERFORM fluct._check_report(r);
	PERFORM fluct._tell_zone(time_zone);
	PERFORM fluct._cron_database();
	PERFORM fluct._save_report(r);
	PERFORM fluct._lock('report', r.report);
	PERFORM fluct._record(r, r.last_slot, NULL, false);
	PERFORM fluct._announce_event('podium', r.report, NULL, r.last_slot);
	PERFORM fluct._make_job(fluct._job_name(report), schedule, fluct._job_command(report));
	IF time_zone IS NOT NULL AND now() AT TIME ZONE time_zone <> now() AT TIME ZONE zone THEN
		RAISE NOTICE 'the schedule is read in %, the report''s days are those of %', zone, time_zone
			USING HINT = 'A slot takes the whole days before the last midnight there: let it come some time after that midnight.';
	END IF;
	RETURN ROW(report, schedule, zone,
			   (SELECT s FROM fluct._slots(schedule, now(), now() + interval '3000 days', zone, 1) s))::fluct.scheduled_report;
END
$$;
COMMENT ON FUNCTION fluct._schedule_fluctuations(text, text, interval, interval, text, text, text, text, numeric, int) IS
'schedule_fluctuations, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.unschedule_fluctuations(report text) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.unschedule_fluctuations(text) IS
'Ends a report''s schedule; the report, its options and its rows stay. Returns false where it had none. Errors: undefined_object for an unknown report, insufficient_privilege.';

CREATE OR REPLACE FUNCTION fluct._unschedule_fluctuations(report text)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.reports := fluct._known_report(report);
BEGIN
	IF r.report IS NULL THEN
		RAISE EXCEPTION 'unknown report %', coalesce('"' || report || '"', 'NULL')
			USING ERRCODE = 'undefined_object', DETAIL = 'fluct.reports has no such row.',
			      HINT = fluct._did_you_mean(report, ARRAY(SELECT k.report FROM fluct.reports k), 'SELECT report, schedule FROM fluct.reports; lists all.');
	END IF;
	PERFORM fluct._check_report_owner(r);
	IF r.schedule IS NULL THEN
		RETURN false;
	END IF;
	r.schedule := NULL;
	r.last_slot := NULL;
	PERFORM fluct._save_report(r);
	PERFORM fluct._remove_job(fluct._job_name(report), fluct._job_command(report));
	RETURN true;
END
$$;
COMMENT ON FUNCTION fluct._unschedule_fluctuations(text) IS 'unschedule_fluctuations, as the extension''s owner';
