-- The users' tables: made, healed, carried along; partitions.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'Asia/Kathmandu';      -- must not bend any bound

-- before the tables are there
SELECT * FROM fluct.lines_of('x');
SELECT * FROM fluct.maintain_partitions();

SELECT fluct.create_tables();
SELECT fluct.create_tables();

SELECT table_name, string_agg(column_name || ' ' || udt_name || CASE is_nullable WHEN 'NO' THEN '!' ELSE '' END, ', ' ORDER BY ordinal_position)
  FROM information_schema.columns
 WHERE table_schema = 'sales'
   AND table_name IN ('industries', 'products', 'customers', 'customer_industries', 'orders', 'order_lines', 'raw_messages', 'fluctuations',
                      'latest_fluctuations', 'unattributed_spend')
 GROUP BY 1 ORDER BY 1;

-- without NOT NULL, which stands above and is a constraint only from 18 on
SELECT conrelid::regclass, conname, pg_get_constraintdef(oid)
  FROM pg_constraint
 WHERE conrelid IN (SELECT to_regclass('sales.' || table_name) FROM fluct._model_tables()) AND contype <> 'n'
 ORDER BY conrelid::regclass::text, conname;

SELECT indexdef FROM pg_indexes
 WHERE schemaname = 'sales' AND tablename IN ('orders', 'order_lines') ORDER BY 1;

-- every object of the model, and every function of it, has a comment
SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND c.relname !~ '^_'
 WHERE c.relnamespace IN ('fluct'::regnamespace, 'sales'::regnamespace) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
   AND (obj_description(c.oid, 'pg_class') IS NULL OR a.attnum IS NOT NULL AND col_description(c.oid, a.attnum) IS NULL);
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE p.pronamespace = 'fluct'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
-- and every function pins its search_path
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'fluct'::regnamespace AND p.prokind = 'f' AND l.lanname IN ('sql', 'plpgsql')
   AND NOT EXISTS (SELECT 1 FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=pg_catalog, pg_temp');
-- and no user's table is a member of the extension
SELECT count(*) AS members FROM pg_depend
 WHERE deptype = 'e' AND objid IN (SELECT to_regclass('sales.' || table_name) FROM fluct._model_tables());

-- Lines follow their orders.
INSERT INTO sales.orders SELECT 'o' || i, 'c', i, '2020-03-01 00:00Z'::timestamptz + i * interval '7 hours'
  FROM generate_series(1, 200) i;
INSERT INTO sales.order_lines SELECT o.order_id, k, 'p', k, 1.5, o.ordered_at
  FROM sales.orders o, generate_series(1, 3) k;
SELECT tableoid::regclass, count(*) FROM sales.order_lines GROUP BY 1;
SELECT * FROM fluct.ensure_partitions('2020-02-29 23:59:59.999999Z', '2020-05-01 00:00Z');
SELECT * FROM fluct.ensure_partitions('2020-02-29 23:59:59.999999Z', '2020-05-01 00:00Z');
SELECT tableoid::regclass, count(*) FROM sales.order_lines GROUP BY 1 ORDER BY 1;
SELECT * FROM fluct.lines_of('o100');
EXPLAIN (COSTS OFF) SELECT * FROM sales.order_lines WHERE ordered_at = '2020-04-01 04:00Z' AND order_id = 'o1';

CREATE VIEW pg_temp.stray AS
SELECT count(*) AS lines, count(*) FILTER (WHERE o.order_id IS NULL) AS stray
  FROM sales.order_lines l LEFT JOIN sales.orders o ON o.order_id = l.order_id AND o.ordered_at = l.ordered_at;
DELETE FROM sales.orders WHERE order_id = 'o1';
SELECT * FROM stray;
DELETE FROM sales.orders WHERE order_id BETWEEN 'o100' AND 'o160';
SELECT * FROM stray;
DELETE FROM sales.orders WHERE false;
UPDATE sales.orders SET amount = amount + 1;
UPDATE sales.orders SET ordered_at = ordered_at + interval '1 month' WHERE order_id IN ('o7', 'o8');
SELECT * FROM stray;
UPDATE sales.orders SET ordered_at = ordered_at - interval '1 day', order_id = upper(order_id);
SELECT * FROM stray;
SELECT line_number, volume, price FROM fluct.lines_of('O7');
SELECT * FROM fluct.lines_of('o7');
-- two orders that swap their names swap their lines
UPDATE sales.order_lines SET product_id = 'of 7' WHERE order_id = 'O7';
ALTER TABLE sales.orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (order_id) DEFERRABLE;
UPDATE sales.orders SET order_id = CASE order_id WHEN 'O7' THEN 'O8' ELSE 'O7' END WHERE order_id IN ('O7', 'O8');
SELECT DISTINCT product_id FROM fluct.lines_of('O8');
SELECT * FROM stray;
TRUNCATE sales.orders;
SELECT * FROM stray;
INSERT INTO sales.order_lines VALUES ('x', 1, 'p', 1, 1, now());
TRUNCATE sales.orders, sales.order_lines;
SELECT * FROM stray;

-- Amounts are finite.
INSERT INTO sales.orders VALUES ('n', 'c', 'NaN', '2020-01-01');
INSERT INTO sales.orders VALUES ('n', 'c', '-Infinity', '2020-01-01');
INSERT INTO sales.order_lines VALUES ('n', 1, 'p', 1, 'Infinity', '2020-01-01');
INSERT INTO sales.orders VALUES ('n', 'c', 189921.66000000006, now()) RETURNING amount;

-- Healing: what is missing comes back, what was added or changed stays.
ALTER TABLE sales.orders ADD COLUMN channel text DEFAULT 'shop';
CREATE INDEX channel_of_order ON sales.orders (channel);
ALTER TABLE sales.orders DROP COLUMN extra;
COMMENT ON COLUMN sales.orders.amount IS 'gross';
DROP INDEX sales.orders_ordered_at_idx;
DROP TRIGGER orders_delete_lines ON sales.orders;
DROP VIEW sales.latest_fluctuations;
ALTER TABLE sales.fluctuations DROP COLUMN complete;
ALTER TABLE sales.products DROP CONSTRAINT products_pkey;   -- on purpose: stays so
SELECT fluct.create_tables();
SELECT fluct.create_tables();
SELECT channel, extra, col_description('sales.orders'::regclass, 3) FROM sales.orders;
SELECT to_regclass('sales.channel_of_order');
-- a NOT NULL column cannot come back to rows
DROP VIEW sales.unattributed_spend;
ALTER TABLE sales.orders DROP COLUMN customer_id;
SELECT fluct.create_tables();
TRUNCATE sales.orders;
DROP VIEW pg_temp.stray;
ALTER TABLE sales.orders DROP COLUMN order_id;
SELECT fluct.create_tables();
\d sales.orders

-- Partitions: today's and tomorrow's are there, in UTC.
SELECT count(*) = 8 AS raw, min(since) = date_trunc('day', now(), 'UTC') AS today
  FROM fluct._partitions('sales.raw_messages') WHERE NOT is_default AND since >= date_trunc('day', now(), 'UTC');
SELECT count(*) = 3 AS lines, min(since) = date_trunc('month', now(), 'UTC') AS this_month
  FROM fluct._partitions('sales.order_lines') WHERE NOT is_default AND since >= date_trunc('month', now(), 'UTC');
SELECT * FROM fluct.maintain_partitions();
-- rows that went to the default are moved
INSERT INTO sales.raw_messages (stream, topic, partition, "offset", value, ingested_at)
SELECT 's', 't', 0, i, '\x00', date_trunc('day', now(), 'UTC') - interval '3 days' + i * interval '1 hour' FROM generate_series(0, 47) i;
INSERT INTO sales.raw_messages (stream, topic, partition, "offset", value, ingested_at) VALUES ('s', 't', 0, 99, NULL, '1970-01-01');
SELECT regexp_replace(partition, '[0-9]', '9', 'g'), action, rows_moved, detail FROM fluct.maintain_partitions();
SELECT * FROM fluct.maintain_partitions();
SELECT count(*) FROM ONLY sales.raw_messages_default;
-- a default partition that was detached is the user's to attach
ALTER TABLE sales.order_lines DETACH PARTITION sales.order_lines_default;
SELECT fluct.create_tables();
ALTER TABLE sales.order_lines ATTACH PARTITION sales.order_lines_default DEFAULT;
SELECT fluct.create_tables();
-- a user's own partition
CREATE TABLE sales.lines_of_2024 PARTITION OF sales.order_lines FOR VALUES FROM ('2024-01-01 00:00Z') TO ('2025-01-01 00:00Z');
CREATE TABLE sales.lines_mid_2025 PARTITION OF sales.order_lines FOR VALUES FROM ('2025-06-15 00:00Z') TO ('2025-07-01 00:00Z');
CREATE TABLE sales.order_lines_2025_08 ();
SELECT * FROM fluct.ensure_partitions('2024-11-30', '2025-08-02');
SELECT * FROM fluct.ensure_partitions('infinity', NULL);
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_fluct_none LOGIN;
GRANT USAGE ON SCHEMA fluct, sales TO regress_fluct_none;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fluct TO regress_fluct_none;
SET ROLE regress_fluct_none;
SELECT * FROM fluct.ensure_partitions('2023-11-30', '2023-11-30');
SELECT fluct.create_tables();
RESET ROLE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA fluct FROM regress_fluct_none;
-- a superuser makes no tables: the hint can be pasted
SELECT fluct.create_tables();
SELECT count(*) AS grants FROM fluct.grant_operator('regress_fluct_none') g WHERE g ~ 'CREATE';
-- what create_tables() makes later can be read by those who got grant_reader() before
CREATE ROLE regress_fluct_reader;
SELECT count(*) > 0 AS granted FROM fluct.grant_reader('regress_fluct_reader');
REVOKE ALL ON ALL TABLES IN SCHEMA sales FROM regress_fluct_reader;
SET SESSION AUTHORIZATION regress_etl;
DROP VIEW sales.customer_feed;
SELECT fluct.create_tables();
SELECT relname FROM pg_class WHERE relnamespace = 'sales'::regnamespace AND has_table_privilege('regress_fluct_reader', oid, 'SELECT');

-- It changes only what it made, and remembers that.
DROP TABLE sales.products;
CREATE TABLE sales.products (product_id text);
SELECT fluct.create_tables();
DROP TABLE sales.products;
SELECT fluct.create_tables();
ALTER TABLE sales.products RENAME TO goods;
CREATE VIEW sales.products AS TABLE sales.goods;
SELECT fluct.create_tables();
DROP VIEW sales.products;
ALTER TABLE sales.goods RENAME TO products;
SELECT fluct.create_tables();

-- DROP EXTENSION leaves the users' tables, CREATE and create_tables() heal.
INSERT INTO sales.orders (order_id, customer_id, amount, ordered_at) VALUES ('kept', 'c', 1, now());
RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
DROP EXTENSION fluct CASCADE;
SELECT count(*) FROM sales.orders;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'sales.orders'::regclass;
CREATE EXTENSION fluct;
SELECT FROM fluct.grant_operator('regress_etl') \g /dev/null
SET client_min_messages = notice;
SET SESSION AUTHORIZATION regress_etl;
SELECT fluct.create_tables();
SELECT order_id FROM sales.orders;

-- Who may create schemas makes sales; else it is told what is missing.
RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
DROP EXTENSION fluct CASCADE;
DROP SCHEMA sales CASCADE;
CREATE EXTENSION fluct;
SET client_min_messages = notice;
SELECT fluct.create_tables();
SELECT count(*) > 0 AS granted FROM fluct.grant_reader('regress_fluct_reader');
SELECT g AS next_step FROM fluct.grant_operator('regress_fluct_none') WITH ORDINALITY g(g, n) WHERE g ~ 'next step|CREATE' ORDER BY n;
SET ROLE regress_fluct_none;
SELECT fluct.create_tables();
RESET ROLE;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_fluct_none', current_database()) AS grant_create \gset
:grant_create;
SET ROLE regress_fluct_none;
SELECT fluct.create_tables();
SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'sales' AND tablename LIKE 'order%';
SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'sales';
RESET ROLE;
SET ROLE regress_fluct_reader;
SELECT count(*) FROM sales.orders, sales.unattributed_spend;
INSERT INTO sales.industries VALUES ('x');
RESET ROLE;
REVOKE CREATE ON SCHEMA sales FROM regress_fluct_none;
SET ROLE regress_fluct_none;
SELECT * FROM fluct.ensure_partitions('2019-05-05', '2019-05-05');
RESET ROLE;
-- a superuser makes them as the tables' owner
SELECT * FROM fluct.ensure_partitions('2019-05-05', '2019-05-05');
GRANT CREATE ON SCHEMA sales TO regress_fluct_none;
SELECT * FROM fluct.ensure_partitions('2019-05-05', '2019-05-05');
SELECT tableowner FROM pg_tables WHERE tablename = 'order_lines_2019_05';

-- Only an empty schema of the caller's is taken.
SET client_min_messages = warning;
DROP SCHEMA sales CASCADE;
SET client_min_messages = notice;
CREATE SCHEMA sales AUTHORIZATION regress_fluct_none;
SET ROLE regress_fluct_none;
CREATE TYPE sales.color AS ENUM ('red');
SELECT fluct.create_tables();
DROP TYPE sales.color;
CREATE TABLE sales.orders (order_id text PRIMARY KEY, customer_id text, amount numeric, ordered_at timestamptz, extra jsonb);
SELECT fluct.create_tables();
DROP TABLE sales.orders;
RESET ROLE;
ALTER SCHEMA sales OWNER TO regress_fluct_reader;
SET ROLE regress_fluct_none;
SELECT fluct.create_tables();
RESET ROLE;
ALTER SCHEMA sales OWNER TO regress_fluct_none;
SET ROLE regress_fluct_none;
SELECT fluct.create_tables() IS NOT NULL AS made;
RESET ROLE;
SET client_min_messages = warning;
DROP EXTENSION fluct CASCADE;
DROP SCHEMA sales CASCADE;
DROP OWNED BY regress_fluct_none, regress_fluct_reader;
DROP ROLE regress_fluct_none, regress_fluct_reader;
