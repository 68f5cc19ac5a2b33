-- superuser.sql: nothing that runs by itself belongs to a superuser.

CREATE OR REPLACE FUNCTION fluct._operator_statements()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT concat_ws(E'\n',
	CASE WHEN NOT o.rolsuper THEN format('Connect as role %I, the owner of schema sales, or make another operator:', o.rolname)
		 ELSE 'Make an operator, and connect as that role:' END,
	format('CREATE ROLE %I LOGIN;', n.name),
	format('SELECT fluct.grant_operator(%L);', n.name),
	CASE WHEN o.rolname IS NULL THEN format('CREATE SCHEMA sales AUTHORIZATION %I;', n.name)
		 WHEN o.rolsuper THEN format('ALTER SCHEMA sales OWNER TO %I;', n.name)
		 ELSE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sales TO %I;', n.name) END)
  FROM (SELECT c.name FROM unnest('{etl,fluct_etl,fluct_operator,fluct_operator_2}'::text[]) WITH ORDINALITY c(name, place)
		 WHERE to_regrole(c.name) IS NULL ORDER BY c.place LIMIT 1) n
  LEFT JOIN (pg_namespace s JOIN pg_roles o ON o.oid = s.nspowner) ON s.nspname = 'sales'
$$;
COMMENT ON FUNCTION fluct._operator_statements() IS 'the hint for superusers: the statements that make an operator';

CREATE OR REPLACE FUNCTION fluct._refuse_superuser(role oid, what text, detail text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = role) THEN
		RAISE EXCEPTION '% cannot belong to a superuser', what
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = detail,
			      HINT = fluct._operator_statements();
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_superuser(oid, text, text) IS
'raises insufficient_privilege, with the statements that make an operator, where the role is a superuser';

-- Not by SET ROLE, either: what is deferred to the commit could become the
-- session's user again.
-- Rows for one relation may end in others: partitions, inheritors, what a view
-- or a rule leads to.
CREATE OR REPLACE FUNCTION fluct._refuse_superuser_writer(role oid, target regclass)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid;
BEGIN
	WITH RECURSIVE reached AS (
		SELECT target::oid AS relation
		UNION
		SELECT n.relation FROM reached r CROSS JOIN LATERAL (
			SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = r.relation
			UNION ALL
			SELECT d.refobjid FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
			 WHERE w.ev_class = r.relation AND d.refclassid = 'pg_class'::regclass) n(relation)
	)
	SELECT c.relowner INTO owner FROM reached r JOIN pg_class c ON c.oid = r.relation
	 ORDER BY c.relowner = role, c.oid = target DESC LIMIT 1;
	IF role <> owner AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = role AND r.rolsuper)
	   OR role <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user AND r.rolsuper) THEN
		RAISE EXCEPTION 'a superuser cannot load into the tables of role "%"', pg_get_userbyid(owner)
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = format('Code on the tables runs with the rights of the session, and this one is of role "%s".', session_user),
			      HINT = fluct._operator_statements();
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_superuser_writer(oid, regclass) IS
'raises insufficient_privilege, with the statements that make an operator, where the role, or the session of a role that is set, is a superuser and does not own each relation that the rows may end in';

-- What changes everybody's answers is left to the owner of the orders.
CREATE OR REPLACE FUNCTION fluct._require_orders_owner(permission text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = to_regclass('sales.orders'));
BEGIN
	IF owner IS NULL THEN
		PERFORM fluct._require_tables();
	ELSIF NOT pg_has_role(fluct._caller(), owner, 'MEMBER') THEN
		RAISE EXCEPTION 'permission denied to %', permission
			USING ERRCODE = 'insufficient_privilege', DETAIL = format('sales.orders belongs to role "%s".', pg_get_userbyid(owner));
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._require_orders_owner(text) IS
'raises insufficient_privilege where the caller is neither the owner of sales.orders nor a member of that role; undefined_table without the tables';
