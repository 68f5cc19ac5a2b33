-- Streams declared, changed and refused; nothing here needs a broker.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SELECT fluct.create_tables() IS NOT NULL AS made;
RESET SESSION AUTHORIZATION;
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
GRANT USAGE ON FOREIGN SERVER shop TO regress_etl;
-- nothing that runs by itself belongs to a superuser
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders');
SELECT fluct.create_inbox('files', 'customers', '/nowhere');
SELECT fluct.schedule_inbox('files', '0 * * * *');
SELECT fluct.schedule_fluctuations('hourly', '0 * * * *');
SET SESSION AUTHORIZATION regress_etl;

-- what can't be
SELECT fluct.create_stream('orders', server => 'market', topic => 'orders');
SELECT fluct.create_stream('my orders', server => 'shop', topic => 'orders');
SELECT fluct.create_stream('orders', server => 'shop', topic => NULL);
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', on_conflict => 'ignore');
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', start_at => 'yesterday noon');
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', start_at => 'earlist');
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', batch_size => 0);
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders', partitions => '{0,-1}');

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

-- and so with a mapping that has other words only
BEGIN;
SELECT fluct.drop_stream('events');
SELECT pg_temp.mapped('{"where": {"$.kind": "a"}}');
SELECT fluct.drop_stream('events', forget => true);
SELECT pg_temp.mapped('{"rows": "$[*]"}');
SELECT fluct.drop_stream('events', forget => true);
SELECT pg_temp.mapped('{"where": {"$.kind": "a"}}', 'sales.orders');
SELECT mapping - 'where' = fluct._orders_mapping() AS those_of_orders FROM fluct.streams WHERE name = 'events';
ROLLBACK;

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
ALTER TABLE sales.orders ADD COLUMN channel text;
SELECT fluct.map_column('orders', 'channel', '$.channel', required => true);
ALTER TABLE sales.order_lines ADD COLUMN discount numeric;
SELECT fluct.map_column('orders', 'discount', '@.discount', target => 'sales.order_lines');
SELECT mapping #> '{columns,channel}' AS channel, mapping #> '{children,0,columns,discount}' AS discount FROM fluct.streams WHERE name = 'orders';
SELECT fluct.map_column('orders', 'discount', '@.discount', target => 'sales.customers');
SELECT fluct.unmap_column('orders', 'channel');
SELECT fluct.unmap_column('orders', 'channel');
SELECT fluct.unmap_column('orders', 'discount', 'sales.order_lines');
ALTER TABLE sales.orders DROP COLUMN channel;
ALTER TABLE sales.order_lines DROP COLUMN discount;
-- the column that "extra" names, too
BEGIN;
ALTER TABLE sales.orders DROP COLUMN extra;
SELECT fluct.unmap_column('orders', 'extra');
SELECT mapping ? 'extra' AS extra, mapping -> 'columns' ? 'amount' AS amount FROM fluct.streams WHERE name = 'orders';
ROLLBACK;

-- only the owner, its members and superusers
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_fluct_etl LOGIN;
CREATE ROLE regress_fluct_other LOGIN;
SELECT count(*) > 0 AS granted FROM fluct.grant_operator('regress_fluct_etl');
SELECT count(*) > 0 AS granted FROM fluct.grant_operator('regress_fluct_other');
SET ROLE regress_fluct_etl;
SELECT fluct.create_stream('etl', server => 'shop', topic => 'orders');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER shop TO regress_fluct_etl;
SET ROLE regress_fluct_etl;
SELECT fluct.create_stream('etl', server => 'shop', topic => 'orders');
RESET ROLE;
GRANT INSERT ON sales.orders, sales.order_lines, sales.raw_messages TO regress_fluct_etl;
SET ROLE regress_fluct_etl;
SELECT fluct.create_stream('etl', server => 'shop', topic => 'orders');
SELECT fluct.alter_stream('orders', workers => 2);
SET ROLE regress_fluct_other;
SELECT fluct.pause_stream('etl');
SELECT fluct.drop_stream('etl');
UPDATE fluct.streams SET enabled = true;
SELECT fluct._pause_stream('etl', NULL);
RESET ROLE;
CREATE TABLE theirs (order_id text PRIMARY KEY);
ALTER TABLE theirs OWNER TO regress_fluct_etl;
SET SESSION AUTHORIZATION regress_etl;
SELECT fluct.create_stream('theirs', 'shop', 'orders', 'theirs');

-- it starts; that there is no broker, it says later
SELECT fluct.start_stream('orders');
SELECT fluct.wait_for_stream('orders', '0.1 s');
SELECT fluct.pause_stream('orders', 'holidays');
SELECT stream, state, reason FROM fluct.stat_streams ORDER BY 1;

RESET SESSION AUTHORIZATION;
SELECT fluct.drop_stream(name) FROM fluct.streams;
SELECT count(*) FROM fluct.streams;
DROP SERVER shop;
DROP FUNCTION pg_temp.mapped;
DROP TABLE events, late, theirs;
DROP SEQUENCE numbers;
DROP OWNED BY regress_fluct_etl, regress_fluct_other;
DROP ROLE regress_fluct_etl, regress_fluct_other;
