-- inboxes.sql: folders whose files are each loaded once.
--
-- What an inbox is, who may do what with it, and its schedule; scans.sql loads
-- what lies in it.
--
-- Files are loaded as the inbox's owner: its rights count at each scan, and
-- whoever may scan (the owner's members, superusers) lends it none.

-- ---------------------------------------------------------------------------
-- Folders, with the rights of the caller
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._open_inbox(directory text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._open_inbox(text) IS 'sees to it that the caller may use that folder, and makes done/ and refused/ in it';
CREATE OR REPLACE FUNCTION fluct.__open_inbox(directory text) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_open_inbox';
COMMENT ON FUNCTION fluct.__open_inbox(text) IS '_open_inbox, as the caller';

CREATE OR REPLACE FUNCTION fluct._list_folder(directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._list_folder(text, text, text) IS 'what lies in that folder of an inbox, but for folders and hidden files; only_name: that one only';
CREATE OR REPLACE FUNCTION fluct.__list_folder(directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_list_folder';
COMMENT ON FUNCTION fluct.__list_folder(text, text, text) IS '_list_folder, as the caller';

CREATE OR REPLACE FUNCTION fluct._move_file(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._move_file(text, text, text, text, bigint) IS 'moves the file of that number from one folder of an inbox to another; returns its name there, NULL if it is gone';
CREATE OR REPLACE FUNCTION fluct.__move_file(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS text
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_move_file';
COMMENT ON FUNCTION fluct.__move_file(text, text, text, text, bigint) IS '_move_file, as the caller';

CREATE OR REPLACE FUNCTION fluct._move_at_commit(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._move_at_commit(text, text, text, text, bigint) IS 'does the same once this transaction has committed';
CREATE OR REPLACE FUNCTION fluct.__move_at_commit(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_move_at_commit';
COMMENT ON FUNCTION fluct.__move_at_commit(text, text, text, text, bigint) IS '_move_at_commit, as the caller';

CREATE OR REPLACE FUNCTION fluct._inbox_path(directory text, sub text, name text) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_inbox_path';
COMMENT ON FUNCTION fluct._inbox_path(text, text, text) IS 'the bytes of the path of a file whose name is given as it is shown';

CREATE OR REPLACE FUNCTION fluct._in_transaction_block() RETURNS boolean
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_in_transaction_block';
COMMENT ON FUNCTION fluct._in_transaction_block() IS 'whether the user began a transaction, which nobody else may commit';

-- ---------------------------------------------------------------------------
-- As an inbox's owner
-- ---------------------------------------------------------------------------
-- The first argument is the role that becomes the caller.

CREATE OR REPLACE FUNCTION fluct._open_inbox_as(role text, directory text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._open_inbox_as(text, text) IS '_open_inbox with the rights of a role';
CREATE OR REPLACE FUNCTION fluct.__open_inbox_as(role text, directory text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM fluct._open_inbox(directory); END $$;
COMMENT ON FUNCTION fluct.__open_inbox_as(text, text) IS '_open_inbox_as, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._list_as(role text, directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._list_as(text, text, text, text) IS '_list_folder with the rights of a role';
CREATE OR REPLACE FUNCTION fluct.__list_as(role text, directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN QUERY SELECT * FROM fluct._list_folder(directory, sub, only_name); END $$;
COMMENT ON FUNCTION fluct.__list_as(text, text, text, text) IS '_list_as, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._move_as(role text, directory text, from_sub text, name text, to_sub text, inode bigint, at_commit boolean) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._move_as(text, text, text, text, text, bigint, boolean) IS '_move_file or _move_at_commit with the rights of a role';
CREATE OR REPLACE FUNCTION fluct.__move_as(role text, directory text, from_sub text, name text, to_sub text, inode bigint, at_commit boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT at_commit THEN
		RETURN fluct._move_file(directory, from_sub, name, to_sub, inode);
	END IF;
	PERFORM fluct._move_at_commit(directory, from_sub, name, to_sub, inode);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fluct.__move_as(text, text, text, text, text, bigint, boolean) IS '_move_as, as the extension''s owner';

-- What the role's deferred constraints and triggers do, they do as the role.
CREATE OR REPLACE FUNCTION fluct._settle_constraints() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._settle_constraints() IS 'checks deferred constraints now, with the rights of the caller';
CREATE OR REPLACE FUNCTION fluct.__settle_constraints() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; END $$;
COMMENT ON FUNCTION fluct.__settle_constraints() IS '_settle_constraints, as the caller';

CREATE OR REPLACE FUNCTION fluct._load_as(role text, kind text, path bytea, options jsonb, force boolean, inbox text) RETURNS fluct.files
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._load_as(text, text, bytea, jsonb, boolean, text) IS 'loads a file of an inbox with the rights of a role';
CREATE OR REPLACE FUNCTION fluct.__load_as(role text, kind text, path bytea, options jsonb, force boolean, inbox text) RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files;
	loader oid := (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'fluct'::regnamespace AND p.proname = 'load_' || kind);
BEGIN
	IF NOT has_function_privilege(role, loader, 'EXECUTE') THEN
		RAISE EXCEPTION 'role "%" cannot load %', role, kind
			USING ERRCODE = 'insufficient_privilege', HINT = format('SELECT fluct.grant_operator(%L)', role);
	END IF;
	load := fluct._load(kind, path, options, force, true, inbox);
	PERFORM fluct._settle_constraints();
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct.__load_as(text, text, bytea, jsonb, boolean, text) IS '_load_as, as the extension''s owner';

-- ---------------------------------------------------------------------------
-- Inboxes
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._own_inbox(name text)
RETURNS fluct.inboxes
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes;
BEGIN
	SELECT * INTO i FROM fluct.inboxes b WHERE b.name = _own_inbox.name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'inbox % does not exist', coalesce('"' || name || '"', 'NULL')
			USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM fluct.inboxes shows them.';
	ELSIF NOT EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = i.owner) THEN
		RAISE EXCEPTION 'role "%", the owner of inbox "%", does not exist', i.owner, name
			USING ERRCODE = 'undefined_object', HINT = format('SELECT fluct.drop_inbox(%L), and create it again.', name);
	ELSIF NOT pg_has_role(fluct._caller(), i.owner, 'MEMBER') THEN
		RAISE EXCEPTION 'must be owner of inbox "%"', name
			USING ERRCODE = 'insufficient_privilege', DETAIL = format('It belongs to %I.', i.owner);
	END IF;
	RETURN i;
END
$$;
COMMENT ON FUNCTION fluct._own_inbox(text) IS 'the inbox, if the caller may use it; raises undefined_object, insufficient_privilege';

CREATE OR REPLACE FUNCTION fluct._given_options(on_bad_row text, max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric)
RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_strip_nulls(jsonb_build_object('on_bad_row', on_bad_row, 'max_rejects', max_rejects, 'mode', mode,
											'unknown_industry', unknown_industry, 'max_delete_fraction', max_delete_fraction))
$$;
COMMENT ON FUNCTION fluct._given_options(text, bigint, text, text, numeric) IS 'the loader''s options that were given';

-- The same folder by another name is the same, and one inbox within another
-- would load what the other has done.
CREATE OR REPLACE FUNCTION fluct._save_inbox(i fluct.inboxes)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	other text;
BEGIN
	IF i.directory IS NULL OR i.directory = '' OR i.settle IS NULL OR i.settle < '0' THEN
		RAISE EXCEPTION 'directory and settle must be given, and settle not be negative' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	i.directory := regexp_replace(regexp_replace(i.directory, '/(\./)*/*', '/', 'g'), '(.)/+$', '\1');
	LOCK TABLE fluct.inboxes IN SHARE ROW EXCLUSIVE MODE;
	SELECT b.name INTO other FROM fluct.inboxes b
	 WHERE b.name <> i.name AND (starts_with(b.directory || '/', i.directory || '/') OR starts_with(i.directory || '/', b.directory || '/'));
	IF FOUND THEN
		RAISE EXCEPTION 'directory "%" is that of inbox "%", or one holds the other', i.directory, other
			USING ERRCODE = 'duplicate_object', HINT = 'Each inbox needs a folder of its own.';
	END IF;
	PERFORM fluct._open_inbox_as(i.owner, i.directory);
	INSERT INTO fluct.inboxes SELECT i.*
	ON CONFLICT (name) DO UPDATE SET (directory, settle, options) = (i.directory, i.settle, i.options);
END
$$;
COMMENT ON FUNCTION fluct._save_inbox(fluct.inboxes) IS 'writes an inbox''s row, if its owner may use the folder';

CREATE OR REPLACE FUNCTION fluct.create_inbox(name text, kind text, directory text, settle interval DEFAULT '10 seconds', on_bad_row text DEFAULT NULL,
								   max_rejects bigint DEFAULT NULL, mode text DEFAULT NULL, unknown_industry text DEFAULT NULL,
								   max_delete_fraction numeric DEFAULT NULL)
RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.create_inbox(text, text, text, interval, text, bigint, text, text, numeric) IS
'Makes a folder of the server an inbox: scan_inbox() loads each file in it once and moves it to done/ or refused/ there. kind is industries, products, customers or orders; the further options are those of load_KIND(), NULL = its default. A file is left alone until its size and time have been still for settle. The folder must lie below fluct.inbox_root, or the caller have pg_read_server_files and pg_write_server_files; links and ".." in its path are refused. The caller owns it.';

CREATE OR REPLACE FUNCTION fluct._create_inbox(name text, kind text, directory text, settle interval, on_bad_row text,
									max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes;
BEGIN
	PERFORM fluct._refuse_superuser(fluct._caller(), 'an inbox', 'Its files are loaded with the privileges of its owner.');
	PERFORM fluct._check_option('kind', kind, '{industries,products,customers,orders}');
	IF name IS NULL OR name !~ '^[A-Za-z0-9_.-]{1,63}$' THEN
		RAISE EXCEPTION 'invalid inbox name: %', coalesce('"' || name || '"', 'NULL')
			USING ERRCODE = 'invalid_name', HINT = 'Letters, digits, "_", "." and "-", at most 63.';
	ELSIF EXISTS (SELECT 1 FROM fluct.inboxes b WHERE b.name = _create_inbox.name) THEN
		RAISE EXCEPTION 'inbox "%" already exists', name
			USING ERRCODE = 'duplicate_object', HINT = 'Change it by fluct.alter_inbox().';
	END IF;
	i.name := name;
	i.owner := pg_get_userbyid(fluct._caller());
	i.kind := kind;
	i.directory := directory;
	i.settle := settle;
	i.options := fluct._load_options(kind, fluct._given_options(on_bad_row, max_rejects, mode, unknown_industry, max_delete_fraction));
	i.created_at := clock_timestamp();
	PERFORM fluct._save_inbox(i);
	RETURN format('inbox "%s" created: CALL fluct.scan_inbox(%L) loads what lies in it', name, name);
END
$$;
COMMENT ON FUNCTION fluct._create_inbox(text, text, text, interval, text, bigint, text, text, numeric) IS 'create_inbox, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.alter_inbox(name text, directory text DEFAULT NULL, settle interval DEFAULT NULL, on_bad_row text DEFAULT NULL,
								  max_rejects bigint DEFAULT NULL, mode text DEFAULT NULL, unknown_industry text DEFAULT NULL,
								  max_delete_fraction numeric DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.alter_inbox(text, text, interval, text, bigint, text, text, numeric) IS
'Changes an inbox; what is not given stays. Files are not moved to another directory, and those done stay done.';

CREATE OR REPLACE FUNCTION fluct._alter_inbox(name text, directory text, settle interval, on_bad_row text,
								   max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(name);
BEGIN
	i.directory := coalesce(directory, i.directory);
	i.settle := coalesce(settle, i.settle);
	i.options := fluct._load_options(i.kind, i.options || fluct._given_options(on_bad_row, max_rejects, mode, unknown_industry, max_delete_fraction));
	PERFORM fluct._save_inbox(i);
END
$$;
COMMENT ON FUNCTION fluct._alter_inbox(text, text, interval, text, bigint, text, text, numeric) IS 'alter_inbox, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._drop_inbox(name text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes;
BEGIN
	IF NOT EXISTS (SELECT 1 FROM fluct.inboxes b JOIN pg_roles r ON r.rolname = b.owner WHERE b.name = _drop_inbox.name)
	   AND (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = fluct._caller())
	   AND EXISTS (SELECT 1 FROM fluct.inboxes b WHERE b.name = _drop_inbox.name) THEN
		NULL;						-- its owner is gone
	ELSE
		i := fluct._own_inbox(name);
	END IF;
	IF i.schedule IS NOT NULL THEN
		RAISE EXCEPTION 'inbox "%" is scheduled', name
			USING ERRCODE = 'object_in_use', HINT = format('SELECT fluct.unschedule_inbox(%L)', name);
	END IF;
	DELETE FROM fluct.inboxes b WHERE b.name = _drop_inbox.name;
END
$$;
COMMENT ON FUNCTION fluct._drop_inbox(text) IS 'drop_inbox, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.drop_inbox(name text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.drop_inbox(text) IS 'Forgets an inbox. Its folder, the files in it and what was loaded stay, and so does fluct.files.';

-- ---------------------------------------------------------------------------
-- On a schedule
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._set_schedule(inbox text, schedule text) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._set_schedule(text, text) IS 'notes an inbox''s schedule; returns the one before';
CREATE OR REPLACE FUNCTION fluct.__set_schedule(inbox text, schedule text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(inbox);
BEGIN
	UPDATE fluct.inboxes b SET schedule = __set_schedule.schedule WHERE b.name = i.name;
	RETURN i.schedule;
END
$$;
COMMENT ON FUNCTION fluct.__set_schedule(text, text) IS '_set_schedule, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.schedule_inbox(name text, schedule text) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.schedule_inbox(text, text) IS
'Has pg_cron scan an inbox, as the calling role: five fields as crontab has them, in pg_cron''s zone, or "30 seconds" where pg_cron is 1.5 or later. Again for the same inbox it changes the schedule. Errors: invalid_parameter_value, insufficient_privilege, object_not_in_prerequisite_state without pg_cron.';

CREATE OR REPLACE FUNCTION fluct._schedule_inbox(name text, schedule text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	cron_database text;
	job text := 'fluct inbox: ' || name;
	command text := format('CALL fluct.scan_inbox(%L)', name);
BEGIN
	PERFORM fluct._refuse_superuser(to_regrole(quote_ident(current_user)), 'a schedule', 'It runs by itself, with the privileges of the caller.');
	IF schedule IS NULL OR schedule !~* '^\s*[1-5]?[0-9]\s+seconds?\s*$' THEN
		PERFORM fluct._parse_schedule(schedule);
	ELSIF (SELECT string_to_array(substring(e.extversion FROM '^[0-9]+[.][0-9]+'), '.')::int[] < '{1,5}' FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
		PERFORM fluct._refuse_schedule(schedule, 'Seconds need pg_cron 1.5 or later.');
	END IF;
	PERFORM fluct._set_schedule(name, schedule);
	cron_database := fluct._cron_database();
	IF cron_database = current_database() THEN
		EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job, schedule, command;
	ELSE
		RAISE NOTICE 'pg_cron runs in database "%": make the job there', cron_database
			USING HINT = format('SELECT cron.schedule_in_database(%L, %L, %L, %L, username => %L);', job, schedule, command, current_database(), current_user);
	END IF;
	RETURN format('inbox "%s" is scanned at "%s" (%s)', name, schedule, fluct._cron_zone());
END
$$;
COMMENT ON FUNCTION fluct._schedule_inbox(text, text) IS 'schedule_inbox; errors without the list of functions';

CREATE OR REPLACE FUNCTION fluct.unschedule_inbox(name text) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.unschedule_inbox(text) IS 'Ends an inbox''s schedule. Returns false where it had none. Errors: undefined_object, insufficient_privilege.';

CREATE OR REPLACE FUNCTION fluct._unschedule_inbox(name text)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cron_database text;
	job text := 'fluct inbox: ' || name;
BEGIN
	IF fluct._set_schedule(name, NULL) IS NULL THEN
		RETURN false;
	END IF;
	cron_database := fluct._cron_database();
	IF cron_database = current_database() THEN
		EXECUTE 'SELECT cron.unschedule(j.jobid) FROM cron.job j WHERE j.jobname = $1 AND j.command LIKE ''CALL fluct.scan_inbox(%''' USING job;
	ELSE
		RAISE NOTICE 'pg_cron runs in database "%": remove the job there', cron_database
			USING HINT = format('SELECT cron.unschedule(%L)', job);
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION fluct._unschedule_inbox(text) IS 'unschedule_inbox; errors without the list of functions';

REVOKE ALL ON FUNCTION fluct._own_inbox(text), fluct._save_inbox(fluct.inboxes) FROM PUBLIC;
