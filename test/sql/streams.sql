-- Streams declared, changed and refused; nothing here needs a broker.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS fluct CASCADE;
CREATE EXTENSION fluct;
SET client_min_messages = notice;
SELECT fluct.create_tables() IS NOT NULL AS made;
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');

-- what can't be
SELECT fluct.create_stream('orders', server => 'market', topic => 'orders');
SELECT fluct.create_stream('my orders', server => 'shop', topic => 'orders');
SELECT fluct.create_stream('orders', server => 'shop', topic => NULL);
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', on_conflict => 'ignore');
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', start_at => 'yesterday noon');
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', batch_size => 0);
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', partitions => '{}');

-- mappings are checked against the tables
CREATE TABLE events (id uuid PRIMARY KEY, at timestamptz NOT NULL, n int, extra jsonb, made timestamptz DEFAULT now());
CREATE FUNCTION pg_temp.mapped(mapping jsonb, target regclass DEFAULT 'events') RETURNS text LANGUAGE sql
AS $$ SELECT fluct.create_stream('events', 'shop', 'events', target, mapping) $$;
SELECT pg_temp.mapped('[]');
SELECT pg_temp.mapped('{}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "$.at"}, "colums": {}}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id"}}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "$.at", "m": "$.m"}}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "at"}}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "@.at"}}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": {"path": "$.at", "format": "text"}}}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "$.at", "n": {"path": "$.n", "default": "none"}}}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "$.at"}, "extra": "n"}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "$.at"}, "children": [{"target": "events", "rows": "$.lines", "columns": {"id": "@"}}]}');
SELECT pg_temp.mapped('{"columns": {"id": "$.id", "at": "$.at"}, "children": [{"target": "nowhere", "rows": "$.lines[*]", "columns": {"id": "@"}}]}');
CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
SELECT pg_temp.mapped('{"columns": {"id": "$.id"}}', 'late');
CREATE SEQUENCE numbers;
SELECT pg_temp.mapped('{"columns": {"id": "$.id"}}', 'numbers');

-- a table without a mapping takes each column from the field of its name
SELECT fluct.create_stream('events', 'shop', 'events', 'events');
SELECT jsonb_pretty(mapping) FROM fluct.streams WHERE name = 'events';

-- the orders' mapping is the default of mapping
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', start_at => '2026-03-05 12:00+01');
SELECT target, mapping = fluct._orders_mapping() AS the_default, on_conflict, start_at, batch_size, batch_bytes, batch_interval, workers, keep_raw FROM fluct.streams WHERE name = 'orders';
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders');
SELECT stream, state, reason, messages FROM fluct.stat_streams;

-- changes; what is not given stays
SELECT fluct.alter_stream('orders', batch_size => 500, on_bad_message => 'fail');
SELECT batch_size, on_bad_message, on_data_loss, version FROM fluct.streams WHERE name = 'orders';
SELECT fluct.alter_stream('orders', workers => 65);
SELECT fluct.alter_stream('order', workers => 2);
SELECT fluct.map_column('orders', 'channel', '$.channel');
ALTER TABLE fluct.orders ADD COLUMN channel text;
SELECT fluct.map_column('orders', 'channel', '$.channel', required => true);
ALTER TABLE fluct.order_lines ADD COLUMN discount numeric;
SELECT fluct.map_column('orders', 'discount', '@.discount', target => 'fluct.order_lines');
SELECT mapping #> '{columns,channel}' AS channel, mapping #> '{children,0,columns,discount}' AS discount FROM fluct.streams WHERE name = 'orders';
SELECT fluct.map_column('orders', 'discount', '@.discount', target => 'fluct.customers');
SELECT fluct.unmap_column('orders', 'channel');
SELECT fluct.unmap_column('orders', 'channel');
SELECT fluct.unmap_column('orders', 'discount', 'fluct.order_lines');
ALTER TABLE fluct.orders DROP COLUMN channel;
ALTER TABLE fluct.order_lines DROP COLUMN discount;

-- only the owner, its members and superusers
CREATE ROLE fluct_test_etl;
CREATE ROLE fluct_test_other;
SELECT count(*) > 0 AS granted FROM fluct.grant_operator('fluct_test_etl');
SELECT count(*) > 0 AS granted FROM fluct.grant_operator('fluct_test_other');
SET ROLE fluct_test_etl;
SELECT fluct.create_stream('etl', server => 'shop', topic => 'orders');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER shop TO fluct_test_etl;
SET ROLE fluct_test_etl;
SELECT fluct.create_stream('etl', server => 'shop', topic => 'orders');
RESET ROLE;
GRANT INSERT, SELECT ON fluct.orders, fluct.order_lines, fluct.raw_messages TO fluct_test_etl;
SET ROLE fluct_test_etl;
SELECT fluct.create_stream('etl', server => 'shop', topic => 'orders');
SELECT fluct.alter_stream('orders', workers => 2);
SET ROLE fluct_test_other;
SELECT fluct.pause_stream('etl');
SELECT fluct.drop_stream('etl');
UPDATE fluct.streams SET enabled = true;
SELECT fluct._pause_stream('etl', NULL);
RESET ROLE;
CREATE TABLE theirs (order_id text PRIMARY KEY);
ALTER TABLE theirs OWNER TO fluct_test_etl;
SELECT fluct.create_stream('theirs', 'shop', 'orders', 'theirs');

-- it starts; that there is no broker, it says later
SELECT fluct.start_stream('orders');
SELECT fluct.wait_for_stream('orders', '0.1 s');
SELECT fluct.pause_stream('orders', 'holidays');
SELECT stream, state, reason FROM fluct.stat_streams ORDER BY 1;

SELECT fluct.drop_stream(name) FROM fluct.streams;
SELECT count(*) FROM fluct.streams;
DROP SERVER shop;
DROP FUNCTION pg_temp.mapped;
DROP TABLE events, late, theirs;
DROP SEQUENCE numbers;
DROP OWNED BY fluct_test_etl, fluct_test_other;
DROP ROLE fluct_test_etl, fluct_test_other;
