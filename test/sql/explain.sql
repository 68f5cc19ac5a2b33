-- What made a fluctuation: the parts add up exactly to the ranking's row.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'Asia/Tokyo';
SET datestyle = 'ISO';

SELECT * FROM fluct.explain_fluctuation('Food');
\o /dev/null
SELECT fluct.create_tables();
SELECT fluct.mark_complete('infinity');
\o
SELECT * FROM fluct.explain_fluctuation('Food');
INSERT INTO sales.industries VALUES ('Food'), ('Beverages'), ('Silent'), ('Textiles');
INSERT INTO sales.customers VALUES ('a', 'Ahrens'), ('b', 'Bonn'), ('c', 'Castle'), ('d', 'Dorn'), ('x', 'None');
INSERT INTO sales.customer_industries VALUES ('a', 'Food'), ('b', 'Food'), ('b', 'Beverages'), ('c', 'Food'), ('d', 'Food');
INSERT INTO sales.products VALUES ('p1', 'Starch', 2), ('p2', 'Syrup', 3);
CREATE FUNCTION pg_temp.o(id text, customer text, amount numeric, at timestamptz, VARIADIC lines text[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO sales.orders VALUES (id, customer, amount, at);
	INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at)
	SELECT id, n, split_part(l, '*', 1), split_part(l, '*', 2)::int, split_part(l, '*', 3)::numeric, at
	FROM unnest(lines) WITH ORDINALITY u(l, n) WHERE l <> '';
$$;
SELECT pg_temp.o('1', 'a', 310, '2024-03-01 10:00Z', 'p1*100*2', 'p2*30*3', 'p1*1*10'),   -- 300 in lines, 10 beyond
       pg_temp.o('2', 'a', 600, '2024-02-10 10:00Z', 'p1*300*2'),
       pg_temp.o('3', 'b', 45, '2024-03-01 11:00Z', 'p2*15*3'),                          -- new, and in two industries
       pg_temp.o('4', 'c', 300, '2024-02-20 10:00Z', 'p3*100*3'),                        -- lost, with an unknown product
       pg_temp.o('5', 'd', 60, '2024-02-20 10:00Z', 'p1*30*2'), pg_temp.o('6', 'd', 2, '2024-03-01 10:00Z', 'p1*1*2'),
       pg_temp.o('7', 'x', 1000, '2024-03-01 10:00Z', 'p1*500*2'), pg_temp.o('8', 'a', 5, '2024-03-02 12:00Z', '')
\g /dev/null
SELECT recent_value, round(baseline_avg, 4) AS baseline_avg, round(delta, 4) AS delta FROM fluct.top_fluctuations('2024-03-02 00:00Z', top_n => NULL) WHERE industry = 'Food';
SELECT part, id, name, recent_value AS recent, round(baseline_avg, 4) AS average, round(delta, 4) AS delta, round(share_pct, 1) AS share
FROM fluct.explain_fluctuation('Food', '2024-03-02 00:00Z');
-- the first ones; the rest is (others)
SELECT part, id, name, recent_value AS recent, round(baseline_avg, 4) AS average, round(delta, 4) AS delta, round(share_pct, 1) AS share
FROM fluct.explain_fluctuation('Food', '2024-03-02 00:00Z', top_n => 1);
-- an industry without orders
SELECT * FROM fluct.explain_fluctuation('Silent', '2024-03-02 00:00Z');

-- sample data: the parts of each industry, by many options, add up to the last decimal
TRUNCATE sales.industries, sales.customers, sales.customer_industries, sales.products, sales.orders, sales.order_lines;
INSERT INTO sales.industries SELECT * FROM fluct.sample_industries();
INSERT INTO sales.products SELECT * FROM fluct.sample_products(50);
INSERT INTO sales.customers SELECT customer_id, company_name FROM fluct.sample_customers(200);
INSERT INTO sales.customer_industries SELECT customer_id, i FROM fluct.sample_customers(200), string_to_table(specialized_industries, ';') i ON CONFLICT DO NOTHING;
CREATE TEMP TABLE message AS SELECT m::jsonb AS m FROM fluct.sample_orders(1500, '2024-01-20Z', '2024-03-02Z', customers => 200, products => 50) m;
INSERT INTO sales.orders SELECT m ->> 'order_id', m ->> 'customer_id', (m ->> 'amount')::numeric, (m ->> 'timestamp')::timestamp AT TIME ZONE 'UTC' FROM message;
INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at)
SELECT m ->> 'order_id', n, l ->> 'product_id', (l ->> 'volume')::int, (l ->> 'price')::numeric, (m ->> 'timestamp')::timestamp AT TIME ZONE 'UTC'
FROM message, jsonb_array_elements(m -> 'order_lines') WITH ORDINALITY x(l, n);
CREATE VIEW pg_temp.added AS
SELECT count(*) AS parts,
	count(*) FILTER (WHERE e.recent_value = t.recent_value AND e.baseline_avg = t.baseline_avg AND e.delta = t.delta) AS exact,
	count(*) FILTER (WHERE e.share IS NULL OR abs(e.share - 100) < 1e-15) AS whole
FROM (VALUES ('24 hours', '30 days', 'elapsed', NULL, 3), ('24 hours', '30 days', 'active', NULL, 10), ('7 days', '21 days', 'elapsed', 'Europe/Berlin', NULL),
		('1 day', '29 days', 'active', 'America/Sao_Paulo', 1), ('36 hours', '100 hours 7 minutes 1.000003 seconds', 'elapsed', NULL, 5)) o(recent, baseline, average, zone, top_n)
CROSS JOIN LATERAL fluct.top_fluctuations('2024-03-01 17:31:05.123456Z', o.recent::interval, o.baseline::interval, NULL, average => o.average, time_zone => o.zone) t
CROSS JOIN LATERAL (
	SELECT part, sum(recent_value) AS recent_value, sum(baseline_avg) AS baseline_avg, sum(delta) AS delta, sum(share_pct) AS share
	FROM fluct.explain_fluctuation(t.industry, '2024-03-01 17:31:05.123456Z', o.recent::interval, o.baseline::interval, o.average, o.zone, o.top_n) GROUP BY part) e;
SELECT * FROM added;
-- also where the lines were deleted since, and where the orders of a baseline were: the ranking knows their sums
SET client_min_messages = error;
CALL fluct.apply_retention(lines => now() - '2024-02-05Z');
SELECT * FROM added;
CALL fluct.apply_retention(orders => now() - '2024-02-15Z');
SELECT * FROM added;
SELECT part, id, recent_value, round(baseline_avg, 4) AS average, round(delta, 4) AS delta, round(share_pct, 1) AS share
FROM fluct.explain_fluctuation('Food', '2024-03-01 17:31:05.123456Z', top_n => 1);
RESET client_min_messages;

-- errors
SELECT * FROM fluct.explain_fluctuation('food');
SELECT * FROM fluct.explain_fluctuation('Farma');
SELECT * FROM fluct.explain_fluctuation(NULL);
SELECT * FROM fluct.explain_fluctuation('Food', top_n => 0);
SELECT * FROM fluct.explain_fluctuation('Food', average => 'mean');
SELECT * FROM fluct.explain_fluctuation('Food', recent => '1 month');
SELECT * FROM fluct.explain_fluctuation('Food', time_zone => 'Mars/Olympus');
