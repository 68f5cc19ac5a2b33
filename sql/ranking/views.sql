-- views.sql: the ranking as views for BI tools, and two days side by side.
--
-- sales.podium_today and sales.fluctuation_history (model/definition.sql) stand
-- on the functions with a number here.  A view over a function that returns rows
-- depends on its row type, and keeps an update of the extension from changing
-- it.  So the row type of a numbered function never changes: with one column
-- more it is a new function with the next number, and create_tables() replaces
-- the view by one over that.

CREATE OR REPLACE FUNCTION fluct._podium_1()
RETURNS TABLE (rank int, industry text, recent_value numeric, baseline_avg numeric, delta numeric, delta_pct numeric,
			   recent_orders bigint, complete boolean)
LANGUAGE plpgsql STABLE ROWS 3 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT p.rank, p.industry, p.recent_value, p.baseline_avg, p.delta, p.delta_pct, p.recent_orders, p.complete
		  FROM fluct.podium() p;
END
$$;
COMMENT ON FUNCTION fluct._podium_1() IS 'podium() with its columns of version 0.1, for sales.podium_today';

CREATE OR REPLACE FUNCTION fluct._fluctuation_history_1()
RETURNS TABLE (report text, as_of timestamptz, agg_date date, rank int, on_podium boolean, industry text,
			   recent_value numeric, baseline_avg numeric, delta numeric, delta_pct numeric,
			   recent_orders bigint, complete boolean, incomplete_reason text)
LANGUAGE c STABLE ROWS 10000 AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._fluctuation_history_1() IS
'all that record_fluctuations() stored, rounded for reading, with the columns of version 0.1, for sales.fluctuation_history';

CREATE OR REPLACE FUNCTION fluct.__fluctuation_history_1()
RETURNS TABLE (report text, as_of timestamptz, agg_date date, rank int, on_podium boolean, industry text,
			   recent_value numeric, baseline_avg numeric, delta numeric, delta_pct numeric,
			   recent_orders bigint, complete boolean, incomplete_reason text)
LANGUAGE plpgsql STABLE ROWS 10000 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	RETURN QUERY
		SELECT f.report, f.as_of, f.agg_date, f.rank, f.rank <= 3 AND coalesce(f.score, 0) > 0, f.industry,
			   round(f.recent_value, 2), round(f.baseline_avg, 2), round(f.delta, 2), round(f.delta_pct, 1),
			   f.recent_orders, f.complete, f.incomplete_reason
		  FROM sales.fluctuations f
		 ORDER BY f.report, f.as_of, f.rank, f.industry COLLATE "C";
END
$$;
COMMENT ON FUNCTION fluct.__fluctuation_history_1() IS '_fluctuation_history_1, as the tables'' owner';

-- ---------------------------------------------------------------------------
-- Days
-- ---------------------------------------------------------------------------

-- As podium() reads its day.
CREATE OR REPLACE FUNCTION fluct._end_of_day(day date, time_zone text, OUT as_of timestamptz, OUT zone text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	as_of := now();
	zone := time_zone;
	IF day IS NOT NULL THEN
		zone := coalesce(time_zone, current_setting('TimeZone'));
		PERFORM fluct._check_zone('time_zone', zone);
		as_of := (day + 1)::timestamp AT TIME ZONE zone;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._end_of_day(date, text) IS
'as_of and time_zone of top_fluctuations() for a day of podium(): the day in the zone or else the session''s; now, and the zone as it is, where day is NULL';

-- ---------------------------------------------------------------------------
-- Two podiums side by side
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct.compare(
	day date,
	other_day date DEFAULT NULL,
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	top_n int DEFAULT 3,
	measure text DEFAULT 'absolute',
	direction text DEFAULT 'both',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL)
RETURNS TABLE (industry text, rank int, other_rank int, moved text, delta numeric, other_delta numeric, complete boolean)
LANGUAGE c STABLE ROWS 6 AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.compare(date, date, interval, interval, int, text, text, text, text) IS
'The podiums of two days side by side; other_day NULL = the day before. A row for each industry that is on either podium (rank <= top_n; NULL: all), with what moved: new (not on the other day''s podium), gone (only there), up n, down n or same. rank and delta are those of the whole ranking, so that they say how near an industry is that is not on the podium; NULL where it has no score that day. complete: of both days. Options, notices and errors as podium().';

CREATE OR REPLACE FUNCTION fluct._compare(
	day date,
	other_day date,
	recent interval,
	baseline interval,
	top_n int,
	measure text,
	direction text,
	average text,
	time_zone text)
RETURNS TABLE (industry text, rank int, other_rank int, moved text, delta numeric, other_delta numeric, complete boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF day IS NULL THEN
		RAISE EXCEPTION 'day must not be null'
			USING ERRCODE = 'null_value_not_allowed',
			      HINT = 'SELECT * FROM fluct.compare(current_date - 1); compares yesterday with the day before.';
	END IF;
	PERFORM fluct._check_top_n(top_n);
	RETURN QUERY
		WITH days AS (
			SELECT d.name, p.*, p.rank <= coalesce(top_n, p.rank) AS on_podium
			  FROM (VALUES ('day', day), ('other', coalesce(other_day, day - 1))) d(name, day)
			 CROSS JOIN LATERAL fluct.podium(d.day, recent, baseline, NULL, measure, direction, average, time_zone) p
		)
		SELECT coalesce(a.industry, b.industry), a.rank, b.rank,
			   CASE WHEN b.on_podium IS NOT TRUE THEN 'new'
					WHEN a.on_podium IS NOT TRUE THEN 'gone'
					WHEN a.rank < b.rank THEN 'up ' || b.rank - a.rank
					WHEN a.rank > b.rank THEN 'down ' || a.rank - b.rank
					ELSE 'same' END,
			   a.delta, b.delta,
			   coalesce(a.complete, true) AND coalesce(b.complete, true)
		  FROM (SELECT * FROM days d WHERE d.name = 'day') a
		  FULL JOIN (SELECT * FROM days d WHERE d.name = 'other') b ON b.industry = a.industry
		 WHERE a.on_podium OR b.on_podium
		 ORDER BY a.on_podium DESC NULLS LAST, a.rank, b.rank, coalesce(a.industry, b.industry) COLLATE "C";
END
$$;
COMMENT ON FUNCTION fluct._compare(date, date, interval, interval, int, text, text, text, text) IS 'compare, without a context';
