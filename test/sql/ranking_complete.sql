-- Whether a ranking is complete: what feeds the orders, how far back they go.
\set SHOW_CONTEXT never
\getenv build PG_ABS_BUILDDIR
\set file :build/results/complete.jsonl
\setenv COMPLETE_FILE :file
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT fluct.mark_complete(now());
\o /dev/null
SELECT fluct.create_tables();
\o
INSERT INTO sales.industries VALUES ('Food');
INSERT INTO sales.customers VALUES ('c', 'C');
INSERT INTO sales.customer_industries VALUES ('c', 'Food');
INSERT INTO sales.orders SELECT 'o' || d, 'c', 10, d FROM generate_series('2026-01-01 00:00Z'::timestamptz, '2026-03-01 00:00Z', interval '1 day') d;
CREATE FUNCTION pg_temp.told(as_of timestamptz) RETURNS TABLE (complete boolean, delta_pct numeric) LANGUAGE sql AS $$
	SELECT complete, round(delta_pct) FROM fluct.top_fluctuations(as_of) $$;

-- Nothing feeds the table: in each place where a ranking is shown.
SELECT * FROM pg_temp.told('2026-02-15 00:00Z');
SELECT industry, complete FROM fluct.podium('2026-01-31', average => 'active', time_zone => 'UTC');
INSERT INTO sales.orders VALUES ('high', 'c', 1000, '2026-02-14 12:00Z');
SELECT industry, complete FROM fluct.record_fluctuations(as_of => '2026-02-15 00:00Z');
SELECT as_of, complete, incomplete_reason FROM sales.latest_fluctuations;
SELECT count(*) FROM fluct.explain_fluctuation('Food', '2026-02-15 00:00Z');

-- Its owner says up to when other programs have written it.
SELECT fluct.mark_complete(NULL);
SELECT fluct.mark_complete('2026-02-14 12:00Z');
SELECT * FROM pg_temp.told('2026-02-15 00:00Z');
SELECT * FROM pg_temp.told('2026-02-14 12:00Z');
SELECT fluct.mark_complete('2026-02-15 00:00Z');
SELECT * FROM pg_temp.told('2026-02-15 00:00:30Z');
SELECT * FROM pg_temp.told('2026-02-15 00:01:01Z');
SELECT industry, complete FROM fluct.record_fluctuations(as_of => '2026-02-15 00:00Z');
SELECT as_of, complete, incomplete_reason FROM sales.latest_fluctuations;
SELECT relation, until, marked_by FROM fluct.complete_marks;
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_clerk;
SELECT FROM fluct.grant_operator('regress_clerk') \g /dev/null
SET SESSION AUTHORIZATION regress_clerk;
SELECT fluct.mark_complete(now());
SELECT rank, complete FROM fluct.top_fluctuations('2026-02-15 00:00Z');
-- an error is told without the functions that it came through
\set SHOW_CONTEXT errors
SELECT * FROM fluct.podium(top_n => 0);
SET SESSION AUTHORIZATION regress_etl;
REVOKE SELECT ON sales.orders FROM regress_clerk;
SET SESSION AUTHORIZATION regress_clerk;
SELECT * FROM fluct.podium();
SELECT * FROM fluct.top_fluctuations();
SELECT * FROM fluct.explain_fluctuation('Food', '2026-02-14 00:00Z');
\set SHOW_CONTEXT never
SET SESSION AUTHORIZATION regress_etl;
SELECT fluct.mark_complete('-infinity');

-- A young history: an average over days that nobody recorded is none.
SELECT fluct.mark_complete('infinity');
SELECT rank, complete FROM fluct.top_fluctuations('2026-02-01 00:00Z');
-- the first window may be cut
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-31 00:00Z');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-30 23:59Z');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-06 00:00Z');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-06 00:00Z', baseline => '4 days');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-06 00:00Z', average => 'active');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-06 00:00Z', average => 'active', measure => 'zscore');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-06 00:00Z', recent => '6 hours', baseline => '10 days');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-06 12:00Z', time_zone => 'Asia/Tokyo');
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-01 12:00Z');
SELECT rank, complete FROM fluct.record_fluctuations('young', '2026-01-06 00:00Z');
SELECT complete, incomplete_reason FROM sales.fluctuations WHERE report = 'young';
-- without any order it is not young
BEGIN;
TRUNCATE sales.orders;
SELECT rank, complete FROM fluct.top_fluctuations('2026-01-06 00:00Z');
ROLLBACK;
SELECT fluct.mark_complete('-infinity');

-- A load feeds the windows that began before it ended; a duplicate loads nothing.
\! echo '{"order_id": "j1", "customer_id": "c", "amount": 1, "timestamp": "2026-02-28T10:00:00Z", "order_lines": []}' > "$COMPLETE_FILE"
RESET SESSION AUTHORIZATION;
GRANT pg_read_server_files TO regress_etl;
SET SESSION AUTHORIZATION regress_etl;
SELECT status, inserted FROM fluct.load_orders(:'file');
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');
RESET SESSION AUTHORIZATION;
UPDATE fluct.files SET loaded_at = '2026-02-20 00:00Z', seconds = 3600;
SET SESSION AUTHORIZATION regress_etl;
SELECT rank, complete FROM fluct.top_fluctuations('2026-02-21 01:00Z');
SELECT rank, complete FROM fluct.top_fluctuations('2026-02-21 01:00:01Z');
SELECT status FROM fluct.load_orders(:'file');
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');

-- A subscription, while it is enabled.
RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
CREATE SUBSCRIPTION regress_orders CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false);
INSERT INTO pg_subscription_rel SELECT s.oid, 'sales.orders'::regclass, 'r', '0/1' FROM pg_subscription s WHERE subname = 'regress_orders';
RESET client_min_messages;
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');
UPDATE pg_subscription SET subenabled = true WHERE subname = 'regress_orders';
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');
UPDATE pg_subscription SET subenabled = false WHERE subname = 'regress_orders';
ALTER SUBSCRIPTION regress_orders SET (slot_name = NONE);
DROP SUBSCRIPTION regress_orders;

-- Streams: one that was never started feeds nothing, one that was and has
-- stored nothing says so, one that ran feeds up to its data_until, also dropped.
CREATE SERVER regress_shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
GRANT USAGE ON FOREIGN SERVER regress_shop TO regress_etl;
SET SESSION AUTHORIZATION regress_etl;
SELECT fluct.create_stream('s', server => 'regress_shop', topic => 't') \g /dev/null
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');
RESET SESSION AUTHORIZATION;
UPDATE fluct.streams SET starts = 1;
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');
INSERT INTO fluct.stream_offsets (stream, topic, partition, next_offset, log_end_offset, last_message_time, last_commit)
VALUES ('s', 't', 0, 5, 9, '2026-02-27 12:00Z', '2026-02-27 12:00Z');
SELECT data_until FROM fluct.freshness;
SELECT rank, complete FROM fluct.top_fluctuations('2026-02-27 12:00Z');
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');
SET SESSION AUTHORIZATION regress_etl;
SELECT fluct.drop_stream('s');
SELECT rank, complete FROM fluct.top_fluctuations('2026-02-27 12:00Z');
SELECT rank, complete FROM fluct.top_fluctuations('2026-03-01 00:00Z');

-- a stream into a schema that the reader cannot use is none of the orders'
RESET SESSION AUTHORIZATION;
CREATE SCHEMA regress_closed AUTHORIZATION regress_etl;
SET SESSION AUTHORIZATION regress_etl;
GRANT SELECT ON sales.orders TO regress_clerk;
CREATE TABLE regress_closed.t (id text PRIMARY KEY);
SELECT fluct.create_stream('closed', 'regress_shop', 't', target => 'regress_closed.t', keep_raw => false);
SET SESSION AUTHORIZATION regress_clerk;
SELECT rank, complete FROM fluct.top_fluctuations('2026-02-27 12:00Z');
SELECT stream, state FROM fluct.cluster_streams;
SET SESSION AUTHORIZATION regress_etl;
SELECT fluct.drop_stream('closed');

RESET SESSION AUTHORIZATION;
DROP SCHEMA regress_closed CASCADE;
DROP SERVER regress_shop;
DROP OWNED BY regress_clerk;
DROP ROLE regress_clerk;
REVOKE pg_read_server_files FROM regress_etl;
