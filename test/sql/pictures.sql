-- Views for tools, two days side by side, drivers, sparklines and the page.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- lines of blocks
SELECT fluct.sparkline('{1,2,3,4,5,6,7,8}') AS eight, fluct.sparkline('{0,100}') AS two, fluct.sparkline('{3,3,3}') AS equal, fluct.sparkline('{-5,0,5}') AS negative;
SELECT '"' || fluct.sparkline('{1,NULL,2,NaN,Infinity,-Infinity,0}') || '"' AS gaps, fluct.sparkline('{}') = '' AS nothing, fluct.sparkline(NULL) IS NULL AS none,
	'"' || fluct.sparkline('{NULL,NaN}') || '"' AS blank;
SELECT fluct.sparkline(array_agg(n * numeric '1e1000')) AS large FROM generate_series(1, 16) n;
SELECT p.provolatile FROM pg_proc p WHERE p.oid = 'fluct.sparkline'::regproc;

-- before the tables are there
SELECT * FROM fluct.trend();
SELECT fluct.report_html();
\o /dev/null
SELECT fluct.create_tables();
\o
-- without anything in them
SET client_min_messages = error;
SELECT * FROM sales.podium_today;
SELECT * FROM sales.fluctuation_history;
SELECT * FROM fluct.trend();
SELECT fluct.report_html() ~ '<p>No industry fluctuated.</p>.*<p>No industries are listed.</p>.*<p>There are no streams.</p>.*<p>None are open.</p>' AS is_empty;
RESET client_min_messages;

INSERT INTO sales.industries SELECT * FROM fluct.sample_industries();
INSERT INTO sales.products SELECT * FROM fluct.sample_products(50);
INSERT INTO sales.customers SELECT customer_id, company_name FROM fluct.sample_customers(200);
INSERT INTO sales.customer_industries SELECT customer_id, i FROM fluct.sample_customers(200), string_to_table(specialized_industries, ';') i ON CONFLICT DO NOTHING;
CREATE TEMP TABLE message AS SELECT m::jsonb AS m FROM fluct.sample_orders(1500, '2024-01-20Z', '2024-03-02Z', customers => 200, products => 50) m;
INSERT INTO sales.orders SELECT m ->> 'order_id', m ->> 'customer_id', (m ->> 'amount')::numeric, (m ->> 'timestamp')::timestamp AT TIME ZONE 'UTC' FROM message;
INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at)
SELECT m ->> 'order_id', n, l ->> 'product_id', (l ->> 'volume')::int, (l ->> 'price')::numeric, (m ->> 'timestamp')::timestamp AT TIME ZONE 'UTC'
FROM message, jsonb_array_elements(m -> 'order_lines') WITH ORDINALITY x(l, n);
INSERT INTO sales.industries VALUES ('Silent');
SELECT fluct.mark_complete(now()) \g /dev/null
SET client_min_messages = error;

-- the series is that of the orders
SELECT s.industry, cardinality(s.amounts) AS windows, s.starts[1] AS first, s.starts[31] AS last
FROM fluct._series('2024-03-02Z', '1 day', 'UTC') s WHERE s.industry IN ('Food', 'Silent') ORDER BY 1;
SELECT count(*) AS windows, count(*) FILTER (WHERE u.amount = o.amount) AS right
FROM (VALUES ('24 hours', NULL), ('1 day', 'Europe/Berlin'), ('7 hours', NULL)) v(recent, zone)
CROSS JOIN LATERAL fluct._series('2024-03-01 17:31:05Z', v.recent::interval, v.zone) s
CROSS JOIN LATERAL (SELECT w.until FROM fluct._windows_of('2024-03-01 17:31:05Z', v.recent::interval, v.recent::interval, v.zone) w) w
CROSS JOIN LATERAL (SELECT x.amount, x.start, lead(x.start, 1, w.until) OVER (ORDER BY x.start) AS past FROM unnest(s.starts, s.amounts) x(start, amount)) u
CROSS JOIN LATERAL (
	SELECT coalesce(sum(o.amount), 0) AS amount FROM sales.orders o
	WHERE o.ordered_at >= u.start AND o.ordered_at < u.past
		AND EXISTS (SELECT FROM sales.customer_industries ci WHERE ci.customer_id = o.customer_id AND ci.industry = s.industry)) o;
SELECT * FROM fluct.trend('2024-03-01', top_n => 4);
SELECT industry, trend, recent_value FROM fluct.trend('2024-03-01') WHERE industry = 'Silent';
-- trend ranks as top_fluctuations does, by any options
SELECT count(*) AS rows, count(*) FILTER (WHERE (t.rank, round(t.recent_value, 2), round(t.delta_pct, 1)) IS NOT DISTINCT FROM (r.rank, r.recent_value, r.delta_pct)) AS equal
FROM (VALUES ('2024-03-01'::date, '24 hours'::interval, '30 days'::interval, 'both', 'elapsed'), ('2024-02-28', '2 days', '20 days', 'up', 'active')) o(day, recent, baseline, direction, average)
CROSS JOIN LATERAL fluct.top_fluctuations((o.day + 1)::timestamptz, o.recent, o.baseline, NULL, 'relative', o.direction, o.average, 'UTC') t
LEFT JOIN fluct.trend(o.day, o.recent, o.baseline, NULL, 'relative', o.direction, o.average) r ON r.industry = t.industry;

-- two days
SELECT * FROM fluct.compare('2024-03-01');
SELECT * FROM fluct.compare('2024-03-01', '2024-03-01', top_n => 1);
SELECT c.industry, c.rank, c.moved FROM fluct.compare('2024-02-29', '2024-03-01', top_n => 2) c;
-- each podium is in it, and nothing else
SELECT count(*) AS rows, bool_and(a.rank IS NOT DISTINCT FROM CASE WHEN c.moved <> 'gone' THEN c.rank END) AS ours,
	bool_and(b.rank IS NOT DISTINCT FROM CASE WHEN c.moved <> 'new' THEN c.other_rank END) AS others, bool_and(a.rank IS NOT NULL OR b.rank IS NOT NULL) AS theirs
FROM fluct.compare('2024-02-28', '2024-02-20') c
FULL JOIN fluct.podium('2024-02-28') a USING (industry) FULL JOIN fluct.podium('2024-02-20') b USING (industry);
SELECT * FROM fluct.compare(NULL);
SELECT * FROM fluct.compare('2024-03-01', top_n => 0);

-- drivers: names, and sums that are the podium's
SELECT d.* FROM fluct.drivers('Food', '2024-03-01', top_n => 2) d;
SELECT count(*) AS parts, count(*) FILTER (WHERE (d.recent_value, d.baseline_avg, d.delta) = (p.recent_value, p.baseline_avg, p.delta)) AS equal
FROM (VALUES ('24 hours'::interval, '30 days'::interval, 'elapsed'), ('7 days', '21 days', 'active')) o(recent, baseline, average)
CROSS JOIN LATERAL fluct.podium('2024-03-01', o.recent, o.baseline, NULL, average => o.average) p
CROSS JOIN LATERAL (
	SELECT x.part, sum(x.recent_value) AS recent_value, sum(x.baseline_avg) AS baseline_avg, sum(x.delta) AS delta
	FROM fluct.drivers(p.industry, '2024-03-01', o.recent, o.baseline, o.average) x GROUP BY x.part) d;
BEGIN;
UPDATE sales.products SET product_name = 'Thing';
UPDATE sales.customers SET company_name = repeat('Very Long ', 10);
SELECT d.part, length(d.name) AS length, d.name ~ '^Thing [0-9a-f]{8}$' OR d.name ~ '^Very Long Very L\.\.\. [0-9a-f]{8}$' OR d.name ~ '^\(.*\)$' AS told_apart
FROM fluct.drivers('Food', '2024-03-01', top_n => 2) d;
-- names that the rest has, which is told from them, and has no bar on the page
UPDATE sales.products SET product_name = '(not in lines)';
UPDATE sales.customers SET company_name = '(others)';
SELECT d.part, regexp_replace(d.name, '[0-9a-f]{8}$', 'ID') AS name, d.is_rest FROM fluct._drivers('Food', '2024-03-01', '24 hours', '30 days', 'elapsed', NULL, 2) d;
SELECT count(*) FILTER (WHERE cell ~ '<svg') AS bars, count(*) FILTER (WHERE cell !~ '<svg') AS without
FROM regexp_matches(fluct.report_html('2024-03-01', top_n => 1), '<tr><td>(\((?:others|not in lines)\)[^/]*</?)', 'g') m(found), LATERAL (SELECT found[1]) c(cell);
DELETE FROM sales.products;
SELECT DISTINCT d.name ~ '^[0-9a-f-]{25}\.\.\.$' AS is_id FROM fluct.drivers('Food', '2024-03-01', top_n => 3) d WHERE d.part = 'product' AND d.name !~ '^\(';
ROLLBACK;
SELECT max(8 + length(d.name) + length(d.recent_value::text) + length(d.baseline_avg::text) + length(d.delta::text) + 9 + 17) <= 100 AS in_100_columns FROM fluct.drivers('Food', '2024-03-01', top_n => NULL) d;
SELECT * FROM fluct.drivers('Fod', '2024-03-01');

-- views: of now, and of what was recorded
SELECT a.attrelid::regclass AS view, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns FROM pg_attribute a
WHERE a.attrelid IN ('sales.podium_today'::regclass, 'sales.fluctuation_history'::regclass) AND a.attnum > 0 GROUP BY 1 ORDER BY 1;
SELECT c.relname, c.reloptions FROM pg_class c WHERE c.relnamespace = 'sales'::regnamespace AND c.relname IN ('podium_today', 'fluctuation_history') ORDER BY 1;
INSERT INTO sales.orders VALUES ('now', (SELECT customer_id FROM sales.customer_industries WHERE industry = 'Food' ORDER BY 1 LIMIT 1), 99.994, now() - interval '1 hour');
SELECT count(*) > 0 AS any, bool_and(v IS NOT DISTINCT FROM p) AS equal FROM sales.podium_today v FULL JOIN fluct.podium() p USING (industry);
SELECT count(*) FROM fluct.record_fluctuations('monthly', '2024-03-01Z') r;
SELECT count(*) FROM fluct.record_fluctuations('monthly', '2024-03-02Z', direction => 'both') r;
SELECT h.report, h.as_of, h.rank, h.industry, h.delta, h.complete FROM sales.fluctuation_history h WHERE h.on_podium;
SELECT count(*), count(h.on_podium) AS known FROM sales.fluctuation_history h;

-- the page: only ASCII, no script, nothing from outside, whatever the names hold
SELECT p.page !~ '[^\n -~]' AS ascii, p.page !~* '<script|<link|<img|<iframe|https?:|url\(| on[a-z]+=' AS alone,
	(SELECT count(*) FROM regexp_matches(p.page, '<svg class="chart"', 'g')) AS charts, (SELECT count(*) FROM regexp_matches(p.page, '<svg class="bar"', 'g')) AS bars
FROM fluct.report_html('2024-03-01') p(page);
SELECT fluct._html(E'<b class="x">R&D''s</b>'), fluct._html('Zoë ' || chr(8238) || chr(128640) || E'\n\t' || chr(127)), fluct._html(NULL) = '' AS none;
SELECT fluct._figure(1234567.891), fluct._figure(-0.004), fluct._figure(0, 0), fluct._signed(12, 1), fluct._signed(-3.5), fluct._figure(1e21 + 0.5) AS large, fluct._signed(NULL) IS NULL AS none;
SELECT fluct._length('24 hours', false), fluct._length('1 day', true), fluct._length('30 days', true), fluct._length('90 minutes', false), fluct._length('1.5 seconds', false), fluct._length('1 hour', false);
BEGIN;
UPDATE sales.industries SET industry = '</h3><script>alert(1)</script>' || industry || chr(8238);
UPDATE sales.customers SET company_name = '<img src=x onerror="alert(1)">';
UPDATE sales.products SET product_name = '"><svg onload=''alert(1)''>';
SELECT p.page !~* '<script|<img|<svg onload|[^\n -~]' AS escaped, p.page ~ '&#60;script&#62;alert' AS shown FROM fluct.report_html('2024-03-01') p(page);
ROLLBACK;
SELECT fluct.report_html(measure => 'most');
SELECT fluct.report_html(time_zone => '<b>');

-- a reader may have all of it
RESET SESSION AUTHORIZATION;
SELECT count(*) = 0 AS new_role FROM pg_roles WHERE rolname = 'regress_reader' \gset
\if :new_role
CREATE ROLE regress_reader;
\endif
SELECT FROM fluct.grant_reader('regress_reader') \g /dev/null
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) > 0 AS podium FROM sales.podium_today;
SELECT count(*) AS history FROM sales.fluctuation_history;
SELECT length(fluct.report_html('2024-03-01')) > 10000 AS page;
SELECT count(*) AS compared FROM fluct.compare('2024-03-01');
SELECT count(*) AS trends FROM fluct.trend('2024-03-01');
RESET SESSION AUTHORIZATION;
DROP OWNED BY regress_reader;
DROP ROLE regress_reader;
