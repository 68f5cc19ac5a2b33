-- orders.sql: orders that more than one member has.
--
-- An order's id is unique within a member.  Which ids two members share cannot be
-- told from sums, so each sends a hash of each id of the time asked for, 8 bytes
-- an order; only what two of them sent is asked for by name.

CREATE OR REPLACE FUNCTION fluct._member_orders_1(since timestamptz, until timestamptz, hashes bigint[])
RETURNS TABLE (order_id text, hash bigint)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._member_orders_1(timestamptz, timestamptz, bigint[]) IS
'a hash of the id of each order of this server with since <= ordered_at < until; of those with these hashes (NULL = all) that, and the id; version 1';

CREATE OR REPLACE FUNCTION fluct.__member_orders_1(since timestamptz, until timestamptz, hashes bigint[])
RETURNS TABLE (order_id text, hash bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	RETURN QUERY
		SELECT CASE WHEN hashes IS NOT NULL THEN o.order_id END, h.hash
		  FROM sales.orders o CROSS JOIN LATERAL (VALUES (hashtextextended(o.order_id COLLATE "C", 0))) h(hash)
		 WHERE o.ordered_at >= since AND o.ordered_at < until AND (hashes IS NULL OR h.hash = ANY (hashes));
END
$$;
COMMENT ON FUNCTION fluct.__member_orders_1(timestamptz, timestamptz, bigint[]) IS '_member_orders_1, with the rights of the tables'' owner where the caller has them';

CREATE OR REPLACE FUNCTION fluct.shared_orders(since timestamptz, until timestamptz)
RETURNS TABLE (order_id text, members text[])
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.shared_orders(timestamptz, timestamptz) IS
'The orders with since <= ordered_at < until that more than one member has, and which: they count twice. Reads all orders of that time at each member, and sends 8 bytes for each. Errors: null_value_not_allowed, connection_failure where a member does not answer (a WARNING where fluct.allow_missing is on).';

CREATE OR REPLACE FUNCTION fluct._shared_orders(since timestamptz, until timestamptz)
RETURNS TABLE (order_id text, members text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO'
AS $$
DECLARE
	shared CONSTANT bigint[] := ARRAY(SELECT a.answer[2]::bigint FROM fluct._answers('orders', since::text, until::text, NULL) a
									   GROUP BY 1 HAVING count(DISTINCT a.member) > 1);
BEGIN
	IF since IS NULL OR until IS NULL THEN
		RAISE EXCEPTION 'since and until must not be null' USING ERRCODE = 'null_value_not_allowed', HINT = '-infinity and infinity name no bound.';
	END IF;
	RETURN QUERY
		SELECT x.answer[1], array_agg(x.member ORDER BY x.member COLLATE "C")
		  FROM fluct._ask_all('orders', since::text, until::text, shared::text) x
		 WHERE shared <> '{}' AND x.missing IS NULL
		 GROUP BY 1 HAVING count(DISTINCT x.member) > 1 ORDER BY 1;
END
$$;
COMMENT ON FUNCTION fluct._shared_orders(timestamptz, timestamptz) IS 'shared_orders, without a context';
