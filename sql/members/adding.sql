-- adding.sql: members come and go.

CREATE OR REPLACE FUNCTION fluct.add_member(name text, server text)
RETURNS SETOF text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.add_member(text, text) IS
'From now on the rankings ask this server, too: another PostgreSQL with fluct and other partitions of the topic, or this one. server: a foreign server of postgres_fdw, of the caller, or of a role that the caller is a member of. To be called by the owner of sales.orders, whose rankings they are. It is asked with the user mapping of whoever asks, or the one for PUBLIC. Asks it once, and returns the statements that are left to do: publication and subscription of the customers and their industries. Errors: undefined_object, wrong_object_type, duplicate_object, insufficient_privilege, connection_failure.';

CREATE OR REPLACE FUNCTION fluct._add_member(name text, server text)
RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s record;
	other text;
	answer record;
BEGIN
	IF name IS NULL OR octet_length(name) NOT BETWEEN 1 AND 63 OR name <> fluct._printable(name) THEN
		RAISE EXCEPTION 'invalid member name: %', coalesce('"' || fluct._printable(name) || '"', 'NULL')
			USING ERRCODE = 'invalid_parameter_value', DETAIL = 'A name has 1 to 63 bytes and no control characters.';
	END IF;
	SELECT f.srvname, f.srvowner, w.fdwname INTO s
	  FROM pg_foreign_server f JOIN pg_foreign_data_wrapper w ON w.oid = f.srvfdw WHERE f.srvname = server;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'server % does not exist', coalesce('"' || server || '"', 'NULL')
			USING ERRCODE = 'undefined_object',
			      HINT = 'CREATE SERVER NAME FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host ''HOST'', dbname ''DATABASE'');';
	ELSIF s.fdwname <> 'postgres_fdw' THEN
		RAISE EXCEPTION 'server "%" is of foreign-data wrapper "%"', server, s.fdwname
			USING ERRCODE = 'wrong_object_type', DETAIL = 'A member is a PostgreSQL: its server is of postgres_fdw.';
	ELSIF NOT pg_has_role(fluct._caller(), s.srvowner, 'MEMBER') THEN
		RAISE EXCEPTION 'permission denied for server "%"', server
			USING ERRCODE = 'insufficient_privilege', DETAIL = format('It belongs to role "%s".', pg_get_userbyid(s.srvowner));
	END IF;
	PERFORM fluct._require_orders_owner('add a member');
	-- one at a time, so that the second sees the first one's row
	LOCK TABLE fluct.members IN SHARE ROW EXCLUSIVE MODE;
	SELECT m.name INTO other FROM fluct.members m WHERE m.name = _add_member.name OR m.server = _add_member.server;
	IF FOUND THEN
		RAISE EXCEPTION 'member "%" already exists', other
			USING ERRCODE = 'duplicate_object', HINT = 'SELECT * FROM fluct.members; lists all.';
	END IF;
	INSERT INTO fluct.members (name, server, added_by) VALUES (name, server, pg_get_userbyid(fluct._caller()));
	SELECT a.* INTO answer FROM fluct._try_member(name) a;
	IF answer.missing IS NOT NULL THEN
		RAISE EXCEPTION 'member "%" does not answer', name
			USING ERRCODE = 'connection_failure', DETAIL = rtrim(answer.missing, '.') || '.',
			      HINT = 'It needs the extension fluct of this version, and its role grant_reader() there.';
	END IF;
	RETURN QUERY SELECT st FROM (VALUES
		(1, '-- Here, once, as the owner of the tables: the customers and their industries are the same at all members.'),
		(2, 'CREATE PUBLICATION fluct_customers FOR TABLE sales.industries, sales.products, sales.customers, sales.customer_industries;'),
		(3, '-- At the member, as a superuser (from PostgreSQL 16 on also a member of pg_create_subscription), with tables that are empty:'),
		(4, format('CREATE SUBSCRIPTION fluct_customers_%s CONNECTION ''host=THIS_HOST dbname=%s user=REPLICATOR password=SECRET'' PUBLICATION fluct_customers;',
				   lower(regexp_replace(name, '[^A-Za-z0-9_]', '_', 'g')), current_database()))) v(n, st) ORDER BY n;
END
$$;
COMMENT ON FUNCTION fluct._add_member(text, text) IS 'add_member, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._try_member(name text, OUT missing text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._try_member(text) IS 'why this member does not answer the caller; NULL = it does';

CREATE OR REPLACE FUNCTION fluct.__try_member(name text, OUT missing text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT max(a.missing) INTO missing FROM fluct._ask_members('state', ARRAY[name], ARRAY[clock_timestamp()::text]) a;
END
$$;
COMMENT ON FUNCTION fluct.__try_member(text) IS '_try_member, as the caller';

CREATE OR REPLACE FUNCTION fluct.remove_member(name text)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.remove_member(text) IS
'The rankings no longer ask this member; what it holds stays there. To be called by the owner of sales.orders. Errors: undefined_object, insufficient_privilege.';

CREATE OR REPLACE FUNCTION fluct._remove_member(name text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m fluct.members := fluct._known_member(name);
BEGIN
	PERFORM fluct._require_orders_owner('remove a member');
	DELETE FROM fluct.members x WHERE x.name = m.name;
END
$$;
COMMENT ON FUNCTION fluct._remove_member(text) IS 'remove_member, as the extension''s owner';
