-- Sample data: the real shape, the same on every server.
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'Asia/Tokyo';
SET datestyle = 'German';
SET extra_float_digits = -5;

SELECT * FROM fluct.sample_industries();
SELECT * FROM fluct.sample_products(3);
SELECT * FROM fluct.sample_customers(6, seed => 2);
SELECT count(*) AS products, count(DISTINCT product_id) AS ids, count(DISTINCT product_name) < 300 AS names_repeat, min(price) >= 1 AND max(price) <= 1000 AS prices
  FROM fluct.sample_products();
SELECT count(*) AS customers, count(DISTINCT customer_id) AS ids, count(DISTINCT company_name) < 1000 AS names_repeat,
       count(*) FILTER (WHERE specialized_industries = '') BETWEEN 200 AND 300 AS a_quarter_without,
       count(*) FILTER (WHERE specialized_industries LIKE '%;%') > 100 AS some_lists,
       count(*) FILTER (WHERE company_name ~ '[,"]') > 10 AS some_to_quote
  FROM fluct.sample_customers();
SELECT count(*) AS unknown_industries FROM fluct.sample_customers() c, string_to_table(c.specialized_industries, ';') i
 WHERE i NOT IN (SELECT industry FROM fluct.sample_industries());
COPY (SELECT * FROM fluct.sample_products(2)) TO STDOUT (FORMAT csv, HEADER);
COPY (SELECT * FROM fluct.sample_customers(1000) WHERE company_name ~ '"' LIMIT 1) TO STDOUT (FORMAT csv, HEADER);

CREATE TEMP TABLE o AS
SELECT n, t, t::jsonb AS j FROM fluct.sample_orders(2000, '2026-01-20 00:00Z', '2026-02-20 00:00Z', seed => 3, customers => 300, products => 200) WITH ORDINALITY x(t, n);
CREATE TEMP TABLE l AS SELECT n, k, e ->> 'product_id' AS product_id, (e ->> 'volume')::int AS volume, (e ->> 'price')::numeric AS price
  FROM o, jsonb_array_elements(j -> 'order_lines') WITH ORDINALITY y(e, k);
SELECT jsonb_object_keys(j) FROM o WHERE n = 1;
SELECT regexp_replace(t, '"order_lines": \[.*\]', '"order_lines": [...]') FROM o WHERE n IN (1, 2) ORDER BY n;
SELECT count(DISTINCT j ->> 'order_id') AS ids, count(DISTINCT j ->> 'customer_id') > 290 AS customers,
       bool_and(j ->> 'customer_id' IN (SELECT customer_id FROM fluct.sample_customers(300, 3))) AS known,
       bool_and(j ->> 'order_id' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$') AS uuids,
       round(avg(CASE WHEN j ->> 'timestamp' LIKE '%+00:00' THEN 1 ELSE 0 END), 1) AS with_offset,
       bool_or(length(j ->> 'amount') > 14) AS artefacts
  FROM o;
SELECT min(c) AS fewest, max(c) AS most, round(avg(c), -1) AS average, bool_or(c > p) AS repeated
  FROM (SELECT count(*) AS c, count(DISTINCT product_id) AS p FROM l GROUP BY n) x;
SELECT bool_and(volume BETWEEN 1 AND 100) AS volumes, bool_and((product_id, price) IN (SELECT product_id, price FROM fluct.sample_products(200, 3))) AS products FROM l;
SELECT count(*) AS wrong_amounts FROM (SELECT n, sum(volume * price) AS s FROM l GROUP BY n) x JOIN o USING (n) WHERE abs(s - (j ->> 'amount')::numeric) > 0.00001;
SELECT count(*) AS out_of_order FROM (SELECT j ->> 'timestamp' AS at, lag(j ->> 'timestamp') OVER (ORDER BY n) AS before FROM o) x WHERE left(at, 26) < left(before, 26);
SELECT left(min(j ->> 'timestamp'), 10) AS first, left(max(j ->> 'timestamp'), 10) AS last FROM o;
-- deterministic, to the last byte
SELECT md5(string_agg(t, E'\n' ORDER BY n)) FROM o;
SELECT count(*) AS other FROM fluct.sample_orders(2000, '2026-01-20 00:00Z', '2026-02-20 00:00Z', seed => 3, customers => 300, products => 200) WITH ORDINALITY x(t, n)
  JOIN o USING (n) WHERE x.t <> o.t;
SELECT count(*) AS same FROM fluct.sample_orders(2000, '2026-01-20 00:00Z', '2026-02-20 00:00Z', seed => 4, customers => 300, products => 200) t JOIN o USING (t);

-- a story to tell: one rises, one falls
\o /dev/null
SELECT fluct.create_tables();
\o
INSERT INTO sales.industries SELECT * FROM fluct.sample_industries();
INSERT INTO sales.customers SELECT customer_id, company_name FROM fluct.sample_customers();
INSERT INTO sales.customer_industries SELECT customer_id, i FROM fluct.sample_customers(), string_to_table(specialized_industries, ';') i;
INSERT INTO sales.orders SELECT j ->> 'order_id', j ->> 'customer_id', (j ->> 'amount')::numeric, (left(j ->> 'timestamp', 26) || 'Z')::timestamptz
  FROM (SELECT t::jsonb AS j FROM fluct.sample_orders(4000, '2026-01-20 00:00Z', '2026-02-20 00:00Z') t) x;
SELECT fluct.mark_complete('infinity') \g /dev/null
SELECT rank, industry, delta_pct FROM fluct.podium('2026-02-19', time_zone => 'UTC');

SELECT * FROM fluct.sample_orders(0);
SELECT * FROM fluct.sample_orders(-1);
SELECT * FROM fluct.sample_orders(1, '2026-01-02', '2026-01-02');
SELECT * FROM fluct.sample_orders(1, customers => 0);
SELECT count(*) FROM fluct.sample_orders(3, '2026-01-02 00:00Z', '2026-01-02 00:00:00.000001Z', customers => 1, products => 1);
SELECT * FROM fluct.sample_customers(NULL);
