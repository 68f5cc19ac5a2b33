-- owner.sql: who owns a stream, what it needs to be granted, and whose stream it is.

CREATE OR REPLACE FUNCTION fluct._owner_role(name text, role oid, system_identifier text) RETURNS oid
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_owner_role';
COMMENT ON FUNCTION fluct._owner_role(text, oid, text) IS
'The role that a stored owner is: by its OID in the cluster of that system identifier, by its name in any other or without an OID; NULL when there is none.';

CREATE OR REPLACE FUNCTION fluct._require_owner(name text, role oid, system_identifier text) RETURNS oid
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_require_owner';
COMMENT ON FUNCTION fluct._require_owner(text, oid, text) IS
'The role that a stored owner is, if something may run for it by itself. Errors: insufficient_privilege where it is gone, is a superuser, or lacks LOGIN or CONNECT, with the statement that gives it.';

CREATE OR REPLACE FUNCTION fluct._stream_owner(stream fluct.streams) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT fluct._owner_role(stream.owner, stream.owner_oid, stream.system_identifier)
$$;
COMMENT ON FUNCTION fluct._stream_owner(fluct.streams) IS
'The role that owns the stream; NULL when it is gone.';

CREATE OR REPLACE FUNCTION fluct._check_rights(caller oid, server text, targets text[], on_conflict text, keep_raw boolean, deletes boolean)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	role name := pg_get_userbyid(caller);
	target text;
	needed text[];
	need text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_foreign_server s
				   JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
				   WHERE s.srvname = server AND w.fdwname = 'fluct_kafka') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('server "%s" of the wrapper fluct_kafka does not exist', server),
			HINT = fluct._did_you_mean(server, ARRAY(
				SELECT s.srvname::text FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE w.fdwname = 'fluct_kafka'),
				format('CREATE SERVER %I FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers ''host:9092'');', server));
	END IF;
	IF NOT has_server_privilege(caller, server, 'USAGE') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role "%s" cannot use server "%s"', role, server),
			HINT = format('GRANT USAGE ON FOREIGN SERVER %I TO %I;', server, role);
	END IF;
	PERFORM fluct._check_server_owner(server, caller);
	FOR i IN 1 .. cardinality(targets) + keep_raw::int LOOP
		target := coalesce(targets[i], 'sales.raw_messages');
		needed := CASE WHEN deletes AND i = 1 THEN '{INSERT,SELECT,UPDATE,DELETE}'
					   WHEN on_conflict = 'update' AND i = 1 THEN '{INSERT,SELECT,UPDATE}'
					   WHEN on_conflict = 'update' AND i <= cardinality(targets) THEN '{INSERT,SELECT,DELETE}'
					   WHEN on_conflict = 'nothing' AND i = 1 THEN '{INSERT,SELECT}'
					   ELSE '{INSERT}' END;
		FOREACH need IN ARRAY needed LOOP
			IF NOT (CASE WHEN need = 'DELETE' THEN has_table_privilege(caller, target, need)
						 ELSE has_any_column_privilege(caller, target, need) END) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'insufficient_privilege',
					MESSAGE = format('role "%s" lacks %s on %s', role, need, target),
					DETAIL = 'A stream writes with the rights of the role that creates it.',
					HINT = format('GRANT %s ON %s TO %I;', array_to_string(needed, ', '), target, role);
			END IF;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._check_rights(oid, text, text[], text, boolean, boolean) IS
'Raises insufficient_privilege where the role lacks a right that a stream of its needs, with the GRANT that gives it.';

CREATE OR REPLACE FUNCTION fluct._stream_hint(name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN count(*) = 0 THEN 'SELECT fluct.create_stream(...) makes one.'
			ELSE fluct._did_you_mean(_stream_hint.name, array_agg(s.name), 'SELECT stream, state FROM fluct.stat_streams; lists all.') END
  FROM fluct.streams s
$$;
COMMENT ON FUNCTION fluct._stream_hint(text) IS 'the hint for a stream that does not exist';

CREATE OR REPLACE FUNCTION fluct._own_stream(name text, lock boolean DEFAULT true) RETURNS fluct.streams
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stream fluct.streams;
	caller oid := fluct._caller();
	locked boolean;
BEGIN
	LOOP
		IF lock THEN
			PERFORM FROM fluct.streams s WHERE s.name = _own_stream.name FOR UPDATE;
			locked := FOUND;
		END IF;
		SELECT * INTO stream FROM fluct.streams s WHERE s.name = _own_stream.name;
		-- dropped and created again while the lock was waited for
		EXIT WHEN locked OR NOT lock OR NOT FOUND;
	END LOOP;
	IF stream.name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('stream %s does not exist', coalesce('"' || name || '"', 'NULL')), HINT = fluct._stream_hint(name);
	END IF;
	IF (SELECT rolsuper FROM pg_roles WHERE oid = caller) THEN
		RETURN stream;
	END IF;
	IF NOT coalesce(pg_has_role(caller, fluct._stream_owner(stream), 'MEMBER'), false) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('stream "%s" belongs to role "%s"', name, stream.owner);
	END IF;
	RETURN stream;
END
$$;
COMMENT ON FUNCTION fluct._own_stream(text, boolean) IS
'The stream, locked unless lock is false, if the caller is its owner, a member of its owner, or a superuser. Errors: undefined_object, insufficient_privilege.';
