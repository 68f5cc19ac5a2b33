-- views.sql: what is wrong with the members, and which of their orders count
-- for no industry.

CREATE OR REPLACE FUNCTION fluct._member_health_1()
RETURNS TABLE (severity text, what text, problem text, since timestamptz, detail text, hint text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT h.severity, h.what, h.problem, h.since, h.detail, h.hint FROM fluct.health h $$;
COMMENT ON FUNCTION fluct._member_health_1() IS 'health of this server, for cluster_health; version 1';

CREATE OR REPLACE FUNCTION fluct._cluster_health()
RETURNS TABLE (member text, severity text, what text, problem text, since timestamptz, detail text, hint text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres'
AS $$
BEGIN
	IF NOT fluct._has_members() THEN
		RETURN QUERY SELECT NULL::text, h.* FROM fluct._member_health_1() h;
		RETURN;
	END IF;
	RETURN QUERY
		SELECT x.* FROM (
			SELECT a.member, r.severity, r.what, r.problem, r.since, fluct._printable(r.detail), r.hint
			  FROM fluct._ask_all('health') a
			 CROSS JOIN LATERAL (VALUES (CASE WHEN a.missing IS NULL THEN a.answer[1] ELSE 'critical' END,
										 CASE WHEN a.missing IS NULL THEN a.answer[2] ELSE format('member "%s"', a.member) END,
										 CASE WHEN a.missing IS NULL THEN a.answer[3] ELSE 'unreachable' END,
										 a.answer[4]::timestamptz, coalesce(a.missing, a.answer[5]),
										 CASE WHEN a.missing IS NULL THEN a.answer[6] ELSE 'SELECT * FROM fluct.check_members();' END))
						r(severity, what, problem, since, detail, hint)
			) x(member, severity, what, problem, since, detail, hint)
		 ORDER BY array_position('{critical,warning,notice}'::text[], x.severity), x.since, x.member COLLATE "C", x.what, x.problem;
END
$$;
COMMENT ON FUNCTION fluct._cluster_health() IS 'for cluster_health';

CREATE OR REPLACE VIEW fluct.cluster_health AS SELECT * FROM fluct._cluster_health();
COMMENT ON VIEW fluct.cluster_health IS 'What is wrong at the members, asked at the same time, the worst first, as in health there; a member that does not answer is a problem itself. Without members health of this server.';
COMMENT ON COLUMN fluct.cluster_health.member IS 'name of the member; NULL without members';
COMMENT ON COLUMN fluct.cluster_health.severity IS 'critical, warning or notice';
COMMENT ON COLUMN fluct.cluster_health.what IS 'stream, report or inbox with its name; rollup, pg_cron, …';
COMMENT ON COLUMN fluct.cluster_health.problem IS 'one word, as in health; unreachable where the member does not answer';
COMMENT ON COLUMN fluct.cluster_health.since IS 'since when, as far as is known';
COMMENT ON COLUMN fluct.cluster_health.detail IS 'the fact, or why the member does not answer';
COMMENT ON COLUMN fluct.cluster_health.hint IS 'what to do there, statements first';

CREATE OR REPLACE FUNCTION fluct._member_unattributed_1()
RETURNS TABLE (reason text, customer_id text, company_name text, orders bigint, amount numeric, first_order timestamptz, last_order timestamptz)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._member_unattributed_1() IS 'orders of this server that count for no industry, for cluster_unattributed_spend; version 1';

CREATE OR REPLACE FUNCTION fluct.__member_unattributed_1()
RETURNS TABLE (reason text, customer_id text, company_name text, orders bigint, amount numeric, first_order timestamptz, last_order timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._require_tables();
	-- not by the view itself, which may have been replaced
	RETURN QUERY EXECUTE (SELECT m.definition FROM fluct._model_views() m WHERE m.view_name = 'unattributed_spend');
END
$$;
COMMENT ON FUNCTION fluct.__member_unattributed_1() IS '_member_unattributed_1, with the rights of the tables'' owner where the caller has them';

CREATE OR REPLACE FUNCTION fluct._cluster_unattributed_spend()
RETURNS TABLE (reason text, customer_id text, company_name text, orders bigint, amount numeric, first_order timestamptz, last_order timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres'
AS $$
BEGIN
	IF NOT fluct._has_members() THEN
		RETURN QUERY SELECT * FROM fluct._member_unattributed_1();
		RETURN;
	END IF;
	RETURN QUERY
		SELECT min(a.answer[1]), a.answer[2], min(a.answer[3]), sum(a.answer[4]::bigint)::bigint, sum(a.answer[5]::numeric),
			   min(a.answer[6]::timestamptz), max(a.answer[7]::timestamptz)
		  FROM fluct._answers('unattributed') a
		 GROUP BY 2 ORDER BY 5 DESC, 2;
END
$$;
COMMENT ON FUNCTION fluct._cluster_unattributed_spend() IS 'for cluster_unattributed_spend';

CREATE OR REPLACE VIEW fluct.cluster_unattributed_spend AS SELECT * FROM fluct._cluster_unattributed_spend();
COMMENT ON VIEW fluct.cluster_unattributed_spend IS 'Orders of all members that count for no industry, by customer, as sales.unattributed_spend of one server. A member that does not answer is an error, or a WARNING where fluct.allow_missing is on.';
COMMENT ON COLUMN fluct.cluster_unattributed_spend.reason IS 'unknown customer, or no industry';
COMMENT ON COLUMN fluct.cluster_unattributed_spend.customer_id IS 'the customer';
COMMENT ON COLUMN fluct.cluster_unattributed_spend.company_name IS 'its name; NULL where the customer is unknown';
COMMENT ON COLUMN fluct.cluster_unattributed_spend.orders IS 'its orders, of all times';
COMMENT ON COLUMN fluct.cluster_unattributed_spend.amount IS 'their sum';
COMMENT ON COLUMN fluct.cluster_unattributed_spend.first_order IS 'the oldest one''s ordered_at';
COMMENT ON COLUMN fluct.cluster_unattributed_spend.last_order IS 'the newest one''s ordered_at';
