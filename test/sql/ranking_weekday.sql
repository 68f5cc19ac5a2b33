-- average => 'weekday': only windows that begin on the same weekday count.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'UTC';
SET datestyle = 'ISO';
\o /dev/null
SELECT fluct.create_tables();
SELECT fluct.mark_complete('infinity');
\o
INSERT INTO sales.industries VALUES ('Food'), ('Silent');
INSERT INTO sales.customers VALUES ('a', 'A');
INSERT INTO sales.customer_industries VALUES ('a', 'Food');
-- 1000 on each Saturday, 10 on each other day: a Saturday of 1000 is a change
-- against all days, and none against Saturdays; one Saturday had nothing
INSERT INTO sales.orders
SELECT d::date::text, 'a', CASE extract(isodow FROM d) WHEN 6 THEN 1000 ELSE 10 END, d + interval '9 hours'
  FROM generate_series(timestamptz '2024-01-20', '2024-03-02', '1 day') d WHERE d <> '2024-02-10';
\set cols 'rank, industry, round(recent_value, 2) AS recent, round(baseline_avg, 4) AS average, round(delta, 4) AS delta, round(score, 4) AS score, baseline_orders AS n, active_days AS active'
SELECT :cols FROM fluct.top_fluctuations('2024-03-03', baseline => '28 days');
SELECT :cols FROM fluct.top_fluctuations('2024-03-03', baseline => '28 days', average => 'weekday');
SELECT :cols FROM fluct.top_fluctuations('2024-03-03', baseline => '14 days', average => 'weekday');
SELECT :cols FROM fluct.top_fluctuations('2024-03-03', baseline => '28 days', average => 'weekday', measure => 'zscore');
SELECT * FROM fluct.podium('2024-03-02', baseline => '14 days', average => 'weekday');
SELECT * FROM fluct.podium('2024-03-02', baseline => '28 days', average => 'weekday');
SELECT part, id, recent_value AS recent, round(baseline_avg, 4) AS average, round(delta, 4) AS delta
  FROM fluct.explain_fluctuation('Food', '2024-03-03', baseline => '28 days', average => 'weekday');
SELECT * FROM fluct.drivers('Food', '2024-03-02', baseline => '28 days', average => 'weekday');
SELECT industry, rank, other_rank, moved, delta, other_delta FROM fluct.compare('2024-03-02', baseline => '28 days', average => 'weekday');
SELECT industry, recent_value, round(baseline_avg, 4) AS average FROM fluct.record_fluctuations('saturdays', '2024-03-03', baseline => '28 days', average => 'weekday');
SELECT report, baseline, average FROM sales.fluctuations WHERE report = 'saturdays' LIMIT 1;

-- what is refused, and what would do
SELECT * FROM fluct.podium(average => 'weekday');
SELECT * FROM fluct.podium(average => 'weekday', baseline => '28 days', recent => '5 days');
SELECT * FROM fluct.podium('2024-03-02', average => 'weekday', baseline => '20 days', time_zone => 'Europe/Berlin');
SELECT * FROM fluct.podium(average => 'weekdays');
-- a history that is too young: as many whole weeks as there are
SELECT count(*) FROM fluct.top_fluctuations('2024-03-03', baseline => '56 days', average => 'weekday');

-- as a plain statement counts it; rolling windows of several lengths, zones in
-- which the clocks change, with the rollup and without
INSERT INTO sales.industries SELECT * FROM fluct.sample_industries() ON CONFLICT DO NOTHING;
INSERT INTO sales.customers SELECT customer_id, company_name FROM fluct.sample_customers(200);
INSERT INTO sales.customer_industries SELECT customer_id, i FROM fluct.sample_customers(200), string_to_table(specialized_industries, ';') i ON CONFLICT DO NOTHING;
INSERT INTO sales.orders SELECT m ->> 'order_id', m ->> 'customer_id', (m ->> 'amount')::numeric, (m ->> 'timestamp')::timestamp AT TIME ZONE 'UTC'
  FROM (SELECT m::jsonb AS m FROM fluct.sample_orders(4000, '2024-02-01Z', '2024-04-10Z', customers => 200, products => 50) m) m;
CREATE FUNCTION pg_temp.plain(as_of timestamptz, recent interval, baseline interval, zone text)
RETURNS TABLE (industry text, recent_value numeric, average numeric, deviation numeric, orders bigint) LANGUAGE sql SET timezone = 'UTC' AS $$
	WITH ends AS (SELECT CASE WHEN zone IS NULL THEN as_of AT TIME ZONE 'UTC' ELSE date_trunc('day', as_of AT TIME ZONE zone) END AS local), windows AS (
		SELECT k, (e.local - (k + 1) * recent) AS begins, (e.local - (k + 1) * recent) AT TIME ZONE coalesce(zone, 'UTC') AS since, (e.local - k * recent) AT TIME ZONE coalesce(zone, 'UTC') AS until
		  FROM ends e, generate_series(0, (extract(epoch FROM baseline) / extract(epoch FROM recent))::int) k
	), used AS (
		SELECT w.* FROM windows w WHERE extract(isodow FROM w.begins) = (SELECT extract(isodow FROM r.begins) FROM windows r WHERE r.k = 0)
	), sums AS (
		SELECT i.industry, u.k, coalesce(sum(o.amount), 0) AS amount, count(o.order_id) AS orders
		  FROM sales.industries i CROSS JOIN used u
		  LEFT JOIN sales.customer_industries ci ON ci.industry = i.industry
		  LEFT JOIN sales.orders o ON o.customer_id = ci.customer_id AND o.ordered_at >= u.since AND o.ordered_at < u.until
		 GROUP BY 1, 2)
	SELECT s.industry, sum(s.amount) FILTER (WHERE s.k = 0), sum(s.amount) FILTER (WHERE s.k > 0) * round(1.0, 20) / count(*) FILTER (WHERE s.k > 0), stddev_pop(s.amount) FILTER (WHERE s.k > 0), sum(s.orders) FILTER (WHERE s.k > 0)::bigint
	  FROM sums s GROUP BY 1
$$;
CREATE FUNCTION pg_temp.compared() RETURNS TABLE (industries bigint, alike bigint) LANGUAGE sql AS $$
	SELECT count(*), count(*) FILTER (WHERE t.recent_value = p.recent_value AND round(t.baseline_avg, 9) = round(p.average, 9) AND t.baseline_orders = p.orders
									   AND round(t.score, 6) IS NOT DISTINCT FROM round(abs(t.delta) / nullif(p.deviation, 0), 6)
									   AND e.averages = t.baseline_avg AND e.deltas = t.delta)
	  FROM (VALUES ('24 hours', '28 days', NULL), ('6 hours', '14 days', NULL), ('7 days', '28 days', NULL), ('2 days', '14 days', NULL), ('36 hours', '21 days', NULL),
				   ('1 day', '28 days', 'Europe/Berlin'), ('1 day', '42 days', 'America/New_York'), ('2 days', '28 days', 'Australia/Lord_Howe'), ('14 days', '28 days', 'Europe/Berlin')) o(recent, baseline, zone)
	 CROSS JOIN (VALUES (timestamptz '2024-03-31 13:05:07.123456Z'), ('2024-04-03 00:00Z'), ('2024-04-09 23:59:59.999999Z')) a(as_of)
	 CROSS JOIN LATERAL fluct.top_fluctuations(a.as_of, o.recent::interval, o.baseline::interval, NULL, measure => 'zscore', average => 'weekday', time_zone => o.zone) t
	  JOIN LATERAL pg_temp.plain(a.as_of, o.recent::interval, o.baseline::interval, o.zone) p ON p.industry = t.industry
	 CROSS JOIN LATERAL (SELECT sum(x.baseline_avg) AS averages, sum(x.delta) AS deltas
						   FROM fluct.explain_fluctuation(t.industry, a.as_of, o.recent::interval, o.baseline::interval, 'weekday', o.zone, 2) x WHERE x.part = 'customer') e
$$;
SET client_min_messages = error;
SELECT * FROM pg_temp.compared();
ALTER TABLE sales.orders DISABLE TRIGGER USER;
SELECT fluct._rollup_obstacle() IS NOT NULL AS without_rollup;
SELECT * FROM pg_temp.compared();
DROP SCHEMA sales CASCADE;
