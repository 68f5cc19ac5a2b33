-- What a fluctuation is, by cases computed by hand.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO';

SELECT * FROM fluct.top_fluctuations();
\o /dev/null
SELECT fluct.create_tables();
-- other programs feed it, and have done so for long
SELECT fluct.mark_complete('infinity');
\o
-- empty tables
SELECT * FROM fluct.top_fluctuations('2020-03-01 12:00Z');
INSERT INTO sales.industries VALUES ('Alpha'), ('Beta'), ('Gamma'), ('Silent');
SELECT * FROM fluct.top_fluctuations('2020-03-01 12:00Z');

INSERT INTO sales.customers VALUES ('a', 'A'), ('b', 'B'), ('ab', 'Both'), ('none', 'None'), ('g', 'G');
INSERT INTO sales.customer_industries VALUES ('a', 'Alpha'), ('b', 'Beta'), ('ab', 'Alpha'), ('ab', 'Beta'), ('g', 'Gamma');
CREATE FUNCTION pg_temp.o(customer text, amount numeric, at timestamptz) RETURNS void LANGUAGE sql AS
$$ INSERT INTO sales.orders SELECT 'o' || count(*), $1, $2, $3 FROM sales.orders $$;
CREATE FUNCTION pg_temp.f(option text DEFAULT NULL, option2 text DEFAULT NULL) RETURNS TABLE (rank int, industry text, recent numeric, average numeric, delta numeric, pct numeric,
	n bigint, baseline_n bigint, active int) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'SELECT rank, industry, round(recent_value, 6), round(baseline_avg, 6), round(delta, 6), round(delta_pct, 6), recent_orders, baseline_orders, active_days
		FROM fluct.top_fluctuations(' || concat_ws(', ', CASE WHEN option ~ '^as_of' THEN NULL ELSE 'as_of => ''2020-03-01 12:00Z''' END, 'top_n => NULL', option, option2) || ')';
END $$;

INSERT INTO sales.orders VALUES ('old', 'none', 1, '2000-01-01Z');
-- No order counts: the newest one, the share of spend without an industry.
SELECT pg_temp.o('none', 30, '2020-02-28 12:00Z'), pg_temp.o('stranger', 60, '2020-02-28 12:00Z'), pg_temp.o('a', 10, '2020-02-28 12:00Z') \g /dev/null
SELECT * FROM pg_temp.f();
TRUNCATE sales.orders; INSERT INTO sales.orders VALUES ('old', 'none', 1, '2000-01-01Z');

-- Edges, to the microsecond: recent [29th 12:00, 1st 12:00), baseline [30 days before that).
SELECT pg_temp.o('a', 1, '2020-03-01 12:00Z'),               -- after
       pg_temp.o('a', 10, '2020-03-01 11:59:59.999999Z'),    -- recent, last
       pg_temp.o('a', 100, '2020-02-29 12:00Z'),             -- recent, first
       pg_temp.o('a', 1000, '2020-02-29 11:59:59.999999Z'),  -- baseline, last
       pg_temp.o('a', 10000, '2020-01-30 12:00Z'),           -- baseline, first
       pg_temp.o('a', 100000, '2020-01-30 11:59:59.999999Z') -- before
\g /dev/null
-- recent 110, baseline 11000 / 30 = 366.666667, 2 of 30 days active
SELECT * FROM pg_temp.f();
-- as of a moment in the past, and one microsecond on
SELECT * FROM pg_temp.f('as_of => ''2020-02-29 12:00Z''');
SELECT * FROM pg_temp.f('as_of => ''2020-03-01 12:00:00.000001Z''');
TRUNCATE sales.orders; INSERT INTO sales.orders VALUES ('old', 'none', 1, '2000-01-01Z');

-- Several industries count in full; unknown customers and those without count nowhere; ties share a rank; silent ones are there.
SELECT pg_temp.o('ab', 60, '2020-03-01 00:00Z'), pg_temp.o('none', 5, '2020-03-01 00:00Z'), pg_temp.o('stranger', 7, '2020-03-01 00:00Z'),
       pg_temp.o('g', 1800, '2020-02-15 00:00Z') \g /dev/null
-- Gamma 0 - 60, Alpha and Beta 60 - 0: all three tie
SELECT * FROM pg_temp.f();
SELECT rank, industry FROM fluct.top_fluctuations('2020-03-01 12:00Z', top_n => 1);
SELECT * FROM pg_temp.f('direction => ''up''');
SELECT * FROM pg_temp.f('direction => ''down''');
-- relative: no percentage without an average, and these share the last rank
SELECT * FROM pg_temp.f('measure => ''relative''');
SELECT * FROM pg_temp.f('min_baseline => 60');
SELECT * FROM pg_temp.f('min_baseline => 60.000001');
-- the present industries count: the customer gains one, and loses one
INSERT INTO sales.customer_industries VALUES ('none', 'Silent');
DELETE FROM sales.customer_industries WHERE customer_id = 'ab' AND industry = 'Beta';
SELECT * FROM pg_temp.f();
DELETE FROM sales.customer_industries WHERE customer_id = 'none';
INSERT INTO sales.customer_industries VALUES ('ab', 'Beta');
TRUNCATE sales.orders; INSERT INTO sales.orders VALUES ('old', 'none', 1, '2000-01-01Z');

-- active: 300 on one day, 100 + 50 on another: 450 / 2
SELECT pg_temp.o('a', 300, '2020-02-10 13:00Z'), pg_temp.o('a', 100, '2020-02-20 13:00Z'), pg_temp.o('a', 50, '2020-02-21 11:59Z'),
       pg_temp.o('a', 40, '2020-03-01 00:00Z'), pg_temp.o('b', 8, '2020-03-01 00:00Z') \g /dev/null
SELECT * FROM pg_temp.f('average => ''active''');
-- zscore of 4 windows of a day: Alpha 4, 0, 0, 0 and 5 now: average 1, deviation sqrt(3), score 4 / 1.73 = 2.31;
-- Beta 10, 10, 10, 6 and 4 now: average 9, deviation sqrt(3), score 5 / 1.73 = 2.89; Gamma has no deviation
TRUNCATE sales.orders; INSERT INTO sales.orders VALUES ('old', 'none', 1, '2000-01-01Z');
SELECT pg_temp.o('a', 4, '2020-02-26 13:00Z'), pg_temp.o('a', 5, '2020-03-01 00:00Z'),
       pg_temp.o('b', 10, '2020-02-25 13:00Z'), pg_temp.o('b', 10, '2020-02-26 13:00Z'), pg_temp.o('b', 10, '2020-02-27 13:00Z'), pg_temp.o('b', 6, '2020-02-28 13:00Z'),
       pg_temp.o('b', 4, '2020-03-01 00:00Z') \g /dev/null
INSERT INTO sales.orders SELECT 'g' || d, 'g', 7, d FROM generate_series('2020-02-25 13:00Z', '2020-02-29 13:00Z'::timestamptz, interval '24 hours') d;
SELECT * FROM pg_temp.f('baseline => ''4 days''', 'measure => ''zscore''');
-- a partial last window counts as one: 90 minutes hold one hour and a half
INSERT INTO sales.orders SELECT 'p' || d, 'b', 1, d FROM generate_series('2020-01-01 12:31Z'::timestamptz, '2020-01-01 14:01Z', interval '30 minutes') d;
SELECT recent_orders, baseline_orders, active_days, baseline_avg FROM fluct.top_fluctuations('2020-01-01 15:00Z', recent => '1 hour', baseline => '90 minutes') WHERE industry = 'Beta';
TRUNCATE sales.orders; INSERT INTO sales.orders VALUES ('old', 'none', 1, '2000-01-01Z');

-- Quotients are exact to 12 decimals and more, amounts as they were sent.
SELECT pg_temp.o('a', 1, '2020-02-20 13:00Z'), pg_temp.o('a', 189921.66000000006, '2020-03-01 00:00Z') \g /dev/null
SELECT recent_value, baseline_avg, delta, delta_pct FROM fluct.top_fluctuations('2020-03-01 12:00Z', top_n => 1);
SELECT baseline_avg FROM fluct.top_fluctuations('2020-03-01 12:00Z', recent => '7 seconds', top_n => 1, direction => 'down');
TRUNCATE sales.orders; INSERT INTO sales.orders VALUES ('old', 'none', 1, '2000-01-01Z');

-- DST. In Berlin 2026-03-29 has 23 hours, 2025-10-26 has 25.
SELECT mid, until, until - mid AS recent, mid - since AS baseline, cardinality(edges), agg_date
  FROM (VALUES ('2026-03-30 01:00+02'::timestamptz), ('2025-10-27 00:00+01'), ('2025-10-26 23:59:59.999999+01')) x(t),
       fluct._windows_of(t, '1 day', '3 days', 'Europe/Berlin');
-- rolling windows are 24 hours all the same, and 30 days are 720
SELECT until - mid AS recent, extract(epoch FROM mid - since) / 3600 AS hours, agg_date
  FROM fluct._windows_of('2026-03-30 00:00+02', '1 day', '30 days', NULL);
INSERT INTO sales.orders SELECT 'h' || h, 'a', 1, h FROM generate_series('2026-03-20 00:00Z', '2026-04-10 00:00Z', interval '1 hour') h;
-- 23 orders on the short day, 24 on each of the 3 before; and that day within the baseline: (24 + 23 + 24) / 3
SELECT recent_orders, baseline_orders, round(baseline_avg, 6) AS average, active_days FROM fluct.top_fluctuations('2026-03-30 12:00+02', baseline => '3 days', time_zone => 'Europe/Berlin', top_n => 1);
SELECT recent_orders, baseline_orders, round(baseline_avg, 6) AS average, active_days FROM fluct.top_fluctuations('2026-04-01 00:00+02', baseline => '3 days', time_zone => 'Europe/Berlin', top_n => 1);
-- a zone whose clocks go back over midnight, and one that skips it
SELECT until, agg_date FROM fluct._windows_of('2018-02-17 23:30-02', '1 day', '1 day', 'America/Sao_Paulo');
SELECT until, agg_date, until - mid FROM fluct._windows_of('2018-11-05 00:00-02', '1 day', '1 day', 'America/Sao_Paulo');

-- Equal scores share a rank, whatever the decimals of their amounts.
BEGIN;
TRUNCATE sales.orders, sales.customers CASCADE;
INSERT INTO sales.customers SELECT industry FROM sales.industries ORDER BY 1 LIMIT 2;
INSERT INTO sales.customer_industries SELECT customer_id, customer_id FROM sales.customers;
INSERT INTO sales.orders SELECT customer_id, customer_id, CASE row_number() OVER () WHEN 1 THEN 79.52 ELSE 84.4 END, '2026-03-28 12:00Z' FROM sales.customers;
SELECT rank, count(*) FROM fluct.top_fluctuations('2026-03-29 12:00Z', '1 hour', '24 hours', NULL, 'zscore') GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- Ranks compare the exact values: amounts that differ in the 70th decimal, quotients by it.
BEGIN;
TRUNCATE sales.orders, sales.customers CASCADE;
INSERT INTO sales.customers SELECT industry FROM sales.industries;
INSERT INTO sales.customer_industries SELECT customer_id, customer_id FROM sales.customers;
INSERT INTO sales.orders VALUES ('a', 'Alpha', 1, '2026-03-28 12:00Z'), ('b', 'Beta', ('1.' || repeat('0', 69) || '1')::numeric, '2026-03-28 12:00Z'),
	('g', 'Gamma', 1.00, '2026-03-28 12:00Z');
SELECT rank, industry FROM fluct.top_fluctuations('2026-03-29 00:00Z', top_n => NULL, average => 'active');
INSERT INTO sales.orders SELECT order_id || 1, customer_id, amount, ordered_at - interval '1 day' FROM sales.orders;
INSERT INTO sales.orders SELECT order_id || 2, customer_id, amount, ordered_at - interval '2 day' FROM sales.orders WHERE order_id IN ('a', 'b', 'g');
INSERT INTO sales.orders SELECT order_id || 3, customer_id, amount * 2, ordered_at FROM sales.orders WHERE order_id IN ('a', 'b', 'g');
UPDATE sales.orders SET amount = amount + ('1e-75')::numeric WHERE order_id = 'g3';
SELECT m, string_agg(rank || ' ' || industry, ', ' ORDER BY rank, industry) FROM unnest('{absolute,relative,zscore}'::text[]) m,
       fluct.top_fluctuations('2026-03-29 00:00Z', top_n => NULL, average => 'active', measure => m) GROUP BY 1 ORDER BY 1;
SELECT m, string_agg(rank || ' ' || industry, ', ' ORDER BY rank, industry) FROM unnest('{absolute,relative,zscore}'::text[]) m,
       fluct.top_fluctuations('2026-03-29 00:00Z', baseline => '3 days', top_n => NULL, measure => m) GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- A zone is a name, in any case: offsets have the other sign in POSIX.
SELECT z, fluct._is_zone(z) FROM unnest('{Europe/Berlin,europe/BERLIN,UTC,utc,Etc/GMT+2,GMT,Asia/Tokyo,America/Port-au-Prince,UTC+2,+02,<+02>-02,UTC-2,CEST,CET-1CEST,FOO3,posix/Europe/Berlin,posixrules,right/UTC,Mars/Phobos,"",+02:00}'::text[]) WITH ORDINALITY u(z, n) ORDER BY n;
SELECT count(*) FROM fluct.top_fluctuations('2026-03-29 12:00Z', baseline => '3 days', time_zone => 'UTC+2');
SELECT count(*) FROM fluct.podium('2026-03-29', baseline => '3 days', time_zone => '+02');
SELECT count(*) FROM fluct.record_fluctuations('z', '2026-03-29 12:00Z', baseline => '3 days', time_zone => 'posix/Europe/Berlin');
SELECT count(*) FROM fluct.explain_fluctuation('Alpha', '2026-03-29 12:00Z', baseline => '3 days', time_zone => 'Europe/Rom');
SELECT count(*) FROM fluct.podium('2026-03-29', baseline => '3 days', time_zone => 'etc/gmt+2');
-- an interval without a unit is seconds
SELECT count(*) FROM fluct.top_fluctuations('2026-03-29 12:00Z', baseline => '3');
SELECT count(*) FROM fluct.top_fluctuations('2026-03-29 12:00Z', baseline => '3 days', time_zone => 'Etc/GMT-11', top_n => 1);
SELECT count(*) FROM fluct.top_fluctuations('2026-03-29 12:00Z', baseline => '3 days', time_zone => 'europe/berlin', top_n => 1);

-- For reading: nobody stands on the podium without a score.
SELECT * FROM fluct.podium('2026-03-29', baseline => '3 days');
SELECT * FROM fluct.podium('2026-03-29', baseline => '3 days', time_zone => 'UTC', top_n => 1);
SET client_min_messages = warning;   -- a notice has today's date
SELECT DISTINCT complete FROM fluct.top_fluctuations(now() + interval '2 days', top_n => 1);
SET client_min_messages = notice;

-- A stream that stands still must not look like a market crash.
RESET SESSION AUTHORIZATION;
BEGIN;
CREATE OR REPLACE FUNCTION fluct._data_until() RETURNS timestamptz LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT '2026-03-29 10:00Z'::timestamptz $$;
SELECT rank, industry, complete FROM fluct.podium('2026-03-29', baseline => '3 days', top_n => 1);
SELECT rank, industry, complete FROM fluct.top_fluctuations('2026-03-29', baseline => '3 days', top_n => 1, time_zone => 'Europe/Berlin');
SELECT rank, industry, recent_orders FROM fluct.top_fluctuations('2026-03-29 10:00:00.000001Z', top_n => 1);
SELECT rank, industry, recent_orders FROM fluct.top_fluctuations('2026-03-29 10:00Z', top_n => 1);
SELECT rank, complete FROM fluct.record_fluctuations('r', '2026-03-29 10:00:00.000001Z', top_n => 1);
SELECT rank, complete FROM fluct.record_fluctuations('r', '2026-03-29 10:00Z', top_n => 1);
SELECT DISTINCT as_of, complete, incomplete_reason FROM sales.fluctuations;
ROLLBACK;
SET SESSION AUTHORIZATION regress_etl;

-- Bad arguments name what is allowed.
SELECT * FROM fluct.top_fluctuations(recent => '0');
SELECT * FROM fluct.top_fluctuations(baseline => '-1 day');
SELECT * FROM fluct.top_fluctuations(baseline => NULL);
SELECT * FROM fluct.top_fluctuations(recent => '1 month');
SELECT * FROM fluct.top_fluctuations(baseline => '1 year');
SELECT * FROM fluct.top_fluctuations(measure => 'percent');
SELECT * FROM fluct.top_fluctuations(measure => NULL);
SELECT * FROM fluct.top_fluctuations(direction => 'sideways');
SELECT * FROM fluct.top_fluctuations(average => 'median');
SELECT * FROM fluct.top_fluctuations(time_zone => 'Mars/Phobos');
SELECT * FROM fluct.top_fluctuations(time_zone => 'berlin');
SELECT * FROM fluct.top_fluctuations(time_zone => 'UTC', recent => '6 hours');
SELECT * FROM fluct.top_fluctuations(time_zone => 'UTC', baseline => '36 hours');
SELECT * FROM fluct.top_fluctuations(top_n => 0);
SELECT * FROM fluct.top_fluctuations(min_baseline => 'NaN');
SELECT * FROM fluct.top_fluctuations(average => 'active', recent => '7 hours');
SELECT * FROM fluct.top_fluctuations(measure => 'zscore', recent => '7 days');
SELECT * FROM fluct.top_fluctuations('infinity');
SELECT * FROM fluct.top_fluctuations(NULL);
SELECT * FROM fluct.podium('2026-03-29', recent => '6 hours');
