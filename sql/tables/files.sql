-- files.sql: what the extension itself remembers about files.

CREATE TABLE fluct.files (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	kind text NOT NULL CHECK (kind IN ('industries', 'products', 'customers', 'orders', 'table')),
	file text NOT NULL,
	bytes bigint,
	sha256 bytea,
	options jsonb NOT NULL DEFAULT '{}',
	status text NOT NULL CHECK (status IN ('loaded', 'duplicate', 'refused', 'skipped')),
	reason text,
	line bigint,
	detail text,
	rows bigint NOT NULL DEFAULT 0,
	inserted bigint NOT NULL DEFAULT 0,
	updated bigint NOT NULL DEFAULT 0,
	unchanged bigint NOT NULL DEFAULT 0,
	removed bigint NOT NULL DEFAULT 0,
	duplicates bigint NOT NULL DEFAULT 0,
	links bigint NOT NULL DEFAULT 0,
	links_added bigint NOT NULL DEFAULT 0,
	links_removed bigint NOT NULL DEFAULT 0,
	rejected bigint NOT NULL DEFAULT 0,
	unknown_industries bigint NOT NULL DEFAULT 0,
	seconds numeric,
	loaded_by text NOT NULL,
	loaded_at timestamptz NOT NULL DEFAULT now(),
	unknown_names text[] NOT NULL DEFAULT '{}',
	modified_at timestamptz,
	inode bigint,
	inbox text,
	moved_to text,
	loaded_by_oid oid,
	system_identifier text
);
CREATE INDEX ON fluct.files (sha256);
CREATE INDEX ON fluct.files (inbox, inode);
CREATE INDEX files_orders_idx ON fluct.files (id) WHERE kind = 'orders' AND status = 'loaded';
COMMENT ON TABLE fluct.files IS 'Each file that was loaded, or found to be loaded already, or refused or skipped in an inbox, with what became of its rows.';
COMMENT ON COLUMN fluct.files.id IS 'number of the load';
COMMENT ON COLUMN fluct.files.kind IS 'industries, products, customers, orders, or table';
COMMENT ON COLUMN fluct.files.file IS E'path on the server; bytes that are not printable text as \\xNN, a backslash doubled';
COMMENT ON COLUMN fluct.files.bytes IS 'size of the file';
COMMENT ON COLUMN fluct.files.sha256 IS 'SHA-256 of the content, which is the file''s identity';
COMMENT ON COLUMN fluct.files.options IS 'the options that decide what the content becomes';
COMMENT ON COLUMN fluct.files.status IS 'loaded, duplicate (the last load was of the same content with the same options; of orders, any load), refused, or skipped (by skip_file)';
COMMENT ON COLUMN fluct.files.reason IS 'why it was refused';
COMMENT ON COLUMN fluct.files.line IS 'the physical line that refused it, from 1';
COMMENT ON COLUMN fluct.files.detail IS 'what was found there';
COMMENT ON COLUMN fluct.files.rows IS 'rows read, without the header';
COMMENT ON COLUMN fluct.files.inserted IS 'keys that were new; of kind table with mode upsert, those that were replaced, too';
COMMENT ON COLUMN fluct.files.updated IS 'keys whose row, or whose industries, changed';
COMMENT ON COLUMN fluct.files.unchanged IS 'keys that were as in the file';
COMMENT ON COLUMN fluct.files.removed IS 'customers deleted because a snapshot does not hold them';
COMMENT ON COLUMN fluct.files.duplicates IS 'rows that a later row of the same key replaced';
COMMENT ON COLUMN fluct.files.links IS 'industries of the file''s customers, each once a customer';
COMMENT ON COLUMN fluct.files.links_added IS 'of these, new ones';
COMMENT ON COLUMN fluct.files.links_removed IS 'industries that the file''s customers no longer have';
COMMENT ON COLUMN fluct.files.rejected IS 'rows left out; they are in fluct.file_rejects';
COMMENT ON COLUMN fluct.files.unknown_industries IS 'different names of industries that sales.industries does not hold';
COMMENT ON COLUMN fluct.files.seconds IS 'how long it took';
COMMENT ON COLUMN fluct.files.loaded_by IS 'the role that called, by its name then; it and its members may have the records trimmed';
COMMENT ON COLUMN fluct.files.loaded_at IS 'when it began';
COMMENT ON COLUMN fluct.files.unknown_names IS 'the first 20 of these, in the order in which they come';
COMMENT ON COLUMN fluct.files.modified_at IS 'the file''s time';
COMMENT ON COLUMN fluct.files.inode IS 'the file''s number in its file system; with size and time it tells whether a file is that one';
COMMENT ON COLUMN fluct.files.inbox IS 'the inbox it lay in; NULL = loaded by hand';
COMMENT ON COLUMN fluct.files.moved_to IS 'where a scan moved it, from the inbox''s directory; NULL = not moved, or not yet, or by skip_file() or reload_file()';
COMMENT ON COLUMN fluct.files.loaded_by_oid IS 'OID of that role in the cluster of system_identifier, where it and not the name says who it is';
COMMENT ON COLUMN fluct.files.system_identifier IS 'cluster in which it was loaded';

CREATE TABLE fluct.file_rejects (
	file_id bigint NOT NULL REFERENCES fluct.files ON DELETE CASCADE,
	line bigint NOT NULL,
	reason text NOT NULL,
	detail text,
	fields text[],
	PRIMARY KEY (file_id, line)
);
COMMENT ON TABLE fluct.file_rejects IS 'The rows that a load with on_bad_row => ''reject_row'' left out.';
COMMENT ON COLUMN fluct.file_rejects.file_id IS 'the load, in fluct.files';
COMMENT ON COLUMN fluct.file_rejects.line IS 'physical line of the file, from 1';
COMMENT ON COLUMN fluct.file_rejects.reason IS 'a word of the fixed list';
COMMENT ON COLUMN fluct.file_rejects.detail IS 'what was found, and what was expected';
COMMENT ON COLUMN fluct.file_rejects.fields IS 'the row''s fields in the order of the loader''s columns; NULL where it could not be split';

SELECT pg_catalog.pg_extension_config_dump('fluct.files', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.files_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.file_rejects', '');

CREATE TYPE fluct.load_result AS (
	file text, status text, rows bigint, inserted bigint, updated bigint,
	unchanged bigint, links bigint, rejected bigint, unknown_industries bigint,
	seconds numeric, removed bigint, duplicates bigint, links_added bigint,
	links_removed bigint, unknown_names text[], id bigint
);
COMMENT ON TYPE fluct.load_result IS 'What became of a file and its rows, as the load_ functions return it; the columns are those of fluct.files.';

-- What a loader gives back: the counts, and the rows left out.
CREATE TYPE fluct._stored AS (load fluct.files, rejects jsonb);
COMMENT ON TYPE fluct._stored IS 'a load with its counts, and its rejects as rows of fluct.file_rejects';
