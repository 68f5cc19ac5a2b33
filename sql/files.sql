-- files.sql: server files into industries, products and customers.
--
-- One file, one transaction.  Each loader goes the same way: _begin_load()
-- identifies the file by its content, and ends it here if that was loaded
-- before; _read_feed() reads it into the temporary table _fluct_feed, bad rows
-- with their reasons among the good; the loader marks the rows that its rules
-- refuse; _judge_feed() refuses the file, or takes the bad rows out; then the
-- loader changes what differs, in as few statements as the tables are, and
-- _end_load() records the outcome.  A row that is as it was costs no update.
--
-- The users' tables are changed with the rights of the caller.

-- ---------------------------------------------------------------------------
-- Bookkeeping
-- ---------------------------------------------------------------------------

CREATE TABLE fluct.files (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	kind text NOT NULL CHECK (kind IN ('industries', 'products', 'customers', 'orders')),
	file text NOT NULL,
	bytes bigint,
	sha256 bytea,
	options jsonb NOT NULL DEFAULT '{}',
	status text NOT NULL CHECK (status IN ('loaded', 'duplicate', 'refused')),
	reason text,
	line bigint,
	detail text,
	rows bigint NOT NULL DEFAULT 0,
	inserted bigint NOT NULL DEFAULT 0,
	updated bigint NOT NULL DEFAULT 0,
	unchanged bigint NOT NULL DEFAULT 0,
	removed bigint NOT NULL DEFAULT 0,
	duplicates bigint NOT NULL DEFAULT 0,
	links bigint NOT NULL DEFAULT 0,
	links_added bigint NOT NULL DEFAULT 0,
	links_removed bigint NOT NULL DEFAULT 0,
	rejected bigint NOT NULL DEFAULT 0,
	unknown_industries bigint NOT NULL DEFAULT 0,
	seconds numeric,
	loaded_by text NOT NULL,
	loaded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON fluct.files (sha256);
COMMENT ON TABLE fluct.files IS 'Each file that was loaded, or found to be loaded already, or refused by scan_inbox(), with what became of its rows.';
COMMENT ON COLUMN fluct.files.id IS 'number of the load';
COMMENT ON COLUMN fluct.files.kind IS 'industries, products, customers or orders';
COMMENT ON COLUMN fluct.files.file IS 'path on the server, as it was given';
COMMENT ON COLUMN fluct.files.bytes IS 'size of the file';
COMMENT ON COLUMN fluct.files.sha256 IS 'SHA-256 of the content, which is the file''s identity';
COMMENT ON COLUMN fluct.files.options IS 'the options that decide what the content becomes';
COMMENT ON COLUMN fluct.files.status IS 'loaded, duplicate (the same content was loaded before with the same options) or refused';
COMMENT ON COLUMN fluct.files.reason IS 'why it was refused';
COMMENT ON COLUMN fluct.files.line IS 'the physical line that refused it, from 1';
COMMENT ON COLUMN fluct.files.detail IS 'what was found there';
COMMENT ON COLUMN fluct.files.rows IS 'rows read, without the header';
COMMENT ON COLUMN fluct.files.inserted IS 'keys that were new';
COMMENT ON COLUMN fluct.files.updated IS 'keys whose row, or whose industries, changed';
COMMENT ON COLUMN fluct.files.unchanged IS 'keys that were as in the file';
COMMENT ON COLUMN fluct.files.removed IS 'customers deleted because a snapshot does not hold them';
COMMENT ON COLUMN fluct.files.duplicates IS 'rows that a later row of the same key replaced';
COMMENT ON COLUMN fluct.files.links IS 'industries of the file''s customers, each once a customer';
COMMENT ON COLUMN fluct.files.links_added IS 'of these, new ones';
COMMENT ON COLUMN fluct.files.links_removed IS 'industries that the file''s customers no longer have';
COMMENT ON COLUMN fluct.files.rejected IS 'rows left out; they are in fluct.file_rejects';
COMMENT ON COLUMN fluct.files.unknown_industries IS 'different names of industries that fluct.industries does not hold';
COMMENT ON COLUMN fluct.files.seconds IS 'how long it took';
COMMENT ON COLUMN fluct.files.loaded_by IS 'the role that called';
COMMENT ON COLUMN fluct.files.loaded_at IS 'start of the transaction';

CREATE TABLE fluct.file_rejects (
	file_id bigint NOT NULL REFERENCES fluct.files ON DELETE CASCADE,
	line bigint NOT NULL,
	reason text NOT NULL,
	detail text,
	fields text[],
	PRIMARY KEY (file_id, line)
);
COMMENT ON TABLE fluct.file_rejects IS 'The rows that a load with on_bad_row => ''reject_row'' left out.';
COMMENT ON COLUMN fluct.file_rejects.file_id IS 'the load, in fluct.files';
COMMENT ON COLUMN fluct.file_rejects.line IS 'physical line of the file, from 1';
COMMENT ON COLUMN fluct.file_rejects.reason IS 'a word of the fixed list';
COMMENT ON COLUMN fluct.file_rejects.detail IS 'what was found, and what was expected';
COMMENT ON COLUMN fluct.file_rejects.fields IS 'the row''s fields in the order of the loader''s columns; NULL where it could not be split';

SELECT pg_catalog.pg_extension_config_dump('fluct.files', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.files_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.file_rejects', '');

CREATE TYPE fluct.load_result AS (
	file text, status text, rows bigint, inserted bigint, updated bigint,
	unchanged bigint, links bigint, rejected bigint, unknown_industries bigint,
	seconds numeric
);
COMMENT ON TYPE fluct.load_result IS 'What became of a file and its rows, as the load_ functions return it.';

-- ---------------------------------------------------------------------------
-- Reading
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._file_identity(path text, OUT bytes bigint, OUT modified_at timestamptz, OUT sha256 bytea)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_file_identity';
COMMENT ON FUNCTION fluct._file_identity(text) IS
'The file''s size, time and content. Errors: not_found, unreadable, outside_root, not_regular_file.';

CREATE FUNCTION fluct._read_csv(path text, sha256 bytea, columns text[], strict_end boolean)
RETURNS TABLE (line bigint, fields text[], reason text, detail text, fatal boolean)
LANGUAGE c VOLATILE ROWS 100000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_read_csv';
COMMENT ON FUNCTION fluct._read_csv(text, bytea, text[], boolean) IS
'The named columns of each row of a CSV file with its physical line; bad rows with their reason. The content must be sha256 (NULL = any). strict_end refuses a last line without line end.';

CREATE FUNCTION fluct._file_sqlstate(reason text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE reason
	   WHEN 'bad_encoding' THEN '22021'
	   WHEN 'nul' THEN '22P05'
	   WHEN 'empty_key' THEN '2200F'
	   WHEN 'bad_number' THEN '22P02'
	   WHEN 'too_long' THEN '54000'
	   WHEN 'unknown_industry' THEN '23503'
	   WHEN 'too_many_deletes' THEN '22023'
	   WHEN 'changed_while_read' THEN '55006'
	   ELSE '22P04'
	   END
$$;
COMMENT ON FUNCTION fluct._file_sqlstate(text) IS 'the SQLSTATE of a reason that refuses a file';

CREATE FUNCTION fluct._file_name(path text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
SELECT regexp_replace(regexp_replace(path, '^.*/', ''), '[\u0001-\u001f\u007f-\u009f]', '?', 'g')
$$;
COMMENT ON FUNCTION fluct._file_name(text) IS 'the name without folders, as messages show it';

CREATE FUNCTION fluct._refuse_file(file text, line bigint, reason text, detail text, hint text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	file := format('file "%s" is refused%s: %s', fluct._file_name(file), ' at line ' || nullif(line, 0), reason);
	detail := upper(left(detail, 1)) || substr(detail, 2) || '.';
	IF hint IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = fluct._file_sqlstate(reason), MESSAGE = file, DETAIL = detail;
	END IF;
	RAISE EXCEPTION USING ERRCODE = fluct._file_sqlstate(reason), MESSAGE = file, DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION fluct._refuse_file(text, bigint, text, text, text) IS 'raises the error that refuses a file';

-- ---------------------------------------------------------------------------
-- The steps that all loaders share
-- ---------------------------------------------------------------------------

-- By C's fluct_call_as_owner, so that who loads needs no right on the
-- bookkeeping; operators may execute them (see privileges.sql).
CREATE FUNCTION fluct._is_loaded(kind text, sha256 bytea, options jsonb)
RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._is_loaded(text, bytea, jsonb) IS 'whether this content was loaded with these options, with nothing left to report';

CREATE FUNCTION fluct.__is_loaded(kind text, sha256 bytea, options jsonb)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce((SELECT f.rejected = 0 AND f.unknown_industries = 0
					   FROM fluct.files f
					  WHERE f.kind = __is_loaded.kind AND f.sha256 = __is_loaded.sha256
						AND f.options = __is_loaded.options AND f.status = 'loaded'
					  ORDER BY f.id DESC LIMIT 1), false);
END
$$;
COMMENT ON FUNCTION fluct.__is_loaded(text, bytea, jsonb) IS '_is_loaded, as the extension''s owner';

CREATE FUNCTION fluct._record_file(outcome jsonb, rejects jsonb)
RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._record_file(jsonb, jsonb) IS 'writes one row of fluct.files, under the caller''s name, and its rows of fluct.file_rejects; returns the id';

CREATE FUNCTION fluct.__record_file(outcome jsonb, rejects jsonb)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id bigint;
BEGIN
	INSERT INTO fluct.files
		   (kind, file, bytes, sha256, options, status, rows, inserted, updated, unchanged, removed, duplicates,
			links, links_added, links_removed, rejected, unknown_industries, seconds, loaded_by)
	SELECT o.kind, o.file, o.bytes, o.sha256, o.options, o.status, o.rows, o.inserted, o.updated, o.unchanged, o.removed, o.duplicates,
		   o.links, o.links_added, o.links_removed, o.rejected, o.unknown_industries, o.seconds, pg_get_userbyid(fluct._caller())
	  FROM jsonb_populate_record(NULL::fluct.files, outcome) o
	RETURNING id INTO new_id;
	INSERT INTO fluct.file_rejects (file_id, line, reason, detail, fields)
	SELECT new_id, r.line, r.reason, r.detail, r.fields
	  FROM jsonb_populate_recordset(NULL::fluct.file_rejects, rejects) r;
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION fluct.__record_file(jsonb, jsonb) IS '_record_file, as the extension''s owner';

CREATE FUNCTION fluct._check_option(name text, value text, allowed text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF value = ANY (allowed) THEN
		RETURN;
	END IF;
	RAISE EXCEPTION 'invalid value for %: %', name, coalesce(quote_literal(value), 'NULL')
		USING ERRCODE = 'invalid_parameter_value',
		      HINT = format('Give one of %s.', array_to_string(allowed, ', '));
END
$$;
COMMENT ON FUNCTION fluct._check_option(text, text, text[]) IS 'raises invalid_parameter_value unless value is one of those allowed';

-- The state of a load, from _begin_load() to _end_load(): a row of fluct.files.
CREATE FUNCTION fluct._begin_load(kind text, path text, options jsonb, force boolean)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files;
	identity record;
	started timestamptz := clock_timestamp();
BEGIN
	PERFORM fluct._require_tables();
	PERFORM fluct._check_option('on_bad_row', options->>'on_bad_row', '{refuse,reject_row}');
	IF path IS NULL THEN
		RAISE EXCEPTION 'path must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	-- one load of a kind at a time, from here to the commit
	PERFORM pg_advisory_xact_lock(hashtextextended('fluct.load_' || kind, 0));

	SELECT * INTO identity FROM fluct._file_identity(path);
	load := jsonb_populate_record(NULL::fluct.files, jsonb_build_object(
		'kind', kind, 'file', path, 'bytes', identity.bytes, 'options', options, 'status', 'loaded',
		'rows', 0, 'inserted', 0, 'updated', 0, 'unchanged', 0, 'removed', 0, 'duplicates', 0,
		'links', 0, 'links_added', 0, 'links_removed', 0, 'rejected', 0, 'unknown_industries', 0,
		'loaded_at', started));
	load.sha256 := identity.sha256;
	IF NOT force AND fluct._is_loaded(kind, load.sha256, options) THEN
		load.status := 'duplicate';
	END IF;
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct._begin_load(text, text, jsonb, boolean) IS 'identifies the file; status duplicate = its content is loaded already';

CREATE FUNCTION fluct._read_feed(load fluct.files, path text, columns text[])
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	CREATE TEMPORARY TABLE _fluct_feed (line bigint, fields text[], reason text, detail text, fatal boolean) ON COMMIT DROP;
	INSERT INTO pg_temp._fluct_feed
	SELECT * FROM fluct._read_csv(path, load.sha256, columns, false);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
COMMENT ON FUNCTION fluct._read_feed(fluct.files, text, text[]) IS 'reads the file into the temporary table _fluct_feed; returns the rows';

-- A key must fit into an index, together with an industry's name.
CREATE FUNCTION fluct._check_feed_keys(name text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE pg_temp._fluct_feed f
	   SET reason = CASE WHEN octet_length(f.fields[1]) > 1300 THEN 'too_long' ELSE 'empty_key' END,
		   detail = CASE WHEN octet_length(f.fields[1]) > 1300
						 THEN format('column %s holds %s bytes, expected at most 1300', name, octet_length(f.fields[1]))
						 ELSE format('column %s is empty', name) END
	 WHERE f.reason IS NULL
	   AND (octet_length(f.fields[1]) > 1300 OR coalesce(btrim(f.fields[1], E' \t\r\n'), '') = '');
END
$$;
COMMENT ON FUNCTION fluct._check_feed_keys(text) IS 'marks the rows of _fluct_feed whose first field is no key';

-- Refuses the file for its first bad row, or takes the bad rows out of the
-- feed and returns them.
CREATE FUNCTION fluct._judge_feed(load fluct.files, max_rejects bigint)
RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bad record;
	n bigint;
	rejects jsonb;
BEGIN
	SELECT f.line, f.reason, f.detail INTO bad FROM pg_temp._fluct_feed f
	 WHERE f.reason IS NOT NULL AND (f.fatal OR load.options->>'on_bad_row' = 'refuse')
	 ORDER BY f.line LIMIT 1;
	IF FOUND THEN
		PERFORM fluct._refuse_file(load.file, bad.line, bad.reason, bad.detail);
	END IF;
	SELECT count(*) INTO n FROM pg_temp._fluct_feed f WHERE f.reason IS NOT NULL;
	IF n > max_rejects THEN
		SELECT f.line, f.reason, f.detail INTO bad FROM pg_temp._fluct_feed f
		 WHERE f.reason IS NOT NULL ORDER BY f.line LIMIT 1;
		PERFORM fluct._refuse_file(load.file, bad.line, bad.reason,
								   format('%s; %s bad rows, at most %s may be rejected', bad.detail, n, max_rejects),
								   'Raise max_rejects, or mend the file.');
	END IF;
	WITH taken AS (DELETE FROM pg_temp._fluct_feed f WHERE f.reason IS NOT NULL RETURNING *)
	SELECT coalesce(jsonb_agg(to_jsonb(taken) ORDER BY line), '[]') INTO rejects FROM taken;
	RETURN rejects;
END
$$;
COMMENT ON FUNCTION fluct._judge_feed(fluct.files, bigint) IS 'refuses the file for its bad rows, or removes them from _fluct_feed and returns them';

CREATE FUNCTION fluct._end_load(load fluct.files, rejects jsonb)
RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF load.status = 'loaded' AND load.kind <> 'orders' THEN
		DROP TABLE pg_temp._fluct_feed;
	END IF;
	load.seconds := round(extract(epoch FROM clock_timestamp() - load.loaded_at), 3);
	load.rejected := jsonb_array_length(rejects);
	PERFORM fluct._record_file(to_jsonb(load), rejects);
	IF load.duplicates > 0 THEN
		RAISE NOTICE 'file "%": % replaced by a later row of the same key', fluct._file_name(load.file),
			CASE load.duplicates WHEN 1 THEN '1 row is' ELSE load.duplicates || ' rows are' END;
	END IF;
	RETURN (load.file, load.status, load.rows, load.inserted, load.updated, load.unchanged,
			load.links, load.rejected, load.unknown_industries, load.seconds)::fluct.load_result;
END
$$;
COMMENT ON FUNCTION fluct._end_load(fluct.files, jsonb) IS 'records the load and gives its result';

-- ---------------------------------------------------------------------------
-- The loaders
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct.load_industries(path text, on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000, force boolean DEFAULT false)
RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files := fluct._begin_load('industries', path, jsonb_build_object('on_bad_row', on_bad_row), force);
	rejects jsonb := '[]';
	different bigint;
BEGIN
	IF load.status = 'loaded' THEN
		load.rows := fluct._read_feed(load, path, '{industry}');
		PERFORM fluct._check_feed_keys('industry');
		rejects := fluct._judge_feed(load, max_rejects);
		SELECT count(DISTINCT btrim(f.fields[1], E' \t\r\n')) INTO different FROM pg_temp._fluct_feed f;
		INSERT INTO fluct.industries (industry)
		SELECT DISTINCT btrim(f.fields[1], E' \t\r\n') FROM pg_temp._fluct_feed f
		EXCEPT SELECT i.industry FROM fluct.industries i
		ORDER BY 1
		ON CONFLICT DO NOTHING;
		GET DIAGNOSTICS load.inserted = ROW_COUNT;
		load.unchanged := different - load.inserted;
		load.duplicates := load.rows - jsonb_array_length(rejects) - different;
	END IF;
	RETURN fluct._end_load(load, rejects);
END
$$;
COMMENT ON FUNCTION fluct.load_industries(text, text, bigint, boolean) IS
'Loads a CSV file of the server with the column industry into fluct.industries; blanks around a name are dropped. Nothing is deleted. on_bad_row refuse (the first bad row refuses the file) or reject_row (up to max_rejects). The same content is loaded once unless force. Errors name the reason and the line.';

CREATE FUNCTION fluct.load_products(path text, on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000, force boolean DEFAULT false)
RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files := fluct._begin_load('products', path, jsonb_build_object('on_bad_row', on_bad_row), force);
	rejects jsonb := '[]';
	different bigint;
BEGIN
	IF load.status = 'loaded' THEN
		load.rows := fluct._read_feed(load, path, '{product_id,product_name,price}');
		PERFORM fluct._check_feed_keys('product_id');
		UPDATE pg_temp._fluct_feed f
		   SET reason = 'bad_number', detail = format('column price holds "%s", expected a number', left(f.fields[3], 80))
		 WHERE f.reason IS NULL
		   AND f.fields[3] !~ '^[-+]?([0-9]{1,64}(\.[0-9]{0,64})?|\.[0-9]{1,64})([eE][-+]?[0-9]{1,2})?$';
		rejects := fluct._judge_feed(load, max_rejects);

		CREATE TEMPORARY TABLE _fluct_products ON COMMIT DROP AS
		SELECT DISTINCT ON (f.fields[1]) f.fields[1] AS product_id, f.fields[2] AS product_name, f.fields[3]::numeric AS price
		  FROM pg_temp._fluct_feed f ORDER BY f.fields[1], f.line DESC;
		GET DIAGNOSTICS different = ROW_COUNT;
		UPDATE fluct.products p SET product_name = n.product_name, price = n.price
		  FROM pg_temp._fluct_products n
		 WHERE p.product_id = n.product_id
		   AND (p.product_name, p.price) IS DISTINCT FROM (n.product_name, n.price);
		GET DIAGNOSTICS load.updated = ROW_COUNT;
		INSERT INTO fluct.products (product_id, product_name, price)
		SELECT n.product_id, n.product_name, n.price FROM pg_temp._fluct_products n
		 WHERE NOT EXISTS (SELECT 1 FROM fluct.products p WHERE p.product_id = n.product_id)
		ON CONFLICT (product_id) DO UPDATE SET product_name = excluded.product_name, price = excluded.price;
		GET DIAGNOSTICS load.inserted = ROW_COUNT;
		load.unchanged := different - load.inserted - load.updated;
		load.duplicates := load.rows - jsonb_array_length(rejects) - different;
		DROP TABLE pg_temp._fluct_products;
	END IF;
	RETURN fluct._end_load(load, rejects);
END
$$;
COMMENT ON FUNCTION fluct.load_products(text, text, bigint, boolean) IS
'Loads a CSV file of the server with the columns product_id, product_name, price into fluct.products; the last of several rows of one product wins. Nothing is deleted. on_bad_row refuse (the first bad row refuses the file) or reject_row (up to max_rejects). The same content is loaded once unless force. Errors name the reason and the line.';

-- The industries that the feed's rows name, each once a row.
CREATE FUNCTION fluct._split_industries()
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CREATE TEMPORARY TABLE _fluct_links ON COMMIT DROP AS
	SELECT DISTINCT f.line, f.fields[1] AS customer_id, btrim(p.part, E' \t\r\n') AS industry
	  FROM pg_temp._fluct_feed f, string_to_table(f.fields[3], ';') p(part)
	 WHERE f.reason IS NULL AND btrim(p.part, E' \t\r\n') <> '';
END
$$;
COMMENT ON FUNCTION fluct._split_industries() IS 'makes the temporary table _fluct_links from _fluct_feed';

-- What becomes of names that fluct.industries does not hold; returns how many
-- there are, after telling them with the lines on which they come first.
CREATE FUNCTION fluct._handle_unknown(load fluct.files, unknown_industry text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown record;
BEGIN
	IF unknown_industry = 'reject' THEN
		UPDATE pg_temp._fluct_feed f
		   SET reason = 'unknown_industry', detail = format('industry "%s" is not in fluct.industries', left(u.industry, 80))
		  FROM (SELECT l.line, min(l.industry) AS industry FROM pg_temp._fluct_links l
				 WHERE NOT EXISTS (SELECT 1 FROM fluct.industries i WHERE i.industry = l.industry)
				 GROUP BY l.line) u
		 WHERE u.line = f.line;
	ELSIF unknown_industry = 'add' THEN
		INSERT INTO fluct.industries (industry)
		SELECT DISTINCT l.industry FROM pg_temp._fluct_links l
		EXCEPT SELECT i.industry FROM fluct.industries i ORDER BY 1
		ON CONFLICT DO NOTHING;
	END IF;
	SELECT count(*) AS names,
		   string_agg(format('"%s" (line %s)', left(u.industry, 80), u.line), ', ' ORDER BY u.line, u.industry) FILTER (WHERE u.place <= 5) AS first
	  INTO unknown
	  FROM (SELECT l.industry, min(l.line) AS line, row_number() OVER (ORDER BY min(l.line), l.industry) AS place
			  FROM pg_temp._fluct_links l
			 WHERE NOT EXISTS (SELECT 1 FROM fluct.industries i WHERE i.industry = l.industry)
			 GROUP BY l.industry) u;
	IF unknown.names > 0 AND unknown_industry = 'report' THEN
		RAISE NOTICE 'file "%": unknown industries, left out: %', fluct._file_name(load.file),
			unknown.first || CASE WHEN unknown.names > 5 THEN format(' and %s more', unknown.names - 5) ELSE '' END;
		DELETE FROM pg_temp._fluct_links l
		 WHERE NOT EXISTS (SELECT 1 FROM fluct.industries i WHERE i.industry = l.industry);
	END IF;
	RETURN unknown.names;
END
$$;
COMMENT ON FUNCTION fluct._handle_unknown(fluct.files, text) IS 'deals with unknown names in _fluct_links; returns how many there are';

-- Brings customers and their industries to what _fluct_feed and _fluct_links
-- say.  What differs is found first, so that nothing else is touched.
CREATE FUNCTION fluct._apply_customers(load fluct.files)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	different bigint;
BEGIN
	CREATE TEMPORARY TABLE _fluct_customers ON COMMIT DROP AS
	SELECT n.line, n.customer_id, n.company_name, c.customer_id IS NULL AS is_new,
		   c.customer_id IS NOT NULL AND c.company_name IS DISTINCT FROM n.company_name AS is_renamed
	  FROM (SELECT DISTINCT ON (f.fields[1]) f.line, f.fields[1] AS customer_id, f.fields[2] AS company_name
			  FROM pg_temp._fluct_feed f ORDER BY f.fields[1], f.line DESC) n
	  LEFT JOIN fluct.customers c ON c.customer_id = n.customer_id;
	GET DIAGNOSTICS different = ROW_COUNT;

	-- only the last row of a customer counts
	CREATE TEMPORARY TABLE _fluct_link_changes ON COMMIT DROP AS
	SELECT coalesce(n.customer_id, o.customer_id) AS customer_id, coalesce(n.industry, o.industry) AS industry, o.customer_id IS NULL AS is_new
	  FROM (SELECT l.customer_id, l.industry FROM pg_temp._fluct_links l JOIN pg_temp._fluct_customers c USING (line)) n
	  FULL JOIN (SELECT ci.customer_id, ci.industry FROM fluct.customer_industries ci JOIN pg_temp._fluct_customers c USING (customer_id)) o
		ON o.customer_id = n.customer_id AND o.industry = n.industry
	 WHERE n.customer_id IS NULL OR o.customer_id IS NULL;

	SELECT count(*) INTO load.links FROM pg_temp._fluct_links l JOIN pg_temp._fluct_customers c USING (line);
	SELECT count(*) FILTER (WHERE l.is_new), count(*) FILTER (WHERE NOT l.is_new) INTO load.links_added, load.links_removed
	  FROM pg_temp._fluct_link_changes l;
	SELECT count(*) FILTER (WHERE c.is_new),
		   count(*) FILTER (WHERE c.is_renamed OR NOT c.is_new AND l.customer_id IS NOT NULL)
	  INTO load.inserted, load.updated
	  FROM pg_temp._fluct_customers c
	  LEFT JOIN (SELECT DISTINCT customer_id FROM pg_temp._fluct_link_changes) l USING (customer_id);
	load.unchanged := different - load.inserted - load.updated;
	load.duplicates := (SELECT count(*) FROM pg_temp._fluct_feed) - different;

	IF load.inserted > 0 THEN
		INSERT INTO fluct.customers (customer_id, company_name)
		SELECT c.customer_id, c.company_name FROM pg_temp._fluct_customers c WHERE c.is_new;
	END IF;
	IF EXISTS (SELECT 1 FROM pg_temp._fluct_customers c WHERE c.is_renamed) THEN
		UPDATE fluct.customers t SET company_name = c.company_name
		  FROM pg_temp._fluct_customers c WHERE c.is_renamed AND t.customer_id = c.customer_id;
	END IF;
	IF load.links_removed > 0 THEN
		DELETE FROM fluct.customer_industries t USING pg_temp._fluct_link_changes l
		 WHERE NOT l.is_new AND t.customer_id = l.customer_id AND t.industry = l.industry;
	END IF;
	IF load.links_added > 0 THEN
		INSERT INTO fluct.customer_industries (customer_id, industry)
		SELECT l.customer_id, l.industry FROM pg_temp._fluct_link_changes l WHERE l.is_new;
	END IF;
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct._apply_customers(fluct.files) IS 'changes the customers and their industries that differ from the feed';

CREATE FUNCTION fluct._remove_absent(load fluct.files, max_delete_fraction numeric)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known bigint;
	absent bigint;
BEGIN
	SELECT count(*), count(*) FILTER (WHERE n.customer_id IS NULL) INTO known, absent
	  FROM fluct.customers c LEFT JOIN pg_temp._fluct_customers n USING (customer_id);
	IF absent > (known - load.inserted) * max_delete_fraction THEN
		PERFORM fluct._refuse_file(load.file, NULL, 'too_many_deletes',
								   format('%s of %s customers are not in the file, expected at most %s %%', absent, known - load.inserted,
										  round(max_delete_fraction * 100, 1)),
								   'Raise max_delete_fraction if the file is whole.');
	END IF;
	IF absent > 0 THEN
		DELETE FROM fluct.customers c
		 WHERE NOT EXISTS (SELECT 1 FROM pg_temp._fluct_customers n WHERE n.customer_id = c.customer_id);
	END IF;
	RETURN absent;
END
$$;
COMMENT ON FUNCTION fluct._remove_absent(fluct.files, numeric) IS 'deletes the customers that a snapshot does not hold; returns how many';

CREATE FUNCTION fluct._check_customer_options(mode text, unknown_industry text, on_bad_row text, max_delete_fraction numeric)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._check_option('mode', mode, '{upsert,snapshot}');
	PERFORM fluct._check_option('unknown_industry', unknown_industry, '{report,add,reject}');
	IF mode = 'snapshot' AND on_bad_row = 'reject_row' THEN
		RAISE EXCEPTION 'a snapshot cannot leave rows out'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = 'A rejected customer would count as absent and be deleted.',
			      HINT = 'Use on_bad_row => ''refuse'', or mode => ''upsert''.';
	ELSIF max_delete_fraction IS NULL OR NOT max_delete_fraction BETWEEN 0 AND 1 THEN
		RAISE EXCEPTION 'max_delete_fraction must be between 0 and 1'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_customer_options(text, text, text, numeric) IS 'raises invalid_parameter_value for options of load_customers that make no sense';

CREATE FUNCTION fluct.load_customers(path text, mode text DEFAULT 'upsert', unknown_industry text DEFAULT 'report',
									 on_bad_row text DEFAULT 'refuse', max_rejects bigint DEFAULT 1000,
									 max_delete_fraction numeric DEFAULT 0.1, force boolean DEFAULT false)
RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files;
	rejects jsonb := '[]';
BEGIN
	PERFORM fluct._check_customer_options(mode, unknown_industry, on_bad_row, max_delete_fraction);
	load := fluct._begin_load('customers', path, jsonb_build_object(
		'mode', mode, 'unknown_industry', unknown_industry, 'on_bad_row', on_bad_row), force);
	IF load.status = 'duplicate' THEN
		RETURN fluct._end_load(load, rejects);
	END IF;
	IF unknown_industry <> 'add' AND NOT EXISTS (SELECT 1 FROM fluct.industries) THEN
		RAISE EXCEPTION 'fluct.industries is empty, so no customer could have an industry'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      HINT = 'Load them first: SELECT * FROM fluct.load_industries(path); or use unknown_industry => ''add''.';
	END IF;
	-- nobody else changes what is compared below; reading goes on
	LOCK TABLE fluct.customers, fluct.customer_industries IN SHARE ROW EXCLUSIVE MODE;

	load.rows := fluct._read_feed(load, path, '{customer_id,company_name,specialized_industries}');
	IF load.rows = 0 AND mode = 'snapshot' THEN
		PERFORM fluct._refuse_file(load.file, 1, 'empty_file', 'a header without rows; as a snapshot it would delete every customer');
	END IF;
	PERFORM fluct._check_feed_keys('customer_id');
	PERFORM fluct._split_industries();
	load.unknown_industries := fluct._handle_unknown(load, unknown_industry);
	rejects := fluct._judge_feed(load, max_rejects);
	load := fluct._apply_customers(load);
	IF mode = 'snapshot' THEN
		load.removed := fluct._remove_absent(load, max_delete_fraction);
	END IF;
	DROP TABLE pg_temp._fluct_links, pg_temp._fluct_customers, pg_temp._fluct_link_changes;
	RETURN fluct._end_load(load, rejects);
END
$$;
COMMENT ON FUNCTION fluct.load_customers(text, text, text, text, bigint, numeric, boolean) IS
'Loads a CSV file of the server with the columns customer_id, company_name, specialized_industries (split at ";", trimmed, each once) into fluct.customers and fluct.customer_industries; the last of several rows of one customer wins, its industries replace the old ones. mode upsert, or snapshot (customers absent from the file are deleted, unless more than max_delete_fraction of them). unknown_industry report (left out and told), add or reject. on_bad_row refuse (the first bad row refuses the file) or reject_row (up to max_rejects). The same content is loaded once with the same options unless force. Errors name the reason and the line.';

REVOKE ALL ON FUNCTION fluct.load_industries(text, text, bigint, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fluct.load_products(text, text, bigint, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fluct.load_customers(text, text, text, text, bigint, numeric, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fluct._file_identity(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fluct._read_csv(text, bytea, text[], boolean) FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Orders: lines of JSON, through the decoder and the sink of the streams
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._lines_span(path text, sha256 bytea, field text, OUT since timestamptz, OUT until timestamptz)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_lines_span';
COMMENT ON FUNCTION fluct._lines_span(text, bytea, text) IS
'The first and the last time in that field of a file''s JSON lines, all of which it checks. Errors: the first line that is no acceptable message, by number and reason.';

CREATE FUNCTION fluct._load_lines(path text, sha256 bytea, target text, mapping jsonb, OUT lines bigint, OUT inserted bigint)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_load_lines';
COMMENT ON FUNCTION fluct._load_lines(text, bytea, text, jsonb) IS
'Stores a file''s JSON lines through a mapping; a line whose key is there already is ignored. Errors: the first line that can''t be stored, by number and reason.';

CREATE FUNCTION fluct.load_orders(path text, force boolean DEFAULT false)
RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files := fluct._begin_load('orders', path, '{"on_bad_row": "refuse"}', force);
	span record;
	stored record;
BEGIN
	IF load.status = 'loaded' THEN
		SELECT * INTO span FROM fluct._lines_span(path, load.sha256, '$.timestamp');
		PERFORM fluct.ensure_partitions(span.since, span.until);
		SELECT * INTO stored FROM fluct._load_lines(path, load.sha256, 'fluct.orders', fluct._orders_mapping());
		load.rows := stored.lines;
		load.inserted := stored.inserted;
		load.unchanged := stored.lines - stored.inserted;
	END IF;
	RETURN fluct._end_load(load, '[]');
END
$$;
COMMENT ON FUNCTION fluct.load_orders(text, boolean) IS
'Loads a server file of orders, one JSON message a line, as strictly as a stream reads messages; partitions for its months are made first. An order that is there already, or stands in the file twice, is counted as unchanged. One transaction. Errors: the first bad line, by number and reason; the file''s own (not_found, outside_root, ...).';
REVOKE ALL ON FUNCTION fluct.load_orders(text, boolean), fluct._lines_span(text, bytea, text), fluct._load_lines(text, bytea, text, jsonb) FROM PUBLIC;
