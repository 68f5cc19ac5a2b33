-- loaders.sql: what a file becomes: industries, products, customers, orders.
--
-- Each _store_ function works with the rights of the caller; see files.sql for
-- what is before and behind it.  What differs from the tables is found first,
-- and only then written, one statement a table and kind of change: nothing
-- else is touched, and no statement runs that would change nothing.  Changes of
-- customers' industries are written in portions of 64 MB, since the checks of
-- their foreign keys wait in memory for the end of the statement.

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
	load.rows := fluct._read_feed(load, path, fluct._columns_of('industries'), strict_end);
	PERFORM fluct._check_feed_keys('industry');
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
	load.rows := fluct._read_feed(load, path, fluct._columns_of('products'), strict_end);
	PERFORM fluct._check_feed_keys('product_id');
	UPDATE pg_temp._fluct_feed f SET fields[3] = btrim(f.fields[3], fluct._blanks())
	 WHERE f.reason IS NULL AND f.fields[3] <> btrim(f.fields[3], fluct._blanks());
	UPDATE pg_temp._fluct_feed f
	   SET reason = 'bad_number', detail = format('column price holds "%s", expected a number', left(f.fields[3], 80))
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
-- Customers
-- ---------------------------------------------------------------------------

-- The industries that the feed's rows name, each once a row.
CREATE OR REPLACE FUNCTION fluct._industry_delimiter(load fluct.files)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(load.options->>'industry_delimiter', ';') $$;
COMMENT ON FUNCTION fluct._industry_delimiter(fluct.files) IS 'what is between two industries of a customer';

CREATE OR REPLACE FUNCTION fluct._split_industries(delimiter text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	blanks CONSTANT text := fluct._blanks();
BEGIN
	CREATE TEMPORARY TABLE _fluct_links ON COMMIT DROP AS
	SELECT f.line, f.fields[1] AS customer_id, btrim(f.fields[3], blanks) AS industry
	  FROM pg_temp._fluct_feed f
	 WHERE f.reason IS NULL AND strpos(f.fields[3], delimiter) = 0 AND btrim(f.fields[3], blanks) <> ''
	UNION ALL
	SELECT DISTINCT f.line, f.fields[1], btrim(p.part, blanks)
	  FROM pg_temp._fluct_feed f, string_to_table(f.fields[3], delimiter) p(part)
	 WHERE f.reason IS NULL AND strpos(f.fields[3], delimiter) > 0 AND btrim(p.part, blanks) <> '';
	ANALYZE pg_temp._fluct_links;
END
$$;
COMMENT ON FUNCTION fluct._split_industries(text) IS 'makes the temporary table _fluct_links from _fluct_feed';

CREATE OR REPLACE FUNCTION fluct._nearest_industry(name text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT i.industry FROM sales.industries i
 ORDER BY fluct._distance(lower(left(i.industry, 200)), lower(left(name, 200))), i.industry LIMIT 1
$$;
COMMENT ON FUNCTION fluct._nearest_industry(text) IS 'the known industry whose name is most like this one';

-- Names between other separators, or in an array of JSON, come as one name.
CREATE OR REPLACE FUNCTION fluct._tell_separator(load fluct.files)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT format('Line %s separates industries by "%s", expected "%s". If it is right, pass industry_delimiter => %s.',
			  x.line, CASE x.separator WHEN E'\t' THEN 'tab' ELSE x.separator END, fluct._industry_delimiter(load),
			  CASE x.separator WHEN E'\t' THEN 'E''\t''' ELSE quote_literal(x.separator) END)
  FROM (SELECT l.line, s.separator
		  FROM (SELECT * FROM pg_temp._fluct_links n
				 WHERE NOT EXISTS (SELECT 1 FROM sales.industries i WHERE i.industry = n.industry)
				 ORDER BY n.line LIMIT 1000) l
		 CROSS JOIN unnest(ARRAY[';', ',', '|', '/', '+', '&', ':', E'\t']) s(separator)
		 WHERE strpos(l.industry, s.separator) > 0
		   AND EXISTS (SELECT FROM string_to_table(l.industry, s.separator) p(part)
						 JOIN sales.industries i ON i.industry = btrim(p.part, fluct._blanks() || '[]{}"'''))
		 ORDER BY l.line LIMIT 1) x
$$;
COMMENT ON FUNCTION fluct._tell_separator(fluct.files) IS
'which other separator the unknown names of _fluct_links show, and on which line; NULL where they show none';

-- Most likely another separator, or another column.
CREATE OR REPLACE FUNCTION fluct._refuse_strangers(load fluct.files, unknown_industry text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	few CONSTANT int := 10;
	customers bigint;
	first record;
BEGIN
	IF unknown_industry = 'add'
	   OR EXISTS (SELECT 1 FROM pg_temp._fluct_links l JOIN sales.industries i ON i.industry = l.industry) THEN
		RETURN;
	END IF;
	SELECT count(DISTINCT l.customer_id) INTO customers FROM pg_temp._fluct_links l;
	IF customers >= few THEN
		SELECT l.line, l.industry INTO first FROM pg_temp._fluct_links l ORDER BY l.line, l.industry LIMIT 1;
		PERFORM fluct._refuse_file(load, first.line, 'unknown_industry',
								   format('%s customers have industries, and none is in sales.industries; the first is "%s"', customers, left(first.industry, 80)),
								   coalesce(fluct._tell_separator(load), 'Load the industries first, or use unknown_industry => ''add''.'));
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_strangers(fluct.files, text) IS 'refuses a file of at least 10 customers with industries none of which is known';

-- A customer may lose industries.  Many at once, or a few to a file that knows none
-- of its names, are a fault of the file.
CREATE OR REPLACE FUNCTION fluct._refuse_lost_links(load fluct.files, options jsonb)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	few CONSTANT int := 10;
	fraction CONSTANT numeric := (options->>'max_delete_fraction')::numeric;
	known bigint;
	lost bigint;
BEGIN
	SELECT count(*) FILTER (WHERE NOT l.is_new) - count(*) FILTER (WHERE l.is_new) INTO lost
	  FROM pg_temp._fluct_link_changes l JOIN pg_temp._fluct_customers c USING (customer_id) WHERE NOT c.is_new;
	IF options->>'mode' = 'snapshot' THEN
		SELECT lost + count(*) INTO lost FROM sales.customer_industries ci
		 WHERE NOT EXISTS (SELECT 1 FROM pg_temp._fluct_customers n WHERE n.customer_id = ci.customer_id);
	END IF;
	IF lost < few AND (lost <= 0 OR load.unknown_industries = 0 OR load.links > 0) THEN
		RETURN;
	END IF;
	SELECT count(*) INTO known FROM sales.customer_industries;
	IF lost > known * fraction THEN
		PERFORM fluct._refuse_file(load, NULL, 'too_many_deletes',
								   format('%s of %s industries of customers would go, expected at most %s %%', lost, known, round(fraction * 100, 1)),
								   coalesce(fluct._tell_separator(load), 'Raise max_delete_fraction if the file is right.'));
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_lost_links(fluct.files, jsonb) IS
'refuses a file that would take away more than max_delete_fraction of the links: 10 or more, or fewer where all of its industries are unknown';

-- What becomes of names that sales.industries does not hold: they are counted,
-- and told with the lines on which they come first.
CREATE OR REPLACE FUNCTION fluct._handle_unknown(load fluct.files, unknown_industry text)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	told text;
	nearest text;
BEGIN
	IF unknown_industry = 'reject' THEN
		UPDATE pg_temp._fluct_feed f
		   SET reason = 'unknown_industry', detail = format('industry "%s" is not in sales.industries', left(u.industry, 80))
		  FROM (SELECT l.line, min(l.industry) AS industry FROM pg_temp._fluct_links l
				 WHERE NOT EXISTS (SELECT 1 FROM sales.industries i WHERE i.industry = l.industry)
				 GROUP BY l.line) u
		 WHERE u.line = f.line;
	ELSIF unknown_industry = 'add' THEN
		INSERT INTO sales.industries (industry)
		SELECT DISTINCT l.industry FROM pg_temp._fluct_links l
		EXCEPT SELECT i.industry FROM sales.industries i ORDER BY 1
		ON CONFLICT DO NOTHING;
	END IF;
	SELECT count(*),
		   coalesce(array_agg(left(u.industry, 200) ORDER BY u.place) FILTER (WHERE u.place <= 20), '{}'),
		   string_agg(format('"%s" (%s %s)', fluct._printable(left(u.industry, 80)), fluct._line_word(load), u.line), ', '
					  ORDER BY u.place) FILTER (WHERE u.place <= 5),
		   string_agg(format('"%s" for "%s"', fluct._printable(fluct._nearest_industry(u.industry)), fluct._printable(left(u.industry, 80))), ', '
					  ORDER BY u.place) FILTER (WHERE u.place <= 5)
	  INTO load.unknown_industries, load.unknown_names, told, nearest
	  FROM (SELECT l.industry, min(l.line) AS line, row_number() OVER (ORDER BY min(l.line), l.industry) AS place
			  FROM pg_temp._fluct_links l
			 WHERE NOT EXISTS (SELECT 1 FROM sales.industries i WHERE i.industry = l.industry)
			 GROUP BY l.industry) u;
	IF load.unknown_industries > 0 AND unknown_industry = 'report' THEN
		RAISE NOTICE '%: unknown industries, left out: %', fluct._told_name(load),
			told || CASE WHEN load.unknown_industries > 5 THEN format(' and %s more', load.unknown_industries - 5) ELSE '' END
			USING HINT = coalesce(fluct._tell_separator(load), format('The nearest known ones are %s.', nearest));
		DELETE FROM pg_temp._fluct_links l
		 WHERE NOT EXISTS (SELECT 1 FROM sales.industries i WHERE i.industry = l.industry);
	END IF;
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct._handle_unknown(fluct.files, text) IS 'deals with unknown names in _fluct_links, and counts them';

-- What the feed says, beside what the tables say.
CREATE OR REPLACE FUNCTION fluct._compare_customers(load fluct.files)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	different bigint;
	renamed bigint;
BEGIN
	-- only the last row of a customer counts
	CREATE TEMPORARY TABLE _fluct_customers ON COMMIT DROP AS
	SELECT n.line, n.customer_id, n.company_name, c.customer_id IS NULL AS is_new,
		   c.customer_id IS NOT NULL AND c.company_name IS DISTINCT FROM n.company_name AS is_renamed
	  FROM (SELECT DISTINCT ON (f.fields[1] COLLATE "C") f.line, f.fields[1] AS customer_id, f.fields[2] AS company_name
			  FROM pg_temp._fluct_feed f ORDER BY f.fields[1] COLLATE "C", f.line DESC) n
	  LEFT JOIN sales.customers c ON c.customer_id = n.customer_id;
	GET DIAGNOSTICS different = ROW_COUNT;
	ANALYZE pg_temp._fluct_customers;
	SELECT count(*) - different INTO load.duplicates FROM pg_temp._fluct_feed;
	IF load.rows > different THEN
		DELETE FROM pg_temp._fluct_links l WHERE NOT EXISTS (SELECT 1 FROM pg_temp._fluct_customers c WHERE c.line = l.line);
	END IF;
	CREATE TEMPORARY TABLE _fluct_link_changes ON COMMIT DROP AS
	SELECT coalesce(n.customer_id, o.customer_id) AS customer_id, coalesce(n.industry, o.industry) AS industry, o.customer_id IS NULL AS is_new
	  FROM pg_temp._fluct_links n
	  FULL JOIN (SELECT ci.customer_id, ci.industry FROM sales.customer_industries ci JOIN pg_temp._fluct_customers c USING (customer_id)) o
		ON o.customer_id = n.customer_id AND o.industry = n.industry
	 WHERE n.customer_id IS NULL OR o.customer_id IS NULL;
	ANALYZE pg_temp._fluct_link_changes;

	SELECT count(*) INTO load.links FROM pg_temp._fluct_links;
	SELECT count(*) FILTER (WHERE l.is_new), count(*) FILTER (WHERE NOT l.is_new) INTO load.links_added, load.links_removed
	  FROM pg_temp._fluct_link_changes l;
	SELECT count(*) FILTER (WHERE c.is_new), count(*) FILTER (WHERE c.is_renamed) INTO load.inserted, renamed
	  FROM pg_temp._fluct_customers c;
	load.updated := renamed;
	IF different > load.inserted AND load.links_added + load.links_removed > 0 THEN
		SELECT renamed + count(DISTINCT c.customer_id) INTO load.updated
		  FROM pg_temp._fluct_link_changes l JOIN pg_temp._fluct_customers c USING (customer_id)
		 WHERE NOT c.is_new AND NOT c.is_renamed;
	END IF;
	load.unchanged := different - load.inserted - load.updated;
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct._compare_customers(fluct.files) IS 'makes _fluct_customers and _fluct_link_changes, what differs, and counts it';

CREATE OR REPLACE FUNCTION fluct._add_links()
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	portion CONSTANT int := 8192;
BEGIN
	FOR page IN 0 .. pg_relation_size('pg_temp._fluct_link_changes') / 8192 BY portion LOOP
		INSERT INTO sales.customer_industries (customer_id, industry)
		SELECT l.customer_id, l.industry FROM pg_temp._fluct_link_changes l
		 WHERE l.is_new AND l.ctid >= format('(%s,0)', page)::tid AND l.ctid < format('(%s,0)', page + portion)::tid;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._add_links() IS 'inserts the new rows of _fluct_link_changes, in portions';

CREATE OR REPLACE FUNCTION fluct._apply_customers(load fluct.files)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF load.inserted > 0 THEN
		INSERT INTO sales.customers (customer_id, company_name)
		SELECT c.customer_id, c.company_name FROM pg_temp._fluct_customers c WHERE c.is_new;
	END IF;
	IF EXISTS (SELECT 1 FROM pg_temp._fluct_customers c WHERE c.is_renamed) THEN
		UPDATE sales.customers t SET company_name = c.company_name
		  FROM pg_temp._fluct_customers c WHERE c.is_renamed AND t.customer_id = c.customer_id;
	END IF;
	IF load.links_removed > 0 THEN
		DELETE FROM sales.customer_industries t USING pg_temp._fluct_link_changes l
		 WHERE NOT l.is_new AND t.customer_id = l.customer_id AND t.industry = l.industry;
	END IF;
	IF load.links_added > 0 THEN
		PERFORM fluct._add_links();
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._apply_customers(fluct.files) IS 'changes the customers and their industries that differ';

-- Their links go first, in one statement.
CREATE OR REPLACE FUNCTION fluct._remove_absent(load fluct.files, max_delete_fraction numeric)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known bigint;
	absent bigint;
BEGIN
	SELECT count(*), count(*) FILTER (WHERE n.customer_id IS NULL) INTO known, absent
	  FROM sales.customers c LEFT JOIN pg_temp._fluct_customers n USING (customer_id);
	IF absent > (known - load.inserted) * max_delete_fraction THEN
		PERFORM fluct._refuse_file(load, NULL, 'too_many_deletes',
								   format('%s of %s customers are not in the file, expected at most %s %%', absent, known - load.inserted,
										  round(max_delete_fraction * 100, 1)),
								   'Raise max_delete_fraction if the file is whole.');
	END IF;
	IF absent > 0 THEN
		DELETE FROM sales.customer_industries ci
		 WHERE NOT EXISTS (SELECT 1 FROM pg_temp._fluct_customers n WHERE n.customer_id = ci.customer_id);
		DELETE FROM sales.customers c
		 WHERE NOT EXISTS (SELECT 1 FROM pg_temp._fluct_customers n WHERE n.customer_id = c.customer_id);
	END IF;
	RETURN absent;
END
$$;
COMMENT ON FUNCTION fluct._remove_absent(fluct.files, numeric) IS 'deletes the customers that a snapshot does not hold; returns how many';

CREATE OR REPLACE FUNCTION fluct._require_industries(unknown_industry text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF unknown_industry <> 'add' AND NOT EXISTS (SELECT 1 FROM sales.industries) THEN
		RAISE EXCEPTION 'sales.industries is empty, so no customer could have an industry'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      HINT = 'Load them first: SELECT * FROM fluct.load_industries(path); or use unknown_industry => ''add''.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._require_industries(text) IS 'raises object_not_in_prerequisite_state where no customer could have an industry';

-- From _fluct_feed on.
CREATE OR REPLACE FUNCTION fluct._store_customer_feed(load fluct.files, options jsonb)
RETURNS fluct._stored
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rejects jsonb;
BEGIN
	PERFORM fluct._check_feed_keys('customer_id');
	PERFORM fluct._split_industries(fluct._industry_delimiter(load));
	PERFORM fluct._refuse_strangers(load, options->>'unknown_industry');
	load := fluct._handle_unknown(load, options->>'unknown_industry');
	rejects := fluct._judge_feed(load, (options->>'max_rejects')::bigint);
	load := fluct._compare_customers(load);
	PERFORM fluct._refuse_lost_links(load, options);
	PERFORM fluct._apply_customers(load);
	IF options->>'mode' = 'snapshot' THEN
		load.removed := fluct._remove_absent(load, (options->>'max_delete_fraction')::numeric);
	END IF;
	DROP TABLE pg_temp._fluct_feed, pg_temp._fluct_links, pg_temp._fluct_customers, pg_temp._fluct_link_changes;
	RETURN (load, rejects);
END
$$;
COMMENT ON FUNCTION fluct._store_customer_feed(fluct.files, jsonb) IS 'brings the customers to what _fluct_feed says';

CREATE OR REPLACE FUNCTION fluct._store_customers(load fluct.files, path bytea, options jsonb, strict_end boolean)
RETURNS fluct._stored
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_industries(options->>'unknown_industry');
	-- nobody else changes what is compared below; reading goes on
	LOCK TABLE sales.customers, sales.customer_industries IN SHARE ROW EXCLUSIVE MODE;
	load.rows := fluct._read_feed(load, path, fluct._columns_of('customers'), strict_end);
	IF load.rows = 0 AND options->>'mode' = 'snapshot' THEN
		PERFORM fluct._refuse_file(load, 1, 'empty_file', 'a header without rows; as a snapshot it would delete every customer');
	END IF;
	RETURN fluct._store_customer_feed(load, options);
END
$$;
COMMENT ON FUNCTION fluct._store_customers(fluct.files, bytea, jsonb, boolean) IS 'what _store does with customers';

-- ---------------------------------------------------------------------------
-- Orders: lines of JSON, through the decoder and the sink of the streams
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._lines_span(path bytea, sha256 bytea, field text, encoding text, gzip boolean, OUT since timestamptz, OUT until timestamptz)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_lines_span';
COMMENT ON FUNCTION fluct._lines_span(bytea, bytea, text, text, boolean) IS
'The first and the last time in that field of a file''s JSON lines, all of which it checks. Errors: the first line that is not an acceptable message, by number and reason.';

CREATE OR REPLACE FUNCTION fluct._load_lines(path bytea, sha256 bytea, target text, mapping jsonb, encoding text, gzip boolean, OUT lines bigint, OUT inserted bigint)
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

CREATE OR REPLACE FUNCTION fluct.load_industries(path text, on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000, force boolean DEFAULT false, delimiter text DEFAULT NULL, encoding text DEFAULT NULL,
									 skip_lines bigint DEFAULT NULL, null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL, compression text DEFAULT NULL)
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

CREATE OR REPLACE FUNCTION fluct.load_products(path text, on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000, force boolean DEFAULT false, delimiter text DEFAULT NULL, encoding text DEFAULT NULL,
									 skip_lines bigint DEFAULT NULL, null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL, compression text DEFAULT NULL)
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
									 max_delete_fraction numeric DEFAULT 0.1, force boolean DEFAULT false, delimiter text DEFAULT NULL, encoding text DEFAULT NULL,
									 skip_lines bigint DEFAULT NULL, null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL, compression text DEFAULT NULL, industry_delimiter text DEFAULT NULL)
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
