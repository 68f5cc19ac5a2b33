-- The rollup: what each event books, who may have it booked, what is told and
-- mended where it was not kept.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET client_min_messages = warning;
SET datestyle = 'ISO';
SET timezone = 'Asia/Kathmandu';      -- must not bend any bucket
\o /dev/null
SELECT fluct.create_tables();
SELECT fluct.mark_complete('infinity');
\o
INSERT INTO sales.industries VALUES ('Food'), ('Pharma'), ('Silent');
INSERT INTO sales.customers VALUES ('f'), ('b'), ('n');
INSERT INTO sales.customer_industries VALUES ('f', 'Food'), ('b', 'Food'), ('b', 'Pharma');
CREATE VIEW pg_temp.spend AS
SELECT CASE width WHEN 60 THEN 'minute' WHEN 3600 THEN 'hour' ELSE 'day' END AS width, bucket AT TIME ZONE 'UTC' AS bucket, industry,
       sum(orders) AS orders, trim_scale(sum(amount)) AS amount
  FROM sales.industry_spend GROUP BY industry_spend.width, 2, 3 HAVING sum(orders) <> 0 OR sum(amount) <> 0
 ORDER BY industry_spend.width, 2, 3;
CREATE VIEW pg_temp.days AS
SELECT bucket::date AS day, industry, orders, amount, (SELECT count(*) FROM fluct.verify_rollup()) AS wrong FROM spend WHERE width = 'day';

-- orders come: of known and unknown customers, before 2000, at infinity
INSERT INTO sales.orders VALUES
('1', 'f', 1.10, '2026-01-01 10:00:59.999999Z'), ('2', 'b', 2, '2026-01-01 10:01:00Z'), ('3', 'n', 4, '2026-01-01 10:01:00Z'),
('4', 'late', 8, '2026-01-01 10:01:00Z'), ('5', 'f', -16, '1999-12-31 23:59:59.999999Z'), ('6', 'f', 32, 'infinity'),
('7', 'f', 64, '-infinity'), ('8', 'f', 0, '4714-11-24 00:00:00Z BC'), ('9', 'f', 128, '294276-12-31 23:59:59.999999Z');
TABLE spend;
INSERT INTO sales.orders VALUES ('1', 'f', 5, '2026-01-01') ON CONFLICT DO NOTHING;
INSERT INTO sales.orders VALUES ('1', 'f', 7, '2026-01-01') ON CONFLICT (order_id) DO UPDATE SET amount = excluded.amount;
DELETE FROM sales.orders WHERE order_id IN ('6', '7', '8', '9');
TABLE days;

-- orders change: amount, time, customer; nothing that counts
UPDATE sales.orders SET amount = 3 WHERE order_id = '1';
UPDATE sales.orders SET ordered_at = '2026-01-02 00:00Z' WHERE order_id = '2';
UPDATE sales.orders SET customer_id = 'b' WHERE order_id = '5';
TABLE days;
BEGIN;
UPDATE sales.orders SET extra = '{"a": 1}', order_id = order_id || '!';
INSERT INTO sales.orders VALUES ('n', 'n', 1, '2026-01-05');
UPDATE sales.customer_industries SET industry = industry;
SELECT count(*) AS written FROM sales.industry_spend WHERE xmin = pg_current_xact_id()::xid;
COMMIT;
UPDATE sales.orders SET order_id = rtrim(order_id, '!');

-- customers' industries change
INSERT INTO sales.customers VALUES ('late');
INSERT INTO sales.customer_industries VALUES ('late', 'Pharma'), ('n', 'Food');
TABLE days;
UPDATE sales.customer_industries SET industry = 'Pharma' WHERE customer_id = 'n';
UPDATE sales.industries SET industry = 'Nutrition' WHERE industry = 'Food';
UPDATE sales.customer_industries SET customer_id = CASE customer_id WHEN 'f' THEN 'late' ELSE 'f' END
 WHERE customer_id = 'f' OR (customer_id, industry) = ('late', 'Pharma');
TABLE days;
DELETE FROM sales.customer_industries WHERE customer_id = 'n';
DELETE FROM sales.customers WHERE customer_id IN ('b', 'f');
TABLE days;
BEGIN;
SAVEPOINT a;
INSERT INTO sales.customers VALUES ('f');
INSERT INTO sales.customer_industries VALUES ('f', 'Silent');
ROLLBACK TO a;
INSERT INTO sales.orders VALUES ('s', 'late', 0.5, '2026-01-01');
SELECT count(*) FROM fluct.verify_rollup();
ROLLBACK;
TABLE days;

-- many at once, more than a chunk
INSERT INTO sales.orders SELECT 'm' || i, 'late', i, '2026-02-01 00:00Z'::timestamptz + i * interval '17 seconds' FROM generate_series(1, 25000) i;
INSERT INTO sales.customers SELECT 'k' || i FROM generate_series(1, 12000) i;
INSERT INTO sales.customer_industries SELECT 'k' || i, 'Silent' FROM generate_series(1, 12000) i;
UPDATE sales.orders SET customer_id = 'k' || ltrim(order_id, 'm') WHERE order_id LIKE 'm%' AND amount > 10000;
SELECT industry, sum(orders) AS orders, sum(amount) AS amount FROM days GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM fluct.verify_rollup();
DELETE FROM sales.customers WHERE customer_id LIKE 'k1%';
SELECT count(*) FROM fluct.verify_rollup();

-- all goes
BEGIN; TRUNCATE sales.orders; TABLE days; ROLLBACK;
BEGIN; TRUNCATE sales.customer_industries; TABLE days; ROLLBACK;
BEGIN; TRUNCATE sales.orders, sales.customers CASCADE; TABLE days; ROLLBACK;
DELETE FROM sales.orders;
TABLE days;

-- one statement can't do both; after its failure two can
WITH x AS (INSERT INTO sales.customer_industries VALUES ('late', 'Silent')) INSERT INTO sales.orders VALUES ('w', 'late', 1, '2026-01-01');
INSERT INTO sales.customer_industries VALUES ('late', 'Silent');
INSERT INTO sales.orders VALUES ('w', 'late', 1, '2026-01-01');
TABLE days;

-- What the owner's code sets there does not outlive the trigger.
BEGIN;
CREATE FUNCTION pg_temp.bend() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM set_config('work_mem', '77MB', false); RAISE WARNING 'work_mem is %', current_setting('work_mem'); RETURN NULL; END$$;
CREATE TRIGGER bend AFTER INSERT ON sales.industry_spend FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.bend();
INSERT INTO sales.orders VALUES ('bend', 'late', 1, '2026-01-05');
SELECT current_setting('work_mem') = '77MB' AS bent;
ROLLBACK;

-- The triggers need no rights of the writer's, and serve no other table.
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_fluct_writer;
GRANT USAGE ON SCHEMA fluct, sales TO regress_fluct_writer;
GRANT INSERT, SELECT ON sales.orders TO regress_fluct_writer;
GRANT EXECUTE ON FUNCTION fluct._rollup_exclude(), fluct._rollup_orders() TO regress_fluct_writer;
SET ROLE regress_fluct_writer;
INSERT INTO sales.orders VALUES ('r', 'late', 1, '2026-01-03');
SELECT count(*) FROM sales.industry_spend;
SELECT fluct.rebuild_rollup();
CREATE TEMP TABLE orders (customer_id text, ordered_at timestamptz, amount numeric);
CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION fluct._rollup_exclude();
INSERT INTO orders VALUES ('late', now(), 1000000);
DROP TRIGGER t ON orders;
CREATE TRIGGER t AFTER INSERT ON orders REFERENCING NEW TABLE AS n EXECUTE FUNCTION fluct._rollup_orders();
INSERT INTO orders VALUES ('late', now(), 1000000);
DROP TABLE orders;
RESET ROLE;
TABLE days;
ALTER TABLE sales.orders OWNER TO regress_fluct_writer;
INSERT INTO sales.orders VALUES ('x', 'late', 1, '2026-01-03');
ALTER TABLE sales.orders OWNER TO regress_etl;
SET SESSION AUTHORIZATION regress_etl;

-- Written by hand, not kept, made anew.
UPDATE sales.industry_spend SET amount = 0 WHERE bucket >= '2026-01-02' AND width = 86400;
SELECT * FROM fluct.verify_rollup();
SELECT industry, recent_value FROM fluct.top_fluctuations('2026-01-04', top_n => 1);
SELECT fluct.rebuild_rollup();
SELECT * FROM fluct.verify_rollup();
SELECT valid, reason FROM sales.rollup_state;
ALTER TABLE sales.orders DISABLE TRIGGER orders_rollup_delete;
DELETE FROM sales.orders WHERE order_id = 'r';
SELECT industry, width, stored_orders, expected_orders FROM fluct.verify_rollup();
SELECT industry, recent_value FROM fluct.top_fluctuations('2026-01-04', top_n => 1);
ALTER TABLE sales.orders ENABLE TRIGGER orders_rollup_delete;
SELECT fluct.rebuild_rollup();
RESET SESSION AUTHORIZATION;
SET session_replication_role = replica;
INSERT INTO sales.orders VALUES ('r', 'late', 1, '2026-01-03');
RESET session_replication_role;
SET SESSION AUTHORIZATION regress_etl;
SELECT count(*) FROM fluct.verify_rollup();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fluct.rebuild_rollup();
ROLLBACK;
SELECT fluct.rebuild_rollup();
-- the triggers go with the extension; orders come; the triggers come again
RESET SESSION AUTHORIZATION;
DROP EXTENSION fluct CASCADE;
INSERT INTO sales.orders VALUES ('y', 'late', 1, '2026-01-03');
CREATE EXTENSION fluct;
SELECT FROM fluct.grant_operator('regress_etl') \g /dev/null
SET SESSION AUTHORIZATION regress_etl;
SELECT industry, recent_value FROM fluct.top_fluctuations('2026-01-04', top_n => 1);
SELECT count(*) FROM fluct.verify_rollup();
SELECT fluct.create_tables();
SELECT fluct.create_tables();
SELECT industry, recent_value FROM fluct.top_fluctuations('2026-01-04', top_n => 1);
SELECT fluct.rebuild_rollup();
SELECT count(*) FROM fluct.verify_rollup();
DROP VIEW pg_temp.spend;
DROP TABLE sales.industry_spend;
INSERT INTO sales.orders VALUES ('z', 'late', 1, '2026-01-03');
SELECT fluct.create_tables();
SELECT fluct.rebuild_rollup();
INSERT INTO sales.orders VALUES ('z', 'late', 1, '2026-01-03');
SELECT count(*) FROM fluct.verify_rollup();

-- With an index of the user's the rows go in by SQL, with the same result.
CREATE INDEX ON sales.industry_spend (industry);
INSERT INTO sales.orders SELECT 'sql' || i, 'late', i, '2026-01-03 10:00Z'::timestamptz + i * interval '7 minutes' FROM generate_series(1, 100) i;
UPDATE sales.orders SET amount = 1 WHERE order_id LIKE 'sql%' AND amount > 50;
SELECT count(*), (SELECT count(*) FROM fluct.verify_rollup()) AS wrong FROM sales.industry_spend WHERE industry = 'Silent';
DROP INDEX sales.industry_spend_industry_idx;
-- and past the executor many rows, with long walks and far jumps between them
INSERT INTO sales.orders SELECT 'far' || i, 'late', i, '2026-01-01 00:00Z'::timestamptz + (i * 7919 % 3000) * interval '61 minutes' FROM generate_series(1, 3000) i;
INSERT INTO sales.orders SELECT 'near' || i, 'late', i, '2026-01-01 00:00Z'::timestamptz + (i * 104729 % 100000) * interval '10 minutes' FROM generate_series(1, 3000) i;
DELETE FROM sales.orders WHERE order_id LIKE 'far%7';
SELECT count(*) FROM fluct.verify_rollup();

-- The windows' pieces: whole buckets, and less than a minute of orders at an end.
SELECT width, first AT TIME ZONE 'UTC' AS first, past AT TIME ZONE 'UTC' AS past
  FROM fluct._pieces('2025-12-30 22:58:30.000001Z', '2026-01-02 01:01:30Z') ORDER BY 2;
SELECT count(*) FROM fluct._pieces('2026-01-01', '2026-01-01');
SELECT width, past - first AS length FROM fluct._pieces('2026-01-01 00:00:10Z', '2026-01-01 00:01:50Z');
-- of random windows they are all, without a gap, and the ends are short
SELECT bool_and(s.whole AND s.length = s.b - s.a AND s.raw < interval '2 minutes' AND s.buckets <= 24 + 2 * 23 + 2 * 59) AS right
  FROM (SELECT setseed(0.5)) seed,
       generate_series(1, 500) i,
       LATERAL (SELECT '2026-01-01 00:00Z'::timestamptz + i * interval '1 microsecond' + random() * interval '20 days' AS a) a,
       LATERAL (SELECT a.a, a.a + (random() ^ (i % 4 * 4) * 20 * 86400e6)::bigint * interval '1 microsecond' AS b) w,
       LATERAL (SELECT w.a, w.b, coalesce(sum(p.past - p.first), '0') AS length, coalesce(bool_and(p.first < p.past), true) AS whole,
                       coalesce(sum(p.past - p.first) FILTER (WHERE p.width = 0), '0') AS raw,
                       coalesce(sum(extract(epoch FROM p.past - p.first) / p.width) FILTER (WHERE p.width > 0), 0) AS buckets
                  FROM fluct._pieces(w.a, w.b) p) s;

-- Only the trigger that books inserts is disabled: statements go on, any number,
-- and the exclusion of the other side does not stick.
BEGIN;
ALTER TABLE sales.orders DISABLE TRIGGER orders_rollup_insert;
DO $$ BEGIN FOR i IN 1 .. 250 LOOP INSERT INTO sales.orders VALUES ('d' || i, 'late', 1, '2026-01-03'); END LOOP; END $$;
INSERT INTO sales.customer_industries VALUES ('late', 'Silent') ON CONFLICT DO NOTHING;
UPDATE sales.orders SET amount = 2 WHERE order_id = 'd1';
SELECT count(*) > 0 AS differs FROM fluct.verify_rollup();
ALTER TABLE sales.orders ENABLE TRIGGER orders_rollup_insert;
SELECT fluct.rebuild_rollup() IS NOT NULL AS rebuilt;
SELECT count(*) FROM fluct.verify_rollup();
ROLLBACK;

-- rebuild_rollup() writes what is wrong: another sum, a second slot, a bucket too
-- much or missing; the rows that are right stay where they are.
BEGIN;
SELECT fluct.rebuild_rollup() IS NOT NULL AS rebuilt;
CREATE TEMP TABLE before AS
	SELECT ctid AS place, row_number() OVER (ORDER BY width, bucket, industry) AS n, s.* FROM sales.industry_spend s;
UPDATE sales.industry_spend s SET amount = s.amount + 1 FROM before b WHERE b.n = 1 AND s.ctid = b.place;
DELETE FROM sales.industry_spend s USING before b WHERE b.n = 2 AND s.ctid = b.place;
UPDATE sales.industry_spend s SET slot = 7 FROM before b WHERE b.n = 3 AND s.ctid = b.place;
INSERT INTO sales.industry_spend SELECT width, bucket, industry, 1, 1, 5 FROM before WHERE n = 4;
INSERT INTO sales.industry_spend SELECT width, bucket + interval '30 seconds', industry, 0, 1, 5 FROM before WHERE n = 5;
SELECT count(*), sum(stored_orders - expected_orders) FROM fluct.verify_rollup();
SELECT fluct.rebuild_rollup() = count(*) AS as_before FROM before;
SELECT count(*), max(slot) FROM fluct.verify_rollup() RIGHT JOIN sales.industry_spend s USING (width, bucket, industry) WHERE expected_orders IS NOT NULL OR slot <> 0;
SELECT b.n FROM before b LEFT JOIN sales.industry_spend s ON s.ctid = b.place AND s.slot = 0 WHERE s.width IS NULL ORDER BY 1;
DROP TABLE before;
-- an empty rollup is filled, and only an empty one
DELETE FROM sales.industry_spend;
SELECT fluct._fill_rollup(NULL) AS filled, fluct._fill_rollup(NULL) AS again;
SELECT count(*) FROM fluct._wrong_spend(NULL);
ROLLBACK;

-- Rows that come and go by a parent fire none of the triggers: it gets none.
CREATE TABLE sales.all_orders (LIKE sales.orders) PARTITION BY RANGE (ordered_at);
ALTER TABLE sales.all_orders ATTACH PARTITION sales.orders DEFAULT;
CREATE TABLE sales.all_industries (LIKE sales.customer_industries);
ALTER TABLE sales.customer_industries INHERIT sales.all_industries;
DROP TABLE sales.all_orders, sales.all_industries;
-- Without that trigger it is known while it lasts.
BEGIN;
DROP TRIGGER orders_stands_alone ON sales.orders;
CREATE TABLE sales.all_orders (LIKE sales.orders) PARTITION BY RANGE (ordered_at);
ALTER TABLE sales.all_orders ATTACH PARTITION sales.orders FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
SELECT count(*) FROM fluct.verify_rollup();
INSERT INTO sales.all_orders VALUES ('parent', 'late', 1, '2026-01-03');
SELECT sum(recent_orders) = count(*) FILTER (WHERE recent_orders > 0) * (SELECT count(*) FROM sales.orders WHERE customer_id = 'late' AND ordered_at >= '2026-01-03' AND ordered_at < '2026-01-04') AS right
  FROM fluct.top_fluctuations('2026-01-04', average => 'active', top_n => NULL);
-- what came of it stays known
INSERT INTO sales.orders VALUES ('child', 'late', 1, '2026-01-03');
ALTER TABLE sales.all_orders DETACH PARTITION sales.orders;
SELECT count(*) > 0 AS differs FROM fluct.verify_rollup();
SELECT fluct.rebuild_rollup() IS NOT NULL AS rebuilt;
SELECT count(*) FROM fluct.verify_rollup();
CREATE TABLE sales.more_orders () INHERITS (sales.orders);
SELECT fluct._rollup_obstacle();
DROP TABLE sales.more_orders;
INSERT INTO sales.orders VALUES ('alone', 'late', 1, '2026-01-03');
SELECT fluct._rollup_obstacle(), (SELECT count(*) FROM fluct.verify_rollup()) AS wrong;
ROLLBACK;
BEGIN;
CREATE TABLE sales.parts (LIKE sales.orders) PARTITION BY RANGE (ordered_at);
CREATE TABLE sales.parts_2026 PARTITION OF sales.parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO sales.parts SELECT * FROM sales.orders WHERE ordered_at >= '2026-01-01' AND ordered_at < '2027-01-01';
DROP TABLE sales.orders CASCADE;
ALTER TABLE sales.parts RENAME TO orders;
SELECT fluct._rollup_obstacle();
DO $$
DECLARE t record;
BEGIN
	FOR t IN SELECT * FROM fluct._model_triggers() WHERE table_name = 'orders' AND fires <> 'NEVER' LOOP
		EXECUTE format('CREATE TRIGGER %I %s', t.trigger_name, t.definition);
	END LOOP;
END $$;
SELECT fluct._rollup_obstacle();
ALTER TABLE sales.orders DETACH PARTITION sales.parts_2026;
SELECT fluct._rollup_obstacle(), (SELECT count(*) > 0 FROM fluct.verify_rollup()) AS differs;
ROLLBACK;

-- The digest of customer_industries is that of its rows at each commit: after
-- savepoints that are kept and rolled back, at several levels, and TRUNCATE.
CREATE VIEW pg_temp.digest AS SELECT links = fluct._links_computed() AS same, links = 0 AS empty FROM sales.rollup_state;
TABLE digest;
INSERT INTO sales.customers VALUES ('d1'), ('d2'), ('d3');
BEGIN;
INSERT INTO sales.customer_industries VALUES ('d1', 'Silent');
SAVEPOINT a;
INSERT INTO sales.customer_industries VALUES ('d2', 'Silent');
SAVEPOINT b;
INSERT INTO sales.customer_industries VALUES ('d3', 'Silent');
ROLLBACK TO b;
INSERT INTO sales.customer_industries VALUES ('d3', 'Pharma');
RELEASE a;
SAVEPOINT c;
DELETE FROM sales.customer_industries;
ROLLBACK TO c;
COMMIT;
TABLE digest;
BEGIN;
INSERT INTO sales.customer_industries VALUES ('d1', 'Pharma');
SAVEPOINT a;
SAVEPOINT b;
TRUNCATE sales.customer_industries;
INSERT INTO sales.customer_industries VALUES ('d1', 'Pharma');
RELEASE b;
UPDATE sales.customer_industries SET industry = 'Silent';
COMMIT;
TABLE digest;
BEGIN;
SAVEPOINT a;
TRUNCATE sales.customer_industries;
ROLLBACK TO a;
DELETE FROM sales.customers WHERE customer_id = 'd1';
COMMIT;
TABLE digest;
BEGIN;
INSERT INTO sales.customer_industries VALUES ('d2', 'Silent');
SELECT fluct._links() = fluct._links_computed() AS same;
SELECT fluct.rebuild_rollup() IS NOT NULL AS rebuilt;
DELETE FROM sales.customer_industries WHERE customer_id = 'd3';
COMMIT;
TABLE digest;
BEGIN;
INSERT INTO sales.customer_industries VALUES ('d2', 'Pharma');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO sales.customer_industries VALUES ('late', 'Pharma'), ('d3', 'Silent');
COMMIT;
TABLE digest;
SELECT count(*) AS wrong FROM fluct.verify_rollup();

-- What is read does not depend on orders that are gone.
INSERT INTO sales.orders VALUES ('fine', 'late', 0.000000001, '2026-01-03');
DELETE FROM sales.orders WHERE order_id = 'fine';
SELECT DISTINCT scale(recent_value) FROM fluct.top_fluctuations('2026-01-04', average => 'active', top_n => NULL);

-- without the column of the digest; and gone in the transaction that changed them
DROP VIEW pg_temp.digest;
ALTER TABLE sales.rollup_state DROP COLUMN links;
INSERT INTO sales.customer_industries VALUES ('d3', 'Pharma') ON CONFLICT DO NOTHING;
BEGIN;
DELETE FROM sales.customer_industries;
DROP TABLE sales.rollup_state;
COMMIT;
\o /dev/null
SELECT fluct.create_tables();
\o
RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
BEGIN;
INSERT INTO sales.customer_industries VALUES ('d3', 'Pharma');
DROP EXTENSION fluct CASCADE;
COMMIT;
DROP SCHEMA sales CASCADE;
DROP ROLE regress_fluct_writer;
