-- relations.sql: which of the model's relations are there, and whose they are.

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

-- Anyone but the owner of the tables would run code that is planted in their
-- place, and a superuser who owns one of them, code on the others.
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
			      HINT = format(E'A superuser, or the owner of the database, makes it for you:\nCREATE SCHEMA sales AUTHORIZATION %1$I;\n'
								'or lets you make it:\nGRANT CREATE ON DATABASE %2$I TO %1$I;',
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
