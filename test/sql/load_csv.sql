-- Industries, products and customers from CSV files of the server.
\set SHOW_CONTEXT never
\getenv build PG_ABS_BUILDDIR
\set tmp :build/results/load_csv
\setenv TMP_CSV :tmp
\! rm -rf "$TMP_CSV"; mkdir -p "$TMP_CSV"
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
RESET SESSION AUTHORIZATION;
GRANT pg_read_server_files TO regress_etl;

-- put(name, text): a file that the server can read; ~ is a line end
CREATE FUNCTION pg_temp.put(name text, content text, dir text DEFAULT current_setting('test.dir')) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	path text := dir || '/' || name;
	id oid := lo_from_bytea(0, convert_to(replace(content, '~', E'\n'), 'UTF8'));
BEGIN
	PERFORM lo_export(id, path), lo_unlink(id);
	RETURN path;
END
$$;
CREATE FUNCTION pg_temp.put_bytes(name text, content bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	path text := current_setting('test.dir') || '/' || name;
	id oid := lo_from_bytea(0, content);
BEGIN
	PERFORM lo_export(id, path), lo_unlink(id);
	RETURN path;
END
$$;
SET SESSION AUTHORIZATION regress_etl;
SELECT set_config('test.dir', :'tmp', false) IS NOT NULL AS ok;

-- before the tables are there
SELECT fluct.load_industries(:'srcdir' || '/data/Industries.csv');
SET client_min_messages = warning;
SELECT fluct.create_tables() IS NOT NULL AS created;
SET client_min_messages = notice;

CREATE VIEW pg_temp.what AS
SELECT (SELECT count(*) FROM sales.industries) AS industries, (SELECT count(*) FROM sales.products) AS products,
       (SELECT count(*) FROM sales.customers) AS customers, (SELECT count(*) FROM sales.customer_industries) AS links;

-- The examples.  Without industries, customers are not loaded.
\set cols 'status, rows, inserted, updated, unchanged, links, rejected, unknown_industries'
SELECT :cols FROM fluct.load_customers(:'srcdir' || '/data/Customers.csv');
SELECT :cols FROM fluct.load_industries(:'srcdir' || '/data/Industries.csv');
SELECT :cols FROM fluct.load_products(:'srcdir' || '/data/Products.csv');
SELECT :cols FROM fluct.load_customers(:'srcdir' || '/data/Customers.csv');
SELECT * FROM what;
-- once
SELECT :cols FROM fluct.load_industries(:'srcdir' || '/data/Industries.csv');
SELECT :cols FROM fluct.load_products(:'srcdir' || '/data/Products.csv');
SELECT :cols FROM fluct.load_customers(:'srcdir' || '/data/Customers.csv');
-- unless forced: and then nothing is touched
CREATE VIEW pg_temp.versions AS
SELECT 'c' AS t, ctid::text AS place, xmin::text AS version, customer_id FROM sales.customers
UNION ALL SELECT 'l', ctid::text, xmin::text, customer_id FROM sales.customer_industries
UNION ALL SELECT 'p', ctid::text, xmin::text, product_id FROM sales.products;
CREATE TEMP TABLE before AS TABLE versions;
SELECT :cols FROM fluct.load_customers(:'srcdir' || '/data/Customers.csv', force => true);
SELECT :cols FROM fluct.load_products(:'srcdir' || '/data/Products.csv', force => true);
SELECT count(*) AS touched FROM (TABLE versions EXCEPT TABLE before) x;
-- equal to what COPY and string functions make of them
CREATE TEMP TABLE c (customer_id text, company_name text, specialized_industries text);
CREATE TEMP TABLE p (product_id text, product_name text, price numeric);
SELECT set_config('test.src', :'srcdir', false) IS NOT NULL AS ok;
DO $$ BEGIN
	EXECUTE format('COPY c FROM %L (FORMAT csv, HEADER)', current_setting('test.src') || '/data/Customers.csv');
	EXECUTE format('COPY p FROM %L (FORMAT csv, HEADER)', current_setting('test.src') || '/data/Products.csv');
END $$;
SELECT count(*) FROM ((TABLE p EXCEPT TABLE sales.products) UNION ALL (TABLE sales.products EXCEPT TABLE p)) x;
SELECT count(*) FROM ((SELECT customer_id, company_name FROM c EXCEPT TABLE sales.customers) UNION ALL (TABLE sales.customers EXCEPT SELECT customer_id, company_name FROM c)) x;
WITH l AS (SELECT customer_id, trim(i) FROM c, string_to_table(specialized_industries, ';') i WHERE trim(i) IN (TABLE sales.industries))
SELECT count(*) FROM ((TABLE l EXCEPT TABLE sales.customer_industries) UNION ALL (TABLE sales.customer_industries EXCEPT TABLE l)) x;

-- Rules of customers: split, trimmed, each once; the last row wins; another
-- order of columns, one that is ignored, quotes, CRLF, a byte order mark.
DELETE FROM sales.customers;
SELECT pg_temp.put('rules.csv', E'\uFEFFspecialized_industries,"since",customer_id,company_name\r~'
	' Cleaning ; Polymers;Cleaning;;,x,c1,"One, Inc."~,,c2,~Polymers,"a~b",c3,Three~"Cleaning;~Coatings",,c1,"One ""again"""\r~\\.,,c4,\\.~~') AS rules \gset
SELECT :cols FROM fluct.load_customers(:'rules');
SELECT c.*, array_agg(industry ORDER BY industry) FROM sales.customers c LEFT JOIN sales.customer_industries USING (customer_id) GROUP BY 1, 2 ORDER BY 1;
-- a change of the name, of the industries, of nothing; a new one
SELECT pg_temp.put('rules.csv', 'customer_id,company_name,specialized_industries~c1,One,Coatings;Cleaning~c2,,Polymers~c3,Three,Polymers~c5,Five,~') AS rules \gset
SELECT :cols FROM fluct.load_customers(:'rules');
SELECT c.*, array_agg(industry ORDER BY industry) FROM sales.customers c LEFT JOIN sales.customer_industries USING (customer_id) GROUP BY 1, 2 ORDER BY 1;

-- Unknown industries
SELECT pg_temp.put('unknown.csv', 'customer_id,company_name,specialized_industries~c1,One,Coatings;cleaning~c6,Six,Toys;Cleaning;cleaning;A;B;C;D~') AS unknown \gset
SELECT :cols FROM fluct.load_customers(:'unknown');
-- with something left to report, it is no duplicate
SELECT :cols FROM fluct.load_customers(:'unknown');
SELECT :cols FROM fluct.load_customers(:'unknown', unknown_industry => 'reject');
SELECT :cols FROM fluct.load_customers(:'unknown', unknown_industry => 'reject', on_bad_row => 'reject_row');
SELECT :cols FROM fluct.load_customers(:'unknown', unknown_industry => 'add');
SELECT * FROM what;

-- Snapshots
SELECT pg_temp.put('snapshot.csv', 'customer_id,company_name,specialized_industries~c1,One,Coatings~c3,Three,Polymers~c7,Seven,~') AS snapshot \gset
SELECT :cols FROM fluct.load_customers(:'snapshot', mode => 'snapshot');
SELECT :cols FROM fluct.load_customers(:'snapshot', mode => 'snapshot', max_delete_fraction => 0.7);
SELECT c.*, array_agg(industry ORDER BY industry) FROM sales.customers c LEFT JOIN sales.customer_industries USING (customer_id) GROUP BY 1, 2 ORDER BY 1;
SELECT pg_temp.put('header.csv', 'customer_id,company_name,specialized_industries~') AS header \gset
SELECT :cols FROM fluct.load_customers(:'header', mode => 'snapshot', max_delete_fraction => 1);
SELECT :cols FROM fluct.load_customers(:'header');

-- Bad files: the reason, the line, and nothing loaded
CREATE FUNCTION pg_temp.refused(content text, loader text DEFAULT 'customers', header text DEFAULT 'customer_id,company_name,specialized_industries~') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE format('SELECT fluct.load_%s(%L)', loader, pg_temp.put('x.csv', header || content));
	RETURN 'loaded';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END
$$;
SELECT n, pg_temp.refused(content) FROM (VALUES
	(1, 'd1,a,~d2,b~'), (2, 'd1,a,~d2,b,c,d~'), (3, 'd1,a,~~d2,b,~'), (4, 'd1,a"b,~'), (5, 'd1,"a"b,~'), (6, 'd1,"a~b",~,x,~'),
	(7, 'd1,"a~b",~d2,"open,~d3,x,~'), (8, E'd1,a\r,~'), (9, '  ,a,~'), (10, repeat('x', 1301) || ',a,~'), (11, '"",a,~'),
	(12, 'd1,a,~d2,b,~,c,~d3,"never closed~')) v(n, content) ORDER BY n;
SELECT n, pg_temp.refused('', header => header) FROM (VALUES
	(1, ''), (2, E'\uFEFF'), (3, '~~'), (4, 'customer_id;company_name;specialized_industries~1;a;b~'), (5, 'customer_id,Company_name,specialized_industries~'),
	(6, 'customer_id,company_name,specialized_industries,customer_id~'), (7, '<html><body>~'), (8, 'c1,One,Coatings~')) v(n, header) ORDER BY n;
SELECT n, pg_temp.refused(content, 'products', 'product_id,product_name,price~') FROM (VALUES
	(1, 'p1,a,1.5~p2,b,x~'), (2, 'p1,a,NaN~'), (3, 'p1,a,"1,5"~'), (4, 'p1,a,infinity~'), (5, 'p1,a,1 1~'), (6, ',a,1~'), (7, 'p1,a,1e999~')) v(n, content) ORDER BY n;
SELECT pg_temp.refused('~x~', 'industries', 'industry~');
SELECT fluct.load_industries(pg_temp.put_bytes('latin.csv', '\x696e6475737472790a436166e90a'));
SELECT fluct.load_industries(pg_temp.put_bytes('nul.csv', '\x696e6475737472790a4100420a'));
SELECT fluct.load_industries(pg_temp.put_bytes('utf16.csv', '\xfffe69006e0064000a00'));
SELECT fluct.load_industries(pg_temp.put_bytes('gzip.csv', '\x1f8b0800000000000003'));
SELECT * FROM what;

-- The good rows of a bad file
SELECT pg_temp.put('bad.csv', 'product_id,product_name,price~p1,a,1.50~p2,b~,c,1~p4,"x"y,1~p5,e,-2e1~p6,f,x~p1,again,~') AS bad \gset
SELECT :cols FROM fluct.load_products(:'bad', on_bad_row => 'reject_row');
SELECT * FROM sales.products WHERE product_id LIKE 'p_' ORDER BY 1;
SELECT r.line, r.reason, r.detail, r.fields FROM fluct.file_rejects r JOIN fluct.files f ON f.id = r.file_id WHERE f.file LIKE '%bad.csv' ORDER BY line;
SELECT :cols FROM fluct.load_products(:'bad', on_bad_row => 'reject_row', max_rejects => 3);

-- A last line without its end is read, but told
SELECT :cols FROM fluct.load_industries(pg_temp.put('cut.csv', 'industry~Toys & Ga'));

-- What is no file
SELECT fluct.load_industries(:'tmp' || '/nowhere.csv');
SELECT fluct.load_industries('nowhere.csv');
SELECT fluct.load_industries(:'tmp');
SELECT fluct.load_industries('/dev/null');
\! ln -s nowhere "$TMP_CSV/link.csv"; mkfifo "$TMP_CSV/fifo.csv"
SELECT fluct.load_industries(:'tmp' || '/link.csv');
SELECT fluct.load_industries(:'tmp' || '/fifo.csv');
SELECT fluct.load_industries(NULL);
SELECT fluct.load_customers(:'header', mode => 'replace');
SELECT fluct.load_customers(:'header', mode => 'snapshot', on_bad_row => 'reject_row');
SELECT fluct.load_customers(:'header', max_delete_fraction => 2);
SELECT fluct.load_customers(:'header', on_bad_row => NULL);

-- Content that is not what was identified
SELECT line, reason, detail, fatal FROM fluct._read_csv(convert_to(:'header', 'UTF8'), '\x00', '{customer_id}', false, ',', 'UTF8', 0, '{}', false);
SELECT line, fields, reason, detail FROM fluct._read_csv(convert_to(:'tmp' || '/cut.csv', 'UTF8'), NULL, '{industry}', true, ',', 'UTF8', 0, '{}', false);

-- Rights: of PUBLIC none; of an operator to load files of the inbox's folder
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_fluct_loader LOGIN;
GRANT USAGE ON SCHEMA fluct TO regress_fluct_loader;
SET ROLE regress_fluct_loader;
SELECT fluct.load_industries(:'header');
RESET ROLE;
SELECT count(*) > 0 AS granted FROM fluct.grant_operator('regress_fluct_loader');
SET SESSION AUTHORIZATION regress_fluct_loader;
SELECT fluct.load_industries(:'header');
RESET SESSION AUTHORIZATION;
GRANT SELECT, INSERT ON sales.industries TO regress_fluct_loader;
SET SESSION AUTHORIZATION regress_fluct_loader;
SELECT fluct.load_industries(:'header');
SELECT fluct.load_industries('header.csv');
RESET SESSION AUTHORIZATION;
\! mkdir -p "$TMP_CSV/inbox/sub"; printf 'industry\nRooted\n' > "$TMP_CSV/inbox/sub/good.csv"; cp "$TMP_CSV/inbox/sub/good.csv" "$TMP_CSV/inbox/twice.csv"
\! cd "$TMP_CSV/inbox"; ln twice.csv again.csv; ln -s sub linked; ln -s sub/good.csv link.csv; mkdir -p ../outside; cp sub/good.csv ../outside
SELECT format('ALTER SYSTEM SET fluct.inbox_root = %L', :'tmp' || '/inbox/') AS set_root \gset
:set_root;
CREATE FUNCTION pg_temp.reload(wanted text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_reload_conf();
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN current_setting('fluct.inbox_root') = wanted;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
SELECT pg_temp.reload(:'tmp' || '/inbox/');
SET SESSION AUTHORIZATION regress_fluct_loader;
SELECT :cols FROM fluct.load_industries(:'tmp' || '/inbox/sub/good.csv');
SELECT :cols FROM fluct.load_industries('sub//./good.csv');
-- (the hint names the root, which is another one in each run)
DO $$
DECLARE
	path text;
	detail text;
	hint text;
BEGIN
	FOREACH path IN ARRAY ARRAY[current_setting('test.dir') || '/outside/good.csv', '../outside/good.csv', 'linked/good.csv', 'link.csv', 'sub/good.csv/x'] LOOP
		BEGIN
			PERFORM fluct.load_industries(path);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RAISE NOTICE E'%\n%\n%', SQLERRM, detail, replace(hint, current_setting('test.dir'), '.');
		END;
	END LOOP;
END $$;
SELECT fluct.load_industries('twice.csv');
SELECT fluct.load_industries('sub');
SELECT fluct.load_industries('');
SELECT fluct.load_industries('nowhere.csv');
-- the users' tables are changed with the caller's rights
SELECT fluct.load_products('sub/good.csv');
SELECT count(*) FROM fluct.files WHERE loaded_by = 'regress_fluct_loader';
INSERT INTO fluct.files (kind, file, status, loaded_by) VALUES ('orders', 'x', 'loaded', 'x');
SET SESSION AUTHORIZATION regress_etl;
SELECT :cols FROM fluct.load_industries('twice.csv', force => true);
RESET SESSION AUTHORIZATION;
-- not by a superuser, nor by its session in another role
SELECT fluct.load_industries('twice.csv', force => true);
SET ROLE regress_etl;
SELECT fluct.load_industries('twice.csv', force => true);
INSERT INTO sales.customer_feed VALUES ('x', 'X', '');
RESET ROLE;
ALTER SYSTEM RESET fluct.inbox_root;
SELECT pg_temp.reload('');
REVOKE pg_read_server_files FROM regress_etl;
DROP OWNED BY regress_fluct_loader;
DROP ROLE regress_fluct_loader;

-- whose fault an error is: the same for an inbox's file as for a stream's message
SELECT state, fluct._is_of_data(state) AS of_data, (fluct._error_reason(state, 'x')).reason
  FROM unnest('{08006,0A000,21000,22003,2200H,23514,25001,40001,42P01,44000,53100,54000,55P03,57014,58030,HV000,P0001,XX000}'::text[]) state;
SELECT fluct._is_of_data('23');

-- What was recorded
SELECT kind, regexp_replace(file, '.*/', '') AS file, bytes, options, status, rows, inserted, updated, unchanged, removed, duplicates,
       links, links_added, links_removed, rejected, unknown_industries
  FROM fluct.files ORDER BY id;
-- nothing temporary is left, everything has a comment, nothing is PUBLIC's
SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname LIKE '\_fluct%';
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'fluct'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT a.attrelid::regclass, a.attname FROM pg_attribute a WHERE a.attrelid IN ('fluct.files'::regclass, 'fluct.file_rejects'::regclass)
   AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL;
\! rm -rf "$TMP_CSV"
SET client_min_messages = warning;
DROP SCHEMA sales CASCADE;
