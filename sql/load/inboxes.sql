-- inboxes.sql: folders whose files are each loaded once.
--
-- What an inbox is, who may do what with it, and its schedule; scans.sql loads
-- what lies in it.
--
-- Files are loaded in a session of the inbox's owner, by nobody else: what is
-- planted on the tables could else reach the rights of the session, in a
-- trigger that is deferred to the commit.

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

CREATE OR REPLACE FUNCTION fluct._real_directory(directory text) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._real_directory(text) IS 'the path of that folder by which all of its spellings are the same, if the caller may use it';
CREATE OR REPLACE FUNCTION fluct.__real_directory(directory text) RETURNS text
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_real_directory';
COMMENT ON FUNCTION fluct.__real_directory(text) IS '_real_directory, as the caller';

CREATE OR REPLACE FUNCTION fluct._inbox_path(directory text, sub text, name text) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_inbox_path';
COMMENT ON FUNCTION fluct._inbox_path(text, text, text) IS 'the bytes of the path of a file whose name is given as it is shown';

CREATE OR REPLACE FUNCTION fluct._in_transaction_block() RETURNS boolean
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_in_transaction_block';
COMMENT ON FUNCTION fluct._in_transaction_block() IS 'whether the user began a transaction, which nobody else may commit';

-- So that a file, too, is refused for what they raise.
CREATE OR REPLACE FUNCTION fluct._settle_constraints() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._settle_constraints() IS 'checks deferred constraints now, with the rights of the caller';
CREATE OR REPLACE FUNCTION fluct.__settle_constraints() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; END $$;
COMMENT ON FUNCTION fluct.__settle_constraints() IS '_settle_constraints, as the caller';

-- ---------------------------------------------------------------------------
-- Inboxes
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._inbox_owner(i fluct.inboxes) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT fluct._owner_role(i.owner, i.owner_oid, i.system_identifier) $$;
COMMENT ON FUNCTION fluct._inbox_owner(fluct.inboxes) IS 'the role that owns the inbox; NULL when it is gone';

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
			USING ERRCODE = 'undefined_object',
			      HINT = fluct._did_you_mean(name, ARRAY(SELECT b.name FROM fluct.inboxes b), 'SELECT name, directory FROM fluct.inboxes; lists all.');
	ELSIF NOT coalesce(pg_has_role(fluct._caller(), fluct._inbox_owner(i), 'MEMBER'),
					   (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = fluct._caller())) THEN
		RAISE EXCEPTION 'must be owner of inbox "%"', name
			USING ERRCODE = 'insufficient_privilege', DETAIL = format('It belongs to role "%s".', i.owner);
	END IF;
	RETURN i;
END
$$;
COMMENT ON FUNCTION fluct._own_inbox(text) IS
'the inbox, if the caller may change it: its owner, a member of it, a superuser; raises undefined_object, insufficient_privilege';

CREATE OR REPLACE FUNCTION fluct._working_inbox(name text)
RETURNS fluct.inboxes
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(name);
	owner oid := fluct._require_owner(i.owner, i.owner_oid, i.system_identifier);
BEGIN
	IF fluct._caller() <> owner OR owner <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user) THEN
		RAISE EXCEPTION 'only a session of role "%" can load files of inbox "%"', pg_get_userbyid(owner), name
			USING ERRCODE = 'insufficient_privilege',
			      DETAIL = format('Code on the tables runs with the rights of the session, and this one is of role "%s".', session_user),
			      HINT = format('Connect as %I; SET ROLE is not enough.', pg_get_userbyid(owner));
	END IF;
	RETURN i;
END
$$;
COMMENT ON FUNCTION fluct._working_inbox(text) IS
'the inbox, in a session of its owner; raises undefined_object, insufficient_privilege';

CREATE OR REPLACE FUNCTION fluct._given_options(on_bad_row text, max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric)
RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_strip_nulls(jsonb_build_object('on_bad_row', on_bad_row, 'max_rejects', max_rejects, 'mode', mode,
											'unknown_industry', unknown_industry, 'max_delete_fraction', max_delete_fraction))
$$;
COMMENT ON FUNCTION fluct._given_options(text, bigint, text, text, numeric) IS 'the loader''s options that were given';

-- An inbox within another would load files that the other has moved.  Creating or
-- moving an inbox waits for transactions that do so with the same folder, or one
-- above or below it, and for no others.
CREATE OR REPLACE FUNCTION fluct._claim_directory(inbox text, directory text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	path text := fluct._real_directory(directory);
	other text;
BEGIN
	IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
		RAISE EXCEPTION 'the directory of an inbox can be set only in a READ COMMITTED transaction'
			USING ERRCODE = 'invalid_transaction_state',
			      DETAIL = format('This transaction is %s, so it may miss another inbox.', upper(current_setting('transaction_isolation')));
	END IF;
	PERFORM fluct._lock_shared('directory', left(path, n))
	   FROM generate_series(1, length(path) - 1) n WHERE substr(path, n + 1, 1) = '/';
	PERFORM fluct._lock('directory', path);
	SELECT b.name INTO other FROM fluct.inboxes b
	 WHERE b.name <> inbox AND (starts_with(b.directory || '/', path || '/') OR starts_with(path || '/', b.directory || '/'));
	IF FOUND THEN
		RAISE EXCEPTION 'directory "%" is that of inbox "%", or one holds the other', path, other
			USING ERRCODE = 'duplicate_object', HINT = 'Each inbox needs a folder of its own.';
	END IF;
	PERFORM fluct._open_inbox(path);
	RETURN path;
END
$$;
COMMENT ON FUNCTION fluct._claim_directory(text, text) IS
'the real path of a folder that the caller may use and no other inbox has; done/ and refused/ are made in it';

CREATE OR REPLACE FUNCTION fluct._check_settle(settle interval)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF settle IS NULL OR settle < '0' THEN
		RAISE EXCEPTION 'settle must be given, and not be negative' USING ERRCODE = 'invalid_parameter_value';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_settle(interval) IS 'raises invalid_parameter_value';

CREATE OR REPLACE FUNCTION fluct._check_pattern(pattern text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pattern ~ '/' OR btrim(pattern) = '' OR '' = ANY (string_to_array(replace(pattern, ' ', ''), ',')) THEN
		RAISE EXCEPTION 'invalid pattern: %', quote_literal(pattern)
			USING ERRCODE = 'invalid_parameter_value',
			      HINT = 'Give names without folders, such as ''*.csv'' or ''*.csv,*.csv.gz''; ''*'' is any name.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_pattern(text) IS 'raises invalid_parameter_value';

CREATE OR REPLACE FUNCTION fluct._name_matches(name text, pattern text)
RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT name ~* ('^(' || replace(replace(replace(regexp_replace(regexp_replace(pattern, '\s*,\s*', ',', 'g'), '([].^$+(){}|\\[])', '\\\1', 'g'),
												'*', '.*'), '?', '.'), ',', '|') || ')$')
$$;
COMMENT ON FUNCTION fluct._name_matches(text, text) IS 'whether a name is one of the pattern: * and ? as in a shell, several with commas between';

-- A pattern that is such a name itself, '*.tmp', asks for them.
CREATE OR REPLACE FUNCTION fluct._is_wanted(i fluct.inboxes, name text)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT fluct._name_matches(name, i.pattern) AND (NOT fluct._name_matches(name, u.unfinished) OR fluct._name_matches(i.pattern, u.unfinished))
  FROM (SELECT '*.part,*.partial,*.filepart,*.crdownload,*.download,*._COPYING_,*.tmp,*.temp,*.swp,*~,~$*,.*,Thumbs.db,desktop.ini') u(unfinished)
$$;
COMMENT ON FUNCTION fluct._is_wanted(fluct.inboxes, text) IS
'whether scans load a file of that name: it matches the inbox''s pattern, and is not one that other programs use while they write';

CREATE OR REPLACE FUNCTION fluct.create_inbox(name text, kind text, directory text, settle interval DEFAULT '10 seconds',
	on_bad_row text DEFAULT NULL, max_rejects bigint DEFAULT NULL, mode text DEFAULT NULL, unknown_industry text DEFAULT NULL,
	max_delete_fraction numeric DEFAULT NULL, delimiter text DEFAULT NULL, encoding text DEFAULT NULL,
	skip_lines bigint DEFAULT NULL, null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL, compression text DEFAULT NULL,
	industry_delimiter text DEFAULT NULL, pattern text DEFAULT NULL, target regclass DEFAULT NULL, mapping jsonb DEFAULT NULL,
	format text DEFAULT NULL)
RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.create_inbox(text, text, text, interval, text, bigint, text, text, numeric, text, text, bigint, text[], jsonb, text, text, text, regclass, jsonb, text) IS
'Makes a folder of the server an inbox: scan_inbox() loads each file in it once and moves it to done/ or refused/ there. kind is industries, products, customers, orders, or table (with target, mapping and format); the further options are those of load_KIND(), NULL = its default. A file is left alone until its size and time have been still for settle, or if its name does not match pattern (* and ? as in a shell, several with commas between; NULL = any name), or is one that other programs use while they write (*.part, *.tmp, ~$*, Thumbs.db ...). The folder must lie below fluct.inbox_root, or the caller have pg_read_server_files and pg_write_server_files; links and ".." in its path are refused. The caller owns it.';

CREATE OR REPLACE FUNCTION fluct._create_inbox(name text, kind text, directory text, settle interval, on_bad_row text,
									max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric, delimiter text, encoding text,
								   skip_lines bigint, null_words text[], columns jsonb,
								   compression text, industry_delimiter text, pattern text, target regclass, mapping jsonb, format text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	options jsonb;
BEGIN
	PERFORM fluct._refuse_superuser(fluct._caller(), 'an inbox', 'Its files are loaded with the privileges of its owner.');
	PERFORM fluct._require_owner(pg_get_userbyid(fluct._caller()), NULL, NULL);
	PERFORM fluct._check_option('kind', kind, '{industries,products,customers,orders,table}');
	IF name IS NULL OR name !~ '^[A-Za-z0-9_.-]{1,63}$' THEN
		RAISE EXCEPTION 'invalid inbox name: %', coalesce('"' || name || '"', 'NULL')
			USING ERRCODE = 'invalid_name', HINT = 'Letters, digits, "_", "." and "-", at most 63.';
	ELSIF EXISTS (SELECT 1 FROM fluct.inboxes b WHERE b.name = _create_inbox.name) THEN
		RAISE EXCEPTION 'inbox "%" already exists', name
			USING ERRCODE = 'duplicate_object', HINT = 'Change it by fluct.alter_inbox().';
	END IF;
	IF directory IS NULL OR directory = '' THEN
		RAISE EXCEPTION 'directory must be given' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM fluct._check_settle(settle);
	PERFORM fluct._check_pattern(pattern);
	options := fluct._load_options(kind, fluct._given_options(on_bad_row, max_rejects, mode, unknown_industry, max_delete_fraction)
										 || fluct._given_format(delimiter, encoding, skip_lines, null_words, columns, compression, industry_delimiter)
										 || fluct._given_table(target, mapping, format));
	IF kind = 'table' THEN
		options := fluct._table_options(target, options);
	END IF;
	INSERT INTO fluct.inboxes (name, owner, owner_oid, system_identifier, kind, directory, settle, pattern, options)
	SELECT name, pg_get_userbyid(fluct._caller()), fluct._caller(), c.system_identifier::text, kind,
		   fluct._claim_directory(name, directory), settle, coalesce(pattern, '*'),
		   options
	  FROM pg_control_system() c;
	RETURN format('inbox "%s" created: CALL fluct.scan_inbox(%L) loads what lies in it', name, name);
END
$$;
COMMENT ON FUNCTION fluct._create_inbox(text, text, text, interval, text, bigint, text, text, numeric, text, text, bigint, text[], jsonb, text, text, text, regclass, jsonb, text) IS 'create_inbox, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.alter_inbox(name text, directory text DEFAULT NULL, settle interval DEFAULT NULL, on_bad_row text DEFAULT NULL,
								  max_rejects bigint DEFAULT NULL, mode text DEFAULT NULL, unknown_industry text DEFAULT NULL,
								  max_delete_fraction numeric DEFAULT NULL, delimiter text DEFAULT NULL, encoding text DEFAULT NULL,
								   skip_lines bigint DEFAULT NULL, null_words text[] DEFAULT NULL, columns jsonb DEFAULT NULL,
								   compression text DEFAULT NULL, industry_delimiter text DEFAULT NULL, pattern text DEFAULT NULL,
								   target regclass DEFAULT NULL, mapping jsonb DEFAULT NULL, format text DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.alter_inbox(text, text, interval, text, bigint, text, text, numeric, text, text, bigint, text[], jsonb, text, text, text, regclass, jsonb, text) IS
'Changes an inbox; what is not given stays. Files are not moved to another directory, and those done stay done.';

CREATE OR REPLACE FUNCTION fluct._alter_inbox(name text, directory text, settle interval, on_bad_row text,
								   max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric, delimiter text, encoding text,
								   skip_lines bigint, null_words text[], columns jsonb,
								   compression text, industry_delimiter text, pattern text, target regclass, mapping jsonb, format text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(name);
	o jsonb;
BEGIN
	IF directory IS NOT NULL AND fluct._inbox_owner(i) IS DISTINCT FROM fluct._caller() THEN
		RAISE EXCEPTION 'only role "%" can move inbox "%" to another directory', i.owner, name
			USING ERRCODE = 'insufficient_privilege', DETAIL = 'The folder is one that its owner may use.';
	END IF;
	o := fluct._load_options(i.kind, i.options || fluct._given_options(on_bad_row, max_rejects, mode, unknown_industry, max_delete_fraction)
												|| fluct._given_format(delimiter, encoding, skip_lines, null_words, columns, compression, industry_delimiter)
												|| fluct._given_table(target, mapping, format));
	IF i.kind = 'table' THEN
		o := fluct._table_options((o->>'target')::regclass, o);
	END IF;
	PERFORM fluct._check_settle(coalesce(settle, i.settle));
	PERFORM fluct._check_pattern(pattern);
	UPDATE fluct.inboxes b
	   SET settle = coalesce(_alter_inbox.settle, b.settle),
		   pattern = coalesce(_alter_inbox.pattern, b.pattern),
		   directory = CASE WHEN _alter_inbox.directory IS NULL THEN b.directory
							ELSE fluct._claim_directory(b.name, _alter_inbox.directory) END,
		   options = o
	 WHERE b.name = i.name;
END
$$;
COMMENT ON FUNCTION fluct._alter_inbox(text, text, interval, text, bigint, text, text, numeric, text, text, bigint, text[], jsonb, text, text, text, regclass, jsonb, text) IS 'alter_inbox, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._drop_inbox(name text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(name);
BEGIN
	IF i.schedule IS NOT NULL THEN
		RAISE EXCEPTION 'inbox "%" is scheduled', name
			USING ERRCODE = 'object_in_use', HINT = format('SELECT fluct.unschedule_inbox(%L);', name);
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

CREATE OR REPLACE FUNCTION fluct._inbox_job(name text, OUT job text, OUT command text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'fluct inbox: ' || name, format('CALL fluct.scan_inbox(%L)', name) $$;
COMMENT ON FUNCTION fluct._inbox_job(text) IS 'the name and the statement of an inbox''s job in pg_cron';

CREATE OR REPLACE FUNCTION fluct.schedule_inbox(name text, schedule text) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.schedule_inbox(text, text) IS
'Has pg_cron scan an inbox, as its owner, who calls this: five fields as crontab has them, in pg_cron''s zone, or "30 seconds" where pg_cron is 1.5 or later. Again for the same inbox it changes the schedule. Errors: invalid_parameter_value, insufficient_privilege, object_not_in_prerequisite_state without pg_cron.';

CREATE OR REPLACE FUNCTION fluct._schedule_inbox(name text, schedule text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
	i fluct.inboxes;
BEGIN
	PERFORM fluct._refuse_superuser(fluct._caller(), 'a schedule', 'It runs by itself, with the privileges of the caller.');
	i := fluct._own_inbox(name);
	IF fluct._require_owner(i.owner, i.owner_oid, i.system_identifier) <> fluct._caller() THEN
		RAISE EXCEPTION 'inbox "%" belongs to role "%"', name, i.owner
			USING ERRCODE = 'insufficient_privilege', DETAIL = 'Its schedule runs as its owner.', HINT = format('Connect as %I.', i.owner);
	END IF;
	IF schedule IS NULL OR schedule !~* '^\s*[1-5]?[0-9]\s+seconds?\s*$' THEN
		PERFORM fluct._parse_schedule(schedule);
	ELSIF (SELECT string_to_array(substring(e.extversion FROM '^[0-9]+[.][0-9]+'), '.')::int[] < '{1,5}' FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
		PERFORM fluct._refuse_schedule(schedule, 'Seconds need pg_cron 1.5 or later.');
	END IF;
	UPDATE fluct.inboxes b SET schedule = _schedule_inbox.schedule, scheduled_at = clock_timestamp() WHERE b.name = i.name;
	PERFORM fluct._make_job(j.job, schedule, j.command) FROM fluct._inbox_job(name) j;
	RETURN format('inbox "%s" is scanned at "%s" (%s)', name, schedule, fluct._cron_zone());
END
$$;
COMMENT ON FUNCTION fluct._schedule_inbox(text, text) IS 'schedule_inbox, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.unschedule_inbox(name text) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.unschedule_inbox(text) IS 'Ends an inbox''s schedule. Returns false where it had none. Errors: undefined_object, insufficient_privilege.';

CREATE OR REPLACE FUNCTION fluct._unschedule_inbox(name text)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(name);
BEGIN
	IF i.schedule IS NULL THEN
		RETURN false;
	END IF;
	UPDATE fluct.inboxes b SET schedule = NULL WHERE b.name = i.name;
	PERFORM fluct._remove_job(j.job, j.command) FROM fluct._inbox_job(name) j;
	RETURN true;
END
$$;
COMMENT ON FUNCTION fluct._unschedule_inbox(text) IS 'unschedule_inbox, as the extension''s owner';
