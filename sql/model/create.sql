-- create.sql: create_tables() makes what is missing of the users' tables.
--
-- It works with the rights of its caller, who owns what it makes; a superuser's
-- tables would run other people's triggers and defaults as a superuser, so it
-- refuses superusers.  It changes only what it made: see _check_sales().

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
