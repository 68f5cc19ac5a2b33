-- The aggregate fluctuation(), beside the same sums by FILTER.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS fluct CASCADE;
CREATE EXTENSION fluct;
SET client_min_messages = notice;
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO';

-- Edges, to the microsecond, as the ranking has them: recent 110, baseline 11000 / 30.
SELECT (fluct.fluctuation(amount, at, '2020-03-01 12:00Z', '24 hours', '30 days')).*
FROM (VALUES (1.0, timestamptz '2020-03-01 12:00Z'), (10, '2020-03-01 11:59:59.999999Z'),
	(100, '2020-02-29 12:00Z'), (1000, '2020-02-29 11:59:59.999999Z'),
	(10000, '2020-01-30 12:00Z'), (100000, '2020-01-30 11:59:59.999999Z'),
	(NULL, '2020-03-01 11:00Z'), (5, NULL)) v(amount, at);
-- no rows; rows outside; a baseline of 0; NaN is a number for numeric
SELECT fluct.fluctuation(amount, at, now(), '1 day', '30 days') IS NULL AS none
FROM (VALUES (1.0, now())) v(amount, at) WHERE false;
SELECT (fluct.fluctuation(1, '2020-01-01Z', '2024-01-01Z', '1 day', '30 days')).*;
SELECT (fluct.fluctuation(amount, at, '2024-01-01Z', '1 day', '30 days')).*
FROM (VALUES (5.0, timestamptz '2023-12-31 12:00Z'), (3, '2023-12-15Z'), (-3, '2023-12-16Z')) v(amount, at);
SELECT (fluct.fluctuation(amount, at, '2024-01-01Z', '7 days', '30 days')).*
FROM (VALUES (numeric 'NaN', timestamptz '2023-12-31 12:00Z'), (3, '2023-12-15Z')) v(amount, at);

-- Anything: 200,000 rows of many digits, in 7 groups, with and without parallel workers.
CREATE UNLOGGED TABLE sales AS
	SELECT n % 7 AS shop, (n * 7919 % 1000003 - 300000) / 7.0 AS amount,
		timestamptz '2024-01-01Z' + n * interval '17 seconds' AS sold_at
	FROM generate_series(1, 200000) n;
ANALYZE sales;
CREATE VIEW by_filter AS
	SELECT shop, coalesce(sum(amount) FILTER (WHERE sold_at >= timestamptz '2024-02-08 06:00Z' - interval '36 hours' AND sold_at < '2024-02-08 06:00Z'), 0) AS r,
		coalesce(sum(amount) FILTER (WHERE sold_at >= timestamptz '2024-02-08 06:00Z' - interval '276 hours' AND sold_at < timestamptz '2024-02-08 06:00Z' - interval '36 hours'), 0) AS b,
		count(*) FILTER (WHERE sold_at >= timestamptz '2024-02-08 06:00Z' - interval '36 hours' AND sold_at < '2024-02-08 06:00Z') AS rn,
		count(*) FILTER (WHERE sold_at >= timestamptz '2024-02-08 06:00Z' - interval '276 hours' AND sold_at < timestamptz '2024-02-08 06:00Z' - interval '36 hours') AS bn
	FROM sales GROUP BY shop;
CREATE VIEW by_aggregate AS
	SELECT shop, (fluct.fluctuation(amount, sold_at, '2024-02-08 06:00Z', '36 hours', '10 days')).*
	FROM sales GROUP BY shop;
CREATE VIEW differences AS
	SELECT * FROM by_filter f FULL JOIN by_aggregate a USING (shop)
	WHERE (a.recent_value, a.recent_orders, a.baseline_orders) IS DISTINCT FROM (f.r, f.rn, f.bn)
		OR abs(a.baseline_avg - f.b * 36 / 240.00000000000000000000) > 1e-15
		OR abs(a.delta - (f.r - f.b * 36 / 240.00000000000000000000)) > 1e-15
		OR abs(a.delta_pct - (f.r * 240 - f.b * 36) * 100 / (f.b * 36.00000000000000000000)) > 1e-12;
SET max_parallel_workers_per_gather = 0;
SELECT count(*), sum(recent_orders) > 0 AS some, sum(baseline_orders) > 0 AS more FROM by_aggregate;
SELECT * FROM differences;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT * FROM by_aggregate;
SELECT * FROM differences;
-- a window over rows, moving
SELECT shop, (fluct.fluctuation(amount, sold_at, '2024-02-08 06:00Z', '36 hours', '10 days') OVER (ORDER BY shop ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)).recent_orders
FROM (SELECT shop, amount, max(sold_at) - interval '1 hour' AS sold_at FROM sales WHERE sold_at < '2024-02-08 06:00Z' GROUP BY shop, amount ORDER BY max(sold_at) DESC LIMIT 3) s ORDER BY shop;

-- Bad arguments.
SELECT fluct.fluctuation(1, now(), now(), '1 month', '30 days');
SELECT fluct.fluctuation(1, now(), now(), '1 day', '1 year');
SELECT fluct.fluctuation(1, now(), now(), '-1 day', '30 days');
SELECT fluct.fluctuation(1, now(), now(), '0', '30 days');
SELECT fluct.fluctuation(1, now(), 'infinity', '1 day', '30 days');
SELECT fluct.fluctuation(1, now(), NULL, '1 day', '30 days');
SELECT fluct.fluctuation(1, now(), as_of, '1 day', '30 days') FROM (VALUES (now()), (now() - interval '1 s')) v(as_of);
SELECT fluct.fluctuation(1, now(), '4000-01-01 BC', '100000000 days', '30000000 days');
DROP VIEW differences, by_filter, by_aggregate;
DROP TABLE sales;
