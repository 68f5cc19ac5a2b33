-- lines.sql: the lines follow their orders.
--
-- order_lines has no index on order_id, so the orders' times lead to the lines:
-- a few times one by one through BRIN, many by their range.  EXECUTE plans with
-- the values at hand and so prunes partitions.  The triggers work with the
-- rights of whoever changes the orders.
--
-- Another extension may route order_lines to other nodes.  These know nothing
-- of transition tables, so ids and times travel as arrays, and lines that
-- belong elsewhere now are deleted and inserted.

CREATE OR REPLACE FUNCTION fluct._time_condition(times timestamptz[])
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN cardinality(times) <= 50 THEN 'l.ordered_at = ANY ($1)'
            ELSE 'l.ordered_at BETWEEN $1[1] AND $1[cardinality($1)]' END
$$;
COMMENT ON FUNCTION fluct._time_condition(timestamptz[]) IS 'the condition on order_lines l that finds lines of these times (ascending, given as $1)';

CREATE OR REPLACE FUNCTION fluct._orders_delete_lines()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	times timestamptz[];
	ids text[];
BEGIN
	IF TG_RELID <> 'sales.orders'::regclass OR TG_OP <> 'DELETE' OR TG_LEVEL <> 'STATEMENT' THEN
		RAISE EXCEPTION 'trigger function fluct._orders_delete_lines() is for DELETE on sales.orders only'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	times := ARRAY(SELECT DISTINCT ordered_at FROM old_orders ORDER BY 1);
	IF times <> '{}' THEN
		ids := ARRAY(SELECT order_id FROM old_orders);
		EXECUTE 'DELETE FROM sales.order_lines l WHERE l.order_id = ANY ($2) AND ' || fluct._time_condition(times)
			USING times, ids;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._orders_delete_lines() IS 'trigger on orders: deletes the lines of deleted orders';

-- Which old row became which new one is known by their place: both transition
-- tables get each updated row at the same time, and are read in that order.
CREATE OR REPLACE FUNCTION fluct._orders_move_lines()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	times timestamptz[];
	old_ids text[];
	new_ids text[];
	new_times timestamptz[];
	columns text;
	places text;
BEGIN
	IF TG_RELID <> 'sales.orders'::regclass OR TG_OP <> 'UPDATE' OR TG_LEVEL <> 'STATEMENT' THEN
		RAISE EXCEPTION 'trigger function fluct._orders_move_lines() is for UPDATE on sales.orders only' USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	IF NOT EXISTS (SELECT order_id, ordered_at FROM old_orders
				   EXCEPT SELECT order_id, ordered_at FROM new_orders) THEN
		RETURN NULL;
	END IF;
	SELECT array_agg(DISTINCT o.ordered_at ORDER BY o.ordered_at), array_agg(o.order_id ORDER BY o.place),
		   array_agg(n.order_id ORDER BY o.place), array_agg(n.ordered_at ORDER BY o.place)
	  INTO times, old_ids, new_ids, new_times
	  FROM (SELECT row_number() OVER () AS place, order_id, ordered_at FROM old_orders) o
	  JOIN (SELECT row_number() OVER () AS place, order_id, ordered_at FROM new_orders) n
		ON n.place = o.place AND (n.order_id, n.ordered_at) IS DISTINCT FROM (o.order_id, o.ordered_at);
	SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
		   string_agg(CASE a.attname WHEN 'order_id' THEN 'm.order_id' WHEN 'ordered_at' THEN 'm.ordered_at'
									 ELSE 'g.' || quote_ident(a.attname) END, ', ' ORDER BY a.attnum)
	  INTO columns, places
	  FROM pg_attribute a
	 WHERE a.attrelid = 'sales.order_lines'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
	EXECUTE format('WITH gone AS (DELETE FROM sales.order_lines l WHERE l.order_id = ANY ($2) AND %1$s RETURNING %2$s)
					INSERT INTO sales.order_lines (%2$s) OVERRIDING SYSTEM VALUE
					SELECT %3$s FROM gone g
					  JOIN unnest($2, $3, $4) AS m(old_id, order_id, ordered_at) ON m.old_id = g.order_id',
				   fluct._time_condition(times), columns, places)
		USING times, old_ids, new_ids, new_times;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._orders_move_lines() IS 'trigger on orders: carries the lines to a changed order_id or ordered_at, by DELETE and INSERT';

-- TRUNCATE orders, order_lines has emptied the lines already, and a second
-- TRUNCATE of a table in use would fail.
CREATE OR REPLACE FUNCTION fluct._orders_truncate_lines()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_RELID <> 'sales.orders'::regclass OR TG_OP <> 'TRUNCATE' OR TG_LEVEL <> 'STATEMENT' THEN
		RAISE EXCEPTION 'trigger function fluct._orders_truncate_lines() is for TRUNCATE on sales.orders only'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	IF EXISTS (SELECT 1 FROM sales.order_lines) THEN
		TRUNCATE sales.order_lines;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct._orders_truncate_lines() IS 'trigger on orders: truncates order_lines too';

CREATE OR REPLACE FUNCTION fluct.lines_of(order_id text)
RETURNS SETOF fluct.order_line
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.lines_of(text) IS
'The lines of one order by line_number, found through the order''s ordered_at (one partition, BRIN). No rows for an unknown order. Errors: undefined_table before create_tables().';

CREATE OR REPLACE FUNCTION fluct._lines_of(order_id text)
RETURNS SETOF fluct.order_line
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	RETURN QUERY EXECUTE
		'SELECT order_id, line_number, product_id, volume, price, ordered_at
		   FROM sales.order_lines
		  WHERE order_id = $1 AND ordered_at = $2
		  ORDER BY line_number'
		USING $1, (SELECT o.ordered_at FROM sales.orders o WHERE o.order_id = $1);
END
$$;
COMMENT ON FUNCTION fluct._lines_of(text) IS 'lines_of, with the rights of the tables'' owner where the caller has them';
