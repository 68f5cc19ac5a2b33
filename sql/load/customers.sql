-- customers.sql: what a file of customers becomes.
--
-- As in loaders.sql: what differs is found first, and only then written.  Changes
-- of customers' industries are written in portions of 64 MB, since the checks of
-- their foreign keys wait in memory for the end of the statement.

CREATE OR REPLACE FUNCTION fluct._industry_delimiter(load fluct.files)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(load.options->>'industry_delimiter', ';') $$;
COMMENT ON FUNCTION fluct._industry_delimiter(fluct.files) IS 'what is between two industries of a customer';

-- The industries that the rows of the feed name, each once per row.
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

-- A view takes none.
CREATE OR REPLACE FUNCTION fluct._given_to(load fluct.files)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN load.bytes IS NULL THEN ' to fluct.load_customers(), since customer_feed takes no options.' ELSE '.' END $$;
COMMENT ON FUNCTION fluct._given_to(fluct.files) IS 'what ends a hint to pass an option';

-- Names between other separators, or in an array of JSON, come as one name.
CREATE OR REPLACE FUNCTION fluct._tell_separator(load fluct.files)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT format('%s %s separates industries by "%s", expected "%s". If it is right, pass industry_delimiter => %s%s',
			  initcap(fluct._line_word(load)), x.line, CASE x.separator WHEN E'\t' THEN 'tab' ELSE x.separator END, fluct._industry_delimiter(load),
			  CASE x.separator WHEN E'\t' THEN 'E''\t''' ELSE quote_literal(x.separator) END, fluct._given_to(load))
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
								   coalesce(fluct._tell_separator(load), 'Load the industries first, or pass unknown_industry => ''add''' || fluct._given_to(load)));
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
								   coalesce(fluct._tell_separator(load), 'If it is right, pass a larger max_delete_fraction' || fluct._given_to(load)));
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
	-- sorted, as the customers are: neighbours in the indexes and for the checks of foreign keys
	CREATE TEMPORARY TABLE _fluct_link_changes ON COMMIT DROP AS
	SELECT coalesce(n.customer_id, o.customer_id) AS customer_id, coalesce(n.industry, o.industry) AS industry, o.customer_id IS NULL AS is_new
	  FROM pg_temp._fluct_links n
	  FULL JOIN (SELECT ci.customer_id, ci.industry FROM sales.customer_industries ci JOIN pg_temp._fluct_customers c USING (customer_id)) o
		ON o.customer_id = n.customer_id AND o.industry = n.industry
	 WHERE n.customer_id IS NULL OR o.customer_id IS NULL
	 ORDER BY coalesce(n.customer_id, o.customer_id) COLLATE "C";
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
	PERFORM fluct._check_feed_keys(load);
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
	load.rows := fluct._read_feed(load, path, strict_end);
	IF load.rows = 0 AND options->>'mode' = 'snapshot' THEN
		PERFORM fluct._refuse_file(load, 1, 'empty_file', 'a header without rows; as a snapshot it would delete every customer');
	END IF;
	RETURN fluct._store_customer_feed(load, options);
END
$$;
COMMENT ON FUNCTION fluct._store_customers(fluct.files, bytea, jsonb, boolean) IS 'what _store does with customers';
