-- create.sql: create_tables() makes what is missing of the users' tables.

CREATE OR REPLACE FUNCTION fluct._require_tables()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing text;
BEGIN
	SELECT string_agg('fluct.' || t.table_name, ', ') INTO missing
	  FROM fluct._model_tables() t
	 WHERE to_regclass('fluct.' || t.table_name) IS NULL;
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'the tables of fluct are not there yet'
			USING ERRCODE = 'undefined_table',
			      DETAIL = format('Missing: %s.', missing),
			      HINT = 'SELECT fluct.create_tables()';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._require_tables() IS 'raises undefined_table, with the call that makes them, where a table of the model is missing';

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
		 WHERE to_regclass('fluct.' || m.table_name) IS NULL
	LOOP
		EXECUTE format('CREATE TABLE fluct.%I (%s) %s',
					   t.table_name, t.columns, 'PARTITION BY ' || t.partitioned);
		EXECUTE format('COMMENT ON TABLE fluct.%I IS %L', t.table_name, t.comment);
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
	EXECUTE format('COMMENT ON COLUMN fluct.%I.%I IS %L', table_name, column_name, comment);
	IF table_name = 'industry_spend' AND column_name = 'amount' THEN
		-- room for the new version of a row beside the old one
		ALTER TABLE fluct.industry_spend SET (fillfactor = 80);
	ELSIF table_name = 'raw_messages' AND column_name = 'value' THEN
		ALTER TABLE fluct.raw_messages ALTER COLUMN value SET STORAGE MAIN;
		BEGIN
			ALTER TABLE fluct.raw_messages ALTER COLUMN value SET COMPRESSION lz4;
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
							WHERE a.attrelid = to_regclass('fluct.' || m.table_name)
							  AND a.attname = m.column_name AND NOT a.attisdropped)
	LOOP
		EXECUTE format('SELECT EXISTS (SELECT 1 FROM fluct.%I)', c.table_name) INTO has_rows;
		IF has_rows AND c.definition LIKE '% NOT NULL%' AND c.definition NOT LIKE '% DEFAULT %' THEN
			c.definition := replace(c.definition, ' NOT NULL', '');
			RAISE WARNING 'column fluct.%.% comes back empty, without NOT NULL', c.table_name, c.column_name
				USING ERRCODE = 'not_null_violation',
				      DETAIL = 'The table has rows.',
				      HINT = format('Fill it, then ALTER TABLE fluct.%I ALTER COLUMN %I SET NOT NULL.',
									c.table_name, c.column_name);
		END IF;
		EXECUTE format('ALTER TABLE fluct.%I ADD COLUMN %I %s', c.table_name, c.column_name, c.definition);
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
							WHERE x.conrelid = to_regclass('fluct.' || m.table_name)
							  AND (x.conname = m.key_name
								   OR x.contype = 'p' AND m.definition LIKE 'PRIMARY KEY%'))
	LOOP
		BEGIN
			EXECUTE format('ALTER TABLE fluct.%I ADD CONSTRAINT %I %s',
						   k.table_name, k.key_name, k.definition);
			made := made || ('key ' || k.key_name);
		EXCEPTION WHEN integrity_constraint_violation OR invalid_foreign_key THEN
			RAISE WARNING 'key % of fluct.% cannot come back yet', k.key_name, k.table_name
				USING ERRCODE = SQLSTATE, DETAIL = SQLERRM,
				      HINT = format('Mend the rows, then ALTER TABLE fluct.%I ADD CONSTRAINT %I %s.',
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
			 WHERE x.indrelid = to_regclass('fluct.' || m.table_name)
			   AND x.indpred IS NULL AND x.indisvalid
			   AND am.amname = m.method AND a.attname = m.column_name)
	LOOP
		EXECUTE format('CREATE INDEX ON fluct.%I USING %s (%I) %s',
					   i.table_name, i.method, i.column_name, i.options);
		made := made || format('index %s(%s)', i.table_name, i.column_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_indexes() IS 'makes the missing indexes of the model';

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
		SELECT * FROM fluct._model_views() m
		 WHERE to_regclass('fluct.' || m.view_name) IS NULL
	LOOP
		EXECUTE format('CREATE VIEW fluct.%I AS %s', v.view_name, v.definition);
		EXECUTE format('COMMENT ON VIEW fluct.%I IS %L', v.view_name, v.comment);
		FOR c IN SELECT * FROM fluct._model_view_columns() m WHERE m.view_name = v.view_name LOOP
			EXECUTE format('COMMENT ON COLUMN fluct.%I.%I IS %L', c.view_name, c.column_name, c.comment);
		END LOOP;
		made := made || ('view ' || v.view_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_views() IS 'makes the missing views of the model';

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
		 WHERE NOT EXISTS (SELECT 1 FROM pg_trigger g
							WHERE g.tgrelid = to_regclass('fluct.' || m.table_name)
							  AND g.tgname = m.trigger_name)
	LOOP
		EXECUTE format('CREATE TRIGGER %I %s', t.trigger_name, t.definition);
		EXECUTE format('COMMENT ON TRIGGER %I ON fluct.%I IS %L', t.trigger_name, t.table_name, t.comment);
		made := made || ('trigger ' || t.trigger_name);
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION fluct._make_triggers() IS 'makes the missing triggers of the model';

CREATE OR REPLACE FUNCTION fluct.create_tables()
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made text[];
	had_tables boolean := to_regclass('fluct.orders') IS NOT NULL;
BEGIN
	IF NOT has_schema_privilege('fluct', 'CREATE') THEN
		RAISE EXCEPTION 'permission denied to create tables in schema fluct'
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = 'Who calls create_tables() owns the tables.',
			      HINT = format('GRANT USAGE, CREATE ON SCHEMA fluct TO %I', current_user);
	END IF;
	PERFORM pg_advisory_xact_lock(hashtextextended('fluct.create_tables', 0));

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
	PERFORM fluct._judge_rollup(made);

	IF made = '{}' THEN
		RETURN 'nothing was missing';
	ELSIF had_tables THEN
		RETURN 'created ' || concat_ws(', ',
			(SELECT string_agg(m, ', ' ORDER BY n) FROM unnest(made) WITH ORDINALITY u(m, n) WHERE m NOT LIKE 'trigger %\_rollup\_%'),
			(SELECT CASE WHEN count(*) < 3 THEN string_agg(m, ', ') ELSE count(*) || ' triggers of the rollup' END
			   FROM unnest(made) m WHERE m LIKE 'trigger %\_rollup\_%' HAVING count(*) > 0));
	END IF;
	RETURN format('created %s tables and %s partitions, with their keys, indexes, views and triggers',
				  (SELECT count(*) FROM unnest(made) m WHERE m LIKE 'table %'),
				  (SELECT count(*) FROM unnest(made) m WHERE m LIKE 'partition %'));
END
$$;
COMMENT ON FUNCTION fluct.create_tables() IS
'Makes the users'' tables (industries, products, customers, customer_industries, orders, order_lines, raw_messages, fluctuations, and the rollup in industry_spend and rollup_state), owned by the caller, who needs CREATE on schema fluct. Called again it brings missing columns, indexes, default partitions, views and triggers and changes nothing else. Returns what it made. Errors: insufficient_privilege.';
