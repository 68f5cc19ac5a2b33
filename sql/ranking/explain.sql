-- explain.sql: which customers and products made an industry's fluctuation.
--
-- The parts of a ranking's row, by its own windows and divisors.  An order
-- counts in full for each industry of its customer, so the sums of a customer
-- are those of the orders, and the sums of a product those of the order lines
-- (volume × price); what the orders' amounts have beyond their lines is a row of
-- its own.  Of orders that apply_retention() deleted the rollup still has the
-- sums, and so the ranking: they are rows of their own, too.
--
-- Each part adds up exactly, though each row is a rounded quotient: what is
-- rounded is the quotient of the sums so far, and a row is the difference to
-- the row before.  So no row is further than one unit of the last decimal from
-- its own quotient, and the last sum is the ranking's.
--
-- Orders and their lines are joined by hash: a planner that takes the orders for
-- few would look up the lines of each (seconds, measured).

CREATE OR REPLACE FUNCTION fluct._check_industry(industry text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	near text;
BEGIN
	IF EXISTS (SELECT FROM sales.industries i WHERE i.industry = _check_industry.industry) THEN
		RETURN;
	END IF;
	SELECT string_agg('"' || fluct._printable(n.industry) || '"', ', ') INTO near
	FROM (SELECT i.industry FROM sales.industries i
		  ORDER BY fluct._distance(lower(left(i.industry, 200)), lower(left(_check_industry.industry, 200))), i.industry
		  LIMIT 3) n;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = coalesce('unknown industry: "' || fluct._printable(industry) || '"', 'industry must not be NULL'),
		HINT = CASE WHEN near IS NULL THEN 'SELECT * FROM fluct.load_industries(''Industries.csv''); loads them.'
					WHEN industry IS NULL THEN 'SELECT * FROM sales.industries; lists them.'
					ELSE format('Did you mean %s? SELECT * FROM sales.industries; lists all.', near) END;
END
$$;
COMMENT ON FUNCTION fluct._check_industry(text) IS
'Raises invalid_parameter_value, with the nearest names, unless the industry is listed.';

CREATE OR REPLACE FUNCTION fluct._active_windows(answers fluct._answer[], w fluct._windows, industry text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT count(*) FROM fluct._spend_of(answers, w, true) s WHERE s.industry = _active_windows.industry AND s.starts < w.mid
$$;
COMMENT ON FUNCTION fluct._active_windows(fluct._answer[], fluct._windows, text) IS
'Windows of the baseline, as long as the recent one, in which the industry has orders.';

CREATE OR REPLACE FUNCTION fluct._weekday_edges(w fluct._windows) RETURNS timestamptz[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(e.edge ORDER BY e.edge)
	  FROM fluct._baseline_windows(w) b, unnest(b.starts, b.ends) s(starts, ends), unnest(ARRAY[s.starts, s.ends]) e(edge)
	 WHERE fluct._is_same_weekday(w, s.starts)
$$;
COMMENT ON FUNCTION fluct._weekday_edges(fluct._windows) IS
'Where the windows of the baseline that begin on the weekday of the recent one begin and end, in turn.';

CREATE OR REPLACE FUNCTION fluct._ranked_sums(w fluct._windows, industry text, average text, OUT r numeric, OUT b numeric)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(sum(s.amount) FILTER (WHERE s.starts = w.mid), 0), coalesce(sum(s.amount) FILTER (WHERE s.starts < w.mid), 0)
	  FROM fluct._spend(w, average <> 'elapsed') s
	 WHERE s.industry = _ranked_sums.industry AND (average <> 'weekday' OR s.starts = w.mid OR fluct._is_same_weekday(w, s.starts))
$$;
COMMENT ON FUNCTION fluct._ranked_sums(fluct._windows, text, text) IS
'the sums of an industry, of the recent window and of the baseline, that the ranking rests on';

-- The orders are read for each part: a CTE would be read once, but of it the
-- planner knows nothing, so that it makes a hash table of all lines, and sorts
-- them (twice the CPU, measured).  OFFSET 0: the industry's orders first.
-- The settings are for this query and not for what is asked beside it: a plan
-- that must have a nested loop all the same costs so much that JIT compiles it.
CREATE OR REPLACE FUNCTION fluct._parts(w fluct._windows, industry text, edges timestamptz[], OUT part text, OUT id text,
	OUT r numeric, OUT b numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
	SET enable_nestloop = off SET enable_sort = off SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
	RETURN QUERY EXECUTE $q$
		WITH customers AS (
			SELECT o.customer_id AS id, sum(o.amount) FILTER (WHERE o.ordered_at >= $2) AS r,
				   sum(o.amount) FILTER (WHERE o.ordered_at < $2) AS b
			  FROM sales.orders o
			  JOIN sales.customer_industries ci ON ci.customer_id = o.customer_id AND ci.industry = $4
			 WHERE o.ordered_at >= $1 AND o.ordered_at < $3
			   AND ($5::timestamptz[] IS NULL OR o.ordered_at >= $2 OR width_bucket(o.ordered_at, $5) % 2 = 1)
			 GROUP BY o.customer_id
		), products AS (
			SELECT l.product_id AS id, sum(l.volume * l.price) FILTER (WHERE m.ordered_at >= $2) AS r,
				   sum(l.volume * l.price) FILTER (WHERE m.ordered_at < $2) AS b
			  FROM sales.order_lines l
			  JOIN (SELECT o.order_id, o.ordered_at
					  FROM sales.orders o
					  JOIN sales.customer_industries ci ON ci.customer_id = o.customer_id AND ci.industry = $4
					 WHERE o.ordered_at >= $1 AND o.ordered_at < $3
					   AND ($5::timestamptz[] IS NULL OR o.ordered_at >= $2 OR width_bucket(o.ordered_at, $5) % 2 = 1)
					OFFSET 0) m
				ON m.order_id = l.order_id AND m.ordered_at = l.ordered_at
			 WHERE l.ordered_at >= $1 AND l.ordered_at < $3
			 GROUP BY l.product_id
		)
		SELECT 'customer', c.id, coalesce(c.r, 0), coalesce(c.b, 0) FROM customers c
		UNION ALL
		SELECT 'product', p.id, coalesce(p.r, 0), coalesce(p.b, 0) FROM products p $q$
		USING w.since, w.mid, w.until, industry, edges;
END
$$;
COMMENT ON FUNCTION fluct._parts(fluct._windows, text, timestamptz[]) IS 'the sums of each customer and each product of an industry in the recent window (r) and in the baseline (b), or in those parts of it that begin at each odd edge';

CREATE OR REPLACE FUNCTION fluct._parts_and_deleted(w fluct._windows, industry text, edges timestamptz[], average text,
	OUT part text, OUT id text, OUT r numeric, OUT b numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF (w.since < fluct._horizon()) IS NOT TRUE THEN
		RETURN QUERY SELECT p.* FROM fluct._parts(w, industry, edges) p;
		RETURN;
	END IF;
	RETURN QUERY
		WITH parts AS MATERIALIZED (
			SELECT p.* FROM fluct._parts(w, industry, edges) p
		)
		SELECT p.* FROM parts p
		UNION ALL
		SELECT 'deleted', NULL::text, s.r - coalesce(c.r, 0), s.b - coalesce(c.b, 0)
		  FROM fluct._ranked_sums(w, industry, average) s,
			   (SELECT sum(p.r) AS r, sum(p.b) AS b FROM parts p WHERE p.part = 'customer') c;
END
$$;
COMMENT ON FUNCTION fluct._parts_and_deleted(fluct._windows, text, timestamptz[], text) IS
'_parts(), and where orders of the windows were deleted, what the ranking has beyond them';

CREATE OR REPLACE FUNCTION fluct._member_explain_1(w fluct._windows, industry text, edges timestamptz[], average text,
	OUT part text, OUT id text, OUT r numeric, OUT b numeric)
RETURNS SETOF record
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._member_explain_1(fluct._windows, text, timestamptz[], text) IS 'what this server, as a member, has for explain_fluctuation(); version 1';

CREATE OR REPLACE FUNCTION fluct.__member_explain_1(w fluct._windows, industry text, edges timestamptz[], average text,
	OUT part text, OUT id text, OUT r numeric, OUT b numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	RETURN QUERY SELECT p.* FROM fluct._parts_and_deleted(w, industry, edges, average) p;
END
$$;
COMMENT ON FUNCTION fluct.__member_explain_1(fluct._windows, text, timestamptz[], text) IS '_member_explain_1, with the rights of the tables'' owner where the caller has them';

CREATE OR REPLACE FUNCTION fluct._parts_of(of_members boolean, w fluct._windows, industry text, edges timestamptz[], average text,
	OUT part text, OUT id text, OUT r numeric, OUT b numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres'
AS $$
BEGIN
	IF NOT of_members THEN
		RETURN QUERY SELECT p.* FROM fluct._parts_and_deleted(w, industry, edges, average) p;
		RETURN;
	END IF;
	RETURN QUERY
		SELECT a.answer[1], a.answer[2], sum(a.answer[3]::numeric), sum(a.answer[4]::numeric)
		  FROM fluct._answers('explain', w::text, industry, edges::text, average) a
		 GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION fluct._parts_of(boolean, fluct._windows, text, timestamptz[], text) IS '_parts_and_deleted(), or those of all members added up';

CREATE OR REPLACE FUNCTION fluct._explain(of_members boolean, w fluct._windows, industry text, edges timestamptz[], n numeric, d numeric,
	average text, top_n int)
RETURNS TABLE (part text, id text, name text, recent_value numeric, baseline_avg numeric, delta numeric, share_pct numeric)
LANGUAGE plpgsql STABLE ROWS 24 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		WITH both_parts AS MATERIALIZED (
			SELECT * FROM fluct._parts_of(of_members, w, industry, edges, average)
		), totals AS (
			SELECT coalesce(sum(p.r), 0) AS r, coalesce(sum(p.b), 0) AS b, coalesce(bool_or(p.part = 'deleted'), false) AS deleted
			  FROM both_parts p WHERE p.part <> 'product'
		), placed AS (
			SELECT p.*, row_number() OVER (PARTITION BY p.part ORDER BY abs(p.r * d - p.b * n) DESC, p.id COLLATE "C") AS place
			  FROM both_parts p WHERE p.part <> 'deleted'
		), rows AS (
			SELECT p.part, p.place, p.id, true AS is_one, p.r, p.b
			  FROM placed p WHERE p.place <= coalesce(top_n, p.place)
			UNION ALL
			SELECT v.part, v.place, v.id, false,
				   CASE v.id WHEN '(others)' THEN coalesce(sum(o.r), 0) ELSE t.r - coalesce(sum(o.r), 0) END,
				   CASE v.id WHEN '(others)' THEN coalesce(sum(o.b), 0) ELSE t.b - coalesce(sum(o.b), 0) END
			  FROM (VALUES ('customer', 1e18::bigint, '(others)'), ('product', 1e18::bigint, '(others)'),
						   ('customer', 2e18::bigint, '(deleted)'), ('product', 2e18::bigint, '(not in lines)')) v(part, place, id)
			 CROSS JOIN totals t
			  LEFT JOIN placed o ON o.part = v.part AND (v.id <> '(others)' OR o.place > top_n)
			 WHERE v.id <> '(deleted)' OR t.deleted
			 GROUP BY v.part, v.place, v.id, t.r, t.b
		), sums AS (
			SELECT r.*,
				   round(sum(r.b) OVER so_far * n * round(1.0, 20) / d, 20) AS averages,
				   round((sum(r.r) OVER so_far * d - sum(r.b) OVER so_far * n) * round(1.0, 20) / d, 20) AS deltas,
				   sum(r.r * d - r.b * n) OVER (PARTITION BY r.part) AS whole
			  FROM rows r
			WINDOW so_far AS (PARTITION BY r.part ORDER BY r.place)
		)
		SELECT s.part, s.id,
			   CASE WHEN NOT s.is_one THEN NULL
					WHEN s.part = 'customer' THEN (SELECT c.company_name FROM sales.customers c WHERE c.customer_id = s.id)
					ELSE (SELECT p.product_name FROM sales.products p WHERE p.product_id = s.id) END,
			   s.r,
			   trim_scale(s.averages - lag(s.averages, 1, 0::numeric) OVER in_order),
			   trim_scale(s.deltas - lag(s.deltas, 1, 0::numeric) OVER in_order),
			   trim_scale(round(100 * (s.r * d - s.b * n) * round(1.0, 20) / nullif(s.whole, 0), 20))
		  FROM sums s
		WINDOW in_order AS (PARTITION BY s.part ORDER BY s.place)
		 ORDER BY s.part, s.place;
END
$$;
COMMENT ON FUNCTION fluct._explain(boolean, fluct._windows, text, timestamptz[], numeric, numeric, text, int) IS
'the rows of explain_fluctuation(); n/d is what the sum of the baseline is multiplied by for its average';

CREATE OR REPLACE FUNCTION fluct.explain_fluctuation(
	industry text,
	as_of timestamptz DEFAULT now(),
	recent interval DEFAULT '24 hours',
	baseline interval DEFAULT '30 days',
	average text DEFAULT 'elapsed',
	time_zone text DEFAULT NULL,
	top_n int DEFAULT 10,
	allow_missing boolean DEFAULT false)
RETURNS TABLE (part text, id text, name text, recent_value numeric, baseline_avg numeric, delta numeric,
			   share_pct numeric)
LANGUAGE c STABLE ROWS 24 AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.explain_fluctuation(text, timestamptz, interval, interval, text, text, int, boolean) IS
'Which customers and which products made the fluctuation of an industry: two parts, each the top_n (NULL: all) with the largest |delta|, then (others), and for products (not in lines), which is what the orders'' amounts have beyond volume * price of their lines. Where apply_retention() has deleted orders of the windows, the customers end in (deleted), which is what those had, and (not in lines) has it, too. Windows, averages and options as top_fluctuations(); each part''s recent_value, baseline_avg and delta add up exactly to that industry''s. share_pct = 100 * delta / the industry''s delta, NULL where that is 0. With average => ''active'' the divisor is the industry''s active windows; with ''weekday'' the baseline is the windows of that weekday. allow_missing as there. A WARNING where the streams have not stored all of the window. Errors: invalid_parameter_value (an unknown industry names the nearest), undefined_table before create_tables().';

CREATE OR REPLACE FUNCTION fluct._explain_fluctuation(
	industry text,
	as_of timestamptz,
	recent interval,
	baseline interval,
	average text,
	time_zone text,
	top_n int,
	allow_missing boolean)
RETURNS TABLE (part text, id text, name text, recent_value numeric, baseline_avg numeric, delta numeric,
			   share_pct numeric)
LANGUAGE plpgsql STABLE ROWS 24 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w fluct._windows;
	answers fluct._answer[];
	edges timestamptz[];
	n numeric;
	d numeric;
BEGIN
	PERFORM fluct._require_tables();
	PERFORM fluct._check_top_n(top_n);
	w := fluct._windows_of(as_of, recent, baseline, time_zone);
	PERFORM fluct._check_ranking_options(w, 'absolute', 'both', average, NULL);
	PERFORM fluct._check_industry(industry);
	PERFORM fluct._tell_zone(time_zone);
	PERFORM fluct._allow_missing(allow_missing);
	answers := fluct._gather(w, average = 'active');
	PERFORM fluct._tell_incomplete(fluct._find_shortfall(w, 'absolute', average, answers));
	n := w.numerator;
	d := w.denominator;
	IF average = 'weekday' THEN
		edges := fluct._weekday_edges(w);
		n := 1;
		d := cardinality(edges) / 2;
	ELSIF average = 'active' THEN
		d := fluct._active_windows(answers, w, industry);
		n := least(d, 1);
		d := greatest(d, 1);
	END IF;
	RETURN QUERY SELECT * FROM fluct._explain(answers IS NOT NULL, w, industry, edges, n, d, average, top_n);
END
$$;
COMMENT ON FUNCTION fluct._explain_fluctuation(text, timestamptz, interval, interval, text, text, int, boolean) IS 'explain_fluctuation, with the rights of the tables'' owner where the caller has them';
