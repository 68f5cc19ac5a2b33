-- files.sql: a server file is identified, read, judged and recorded.
--
-- One file, one transaction.  Every load goes through _load(), which works with
-- the rights of the extension's owner, so that nobody else can write the
-- bookkeeping: it identifies the file by its content, and ends there if that was
-- loaded before; lets __store() do the rest as the caller; sees that the file is
-- still the same, and records the outcome.
--
-- __store() (in loaders.sql) reads the file into the temporary table _fluct_feed,
-- bad rows with their reasons among the good; marks the rows that its rules
-- refuse; _judge_feed() refuses the file, or takes the bad rows out; then what
-- differs is changed, in as few statements as the tables are.  A row that is as
-- it was costs no update.

-- ---------------------------------------------------------------------------
-- Reading
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._show_path(path bytea)
RETURNS text
LANGUAGE c IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_show_path';
COMMENT ON FUNCTION fluct._show_path(bytea) IS E'a path as it is shown: bytes that are not printable text as \\xNN, a backslash doubled';

CREATE OR REPLACE FUNCTION fluct._file_encoding(name text)
RETURNS text
LANGUAGE c IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_file_encoding';
COMMENT ON FUNCTION fluct._file_encoding(text) IS 'the usual name of an encoding of files: UTF16, UTF16LE, UTF16BE, or one of PostgreSQL''s that can be converted to UTF-8; NULL if it is not one';

CREATE OR REPLACE FUNCTION fluct._read_csv(path bytea, sha256 bytea, columns text[], strict_end boolean,
								delimiter text, encoding text, skip_lines bigint, null_words text[], gzip boolean)
RETURNS TABLE (line bigint, fields text[], reason text, detail text, fatal boolean)
LANGUAGE c VOLATILE ROWS 100000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_read_csv';
COMMENT ON FUNCTION fluct._read_csv(bytea, bytea, text[], boolean, text, text, bigint, text[], boolean) IS
'The named columns of each row of a CSV file with its physical line; bad rows with their reason. The content must be sha256 (NULL = any). strict_end refuses a last line without line end. A field that is one of null_words is NULL, quoted or not.';

CREATE OR REPLACE FUNCTION fluct._file_sqlstate(reason text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE reason
	   WHEN 'bad_encoding' THEN '22021'
	   WHEN 'nul' THEN '22P05'
	   WHEN 'empty_key' THEN '2200F'
	   WHEN 'bad_number' THEN '22P02'
	   WHEN 'too_long' THEN '54000'
	   WHEN 'unknown_industry' THEN '23503'
	   WHEN 'too_many_deletes' THEN '22023'
	   WHEN 'changed_while_read' THEN '55006'
	   ELSE '22P04'
	   END
$$;
COMMENT ON FUNCTION fluct._file_sqlstate(text) IS 'the SQLSTATE of a reason that refuses a file';

CREATE OR REPLACE FUNCTION fluct._file_name(path text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT fluct._printable(regexp_replace(path, '^.*/', ''))
$$;
COMMENT ON FUNCTION fluct._file_name(text) IS 'the name without folders, as messages show it';

CREATE OR REPLACE FUNCTION fluct._told_name(load fluct.files)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN load.bytes IS NULL THEN load.file ELSE format('file "%s"', fluct._file_name(load.file)) END
$$;
COMMENT ON FUNCTION fluct._told_name(fluct.files) IS 'what messages call it: a file, or customer_feed';

CREATE OR REPLACE FUNCTION fluct._line_word(load fluct.files)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN load.bytes IS NULL THEN 'row' ELSE 'line' END $$;
COMMENT ON FUNCTION fluct._line_word(fluct.files) IS 'what is counted in it';

CREATE OR REPLACE FUNCTION fluct._refuse_file(load fluct.files, line bigint, reason text, detail text, hint text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place text := CASE WHEN line > 0 THEN ' at ' || fluct._line_word(load) || ' ' || line ELSE '' END;
	refusal text := format('%s is refused%s: %s', fluct._told_name(load), place, reason);
BEGIN
	detail := fluct._printable(upper(left(detail, 1)) || substr(detail, 2) || '.');
	IF hint IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = fluct._file_sqlstate(reason), MESSAGE = refusal, DETAIL = detail;
	END IF;
	RAISE EXCEPTION USING ERRCODE = fluct._file_sqlstate(reason), MESSAGE = refusal, DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION fluct._refuse_file(fluct.files, bigint, text, text, text) IS 'raises the error that refuses a file';

CREATE OR REPLACE FUNCTION fluct._reason_hint(load fluct.files, reason text, detail text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
SELECT CASE
	   WHEN reason = 'wrong_delimiter' AND detail ILIKE 'found "_" between%' THEN format('If it is right, pass delimiter => %L.', substr(detail, 8, 1))
	   WHEN reason = 'wrong_delimiter' AND detail ILIKE 'found byte 0x09 between%' THEN 'If it is right, pass delimiter => E''\t''.'
	   WHEN reason = 'nul' AND detail LIKE '%looks like UTF-16BE%' THEN 'Pass encoding => ''UTF16BE''.'
	   WHEN reason IN ('bad_encoding', 'nul') AND detail LIKE '%looks like UTF-16%' THEN 'Pass encoding => ''UTF16''.'
	   WHEN reason = 'bad_encoding' AND detail LIKE '%looks like gzip%' THEN 'Name it *.gz, or pass compression => ''gzip''.'
	   WHEN reason = 'bad_encoding' AND detail LIKE '%the mark of UTF-8%' THEN 'Leave encoding out, or pass encoding => ''UTF8''.'
	   WHEN reason = 'bad_encoding' AND detail ILIKE 'byte % is not valid UTF-8%' THEN
			'Pass its encoding, such as encoding => ''WIN1252'' (Windows) or ''LATIN1''.'
	   WHEN reason = 'bad_quote' AND load.kind = 'table' AND detail ILIKE '%in the middle of field 1,%' THEN
			'If it holds JSON lines, pass format => ''json''.'
	   WHEN reason = 'bad_quote' AND detail ILIKE ANY (ARRAY['a quote in the middle%', '%after the closing quote%']) THEN
			'A field that holds quotes stands in quotes, with each of them doubled: "Acme ""Best"" Inc".'
	   WHEN reason = 'bad_header' AND detail ILIKE 'an empty line%' THEN 'If the header is further below, pass skip_lines.'
	   WHEN reason = 'bad_header' AND detail ILIKE 'no column %' THEN
			CASE load.kind WHEN 'table' THEN
					'In mapping, $.name is a column of the header, $["odd name"] one with blanks; {"path": ..., "required": false} need not be there.'
				 ELSE (SELECT format('If the file calls it otherwise, pass columns => %L.', format('{%s: %s}', to_json(coalesce(
								(SELECT c.key FROM jsonb_each_text(load.options->'columns') c WHERE c.value = n.name), n.name)),
								-- the closest one is meant if it differs in what is easily overlooked
								to_json(CASE WHEN regexp_replace(lower(n.name), '[^[:alnum:]]', '', 'g') = regexp_replace(lower(n.closest), '[^[:alnum:]]', '', 'g')
											AND n.closest = fluct._printable(n.closest) THEN n.closest ELSE 'its name in the file' END)))
						 FROM (SELECT substring(detail FROM '^[Nn]o column "([^"]*)"'), substring(detail FROM 'the closest name is "([^"]*)"')) n(name, closest)) END
			|| ' If the header is further below, pass skip_lines.'
	   END
$$;
COMMENT ON FUNCTION fluct._reason_hint(fluct.files, text, text) IS 'the option that helps where a file is refused; NULL if there is none';

-- ---------------------------------------------------------------------------
-- Progress
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._begin_progress(kind text, role oid)
RETURNS void
LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_begin_progress';
COMMENT ON FUNCTION fluct._begin_progress(text, oid) IS 'shows in stat_files that a load of this session begins, for that role';

CREATE OR REPLACE FUNCTION fluct._progress(phase text)
RETURNS void
LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_progress';
COMMENT ON FUNCTION fluct._progress(text) IS 'shows in stat_files that this session''s load, if there is one, comes to that phase: waiting, identifying, checking, reading or storing rows';

CREATE OR REPLACE FUNCTION fluct._end_progress()
RETURNS void
LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_end_progress';
COMMENT ON FUNCTION fluct._end_progress() IS 'shows in stat_files that this session''s load has ended';

CREATE OR REPLACE FUNCTION fluct._loads(OUT pid int, OUT role oid, OUT kind text, OUT phase text, OUT file text, OUT started timestamptz,
							 OUT phase_started timestamptz, OUT bytes_total bigint, OUT bytes_done bigint, OUT rows bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_loads';
COMMENT ON FUNCTION fluct._loads() IS 'the loads of files that run now in this database, from shared memory; none without the preload';

CREATE OR REPLACE VIEW fluct.stat_files AS
SELECT l.pid, l.kind, l.file, l.phase, l.bytes_total, l.bytes_done,
	   round(least(l.bytes_done::numeric / nullif(l.bytes_total, 0), 1), 3) AS share,
	   l.rows, round(l.rows / nullif(s.seconds, 0)) AS rate, l.started,
	   CASE WHEN l.bytes_done BETWEEN 1 AND l.bytes_total AND s.seconds > 0 AND l.phase <> 'storing rows'
			THEN clock_timestamp() + make_interval(secs => (s.seconds * (l.bytes_total - l.bytes_done) / l.bytes_done)::float8) END AS estimated_end,
	   pg_catalog.pg_get_userbyid(l.role) AS role
  FROM fluct._loads() l, LATERAL (SELECT extract(epoch FROM clock_timestamp() - l.phase_started) AS seconds) s
 ORDER BY l.started;
COMMENT ON VIEW fluct.stat_files IS 'The loads of files that run now. Empty unless fluct is preloaded.';
COMMENT ON COLUMN fluct.stat_files.pid IS 'the process; pg_cancel_backend(pid) ends the load';
COMMENT ON COLUMN fluct.stat_files.kind IS 'industries, products, customers, orders or table';
COMMENT ON COLUMN fluct.stat_files.file IS 'name of the file';
COMMENT ON COLUMN fluct.stat_files.phase IS 'waiting (for another load of that kind), identifying (the content is hashed), checking (orders: the times), reading (orders are stored at once), storing rows (what differs goes into the tables)';
COMMENT ON COLUMN fluct.stat_files.bytes_total IS 'size of the file';
COMMENT ON COLUMN fluct.stat_files.bytes_done IS 'of these, read in this phase';
COMMENT ON COLUMN fluct.stat_files.share IS 'bytes_done / bytes_total';
COMMENT ON COLUMN fluct.stat_files.rows IS 'rows read in this phase';
COMMENT ON COLUMN fluct.stat_files.rate IS 'of these, in a second';
COMMENT ON COLUMN fluct.stat_files.started IS 'when the load began';
COMMENT ON COLUMN fluct.stat_files.estimated_end IS 'when this phase will have read the file, at the speed so far; NULL where that is not known';
COMMENT ON COLUMN fluct.stat_files.role IS 'whose load it is';

-- ---------------------------------------------------------------------------
-- A load
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._identify(path bytea, OUT bytes bigint, OUT modified_at timestamptz, OUT inode bigint, OUT sha256 bytea)
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._identify(bytea) IS
'The file''s size, time, number and content, with the rights of the caller. Errors: not_found, unreadable, outside_root, not_regular_file.';

CREATE OR REPLACE FUNCTION fluct.__identify(path bytea, OUT bytes bigint, OUT modified_at timestamptz, OUT inode bigint, OUT sha256 bytea)
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_file_identity';
COMMENT ON FUNCTION fluct.__identify(bytea) IS '_identify, as the caller';

CREATE OR REPLACE FUNCTION fluct._is_same(path bytea, bytes bigint, modified_at timestamptz, inode bigint)
RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._is_same(bytea, bigint, timestamptz, bigint) IS 'Whether that path leads to that file, unchanged; with the rights of the caller.';

CREATE OR REPLACE FUNCTION fluct.__is_same(path bytea, bytes bigint, modified_at timestamptz, inode bigint)
RETURNS boolean
LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fluct_file_is_same';
COMMENT ON FUNCTION fluct.__is_same(bytea, bigint, timestamptz, bigint) IS '_is_same, as the caller';

CREATE OR REPLACE FUNCTION fluct._store(load fluct.files, path bytea, options jsonb, strict_end boolean)
RETURNS fluct._stored
LANGUAGE c AS 'MODULE_PATHNAME', 'fluct_call_as_caller';
COMMENT ON FUNCTION fluct._store(fluct.files, bytea, jsonb, boolean) IS 'reads the file and brings the users'' tables to what it says, with the rights of the caller';

-- After A and B, A again is a change back, and is loaded.
CREATE OR REPLACE FUNCTION fluct._is_loaded(load fluct.files)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF load.kind = 'orders' THEN
		RETURN EXISTS (SELECT FROM fluct.files f WHERE f.kind = 'orders' AND f.sha256 = load.sha256 AND f.status = 'loaded');
	ELSIF load.options->>'mode' = 'append' THEN
		RETURN EXISTS (SELECT FROM fluct.files f WHERE f.kind = 'table' AND f.sha256 = load.sha256 AND f.status = 'loaded' AND f.rejected = 0
						  AND f.options->>'target' = load.options->>'target' AND f.options->>'mode' = 'append');
	END IF;
	RETURN coalesce((SELECT f.sha256 = load.sha256 AND f.options = load.options AND f.rejected = 0 AND f.unknown_industries = 0
					   FROM fluct.files f
					  WHERE f.kind = load.kind AND f.status = 'loaded' AND (load.kind <> 'table' OR f.options->>'target' = load.options->>'target')
						AND (load.inbox IS NULL OR f.inbox = load.inbox)
					  ORDER BY f.id DESC LIMIT 1), false);
END
$$;
COMMENT ON FUNCTION fluct._is_loaded(fluct.files) IS
'whether this content was the last of its kind that was loaded in its inbox, or by hand in the database, with these options and nothing left to report; for a table also of the same target; of orders, and of what is appended, whether it was ever loaded';

CREATE OR REPLACE FUNCTION fluct._new_load(kind text, path bytea, options jsonb)
RETURNS fluct.files
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_populate_record(NULL::fluct.files, jsonb_build_object(
	'kind', kind, 'file', fluct._show_path(path), 'options', options - '{max_rejects,max_delete_fraction}'::text[], 'status', 'loaded',
	'rows', 0, 'inserted', 0, 'updated', 0, 'unchanged', 0, 'removed', 0, 'duplicates', 0,
	'links', 0, 'links_added', 0, 'links_removed', 0, 'rejected', 0, 'unknown_industries', 0, 'unknown_names', '{}'::text[],
	'loaded_by', pg_get_userbyid(fluct._caller()), 'loaded_by_oid', fluct._caller(),
	'system_identifier', (SELECT c.system_identifier::text FROM pg_control_system() c), 'loaded_at', clock_timestamp()))
$$;
COMMENT ON FUNCTION fluct._new_load(text, bytea, jsonb) IS 'a load that has not begun: a row of fluct.files with nothing counted';

CREATE OR REPLACE FUNCTION fluct._record_load(load fluct.files, rejects jsonb)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	load.id := nextval('fluct.files_id_seq');
	load.seconds := round(extract(epoch FROM clock_timestamp() - load.loaded_at), 3);
	load.rejected := jsonb_array_length(rejects);
	INSERT INTO fluct.files OVERRIDING SYSTEM VALUE SELECT load.*;
	INSERT INTO fluct.file_rejects (file_id, line, reason, detail, fields)
	SELECT load.id, r.line, r.reason, r.detail, r.fields
	  FROM jsonb_populate_recordset(NULL::fluct.file_rejects, rejects) r;
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct._record_load(fluct.files, jsonb) IS 'writes the row of fluct.files and those of fluct.file_rejects';

-- Before anything is locked.
CREATE OR REPLACE FUNCTION fluct._check_loader(kind text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM fluct._refuse_superuser_writer(fluct._caller(), to_regclass('sales.' || kind));
	IF NOT has_any_column_privilege(fluct._caller(), 'sales.' || kind, 'INSERT') THEN
		RAISE EXCEPTION 'permission denied for table %', kind
			USING ERRCODE = 'insufficient_privilege',
			      HINT = format('As its owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sales TO %I;', pg_get_userbyid(fluct._caller()));
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._check_loader(text) IS 'raises insufficient_privilege where the caller cannot load files of that kind';

CREATE OR REPLACE FUNCTION fluct._load(kind text, path bytea, options jsonb, force boolean, strict_end boolean, inbox text)
RETURNS fluct.files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	load fluct.files := fluct._new_load(kind, path, options);
	stored fluct._stored := ROW(NULL, '[]');
BEGIN
	IF kind = 'table' THEN
		PERFORM fluct._check_table_loader(options->>'target');
	ELSE
		PERFORM fluct._require_tables();
		PERFORM fluct._check_loader(kind);
	END IF;
	load.inbox := inbox;
	PERFORM fluct._begin_progress(kind, fluct._caller());
	-- one load of a kind at a time, from here to the commit
	PERFORM fluct._lock('load', concat_ws(' ', kind, options->>'target'));
	PERFORM fluct._progress('identifying');
	SELECT i.bytes, i.modified_at, i.inode, i.sha256 INTO load.bytes, load.modified_at, load.inode, load.sha256
	  FROM fluct._identify(path) i;
	IF NOT force AND fluct._is_loaded(load) THEN
		load.status := 'duplicate';
	ELSE
		stored := fluct._store(load, path, options, strict_end);
		load := stored.load;
	END IF;
	IF NOT fluct._is_same(path, load.bytes, load.modified_at, load.inode) THEN
		PERFORM fluct._refuse_file(load, NULL, 'changed_while_read',
								   'it was appended to, replaced or deleted while it was read');
	END IF;
	load := fluct._record_load(load, stored.rejects);
	PERFORM fluct._end_progress();
	IF load.duplicates > 0 THEN
		RAISE NOTICE '%: % replaced by a later row of the same key', fluct._told_name(load),
			CASE load.duplicates WHEN 1 THEN '1 row is' ELSE load.duplicates || ' rows are' END;
	END IF;
	RETURN load;
END
$$;
COMMENT ON FUNCTION fluct._load(text, bytea, jsonb, boolean, boolean, text) IS 'loads one file for the caller, as the extension''s owner';

CREATE OR REPLACE FUNCTION fluct._load_result(load fluct.files)
RETURNS fluct.load_result
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT load.file, load.status, load.rows, load.inserted, load.updated, load.unchanged, load.links, load.rejected,
	   load.unknown_industries, load.seconds, load.removed, load.duplicates, load.links_added, load.links_removed, load.unknown_names, load.id
$$;
COMMENT ON FUNCTION fluct._load_result(fluct.files) IS 'a load as the load_ functions return it';

CREATE OR REPLACE FUNCTION fluct._tell_load(load fluct.files)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE load.status WHEN 'loaded' THEN
	   concat_ws(', ', CASE load.rows WHEN 1 THEN '1 row' ELSE load.rows || ' rows' END, load.inserted || ' inserted',
				 nullif(load.updated, 0) || ' updated', nullif(load.unchanged, 0) || ' unchanged', nullif(load.removed, 0) || ' removed',
				 nullif(load.duplicates, 0) || ' replaced by a later row', nullif(load.links_added, 0) || ' links added',
				 nullif(load.links_removed, 0) || ' links removed', nullif(load.unknown_industries, 0) || ' unknown industries',
				 nullif(load.rejected, 0) || ' rejected')
	   WHEN 'duplicate' THEN 'its content is already loaded'
	   WHEN 'skipped' THEN 'skipped' || coalesce(': ' || fluct._printable(load.detail), '')
	   ELSE concat_ws(': ', 'refused' || coalesce(' at line ' || load.line, ''), load.reason, fluct._printable(load.detail)) END
$$;
COMMENT ON FUNCTION fluct._tell_load(fluct.files) IS 'what became of a file, in a line for reading';

CREATE OR REPLACE FUNCTION fluct._load_file(kind text, path text, options jsonb, force boolean)
RETURNS fluct.load_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF path IS NULL OR force IS NULL THEN
		RAISE EXCEPTION 'path and force must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	RETURN fluct._load_result(fluct._load(kind, convert_to(path, getdatabaseencoding()), fluct._load_options(kind, options), force, false, NULL));
END
$$;
COMMENT ON FUNCTION fluct._load_file(text, text, jsonb, boolean) IS 'what the load_ functions do, as the extension''s owner';

-- ---------------------------------------------------------------------------
-- The steps that the CSV loaders share, with the rights of the caller
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION fluct._header_of(load fluct.files)
RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_agg(coalesce(load.options->'columns'->>c.name, c.name) ORDER BY c.place)
  FROM unnest(fluct._columns_of(load.kind)) WITH ORDINALITY c(name, place)
$$;
COMMENT ON FUNCTION fluct._header_of(fluct.files) IS 'the columns of its kind, by their names in the file';

CREATE OR REPLACE FUNCTION fluct._read_feed(load fluct.files, path bytea, strict_end boolean)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM fluct._progress('reading');
	CREATE TEMPORARY TABLE _fluct_feed (line bigint, fields text[], reason text, detail text, fatal boolean) ON COMMIT DROP;
	INSERT INTO pg_temp._fluct_feed
	SELECT r.*
	  FROM fluct._file_format(path, load.options) o,
		   fluct._read_csv(path, load.sha256, fluct._header_of(load), strict_end, o.delimiter, o.encoding, o.skip_lines, o.null_words, o.gzip) r;
	GET DIAGNOSTICS n = ROW_COUNT;
	PERFORM fluct._progress('storing rows');
	RETURN n;
END
$$;
COMMENT ON FUNCTION fluct._read_feed(fluct.files, bytea, boolean) IS 'reads the file into the temporary table _fluct_feed; returns the rows';

-- A blank that came from a web page or a spreadsheet looks like any other.
CREATE OR REPLACE FUNCTION fluct._blanks()
RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
	RETURN E' \t\r\n' || CASE WHEN getdatabaseencoding() = 'UTF8' THEN convert_from(decode('c2a0e28087e280afefbbbf', 'hex'), 'UTF8') ELSE '' END;
END
$$;
COMMENT ON FUNCTION fluct._blanks() IS 'what is dropped around names of industries and numbers: blanks, non-breaking ones too, tabs, line ends';

-- A key must fit into an index, together with an industry's name.  The header
-- comes again where files were put together.
CREATE OR REPLACE FUNCTION fluct._check_feed_keys(load fluct.files)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name CONSTANT text := (fluct._columns_of(load.kind))[1];
	header CONSTANT text[] := fluct._header_of(load);
BEGIN
	UPDATE pg_temp._fluct_feed f
	   SET reason = CASE WHEN f.fields = header THEN 'bad_header' WHEN octet_length(f.fields[1]) > 1300 THEN 'too_long' ELSE 'empty_key' END,
		   detail = CASE WHEN f.fields = header THEN 'the header once more'
						 WHEN octet_length(f.fields[1]) > 1300
						 THEN format('column %s holds %s bytes, expected at most 1300', name, octet_length(f.fields[1]))
						 ELSE format('column %s is empty', name) END
	 WHERE f.reason IS NULL
	   AND (octet_length(f.fields[1]) > 1300 OR f.fields = header OR coalesce(btrim(f.fields[1], fluct._blanks()), '') = '');
END
$$;
COMMENT ON FUNCTION fluct._check_feed_keys(fluct.files) IS 'marks the rows of _fluct_feed whose first field is not a valid key';

-- line, reason and detail are those of the row that is to be named.
CREATE OR REPLACE FUNCTION fluct._refuse_bad_rows(load fluct.files, max_rejects bigint, bad bigint, line bigint, reason text,
	detail text, fatal boolean, hint text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF fatal OR load.options->>'on_bad_row' = 'refuse' THEN
		PERFORM fluct._refuse_file(load, line, reason, detail, hint);
	ELSIF bad > max_rejects THEN
		PERFORM fluct._refuse_file(load, line, reason, format('%s; %s bad rows, at most %s may be rejected', detail, bad, max_rejects),
								   'Raise max_rejects, or correct the file.');
	END IF;
END
$$;
COMMENT ON FUNCTION fluct._refuse_bad_rows(fluct.files, bigint, bigint, bigint, text, text, boolean, text) IS
'refuses the file where it has a fatal row, or more bad ones than the options allow';

CREATE OR REPLACE FUNCTION fluct._judge_feed(load fluct.files, max_rejects bigint)
RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rejects jsonb;
BEGIN
	PERFORM fluct._refuse_bad_rows(load, max_rejects, (SELECT count(*) FROM pg_temp._fluct_feed f WHERE f.reason IS NOT NULL),
								   b.line, b.reason, b.detail, b.fatal, fluct._reason_hint(load, b.reason, b.detail))
	   FROM (SELECT f.* FROM pg_temp._fluct_feed f WHERE f.reason IS NOT NULL
			  ORDER BY coalesce(f.fatal, false) AND load.options->>'on_bad_row' <> 'refuse' DESC, f.line LIMIT 1) b;
	WITH taken AS (DELETE FROM pg_temp._fluct_feed f WHERE f.reason IS NOT NULL RETURNING *)
	SELECT coalesce(jsonb_agg(jsonb_build_object('line', line, 'reason', reason, 'detail', detail, 'fields',
							  CASE WHEN pg_column_size(fields) > 10000 THEN ARRAY(SELECT left(f, 200) FROM unnest(fields) f)
								   ELSE fields END) ORDER BY line), '[]')
	  INTO rejects FROM taken;
	RETURN rejects;
END
$$;
COMMENT ON FUNCTION fluct._judge_feed(fluct.files, bigint) IS 'refuses the file for its bad rows, or removes them from _fluct_feed and returns them';
