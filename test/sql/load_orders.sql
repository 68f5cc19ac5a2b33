-- load_orders: lines of JSON, as strict as a message, all or none of a file.
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
SELECT fluct.create_tables() IS NOT NULL AS made;
RESET SESSION AUTHORIZATION;
GRANT pg_read_server_files, pg_write_server_files, pg_read_all_settings TO regress_etl;
SET SESSION AUTHORIZATION regress_etl;
TRUNCATE sales.orders, sales.order_lines;
\set orders :srcdir '/data/orders.jsonl'
SELECT status, rows, inserted, updated, unchanged, links, rejected, unknown_industries FROM fluct.load_orders(:'orders');
SELECT count(*), sum(amount) FROM sales.orders;
SELECT count(*), count(DISTINCT order_id), sum(volume * price) FROM sales.order_lines;
-- its months have partitions of their own
SELECT tableoid::regclass, count(*) FROM sales.order_lines GROUP BY 1 ORDER BY 1;
SELECT status, rows, inserted, unchanged FROM fluct.load_orders(:'orders');
SELECT status, rows, inserted, unchanged FROM fluct.load_orders(:'orders', force => true);
SELECT count(*) FROM sales.orders;

-- one bad line refuses the file, by number and reason
SELECT pg_catalog.current_setting('data_directory') || '/fluct_test_orders.jsonl' AS file \gset
CREATE FUNCTION pg_temp.try(VARIADIC lines text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    r record;
BEGIN
    EXECUTE format('COPY (SELECT unnest(%L::text[])) TO %L',
                   lines, current_setting('data_directory') || '/fluct_test_orders.jsonl');
    SELECT * INTO r FROM fluct.load_orders(current_setting('data_directory') || '/fluct_test_orders.jsonl', force => true);
    RETURN format('%s, %s rows, %s inserted', r.status, r.rows, r.inserted);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN format('%s %s (%s)', sqlstate, sqlerrm, detail);
END
$$;
CREATE FUNCTION pg_temp.line(order_id text, amount text DEFAULT '1', line text DEFAULT '{"product_id":"p","volume":1,"price":1}', at text DEFAULT '2026-02-01T00:00:00')
RETURNS text LANGUAGE sql AS $$ SELECT format('{"order_id":"%s","customer_id":"c","order_lines":[%s],"amount":%s,"timestamp":"%s"}', order_id, line, amount, at) $$;
SELECT pg_temp.try(pg_temp.line('a'), pg_temp.line('b'));
SELECT pg_temp.try(pg_temp.line('c'), pg_temp.line('d', amount => '"1"'));
SELECT pg_temp.try(pg_temp.line('c'), pg_temp.line('d'), pg_temp.line('e', line => '{"product_id":"p","volume":1.5,"price":1}'));
SELECT pg_temp.try(pg_temp.line('c'), pg_temp.line('d', at => 'now'));
SELECT pg_temp.try(pg_temp.line('c'), '', pg_temp.line('d'));
SELECT pg_temp.try(pg_temp.line('c'), '{"order_id":');
-- (the size is that of the compressed text, which 19 compresses otherwise)
SELECT regexp_replace(pg_temp.try(pg_temp.line(repeat(md5('x'), 1)), pg_temp.line((SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n))), 'requires 12[0-9]{3} bytes', 'requires 12... bytes') AS try;
SELECT pg_temp.try(pg_temp.line('c'), '', '');
SELECT pg_temp.try('');
SELECT count(*) FROM sales.orders WHERE order_id IN ('a', 'b', 'c', 'd', 'e');
SELECT fluct.load_orders('/nowhere/orders.jsonl');
RESET SESSION AUTHORIZATION;
REVOKE pg_read_server_files, pg_write_server_files, pg_read_all_settings FROM regress_etl;
