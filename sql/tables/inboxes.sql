-- inboxes.sql: the folders whose files are each loaded once.

CREATE TABLE fluct.inboxes (
	name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.-]{1,63}$'),
	owner text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('industries', 'products', 'customers', 'orders', 'table')),
	directory text NOT NULL UNIQUE,
	settle interval NOT NULL DEFAULT '10 seconds' CHECK (settle >= '0'),
	options jsonb NOT NULL DEFAULT '{}',
	schedule text,
	scheduled_at timestamptz,
	last_scan timestamptz,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	owner_oid oid,
	system_identifier text,
	pattern text NOT NULL DEFAULT '*'
);
SELECT pg_catalog.pg_extension_config_dump('fluct.inboxes', '');
COMMENT ON TABLE fluct.inboxes IS 'The folders whose files are loaded by scan_inbox(). Written by create_inbox, alter_inbox, drop_inbox and schedule_inbox only.';
COMMENT ON COLUMN fluct.inboxes.name IS 'name of the inbox: letters, digits, _ . -, at most 63';
COMMENT ON COLUMN fluct.inboxes.owner IS 'role that loads its files, by its name when the inbox was created; it, its members and superusers may change it';
COMMENT ON COLUMN fluct.inboxes.kind IS 'what its files hold: industries, products, customers, orders, or the rows of any table';
COMMENT ON COLUMN fluct.inboxes.directory IS 'the folder on the server, by its real path; loaded files go to done/ in it, refused ones to refused/';
COMMENT ON COLUMN fluct.inboxes.settle IS 'a file is left alone until it has not changed for so long';
COMMENT ON COLUMN fluct.inboxes.options IS 'the loader''s options';
COMMENT ON COLUMN fluct.inboxes.schedule IS 'when it is scanned, as pg_cron writes it; NULL = only by hand';
COMMENT ON COLUMN fluct.inboxes.scheduled_at IS 'when its schedule was set';
COMMENT ON COLUMN fluct.inboxes.last_scan IS 'when a scan last came to its end';
COMMENT ON COLUMN fluct.inboxes.created_at IS 'time of create_inbox';
COMMENT ON COLUMN fluct.inboxes.owner_oid IS 'OID of the owner in the cluster of system_identifier, where it and not the name says who the owner is';
COMMENT ON COLUMN fluct.inboxes.system_identifier IS 'cluster in which it was created';
COMMENT ON COLUMN fluct.inboxes.pattern IS 'names of the files that are loaded: * and ? as in a shell, several with commas between, upper and lower case alike; the others are left alone';
