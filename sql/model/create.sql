-- create.sql: create_tables() makes what is missing of the users' tables.
--
-- It works with the rights of its caller, who owns what it makes; a superuser's
-- tables would run other people's triggers and defaults as a superuser, so it
-- refuses superusers.  It changes only what it made: see _check_sales().

CREATE OR REPLACE FUNCTION fluct._require_tables() RETURNS void
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct._require_tables() IS
'raises undefined_table, with the call that makes them, where a table of the model is missing; and what _check_tables() raises';

CREATE OR REPLACE FUNCTION fluct.__require_tables() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing text;
BEGIN
	SELECT string_agg('sales.' || t.table_name, ', ') INTO missing
	  FROM fluct._model_tables() t
	 WHERE to_regclass('sales.' || t.table_name) IS NULL;
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'the tables in schema sales do not exist yet'
			USING ERRCODE = 'undefined_table',
			      DETAIL = format('Missing: %s.', missing),
			      HINT = 'SELECT fluct.create_tables();';
	END IF;
	PERFORM fluct._check_tables();
END
$$;
COMMENT ON FUNCTION fluct.__require_tables() IS '_require_tables, without a context';

-- Whoever is not the owner of the tables would run what stands in their place;
-- and a superuser who owns one of them, what stands on the others.
CREATE OR REPLACE FUNCTION fluct._check_tables()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tables_owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = to_regclass('sales.orders'));
	bad record;
BEGIN
	IF EXISTS (SELECT FROM pg_roles r
				WHERE r.oid = tables_owner AND NOT r.rolsuper
				  AND CASE WHEN fluct._caller() IS NULL THEN r.rolname = current_user ELSE r.oid = fluct._caller() END) THEN
		RETURN;
	END IF;
	SELECT c.relname AS name, c.relkind, c.relowner AS owner INTO bad
	  FROM pg_class c
	 WHERE c.oid = ANY (ARRAY(SELECT to_regclass('sales.' || t.table_name)::oid FROM fluct._model_tables() t))
	   AND (c.relkind NOT IN ('r', 'p') OR c.relowner IS DISTINCT FROM tables_owner)
	 ORDER BY c.relname LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'relation "sales.%" is not a table of role "%", the owner of sales.orders', bad.name, pg_get_userbyid(tables_owner)
			USING ERRCODE = 'wrong_object_type',
			      DETAIL = CASE WHEN bad.owner = tables_owner THEN 'It is a view or a foreign table.'
							    ELSE format('It belongs to role "%s".', pg_get_userbyid(bad.owner)) END,
			      HINT = 'Only the owner of the tables can work with what stands in their place.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_tables() IS
'raises wrong_object_type where a relation of the model is not an ordinary table of the owner of sales.orders, unless that owner calls, and is not a superuser';

-- ---------------------------------------------------------------------------
-- Nothing that runs by itself belongs to a superuser
-- ---------------------------------------------------------------------------

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

-- What changes the answers that everybody gets is for whoever owns the orders.
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

-- ---------------------------------------------------------------------------
-- Whose relations they are
-- ---------------------------------------------------------------------------

-- Types of views' columns follow from the tables.
CREATE OR REPLACE FUNCTION fluct._has_model_columns(relation oid, name text)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT count(*) > 0 AND bool_and(a.attname IS NOT NULL)
  FROM (SELECT c.column_name, split_part(c.definition, ' ', 1)::regtype AS type
		  FROM fluct._model_columns() c WHERE c.table_name = name
		 UNION ALL
		SELECT v.column_name, NULL FROM fluct._model_view_columns() v WHERE v.view_name = name) m
  LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attname = m.column_name
	   AND a.atttypid = coalesce(m.type, a.atttypid) AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION fluct._has_model_columns(oid, text) IS 'whether a relation has all columns of the table or view of that name in the model';

CREATE OR REPLACE FUNCTION fluct._model_relations(OUT name text, OUT relation oid, OUT owner oid, OUT is_ours boolean)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
WITH present AS (
	SELECT m.name, c.oid, c.relowner, r.name IS NOT NULL AS was_made, r.relation, r.extension <> e.oid AS is_restored,
		   fluct._has_model_columns(c.oid, m.name) AND c.relkind = m.relkind AND c.relowner = n.nspowner AS is_alike
	  FROM (SELECT t.table_name AS name, CASE WHEN t.partitioned IS NULL THEN 'r' ELSE 'p' END AS relkind FROM fluct._model_tables() t
			 UNION ALL
			SELECT v.view_name, 'v' FROM fluct._model_views() v) m
	  JOIN pg_class c ON c.relname = m.name
	  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'sales'
	  LEFT JOIN fluct.made_relations r ON r.name = m.name
	  JOIN pg_extension e ON e.extname = 'fluct'
)
SELECT p.name, p.oid, p.relowner,
	   p.relation IS NOT DISTINCT FROM p.oid OR p.is_alike AND (coalesce(p.is_restored, false) OR whole.is_left)
  FROM present p,
	   (SELECT NOT bool_or(a.was_made) AND bool_and(a.is_alike)
			   AND count(*) FILTER (WHERE t.table_name IS NOT NULL) = (SELECT count(*) FROM fluct._model_tables()) AS is_left
		  FROM present a
		  LEFT JOIN fluct._model_tables() t ON t.table_name = a.name) whole
$$;
COMMENT ON FUNCTION fluct._model_relations() IS
'the relations in schema sales with names of the model, and whether create_tables() made them: by OID, or after a restore by all of their columns; after DROP EXTENSION, which forgets what was made, if the model is there as a whole, with all columns, and belongs to the owner of the schema';

CREATE OR REPLACE FUNCTION fluct._check_sales()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	owner oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'sales');
	caller CONSTANT oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
	other text;
BEGIN
	IF owner IS NULL AND NOT has_database_privilege(current_database(), 'CREATE') THEN
		RAISE EXCEPTION 'permission denied to create schema sales'
			USING ERRCODE = 'insufficient_privilege',
			      HINT = format(E'A superuser, or the owner of the database, makes it for you:\nCREATE SCHEMA sales AUTHORIZATION %1$I;\nor lets you make it:\nGRANT CREATE ON DATABASE %2$I TO %1$I;',
									current_user, current_database());
	ELSIF owner <> caller THEN
		RAISE EXCEPTION 'schema sales belongs to role "%"', pg_get_userbyid(owner)
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = 'The owner of the schema makes the tables, and owns them.',
			      HINT = format('Call fluct.create_tables() as %I.', pg_get_userbyid(owner));
	END IF;
	SELECT m.name INTO other FROM fluct._model_relations() m WHERE NOT m.is_ours ORDER BY m.name LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'relation "sales.%" already exists, and fluct did not make it', other
			USING ERRCODE = 'duplicate_table',
			      DETAIL = 'create_tables() changes only what it made.',
			      HINT = 'Rename it, or move it to another schema by ALTER TABLE ... SET SCHEMA.';
	END IF;
	SELECT pg_describe_object(d.classid, d.objid, d.objsubid) INTO other FROM pg_depend d
	 WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = to_regnamespace('sales')
	   AND NOT EXISTS (SELECT 1 FROM fluct._model_relations())
	 ORDER BY d.objid LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'schema sales is not empty'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			      DETAIL = format('It holds %s, and none of the tables of fluct.', other),
			      HINT = 'Move what it holds to another schema.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_sales() IS
'raises an error unless the caller may make schema sales, or owns it and it is empty or holds what create_tables() made';

CREATE OR REPLACE FUNCTION fluct._remember_relations() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._remember_relations() IS 'writes down which relations of the model in schema sales create_tables() made';

-- What is not ours was refused before anything was made: so all of the model's
-- names that the schema's owner has there are ours now.
CREATE OR REPLACE FUNCTION fluct.__remember_relations() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO fluct.made_relations AS r (name, relation, extension)
	SELECT m.name, m.relation, e.oid
	  FROM fluct._model_relations() m
	  JOIN pg_extension e ON e.extname = 'fluct'
	  JOIN pg_namespace n ON n.nspname = 'sales' AND n.nspowner = fluct._caller()
	 WHERE m.owner = n.nspowner AND fluct._has_model_columns(m.relation, m.name)
	    ON CONFLICT (name) DO UPDATE SET (relation, extension, made_at) = (excluded.relation, excluded.extension, clock_timestamp())
	 WHERE (r.relation, r.extension) <> (excluded.relation, excluded.extension);
END
$$;
COMMENT ON FUNCTION fluct.__remember_relations() IS '_remember_relations, as the extension''s owner';

-- ---------------------------------------------------------------------------
-- Making what is missing
-- ---------------------------------------------------------------------------

-- Each _make_ function returns the names of what it made.
CREATE OR REPLACE FUNCTION fluct._make_tables()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
	c record;
	made text[] := '{}';
BEGIN
	FOR t IN
		SELECT m.*, (SELECT string_agg(format('%I %s', d.column_name, d.definition), ', ')
					   FROM fluct._model_columns() d
					  WHERE d.table_name = m.table_name) AS columns
		  FROM fluct._model_tables() m
		 WHERE to_regclass('sales.' || m.table_name) IS NULL
	LOOP
		EXECUTE format('CREATE TABLE sales.%I (%s) %s',
					   t.table_name, t.columns, 'PARTITION BY ' || t.partitioned);
		EXECUTE format('COMMENT ON TABLE sales.%I IS %L', t.table_name, t.comment);
		FOR c IN SELECT * FROM fluct._model_columns() m WHERE m.table_name = t.table_name LOOP
			PERFORM fluct._finish_column(c.table_name, c.column_name, c.comment);
		END LOOP;
		made := made || ('table ' || t.table_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_tables() IS 'makes the missing tables of the model, without keys and indexes';

-- Values stay in the row's page where they fit once compressed: fewer toast
-- chunks.  lz4 where the server was built with it.
CREATE OR REPLACE FUNCTION fluct._finish_column(table_name text, column_name text, comment text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('COMMENT ON COLUMN sales.%I.%I IS %L', table_name, column_name, comment);
	IF table_name = 'industry_spend' AND column_name = 'amount' THEN
		-- room for the new version of a row beside the old one
		ALTER TABLE sales.industry_spend SET (fillfactor = 80);
	ELSIF table_name = 'raw_messages' AND column_name = 'value' THEN
		ALTER TABLE sales.raw_messages ALTER COLUMN value SET STORAGE MAIN;
		BEGIN
			ALTER TABLE sales.raw_messages ALTER COLUMN value SET COMPRESSION lz4;
		EXCEPTION WHEN feature_not_supported THEN
			NULL;
		END;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._finish_column(text, text, text) IS 'gives a new column its comment and storage';

-- A NOT NULL column cannot come back to a table with rows, so it comes back
-- without, and a warning says so.
CREATE OR REPLACE FUNCTION fluct._make_columns()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	has_rows boolean;
	made text[] := '{}';
BEGIN
	FOR c IN
		SELECT m.* FROM fluct._model_columns() m
		 WHERE NOT EXISTS (SELECT 1 FROM pg_attribute a
							WHERE a.attrelid = to_regclass('sales.' || m.table_name)
							  AND a.attname = m.column_name AND NOT a.attisdropped)
	LOOP
		EXECUTE format('SELECT EXISTS (SELECT 1 FROM sales.%I)', c.table_name) INTO has_rows;
		IF has_rows AND c.definition LIKE '% NOT NULL%' AND c.definition NOT LIKE '% DEFAULT %' THEN
			c.definition := replace(c.definition, ' NOT NULL', '');
			RAISE WARNING 'column sales.%.% comes back empty, without NOT NULL', c.table_name, c.column_name
				USING ERRCODE = 'not_null_violation',
				      DETAIL = 'The table has rows.',
				      HINT = format('Fill it, then ALTER TABLE sales.%I ALTER COLUMN %I SET NOT NULL.',
									c.table_name, c.column_name);
		END IF;
		EXECUTE format('ALTER TABLE sales.%I ADD COLUMN %I %s', c.table_name, c.column_name, c.definition);
		PERFORM fluct._finish_column(c.table_name, c.column_name, c.comment);
		made := made || format('column %s.%s', c.table_name, c.column_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_columns() IS 'adds the missing columns to tables that are there';

CREATE OR REPLACE FUNCTION fluct._make_keys(new_things text[])
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	k record;
	made text[] := '{}';
BEGIN
	FOR k IN
		SELECT m.* FROM fluct._model_keys() m
		 WHERE ('table ' || m.table_name = ANY (new_things)
				OR EXISTS (SELECT 1 FROM unnest(m.columns) c
							WHERE format('column %s.%s', m.table_name, c) = ANY (new_things)))
		   AND NOT EXISTS (SELECT 1 FROM pg_constraint x
							WHERE x.conrelid = to_regclass('sales.' || m.table_name)
							  AND (x.conname = m.key_name
								   OR x.contype = 'p' AND m.definition LIKE 'PRIMARY KEY%'))
	LOOP
		BEGIN
			EXECUTE format('ALTER TABLE sales.%I ADD CONSTRAINT %I %s',
						   k.table_name, k.key_name, k.definition);
			made := made || ('key ' || k.key_name);
		EXCEPTION WHEN integrity_constraint_violation OR invalid_foreign_key THEN
			RAISE WARNING 'key % of sales.% cannot come back yet', k.key_name, k.table_name
				USING ERRCODE = SQLSTATE, DETAIL = SQLERRM,
				      HINT = format('Fix the rows, then ALTER TABLE sales.%I ADD CONSTRAINT %I %s.',
									k.table_name, k.key_name, k.definition);
		END;
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_keys(text[]) IS 'adds the keys of new tables and columns';

-- An index that serves the same is as good: same method, same first column.
CREATE OR REPLACE FUNCTION fluct._make_indexes()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i record;
	made text[] := '{}';
BEGIN
	FOR i IN
		SELECT m.* FROM fluct._model_indexes() m
		 WHERE NOT EXISTS (
			SELECT 1 FROM pg_index x
			  JOIN pg_class ic ON ic.oid = x.indexrelid
			  JOIN pg_am am ON am.oid = ic.relam
			  JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
			 WHERE x.indrelid = to_regclass('sales.' || m.table_name)
			   AND x.indpred IS NULL AND x.indisvalid
			   AND am.amname = m.method AND a.attname = m.column_name)
	LOOP
		EXECUTE format('CREATE INDEX ON sales.%I USING %s (%I) %s',
					   i.table_name, i.method, i.column_name, i.options);
		made := made || format('index %s(%s)', i.table_name, i.column_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_indexes() IS 'makes the missing indexes of the model';

-- A view of an older version lacks columns; they are added at its end.
CREATE OR REPLACE FUNCTION fluct._make_views()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v record;
	c record;
	made text[] := '{}';
BEGIN
	FOR v IN
		SELECT m.*, to_regclass('sales.' || m.view_name) IS NULL AS is_new FROM fluct._model_views() m
		 WHERE NOT coalesce(fluct._has_model_columns(to_regclass('sales.' || m.view_name), m.view_name), false)
	LOOP
		EXECUTE format('CREATE OR REPLACE VIEW sales.%I WITH (security_invoker = true) AS %s', v.view_name, v.definition);
		EXECUTE format('COMMENT ON VIEW sales.%I IS %L', v.view_name, v.comment);
		FOR c IN SELECT * FROM fluct._model_view_columns() m WHERE m.view_name = v.view_name LOOP
			EXECUTE format('COMMENT ON COLUMN sales.%I.%I IS %L', c.view_name, c.column_name, c.comment);
		END LOOP;
		made := made || (CASE WHEN v.is_new THEN 'view ' ELSE 'new columns of view ' END || v.view_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_views() IS 'makes the missing views of the model, and replaces those that lack columns';

CREATE OR REPLACE FUNCTION fluct._make_triggers()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
	made text[] := '{}';
BEGIN
	FOR t IN
		SELECT m.* FROM fluct._model_triggers() m
		  JOIN pg_class c ON c.oid = to_regclass('sales.' || m.table_name)
		 WHERE NOT EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = m.trigger_name)
		   AND (m.fires <> 'NEVER' OR c.relkind = 'r' AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid))
		 ORDER BY m.table_name, m.trigger_name
	LOOP
		EXECUTE format('CREATE TRIGGER %I %s', t.trigger_name, t.definition);
		EXECUTE format('COMMENT ON TRIGGER %I ON sales.%I IS %L', t.trigger_name, t.table_name, t.comment);
		made := made || ('trigger ' || t.trigger_name);
	END LOOP;
	RETURN made || fluct._enable_triggers();
END
$$;
COMMENT ON FUNCTION fluct._make_triggers() IS 'makes the missing triggers of the model, and enables those for replication';

-- ENABLE TRIGGER ALL, as after a restore of data alone, makes all of them ORIGIN.
CREATE OR REPLACE FUNCTION fluct._enable_triggers()
RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
	made text[] := '{}';
BEGIN
	FOR t IN
		SELECT m.*, EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srrelid = g.tgrelid) AS is_subscribed
		  FROM fluct._model_triggers() m
		  JOIN pg_trigger g ON g.tgrelid = to_regclass('sales.' || m.table_name) AND g.tgname = m.trigger_name
		 WHERE m.fires <> 'ORIGIN' AND g.tgenabled = 'O'
	LOOP
		EXECUTE format('ALTER TABLE sales.%I %s TRIGGER %I', t.table_name,
					   CASE t.fires WHEN 'NEVER' THEN 'DISABLE' ELSE 'ENABLE ' || t.fires END, t.trigger_name);
		IF t.is_subscribed THEN
			made := made || ('trigger ' || t.trigger_name);
		END IF;
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._enable_triggers() IS
'lets the triggers that book what logical replication applies fire there; returns those that it may have missed';

CREATE OR REPLACE FUNCTION fluct._granted_roles() RETURNS SETOF oid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
SELECT DISTINCT r.oid
  FROM fluct.granted_roles g, pg_roles r, pg_control_system() c
 WHERE CASE WHEN g.system_identifier = c.system_identifier::text THEN r.oid = g.role_oid ELSE r.rolname = g.role END
$$;
COMMENT ON FUNCTION fluct._granted_roles() IS 'the roles that got grant_reader() or grant_operator() and still exist';

-- What was revoked from relations that are not new stays revoked.
CREATE OR REPLACE FUNCTION fluct._grant_made(made text[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_relations text := (SELECT string_agg(format('sales.%I', m.name), ', ' ORDER BY m.name) FROM fluct._model_relations() m
							WHERE ARRAY['table ' || m.name, 'view ' || m.name] && made);
	role regrole;
BEGIN
	IF new_relations IS NULL THEN
		RETURN;
	END IF;
	FOR role IN SELECT g FROM fluct._granted_roles() g WHERE g <> (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'sales') LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA sales TO %s', role);
		EXECUTE format('GRANT SELECT ON %s TO %s', new_relations, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct._grant_made(text[]) IS 'lets those read the new tables and views who got grant_reader() or grant_operator() before';

CREATE OR REPLACE FUNCTION fluct._tell_made(made text[], had_tables boolean)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
	IF made = '{}' THEN
		RETURN CASE WHEN EXISTS (SELECT FROM fluct._model_partitions() m JOIN pg_partitioned_table t ON t.partrelid = to_regclass('sales.' || m.parent)
								  WHERE t.partdefid = 0)
					THEN 'nothing was created' ELSE 'nothing was missing' END;
	ELSIF had_tables THEN
		RETURN 'created ' || concat_ws(', ',
			(SELECT string_agg(m, ', ' ORDER BY n) FROM unnest(made) WITH ORDINALITY u(m, n) WHERE m NOT LIKE 'trigger %\_rollup\_%'),
			(SELECT CASE WHEN count(*) < 3 THEN string_agg(m, ', ') ELSE count(*) || ' triggers of the rollup' END
			   FROM unnest(made) m WHERE m LIKE 'trigger %\_rollup\_%' HAVING count(*) > 0));
	END IF;
	RETURN format('created %s tables and %s partitions in schema sales, with their keys, indexes, views and triggers',
				  (SELECT count(*) FROM unnest(made) m WHERE m LIKE 'table %'),
				  (SELECT count(*) FROM unnest(made) m WHERE m LIKE 'partition %'));
END
$$;
COMMENT ON FUNCTION fluct._tell_made(text[], boolean) IS 'what create_tables() returns';

CREATE OR REPLACE FUNCTION fluct._lock_tables() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._lock_tables() IS 'lets one create_tables() work at a time; those who cannot make the tables take no lock';
CREATE OR REPLACE FUNCTION fluct.__lock_tables() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'sales');
BEGIN
	IF owner = fluct._caller()
	   OR owner IS NULL AND has_database_privilege(fluct._caller(), current_database(), 'CREATE') THEN
		PERFORM fluct._lock('tables', '');
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__lock_tables() IS '_lock_tables, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._create_tables()
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made text[];
	had_tables boolean;
BEGIN
	PERFORM fluct._refuse_superuser(to_regrole(quote_ident(current_user)), 'the tables of fluct',
									'The caller of create_tables() owns the tables.');
	PERFORM fluct._lock_tables();
	PERFORM fluct._check_sales();
	had_tables := to_regclass('sales.orders') IS NOT NULL;
	IF to_regnamespace('sales') IS NULL THEN
		CREATE SCHEMA sales;
		COMMENT ON SCHEMA sales IS 'the tables that fluct.create_tables() made, and views over them';
	END IF;

	made := fluct._make_tables();
	made := made || fluct._make_columns();
	made := made || fluct._make_keys(made);
	made := made || fluct._make_indexes() || fluct._make_default_partitions();
	IF EXISTS (SELECT 1 FROM fluct._model_partitions() p WHERE 'table ' || p.parent = ANY (made)) THEN
		made := made || ARRAY(SELECT 'partition ' || p.partition
								FROM fluct.maintain_partitions() p
							   WHERE p.action = 'created');
	END IF;
	made := made || fluct._make_views() || fluct._make_triggers();
	PERFORM fluct._remember_relations();
	PERFORM fluct._grant_made(made);
	PERFORM fluct._judge_rollup(made);
	RETURN fluct._tell_made(made, had_tables);
END
$$;
COMMENT ON FUNCTION fluct._create_tables() IS 'create_tables(); its errors come without the functions that they went through';

CREATE OR REPLACE FUNCTION fluct.create_tables() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.create_tables() IS
'Makes the users'' tables in schema sales (industries, products, customers, customer_industries, orders, order_lines, raw_messages, fluctuations, and the rollup in industry_spend and rollup_state), and views over them. The caller owns them; superusers are refused. Makes the schema, or takes one of the caller''s that is empty. Called again it adds missing columns, indexes, default partitions, views and triggers to what it made, with the GRANTs of grant_reader() on what is new, and changes nothing else. Returns what it made. Errors: insufficient_privilege; duplicate_table for a relation of such a name that it did not make; object_not_in_prerequisite_state for a schema that is not empty.';
