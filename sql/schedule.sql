-- schedule.sql: the slots of a schedule, and pg_cron.
--
-- pg_cron tells a job nothing of its nominal time, and after a pause nothing of
-- the runs that it missed, so the slots are computed here, as pg_cron matches
-- them: each minute whose local time in pg_cron's zone fits all fields, days of
-- the month and of the week being alternatives where both are restricted (see
-- crontab(5)).  A local time that the clocks skip has no slot, one that they
-- repeat has two.

CREATE OR REPLACE FUNCTION fluct._cron_field(field text, low int, high int, names text[])
RETURNS int[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
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

CREATE OR REPLACE FUNCTION fluct._refuse_schedule(schedule text, detail text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'unknown schedule %', coalesce('"' || schedule || '"', 'NULL')
		USING ERRCODE = 'invalid_parameter_value', DETAIL = detail,
		      HINT = 'Five fields: minute, hour, day of month, month, day of week. '
					 'For example ''5 0 * * *'' is each day at 00:05, ''0 * * * *'' each hour.';
END
$$;
COMMENT ON FUNCTION fluct._refuse_schedule(text, text) IS 'raises invalid_parameter_value for a schedule, with what a schedule is';

CREATE OR REPLACE FUNCTION fluct._parse_schedule(schedule text)
RETURNS fluct._cron
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
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
		PERFORM fluct._refuse_schedule(schedule, format('It has %s of five fields.', coalesce(cardinality(f), 0)));
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

CREATE OR REPLACE FUNCTION fluct._day_fits(c fluct._cron, day date)
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

CREATE OR REPLACE FUNCTION fluct._slots_of_day(c fluct._cron, day date, zone text)
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

CREATE OR REPLACE FUNCTION fluct._slots(schedule text, since timestamptz, until timestamptz, zone text, most int DEFAULT NULL)
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
CREATE OR REPLACE FUNCTION fluct._latest_slot(schedule text, at timestamptz, zone text)
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

-- These work as the extension's owner, but for what makes and removes a job:
-- pg_cron runs a job as the role that made it.

CREATE OR REPLACE FUNCTION fluct._cron_settings(OUT cron_database text, OUT preloaded text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	preloaded := current_setting('shared_preload_libraries');
	-- a line in postgresql.conf makes the setting, with or without pg_cron
	IF 'pg_cron' = ANY (regexp_split_to_array(preloaded, '[[:space:],"]+')) THEN
		cron_database := current_setting('cron.database_name', true);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._cron_settings() IS 'pg_cron''s database, NULL where it is not preloaded, and shared_preload_libraries';

CREATE OR REPLACE FUNCTION fluct._cron_zone()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT') $$;
COMMENT ON FUNCTION fluct._cron_zone() IS 'the zone in which pg_cron reads schedules: cron.timezone, GMT before pg_cron 1.6';

CREATE OR REPLACE FUNCTION fluct._cron_database()
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	s record;
BEGIN
	IF EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_cron') THEN
		IF NOT has_schema_privilege(fluct._caller(), 'cron', 'USAGE') THEN
			RAISE EXCEPTION 'permission denied for schema cron'
				USING ERRCODE = 'insufficient_privilege',
				      DETAIL = 'pg_cron keeps its jobs there.',
				      HINT = format('As a superuser: GRANT USAGE ON SCHEMA cron TO %I;', pg_get_userbyid(fluct._caller()));
		END IF;
		RETURN current_database();
	END IF;
	SELECT * INTO s FROM fluct._cron_settings();
	IF s.cron_database = current_database() THEN
		RAISE EXCEPTION 'pg_cron is not created in this database'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      DETAIL = 'The server has preloaded it for this database.',
			      HINT = 'CREATE EXTENSION pg_cron;';
	ELSIF s.cron_database IS NULL THEN
		RAISE EXCEPTION 'pg_cron is not available'
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
'the database that pg_cron runs in; raises object_not_in_prerequisite_state where it is not preloaded or not created, insufficient_privilege where the caller cannot use it';

CREATE OR REPLACE FUNCTION fluct._cron_schedule(job text, schedule text, command text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._cron_schedule(text, text, text) IS 'has pg_cron run a command, as the caller';
CREATE OR REPLACE FUNCTION fluct.__cron_schedule(job text, schedule text, command text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job, schedule, command; END $$;
COMMENT ON FUNCTION fluct.__cron_schedule(text, text, text) IS '_cron_schedule, as the caller';

CREATE OR REPLACE FUNCTION fluct._cron_unschedule(job text, command text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._cron_unschedule(text, text) IS 'ends a job of pg_cron, as the caller';
CREATE OR REPLACE FUNCTION fluct.__cron_unschedule(job text, command text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE 'SELECT cron.unschedule(j.jobid) FROM cron.job j WHERE j.jobname = $1 AND j.command = $2' USING job, command;
END
$$;
COMMENT ON FUNCTION fluct.__cron_unschedule(text, text) IS '_cron_unschedule, as the caller';

-- Where pg_cron serves several databases, a job's name says which one it is for:
-- making a job of a known name again does not move it to another database.
CREATE OR REPLACE FUNCTION fluct._make_job(job text, schedule text, command text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cron_database text := fluct._cron_database();
BEGIN
	IF cron_database = current_database() THEN
		PERFORM fluct._cron_schedule(job, schedule, command);
	ELSE
		RAISE NOTICE 'pg_cron runs in database "%": make the job there', cron_database
			USING HINT = format('SELECT cron.schedule_in_database(%L, %L, %L, %L, username => %L);',
								job || ' in ' || current_database(), schedule, command, current_database(), pg_get_userbyid(fluct._caller()));
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._make_job(text, text, text) IS 'makes or changes a job of the caller''s in pg_cron, or says the call where that is in another database';

CREATE OR REPLACE FUNCTION fluct._remove_job(job text, command text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cron_database text := fluct._cron_database();
BEGIN
	IF cron_database = current_database() THEN
		PERFORM fluct._cron_unschedule(job, command);
	ELSE
		RAISE NOTICE 'pg_cron runs in database "%": remove the job there', cron_database
			USING HINT = format('SELECT cron.unschedule(%L)', job || ' in ' || current_database());
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._remove_job(text, text) IS 'ends a job of pg_cron, or says the call where that is in another database';
