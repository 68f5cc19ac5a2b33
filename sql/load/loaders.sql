-- loaders.sql: what a file becomes: industries, products, orders; customers.sql
-- has customers.
--
-- Each _store_ function works with the rights of the caller; see files.sql for
-- what is before and behind it.  What differs from the tables is found first,
-- and only then written, one statement a table and kind of change: nothing
-- else is touched, and no statement runs that would change nothing.

-- ---------------------------------------------------------------------------
-- Industries and products
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._store_industries(load fluct.files, path bytea, options jsonb, strict_end boolean)
RETURNS fluct._stored
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rejects jsonb;
	different bigint;
BEGIN
	load.rows := fluct._read_feed(load, path, strict_end);
	PERFORM fluct._check_feed_keys(load);
	rejects := fluct._judge_feed(load, (options->>'max_rejects')::bigint);
	CREATE TEMPORARY TABLE _fluct_industries ON COMMIT DROP AS
	SELECT DISTINCT btrim(f.fields[1], fluct._blanks()) AS industry FROM pg_temp._fluct_feed f;
	GET DIAGNOSTICS different = ROW_COUNT;
	DELETE FROM pg_temp._fluct_industries n USING sales.industries i WHERE i.industry = n.industry;
	GET DIAGNOSTICS load.unchanged = ROW_COUNT;
	load.inserted := different - load.unchanged;
	load.duplicates := load.rows - jsonb_array_length(rejects) - different;
	IF load.inserted > 0 THEN
		INSERT INTO sales.industries (industry) SELECT n.industry FROM pg_temp._fluct_industries n ORDER BY 1
		ON CONFLICT DO NOTHING;
	END IF;
	DROP TABLE pg_temp._fluct_feed, pg_temp._fluct_industries;
	RETURN (load, rejects);
END
$$;
COMMENT ON FUNCTION fluct._store_industries(fluct.files, bytea, jsonb, boolean) IS 'what _store does with industries';

CREATE OR REPLACE FUNCTION fluct._store_products(load fluct.files, path bytea, options jsonb, strict_end boolean)
RETURNS fluct._stored
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	rejects jsonb;
	different bigint;
BEGIN
	load.rows := fluct._read_feed(load, path, strict_end);
	PERFORM fluct._check_feed_keys(load);
	UPDATE pg_temp._fluct_feed f SET fields[3] = btrim(f.fields[3], fluct._blanks())
	 WHERE f.reason IS NULL AND f.fields[3] <> btrim(f.fields[3], fluct._blanks());
	UPDATE pg_temp._fluct_feed f
	   SET reason = 'bad_number', detail = format('column price holds "%s", expected a number such as 1234.56', left(f.fields[3], 80))
	 WHERE f.reason IS NULL
	   AND f.fields[3] !~ '^[-+]?([0-9]{1,64}(\.[0-9]{0,64})?|\.[0-9]{1,64})([eE][-+]?[0-9]{1,2})?$';
	rejects := fluct._judge_feed(load, (options->>'max_rejects')::bigint);

	CREATE TEMPORARY TABLE _fluct_products ON COMMIT DROP AS
	SELECT n.*, p.product_id IS NULL AS is_new, (p.product_name, p.price) IS DISTINCT FROM (n.product_name, n.price) AS differs
	  FROM (SELECT DISTINCT ON (f.fields[1] COLLATE "C") f.fields[1] AS product_id, f.fields[2] AS product_name, f.fields[3]::numeric AS price
			  FROM pg_temp._fluct_feed f ORDER BY f.fields[1] COLLATE "C", f.line DESC) n
	  LEFT JOIN sales.products p ON p.product_id = n.product_id;
	SELECT count(*), count(*) FILTER (WHERE n.is_new), count(*) FILTER (WHERE NOT n.is_new AND n.differs)
	  INTO different, load.inserted, load.updated FROM pg_temp._fluct_products n;
	load.unchanged := different - load.inserted - load.updated;
	load.duplicates := load.rows - jsonb_array_length(rejects) - different;
	IF load.updated > 0 THEN
		UPDATE sales.products p SET product_name = n.product_name, price = n.price
		  FROM pg_temp._fluct_products n
		 WHERE p.product_id = n.product_id AND n.differs AND NOT n.is_new;
	END IF;
	IF load.inserted > 0 THEN
		INSERT INTO sales.products (product_id, product_name, price)
		SELECT n.product_id, n.product_name, n.price FROM pg_temp._fluct_products n WHERE n.is_new
		ON CONFLICT (product_id) DO UPDATE SET product_name = excluded.product_name, price = excluded.price;
	END IF;
	DROP TABLE pg_temp._fluct_feed, pg_temp._fluct_products;
	RETURN (load, rejects);
END
$$;
COMMENT ON FUNCTION fluct._store_products(fluct.files, bytea, jsonb, boolean) IS 'what _store does with products';

-- ---------------------------------------------------------------------------
-- Orders: lines of JSON, through the decoder and the sink of the streams
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._lines_span(path bytea, sha256 bytea, field text, encoding text, gzip boolean,
	OUT since timestamptz, OUT until timestamptz)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_lines_span';
COMMENT ON FUNCTION fluct._lines_span(bytea, bytea, text, text, boolean) IS
'The first and the last time in that field of a file''s JSON lines, all of which it checks. Errors: the first line that is not an acceptable message, by number and reason.';

CREATE OR REPLACE FUNCTION fluct._load_lines(path bytea, sha256 bytea, target text, mapping jsonb, encoding text, gzip boolean,
	OUT lines bigint, OUT inserted bigint)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_load_lines';
COMMENT ON FUNCTION fluct._load_lines(bytea, bytea, text, jsonb, text, boolean) IS
'Stores a file''s JSON lines through a mapping; a line whose key already exists is ignored. Errors: the first line that cannot be stored, by number and reason.';

CREATE OR REPLACE FUNCTION fluct._store_orders(load fluct.files, path bytea)
RETURNS fluct._stored
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	format record;
	span record;
	stored record;
BEGIN
	PERFORM fluct._progress('checking');
	SELECT o.encoding, o.gzip INTO format FROM fluct._file_format(path, load.options) o;
	SELECT * INTO span FROM fluct._lines_span(path, load.sha256, '$.timestamp', format.encoding, format.gzip);
	PERFORM fluct.ensure_partitions(span.since, span.until);
	PERFORM fluct._progress('reading');
	SELECT * INTO stored FROM fluct._load_lines(path, load.sha256, 'sales.orders', fluct._orders_mapping(), format.encoding, format.gzip);
	load.rows := stored.lines;
	load.inserted := stored.inserted;
	load.unchanged := stored.lines - stored.inserted;
	RETURN (load, jsonb '[]');
END
$$;
COMMENT ON FUNCTION fluct._store_orders(fluct.files, bytea) IS 'what _store does with orders';

-- work_mem bounds what the sorts of a large file take.
CREATE OR REPLACE FUNCTION fluct.__store(load fluct.files, path bytea, options jsonb, strict_end boolean)
RETURNS fluct._stored
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET work_mem = '64MB'
AS $$
BEGIN
	RETURN CASE load.kind
		WHEN 'industries' THEN fluct._store_industries(load, path, options, strict_end)
		WHEN 'products' THEN fluct._store_products(load, path, options, strict_end)
		WHEN 'customers' THEN fluct._store_customers(load, path, options, strict_end)
		WHEN 'table' THEN fluct._store_table(load, path, options, strict_end)
		ELSE fluct._store_orders(load, path) END;
END
$$;
COMMENT ON FUNCTION fluct.__store(fluct.files, bytea, jsonb, boolean) IS '_store, as the caller';

-- ---------------------------------------------------------------------------
-- By hand
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct.load_industries(path text, on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000,
	force boolean DEFAULT false, delimiter text DEFAULT NULL, encoding text DEFAULT NULL, skip_lines bigint DEFAULT NULL,
	null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL, compression text DEFAULT NULL)
RETURNS fluct.load_result
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.load_industries(text, text, bigint, boolean, text, text, bigint, text[], jsonb, text) IS
'Loads a CSV file of the server with the column industry into sales.industries; blanks around a name are dropped. Nothing is deleted. on_bad_row refuse (the first bad row refuses the file) or reject_row (up to max_rejects). The same content is loaded once unless force. delimiter, encoding, skip_lines, null_words, columns and compression say how the file is written (doc/files.md). Errors name the reason and the line.';

CREATE OR REPLACE FUNCTION fluct._load_industries(path text, on_bad_row text, max_rejects bigint, force boolean, delimiter text, encoding text,
									 skip_lines bigint, null_words text[], columns jsonb, compression text)
RETURNS fluct.load_result
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT fluct._load_file('industries', path, jsonb_build_object('on_bad_row', on_bad_row, 'max_rejects', max_rejects)
		|| fluct._given_format(delimiter, encoding, skip_lines, null_words, columns, compression, NULL), force)
$$;
COMMENT ON FUNCTION fluct._load_industries(text, text, bigint, boolean, text, text, bigint, text[], jsonb, text) IS 'load_industries, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.load_products(path text, on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000,
	force boolean DEFAULT false, delimiter text DEFAULT NULL, encoding text DEFAULT NULL, skip_lines bigint DEFAULT NULL,
	null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL, compression text DEFAULT NULL)
RETURNS fluct.load_result
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.load_products(text, text, bigint, boolean, text, text, bigint, text[], jsonb, text) IS
'Loads a CSV file of the server with the columns product_id, product_name, price into sales.products; the last of several rows of one product wins. Nothing is deleted. on_bad_row refuse (the first bad row refuses the file) or reject_row (up to max_rejects). The same content is loaded once unless force. delimiter, encoding, skip_lines, null_words, columns and compression say how the file is written (doc/files.md). Errors name the reason and the line.';

CREATE OR REPLACE FUNCTION fluct._load_products(path text, on_bad_row text, max_rejects bigint, force boolean, delimiter text, encoding text,
									 skip_lines bigint, null_words text[], columns jsonb, compression text)
RETURNS fluct.load_result
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT fluct._load_file('products', path, jsonb_build_object('on_bad_row', on_bad_row, 'max_rejects', max_rejects)
		|| fluct._given_format(delimiter, encoding, skip_lines, null_words, columns, compression, NULL), force)
$$;
COMMENT ON FUNCTION fluct._load_products(text, text, bigint, boolean, text, text, bigint, text[], jsonb, text) IS 'load_products, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.load_customers(path text, mode text DEFAULT 'upsert', unknown_industry text DEFAULT 'report',
									 on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000,
									 max_delete_fraction numeric DEFAULT 0.1, force boolean DEFAULT false,
									 delimiter text DEFAULT NULL, encoding text DEFAULT NULL, skip_lines bigint DEFAULT NULL, null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL,
									 compression text DEFAULT NULL, industry_delimiter text DEFAULT NULL)
RETURNS fluct.load_result
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.load_customers(text, text, text, text, bigint, numeric, boolean, text, text, bigint, text[], jsonb, text, text) IS
'Loads a CSV file of the server with the columns customer_id, company_name, specialized_industries (split at industry_delimiter, ";" by default, trimmed, each once) into sales.customers and sales.customer_industries; the last of several rows of one customer wins, its industries replace the old ones. mode upsert, or snapshot (customers absent from the file are deleted). unknown_industry report (left out and listed), add or reject. A file that would delete more than max_delete_fraction of the customers, or of their industries, is refused, and so is one of at least 10 customers with industries of which none is known. on_bad_row refuse (the first bad row refuses the file) or reject_row (up to max_rejects). The same content is loaded once with the same options unless force. delimiter, encoding, skip_lines, null_words, columns and compression say how the file is written (doc/files.md). Errors name the reason and the line.';

CREATE OR REPLACE FUNCTION fluct._load_customers(path text, mode text, unknown_industry text,
									  on_bad_row text, max_rejects bigint,
									  max_delete_fraction numeric, force boolean, delimiter text, encoding text,
									 skip_lines bigint, null_words text[], columns jsonb, compression text, industry_delimiter text)
RETURNS fluct.load_result
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT fluct._load_file('customers', path, jsonb_build_object('mode', mode, 'unknown_industry', unknown_industry, 'on_bad_row', on_bad_row,
		'max_rejects', max_rejects, 'max_delete_fraction', max_delete_fraction)
		|| fluct._given_format(delimiter, encoding, skip_lines, null_words, columns, compression, industry_delimiter), force)
$$;
COMMENT ON FUNCTION fluct._load_customers(text, text, text, text, bigint, numeric, boolean, text, text, bigint, text[], jsonb, text, text) IS 'load_customers, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.load_orders(path text, force boolean DEFAULT false, encoding text DEFAULT NULL, compression text DEFAULT NULL)
RETURNS fluct.load_result
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.load_orders(text, boolean, text, text) IS
'Loads a server file of orders, one JSON message a line, as strictly as a stream reads messages; partitions for its months are made first. An order that already exists, or is duplicated in the file, is counted as unchanged. One transaction. encoding and compression as in load_customers. Errors: the first bad line, by number and reason; the file''s own (not_found, outside_root, ...).';

CREATE OR REPLACE FUNCTION fluct._load_orders(path text, force boolean, encoding text, compression text)
RETURNS fluct.load_result
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT fluct._load_file('orders', path, fluct._given_format(NULL, encoding, NULL, NULL, NULL, compression, NULL), force)
$$;
COMMENT ON FUNCTION fluct._load_orders(text, boolean, text, text) IS 'load_orders, as the extension''s owner';
