-- Every case of the examples, every row, every column, to 10 decimals.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
\o /dev/null
SELECT fluct.create_tables();
SELECT fluct.mark_complete('infinity');
\o
SET timezone = 'America/Sao_Paulo';   -- must not matter
\set industries `cat "$PG_ABS_SRCDIR/data/Industries.csv"`
\set customers `cat "$PG_ABS_SRCDIR/data/Customers.csv"`
\set orders `cat "$PG_ABS_SRCDIR/data/orders.jsonl"`
\set expected `cat "$PG_ABS_SRCDIR/data/expected.jsonl"`

INSERT INTO sales.industries
SELECT l FROM regexp_split_to_table(:'industries', E'\r?\n') WITH ORDINALITY x(l, n) WHERE n > 1 AND l <> '';
CREATE TEMP TABLE feed AS
SELECT f[1] AS customer_id, replace(trim(f[2], '"'), '""', '"') AS company_name, trim(f[3], '"') AS industries
  FROM regexp_split_to_table(:'customers', E'\r?\n') WITH ORDINALITY x(l, n),
       regexp_match(l, '^([^,]*),(.*),([^,]*)$') f
 WHERE n > 1 AND l <> '';
INSERT INTO sales.customers SELECT customer_id, company_name FROM feed;
INSERT INTO sales.customer_industries
SELECT DISTINCT f.customer_id, trim(i) FROM feed f, string_to_table(f.industries, ';') i WHERE trim(i) <> '';
CREATE TEMP TABLE message AS SELECT l::jsonb AS m FROM regexp_split_to_table(:'orders', E'\n') l WHERE l <> '';
INSERT INTO sales.orders
SELECT DISTINCT ON (m ->> 'order_id') m ->> 'order_id', m ->> 'customer_id', (m ->> 'amount')::numeric,
       CASE WHEN m ->> 'timestamp' ~ '(Z|[+-]\d\d:\d\d)$' THEN (m ->> 'timestamp')::timestamptz
            ELSE (m ->> 'timestamp')::timestamp AT TIME ZONE 'UTC' END
  FROM message;
SELECT count(*) AS messages, (SELECT count(*) FROM sales.orders) AS orders FROM message;

CREATE TEMP TABLE wanted AS
SELECT n AS case_no, (c ->> 'as_of')::timestamptz AS as_of, c -> 'options' AS o,
       (r ->> 'rank')::int AS rank, r ->> 'industry' AS industry, (r ->> 'recent_value')::numeric AS recent_value,
       (r ->> 'baseline_avg')::numeric AS baseline_avg, (r ->> 'delta')::numeric AS delta, (r ->> 'delta_pct')::numeric AS delta_pct,
       (r ->> 'recent_orders')::bigint AS recent_orders, (r ->> 'baseline_orders')::bigint AS baseline_orders, (r ->> 'active_days')::int AS active_days
  FROM (SELECT n, l::jsonb AS c FROM regexp_split_to_table(:'expected', E'\n') WITH ORDINALITY x(l, n) WHERE l <> '') e,
       jsonb_array_elements(c -> 'rows') r;
-- read from the rollup, which is exact
CREATE TEMP VIEW got AS
SELECT c.case_no, t.rank, t.industry, round(t.recent_value, 10) AS recent_value, round(t.baseline_avg, 10) AS baseline_avg, round(t.delta, 10) AS delta,
       round(t.delta_pct, 10) AS delta_pct, t.recent_orders, t.baseline_orders, t.active_days
  FROM (SELECT DISTINCT case_no, as_of, o FROM wanted) c,
       fluct.top_fluctuations(as_of => c.as_of, top_n => NULL,
           recent => coalesce(o ->> 'recent', '24 hours')::interval, baseline => coalesce(o ->> 'baseline', '30 days')::interval,
           measure => coalesce(o ->> 'measure', 'absolute'), direction => coalesce(o ->> 'direction', 'both'),
           average => coalesce(o ->> 'average', 'elapsed'), time_zone => o ->> 'time_zone') t;

SELECT count(DISTINCT case_no) AS cases, count(*) AS rows FROM got;
(TABLE got EXCEPT SELECT case_no, rank, industry, recent_value, baseline_avg, delta, delta_pct, recent_orders, baseline_orders, active_days FROM wanted)
UNION ALL
(SELECT case_no, rank, industry, recent_value, baseline_avg, delta, delta_pct, recent_orders, baseline_orders, active_days FROM wanted EXCEPT TABLE got)
ORDER BY 1, 2;
SELECT count(*) AS wrong, (SELECT count(*) > 0 FROM sales.industry_spend) AS kept FROM fluct.verify_rollup();

-- read from the orders
UPDATE sales.rollup_state SET valid = false;
SELECT count(DISTINCT case_no) AS cases, count(*) AS rows FROM got;
(TABLE got EXCEPT SELECT case_no, rank, industry, recent_value, baseline_avg, delta, delta_pct, recent_orders, baseline_orders, active_days FROM wanted)
UNION ALL
(SELECT case_no, rank, industry, recent_value, baseline_avg, delta, delta_pct, recent_orders, baseline_orders, active_days FROM wanted EXCEPT TABLE got)
ORDER BY 1, 2;
UPDATE sales.rollup_state SET valid = true;

-- the windows themselves
SELECT count(*) AS wrong_windows
  FROM (SELECT l::jsonb AS c FROM regexp_split_to_table(:'expected', E'\n') l WHERE l <> '') e,
       fluct._windows_of((c ->> 'as_of')::timestamptz, coalesce(c -> 'options' ->> 'recent', '24 hours')::interval,
                         coalesce(c -> 'options' ->> 'baseline', '30 days')::interval, c -> 'options' ->> 'time_zone') w
 WHERE w.mid <> (c -> 'window' ->> 0)::timestamptz OR w.until <> (c -> 'window' ->> 1)::timestamptz
    OR w.since <> (c -> 'baseline_window' ->> 0)::timestamptz OR w.mid <> (c -> 'baseline_window' ->> 1)::timestamptz;

SET timezone = 'UTC';
SELECT * FROM fluct.podium('2026-03-04');
SELECT * FROM fluct.podium('2026-03-04', measure => 'relative', top_n => 2, time_zone => 'Europe/Berlin');
SELECT * FROM fluct.top_fluctuations('2026-03-05 12:00Z');
SELECT reason, count(*) AS customers, sum(orders) AS orders FROM sales.unattributed_spend GROUP BY 1 ORDER BY 1;
