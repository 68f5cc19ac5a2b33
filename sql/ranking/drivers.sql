-- drivers.sql: what drove an industry's change, for reading.
--
-- explain_fluctuation() rounded, as podium() is top_fluctuations() rounded: names
-- in place of ids, within 100 columns.  What is rounded are the sums so far, and
-- a row is the difference to the row before, so that each part adds up to the
-- figures of podium().

-- A customer may be named "(others)", or have that as its id.  The rest of a part
-- begins with the last of them.
CREATE OR REPLACE FUNCTION fluct._drivers(industry text, day date, recent interval, baseline interval, average text, time_zone text, top_n int)
RETURNS TABLE (part text, name text, recent_value numeric, baseline_avg numeric, delta numeric, share_pct numeric, is_rest boolean)
LANGUAGE plpgsql STABLE ROWS 13 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	days record := fluct._end_of_day(day, time_zone);
BEGIN
	RETURN QUERY
		WITH parts AS (
			SELECT e.*, fluct._printable(coalesce(e.name, e.id)) AS known_as,
				   e.place >= max(e.place) FILTER (WHERE e.id = '(others)') OVER (PARTITION BY e.part) AS is_rest
			  FROM fluct.explain_fluctuation(industry, days.as_of, recent, baseline, average, days.zone, top_n)
				   WITH ORDINALITY e(part, id, name, recent_value, baseline_avg, delta, share_pct, place)
		), sums AS (
			SELECT p.*,
				   CASE WHEN NOT p.is_rest AND count(*) OVER (PARTITION BY p.part, p.known_as) > 1 THEN ' ' || left(p.id, 8) ELSE '' END AS told_apart,
				   round(sum(p.recent_value) OVER so_far, 2) AS recent_values,
				   round(sum(p.baseline_avg) OVER so_far, 2) AS averages,
				   round(sum(p.delta) OVER so_far, 2) AS deltas
			  FROM parts p
			WINDOW so_far AS (PARTITION BY p.part ORDER BY p.place)
		)
		SELECT s.part,
			   CASE WHEN length(s.known_as || s.told_apart) > 28 THEN left(s.known_as, 25 - length(s.told_apart)) || '...' ELSE s.known_as END
			   || s.told_apart,
			   s.recent_values - lag(s.recent_values, 1, 0::numeric) OVER in_order,
			   s.averages - lag(s.averages, 1, 0::numeric) OVER in_order,
			   s.deltas - lag(s.deltas, 1, 0::numeric) OVER in_order,
			   round(s.share_pct, 1),
			   s.is_rest
		  FROM sums s
		WINDOW in_order AS (PARTITION BY s.part ORDER BY s.place)
		 ORDER BY s.place;
END
$$;
COMMENT ON FUNCTION fluct._drivers(text, date, interval, interval, text, text, int) IS
'drivers(), and which rows are what is beyond the customers or products before them';

CREATE OR REPLACE FUNCTION fluct.drivers(
	industry text,
	day date DEFAULT NULL,
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL,
	top_n int DEFAULT 5)
RETURNS TABLE (part text, name text, recent_value numeric, baseline_avg numeric, delta numeric, share_pct numeric)
LANGUAGE plpgsql STABLE ROWS 13 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT d.part, d.name, d.recent_value, d.baseline_avg, d.delta, d.share_pct
		FROM fluct._drivers(industry, day, recent, baseline, average, time_zone, top_n) d;
END
$$;
COMMENT ON FUNCTION fluct.drivers(text, date, interval, interval, text, text, int) IS
'Which customers and which products drove an industry''s fluctuation, for reading: explain_fluctuation() of the given day in time_zone (default: the session''s), or of the last 24 hours where day is NULL. Names where they are known, else ids, cut to 28 characters; of equal names each with the beginning of its id. Amounts to 2 decimals, so that each part adds up to the industry''s figures in podium(); share_pct to 1. Options, warnings and errors as explain_fluctuation().';
