-- windows.sql: where the windows of a ranking begin and end.

CREATE OR REPLACE FUNCTION fluct._microseconds(name text, value interval)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	sample text := CASE name WHEN 'recent' THEN '24 hours' ELSE '30 days' END;
BEGIN
	IF extract(year FROM value) <> 0 OR extract(month FROM value) <> 0 THEN
		RAISE EXCEPTION '% must not be in months or years', name
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s, and months differ in length.', value),
			      HINT = format('Days, hours, minutes and seconds are allowed: %s => ''%s''.', name, sample);
	END IF;
	IF value IS NULL OR value <= '0' OR NOT isfinite(value) THEN
		RAISE EXCEPTION '% must be a positive interval', name
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', coalesce(value::text, 'NULL')),
			      HINT = format('Any length above 0 in days, hours, minutes and seconds is allowed: %s => ''%s''.', name, sample);
	END IF;
	RETURN extract(epoch FROM value) * 1000000;
END
$$;
COMMENT ON FUNCTION fluct._microseconds(text, interval) IS
'the length of a window, a day being 24 hours; raises invalid_parameter_value, naming the option, unless it is positive and without months';

CREATE OR REPLACE FUNCTION fluct._whole_days(name text, value interval)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	us bigint := fluct._microseconds(name, value);
	day CONSTANT bigint := 86400000000;
BEGIN
	IF us % day <> 0 THEN
		RAISE EXCEPTION '% must be whole days where time_zone is given', name
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', value),
			      HINT = 'Use 1 day, 2 days and so on; without time_zone any length is allowed.';
	END IF;
	RETURN us / day;
END
$$;
COMMENT ON FUNCTION fluct._whole_days(text, interval) IS
'the length of a window in calendar days; raises invalid_parameter_value, naming the option, where it is none';

-- AT TIME ZONE also takes abbreviations, and POSIX forms, in which UTC+2 is west
-- of UTC.  Neither has a slash without digits.  All names are read, which takes a
-- while, only where this does not decide.
CREATE OR REPLACE FUNCTION fluct._is_zone(zone text)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF zone ~* '^(posix|right/)' THEN
		RETURN false;
	END IF;
	PERFORM now() AT TIME ZONE zone;
	RETURN lower(zone) = 'utc' OR zone ~ '^[A-Za-z_]+(/[A-Za-z_-]+)+$'
		OR EXISTS (SELECT FROM pg_timezone_names n WHERE lower(n.name) = lower(zone));
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN false;
END
$$;
COMMENT ON FUNCTION fluct._is_zone(text) IS 'whether it is a name of pg_timezone_names, in any case';

CREATE OR REPLACE FUNCTION fluct._check_zone(name text, zone text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF fluct._is_zone(zone) THEN
		RETURN;
	END IF;
	RAISE EXCEPTION 'unknown %: "%"', name, zone
		USING ERRCODE = 'invalid_parameter_value',
		      DETAIL = 'NULL, or a name such as Europe/Berlin or UTC, is allowed.'
		               || CASE WHEN zone ~ '[0-9]' THEN ' An offset is not: PostgreSQL reads UTC+2 as two hours west of UTC.' ELSE '' END,
		      HINT = fluct._did_you_mean(
				coalesce((SELECT min(n.name) FROM pg_timezone_names n WHERE right(lower(n.name), length(zone) + 1) = '/' || lower(zone)), zone),
				ARRAY(SELECT n.name FROM pg_timezone_names n WHERE n.name !~ '^posix'),
				'SELECT name FROM pg_timezone_names; lists all.');
END
$$;
COMMENT ON FUNCTION fluct._check_zone(text, text) IS 'raises invalid_parameter_value, naming the option, unless it is the name of a time zone';

CREATE OR REPLACE FUNCTION fluct._tell_zone(zone text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	west CONSTANT interval := timestamp '2000-01-01' - timestamptz '2000-01-01 00:00Z' AT TIME ZONE zone;
BEGIN
	IF zone ~* '^(etc/)?gmt[-+]?[0-9]' AND west <> '0' THEN
		RAISE NOTICE 'time zone % is % hours % of UTC', zone, abs(extract(hour FROM west)), CASE WHEN west > '0' THEN 'west' ELSE 'east' END
			USING HINT = 'A name such as Europe/Berlin says it without a sign, and knows about daylight saving time.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._tell_zone(text) IS 'a NOTICE about a zone whose sign is not that of ISO 8601: Etc/GMT+2 is two hours west';

-- Interval arithmetic is done in UTC: "30 days" across a change of the clocks
-- is otherwise 719 or 721 hours.
CREATE OR REPLACE FUNCTION fluct._rolling_windows(as_of timestamptz, recent interval, baseline interval)
RETURNS fluct._windows
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	recent_us bigint := fluct._microseconds('recent', recent);
	baseline_us bigint := fluct._microseconds('baseline', baseline);
	us CONSTANT interval := '1 microsecond';
	w fluct._windows;
BEGIN
	w.until := as_of;
	w.mid := as_of - recent_us * us;
	w.since := w.mid - baseline_us * us;
	w.numerator := recent_us / gcd(recent_us, baseline_us);
	w.denominator := baseline_us / gcd(recent_us, baseline_us);
	w.width := recent_us * us;
	w.origin := w.mid - ceil(baseline_us::numeric / recent_us)::bigint * recent_us * us;
	RETURN w;
END
$$;
COMMENT ON FUNCTION fluct._rolling_windows(timestamptz, interval, interval) IS
'the windows that end at as_of';

-- A calendar day begins where its midnight is in the zone, so it may have 23
-- or 25 hours.
CREATE OR REPLACE FUNCTION fluct._calendar_windows(as_of timestamptz, recent interval, baseline interval, time_zone text)
RETURNS fluct._windows
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	recent_days int := fluct._whole_days('recent', recent);
	baseline_days int := fluct._whole_days('baseline', baseline);
	last_day date := (as_of AT TIME ZONE time_zone)::date;
	w fluct._windows;
BEGIN
	-- where the clocks go back over midnight, that midnight is the later one
	IF last_day::timestamp AT TIME ZONE time_zone > as_of THEN
		last_day := last_day - 1;
	END IF;
	w.until := last_day::timestamp AT TIME ZONE time_zone;
	w.mid := (last_day - recent_days)::timestamp AT TIME ZONE time_zone;
	w.since := (last_day - recent_days - baseline_days)::timestamp AT TIME ZONE time_zone;
	w.numerator := recent_days / gcd(recent_days, baseline_days);
	w.denominator := baseline_days / gcd(recent_days, baseline_days);
	w.edges := ARRAY(
		SELECT (last_day - k * recent_days)::timestamp AT TIME ZONE time_zone
		  FROM generate_series(ceil(baseline_days::numeric / recent_days)::int + 1, 1, -1) k);
	RETURN w;
END
$$;
COMMENT ON FUNCTION fluct._calendar_windows(timestamptz, interval, interval, text) IS
'the windows of whole calendar days of the zone, before its last midnight <= as_of';

CREATE OR REPLACE FUNCTION fluct._windows_of(as_of timestamptz, recent interval, baseline interval, time_zone text)
RETURNS fluct._windows
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w fluct._windows;
BEGIN
	IF as_of IS NULL OR NOT isfinite(as_of) THEN
		RAISE EXCEPTION 'as_of must be a time'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', coalesce(as_of::text, 'NULL')),
			      HINT = 'Omit it to use now().';
	END IF;
	IF time_zone IS NULL THEN
		w := fluct._rolling_windows(as_of, recent, baseline);
	ELSE
		PERFORM fluct._check_zone('time_zone', time_zone);
		w := fluct._calendar_windows(as_of, recent, baseline, time_zone);
	END IF;
	w.agg_date := ((w.until - interval '1 microsecond') AT TIME ZONE coalesce(time_zone, 'UTC'))::date;
	RETURN w;
END
$$;
COMMENT ON FUNCTION fluct._windows_of(timestamptz, interval, interval, text) IS
'the windows of a ranking: rolling, or of whole calendar days where a zone is given';
