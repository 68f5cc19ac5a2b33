-- rollup.sql: spend per industry and bucket, kept, compared, repaired and read.
--
-- sales.industry_spend is kept by triggers; how it stays exact is described in
-- src/rollup/triggers.c (who excludes whom) and src/rollup/spend.c (slots).

-- ---------------------------------------------------------------------------
-- The triggers
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._rollup_exclude() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_rollup_exclude';
COMMENT ON FUNCTION fluct._rollup_exclude() IS 'trigger on orders and customer_industries, and on what cascades to it: keeps the other side from being changed until the transaction ends';

CREATE OR REPLACE FUNCTION fluct._rollup_orders() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_rollup_orders';
COMMENT ON FUNCTION fluct._rollup_orders() IS 'trigger on orders: books what came and went in industry_spend';

CREATE OR REPLACE FUNCTION fluct._rollup_industries() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_rollup_industries';
COMMENT ON FUNCTION fluct._rollup_industries() IS 'trigger on customer_industries: books the orders of customers whose industries changed';

CREATE OR REPLACE FUNCTION fluct._rollup_order_row() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_rollup_order_row';
COMMENT ON FUNCTION fluct._rollup_order_row() IS 'trigger on orders: books in industry_spend what logical replication applies';

CREATE OR REPLACE FUNCTION fluct._rollup_industry_row() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_rollup_industry_row';
COMMENT ON FUNCTION fluct._rollup_industry_row() IS 'trigger on customer_industries: books what logical replication applies';

CREATE OR REPLACE FUNCTION fluct._rollup_skip_row() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'fluct_rollup_skip_row';
COMMENT ON FUNCTION fluct._rollup_skip_row() IS 'trigger on industry_spend: skips the rows of another server''s rollup that logical replication applies';

CREATE OR REPLACE FUNCTION fluct._rollup_guard() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'fluct_rollup_guard';
COMMENT ON FUNCTION fluct._rollup_guard() IS 'trigger on industry_spend: marks the rollup as not valid where something else than the triggers writes it';

CREATE OR REPLACE FUNCTION fluct._bucket(at timestamptz, width int) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fluct_rollup_bucket';
COMMENT ON FUNCTION fluct._bucket(timestamptz, int) IS 'the beginning of the bucket of that many seconds, in UTC, that contains the time';

-- ---------------------------------------------------------------------------
-- A digest of the customers' industries
-- ---------------------------------------------------------------------------
-- Kept by the triggers (src/rollup/links.c), which sum up the same hashes.

CREATE OR REPLACE FUNCTION fluct._wrap(n numeric)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT ((n % 18446744073709551616 + 27670116110564327424) % 18446744073709551616 - 9223372036854775808)::bigint $$;
COMMENT ON FUNCTION fluct._wrap(numeric) IS 'an integer modulo 2^64, as a signed one';

CREATE OR REPLACE FUNCTION fluct._links_computed()
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT fluct._wrap(coalesce(sum(hashtextextended(c.industry COLLATE "C", hashtextextended(c.customer_id COLLATE "C", 0))), 0))
			  FROM sales.customer_industries c);
END
$$;
COMMENT ON FUNCTION fluct._links_computed() IS 'the digest of customer_industries, from its rows';

CREATE OR REPLACE FUNCTION fluct._links_pending()
RETURNS bigint
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_links_pending';
COMMENT ON FUNCTION fluct._links_pending() IS 'what this transaction adds to the digest when it commits; NULL where it truncated customer_industries';

CREATE OR REPLACE FUNCTION fluct._links_to_keep()
RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT fluct._wrap(fluct._links_computed()::numeric - coalesce(fluct._links_pending(), 0)) $$;
COMMENT ON FUNCTION fluct._links_to_keep() IS 'the digest to be put in rollup_state now, so that it is right when this transaction has committed';

CREATE OR REPLACE FUNCTION fluct._links()
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce((SELECT fluct._wrap(max(s.links)::numeric + fluct._links_pending())
					   FROM sales.rollup_state s HAVING count(*) = 1 AND bool_and(s.valid)), fluct._links_computed());
END
$$;
COMMENT ON FUNCTION fluct._links() IS 'the digest of customer_industries: as it is kept, where the rollup is valid';

-- ---------------------------------------------------------------------------
-- Whether it can be read
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._rollup_obstacle()
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	bad record;
	obstacle text;
BEGIN
	-- locked in the order in which a TRUNCATE would take them
	PERFORM 1 FROM sales.orders LIMIT 0;
	PERFORM 1 FROM sales.customer_industries LIMIT 0;
	SELECT m.trigger_name || ' on sales.' || m.table_name AS trigger,
		   CASE WHEN g.tgname IS NULL THEN 'absent' WHEN g.tgenabled = 'O' THEN 'not enabled for replication' ELSE 'disabled' END AS fault INTO bad
	  FROM fluct._model_triggers() m
	  LEFT JOIN pg_trigger g ON g.tgrelid = to_regclass('sales.' || m.table_name) AND g.tgname = m.trigger_name
	 WHERE m.trigger_name LIKE '%\_rollup\_%'
	   AND (g.tgname IS NULL OR g.tgenabled = 'D' OR g.tgenabled = 'R' AND m.fires <> 'REPLICA'
			OR g.tgenabled = 'O' AND m.fires <> 'ORIGIN' AND EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srrelid = g.tgrelid))
	 ORDER BY m.table_name, m.trigger_name LIMIT 1;
	IF FOUND THEN
		RETURN format('trigger %s is %s', bad.trigger, bad.fault);
	END IF;
	-- rows may come and go there without our triggers
	SELECT format('sales.%s is %s', c.relname,
				  CASE WHEN c.relkind = 'p' THEN 'partitioned' WHEN c.relispartition THEN 'a partition of ' || i.inhparent::regclass
					   WHEN i.inhrelid = c.oid THEN 'an inheritor of ' || i.inhparent::regclass
					   ELSE 'inherited by ' || i.inhrelid::regclass END) INTO obstacle
	  FROM pg_class c
	  LEFT JOIN LATERAL (SELECT p.inhrelid, p.inhparent FROM pg_inherits p WHERE p.inhrelid = c.oid
						 UNION ALL SELECT p.inhrelid, p.inhparent FROM pg_inherits p WHERE p.inhparent = c.oid) i ON true
	 WHERE c.oid IN (to_regclass('sales.orders'), to_regclass('sales.customer_industries')) AND (c.relkind = 'p' OR i.inhrelid IS NOT NULL)
	 ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		RETURN obstacle;
	END IF;
	-- a restore may have added a row
	RETURN (SELECT CASE WHEN count(*) = 0 THEN 'sales.rollup_state is empty'
						WHEN NOT bool_and(s.valid) THEN coalesce(max(s.reason), 'it is marked as not valid') END
			  FROM sales.rollup_state s);
END
$$;
COMMENT ON FUNCTION fluct._rollup_obstacle() IS 'why the rollup cannot be read; NULL = it can';

-- A rollup that was not kept all the time is not read until it is rebuilt.
CREATE OR REPLACE FUNCTION fluct._judge_rollup(made text[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	new_parts text[] := ARRAY(SELECT m FROM unnest(made) m
							   WHERE m LIKE 'trigger %\_rollup\_%' OR m IN ('table industry_spend', 'table rollup_state'));
	-- below it only the rollup has what the orders were
	kept CONSTANT timestamptz := (SELECT max(s.horizon) FROM sales.rollup_state s);
BEGIN
	IF new_parts = '{}' AND EXISTS (SELECT 1 FROM sales.rollup_state) THEN
		RETURN;
	ELSIF EXISTS (SELECT 1 FROM sales.orders) OR EXISTS (SELECT 1 FROM sales.industry_spend) THEN
		DELETE FROM sales.rollup_state;
		INSERT INTO sales.rollup_state (valid, reason, horizon)
		VALUES (false, 'orders were there before ' || coalesce(new_parts[1], 'its state'), kept);
		RAISE WARNING 'the rollup is not valid'
			USING ERRCODE = '01000',
			      DETAIL = 'Orders were there before what keeps it. The ranking reads them one by one.',
			      HINT = 'SELECT fluct.rebuild_rollup();';
	ELSE
		DELETE FROM sales.rollup_state;
		INSERT INTO sales.rollup_state (valid, horizon, links) VALUES (true, kept, fluct._links_to_keep());
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._judge_rollup(text[]) IS
'create_tables(), after making these things: marks the rollup as valid where there were no orders before them';

-- ---------------------------------------------------------------------------
-- Compared and repaired
-- ---------------------------------------------------------------------------

-- One aggregate reads all orders, by minute; hours and days are made of the
-- minutes.  What is stored is mostly in slot 0, and is not aggregated again.
-- src/rollup/fill.c has the same aggregate.
CREATE OR REPLACE FUNCTION fluct._wrong_spend(since timestamptz, OUT width int, OUT bucket timestamptz, OUT industry text,
									OUT stored_orders bigint, OUT expected_orders bigint,
									OUT stored_amount numeric, OUT expected_amount numeric, OUT is_stored boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_mergejoin = off
AS $$
BEGIN
	RETURN QUERY
		WITH minutes AS MATERIALIZED (
			SELECT fluct._bucket(o.ordered_at, 60) AS bucket, ci.industry COLLATE "C" AS industry, count(*) AS orders, sum(o.amount) AS amount
			  FROM sales.orders o
			  JOIN sales.customer_industries ci ON ci.customer_id = o.customer_id
			 WHERE isfinite(o.ordered_at) AND o.ordered_at >= coalesce(since, '-infinity')
			 GROUP BY 1, 2),
		hours AS (
			SELECT fluct._bucket(m.bucket, 3600) AS bucket, m.industry, sum(m.orders)::bigint AS orders, sum(m.amount) AS amount
			  FROM minutes m
			 GROUP BY 1, 2),
		expected AS (
			SELECT 60 AS width, m.* FROM minutes m
			 UNION ALL
			SELECT 3600, h.* FROM hours h
			 UNION ALL
			SELECT 86400, fluct._bucket(h.bucket, 86400), h.industry, sum(h.orders)::bigint, sum(h.amount) FROM hours h GROUP BY 2, 3),
		others AS (
			SELECT s.width, s.bucket, s.industry, sum(s.orders)::bigint AS orders, sum(s.amount) AS amount
			  FROM sales.industry_spend s
			 WHERE s.slot <> 0 AND s.bucket >= coalesce(since, '-infinity')
			 GROUP BY 1, 2, 3),
		stored AS (
			SELECT coalesce(s.width, t.width) AS width, coalesce(s.bucket, t.bucket) AS bucket, coalesce(s.industry, t.industry) AS industry,
				   coalesce(s.orders, 0) + coalesce(t.orders, 0) AS orders, coalesce(s.amount, 0) + coalesce(t.amount, 0) AS amount,
				   t.width IS NOT NULL AS divided
			  FROM (SELECT x.width, x.bucket, x.industry, x.orders, x.amount
					  FROM sales.industry_spend x
					 WHERE x.slot = 0 AND x.bucket >= coalesce(since, '-infinity')) s
			  FULL JOIN others t ON t.width = s.width AND t.bucket = s.bucket AND t.industry = s.industry)
		SELECT coalesce(e.width, s.width), coalesce(e.bucket, s.bucket), coalesce(e.industry, s.industry),
			   coalesce(s.orders, 0), coalesce(e.orders, 0), coalesce(s.amount, 0), coalesce(e.amount, 0), s.width IS NOT NULL
		  FROM expected e
		  FULL JOIN stored s ON s.width = e.width AND s.bucket = e.bucket AND s.industry = e.industry
		 WHERE s.orders <> e.orders OR s.amount <> e.amount OR s.divided OR s.width IS NULL OR e.width IS NULL;
END
$$;
COMMENT ON FUNCTION fluct._wrong_spend(timestamptz) IS
'the buckets of industry_spend since that time (NULL = all) that are not as rebuild_rollup() leaves them, in one slot, beside what is computed from the orders';

CREATE OR REPLACE FUNCTION fluct.verify_rollup(OUT industry text, OUT width int, OUT bucket timestamptz, OUT stored_orders bigint,
	OUT expected_orders bigint, OUT stored_amount numeric, OUT expected_amount numeric)
RETURNS SETOF record
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.verify_rollup() IS
'Compares the rollup with the orders, all of them: a row for each industry and bucket (width in seconds) that differs; none = exact. Reads one snapshot and blocks nobody. A WARNING where the rollup is not in use, with the reason. Errors: undefined_table before create_tables().';

CREATE OR REPLACE FUNCTION fluct._verify_rollup(OUT industry text, OUT width int, OUT bucket timestamptz,
	OUT stored_orders bigint, OUT expected_orders bigint, OUT stored_amount numeric, OUT expected_amount numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	obstacle text;
	since timestamptz;
BEGIN
	PERFORM fluct._require_tables();
	obstacle := fluct._rollup_obstacle();
	IF obstacle IS NOT NULL THEN
		PERFORM fluct._warn('the rollup is not in use: ' || obstacle, 'The ranking reads the orders one by one.',
			CASE WHEN obstacle LIKE 'trigger % disabled' THEN 'Enable the trigger, then SELECT fluct.rebuild_rollup();'
							  WHEN obstacle LIKE 'trigger %' THEN 'SELECT fluct.create_tables(); then SELECT fluct.rebuild_rollup();'
							  WHEN obstacle LIKE 'sales.% is %' AND obstacle <> 'sales.rollup_state is empty'
							  THEN 'Make it a table on its own, then SELECT fluct.rebuild_rollup();'
							  ELSE 'SELECT fluct.rebuild_rollup();' END);
	END IF;
	SELECT max(s.horizon) INTO since FROM sales.rollup_state s;
	RETURN QUERY
		SELECT w.industry, w.width, w.bucket, w.stored_orders, w.expected_orders, w.stored_amount, w.expected_amount
		  FROM fluct._wrong_spend(since) w
		 WHERE w.stored_orders <> w.expected_orders OR w.stored_amount <> w.expected_amount
		 ORDER BY 2, 3, 1;
END
$$;
COMMENT ON FUNCTION fluct._verify_rollup() IS 'verify_rollup, with the rights of the tables'' owner where the caller has them';

CREATE OR REPLACE FUNCTION fluct._fill_rollup(since timestamptz)
RETURNS boolean
LANGUAGE c SET search_path = pg_catalog, pg_temp SET cursor_tuple_fraction = 1 SET enable_mergejoin = off
AS 'MODULE_PATHNAME', 'fluct_rollup_fill';
COMMENT ON FUNCTION fluct._fill_rollup(timestamptz) IS
'Fills the rollup since that time (NULL = all) from the orders, in one slot, in place of its owner; false where it has rows there already, or the caller lacks the rights of its owner.';

-- DELETE rather than TRUNCATE: readers with an older snapshot still see the rows.
CREATE OR REPLACE FUNCTION fluct.rebuild_rollup()
RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct.rebuild_rollup() IS
'Rebuilds the rollup from the orders, in one slot, and returns its rows; those that are right stay; after it the ranking reads it again. Waits for the transactions that write orders, and they wait for it; readers do not. To be called by the tables'' owner. Errors: invalid_transaction_state above READ COMMITTED, undefined_table before create_tables().';

CREATE OR REPLACE FUNCTION fluct._rebuild_rollup()
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	since timestamptz;
	n bigint;
BEGIN
	PERFORM fluct._require_tables();
	IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
		RAISE EXCEPTION 'rebuild_rollup() needs READ COMMITTED'
			USING ERRCODE = 'invalid_transaction_state',
			      DETAIL = format('This transaction is %s, so it may miss some orders.', upper(current_setting('transaction_isolation'))),
			      HINT = 'Call it outside of a transaction, after SET default_transaction_isolation = ''read committed'';';
	END IF;
	IF current_setting('session_replication_role') = 'replica' THEN
		RAISE EXCEPTION 'rebuild_rollup() does not work where session_replication_role is replica'
			USING ERRCODE = 'invalid_transaction_state',
			      DETAIL = 'Rows of sales.industry_spend that replication would write are skipped there.',
			      HINT = 'SET session_replication_role = origin;';
	END IF;
	LOCK TABLE ONLY sales.customer_industries IN ACCESS SHARE MODE;
	LOCK TABLE ONLY sales.orders IN ACCESS SHARE MODE;
	LOCK TABLE ONLY sales.rollup_state IN SHARE ROW EXCLUSIVE MODE;
	SELECT max(s.horizon) INTO since FROM sales.rollup_state s;
	IF NOT fluct._fill_rollup(since) THEN
		-- what is right stays; of the rest, a bucket goes before it comes again
		WITH wrong AS MATERIALIZED (
			SELECT * FROM fluct._wrong_spend(since)),
		gone AS (
			DELETE FROM sales.industry_spend s USING wrong w
			 WHERE w.is_stored AND s.width = w.width AND s.bucket = w.bucket AND s.industry = w.industry
			RETURNING 1)
		INSERT INTO sales.industry_spend (width, bucket, industry, slot, orders, amount)
		SELECT w.width, w.bucket, w.industry, 0, w.expected_orders, w.expected_amount
		  FROM wrong w, (SELECT count(*) FROM gone) g
		 WHERE w.expected_orders > 0
		 ORDER BY 1, 2, 3;
	END IF;
	SELECT count(*) INTO n FROM sales.industry_spend s WHERE s.bucket >= coalesce(since, '-infinity');
	DELETE FROM sales.rollup_state;
	INSERT INTO sales.rollup_state (valid, horizon, links) VALUES (true, since, fluct._links_to_keep());
	RETURN n;
END
$$;
COMMENT ON FUNCTION fluct._rebuild_rollup() IS 'rebuild_rollup, with the rights of the tables'' owner where the caller has them';

-- ---------------------------------------------------------------------------
-- Read
-- ---------------------------------------------------------------------------
-- A window is taken apart into whole days, hours and minutes, as wide as they
-- fit, and the orders themselves at its ends, less than a minute each.  The
-- plans are known beforehand, ranges of one index, and statistics must not
-- bend them: so they are planned once, no table is read from end to end, and
-- LATERAL keeps every join a loop.

CREATE OR REPLACE FUNCTION fluct._pieces(since timestamptz, until timestamptz, OUT width int, OUT first timestamptz, OUT past timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE ROWS 8 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	widths CONSTANT int[] := '{0,60,3600,86400}';
	a timestamptz := since;
	b timestamptz := until;
	inner_a timestamptz;
	inner_b timestamptz;
BEGIN
	FOR i IN 1 .. 4 LOOP
		width := widths[i];
		IF i < 4 THEN
			inner_a := fluct._bucket(a + widths[i + 1] * interval '1 second' - interval '1 microsecond', widths[i + 1]);
			inner_b := fluct._bucket(b, widths[i + 1]);
		END IF;
		IF i = 4 OR inner_a >= inner_b THEN
			first := a;
			past := b;
			IF first < past THEN
				RETURN NEXT;
			END IF;
			RETURN;
		END IF;
		IF a < inner_a THEN
			first := a;
			past := inner_a;
			RETURN NEXT;
		END IF;
		IF inner_b < b THEN
			first := inner_b;
			past := b;
			RETURN NEXT;
		END IF;
		a := inner_a;
		b := inner_b;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._pieces(timestamptz, timestamptz) IS
'[since, until) as ranges [first, past) of whole buckets of a width, and of the orders themselves (width 0)';

CREATE OR REPLACE FUNCTION fluct._rollup_spend(starts timestamptz[], ends timestamptz[],
									OUT starts_at timestamptz, OUT industry text, OUT orders bigint, OUT amount numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET max_parallel_workers_per_gather = 0 SET jit = off
AS $$
BEGIN
	RETURN QUERY
		SELECT w.a, x.industry::text, sum(x.orders)::bigint, sum(x.amount)
		  FROM unnest(starts, ends) w(a, b)
		 CROSS JOIN LATERAL fluct._pieces(w.a, w.b) p
		 CROSS JOIN LATERAL (
			SELECT s.industry, sum(s.orders) AS orders, sum(s.amount) AS amount
			  FROM sales.industry_spend s
			 WHERE s.width = p.width AND s.bucket >= p.first AND s.bucket < p.past
			 GROUP BY 1
			 UNION ALL
			SELECT ci.industry, count(*), sum(o.amount)
			  FROM sales.orders o
			 CROSS JOIN LATERAL (SELECT c.industry FROM sales.customer_industries c
								  WHERE c.customer_id = o.customer_id OFFSET 0) ci
			 WHERE p.width = 0 AND o.ordered_at >= p.first AND o.ordered_at < p.past
			 GROUP BY 1) x
		 GROUP BY 1, 2
		HAVING sum(x.orders) <> 0;
END
$$;
COMMENT ON FUNCTION fluct._rollup_spend(timestamptz[], timestamptz[]) IS
'orders and their sum per window [start, end) and industry, from the rollup; what comes to no order has no row';

-- Which windows have orders of an industry, without adding all of them up.  Most
-- windows show it in their first whole hour, most of the others in the next four,
-- and a silent industry shows it in its days.  Where these leave it open, the
-- hours of the window are read, once for each window (OFFSET 0); and where all
-- orders lie in the hours that the window cuts, all of the window.
CREATE OR REPLACE FUNCTION fluct._rollup_active(starts timestamptz[], ends timestamptz[], OUT industry text, OUT windows int[])
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET max_parallel_workers_per_gather = 0 SET jit = off
AS $$
BEGIN
	RETURN QUERY
		WITH w AS MATERIALIZED (
			SELECT u.n, u.a, u.b, fluct._bucket(u.a + interval '3599.999999 seconds', 3600) AS first_hour, fluct._bucket(u.b, 3600) AS past_hour
			  FROM unnest(starts, ends) WITH ORDINALITY u(a, b, n)
		), by_first_hour AS MATERIALIZED (
			SELECT w.n, x.industry
			  FROM w CROSS JOIN LATERAL (
				SELECT s.industry FROM sales.industry_spend s
				 WHERE s.width = 3600 AND s.bucket = w.first_hour AND w.first_hour < w.past_hour
				 GROUP BY 1 HAVING sum(s.orders) > 0) x
		), after_first_hour AS MATERIALIZED (
			SELECT w.n, i.industry FROM w CROSS JOIN sales.industries i
			EXCEPT SELECT f.n, f.industry FROM by_first_hour f
		), by_next_hours AS MATERIALIZED (
			SELECT x.n, x.industry
			  FROM (SELECT w.n, y.industry
					  FROM (SELECT DISTINCT a.n FROM after_first_hour a) d
					  JOIN w ON w.n = d.n
					 CROSS JOIN LATERAL (
						SELECT s.industry FROM sales.industry_spend s
						 WHERE s.width = 3600 AND s.bucket > w.first_hour AND s.bucket < least(w.past_hour, w.first_hour + interval '5 hours')
						 GROUP BY 1 HAVING sum(s.orders) > 0) y OFFSET 0) x
			  JOIN after_first_hour o ON o.n = x.n AND o.industry = x.industry
		), after_next_hours AS MATERIALIZED (
			SELECT a.n, a.industry FROM after_first_hour a EXCEPT SELECT f.n, f.industry FROM by_next_hours f
		), after_days AS MATERIALIZED (
			SELECT o.n, o.industry
			  FROM (SELECT DISTINCT a.n FROM after_next_hours a) d
			  JOIN w ON w.n = d.n
			 CROSS JOIN LATERAL (
				SELECT s.industry FROM sales.industry_spend s
				 WHERE s.width = 86400 AND s.bucket >= fluct._bucket(w.a, 86400) AND s.bucket < w.b
				 GROUP BY 1 HAVING sum(s.orders) > 0) x
			  JOIN after_next_hours o ON o.n = d.n AND o.industry = x.industry
		), by_hours AS MATERIALIZED (
			SELECT o.n, o.industry, w.a, w.b, x.whole > 0 AS active
			  FROM (SELECT DISTINCT a.n FROM after_days a OFFSET 0) d
			  JOIN w ON w.n = d.n
			 CROSS JOIN LATERAL (
				SELECT s.industry, coalesce(sum(s.orders) FILTER (WHERE s.bucket >= w.first_hour AND s.bucket < w.past_hour), 0) AS whole
				  FROM sales.industry_spend s
				 WHERE s.width = 3600 AND s.bucket >= fluct._bucket(w.a, 3600) AND s.bucket < w.b
				 GROUP BY 1 HAVING sum(s.orders) > 0) x
			  JOIN after_days o ON o.n = d.n AND o.industry = x.industry
		), cut AS MATERIALIZED (
			SELECT array_agg(h.a) AS a, array_agg(h.b) AS b
			  FROM (SELECT DISTINCT x.a, x.b FROM by_hours x WHERE NOT x.active) h
		), active AS (
			SELECT f.n, f.industry FROM by_first_hour f
			UNION ALL
			SELECT f.n, f.industry FROM by_next_hours f
			UNION ALL
			SELECT h.n, h.industry FROM by_hours h WHERE h.active
			UNION ALL
			SELECT h.n, s.industry
			  FROM cut CROSS JOIN LATERAL fluct._rollup_spend(cut.a, cut.b) s
			  JOIN by_hours h ON h.a = s.starts_at AND h.industry = s.industry AND NOT h.active
		)
		SELECT x.industry::text, array_agg(x.n::int) FROM active x GROUP BY 1;
END
$$;
COMMENT ON FUNCTION fluct._rollup_active(timestamptz[], timestamptz[]) IS
'for each industry, which of the windows [start, end), by number from 1, have orders of it, from the rollup';
