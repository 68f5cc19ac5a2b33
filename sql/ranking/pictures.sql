-- pictures.sql: series of amounts as lines of blocks, for psql.

-- Made by chr(): the script stays ASCII, and can be loaded in any encoding.
CREATE OR REPLACE FUNCTION fluct.sparkline(amounts numeric[])
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	WITH finite AS (
		SELECT a.n, CASE WHEN a.amount > '-Infinity' AND a.amount < 'Infinity' THEN a.amount END AS amount
		  FROM unnest(amounts) WITH ORDINALITY a(amount, n)
	), ranges AS (
		SELECT f.n, f.amount, min(f.amount) OVER () AS low, max(f.amount) OVER () AS high FROM finite f
	), levels AS (
		SELECT r.n, coalesce(round((r.amount - r.low) * 7 / nullif(r.high - r.low, 0)), 0 * r.amount)::int AS level FROM ranges r
	)
	SELECT coalesce(string_agg(CASE WHEN l.level IS NULL THEN ' '
									WHEN getdatabaseencoding() = 'UTF8' THEN chr(9601 + l.level)
									ELSE substr('_.,-=+*#', l.level + 1, 1) END, '' ORDER BY l.n), '')
	  FROM levels l
$$;
COMMENT ON FUNCTION fluct.sparkline(numeric[]) IS
'The numbers as a line of blocks of eight heights, from the smallest number to the largest; all of the lowest height where they are equal. NULL, NaN and infinities leave a blank. In databases that are not UTF8 characters of ASCII stand for the blocks.';

CREATE OR REPLACE FUNCTION fluct._series(as_of timestamptz, recent interval, time_zone text,
							  OUT industry text, OUT starts timestamptz[], OUT amounts numeric[])
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w CONSTANT fluct._windows := fluct._windows_of(as_of, recent, 30 * recent, time_zone);
	baseline CONSTANT record := fluct._baseline_windows(w);
BEGIN
	PERFORM fluct._require_tables();
	RETURN QUERY
		WITH spend AS MATERIALIZED (
			SELECT s.industry, s.starts, s.amount FROM fluct._spend_of(fluct._gather(w, true), w, true) s
		)
		SELECT i.industry, array_agg(u.start ORDER BY u.n), array_agg(coalesce(s.amount, 0) ORDER BY u.n)
		  FROM sales.industries i
		 CROSS JOIN unnest(baseline.starts || w.mid) WITH ORDINALITY u(start, n)
		  LEFT JOIN spend s ON s.industry = i.industry AND s.starts = u.start
		 GROUP BY i.industry;
END
$$;
COMMENT ON FUNCTION fluct._series(timestamptz, interval, text) IS
'each listed industry''s spend in its last 31 windows as long as recent, oldest first, and when they begin; the last one is the recent window';

CREATE OR REPLACE FUNCTION fluct.trend(
	day date DEFAULT NULL,
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	top_n int DEFAULT NULL,
	measure text DEFAULT 'absolute',
	direction text DEFAULT 'both',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL)
RETURNS TABLE (rank int, industry text, trend text, recent_value numeric, baseline_avg numeric, delta_pct numeric)
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.trend(date, interval, interval, int, text, text, text, text) IS
'Each industry with its last 31 windows as a line of blocks (sparkline()), the oldest first and the recent window last, in the order of the ranking: of the given day in time_zone (default: the session''s), or of the last 24 hours where day is NULL. Each line has a scale of its own, from zero (or its smallest window, where that is negative) to its largest. top_n NULL = all. Options, notices and errors as podium().';

CREATE OR REPLACE FUNCTION fluct._trend(day date, recent interval, baseline interval, top_n int, measure text, direction text,
	average text, time_zone text)
RETURNS TABLE (rank int, industry text, trend text, recent_value numeric, baseline_avg numeric, delta_pct numeric)
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	days record := fluct._end_of_day(day, time_zone);
BEGIN
	RETURN QUERY
		SELECT t.rank, t.industry, substr(fluct.sparkline(0.0 || s.amounts), 2), round(t.recent_value, 2), round(t.baseline_avg, 2), round(t.delta_pct, 1)
		  FROM fluct.top_fluctuations(days.as_of, recent, baseline, top_n, measure, direction, average, days.zone) t
		  JOIN fluct._series(days.as_of, recent, days.zone) s ON s.industry = t.industry
		 ORDER BY t.rank, t.industry COLLATE "C";
END
$$;
COMMENT ON FUNCTION fluct._trend(date, interval, interval, int, text, text, text, text) IS 'trend, as the tables'' owner';
