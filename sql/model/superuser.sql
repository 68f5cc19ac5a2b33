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
-- or a rule leads to.  And whoever owns a schema can give its name, and so that
-- of a table, to another: what follows this finds tables by their names.
CREATE OR REPLACE FUNCTION fluct._refuse_superuser_writer(role oid, target regclass)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	worst record;
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
	SELECT w.* INTO worst
	  FROM reached x
	  JOIN pg_class c ON c.oid = x.relation
	  JOIN pg_namespace n ON n.oid = c.relnamespace
	  JOIN pg_roles s ON s.oid = CASE WHEN n.nspowner = 'pg_database_owner'::regrole
									  THEN (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()) ELSE n.nspowner END
	  JOIN pg_roles r ON r.oid = role
	 CROSS JOIN LATERAL (VALUES ('tables', c.relowner, NOT r.rolsuper OR c.relowner = role), ('schema', s.oid, NOT r.rolsuper OR s.rolsuper))
			w(what, owner, is_safe)
	 ORDER BY w.is_safe, w.what DESC, c.oid = target DESC LIMIT 1;
	IF NOT worst.is_safe
	   OR role <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user AND r.rolsuper) THEN
		RAISE EXCEPTION 'a superuser cannot load into the % of role "%"', worst.what, pg_get_userbyid(worst.owner)
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = format('Code on the tables runs with the rights of the session, and this one is of role "%s".', session_user),
			      HINT = fluct._operator_statements();
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_superuser_writer(oid, regclass) IS
'raises insufficient_privilege, with the statements that make an operator, where the role, or the session of a role that is set, is a superuser and does not own each relation that the rows may end in, or where somebody else can make its name another relation''s';

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
