-- The users' tables: made, healed, carried along; partitions.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS fluct CASCADE;
CREATE EXTENSION fluct;
SET client_min_messages = notice;
SET timezone = 'Asia/Kathmandu';      -- must not bend any bound

-- before the tables are there
SELECT * FROM fluct.lines_of('x');
SELECT * FROM fluct.maintain_partitions();

SELECT fluct.create_tables();
SELECT fluct.create_tables();

SELECT table_name, string_agg(column_name || ' ' || udt_name || CASE is_nullable WHEN 'NO' THEN '!' ELSE '' END, ', ' ORDER BY ordinal_position)
  FROM information_schema.columns
 WHERE table_schema = 'fluct'
   AND table_name IN ('industries', 'products', 'customers', 'customer_industries', 'orders', 'order_lines', 'raw_messages', 'fluctuations',
                      'latest_fluctuations', 'unattributed_spend')
 GROUP BY 1 ORDER BY 1;

-- without NOT NULL, which stands above and is a constraint only from 18 on
SELECT conrelid::regclass, conname, pg_get_constraintdef(oid)
  FROM pg_constraint
 WHERE conrelid IN (SELECT to_regclass('fluct.' || table_name) FROM fluct._model_tables()) AND contype <> 'n'
 ORDER BY conrelid::regclass::text, conname;

SELECT indexdef FROM pg_indexes
 WHERE schemaname = 'fluct' AND tablename IN ('orders', 'order_lines') ORDER BY 1;

-- every object of the model, and every function of it, has a comment
SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND c.relname !~ '^_'
 WHERE c.relnamespace = 'fluct'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
   AND (obj_description(c.oid, 'pg_class') IS NULL OR a.attnum IS NOT NULL AND col_description(c.oid, a.attnum) IS NULL);
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE p.pronamespace = 'fluct'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
-- and every function pins its search_path
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'fluct'::regnamespace AND p.prokind = 'f' AND l.lanname IN ('sql', 'plpgsql')
   AND NOT EXISTS (SELECT 1 FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=pg_catalog, pg_temp');
-- and no user's table is a member of the extension
SELECT count(*) AS members FROM pg_depend
 WHERE deptype = 'e' AND objid IN (SELECT to_regclass('fluct.' || table_name) FROM fluct._model_tables());

-- Lines follow their orders.
INSERT INTO fluct.orders SELECT 'o' || i, 'c', i, '2020-03-01 00:00Z'::timestamptz + i * interval '7 hours'
  FROM generate_series(1, 200) i;
INSERT INTO fluct.order_lines SELECT o.order_id, k, 'p', k, 1.5, o.ordered_at
  FROM fluct.orders o, generate_series(1, 3) k;
SELECT tableoid::regclass, count(*) FROM fluct.order_lines GROUP BY 1;
SELECT * FROM fluct.ensure_partitions('2020-02-29 23:59:59.999999Z', '2020-05-01 00:00Z');
SELECT * FROM fluct.ensure_partitions('2020-02-29 23:59:59.999999Z', '2020-05-01 00:00Z');
SELECT tableoid::regclass, count(*) FROM fluct.order_lines GROUP BY 1 ORDER BY 1;
SELECT * FROM fluct.lines_of('o100');
EXPLAIN (COSTS OFF) SELECT * FROM fluct.order_lines WHERE ordered_at = '2020-04-01 04:00Z' AND order_id = 'o1';

CREATE VIEW pg_temp.stray AS
SELECT count(*) AS lines, count(*) FILTER (WHERE o.order_id IS NULL) AS stray
  FROM fluct.order_lines l LEFT JOIN fluct.orders o ON o.order_id = l.order_id AND o.ordered_at = l.ordered_at;
DELETE FROM fluct.orders WHERE order_id = 'o1';
SELECT * FROM stray;
DELETE FROM fluct.orders WHERE order_id BETWEEN 'o100' AND 'o160';
SELECT * FROM stray;
DELETE FROM fluct.orders WHERE false;
UPDATE fluct.orders SET amount = amount + 1;
UPDATE fluct.orders SET ordered_at = ordered_at + interval '1 month' WHERE order_id IN ('o7', 'o8');
SELECT * FROM stray;
UPDATE fluct.orders SET ordered_at = ordered_at - interval '1 day', order_id = upper(order_id);
SELECT * FROM stray;
SELECT line_number, volume, price FROM fluct.lines_of('O7');
SELECT * FROM fluct.lines_of('o7');
-- two orders that swap their names swap their lines
UPDATE fluct.order_lines SET product_id = 'of 7' WHERE order_id = 'O7';
ALTER TABLE fluct.orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (order_id) DEFERRABLE;
UPDATE fluct.orders SET order_id = CASE order_id WHEN 'O7' THEN 'O8' ELSE 'O7' END WHERE order_id IN ('O7', 'O8');
SELECT DISTINCT product_id FROM fluct.lines_of('O8');
SELECT * FROM stray;
TRUNCATE fluct.orders;
SELECT * FROM stray;
INSERT INTO fluct.order_lines VALUES ('x', 1, 'p', 1, 1, now());
TRUNCATE fluct.orders, fluct.order_lines;
SELECT * FROM stray;

-- Amounts are finite.
INSERT INTO fluct.orders VALUES ('n', 'c', 'NaN', '2020-01-01');
INSERT INTO fluct.orders VALUES ('n', 'c', '-Infinity', '2020-01-01');
INSERT INTO fluct.order_lines VALUES ('n', 1, 'p', 1, 'Infinity', '2020-01-01');
INSERT INTO fluct.orders VALUES ('n', 'c', 189921.66000000006, now()) RETURNING amount;

-- Healing: what is missing comes back, what was added or changed stays.
ALTER TABLE fluct.orders ADD COLUMN channel text DEFAULT 'shop';
CREATE INDEX channel_of_order ON fluct.orders (channel);
ALTER TABLE fluct.orders DROP COLUMN extra;
COMMENT ON COLUMN fluct.orders.amount IS 'gross';
DROP INDEX fluct.orders_ordered_at_idx;
DROP TRIGGER orders_delete_lines ON fluct.orders;
DROP VIEW fluct.latest_fluctuations;
ALTER TABLE fluct.fluctuations DROP COLUMN complete;
ALTER TABLE fluct.products DROP CONSTRAINT products_pkey;   -- on purpose: stays so
SELECT fluct.create_tables();
SELECT fluct.create_tables();
SELECT channel, extra, col_description('fluct.orders'::regclass, 3) FROM fluct.orders;
SELECT to_regclass('fluct.channel_of_order');
-- a NOT NULL column cannot come back to rows
DROP VIEW fluct.unattributed_spend;
ALTER TABLE fluct.orders DROP COLUMN customer_id;
SELECT fluct.create_tables();
TRUNCATE fluct.orders;
DROP VIEW pg_temp.stray;
ALTER TABLE fluct.orders DROP COLUMN order_id;
SELECT fluct.create_tables();
\d fluct.orders

-- Partitions: today's and tomorrow's are there, in UTC.
SELECT count(*) = 8 AS raw, min(since) = date_trunc('day', now(), 'UTC') AS today
  FROM fluct._partitions('fluct.raw_messages') WHERE NOT is_default AND since >= date_trunc('day', now(), 'UTC');
SELECT count(*) = 3 AS lines, min(since) = date_trunc('month', now(), 'UTC') AS this_month
  FROM fluct._partitions('fluct.order_lines') WHERE NOT is_default AND since >= date_trunc('month', now(), 'UTC');
SELECT * FROM fluct.maintain_partitions();
-- rows that went to the default are moved
INSERT INTO fluct.raw_messages (stream, topic, partition, "offset", value, ingested_at)
SELECT 's', 't', 0, i, '\x00', date_trunc('day', now(), 'UTC') - interval '3 days' + i * interval '1 hour' FROM generate_series(0, 47) i;
INSERT INTO fluct.raw_messages (stream, topic, partition, "offset", value, ingested_at) VALUES ('s', 't', 0, 99, NULL, '1970-01-01');
SELECT regexp_replace(partition, '[0-9]', '9', 'g'), action, rows_moved, detail FROM fluct.maintain_partitions();
SELECT * FROM fluct.maintain_partitions();
SELECT count(*) FROM ONLY fluct.raw_messages_default;
-- a user's own partition
CREATE TABLE fluct.lines_of_2024 PARTITION OF fluct.order_lines FOR VALUES FROM ('2024-01-01 00:00Z') TO ('2025-01-01 00:00Z');
CREATE TABLE fluct.lines_mid_2025 PARTITION OF fluct.order_lines FOR VALUES FROM ('2025-06-15 00:00Z') TO ('2025-07-01 00:00Z');
CREATE TABLE fluct.order_lines_2025_08 ();
SELECT * FROM fluct.ensure_partitions('2024-11-30', '2025-08-02');
SELECT * FROM fluct.ensure_partitions('infinity', NULL);
CREATE ROLE regress_fluct_none;
GRANT USAGE ON SCHEMA fluct TO regress_fluct_none;
SET ROLE regress_fluct_none;
SELECT * FROM fluct.ensure_partitions('2023-11-30', '2023-11-30');
SELECT fluct.create_tables();
RESET ROLE;

-- DROP EXTENSION leaves the users' tables, CREATE and create_tables() heal.
INSERT INTO fluct.orders (order_id, customer_id, amount, ordered_at) VALUES ('kept', 'c', 1, now());
SET client_min_messages = warning;
DROP EXTENSION fluct CASCADE;
SELECT count(*) FROM fluct.orders;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'fluct.orders'::regclass;
CREATE EXTENSION fluct;
SET client_min_messages = notice;
SELECT fluct.create_tables();
SELECT order_id FROM fluct.orders;

-- who has only CREATE on the schema can make the tables
SET client_min_messages = warning;
DROP EXTENSION fluct CASCADE;
DROP SCHEMA fluct CASCADE;
CREATE EXTENSION fluct;
SET client_min_messages = notice;
GRANT USAGE, CREATE ON SCHEMA fluct TO regress_fluct_none;
SET ROLE regress_fluct_none;
SELECT fluct.create_tables();
SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'fluct' AND tablename LIKE 'order%';
RESET ROLE;
REVOKE CREATE ON SCHEMA fluct FROM regress_fluct_none;
SET ROLE regress_fluct_none;
SELECT * FROM fluct.ensure_partitions('2019-05-05', '2019-05-05');
RESET ROLE;
-- what a superuser makes still belongs to the tables' owner
SELECT * FROM fluct.ensure_partitions('2019-05-05', '2019-05-05');
SELECT tableowner FROM pg_tables WHERE tablename = 'order_lines_2019_05';
RESET ROLE;
SET client_min_messages = warning;
DROP EXTENSION fluct CASCADE;
DROP SCHEMA fluct CASCADE;
DROP ROLE regress_fluct_none;
