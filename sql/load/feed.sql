-- feed.sql: customers from a client, by COPY or INSERT into sales.customer_feed.
--
-- The view and its triggers are made by create_tables().  The row trigger keeps
-- the rows until the statement ends (src/load/customer_feed.c); the end applies
-- them as load_customers() does those of a file, with its defaults and the
-- rights of whoever inserts.  The first row that is refused ends the statement
-- with an error.

CREATE OR REPLACE FUNCTION fluct._is_customer_feed(relation oid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN EXISTS (SELECT FROM fluct.made_relations r JOIN pg_extension e ON e.oid = r.extension
							 WHERE r.name = 'customer_feed' AND r.relation = $1) THEN true
				ELSE EXISTS (SELECT FROM fluct._model_relations() m
							 WHERE m.name = 'customer_feed' AND m.relation = $1 AND m.is_ours) END
$$;
COMMENT ON FUNCTION fluct._is_customer_feed(oid) IS
'whether it is the view sales.customer_feed that create_tables() made; what the triggers of the view ask';

-- Without SET, which would cost more than the rest; it looks nothing up.
CREATE OR REPLACE FUNCTION fluct._keep_row()
RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_keep_row';
COMMENT ON FUNCTION fluct._keep_row() IS 'trigger on customer_feed: keeps a row';

CREATE OR REPLACE FUNCTION fluct._feed_rows()
RETURNS TABLE (line bigint, fields text[])
LANGUAGE c VOLATILE ROWS 100000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_feed_rows';
COMMENT ON FUNCTION fluct._feed_rows() IS 'the rows of the statement on customer_feed that is being applied, once; an error at any other time';

-- COPY takes the columns by position.
CREATE OR REPLACE FUNCTION fluct._refuse_header(load fluct.files)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text;
BEGIN
	SELECT string_agg('"' || n.name || '"', ', ' ORDER BY n.place) INTO names
	  FROM (SELECT f.fields FROM pg_temp._fluct_feed f ORDER BY f.line LIMIT 1) first,
		   unnest(first.fields) WITH ORDINALITY n(name, place)
	 WHERE lower(btrim(n.name, fluct._blanks())) IN ('customer_id', 'company_name', 'specialized_industries');
	IF names IS NOT NULL THEN
		PERFORM fluct._refuse_file(load, 1, 'bad_header', format('the first row holds the names of columns: %s', names),
								   'COPY sales.customer_feed FROM ... (FORMAT csv, HEADER MATCH) skips them, and refuses columns in another order.');
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_header(fluct.files) IS 'refuses rows for customer_feed whose first one is a header';

CREATE OR REPLACE FUNCTION fluct._apply_feed()
RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_apply_feed';
COMMENT ON FUNCTION fluct._apply_feed() IS 'trigger on customer_feed: brings customers and their industries to what the statement''s rows say';

CREATE OR REPLACE FUNCTION fluct.__apply_feed()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	options CONSTANT jsonb := fluct._load_options('customers', '{}');
	load fluct.files := fluct._new_load('customers', 'customer_feed', options);
	stored fluct._stored;
BEGIN
	PERFORM fluct._refuse_superuser_writer(r.oid, 'sales.customers') FROM pg_roles r WHERE r.rolname = current_user;
	PERFORM fluct._require_industries(options->>'unknown_industry');
	-- a load locks them, too, before it compares
	LOCK TABLE sales.customers, sales.customer_industries IN SHARE ROW EXCLUSIVE MODE;
	CREATE TEMPORARY TABLE _fluct_feed (line bigint, fields text[], reason text, detail text, fatal boolean) ON COMMIT DROP;
	INSERT INTO pg_temp._fluct_feed (line, fields) SELECT f.line, f.fields FROM fluct._feed_rows() f;
	GET DIAGNOSTICS load.rows = ROW_COUNT;
	PERFORM fluct._refuse_header(load);
	stored := fluct._store_customer_feed(load, options);
	load := stored.load;
	RAISE NOTICE 'customer_feed: %', fluct._tell_load(load);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct.__apply_feed() IS '_apply_feed; errors without the list of functions';
