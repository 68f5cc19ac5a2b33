-- reports.sql: rankings that are kept, by hand or on a schedule.
--
-- A report is a name for a set of ranking options, so that its rows in
-- fluct.fluctuations can be compared with one another.  On a schedule, each of
-- its slots (the nominal times) is recorded once, as of that time and never as
-- of now(): a run that comes late, or after days without a server, gives the
-- rows that it would have given then, up to orders that came late.

-- ---------------------------------------------------------------------------
-- Bookkeeping
-- ---------------------------------------------------------------------------

CREATE TABLE fluct.reports (
	report text PRIMARY KEY CHECK (octet_length(report) BETWEEN 1 AND 50),
	recent interval NOT NULL DEFAULT '24 hours',
	baseline interval NOT NULL DEFAULT '30 days',
	measure text NOT NULL DEFAULT 'absolute',
	direction text NOT NULL DEFAULT 'both',
	average text NOT NULL DEFAULT 'elapsed',
	time_zone text,
	min_baseline numeric,
	schedule text,
	catch_up int NOT NULL DEFAULT 24 CHECK (catch_up > 0),
	last_slot timestamptz,
	owner text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
SELECT pg_catalog.pg_extension_config_dump('fluct.reports', '');
COMMENT ON TABLE fluct.reports IS 'The known reports and their options; written by record_fluctuations(), schedule_fluctuations() and unschedule_fluctuations().';
COMMENT ON COLUMN fluct.reports.report IS 'its name, 1 to 50 bytes';
COMMENT ON COLUMN fluct.reports.recent IS 'length of the recent window';
COMMENT ON COLUMN fluct.reports.baseline IS 'length of the baseline window, which ends where the recent one begins';
COMMENT ON COLUMN fluct.reports.measure IS 'absolute, relative or zscore';
COMMENT ON COLUMN fluct.reports.direction IS 'both, up or down';
COMMENT ON COLUMN fluct.reports.average IS 'elapsed or active';
COMMENT ON COLUMN fluct.reports.time_zone IS 'whole calendar days of this zone; NULL = rolling windows';
COMMENT ON COLUMN fluct.reports.min_baseline IS 'industries with a lower baseline_avg have no rank; NULL = all have';
COMMENT ON COLUMN fluct.reports.schedule IS 'when it is recorded, as pg_cron writes it, in pg_cron''s zone; NULL = only by hand';
COMMENT ON COLUMN fluct.reports.catch_up IS 'missing slots that one run records at most';
COMMENT ON COLUMN fluct.reports.last_slot IS 'newest slot of the schedule that is recorded';
COMMENT ON COLUMN fluct.reports.owner IS 'the role that made it; its members and superusers may change it';
COMMENT ON COLUMN fluct.reports.created_at IS 'when it became known';

-- In a function with the rights of its owner, current_user is that owner.
CREATE FUNCTION fluct._outer_user()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END
$$;
COMMENT ON FUNCTION fluct._outer_user() IS 'the role that called, as SET ROLE left it, also within functions that work with their owner''s rights';

CREATE FUNCTION fluct._known_report(report text)
RETURNS fluct.reports
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT r FROM fluct.reports r WHERE r.report = $1 $$;
COMMENT ON FUNCTION fluct._known_report(text) IS 'the report''s row, NULL where it is unknown';

CREATE FUNCTION fluct._check_report(r fluct.reports)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF r.report IS NULL OR octet_length(r.report) NOT BETWEEN 1 AND 50 THEN
		RAISE EXCEPTION 'report must be a name of 1 to 50 bytes'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', coalesce('"' || r.report || '"', 'NULL')),
			      HINT = '''default'' is the default.';
	END IF;
	IF r.catch_up IS NULL OR r.catch_up < 1 THEN
		RAISE EXCEPTION 'catch_up must be 1 or more'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', coalesce(r.catch_up::text, 'NULL')),
			      HINT = 'catch_up => 24 is the default.';
	END IF;
	PERFORM fluct._check_options(fluct._windows_of(now(), r.recent, r.baseline, r.time_zone),
								 r.measure, r.direction, r.average, r.min_baseline);
END
$$;
COMMENT ON FUNCTION fluct._check_report(fluct.reports) IS 'raises invalid_parameter_value where a report''s name or options are none';

CREATE FUNCTION fluct._save_report(r fluct.reports)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known fluct.reports := fluct._known_report(r.report);
BEGIN
	IF known.report IS NOT NULL
	   AND EXISTS (SELECT 1 FROM pg_roles o WHERE o.rolname = known.owner)
	   AND NOT pg_has_role(fluct._outer_user(), known.owner, 'MEMBER') THEN
		RAISE EXCEPTION 'permission denied for report "%"', r.report
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = format('It belongs to %I.', known.owner),
			      HINT = 'Give your report another name.';
	END IF;
	r.owner := coalesce(known.owner, fluct._outer_user());
	r.created_at := coalesce(known.created_at, now());
	INSERT INTO fluct.reports SELECT r.*
	ON CONFLICT (report) DO UPDATE
	   SET (recent, baseline, measure, direction, average, time_zone, min_baseline, schedule, catch_up, last_slot)
		 = (r.recent, r.baseline, r.measure, r.direction, r.average, r.time_zone, r.min_baseline, r.schedule, r.catch_up, r.last_slot);
END
$$;
COMMENT ON FUNCTION fluct._save_report(fluct.reports) IS
'writes a report''s row; raises insufficient_privilege where it belongs to a role that the caller is no member of';

-- NULL means "as the report has it", so that a known report needs its name only.
CREATE FUNCTION fluct._report(report text, recent interval, baseline interval, measure text, direction text, average text,
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
			      HINT = 'Leave the options away, give another report name, or change them by schedule_fluctuations().';
	END IF;
	RETURN r;
END
$$;
COMMENT ON FUNCTION fluct._report(text, interval, interval, text, text, text, text, numeric) IS
'the report of that name, made known with these options if it is new; raises invalid_parameter_value where a known one has others';

-- ---------------------------------------------------------------------------
-- Recording
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._report_lock(report text)
RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT hashtextextended('fluct report ' || report, 0) $$;
COMMENT ON FUNCTION fluct._report_lock(text) IS 'the advisory lock that a run of this report holds';

CREATE FUNCTION fluct._record(r fluct.reports, as_of timestamptz, w fluct._windows)
RETURNS fluct._fluctuation[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ranking fluct._fluctuation[];
	reason text := fluct._incomplete_reason(w);
BEGIN
	PERFORM pg_advisory_xact_lock(fluct._report_lock(r.report));
	ranking := fluct._rank(w, r.measure, r.direction, r.average, r.min_baseline);
	DELETE FROM fluct.fluctuations f WHERE f.report = r.report AND f.as_of = $2;
	INSERT INTO fluct.fluctuations (
		report, as_of, agg_date, rank, industry, recent_value, baseline_avg, delta, delta_pct,
		recent_orders, baseline_orders, active_days,
		recent, baseline, measure, direction, average, time_zone,
		complete, incomplete_reason, source_offsets, computed_at)
	SELECT r.report, as_of, w.agg_date, f.rank, f.industry, f.recent_value, f.baseline_avg, f.delta, f.delta_pct,
		   f.recent_orders, f.baseline_orders, f.active_days,
		   r.recent, r.baseline, r.measure, r.direction, r.average, r.time_zone,
		   reason IS NULL, reason, fluct._source_offsets(), now()
	  FROM unnest(ranking) f;
	RETURN ranking;
END
$$;
COMMENT ON FUNCTION fluct._record(fluct.reports, timestamptz, fluct._windows) IS
'replaces the report''s set of that time by every industry''s row and returns it';

CREATE FUNCTION fluct.record_fluctuations(
	report text DEFAULT 'default',
	as_of timestamptz DEFAULT now(),
	recent interval DEFAULT NULL,
	baseline interval DEFAULT NULL,
	top_n int DEFAULT 3,
	measure text DEFAULT NULL,
	direction text DEFAULT NULL,
	average text DEFAULT NULL,
	time_zone text DEFAULT NULL,
	min_baseline numeric DEFAULT NULL)
RETURNS SETOF fluct.podium_row
LANGUAGE plpgsql ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.reports;
	w fluct._windows;
	ranking fluct._fluctuation[];
BEGIN
	PERFORM fluct._require_tables();
	PERFORM fluct._check_top_n(top_n);
	r := fluct._report(report, recent, baseline, measure, direction, average, time_zone, min_baseline);
	w := fluct._windows_of(as_of, r.recent, r.baseline, r.time_zone);
	ranking := fluct._record(r, as_of, w);
	PERFORM fluct._tell(w, ranking);
	RETURN QUERY SELECT * FROM fluct._podium(ranking, top_n, fluct._incomplete_reason(w) IS NULL);
END
$$;
COMMENT ON FUNCTION fluct.record_fluctuations(text, timestamptz, interval, interval, int, text, text, text, text, numeric) IS
'Stores every industry''s row of the ranking as of a time in fluct.fluctuations and returns the podium (rank <= top_n); the same report and time again replaces its set. Options as top_fluctuations(); NULL = as the report has them, or the defaults where it is new. A known report with other options is refused (invalid_parameter_value).';

-- ---------------------------------------------------------------------------
-- Schedules
-- ---------------------------------------------------------------------------
-- pg_cron tells a job nothing of its nominal time, and after a pause nothing of
-- the runs that it missed, so the slots are computed here, as pg_cron matches
-- them: each minute whose local time in pg_cron's zone fits all fields, days of
-- the month and of the week being alternatives where both are restricted (see
-- crontab(5)).  A local time that the clocks skip has no slot, one that they
-- repeat has two.

CREATE TYPE fluct._cron AS (
	minutes int[],
	hours int[],
	days int[],
	months int[],
	weekdays int[],
	last_day boolean,
	any_day boolean,
	any_weekday boolean
);
COMMENT ON TYPE fluct._cron IS 'a schedule, parsed: the values of each field; weekdays from 0, Sunday';

CREATE FUNCTION fluct._cron_field(field text, low int, high int, names text[])
RETURNS int[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	part text;
	m text[];
	first int;
	last int;
	found int[] := '{}';
BEGIN
	FOREACH part IN ARRAY string_to_array(lower(field), ',') LOOP
		m := regexp_match(part, '^(?:(\*)|([0-9]{1,4}|[a-z]{3})(?:-([0-9]{1,4}|[a-z]{3}))?)(?:/([0-9]{1,4}))?$');
		IF m IS NULL OR (m[4] IS NOT NULL AND m[1] IS NULL AND m[3] IS NULL) THEN
			RETURN NULL;
		ELSIF m[1] = '*' THEN
			first := low;
			last := high;
		ELSE
			first := CASE WHEN m[2] ~ '[0-9]' THEN m[2]::int ELSE array_position(names, m[2]) - 1 + low END;
			last := CASE WHEN m[3] IS NULL THEN first
						 WHEN m[3] ~ '[0-9]' THEN m[3]::int ELSE array_position(names, m[3]) - 1 + low END;
		END IF;
		IF first IS NULL OR last IS NULL OR first < low OR last > high OR first > last OR m[4]::int = 0 THEN
			RETURN NULL;
		END IF;
		found := found || ARRAY(SELECT generate_series(first, last, coalesce(m[4]::int, 1)));
	END LOOP;
	RETURN nullif(found, '{}');
END
$$;
COMMENT ON FUNCTION fluct._cron_field(text, int, int, text[]) IS
'the values of a field: *, numbers, names, ranges, steps after * or a range, lists of these; NULL where it is none';

CREATE FUNCTION fluct._refuse_schedule(schedule text, detail text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'unknown schedule %', coalesce('"' || schedule || '"', 'NULL')
		USING ERRCODE = 'invalid_parameter_value', DETAIL = detail,
		      HINT = 'Five fields: minute, hour, day of month, month, day of week. For example ''5 0 * * *'' is each day at 00:05, ''0 * * * *'' each hour.';
END
$$;
COMMENT ON FUNCTION fluct._refuse_schedule(text, text) IS 'raises invalid_parameter_value for a schedule, with what a schedule is';

CREATE FUNCTION fluct._parse_schedule(schedule text)
RETURNS fluct._cron
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	f text[] := regexp_split_to_array(btrim(
		CASE lower(btrim(schedule))
		WHEN '@hourly' THEN '0 * * * *'
		WHEN '@daily' THEN '0 0 * * *'
		WHEN '@midnight' THEN '0 0 * * *'
		WHEN '@weekly' THEN '0 0 * * 0'
		WHEN '@monthly' THEN '0 0 1 * *'
		WHEN '@yearly' THEN '0 0 1 1 *'
		WHEN '@annually' THEN '0 0 1 1 *'
		ELSE schedule END), '\s+');
	c fluct._cron;
	wrong text;
BEGIN
	IF schedule ~* '^\s*[0-9]+\s+seconds?\s*$' THEN
		PERFORM fluct._refuse_schedule(schedule, 'The slots of a report are whole minutes.');
	ELSIF f IS NULL OR cardinality(f) <> 5 THEN
		PERFORM fluct._refuse_schedule(schedule, format('It has %s fields.', coalesce(cardinality(f), 0)));
	END IF;
	c.last_day := f[3] = '$';
	c.any_day := f[3] LIKE '*%';
	c.any_weekday := f[5] LIKE '*%';
	c.minutes := fluct._cron_field(f[1], 0, 59, '{}');
	c.hours := fluct._cron_field(f[2], 0, 23, '{}');
	c.days := CASE WHEN c.last_day THEN '{}' ELSE fluct._cron_field(f[3], 1, 31, '{}') END;
	c.months := fluct._cron_field(f[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
	c.weekdays := ARRAY(SELECT d % 7 FROM unnest(fluct._cron_field(f[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}')) d);
	wrong := CASE WHEN c.minutes IS NULL THEN 'minute is "' || f[1]
				  WHEN c.hours IS NULL THEN 'hour is "' || f[2]
				  WHEN c.days IS NULL THEN 'day of month is "' || f[3]
				  WHEN c.months IS NULL THEN 'month is "' || f[4]
				  WHEN c.weekdays = '{}' THEN 'day of week is "' || f[5] END;
	IF wrong IS NOT NULL THEN
		PERFORM fluct._refuse_schedule(schedule, format('Its %s".', wrong));
	END IF;
	RETURN c;
END
$$;
COMMENT ON FUNCTION fluct._parse_schedule(text) IS
'a schedule of five fields, or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually; $ as day of month is the last one. Raises invalid_parameter_value.';

CREATE FUNCTION fluct._day_fits(c fluct._cron, day date)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT extract(month FROM day)::int = ANY (c.months)
   AND CASE WHEN c.any_day OR c.any_weekday THEN d.fits AND w.fits ELSE d.fits OR w.fits END
  FROM (SELECT extract(day FROM day)::int = ANY (c.days)
            OR c.last_day AND extract(day FROM day + 1) = 1 AS fits) d,
       (SELECT extract(dow FROM day)::int = ANY (c.weekdays) AS fits) w
$$;
COMMENT ON FUNCTION fluct._day_fits(fluct._cron, date) IS 'whether the schedule has slots on that local day';

CREATE FUNCTION fluct._slots_of_day(c fluct._cron, day date, zone text)
RETURNS SETOF timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT s
  FROM generate_series(day::timestamp AT TIME ZONE zone,
                       (day + 1)::timestamp AT TIME ZONE zone - interval '1 minute', interval '1 minute') s
 WHERE fluct._day_fits(c, day)
   AND extract(hour FROM s AT TIME ZONE zone)::int = ANY (c.hours)
   AND extract(minute FROM s AT TIME ZONE zone)::int = ANY (c.minutes)
 ORDER BY s
$$;
COMMENT ON FUNCTION fluct._slots_of_day(fluct._cron, date, text) IS 'the slots of one local day of the zone, ascending';

CREATE FUNCTION fluct._slots(schedule text, since timestamptz, until timestamptz, zone text, most int DEFAULT NULL)
RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c fluct._cron := fluct._parse_schedule(schedule);
	day date := (since AT TIME ZONE zone)::date;
	s timestamptz;
	n int := 0;
BEGIN
	WHILE day <= (until AT TIME ZONE zone)::date LOOP
		IF fluct._day_fits(c, day) THEN
			FOR s IN SELECT d FROM fluct._slots_of_day(c, day, zone) d WHERE d > since AND d <= until LOOP
				RETURN NEXT s;
				n := n + 1;
				EXIT WHEN n >= most;
			END LOOP;
		END IF;
		EXIT WHEN n >= most;
		day := day + 1;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._slots(text, timestamptz, timestamptz, text, int) IS
'the slots of a schedule in (since, until], oldest first, at most so many (NULL: all)';

-- Eight years hold a 29 February, whatever century.
CREATE FUNCTION fluct._latest_slot(schedule text, at timestamptz, zone text)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c fluct._cron := fluct._parse_schedule(schedule);
	today date := (at AT TIME ZONE zone)::date;
	s timestamptz;
BEGIN
	FOR back IN 0 .. 3000 LOOP
		IF fluct._day_fits(c, today - back) THEN
			SELECT max(d) INTO s FROM fluct._slots_of_day(c, today - back, zone) d WHERE d <= at;
			IF s IS NOT NULL THEN
				RETURN s;
			END IF;
		END IF;
	END LOOP;
	PERFORM fluct._refuse_schedule(schedule, 'It never comes.');
END
$$;
COMMENT ON FUNCTION fluct._latest_slot(text, timestamptz, text) IS 'the newest slot of a schedule at or before a time; raises invalid_parameter_value where it has none';

-- ---------------------------------------------------------------------------
-- pg_cron
-- ---------------------------------------------------------------------------

-- Works with its owner's rights: these two settings are not for everybody.
CREATE FUNCTION fluct._cron_settings(OUT cron_database text, OUT preloaded text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	cron_database := current_setting('cron.database_name', true);
	preloaded := current_setting('shared_preload_libraries');
EXCEPTION WHEN insufficient_privilege THEN
	NULL;
END
$$;
COMMENT ON FUNCTION fluct._cron_settings() IS 'pg_cron''s database, NULL where it is not preloaded, and shared_preload_libraries';

-- The same, from pg_cron 1.6 on: only pg_read_all_settings may read the zone.
CREATE FUNCTION fluct._cron_zone()
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT') $$;
COMMENT ON FUNCTION fluct._cron_zone() IS 'the zone in which pg_cron reads schedules: cron.timezone, GMT before pg_cron 1.6';

CREATE FUNCTION fluct._cron_database()
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s record;
BEGIN
	IF EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_cron') THEN
		IF NOT has_schema_privilege('cron', 'USAGE') THEN
			RAISE EXCEPTION 'permission denied for schema cron'
				USING ERRCODE = 'insufficient_privilege',
				      DETAIL = 'pg_cron keeps its jobs there.',
				      HINT = format('GRANT USAGE ON SCHEMA cron TO %I', current_user);
		END IF;
		RETURN current_database();
	END IF;
	SELECT * INTO s FROM fluct._cron_settings();
	IF s.cron_database = current_database() THEN
		RAISE EXCEPTION 'pg_cron is not created in this database'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      DETAIL = 'The server has preloaded it for this database.',
			      HINT = 'CREATE EXTENSION pg_cron';
	ELSIF s.cron_database IS NULL THEN
		RAISE EXCEPTION 'pg_cron is not there'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      DETAIL = 'Schedules need it; all else works without.',
			      HINT = format(E'Install it (on Debian postgresql-%s-cron), write into postgresql.conf\n'
				                '  shared_preload_libraries = ''%s''\n  cron.database_name = ''%s''\n  cron.use_background_workers = on\n'
				                'restart the server, then CREATE EXTENSION pg_cron.',
				                current_setting('server_version_num')::int / 10000,
				                concat_ws(',', nullif(s.preloaded, ''), 'pg_cron'), current_database());
	END IF;
	RETURN s.cron_database;
END
$$;
COMMENT ON FUNCTION fluct._cron_database() IS
'the database that pg_cron runs in; raises object_not_in_prerequisite_state where it is not there or not created, insufficient_privilege where the caller may not use it';

CREATE FUNCTION fluct._job_name(report text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'fluct: ' || report $$;
COMMENT ON FUNCTION fluct._job_name(text) IS 'the name of a report''s job in pg_cron';

CREATE FUNCTION fluct._make_job(r fluct.reports, cron_database text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	command text := format('SELECT fluct._run_report(%L)', r.report);
BEGIN
	IF cron_database = current_database() THEN
		EXECUTE format('SELECT cron.schedule(%L, %L, %L)', fluct._job_name(r.report), r.schedule, command);
	ELSE
		RAISE NOTICE 'pg_cron runs in database "%": make the job there', cron_database
			USING HINT = format('SELECT cron.schedule_in_database(%L, %L, %L, %L)',
								fluct._job_name(r.report), r.schedule, command, current_database());
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._make_job(fluct.reports, text) IS 'makes or changes the report''s job in pg_cron, or says the call where that is in another database';

CREATE FUNCTION fluct._run_report(report text)
RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.reports;
	zone text := fluct._cron_zone();
	slot timestamptz;
	n int := 0;
BEGIN
	IF NOT pg_try_advisory_xact_lock(fluct._report_lock(report)) THEN
		RETURN 0;
	END IF;
	r := fluct._known_report(report);
	IF r.schedule IS NULL THEN
		RAISE EXCEPTION 'report "%" has no schedule', report
			USING ERRCODE = 'undefined_object', DETAIL = 'Its job in pg_cron is left over.',
			      HINT = format('SELECT cron.unschedule(%L)', fluct._job_name(report));
	END IF;
	FOR slot IN SELECT s FROM fluct._slots(r.schedule, r.last_slot, now(), zone, r.catch_up) s LOOP
		PERFORM fluct._record(r, slot, fluct._windows_of(slot, r.recent, r.baseline, r.time_zone));
		r.last_slot := slot;
		n := n + 1;
	END LOOP;
	IF n > 0 THEN
		PERFORM fluct._save_report(r);
	END IF;
	RETURN n;
END
$$;
COMMENT ON FUNCTION fluct._run_report(text) IS
'the job of a scheduled report: records the slots missing since the last one, oldest first, at most catch_up, each as of its own time; what is still missing is the next run''s. Returns their number, 0 at once where another run holds the lock.';

CREATE TYPE fluct.scheduled_report AS (
	report text,
	schedule text,
	zone text,
	next_run timestamptz
);
COMMENT ON TYPE fluct.scheduled_report IS 'what schedule_fluctuations() returns: the schedule is read in zone';

CREATE FUNCTION fluct.schedule_fluctuations(
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
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.reports;
	zone text := fluct._cron_zone();
	cron_database text;
BEGIN
	PERFORM fluct._require_tables();
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
	cron_database := fluct._cron_database();
	PERFORM fluct._save_report(r);
	PERFORM fluct._record(r, r.last_slot, fluct._windows_of(r.last_slot, r.recent, r.baseline, r.time_zone));
	PERFORM fluct._make_job(r, cron_database);
	IF time_zone IS NOT NULL AND now() AT TIME ZONE time_zone <> now() AT TIME ZONE zone THEN
		RAISE NOTICE 'the schedule is read in %, the report''s days are those of %', zone, time_zone
			USING HINT = 'A slot takes the whole days before the last midnight there: let it come some time after that midnight.';
	END IF;
	RETURN ROW(report, schedule, zone,
			   (SELECT s FROM fluct._slots(schedule, now(), now() + interval '3000 days', zone, 1) s))::fluct.scheduled_report;
END
$$;
COMMENT ON FUNCTION fluct.schedule_fluctuations(text, text, interval, interval, text, text, text, text, numeric, int) IS
'Records a report on a schedule by pg_cron, as the calling role: writes its options, records the latest slot at once, and returns the schedule, the zone it is read in and the next run. Again for the same report it changes schedule and options. Each run records the slots missing since the last one, oldest first, at most catch_up, each as of its own time. Options as top_fluctuations(). Errors: invalid_parameter_value, insufficient_privilege, object_not_in_prerequisite_state without pg_cron.';

CREATE FUNCTION fluct.unschedule_fluctuations(report text)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.reports := fluct._known_report(report);
	cron_database text := fluct._cron_database();
	job bigint;
BEGIN
	IF r.report IS NULL THEN
		RAISE EXCEPTION 'unknown report %', coalesce('"' || report || '"', 'NULL')
			USING ERRCODE = 'undefined_object', DETAIL = 'fluct.reports has no such row.',
			      HINT = 'SELECT report, schedule FROM fluct.reports';
	ELSIF r.schedule IS NULL THEN
		RETURN false;
	END IF;
	r.schedule := NULL;
	r.last_slot := NULL;
	PERFORM fluct._save_report(r);
	IF cron_database = current_database() THEN
		EXECUTE 'SELECT jobid FROM cron.job WHERE jobname = $1 AND command = $2' INTO job
			USING fluct._job_name(report), format('SELECT fluct._run_report(%L)', report);
		EXECUTE 'SELECT cron.unschedule($1) WHERE $1 IS NOT NULL' USING job;
	ELSE
		RAISE NOTICE 'pg_cron runs in database "%": remove the job there', cron_database
			USING HINT = format('SELECT cron.unschedule(%L)', fluct._job_name(report));
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION fluct.unschedule_fluctuations(text) IS
'Ends a report''s schedule; the report, its options and its rows stay. Returns false where it had none. Errors: undefined_object for an unknown report, insufficient_privilege.';

-- What writes is granted by grant_operator(); so are the functions below it that
-- work with their owner's rights.
REVOKE ALL ON FUNCTION
	fluct._known_report(text),
	fluct._save_report(fluct.reports),
	fluct._cron_settings(),
	fluct.record_fluctuations(text, timestamptz, interval, interval, int, text, text, text, text, numeric),
	fluct.schedule_fluctuations(text, text, interval, interval, text, text, text, text, numeric, int),
	fluct.unschedule_fluctuations(text)
FROM PUBLIC;
