-- Reports: recorded, replaced, caught up; schedules without pg_cron (with it: test/t).
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SELECT * FROM fluct.record_fluctuations();
\o /dev/null
SELECT fluct.create_tables();
SELECT fluct.mark_complete('infinity');
\o
INSERT INTO sales.industries VALUES ('Alpha'), ('Beta'), ('Gamma'), ('Delta');
INSERT INTO sales.customers VALUES ('a', 'A'), ('b', 'B'), ('g', 'G');
INSERT INTO sales.customer_industries VALUES ('a', 'Alpha'), ('b', 'Beta'), ('g', 'Gamma');
INSERT INTO sales.orders SELECT c || d, c, ascii(c) * (extract(hour FROM d) + 1) + 1.0 / 3, d
  FROM unnest(ARRAY['a', 'b', 'g']) c, generate_series('2020-01-01 00:00Z'::timestamptz, '2020-03-10 00:00Z', interval '7 hours') d;

-- every industry is stored, the podium comes back, and it equals the ranking
SELECT * FROM fluct.record_fluctuations(as_of => '2020-03-01 12:00Z');
SELECT report, as_of, agg_date, recent, baseline, measure, direction, average, time_zone, complete, incomplete_reason, source_offsets, count(*)
  FROM sales.fluctuations GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12;
SELECT rank, industry, recent_value, baseline_avg, delta, delta_pct, score, recent_orders, baseline_orders, active_days, complete FROM sales.fluctuations
EXCEPT SELECT * FROM fluct.top_fluctuations('2020-03-01 12:00Z', top_n => NULL);
-- the score is what ranks, and never negative
SELECT m AS measure, count(t.score) AS scores, count(*) FILTER (WHERE t.score < 0 OR t.rank <> t.by_score OR t.score IS DISTINCT FROM t.expected) AS wrong
  FROM unnest('{absolute,relative,zscore}'::text[]) m,
       LATERAL (SELECT f.*, rank() OVER (ORDER BY f.score DESC NULLS LAST) AS by_score,
                       CASE m WHEN 'absolute' THEN abs(f.delta) WHEN 'relative' THEN abs(f.delta_pct) ELSE f.score END AS expected
                  FROM fluct.top_fluctuations('2020-03-01 12:00Z', measure => m, top_n => NULL) f) t
 GROUP BY 1 ORDER BY 1;
-- the same time again: the same rows, once; after a late order other rows, once
CREATE TEMP TABLE before AS TABLE sales.fluctuations;
\o /dev/null
SELECT * FROM fluct.record_fluctuations(as_of => '2020-03-01 12:00Z');
\o
SELECT count(*) AS rows, count(*) FILTER (WHERE to_jsonb(f) - 'computed_at' = to_jsonb(b) - 'computed_at') AS same
  FROM sales.fluctuations f JOIN before b USING (report, as_of, industry);
INSERT INTO sales.orders VALUES ('late', 'b', 100000, '2020-03-01 11:00Z');
SELECT rank, industry, recent_value, recent_orders FROM fluct.record_fluctuations(as_of => '2020-03-01 12:00Z', top_n => 1);
SELECT count(*) FROM sales.fluctuations;

-- a known report keeps its options
SELECT * FROM fluct.record_fluctuations(as_of => '2020-03-02 12:00Z', measure => 'relative', time_zone => 'UTC', recent => '7 days', min_baseline => 5);
SELECT count(*) FROM fluct.record_fluctuations(as_of => '2020-03-02 12:00Z', measure => 'absolute', recent => '1 day');
SELECT * FROM fluct.record_fluctuations('falling', '2020-03-02 12:00Z', direction => 'down', time_zone => 'Europe/Berlin', top_n => NULL);
SELECT rank, industry, agg_date, delta < 0 AS fell FROM sales.fluctuations WHERE report = 'falling' ORDER BY rank, industry;
SELECT report, as_of, agg_date, rank, industry, recent_value, baseline_avg, delta, delta_pct, complete FROM sales.latest_fluctuations;
SELECT * FROM fluct.record_fluctuations('bad', measure => 'x');
SELECT * FROM fluct.record_fluctuations('');
SELECT * FROM fluct.record_fluctuations(NULL);
SELECT report, owner = current_user AS mine, schedule FROM fluct.reports ORDER BY 1;
-- ahead of time is not complete
SELECT count(*) AS podium FROM fluct.record_fluctuations(as_of => '2999-01-01', top_n => 1);
SELECT DISTINCT complete, incomplete_reason FROM sales.fluctuations WHERE as_of = '2999-01-01';

-- Schedules, as pg_cron matches them.
CREATE FUNCTION pg_temp.s(schedule text, since timestamptz, until timestamptz, zone text DEFAULT 'GMT', most int DEFAULT 6) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(to_char(s, 'Dy DD Mon YYYY HH24:MI'), ', ' ORDER BY s) FROM fluct._slots($1, $2, $3, $4, $5) s $$;
SELECT pg_temp.s('*/20 * * * *', '2026-01-01 00:00Z', '2026-01-01 01:00Z');         -- since excluded, until included
SELECT pg_temp.s('5,35 8-10/2 * * *', '2026-01-01 00:00Z', '2026-02-01 00:00Z');
SELECT pg_temp.s('0 6 * * mon-fri', '2026-01-01 06:00Z', '2026-02-01 00:00Z');
SELECT pg_temp.s('0 6 * * 6,7', '2026-01-01 06:00Z', '2026-02-01 00:00Z');
SELECT pg_temp.s('0 0 13 * 5', '2026-01-01 00:00Z', '2026-12-01 00:00Z');           -- either day
SELECT pg_temp.s('0 0 */13 * 4', '2026-01-01 00:00Z', '2026-12-01 00:00Z');         -- both, as the day begins with *
SELECT pg_temp.s('0 0 29 Feb *', '2024-01-01 00:00Z', '2036-12-01 00:00Z');
SELECT pg_temp.s('0 12 $ * *', '2026-01-01 00:00Z', '2026-06-01 00:00Z');
SELECT pg_temp.s('@weekly', '2026-01-01 00:00Z', '2026-02-01 00:00Z', most => NULL);
SELECT pg_temp.s('@monthly', '2026-01-01 00:00Z', '2026-06-01 00:00Z');
-- clocks: 02:30 is skipped on 29 March, and comes twice on 25 October
SELECT pg_temp.s('30 2 * * *', '2026-03-28 00:00Z', '2026-03-31 00:00Z', 'Europe/Berlin');
SELECT pg_temp.s('30 2 * * *', '2026-10-24 00:00Z', '2026-10-26 12:00Z', 'Europe/Berlin');
SELECT fluct._latest_slot('0 0 29 2 *', '2103-01-01', 'GMT'), fluct._latest_slot('0 9 * * *', '2026-01-02 09:00Z', 'GMT'), fluct._latest_slot('0 9 * * *', '2026-01-02 08:59:59.999999Z', 'GMT');
-- what is refused
CREATE FUNCTION pg_temp.refused(schedule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text;
BEGIN
	PERFORM fluct._latest_slot(schedule, now(), 'GMT');
	RETURN 'accepted';
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN SQLERRM || ': ' || d;
END $$;
SELECT pg_temp.refused(s) FROM unnest(ARRAY['', '* * * *', '* * * * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * 32 * *', '* * * 13 *', '* * * foo *', '* * * * 8',
	'* * * * monday', '5/10 * * * *', '10-5 * * * *', '*/0 * * * *', '1,,2 * * * *', '*-5 * * * *', '-1 * * * *', '0 0 30 2 *', '30 seconds', '@reboot', '* * * * L', NULL]) s;

-- A run records what is missing, oldest first, as of its own time, at most catch_up.
BEGIN;
SELECT fluct._save_report(r) FROM (SELECT ('hourly', '1 hour', '3 hours', 'absolute', 'both', 'elapsed', NULL, NULL, '0 * * * *', 4,
	date_trunc('hour', now()) - interval '6 hours', NULL, NULL)::fluct.reports AS r) x \g /dev/null
SET client_min_messages = warning;
SELECT fluct._run_report('hourly');
SELECT extract(hour FROM date_trunc('hour', now()) - as_of) AS hours_ago, count(*) FROM sales.fluctuations WHERE report = 'hourly' GROUP BY as_of ORDER BY as_of;
SELECT fluct._run_report('hourly');
SELECT extract(hour FROM date_trunc('hour', now()) - as_of) AS hours_ago, count(*) FROM sales.fluctuations WHERE report = 'hourly' GROUP BY as_of ORDER BY as_of;
SELECT fluct._run_report('hourly');
COMMIT;
SET client_min_messages = notice;
SELECT fluct._run_report('falling');
SELECT fluct._run_report('nobody');

-- Rights: nobody but who was granted them; a report belongs to its maker.
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_fluct_one LOGIN;
CREATE ROLE regress_fluct_two LOGIN;
GRANT USAGE ON SCHEMA fluct TO regress_fluct_one, regress_fluct_two;
SET ROLE regress_fluct_one;
SELECT * FROM fluct.record_fluctuations();
SELECT * FROM fluct.schedule_fluctuations('r', '0 * * * *');
RESET ROLE;
\o /dev/null
SELECT fluct.grant_operator('regress_fluct_one'), fluct.grant_operator('regress_fluct_two');
\o
GRANT INSERT, DELETE ON sales.fluctuations TO regress_fluct_one, regress_fluct_two;
SET ROLE regress_fluct_one;
SELECT count(*) FROM fluct.record_fluctuations('ones', '2020-03-02 12:00Z');
SELECT owner FROM fluct.reports WHERE report = 'ones';
INSERT INTO fluct.reports (report, owner) VALUES ('forged', 'x');
SET ROLE regress_fluct_two;
SELECT fluct._save_report((fluct._known_report('ones')));
RESET ROLE;
SET client_min_messages = warning;
DROP OWNED BY regress_fluct_one, regress_fluct_two;
DROP ROLE regress_fluct_one, regress_fluct_two;
DROP EXTENSION fluct CASCADE;
DROP SCHEMA sales CASCADE;
