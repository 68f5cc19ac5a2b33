-- Files that would be stored wrongly, without a word: refused, or stored as meant.
\set SHOW_CONTEXT never
\getenv build PG_ABS_BUILDDIR
\set tmp :build/results/load_guards
\setenv TMP_CSV :tmp
\! rm -rf "$TMP_CSV"; mkdir -p "$TMP_CSV"
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
RESET SESSION AUTHORIZATION;
GRANT pg_read_server_files TO regress_etl;
-- load(kind, name, text, options): puts a file and loads it; ~ is a line end
CREATE FUNCTION pg_temp.put(name text, content text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	path text := current_setting('test.dir') || '/' || name;
	id oid := lo_from_bytea(0, convert_to(replace(content, '~', E'\n'), 'UTF8'));
BEGIN
	PERFORM lo_export(id, path), lo_unlink(id);
	RETURN path;
END
$$;
SELECT set_config('test.dir', :'tmp', false) IS NOT NULL AS ok;
SET SESSION AUTHORIZATION regress_etl;
SELECT set_config('test.dir', :'tmp', false) IS NOT NULL AS ok;
CREATE FUNCTION pg_temp.load(kind text, name text, content text, options text DEFAULT '')
RETURNS TABLE (status text, rows bigint, inserted bigint, updated bigint, unchanged bigint, links_added bigint, links_removed bigint, unknown bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT status, rows, inserted, updated, unchanged, links_added, links_removed, unknown_industries FROM fluct.load_%s(%L%s)',
		kind, pg_temp.put(name, content), options);
END
$$;
\o /dev/null
SELECT fluct.create_tables();
\o
INSERT INTO sales.industries VALUES ('Polymers'), ('Cleaning'), ('Coatings');
\set head 'customer_id,company_name,specialized_industries~'

-- A, B, and A again is a change back; the same again is a duplicate.
\set a :head 's1,Old name,Polymers~s2,Two,Cleaning~'
\set b :head 's1,New name,Cleaning~s2,Two,Cleaning~'
SELECT * FROM pg_temp.load('customers', 'a.csv', :'a');
SELECT * FROM pg_temp.load('customers', 'a.csv', :'a');
SELECT * FROM pg_temp.load('customers', 'b.csv', :'b');
SELECT * FROM pg_temp.load('customers', 'a.csv', :'a');
SELECT * FROM pg_temp.load('customers', 'a.csv', :'a', ', mode => ''snapshot''');
SELECT * FROM sales.customer_feed ORDER BY 1;
SELECT * FROM pg_temp.load('products', 'p.csv', 'product_id,product_name,price~p,P,10~');
SELECT * FROM pg_temp.load('products', 'p.csv', 'product_id,product_name,price~p,P,12~');
SELECT * FROM pg_temp.load('products', 'p.csv', 'product_id,product_name,price~p,P,10~');
SELECT price FROM sales.products;
-- of orders, which are only ever added, any earlier load makes a duplicate
\set o1 '{"order_id": "1", "customer_id": "s1", "amount": 1, "timestamp": "2026-02-28T10:00:00Z", "order_lines": []}~'
\set o2 '{"order_id": "2", "customer_id": "s1", "amount": 1, "timestamp": "2026-02-28T10:00:00Z", "order_lines": []}~'
SELECT status, rows FROM pg_temp.load('orders', 'o.jsonl', :'o1');
SELECT status, rows FROM pg_temp.load('orders', 'o.jsonl', :'o2');
SELECT status, rows FROM pg_temp.load('orders', 'o.jsonl', :'o1');

-- Another separator: customers would lose what they have.

SELECT :'head' || string_agg(format('k%s,Co %s,Polymers;Cleaning~', i, i), '') AS k,
       :'head' || string_agg(format('k%s,Co %s,"Polymers, Cleaning"~', i, i), '') AS commas,
       :'head' || string_agg(format('k%s,Co %s,Polymers|Cleaning~', i, i), '') AS bars,
       :'head' || string_agg(format('k%s,Co %s,Toys~', i, i), '') AS strangers,
       :'head' || string_agg(format('k%s,Co %s,%s~', i, i, CASE WHEN i > 12 THEN 'Polymers;Cleaning' END), '') AS few_left
  FROM generate_series(1, 40) i \gset
SELECT * FROM pg_temp.load('customers', 'k.csv', :'k');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'commas');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'commas', ', unknown_industry => ''add''');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'bars', ', on_bad_row => ''reject_row'', unknown_industry => ''reject''');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'strangers');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'few_left');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'few_left', ', mode => ''snapshot'', max_delete_fraction => 0.2');
BEGIN;
SELECT * FROM pg_temp.load('customers', 'k.csv', :'few_left', ', max_delete_fraction => 0.5');
ROLLBACK;
SELECT count(*) AS links, count(DISTINCT industry) AS industries FROM sales.customer_industries;
-- a few rows with names that nobody knows, among those of a small table
DELETE FROM sales.customers;
SELECT * FROM pg_temp.load('customers', 'k.csv', :'head' || 'k0,Co,Polymers;Cleaning~k1,Co,Polymers;Cleaning~k2,Co,Polymers;Cleaning~');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'head' || 'k0,Co,"Polymers, Cleaning"~k1,Co,"Polymers, Cleaning"~k2,Co,"Polymers, Cleaning"~');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'head' || 'k0,Co,~k1,Co,Polymers~');
-- a new customer's: told, with the nearest name, and the separator that was seen
SELECT * FROM pg_temp.load('customers', 'k.csv', :'head' || 'c22,Acme,"[""Polymers"",""Cleaning""]"~c23,Acme,Coating~');

-- Blanks that nobody sees, lines without anything at the end, numbers between blanks.
SELECT * FROM pg_temp.load('customers', 'k.csv', :'head' || E'c30,Acme,Polymers;\u00a0Cleaning\u00a0~,,~,,~~,,~');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'head' || 'c30,Acme,Polymers~,,~c31,Acme,~');
SELECT * FROM pg_temp.load('products', 'p.csv', E'product_id,product_name,price~p1,A, 12.50 ~p2,B,\u00a03~,,~');
SELECT product_id, price FROM sales.products ORDER BY 1;
SELECT * FROM pg_temp.load('products', 'p.csv', 'product_id,product_name,price~p1,A,1 2~');
SELECT * FROM pg_temp.load('customers', 'k.csv', :'head' || E'c7,\u201cAcme, Inc.\u201d,Polymers~');
SELECT * FROM pg_temp.load('customers', 'k.csv', 'sep=;~customer_id;company_name;specialized_industries~c1;Acme;Polymers~');
-- a byte order mark before the first order, and nowhere else
SELECT status, rows FROM pg_temp.load('orders', 'o.jsonl', E'\uFEFF' || replace(:'o1', '"1"', '"j1"'));
SELECT status, rows FROM pg_temp.load('orders', 'o.jsonl', replace(:'o1', '"1"', '"j2"') || E'\uFEFF' || replace(:'o1', '"1"', '"j3"'));

-- customer_feed goes by position: a header among its rows is refused.
COPY sales.customer_feed FROM STDIN (FORMAT csv);
company_name,customer_id,specialized_industries
Acme,f2,Polymers
\.
COPY sales.customer_feed FROM STDIN (FORMAT csv, HEADER MATCH);
company_name,customer_id,specialized_industries
Acme,f2,Polymers
\.
COPY sales.customer_feed FROM STDIN (FORMAT csv, HEADER MATCH);
customer_id,company_name,specialized_industries
f2,Acme,Polymers
\.
SELECT * FROM sales.customer_feed WHERE customer_id = 'f2' OR company_name = 'f2';
-- what a view does not take is an option of the loader
INSERT INTO sales.customer_feed SELECT 'v' || g, 'Co', 'Polymers,Cleaning' FROM generate_series(1, 10) g;
INSERT INTO sales.customer_feed SELECT 'v' || g, 'Co', 'Nothing' FROM generate_series(1, 10) g;
RESET SESSION AUTHORIZATION;
REVOKE pg_read_server_files FROM regress_etl;
