-- inboxes.sql: folders whose files are each loaded once.
--
-- A scan takes a file at a time: one transaction loads it and records that, or
-- records why it is refused; after its commit the file is moved, and a second
-- one notes where to.  So at a crash between the two the file is still there,
-- and the next scan knows it by what was recorded (size, time, number) and moves
-- it.  A file in done/ of which nothing is recorded, as after a restore to a
-- moment before its load, is loaded again.
--
-- Files are loaded as the inbox's owner: its rights count at each scan, and
-- whoever may scan (the owner's members, superusers) lends it none.

CREATE TABLE fluct.inboxes (
	name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.-]{1,63}$'),
	owner text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('industries', 'products', 'customers', 'orders')),
	directory text NOT NULL UNIQUE,
	settle interval NOT NULL DEFAULT '10 seconds' CHECK (settle >= '0'),
	options jsonb NOT NULL DEFAULT '{}',
	schedule text,
	last_scan timestamptz,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT pg_catalog.pg_extension_config_dump('fluct.inboxes', '');
COMMENT ON TABLE fluct.inboxes IS 'The folders whose files are loaded by scan_inbox(). Written by create_inbox, alter_inbox, drop_inbox and schedule_inbox only.';
COMMENT ON COLUMN fluct.inboxes.name IS 'name of the inbox: letters, digits, _ . -, at most 63';
COMMENT ON COLUMN fluct.inboxes.owner IS 'role (by name) that loads its files; it, its members and superusers may scan and change it';
COMMENT ON COLUMN fluct.inboxes.kind IS 'what its files hold: industries, products, customers or orders';
COMMENT ON COLUMN fluct.inboxes.directory IS 'the folder on the server; loaded files go to done/ in it, refused ones to refused/';
COMMENT ON COLUMN fluct.inboxes.settle IS 'a file is left alone until it has not changed for so long';
COMMENT ON COLUMN fluct.inboxes.options IS 'the loader''s options';
COMMENT ON COLUMN fluct.inboxes.schedule IS 'when it is scanned, as pg_cron writes it; NULL = only by hand';
COMMENT ON COLUMN fluct.inboxes.last_scan IS 'when a scan last came to its end';
COMMENT ON COLUMN fluct.inboxes.created_at IS 'time of create_inbox';

-- ---------------------------------------------------------------------------
-- Folders, with the rights of the caller
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._open_inbox(directory text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._open_inbox(text) IS 'sees to it that the caller may use that folder, and makes done/ and refused/ in it';
CREATE FUNCTION fluct.__open_inbox(directory text) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_open_inbox';
COMMENT ON FUNCTION fluct.__open_inbox(text) IS '_open_inbox, as the caller';

CREATE FUNCTION fluct._list_folder(directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._list_folder(text, text, text) IS 'what lies in that folder of an inbox, but for folders and hidden files; only_name: that one only';
CREATE FUNCTION fluct.__list_folder(directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_list_folder';
COMMENT ON FUNCTION fluct.__list_folder(text, text, text) IS '_list_folder, as the caller';

CREATE FUNCTION fluct._move_file(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._move_file(text, text, text, text, bigint) IS 'moves the file of that number from one folder of an inbox to another; returns its name there, NULL if it is gone';
CREATE FUNCTION fluct.__move_file(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS text
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_move_file';
COMMENT ON FUNCTION fluct.__move_file(text, text, text, text, bigint) IS '_move_file, as the caller';

CREATE FUNCTION fluct._move_at_commit(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._move_at_commit(text, text, text, text, bigint) IS 'does the same once this transaction has committed';
CREATE FUNCTION fluct.__move_at_commit(directory text, from_sub text, name text, to_sub text, inode bigint) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_move_at_commit';
COMMENT ON FUNCTION fluct.__move_at_commit(text, text, text, text, bigint) IS '_move_at_commit, as the caller';

CREATE FUNCTION fluct._inbox_path(directory text, sub text, name text) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_inbox_path';
COMMENT ON FUNCTION fluct._inbox_path(text, text, text) IS 'the bytes of the path of a file whose name is given as it is shown';

CREATE FUNCTION fluct._in_transaction_block() RETURNS boolean
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'fluct_in_transaction_block';
COMMENT ON FUNCTION fluct._in_transaction_block() IS 'whether the user began a transaction, which nobody else may commit';

-- ---------------------------------------------------------------------------
-- As an inbox's owner
-- ---------------------------------------------------------------------------
-- The first argument is the role that becomes the caller.

CREATE FUNCTION fluct._open_inbox_as(role text, directory text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._open_inbox_as(text, text) IS '_open_inbox with the rights of a role';
CREATE FUNCTION fluct.__open_inbox_as(role text, directory text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM fluct._open_inbox(directory); END $$;
COMMENT ON FUNCTION fluct.__open_inbox_as(text, text) IS '_open_inbox_as, as the extension''s owner';

CREATE FUNCTION fluct._list_as(role text, directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._list_as(text, text, text, text) IS '_list_folder with the rights of a role';
CREATE FUNCTION fluct.__list_as(role text, directory text, sub text, only_name text)
RETURNS TABLE (name text, bytes bigint, modified_at timestamptz, inode bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN QUERY SELECT * FROM fluct._list_folder(directory, sub, only_name); END $$;
COMMENT ON FUNCTION fluct.__list_as(text, text, text, text) IS '_list_as, as the extension''s owner';

CREATE FUNCTION fluct._move_as(role text, directory text, from_sub text, name text, to_sub text, inode bigint, at_commit boolean) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._move_as(text, text, text, text, text, bigint, boolean) IS '_move_file or _move_at_commit with the rights of a role';
CREATE FUNCTION fluct.__move_as(role text, directory text, from_sub text, name text, to_sub text, inode bigint, at_commit boolean) RETURNS text
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
CREATE FUNCTION fluct._settle_constraints() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._settle_constraints() IS 'checks deferred constraints now, with the rights of the caller';
CREATE FUNCTION fluct.__settle_constraints() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; END $$;
COMMENT ON FUNCTION fluct.__settle_constraints() IS '_settle_constraints, as the caller';

CREATE FUNCTION fluct._load_as(role text, kind text, path bytea, options jsonb, force boolean, inbox text) RETURNS fluct.files
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_role';
COMMENT ON FUNCTION fluct._load_as(text, text, bytea, jsonb, boolean, text) IS 'loads a file of an inbox with the rights of a role';
CREATE FUNCTION fluct.__load_as(role text, kind text, path bytea, options jsonb, force boolean, inbox text) RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files;
	loader oid := (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'fluct'::regnamespace AND p.proname = 'load_' || kind);
BEGIN
	IF NOT has_function_privilege(role, loader, 'EXECUTE') THEN
		RAISE EXCEPTION 'role "%" may not load %', role, kind
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

CREATE FUNCTION fluct._own_inbox(name text)
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

CREATE FUNCTION fluct._given_options(on_bad_row text, max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric)
RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_strip_nulls(jsonb_build_object('on_bad_row', on_bad_row, 'max_rejects', max_rejects, 'mode', mode,
											'unknown_industry', unknown_industry, 'max_delete_fraction', max_delete_fraction))
$$;
COMMENT ON FUNCTION fluct._given_options(text, bigint, text, text, numeric) IS 'the loader''s options that were given';

-- The same folder by another name is the same, and one inbox within another
-- would load what the other has done.
CREATE FUNCTION fluct._save_inbox(i fluct.inboxes)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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

CREATE FUNCTION fluct.create_inbox(name text, kind text, directory text, settle interval DEFAULT '10 seconds', on_bad_row text DEFAULT NULL,
								   max_rejects bigint DEFAULT NULL, mode text DEFAULT NULL, unknown_industry text DEFAULT NULL,
								   max_delete_fraction numeric DEFAULT NULL)
RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.create_inbox(text, text, text, interval, text, bigint, text, text, numeric) IS
'Makes a folder of the server an inbox: scan_inbox() loads each file in it once and moves it to done/ or refused/ there. kind is industries, products, customers or orders; the further options are those of load_KIND(), NULL = its default. A file is left alone until its size and time have been still for settle. The folder must lie below fluct.inbox_root, or the caller have pg_read_server_files and pg_write_server_files; links and ".." in its path are refused. The caller owns it.';

CREATE FUNCTION fluct._create_inbox(name text, kind text, directory text, settle interval, on_bad_row text,
									max_rejects bigint, mode text, unknown_industry text, max_delete_fraction numeric)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes;
BEGIN
	PERFORM fluct._check_option('kind', kind, '{industries,products,customers,orders}');
	IF name IS NULL OR name !~ '^[A-Za-z0-9_.-]{1,63}$' THEN
		RAISE EXCEPTION 'an inbox can''t be called %', coalesce('"' || name || '"', 'NULL')
			USING ERRCODE = 'invalid_name', HINT = 'Letters, digits, "_", "." and "-", at most 63.';
	ELSIF EXISTS (SELECT 1 FROM fluct.inboxes b WHERE b.name = _create_inbox.name) THEN
		RAISE EXCEPTION 'inbox "%" exists already', name
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
	RETURN format('inbox "%s" is there: CALL fluct.scan_inbox(%L) loads what lies in it', name, name);
END
$$;
COMMENT ON FUNCTION fluct._create_inbox(text, text, text, interval, text, bigint, text, text, numeric) IS 'create_inbox, as the extension''s owner';

CREATE FUNCTION fluct.alter_inbox(name text, directory text DEFAULT NULL, settle interval DEFAULT NULL, on_bad_row text DEFAULT NULL,
								  max_rejects bigint DEFAULT NULL, mode text DEFAULT NULL, unknown_industry text DEFAULT NULL,
								  max_delete_fraction numeric DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.alter_inbox(text, text, interval, text, bigint, text, text, numeric) IS
'Changes an inbox; what is not given stays. Files are not moved to another directory, and those done stay done.';

CREATE FUNCTION fluct._alter_inbox(name text, directory text, settle interval, on_bad_row text,
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

CREATE FUNCTION fluct._drop_inbox(name text)
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

CREATE FUNCTION fluct.drop_inbox(name text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.drop_inbox(text) IS 'Forgets an inbox. Its folder, the files in it and what was loaded stay, and so does fluct.files.';

-- ---------------------------------------------------------------------------
-- Scanning
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._inbox_lock(i fluct.inboxes)
RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_try_advisory_xact_lock(hashtextextended('fluct inbox ' || i.directory, 0)) $$;
COMMENT ON FUNCTION fluct._inbox_lock(fluct.inboxes) IS 'takes the lock of an inbox until the end of the transaction; false if another one has it';

-- A time in the future says nothing: such a file counts as still.
CREATE FUNCTION fluct._is_settled(i fluct.inboxes, modified_at timestamptz)
RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT modified_at NOT BETWEEN clock_timestamp() - i.settle AND clock_timestamp() + interval '1 day' OR i.settle = '0' $$;
COMMENT ON FUNCTION fluct._is_settled(fluct.inboxes, timestamptz) IS 'whether a file of that time is not written any more';

CREATE FUNCTION fluct._inbox_work(inbox text)
RETURNS TABLE (folder text, file text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._inbox_work(text) IS 'the files of a scan: those that lie in the inbox, oldest first, and those in done/ of which nothing is recorded';

CREATE FUNCTION fluct.__inbox_work(inbox text)
RETURNS TABLE (folder text, file text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(inbox);
BEGIN
	PERFORM fluct._require_tables();
	IF fluct._in_transaction_block() THEN
		RAISE EXCEPTION 'scan_inbox() commits after each file, and you began a transaction'
			USING ERRCODE = 'active_sql_transaction', HINT = 'COMMIT, then CALL it again.';
	END IF;
	PERFORM fluct._open_inbox_as(i.owner, i.directory);
	RETURN QUERY
	SELECT 'done', d.name FROM fluct._list_as(i.owner, i.directory, 'done', NULL) d
	 WHERE NOT EXISTS (SELECT 1 FROM fluct.files f
						WHERE f.inbox = i.name AND f.inode = d.inode AND f.bytes = d.bytes AND f.modified_at = d.modified_at
						  AND f.status IN ('loaded', 'duplicate'))
	 ORDER BY d.modified_at, d.name COLLATE "C";
	RETURN QUERY
	SELECT '', n.name FROM fluct._list_as(i.owner, i.directory, '', NULL) n ORDER BY n.modified_at, n.name COLLATE "C";
END
$$;
COMMENT ON FUNCTION fluct.__inbox_work(text) IS '_inbox_work, as the extension''s owner';

-- Whether an error is about what stands in the file, or about its being no file:
-- then it will be so the next time, too.
CREATE FUNCTION fluct._error_reason(state text, message text, OUT reason text, OUT line bigint)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m text[] := regexp_match(message, '^file ".*" is refused(?: at line ([0-9]+))?: ([a-z_]+)$', 'n');
BEGIN
	line := m[1]::bigint;
	reason := CASE
		WHEN m[2] = 'changed_while_read' OR m[2] = 'not_found' OR m[2] = 'outside_root' OR state LIKE '58%' THEN NULL
		WHEN m IS NOT NULL THEN m[2]
		WHEN left(state, 2) IN ('21', '22', '23', '44', '54') THEN 'constraint'
		WHEN left(state, 2) IN ('P0', '09', '27', '38', '39') THEN 'trigger' END;
END
$$;
COMMENT ON FUNCTION fluct._error_reason(text, text) IS 'the reason for which an error refuses a file, and its line; NULL = the file is not at fault, and is tried again';

CREATE FUNCTION fluct._refusal(i fluct.inboxes, path bytea, f record, state text, message text, detail text)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.files := fluct._new_load(i.kind, path, i.options);
BEGIN
	r.loaded_by := i.owner;
	r.inbox := i.name;
	r.status := 'refused';
	r.bytes := f.bytes;
	r.modified_at := f.modified_at;
	r.inode := f.inode;
	SELECT e.reason, e.line INTO r.reason, r.line FROM fluct._error_reason(state, message) e;
	r.detail := CASE WHEN r.reason IN ('constraint', 'trigger') THEN concat_ws(': ', message, nullif(detail, '')) ELSE detail END;
	RETURN fluct._record_load(r, '[]');
END
$$;
COMMENT ON FUNCTION fluct._refusal(fluct.inboxes, bytea, record, text, text, text) IS 'records that a file of an inbox is refused';

CREATE FUNCTION fluct._scan_file(inbox text, folder text, file text, OUT result text, OUT id bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._scan_file(text, text, text) IS
'Loads or refuses one file of an inbox; id is its row in fluct.files. result: loaded, duplicate, refused, known (recorded before, and not moved yet), growing, left (not the file''s fault), gone, busy (another scan is at work).';

CREATE FUNCTION fluct.__scan_file(inbox text, folder text, file text, OUT result text, OUT id bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(inbox);
	path bytea := fluct._inbox_path(i.directory, folder, file);
	f record;
	load fluct.files;
	detail text;
BEGIN
	IF path IS NULL THEN
		RAISE EXCEPTION 'folder and file must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF NOT fluct._inbox_lock(i) THEN
		result := 'busy';
		RETURN;
	END IF;
	SELECT * INTO f FROM fluct._list_as(i.owner, i.directory, folder, file);
	IF NOT FOUND THEN
		result := 'gone';
		RETURN;
	END IF;
	SELECT k.id INTO id FROM fluct.files k
	 WHERE folder = '' AND k.inbox = i.name AND k.inode = f.inode AND k.bytes = f.bytes AND k.modified_at = f.modified_at
	   AND k.file = fluct._show_path(path) AND k.moved_to IS NULL
	 ORDER BY k.id DESC LIMIT 1;
	IF FOUND THEN
		result := 'known';
		RETURN;
	ELSIF folder = '' AND NOT fluct._is_settled(i, f.modified_at) THEN
		result := 'growing';
		RETURN;
	END IF;
	BEGIN
		load := fluct._load_as(i.owner, i.kind, path, i.options, false, i.name);
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		IF (fluct._error_reason(SQLSTATE, SQLERRM)).reason IS NULL THEN
			RAISE WARNING 'file "%" is left for the next scan: %', file, concat_ws(': ', SQLERRM, nullif(detail, ''))
				USING ERRCODE = SQLSTATE;
			result := 'left';
			RETURN;
		END IF;
		load := fluct._refusal(i, path, f, SQLSTATE, SQLERRM, detail);
	END;
	result := load.status;
	id := load.id;
END
$$;
COMMENT ON FUNCTION fluct.__scan_file(text, text, text) IS '_scan_file, as the extension''s owner';

CREATE FUNCTION fluct._finish_file(inbox text, folder text, file text, id bigint)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._finish_file(text, text, text, bigint) IS 'moves a file whose load is committed, and tells what became of it';

CREATE FUNCTION fluct.__finish_file(inbox text, folder text, file text, id bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(inbox);
	load fluct.files;
	target text;
	moved text;
	detail text;
BEGIN
	SELECT * INTO load FROM fluct.files f WHERE f.id = __finish_file.id AND f.inbox = i.name AND f.moved_to IS NULL;
	IF NOT FOUND OR NOT fluct._inbox_lock(i) THEN
		RETURN;
	END IF;
	target := CASE WHEN load.status IN ('loaded', 'duplicate') THEN 'done' ELSE 'refused' END;
	IF load.status = 'refused' THEN
		RAISE WARNING 'file "%": %', file, fluct._tell_load(load);
	ELSE
		RAISE NOTICE 'file "%": %', file, fluct._tell_load(load);
	END IF;
	IF target = folder THEN
		moved := file;
	ELSE
		moved := fluct._move_as(i.owner, i.directory, folder, file, target, load.inode, false);
	END IF;
	UPDATE fluct.files f SET moved_to = target || '/' || moved WHERE f.id = load.id AND moved IS NOT NULL;
EXCEPTION WHEN insufficient_privilege OR system_error OR undefined_file OR disk_full THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RAISE WARNING 'file "%" stays where it is: %', file, concat_ws(': ', SQLERRM, nullif(detail, ''))
		USING ERRCODE = SQLSTATE, HINT = 'The next scan tries to move it again.';
END
$$;
COMMENT ON FUNCTION fluct.__finish_file(text, text, text, bigint) IS '_finish_file, as the extension''s owner';

CREATE FUNCTION fluct._end_scan(inbox text, results text[])
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._end_scan(text, text[]) IS 'tells what a scan did';

CREATE FUNCTION fluct.__end_scan(inbox text, results text[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(inbox);
	told text;
BEGIN
	SELECT string_agg(n || ' ' || w.words, ', ' ORDER BY w.place) INTO told
	  FROM (SELECT r, count(*) AS n FROM unnest(results) r GROUP BY r) c
	  JOIN (VALUES (1, 'loaded', 'loaded'), (2, 'duplicate', 'loaded before'), (3, 'refused', 'refused'), (4, 'known', 'moved only'),
				   (5, 'growing', 'still being written'), (6, 'left', 'left for the next scan')) w (place, result, words) ON w.result = c.r;
	RAISE NOTICE 'inbox "%": %', inbox, CASE WHEN 'busy' = ANY (results) THEN concat_ws(', ', told, 'another scan is at work')
		ELSE coalesce(told, 'no new file') END;
	IF 'busy' <> ALL (results) THEN
		UPDATE fluct.inboxes b SET last_scan = clock_timestamp() WHERE b.name = i.name;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__end_scan(text, text[]) IS '_end_scan, as the extension''s owner';

-- It commits, so it can't have SET; it looks up nothing that is not qualified.
CREATE PROCEDURE fluct.scan_inbox(name text)
LANGUAGE plpgsql
AS $$
DECLARE
	work record;
	scanned record;
	results pg_catalog.text[] := '{}';
BEGIN
	FOR work IN SELECT w.folder, w.file FROM fluct._inbox_work(scan_inbox.name) w LOOP
		SELECT s.result, s.id INTO scanned FROM fluct._scan_file(scan_inbox.name, work.folder, work.file) s;
		COMMIT;
		results := pg_catalog.array_append(results, scanned.result);
		EXIT WHEN scanned.result OPERATOR(pg_catalog.=) 'busy'::pg_catalog.text;
		IF scanned.id IS NOT NULL THEN
			PERFORM fluct._finish_file(scan_inbox.name, work.folder, work.file, scanned.id);
			COMMIT;
		END IF;
	END LOOP;
	PERFORM fluct._end_scan(scan_inbox.name, results);
END
$$;
COMMENT ON PROCEDURE fluct.scan_inbox(text) IS
'Loads each file that lies in an inbox, oldest first, one transaction a file, as the inbox''s owner; moves it to done/ or, with its reason in fluct.files, to refused/. A file that is still being written, or that could not be loaded for another cause than itself (a lock, a full disk), stays for the next scan. Hidden files and folders are left alone. A second scan at the same time ends at once.';

-- ---------------------------------------------------------------------------
-- One file by hand
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._find_file(i fluct.inboxes, file text, folders text[], OUT folder text, OUT name text, OUT bytes bigint, OUT modified_at timestamptz, OUT inode bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given text := substring(file FROM '^(done|refused)/');
BEGIN
	IF file IS NULL THEN
		RAISE EXCEPTION 'file must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF given IS NOT NULL THEN
		folders := ARRAY[given];
		file := substr(file, length(given) + 2);
	END IF;
	FOREACH folder IN ARRAY folders LOOP
		SELECT l.name, l.bytes, l.modified_at, l.inode INTO name, bytes, modified_at, inode
		  FROM fluct._list_as(i.owner, i.directory, folder, file) l;
		IF FOUND THEN
			RETURN;
		END IF;
	END LOOP;
	RAISE EXCEPTION 'file "%" is not in inbox "%"', file, i.name
		USING ERRCODE = 'undefined_file',
		      HINT = format('SELECT file, status, moved_to FROM fluct.files WHERE inbox = %L ORDER BY id DESC', i.name);
END
$$;
COMMENT ON FUNCTION fluct._find_file(fluct.inboxes, text, text[]) IS 'where a file of an inbox lies; raises undefined_file';

CREATE FUNCTION fluct.reload_file(inbox text, file text) RETURNS fluct.load_result
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.reload_file(text, text) IS
'Loads a file of an inbox once more, whatever was recorded of it: one in refused/, in done/ or still in the inbox, looked for in this order unless its name begins with the folder (done/x.csv). Names are those of fluct.files.moved_to. Once loaded it goes to done/, at the commit. Errors: undefined_file; and as load_KIND().';

CREATE FUNCTION fluct._reload_file(inbox text, file text) RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(inbox);
	f record;
	load fluct.files;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('fluct inbox ' || i.directory, 0));
	f := fluct._find_file(i, file, '{refused,done,""}');
	load := fluct._load_as(i.owner, i.kind, fluct._inbox_path(i.directory, f.folder, f.name), i.options, true, i.name);
	IF f.folder <> 'done' THEN
		PERFORM fluct._move_as(i.owner, i.directory, f.folder, f.name, 'done', load.inode, true);
	END IF;
	RETURN fluct._load_result(load);
END
$$;
COMMENT ON FUNCTION fluct._reload_file(text, text) IS 'reload_file, as the extension''s owner';

CREATE FUNCTION fluct.skip_file(inbox text, file text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.skip_file(text, text, text) IS
'Takes a file that lies in an inbox away without loading it: it is recorded as skipped, and goes to refused/ at the commit. Returns its id in fluct.files. Errors: undefined_file.';

CREATE FUNCTION fluct._skip_file(inbox text, file text, reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._own_inbox(inbox);
	f record;
	r fluct.files;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('fluct inbox ' || i.directory, 0));
	f := fluct._find_file(i, file, '{""}');
	IF f.folder <> '' THEN
		RAISE EXCEPTION 'file "%" does not lie in the inbox any more', file
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'Only a file that waits there can be skipped.';
	END IF;
	r := fluct._new_load(i.kind, fluct._inbox_path(i.directory, f.folder, f.name), i.options);
	r.inbox := i.name;
	r.status := 'skipped';
	r.detail := reason;
	r.bytes := f.bytes;
	r.modified_at := f.modified_at;
	r.inode := f.inode;
	r := fluct._record_load(r, '[]');
	PERFORM fluct._move_as(i.owner, i.directory, '', f.name, 'refused', f.inode, true);
	RETURN r.id;
END
$$;
COMMENT ON FUNCTION fluct._skip_file(text, text, text) IS 'skip_file, as the extension''s owner';

-- ---------------------------------------------------------------------------
-- On a schedule
-- ---------------------------------------------------------------------------

CREATE FUNCTION fluct._set_schedule(inbox text, schedule text) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._set_schedule(text, text) IS 'notes an inbox''s schedule; returns the one before';
CREATE FUNCTION fluct.__set_schedule(inbox text, schedule text) RETURNS text
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

CREATE FUNCTION fluct.schedule_inbox(name text, schedule text) RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.schedule_inbox(text, text) IS
'Has pg_cron scan an inbox, as the calling role: five fields as crontab has them, in pg_cron''s zone, or "30 seconds" where pg_cron is 1.5 or later. Again for the same inbox it changes the schedule. Errors: invalid_parameter_value, insufficient_privilege, object_not_in_prerequisite_state without pg_cron.';

CREATE FUNCTION fluct._schedule_inbox(name text, schedule text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cron_database text;
	job text := 'fluct inbox: ' || name;
	command text := format('CALL fluct.scan_inbox(%L)', name);
BEGIN
	IF schedule IS NULL OR schedule !~* '^\s*[1-5]?[0-9]\s+seconds?\s*$' THEN
		PERFORM fluct._parse_schedule(schedule);
	END IF;
	PERFORM fluct._set_schedule(name, schedule);
	cron_database := fluct._cron_database();
	IF cron_database = current_database() THEN
		EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job, schedule, command;
	ELSE
		RAISE NOTICE 'pg_cron runs in database "%": make the job there', cron_database
			USING HINT = format('SELECT cron.schedule_in_database(%L, %L, %L, %L)', job, schedule, command, current_database());
	END IF;
	RETURN format('inbox "%s" is scanned at "%s" (%s)', name, schedule, fluct._cron_zone());
END
$$;
COMMENT ON FUNCTION fluct._schedule_inbox(text, text) IS 'schedule_inbox; errors without the list of functions';

CREATE FUNCTION fluct.unschedule_inbox(name text) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct.unschedule_inbox(text) IS 'Ends an inbox''s schedule. Returns false where it had none. Errors: undefined_object, insufficient_privilege.';

CREATE FUNCTION fluct._unschedule_inbox(name text)
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

REVOKE ALL ON PROCEDURE fluct.scan_inbox(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fluct._own_inbox(text), fluct._save_inbox(fluct.inboxes),
	fluct._refusal(fluct.inboxes, bytea, record, text, text, text), fluct._find_file(fluct.inboxes, text, text[]) FROM PUBLIC;
