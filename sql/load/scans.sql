-- scans.sql: what lies in an inbox is loaded, and moved.
--
-- A scan takes a file at a time: one transaction loads it and records that, or
-- records why it is refused; after its commit the file is moved, and a second
-- one notes where to.  So at a crash between the two the file is still there,
-- and the next scan knows it by what was recorded (size, time, number) and moves
-- it.  A file in done/ that is not recorded, as after a restore to a moment
-- before its load, is loaded again.

-- ---------------------------------------------------------------------------
-- Scanning
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._inbox_lock(i fluct.inboxes)
RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT fluct._try_lock('inbox', i.name) $$;
COMMENT ON FUNCTION fluct._inbox_lock(fluct.inboxes) IS 'takes the lock of an inbox until the end of the transaction; false if another one has it';

-- A time in the future says nothing: such a file counts as settled.
CREATE OR REPLACE FUNCTION fluct._is_settled(i fluct.inboxes, modified_at timestamptz)
RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT modified_at NOT BETWEEN clock_timestamp() - i.settle AND clock_timestamp() + interval '1 day' OR i.settle = '0' $$;
COMMENT ON FUNCTION fluct._is_settled(fluct.inboxes, timestamptz) IS 'whether a file of that time is not written any more';

CREATE OR REPLACE FUNCTION fluct._inbox_work(inbox text)
RETURNS TABLE (folder text, file text)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._inbox_work(text) IS 'the files of a scan: those that lie in the inbox, oldest first, and those in done/ that are not recorded';

CREATE OR REPLACE FUNCTION fluct.__inbox_work(inbox text)
RETURNS TABLE (folder text, file text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._working_inbox(inbox);
BEGIN
	IF i.kind <> 'table' THEN
		PERFORM fluct._require_tables();
	END IF;
	IF fluct._in_transaction_block() THEN
		RAISE EXCEPTION 'scan_inbox() commits after each file, and you began a transaction'
			USING ERRCODE = 'active_sql_transaction', HINT = 'COMMIT, then CALL it again.';
	END IF;
	PERFORM fluct._open_inbox(i.directory);
	RETURN QUERY
	SELECT 'done', d.name FROM fluct._list_folder(i.directory, 'done', NULL) d
	 WHERE NOT EXISTS (SELECT 1 FROM fluct.files f
						WHERE f.inbox = i.name AND f.inode = d.inode AND f.bytes = d.bytes AND f.modified_at = d.modified_at
						  AND f.status IN ('loaded', 'duplicate'))
	   AND fluct._is_wanted(i, d.name)
	 ORDER BY d.modified_at, d.name COLLATE "C";
	RETURN QUERY
	SELECT '', n.name FROM fluct._list_folder(i.directory, '', NULL) n WHERE fluct._is_wanted(i, n.name) ORDER BY n.modified_at, n.name COLLATE "C";
END
$$;
COMMENT ON FUNCTION fluct.__inbox_work(text) IS '_inbox_work, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._is_of_data(state text) RETURNS boolean
LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'fluct_is_of_data';
COMMENT ON FUNCTION fluct._is_of_data(text) IS
'Whether an error of this SQLSTATE is the fault of the data, as a stream''s errors are judged (src/pg/sqlstate.c).';

-- Whether an error is about the content of the file, or about its not being a
-- file: then it will be the same the next time.
CREATE OR REPLACE FUNCTION fluct._error_reason(state text, message text, OUT reason text, OUT line bigint)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m text[] := regexp_match(message, '^file ".*" is refused(?: at line ([0-9]+))?: ([a-z_]+)$', 'n');
BEGIN
	line := m[1]::bigint;
	reason := CASE
		WHEN m[2] = 'changed_while_read' OR m[2] = 'not_found' OR m[2] = 'outside_root' OR state LIKE '58%' THEN NULL
		WHEN m IS NOT NULL THEN m[2]
		WHEN fluct._is_of_data(state) THEN 'constraint'
		WHEN left(state, 2) IN ('P0', '09', '27', '38', '39') THEN 'trigger' END;
END
$$;
COMMENT ON FUNCTION fluct._error_reason(text, text) IS 'the reason for which an error refuses a file, and its line; NULL = the file is not at fault, and is tried again';

CREATE OR REPLACE FUNCTION fluct._load_inbox_file(i fluct.inboxes, path bytea, force boolean)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files := fluct._load(i.kind, path, i.options, force, true, i.name);
BEGIN
	PERFORM fluct._settle_constraints();
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct._load_inbox_file(fluct.inboxes, bytea, boolean) IS 'loads a file of an inbox for its owner, who calls';

CREATE OR REPLACE FUNCTION fluct._refusal(i fluct.inboxes, path bytea, f record, state text, message text, detail text)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r fluct.files := fluct._new_load(i.kind, path, i.options);
BEGIN
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

CREATE OR REPLACE FUNCTION fluct._scan_file(inbox text, folder text, file text, OUT result text, OUT id bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._scan_file(text, text, text) IS
'Loads or refuses one file of an inbox; id is its row in fluct.files. result: loaded, duplicate, refused, known (recorded before, and not moved yet), growing, left (not the file''s fault), gone, busy (another scan is at work).';

CREATE OR REPLACE FUNCTION fluct.__scan_file(inbox text, folder text, file text, OUT result text, OUT id bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._working_inbox(inbox);
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
	SELECT * INTO f FROM fluct._list_folder(i.directory, folder, file);
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
		load := fluct._load_inbox_file(i, path, false);
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		IF (fluct._error_reason(SQLSTATE, SQLERRM)).reason IS NULL THEN
			RAISE WARNING 'file "%" is left for the next scan: %', file, fluct._printable(concat_ws(': ', SQLERRM, nullif(detail, '')))
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

CREATE OR REPLACE FUNCTION fluct._finish_file(inbox text, folder text, file text, id bigint)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._finish_file(text, text, text, bigint) IS 'moves a file whose load is committed, and tells what became of it';

CREATE OR REPLACE FUNCTION fluct.__finish_file(inbox text, folder text, file text, id bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._working_inbox(inbox);
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
		detail := fluct._reason_hint(load, load.reason, load.detail);
		IF detail IS NULL THEN
			RAISE WARNING 'file "%": %', file, fluct._tell_load(load);
		ELSE
			RAISE WARNING 'file "%": %', file, fluct._tell_load(load) USING HINT = detail;
		END IF;
	ELSE
		RAISE NOTICE 'file "%": %', file, fluct._tell_load(load);
	END IF;
	IF target = folder THEN
		moved := file;
	ELSE
		moved := fluct._move_file(i.directory, folder, file, target, load.inode);
	END IF;
	UPDATE fluct.files f SET moved_to = target || '/' || moved WHERE f.id = load.id AND moved IS NOT NULL;
EXCEPTION WHEN insufficient_privilege OR system_error OR undefined_file OR disk_full THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RAISE WARNING 'file "%" stays where it is: %', file, fluct._printable(concat_ws(': ', SQLERRM, nullif(detail, '')))
		USING ERRCODE = SQLSTATE, HINT = 'The next scan tries to move it again.';
END
$$;
COMMENT ON FUNCTION fluct.__finish_file(text, text, text, bigint) IS '_finish_file, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._end_scan(inbox text, results text[])
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct._end_scan(text, text[]) IS 'tells what a scan did';

CREATE OR REPLACE FUNCTION fluct.__end_scan(inbox text, results text[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._working_inbox(inbox);
	told text;
	ignored text;
BEGIN
	SELECT count(*) || ' ignored for ' || CASE count(*) WHEN 1 THEN 'its name' ELSE 'their names' END INTO ignored
	  FROM fluct._list_folder(i.directory, '', NULL) n WHERE NOT fluct._is_wanted(i, n.name) HAVING count(*) > 0;
	SELECT string_agg(n || ' ' || w.words, ', ' ORDER BY w.place) INTO told
	  FROM (SELECT r, count(*) AS n FROM unnest(results) r GROUP BY r) c
	  JOIN (VALUES (1, 'loaded', 'loaded'), (2, 'duplicate', 'loaded before'), (3, 'refused', 'refused'), (4, 'known', 'moved only'),
				   (5, 'growing', 'still being written'), (6, 'left', 'left for the next scan')) w (place, result, words) ON w.result = c.r;
	RAISE NOTICE 'inbox "%": %', inbox, CASE WHEN 'busy' = ANY (results) THEN concat_ws(', ', told, 'another scan is at work')
		ELSE concat_ws(', ', coalesce(told, 'no new file'), ignored) END;
	IF 'busy' <> ALL (results) THEN
		UPDATE fluct.inboxes b SET last_scan = clock_timestamp() WHERE b.name = i.name;
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__end_scan(text, text[]) IS '_end_scan, as the extension''s owner';

-- It commits, so it can't have SET; it looks up nothing that is not qualified.
CREATE OR REPLACE PROCEDURE fluct.scan_inbox(name text)
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
'Loads each file that lies in an inbox, oldest first, one transaction a file, in a session of the inbox''s owner; moves it to done/ or, with its reason in fluct.files, to refused/. A file that is still being written, or that could not be loaded for another cause than itself (a lock, a full disk), stays for the next scan. Hidden files, those whose names do not match the inbox''s pattern or are used by other programs while they write, and folders are left alone. A second scan at the same time ends at once.';

-- ---------------------------------------------------------------------------
-- One file by hand
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._find_file(i fluct.inboxes, file text, folders text[],
							   OUT folder text, OUT name text, OUT bytes bigint, OUT modified_at timestamptz, OUT inode bigint)
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
		  FROM fluct._list_folder(i.directory, folder, file) l;
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

CREATE OR REPLACE FUNCTION fluct.reload_file(inbox text, file text) RETURNS fluct.load_result
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.reload_file(text, text) IS
'Loads a file of an inbox once more, whatever was recorded of it: one in refused/, in done/ or still in the inbox, looked for in this order unless its name begins with the folder (done/x.csv). Names are those of fluct.files.moved_to. Once loaded it goes to done/, at the commit. Errors: undefined_file; and as load_KIND().';

CREATE OR REPLACE FUNCTION fluct._reload_file(inbox text, file text) RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._working_inbox(inbox);
	f record;
	load fluct.files;
BEGIN
	PERFORM fluct._lock('inbox', i.name);
	f := fluct._find_file(i, file, '{refused,done,""}');
	load := fluct._load_inbox_file(i, fluct._inbox_path(i.directory, f.folder, f.name), true);
	IF f.folder <> 'done' THEN
		PERFORM fluct._move_at_commit(i.directory, f.folder, f.name, 'done', load.inode);
	END IF;
	RETURN fluct._load_result(load);
END
$$;
COMMENT ON FUNCTION fluct._reload_file(text, text) IS 'reload_file, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct.skip_file(inbox text, file text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_owner';
COMMENT ON FUNCTION fluct.skip_file(text, text, text) IS
'Takes a file that lies in an inbox away without loading it: it is recorded as skipped, and goes to refused/ at the commit. Returns its id in fluct.files. Errors: undefined_file.';

CREATE OR REPLACE FUNCTION fluct._skip_file(inbox text, file text, reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i fluct.inboxes := fluct._working_inbox(inbox);
	f record;
	r fluct.files;
BEGIN
	PERFORM fluct._lock('inbox', i.name);
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
	PERFORM fluct._move_at_commit(i.directory, '', f.name, 'refused', f.inode);
	RETURN r.id;
END
$$;
COMMENT ON FUNCTION fluct._skip_file(text, text, text) IS 'skip_file, as the extension''s owner';
