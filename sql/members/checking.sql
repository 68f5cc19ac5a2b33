-- checking.sql: what the members' streams are doing, and whether the members fit together.

CREATE OR REPLACE FUNCTION fluct._member_streams_1(OUT stream text, OUT state text, OUT reason text, OUT lag bigint,
	OUT behind interval, OUT messages bigint, OUT dead_letters bigint, OUT data_until timestamptz, OUT partitions int[],
	OUT topic text, OUT known int, OUT feeds boolean)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.stream, s.state, s.reason, s.lag, s.behind, s.messages, s.dead_letters, f.data_until,
	   ARRAY(SELECT p.partition FROM fluct.stat_partitions p WHERE p.stream = s.stream ORDER BY 1), s.topic,
	   (SELECT max(o.partition) + 1 FROM fluct.stream_offsets o WHERE o.stream = s.stream AND fluct._consumes(s.topic, o.topic)),
	   fluct._feeds_orders(d.target)
  FROM fluct.stat_streams s JOIN fluct.freshness f ON f.stream = s.stream JOIN fluct.streams d ON d.name = s.stream
$$;
COMMENT ON FUNCTION fluct._member_streams_1() IS 'the streams of this server, for cluster_streams; known: how many partitions the topic has, as their workers saw it last; feeds: whether it fills sales.orders; version 1';

CREATE OR REPLACE FUNCTION fluct._cluster_streams()
RETURNS TABLE (member text, stream text, state text, reason text, lag bigint, behind interval, messages bigint,
	dead_letters bigint, data_until timestamptz, partitions int[], topic text, known int, feeds boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres'
AS $$
BEGIN
	IF NOT fluct._has_members() THEN
		RETURN QUERY SELECT NULL::text, s.* FROM fluct._member_streams_1() s;
		RETURN;
	END IF;
	RETURN QUERY
		SELECT a.member, a.answer[1], CASE WHEN a.missing IS NULL THEN a.answer[2] ELSE 'unreachable' END, coalesce(a.missing, a.answer[3]),
			   a.answer[4]::bigint, a.answer[5]::interval, a.answer[6]::bigint, a.answer[7]::bigint,
			   a.answer[8]::timestamptz, a.answer[9]::int[], a.answer[10], a.answer[11]::int, a.answer[12]::boolean
		  FROM fluct._ask_all('streams') a
		 ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION fluct._cluster_streams() IS 'for cluster_streams';

CREATE OR REPLACE VIEW fluct.cluster_streams AS
SELECT c.member, c.stream, c.state, c.reason, c.lag, c.behind, c.messages, c.dead_letters, c.data_until, c.partitions, c.topic
  FROM fluct._cluster_streams() c;
COMMENT ON VIEW fluct.cluster_streams IS 'The streams of all members, asked at the same time; a member that does not answer has a row with the state unreachable. Without members the streams of this server.';
COMMENT ON COLUMN fluct.cluster_streams.member IS 'name of the member; NULL without members';
COMMENT ON COLUMN fluct.cluster_streams.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.cluster_streams.state IS 'as in stat_streams; unreachable where the member does not answer';
COMMENT ON COLUMN fluct.cluster_streams.reason IS 'one word for why, or why the member does not answer';
COMMENT ON COLUMN fluct.cluster_streams.lag IS 'messages in Kafka that are not committed';
COMMENT ON COLUMN fluct.cluster_streams.behind IS 'age of the time up to which the data is whole';
COMMENT ON COLUMN fluct.cluster_streams.messages IS 'messages committed';
COMMENT ON COLUMN fluct.cluster_streams.dead_letters IS 'messages that went to dead_letters';
COMMENT ON COLUMN fluct.cluster_streams.data_until IS 'every message up to this time is committed';
COMMENT ON COLUMN fluct.cluster_streams.partitions IS 'Kafka partitions that it consumes';
COMMENT ON COLUMN fluct.cluster_streams.topic IS 'Kafka topic';

CREATE OR REPLACE VIEW fluct.cluster_freshness AS
SELECT c.member, c.stream, c.data_until, c.behind, c.state FROM fluct._cluster_streams() c;
COMMENT ON VIEW fluct.cluster_freshness IS 'How far behind the data of the members is, each stream as in freshness there; a member that does not answer has a row with the state unreachable. Without members freshness of this server.';
COMMENT ON COLUMN fluct.cluster_freshness.member IS 'name of the member; NULL without members';
COMMENT ON COLUMN fluct.cluster_freshness.stream IS 'name of the stream';
COMMENT ON COLUMN fluct.cluster_freshness.data_until IS 'every message up to this time is committed';
COMMENT ON COLUMN fluct.cluster_freshness.behind IS 'its age';
COMMENT ON COLUMN fluct.cluster_freshness.state IS 'as in stat_streams; unreachable where the member does not answer';

-- Digests do not depend on the order of the rows.
CREATE OR REPLACE FUNCTION fluct._customers_digest()
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT md5(string_agg(x.d, ' ' ORDER BY x.n)) FROM (
		SELECT 1, count(*) || ':' || coalesce(sum(hashtextextended(i.industry, 0)::numeric), 0) FROM sales.industries i
		UNION ALL
		SELECT 2, count(*) || ':' || coalesce(sum(hashtextextended(c.customer_id, 0)::numeric), 0) FROM sales.customers c
		UNION ALL
		SELECT 3, count(*) || ':' || coalesce(sum(hashtextextended(c.industry, hashtextextended(c.customer_id, 0))::numeric), 0)
		  FROM sales.customer_industries c) x(n, d));
END
$$;
COMMENT ON FUNCTION fluct._customers_digest() IS 'a digest of industries, customers and their industries';

-- Before PostgreSQL 16, and later where it was asked for, what logical replication
-- brings is written as the subscription's owner: what fires there has that role's
-- rights, whoever planted it.
CREATE OR REPLACE FUNCTION fluct._planted_in_apply() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT format('%s of %s, which role "%s" owns and subscription "%s" of superuser "%s" writes',
					  p.what, t.name, pg_get_userbyid(c.relowner), s.subname, o.rolname)
		  FROM pg_subscription s
		  JOIN pg_roles o ON o.oid = s.subowner AND o.rolsuper
		  JOIN pg_subscription_rel r ON r.srsubid = s.oid
		  JOIN pg_class c ON c.oid = r.srrelid
		  JOIN pg_roles w ON w.oid = c.relowner AND NOT w.rolsuper
		 CROSS JOIN LATERAL (SELECT c.oid::regclass::text) t(name)
		 CROSS JOIN LATERAL (
			SELECT format('trigger "%s"', g.tgname) FROM pg_trigger g
			 WHERE g.tgrelid = c.oid AND NOT g.tgisinternal
			   AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
								WHERE d.classid = 'pg_proc'::regclass AND d.objid = g.tgfoid AND d.refclassid = 'pg_extension'::regclass
								  AND d.deptype = 'e' AND e.extname = 'fluct')
			UNION ALL
			SELECT format('the default of column "%s"', a.attname)
			  FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
			 WHERE f.adrelid = c.oid
			UNION ALL
			-- only what is not PostgreSQL's own has a row in pg_depend
			SELECT o.what
			  FROM (SELECT 'pg_constraint'::regclass, k.oid, 0, format('constraint "%s"', k.conname) FROM pg_constraint k WHERE k.conrelid = c.oid
					UNION ALL
					SELECT 'pg_class'::regclass, i.oid, 0, format('index "%s"', i.relname)
					  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid
					UNION ALL
					SELECT 'pg_class'::regclass, c.oid, a.attnum, format('the type of column "%s"', a.attname)
					  FROM pg_attribute a WHERE a.attrelid = c.oid
					UNION ALL
					SELECT 'pg_class'::regclass, c.oid, 0, 'the partition key') o(class, id, part, what)
			 WHERE EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.id AND d.objsubid = o.part
							AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass))) p(what)
		 WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
		   AND coalesce((to_jsonb(s) ->> 'subrunasowner')::boolean, true)
		 ORDER BY t.name, p.what LIMIT 1);
END
$$;
COMMENT ON FUNCTION fluct._planted_in_apply() IS
'a trigger, default, constraint, index, partition key or type of users, not of fluct, of a table that a superuser''s subscription writes as that superuser, and another role owns; NULL = there is none';

CREATE OR REPLACE FUNCTION fluct._member_state_1(asked timestamptz, OUT version text, OUT skew interval, OUT has_tables boolean,
	OUT digest text, OUT planted text)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_on_tables';
COMMENT ON FUNCTION fluct._member_state_1(timestamptz) IS 'how this server is as a member, for check_members(); version 1';

CREATE OR REPLACE FUNCTION fluct.__member_state_1(asked timestamptz, OUT version text, OUT skew interval, OUT has_tables boolean,
	OUT digest text, OUT planted text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT e.extversion INTO version FROM pg_extension e WHERE e.extname = 'fluct';
	skew := clock_timestamp() - asked;
	planted := fluct._planted_in_apply();
	has_tables := to_regclass('sales.customer_industries') IS NOT NULL;
	IF has_tables THEN
		PERFORM fluct._require_tables();
		digest := fluct._customers_digest();
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__member_state_1(timestamptz) IS '_member_state_1, with the rights of the tables'' owner where the caller has them';

CREATE OR REPLACE FUNCTION fluct._check_member_streams()
RETURNS TABLE (member text, item text, status text, detail text, hint text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH s AS MATERIALIZED (
		SELECT c.* FROM fluct._cluster_streams() c WHERE fluct._has_members() AND c.state <> 'unreachable'
	), p AS (
		SELECT t.topic, t.known, n.partition, count(DISTINCT s.member) AS members, string_agg(DISTINCT s.member, ', ') AS names
		  FROM (SELECT x.topic, max(x.known) AS known FROM s x WHERE x.feeds GROUP BY 1) t
		 CROSS JOIN LATERAL generate_series(0, t.known - 1) n(partition)
		  LEFT JOIN s ON s.topic = t.topic AND s.feeds AND n.partition = ANY (s.partitions)
		 GROUP BY 1, 2, 3
	), shared AS (
		SELECT p.topic, p.names, p.members,
			   CASE count(*) WHEN p.known THEN format('each of the %s partitions', p.known)
				WHEN 1 THEN format('partition %s', min(p.partition))
				ELSE format('each of the partitions %s', string_agg(p.partition::text, ', ' ORDER BY p.partition)) END AS partitions
		  FROM p GROUP BY p.topic, p.known, p.names, p.members
	)
	SELECT h.names, 'partitions', 'fail', format('%s of topic %s is with %s members', h.partitions, h.topic, h.members),
		   'An order counts once for each member that stores it. alter_stream(..., partitions => ...): each partition belongs to one member.'
	  FROM shared h WHERE h.members > 1
	UNION ALL
	SELECT NULL, 'partitions', 'fail', format('%s of topic %s is with no member', h.partitions, h.topic),
		   'If its hand_over() failed, call that again; else alter_stream(..., partitions => ...) at a member.'
	  FROM shared h WHERE h.members = 0
	UNION ALL
	SELECT NULL, 'partitions', 'ok', format('each of the %s of topic %s is with one member', count(*), p.topic), NULL
	  FROM p GROUP BY p.topic HAVING bool_and(p.members = 1)
	UNION ALL
	SELECT s.member, 'partitions', 'skipped',
		   format('stream "%s" has not asked Kafka yet which partitions topic %s has', s.stream, s.topic), 'start_stream(...) there'
	  FROM s WHERE s.feeds AND s.known IS NULL
	UNION ALL
	SELECT s.member, 'freshness', CASE WHEN s.state = 'running' AND s.behind < '1 minute' THEN 'ok' ELSE 'warn' END,
		   format('stream "%s" is %s, %s behind', s.stream, s.state, coalesce(s.behind::text, 'an unknown time')),
		   CASE WHEN s.state = 'running' AND s.behind < '1 minute' THEN NULL ELSE 'SELECT * FROM fluct.stat_streams there' END
	  FROM s WHERE s.stream IS NOT NULL
$$;
COMMENT ON FUNCTION fluct._check_member_streams() IS 'the rows of check_members() on partitions and freshness';

CREATE OR REPLACE FUNCTION fluct.check_members()
RETURNS TABLE (member text, item text, status text, detail text, hint text)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.check_members() IS
'How the members are, one row an item: reachable, version, time (clocks), customers (a digest of industries, customers and their industries against those of this server; it reads them all), subscription (whether a superuser''s runs code of the tables'' owner), partitions (each of those that the topic had when the members'' streams saw it last, with one member), freshness. status ok, warn, fail or skipped, with what to do.';

CREATE OR REPLACE FUNCTION fluct._check_members()
RETURNS TABLE (member text, item text, status text, detail text, hint text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres'
AS $$
DECLARE
	asked CONSTANT timestamptz := clock_timestamp();
	a record;
	mine record;
	at_least numeric;		-- by how much its clock is ahead, in seconds: the answer took a while
	at_most numeric;
BEGIN
	mine := fluct._member_state_1(asked);
	FOR a IN SELECT x.member, x.missing, x.answer[1] AS version, x.answer[2]::interval AS skew,
					x.answer[3]::boolean AS has_tables, x.answer[4] AS digest, x.answer[5] AS planted
			   FROM fluct._ask_all('state', asked::text) x LOOP
		IF a.missing IS NOT NULL THEN
			RETURN QUERY VALUES (a.member, 'reachable', 'fail', a.missing, 'Rankings fail until it answers; allow_missing => true goes without it.');
			CONTINUE;
		END IF;
		at_most := round(extract(epoch FROM a.skew), 3);
		at_least := round(extract(epoch FROM a.skew - (clock_timestamp() - asked)), 3);
		RETURN QUERY VALUES
			(a.member, 'reachable', 'ok', NULL, NULL),
			(a.member, 'version', CASE WHEN a.version = mine.version THEN 'ok' ELSE 'warn' END, a.version,
			 CASE WHEN a.version <> mine.version THEN format('Here it is %s: ALTER EXTENSION fluct UPDATE', mine.version) END),
			(a.member, 'time', CASE WHEN at_most >= -2 AND at_least <= 2 THEN 'ok' ELSE 'warn' END, format('its clock is %s to %s s ahead', at_least, at_most),
			 CASE WHEN at_most < -2 OR at_least > 2 THEN 'Synchronize the clocks: windows end at now().' END),
			(a.member, 'customers', CASE WHEN NOT a.has_tables OR a.digest IS DISTINCT FROM mine.digest THEN 'fail' ELSE 'ok' END,
			 CASE WHEN NOT a.has_tables THEN 'it has no tables'
				  WHEN a.digest IS DISTINCT FROM mine.digest THEN 'its industries, customers or their industries are not those of this server'
				  ELSE a.digest END,
			 CASE WHEN NOT a.has_tables THEN 'SELECT fluct.create_tables() there'
				  WHEN a.digest IS DISTINCT FROM mine.digest THEN 'A moment later it may have caught up. Else look at pg_stat_subscription there.' END),
			(a.member, 'subscription', CASE WHEN a.planted IS NULL THEN 'ok' ELSE 'fail' END, a.planted,
			 CASE WHEN a.planted IS NOT NULL THEN
				'It runs with the superuser''s rights: drop it, or ALTER SUBSCRIPTION ... OWNER TO a role that is not a superuser.' END);
	END LOOP;
	RETURN QUERY SELECT * FROM fluct._check_member_streams();
END
$$;
COMMENT ON FUNCTION fluct._check_members() IS 'check_members, without a context';
