-- ad-hoc.sql: questions about fluctuations, answered in psql.
--
--   psql -h localhost -U etl -f test/demo/ad-hoc.sql shop
--   psql -v day=2026-02-14 ...                 another day; the default is the last whole one
--
-- doc/ranking.md explains each and shows its output; ad-hoc.ipynb is the same as
-- a notebook.
\set ON_ERROR_STOP on
\pset footer off
\if :{?day}
\else
SELECT max(ordered_at)::date - 1 AS day FROM sales.orders \gset
\endif

\echo 'Which industries fluctuated most?'
SELECT * FROM fluct.podium(:'day');

\echo 'And against the average of 7 days instead of 30?'
SELECT * FROM fluct.podium(:'day', baseline => '7 days');

\echo 'Relative to their size?'
SELECT * FROM fluct.podium(:'day', measure => 'relative');

\echo 'Which grew most?'
SELECT * FROM fluct.podium(:'day', direction => 'up');

\echo 'Who and what drove the first of them?'
SELECT p.industry, d.name, d.recent_value, d.baseline_avg, d.delta, d.share_pct
  FROM fluct.podium(:'day', top_n => 1) p
 CROSS JOIN LATERAL fluct.drivers(p.industry, :'day', top_n => 3) d;

\echo 'Which products fluctuated most, whatever the industry?'
SELECT coalesce(p.product_name, x.product_id) AS product, round((x.f).recent_value, 2) AS recent_value,
       round((x.f).baseline_avg, 2) AS baseline_avg, round((x.f).delta, 2) AS delta, round((x.f).delta_pct, 1) AS delta_pct
  FROM (SELECT l.product_id, fluct.fluctuation(l.volume * l.price, l.ordered_at, date :'day' + 1, '24 hours', '30 days') AS f
          FROM sales.order_lines l
         WHERE l.ordered_at >= date :'day' - 30 AND l.ordered_at < date :'day' + 1
         GROUP BY l.product_id) x
  LEFT JOIN sales.products p ON p.product_id = x.product_id
 ORDER BY abs((x.f).delta) DESC, x.product_id
 LIMIT 5;

\echo 'What moved since the day before?'
SELECT * FROM fluct.compare(:'day');

\echo 'Who was on the podium in the last two weeks?'
SELECT p.industry, to_char(d, 'DD') AS day, p.rank
  FROM generate_series(date :'day' - 13, :'day', '1 day') d
 CROSS JOIN LATERAL fluct.podium(d::date) p
 ORDER BY d, p.rank
\crosstabview industry day rank

\echo 'And the days before, as pictures?'
SELECT * FROM fluct.trend(:'day');
