-- help.sql: which version this is, and what there is to call.

CREATE OR REPLACE FUNCTION fluct.version() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('fluct %s%s, librdkafka %s, PostgreSQL %s', e.extversion,
			  CASE WHEN e.extversion <> fluct._library_version() THEN format(' (library %s)', fluct._library_version()) END,
			  fluct._librdkafka_version(), current_setting('server_version'))
  FROM pg_extension e WHERE e.extname = 'fluct'
$$;
COMMENT ON FUNCTION fluct.version() IS 'The versions of fluct, of its library where that is another, of librdkafka and of PostgreSQL.';

-- Names of arguments only, the optional ones in brackets, and in lines for 100 columns.
CREATE OR REPLACE FUNCTION fluct._arguments(p pg_proc) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT coalesce(regexp_replace(string_agg(CASE WHEN a.n = p.pronargs - p.pronargdefaults + 1 THEN '[' ELSE '' END || a.name, ', ' ORDER BY a.n),
							   '(.), \[', '\1 [, ')
				|| CASE WHEN p.pronargdefaults > 0 THEN ']' ELSE '' END, '')
  FROM (SELECT u.name, row_number() OVER (ORDER BY u.place) AS n
		  FROM unnest(p.proargnames) WITH ORDINALITY u(name, place)
		 WHERE coalesce(p.proargmodes[u.place], 'i') IN ('i', 'b')) a
$$;
COMMENT ON FUNCTION fluct._arguments(pg_proc) IS 'the names of a function''s arguments, in brackets those that have a default';

CREATE OR REPLACE FUNCTION fluct.help(pattern text DEFAULT NULL, OUT name text, OUT arguments text, OUT description text) RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
#variable_conflict use_variable
BEGIN
	RETURN QUERY
	SELECT n.name, fluct._wrapped(n.arguments, 25),
		   fluct._wrapped(CASE n.name WHEN lower(pattern) THEN n.words ELSE substring(n.words FROM '^(?:[^.]|\.(?!\s|$))*\.?') END, 44)
	  FROM (SELECT p.proname::text, fluct._arguments(p), obj_description(p.oid, 'pg_proc')
			  FROM pg_proc p WHERE p.pronamespace = 'fluct'::regnamespace AND p.proname NOT LIKE '\_%' AND p.prorettype <> 'trigger'::regtype
				AND p.proname NOT IN ('kafka_options_validator')
			 UNION ALL
			SELECT c.relname::text, CASE c.relkind WHEN 'v' THEN 'a view' ELSE 'a table' END, obj_description(c.oid, 'pg_class')
			  FROM pg_class c WHERE c.relnamespace = 'fluct'::regnamespace AND c.relname NOT LIKE '\_%' AND c.relkind IN ('r', 'v')
		   ) n(name, arguments, words)
	 WHERE pattern IS NULL OR strpos(lower(n.name || ' ' || n.words), lower(pattern)) > 0
	 ORDER BY n.name <> lower(pattern), strpos(n.name, lower(pattern)) = 0, n.name COLLATE "C", n.arguments;
	IF NOT FOUND THEN
		RAISE NOTICE 'nothing here has "%" in its name or description', pattern
			USING HINT = fluct._did_you_mean(pattern, ARRAY(SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'fluct'::regnamespace
																	AND p.proname NOT LIKE '\_%'),
											 'SELECT name FROM fluct.help(); lists all.');
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.help(text) IS
E'What there is to call and to read, in 100 columns: each function, view and table of fluct with its arguments, the optional ones in brackets, and the first sentence of its description; those with the pattern, in any case, in name or description, those with it in the name first. Of one whose whole name is given, all of the description. \\df fluct.NAME has types and defaults.';

-- ----- going away -----

CREATE OR REPLACE FUNCTION fluct._dependents() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
WITH members AS (
	SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'fluct'
	 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),
others AS (
	SELECT DISTINCT CASE WHEN d.classid = 'pg_rewrite'::regclass THEN 'pg_class'::regclass ELSE d.classid END AS classid,
		   CASE WHEN d.classid = 'pg_rewrite'::regclass THEN (SELECT r.ev_class FROM pg_rewrite r WHERE r.oid = d.objid) ELSE d.objid END AS objid
	  FROM pg_depend d JOIN members m ON m.classid = d.refclassid AND m.objid = d.refobjid
	 WHERE d.deptype IN ('n', 'a') AND d.classid <> 'pg_default_acl'::regclass)
SELECT CASE o.type WHEN 'server' THEN format('DROP SERVER %s CASCADE;', o.identity)
				   WHEN 'view' THEN format('DROP VIEW IF EXISTS %s CASCADE;', o.identity)
				   WHEN 'trigger' THEN format('DROP TRIGGER %s;', o.identity)
				   ELSE format('DROP %s %s;', upper(o.type), o.identity) END
  FROM others t, pg_identify_object(t.classid, t.objid, 0) o
 WHERE (t.classid, t.objid) NOT IN (SELECT m.classid, m.objid FROM members m)
   AND NOT EXISTS (		-- parts of members: their constraints, types, sequences, toast tables
		SELECT FROM pg_depend i WHERE i.classid = t.classid AND i.objid = t.objid AND i.deptype IN ('i', 'a', 'P', 'S')
		   AND (i.refclassid, i.refobjid) IN (SELECT m.classid, m.objid FROM members m))
 ORDER BY o.type, o.identity
$$;
COMMENT ON FUNCTION fluct._dependents() IS 'the statements that drop what depends on the extension and is not of it: servers, triggers, views';

CREATE OR REPLACE FUNCTION fluct.uninstall(really boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	steps text[];
	step text;
	elsewhere text := (fluct._cron_settings()).cron_database;
BEGIN
	steps := ARRAY(SELECT format('SELECT fluct.drop_stream(%L);', s.name) FROM fluct.streams s ORDER BY s.name)
		  || ARRAY(SELECT format('SELECT cron.unschedule(%s);', j.id) FROM fluct._cron_jobs() j ORDER BY j.id)
		  || ARRAY(SELECT fluct._dependents());
	IF elsewhere <> current_database() THEN
		RETURN QUERY
		SELECT format('-- in database %I: SELECT cron.unschedule(%L);', elsewhere, s.job || ' in ' || current_database())
		  FROM fluct._scheduled() s;
	END IF;
	FOREACH step IN ARRAY steps LOOP
		IF really THEN
			EXECUTE step;
		END IF;
		RETURN NEXT step;
	END LOOP;
	RETURN NEXT '-- Schema sales and its tables stay; what was not in them (offsets, dead letters, records of files, reports) goes:';
	RETURN NEXT 'DROP EXTENSION fluct;';
END
$$;
COMMENT ON FUNCTION fluct.uninstall(boolean) IS
'What DROP EXTENSION fluct needs: drops the streams, pg_cron''s jobs that call fluct, and servers, triggers and views that depend on it. Returns the statements, the last of which is left to you; really: does the others. The tables of schema sales stay, with their rows.';
