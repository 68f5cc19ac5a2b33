-- What is old goes; the rollup before the horizon stays.
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'Asia/Tokyo';
SET datestyle = 'ISO';

CALL fluct.apply_retention('90 days');
\o /dev/null
SELECT fluct.create_tables();
SELECT fluct.mark_complete('infinity');
\o
-- nothing is deleted that was not asked for
CALL fluct.apply_retention();
CALL fluct.apply_retention(raw => '1 hour');
CALL fluct.apply_retention(orders => '-1 day');

INSERT INTO sales.industries VALUES ('Food'), ('Pharma');
INSERT INTO sales.customers VALUES ('f', 'F'), ('p', 'P'), ('b', 'Both');
INSERT INTO sales.customer_industries VALUES ('f', 'Food'), ('p', 'Pharma'), ('b', 'Food'), ('b', 'Pharma');
-- an order an hour of the last 100 days, with two lines each, and one raw message a day
INSERT INTO sales.orders SELECT 'o' || n, (ARRAY['f', 'p', 'b'])[1 + n % 3], 1 + n % 10, now() - n * interval '1 hour' FROM generate_series(1, 2400) n;
SELECT FROM fluct.ensure_partitions(now() - interval '100 days', now()) \g /dev/null
INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at)
SELECT order_id, k, 'x', 1, 1, ordered_at FROM sales.orders, generate_series(1, 2) k;
INSERT INTO sales.raw_messages (stream, topic, partition, "offset", value, ingested_at)
SELECT 's', 't', 0, n, 'v', now() - n * interval '1 day' FROM generate_series(0, 99) n;
SELECT count(*) > 90 AS in_default FROM ONLY sales.raw_messages_default;

SELECT date_trunc('day', now(), 'UTC') - interval '40 days' AS old \gset
CREATE TEMP TABLE before AS SELECT * FROM fluct.top_fluctuations(:'old', baseline => '20 days', top_n => NULL);
CREATE TEMP TABLE recent AS SELECT * FROM fluct.top_fluctuations(now(), baseline => '20 days', top_n => NULL);

-- raw: by days, and what lies in the default partition
CALL fluct.apply_retention(raw => '30 days');
SELECT count(*) BETWEEN 30 AND 31 AS raw, min(ingested_at) >= now() - interval '30 days' AS young FROM sales.raw_messages;
-- lines: by months
\set VERBOSITY terse
SET client_min_messages = warning;
CALL fluct.apply_retention(lines => '45 days');
SET client_min_messages = notice;
SELECT count(*) < 4800 AS fewer, bool_and(o.order_id IS NOT NULL) AS of_orders FROM sales.order_lines l LEFT JOIN sales.orders o USING (order_id);
SELECT count(*) FROM sales.orders;

-- orders: by days, behind the horizon
SET client_min_messages = warning;
CALL fluct.apply_retention(orders => '50 days');
SET client_min_messages = notice;
SELECT horizon = date_trunc('day', now() - interval '50 days', 'UTC') AS horizon, valid FROM sales.rollup_state;
SELECT min(ordered_at) >= (SELECT horizon FROM sales.rollup_state) AS young FROM sales.orders;
SELECT count(*) AS lines_without_order FROM sales.order_lines l WHERE NOT EXISTS (SELECT FROM sales.orders o WHERE o.order_id = l.order_id);
SELECT * FROM fluct.verify_rollup();
-- the rollup still has them, and says what it has not (in a WARNING with today's dates)
SET client_min_messages = error;
SELECT count(*), bool_and(to_jsonb(b) - 'complete' = to_jsonb(t) - 'complete') AS as_before, bool_or(t.complete) AS complete FROM before b JOIN fluct.top_fluctuations(:'old', baseline => '20 days', top_n => NULL) t USING (industry);
SELECT count(*) FILTER (WHERE t.recent_value = b.recent_value) AS same, count(*) FROM recent b JOIN fluct.top_fluctuations(now(), baseline => '20 days', top_n => NULL) t USING (industry);
SELECT FROM fluct.record_fluctuations('old', as_of => :'old', baseline => '20 days') \g /dev/null
SELECT count(*), complete, incomplete_reason ~ '^orders before .* were deleted$' AS why FROM sales.fluctuations WHERE report = 'old' GROUP BY 2, 3;
SET client_min_messages = notice;
SELECT sum(orders) AS sum FROM sales.industry_spend WHERE bucket < (SELECT horizon FROM sales.rollup_state) \gset
-- what comes late, and what customers' industries become, changes nothing there
INSERT INTO sales.orders VALUES ('late', 'f', 1000000, now() - interval '80 days'), ('new', 'f', 7, now());
DELETE FROM sales.customer_industries WHERE customer_id = 'b' AND industry = 'Food';
UPDATE sales.orders SET amount = amount + 1 WHERE order_id = 'late';
SELECT sum(orders) = :sum AS unchanged FROM sales.industry_spend WHERE bucket < (SELECT horizon FROM sales.rollup_state);
SELECT * FROM fluct.verify_rollup();
-- nor does a trigger that was gone
DROP TRIGGER orders_rollup_insert ON sales.orders;
SET client_min_messages = error;
SELECT fluct.create_tables();
SET client_min_messages = notice;
SELECT fluct.rebuild_rollup() > 0 AS rebuilt;
SELECT sum(orders) = :sum AS unchanged FROM sales.industry_spend WHERE bucket < (SELECT horizon FROM sales.rollup_state);
SELECT * FROM fluct.verify_rollup();
TRUNCATE sales.orders;
SELECT sum(orders) = :sum AS unchanged FROM sales.industry_spend;
SELECT * FROM fluct.verify_rollup();
DROP TABLE before, recent;

-- a trigger that keeps a row does not keep the procedure
INSERT INTO sales.orders SELECT 'k' || n, 'f', 1, now() - interval '90 days' FROM generate_series(1, 3) n;
CREATE FUNCTION public.keeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE old.order_id WHEN 'k2' THEN NULL ELSE old END; END $$;
CREATE TRIGGER keeps BEFORE DELETE ON sales.orders FOR EACH ROW EXECUTE FUNCTION public.keeps();
\set VERBOSITY terse
SET client_min_messages = error;
CALL fluct.apply_retention(orders => '60 days');
RESET client_min_messages;
\set VERBOSITY default
SELECT order_id FROM sales.orders;
DROP FUNCTION public.keeps() CASCADE;
DELETE FROM sales.orders;

-- a session that reads backslashes in plain strings as escapes, up to 18
SET client_min_messages = error;
DO $$
BEGIN
	PERFORM set_config('standard_conforming_strings', 'off', false);
EXCEPTION WHEN feature_not_supported THEN
	NULL;
END
$$;
INSERT INTO sales.raw_messages (stream, topic, partition, "offset", value, ingested_at) VALUES ('s', 't', 0, 100, 'v', now() - interval '80 days');
SELECT count(*) > 0 AS made FROM fluct.ensure_partitions(now() - interval '400 days', now() - interval '390 days');
CALL fluct.apply_retention(raw => '30 days', lines => '60 days');
SELECT count(*) FROM sales.raw_messages WHERE ingested_at < now() - interval '30 days';
SELECT count(*) FROM fluct._partitions('sales.order_lines') p WHERE p.until < now() - interval '60 days';
RESET standard_conforming_strings;
RESET client_min_messages;

-- bookkeeping: what is closed, and records of files that were not loaded
RESET SESSION AUTHORIZATION;
INSERT INTO fluct.dead_letters (stream, topic, partition, "offset", reason, status, closed_at) VALUES
	('s', 't', 0, 1, 'nul', 'open', NULL), ('s', 't', 0, 2, 'nul', 'retried', now() - interval '40 days'), ('s', 't', 0, 3, 'nul', 'discarded', now());
INSERT INTO fluct.files (kind, file, status, loaded_by, loaded_by_oid, system_identifier, loaded_at)
SELECT 'customers', file, status, loaded_by, to_regrole(role), system_identifier::text, now() - interval '1 year'
FROM pg_control_system(), (VALUES ('by hand', 'loaded', 'regress_etl', 'regress_etl'), ('renamed', 'refused', 'regress_former', 'regress_etl'),
	('restored', 'refused', 'regress_etl', NULL), ('recreated', 'refused', 'regress_etl', current_user), ('gone', 'refused', 'regress_former', NULL)) f (file, status, loaded_by, role);
SET SESSION AUTHORIZATION regress_etl;
CALL fluct.apply_retention(bookkeeping => '30 days');
SELECT file FROM fluct.files ORDER BY 1;
RESET SESSION AUTHORIZATION;
CALL fluct.apply_retention(bookkeeping => '30 days');
SELECT "offset", status FROM fluct.dead_letters ORDER BY 1;
SELECT file FROM fluct.files;

-- rights
CREATE ROLE regress_fluct_reader;
SELECT count(*) > 0 AS granted FROM fluct.grant_reader('regress_fluct_reader');
SET ROLE regress_fluct_reader;
CALL fluct.apply_retention('90 days');
RESET ROLE;
DROP OWNED BY regress_fluct_reader;
DROP ROLE regress_fluct_reader;
