-- check.sql: what Kafka holds for a stream, and what becomes of it.
--
-- A session cannot own a Kafka client, so it asks a worker: see src/inquiry/session.c.

CREATE OR REPLACE FUNCTION fluct._ask(stream text, question text, count int, start_at text)
RETURNS TABLE (number int, fields text[])
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_inquire';
COMMENT ON FUNCTION fluct._ask(text, text, int, text) IS
'Lets a background worker ask Kafka: check (item, status, detail, hint), preview (the columns of preview_stream, topic last), seek (partition, begin and end of Kafka''s log, where start_at begins, topic) or reconcile (the columns of reconcile_stream, topic last).';

CREATE OR REPLACE FUNCTION fluct.check_stream(name text)
RETURNS TABLE (item text, status text, detail text, hint text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.check_stream(text) IS
'Checks all that a stream needs, in this order: dns, broker, tls, login, topic, partitions, columns, privileges, distribution (only where another extension stores rows elsewhere, and only to the stream''s owner), retention, messages waiting. status is ok, warn, fail or skipped. Moves nothing, and answers within 10 seconds. Without a free background worker to query Kafka, what Kafka would answer is skipped, and the first item says why. Errors: undefined_object, insufficient_privilege.';

-- What is kept without end should be known before it fills the disk.
CREATE OR REPLACE FUNCTION fluct._raw_growth() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('the raw copy of all streams grows by about %s a day',
				  pg_size_pretty(avg(pg_total_relation_size(p.partition))::bigint))
	FROM fluct._partitions(to_regclass('sales.raw_messages')) p
	WHERE p.until BETWEEN now() - interval '7 days' AND now()
	HAVING avg(pg_total_relation_size(p.partition)) > 1048576
$$;
COMMENT ON FUNCTION fluct._raw_growth() IS
'How much raw_messages keeps a day, by its partitions of the last whole days; NULL for less than 1 MB.';

-- What Kafka says, in the order of the checks.  Where no worker is free to ask,
-- or none answers, these items are skipped, with the reason in the first.
CREATE OR REPLACE FUNCTION fluct._check_kafka(stream text)
RETURNS TABLE (number int, item text, status text, detail text, hint text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	fact text;
BEGIN
	RETURN QUERY SELECT a.number, a.fields[1], a.fields[2], a.fields[3], a.fields[4]
				 FROM fluct._ask(stream, 'check', 0, NULL) a;
EXCEPTION WHEN configuration_limit_exceeded OR connection_failure OR lock_not_available THEN
	GET STACKED DIAGNOSTICS detail = MESSAGE_TEXT, fact = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	detail := concat_ws(': ', detail, nullif(fact, ''));
	FOR number, item IN
		SELECT i.n, i.item
		FROM unnest('{dns,broker,tls,login,topic,partitions,retention,"messages waiting"}'::text[]) WITH ORDINALITY i(item, n)
	LOOP
		status := 'skipped';
		RETURN NEXT;
		detail := NULL; hint := NULL;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._check_kafka(text) IS 'the items of check_stream that Kafka answers; skipped, with the reason at the first, without a worker';

CREATE OR REPLACE FUNCTION fluct._routed_among(relations regclass[], owner oid) RETURNS regclass[]
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_routed_among';
COMMENT ON FUNCTION fluct._routed_among(regclass[], oid) IS
'those of the relations whose rows another extension stores elsewhere, as Citus does; planned with the rights of that role';

-- Without such targets the item is left out.
CREATE OR REPLACE FUNCTION fluct._check_distribution(s fluct.streams, targets text[], owner oid)
RETURNS TABLE (item text, status text, detail text, hint text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	routed regclass[] := fluct._routed_among(array_remove(targets::regclass[]
		|| CASE WHEN s.keep_raw THEN to_regclass('sales.raw_messages') END, NULL), owner);
BEGIN
	item := 'distribution'; status := 'ok';
	detail := 'stored by another extension: ' || array_to_string(routed, ', ');
	IF to_regclass('sales.orders') = ANY (routed) THEN
		status := 'fail';
		hint := 'Distribute sales.order_lines and sales.raw_messages; the triggers of sales.orders keep the rollup, and work only where it is.';
	ELSIF s.batch_size < 10000 THEN
		status := 'warn';
		hint := format('SELECT fluct.alter_stream(%L, batch_size => 10000); each batch is sent to all nodes. '
					   'With Citus, citus.max_cached_conns_per_worker = 16 keeps their connections, and few shards are faster than many.', s.name);
	END IF;
	IF routed <> '{}' THEN
		RETURN NEXT;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_distribution(fluct.streams, text[], oid) IS
'the item of check_stream about targets that another extension stores elsewhere; none if there are no such targets';

-- It opens no table: that would wait for the lock as well.
CREATE OR REPLACE FUNCTION fluct._lock_hint(s fluct.streams) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%s holds a lock on %s%s', CASE WHEN l.pid IS NULL THEN 'A prepared transaction' ELSE format('Process %s', l.pid) END,
				  l.relation::regclass, CASE WHEN l.pid IS NULL THEN '.' ELSE format(': SELECT pg_terminate_backend(%s); ends it.', l.pid) END)
	FROM pg_locks l
	WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'AccessExclusiveLock' AND l.relation IN (
		SELECT to_regclass(t) FROM unnest(ARRAY[s.target, CASE WHEN s.keep_raw THEN 'sales.raw_messages' END]) t
		UNION SELECT to_regclass(c ->> 'target') FROM jsonb_path_query(s.mapping, 'lax $.**.children[*]') c)
		AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
	LIMIT 1
$$;
COMMENT ON FUNCTION fluct._lock_hint(fluct.streams) IS
'which session keeps others from a stream''s tables; NULL if there is none any more';

CREATE OR REPLACE FUNCTION fluct._check_raw(stream text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	raw regclass := to_regclass('sales.raw_messages');
	missing text := (SELECT string_agg(m.column_name, ', ') FROM fluct._model_columns() m
					  WHERE m.table_name = 'raw_messages' AND m.column_name <> 'ingested_at'
						AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = raw AND a.attname = m.column_name AND NOT a.attisdropped));
	unfilled text := (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
					   WHERE a.attrelid = raw AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
						 AND a.attname NOT IN (SELECT m.column_name FROM fluct._model_columns() m WHERE m.table_name = 'raw_messages'));
	without text := format('SELECT fluct.alter_stream(%L, keep_raw => false); keeps no raw copy.', stream);
BEGIN
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_column', MESSAGE = format('sales.raw_messages lacks %s', missing),
			HINT = 'SELECT fluct.create_tables(); adds what is missing. ' || without;
	ELSIF unfilled IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'not_null_violation',
			MESSAGE = format('nothing fills %s of sales.raw_messages, NOT NULL without a default', unfilled),
			HINT = 'Give it a default, or drop it. ' || without;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_raw(text) IS 'Raises an error where the raw copy cannot be stored for its columns: undefined_column, not_null_violation.';

-- PostgreSQL refuses the UPDATE and DELETE of such tables (55000).  Rows are
-- changed where they are stored: each partition has its own replica identity.
CREATE OR REPLACE FUNCTION fluct._published_without_identity(s fluct.streams, targets text[])
RETURNS TABLE (relation regclass, publication name)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.oid::regclass, p.pubname
	  FROM unnest(targets) WITH ORDINALITY t(name, place)
	 CROSS JOIN LATERAL (SELECT t.name::regclass UNION SELECT x.relid FROM pg_partition_tree(t.name::regclass) x) l(relation)
	  JOIN pg_class c ON c.oid = l.relation AND c.relkind = 'r' AND c.relreplident <> 'f'
	  JOIN pg_publication p ON p.puballtables OR EXISTS (
			SELECT FROM pg_class a
			 WHERE (a.oid = c.oid OR a.oid IN (SELECT x.relid FROM pg_partition_ancestors(c.oid) x))
			   AND (EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = a.oid)
					OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = a.relnamespace)))
	 CROSS JOIN (SELECT s.on_conflict = 'update', fluct._deletes(s.mapping, s.on_tombstone)) d(updates, deletes)
	 WHERE (p.pubupdate AND t.place = 1 AND (d.updates OR d.deletes) OR p.pubdelete AND (d.deletes AND t.place = 1 OR d.updates AND t.place > 1))
	   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid
						  AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END)
	 ORDER BY t.place, c.oid::regclass::text, p.pubname
$$;
COMMENT ON FUNCTION fluct._published_without_identity(fluct.streams, text[]) IS
'those of the stream''s tables in which a publication has what the stream updates or deletes, and by which it knows no row';

CREATE OR REPLACE FUNCTION fluct._check_here(s fluct.streams)
RETURNS TABLE (item text, status text, detail text, hint text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	owner oid := fluct._stream_owner(s);
	targets text[];
	published record;
BEGIN
	BEGIN
		item := 'columns'; status := 'ok';
		targets := fluct._check_mapping(fluct._find_target(s.name, s.target), s.mapping, s.on_conflict, owner, s.framing, s.on_tombstone);
		IF s.keep_raw THEN
			PERFORM fluct._check_raw(s.name);
		END IF;
		detail := array_to_string(targets, ', ');
		FOR published IN SELECT * FROM fluct._published_without_identity(s, targets) LIMIT 1 LOOP
			status := 'fail';
			detail := format('publication %I has updates and deletes of %s, which has no replica identity',
							 published.publication, published.relation);
			hint := format('ALTER TABLE %s REPLICA IDENTITY FULL; or give it a primary key.', published.relation);
		END LOOP;
	EXCEPTION WHEN OTHERS THEN
		status := 'fail';
		GET STACKED DIAGNOSTICS detail = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		hint := CASE WHEN SQLSTATE = '55P03' THEN fluct._lock_hint(s) ELSE nullif(hint, '') END;
	END;
	RETURN NEXT;
	BEGIN
		item := 'privileges'; status := 'skipped'; detail := NULL; hint := NULL;
		IF targets IS NOT NULL THEN
			PERFORM fluct._check_rights(owner, s.server, targets, s.on_conflict, s.keep_raw, fluct._deletes(s.mapping, s.on_tombstone));
			status := 'ok';
			detail := format('role %s', s.owner);
		END IF;
	EXCEPTION WHEN OTHERS THEN
		status := 'fail';
		GET STACKED DIAGNOSTICS detail = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		hint := CASE WHEN SQLSTATE = '55P03' THEN fluct._lock_hint(s) ELSE nullif(hint, '') END;
	END;
	RETURN NEXT;
	-- planning executes what is planted on the tables: in a session of their writer only
	IF status = 'ok' AND owner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user) THEN
		RETURN QUERY SELECT * FROM fluct._check_distribution(s, targets, owner);
	END IF;
EXCEPTION WHEN lock_not_available THEN
	item := 'distribution'; status := 'skipped'; detail := SQLERRM; hint := fluct._lock_hint(s);
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION fluct._check_here(fluct.streams) IS 'the items of check_stream that this database answers: columns and privileges';

-- A lock that somebody holds is waited for only so long that the whole answer
-- takes less than 10 seconds.
CREATE OR REPLACE FUNCTION fluct._check_stream(name text)
RETURNS TABLE (item text, status text, detail text, hint text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
	growth text;
	answer record;
BEGIN
	FOR answer IN SELECT * FROM fluct._check_kafka(s.name) k ORDER BY k.number LOOP
		IF answer.item = 'retention' THEN
			RETURN QUERY SELECT * FROM fluct._check_here(s);
		END IF;
		item := answer.item;
		status := answer.status;
		detail := fluct._printable(answer.detail);
		hint := fluct._printable(answer.hint);
		BEGIN
			growth := CASE WHEN item = 'retention' AND s.keep_raw THEN fluct._raw_growth() END;
		EXCEPTION WHEN lock_not_available THEN
			growth := NULL;
		END;
		IF growth IS NOT NULL THEN
			detail := concat_ws('; ', detail, growth);
			hint := coalesce(hint, 'CALL fluct.apply_retention(raw => ''30 days''); drops what is older.');
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._check_stream(text) IS 'check_stream, as the extension''s owner.';

CREATE OR REPLACE FUNCTION fluct.preview_stream(name text, n int DEFAULT 5, start_at text DEFAULT NULL)
RETURNS TABLE (topic text, partition int, "offset" bigint, target text, rows int, first_row jsonb, error text, path text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.preview_stream(text, int, text) IS
'What the next n messages (1 to 1000) would become: a row for each message and target, with the number of its rows and the first of them, or the error as "reason: detail" and its path. It reads from the stream''s position on, or from start_at; stores nothing and moves nothing, and does not see what the tables themselves would refuse. Errors: undefined_object, insufficient_privilege, invalid_parameter_value, configuration_limit_exceeded without a free background worker, fdw_unable_to_establish_connection.';

CREATE OR REPLACE FUNCTION fluct._preview_stream(name text, n int, start_at text)
RETURNS TABLE (topic text, partition int, "offset" bigint, target text, rows int, first_row jsonb, error text, path text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	s fluct.streams := fluct._own_stream(name, false);
	-- a session's own time zone and clock give a time its meaning
	whence text := fluct._normal_start(start_at);
	answer record;
	found boolean := false;
BEGIN
	IF n IS NULL OR n NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'n is from 1 to 1000 messages';
	END IF;
	FOR answer IN SELECT a.fields FROM fluct._ask(s.name, 'preview', n, whence) a ORDER BY a.number LOOP
		found := true;
		IF answer.fields[1] IS NULL THEN
			RAISE WARNING '%', answer.fields[6]
				USING HINT = 'Are the paths right, and does format name the unit (epoch_s: seconds, epoch_ms: milliseconds)?';
			CONTINUE;
		END IF;
		topic := fluct._printable(answer.fields[8]);
		partition := answer.fields[1];
		"offset" := answer.fields[2];
		target := answer.fields[3];
		rows := answer.fields[4];
		first_row := answer.fields[5];
		error := answer.fields[6];
		path := answer.fields[7];
		RETURN NEXT;
	END LOOP;
	IF NOT found THEN
		RAISE NOTICE 'no messages wait for stream "%" there', name
			USING HINT = format('SELECT * FROM fluct.preview_stream(%L, start_at => ''earliest''); shows the oldest.', name);
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._preview_stream(text, int, text) IS 'preview_stream, as the extension''s owner.';
