-- ranking.sql: the demo's answer, beside the same question in plain SQL.
--
-- One snapshot and one now() for both.  Fails where they differ.
\set QUIET on
\pset footer off
SET client_min_messages = warning;
SET TimeZone = 'UTC';
BEGIN ISOLATION LEVEL REPEATABLE READ;

\echo SELECT * FROM fluct.podium();
\echo
SELECT * FROM fluct.podium();

CREATE TEMPORARY TABLE plain ON COMMIT DROP AS
WITH spend AS (
	SELECT i.industry,
		   coalesce(sum(o.amount) FILTER (WHERE o.ordered_at >= now() - interval '24 hours'), 0) AS recent,
		   coalesce(sum(o.amount) FILTER (WHERE o.ordered_at < now() - interval '24 hours'), 0) AS baseline,
		   count(o.order_id) FILTER (WHERE o.ordered_at >= now() - interval '24 hours') AS orders
	  FROM sales.industries i
	  LEFT JOIN sales.customer_industries ci ON ci.industry = i.industry
	  LEFT JOIN sales.orders o
		ON o.customer_id = ci.customer_id
	   AND o.ordered_at >= now() - interval '24 hours' - interval '30 days'
	   AND o.ordered_at < now()
	 GROUP BY i.industry
)
SELECT (rank() OVER (ORDER BY abs(recent - baseline / 30) DESC))::int AS rank,
	   industry,
	   round(recent, 2) AS recent_value,
	   round(baseline / 30, 2) AS baseline_avg,
	   round(recent - baseline / 30, 2) AS delta,
	   round(100 * (recent - baseline / 30) / nullif(baseline / 30, 0), 1) AS delta_pct,
	   orders AS recent_orders
  FROM spend
 WHERE recent <> baseline / 30;

CREATE TEMPORARY VIEW differences AS
WITH answer AS (
	SELECT rank, industry, recent_value, baseline_avg, delta, delta_pct, recent_orders
	  FROM fluct.podium(top_n => NULL)
)
(SELECT 'fluct' AS by, a.* FROM (TABLE answer EXCEPT ALL TABLE plain) a)
UNION ALL
(SELECT 'plain SQL', p.* FROM (TABLE plain EXCEPT ALL TABLE answer) p);

SELECT count(*) > 0 AS different FROM differences \gset
\if :different
SELECT * FROM differences ORDER BY industry, by;
DO $$ BEGIN RAISE EXCEPTION 'the ranking differs from plain SQL'; END $$;
\endif
SELECT format('Plain SQL over the tables (test/demo/ranking.sql) ranks all %s industries the same.', count(*)) AS said
  FROM plain \gset
\echo :said
COMMIT;
