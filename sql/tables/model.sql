-- model.sql: the schema, and what the extension itself remembers about the users' tables.

-- A schema that holds functions must be closed to everybody but its owner: who
-- may create in it can overload a function that others call.  So an existing one
-- is an error, nobody is ever granted CREATE, and the users' tables are in sales.
CREATE SCHEMA fluct;
COMMENT ON SCHEMA fluct IS 'functions, views and bookkeeping of the extension fluct; the users'' tables are in schema sales';

CREATE TYPE fluct.order_line AS (
	order_id text, line_number int, product_id text, volume int, price numeric, ordered_at timestamptz
);
COMMENT ON TYPE fluct.order_line IS 'a row of sales.order_lines, as lines_of() returns it';

CREATE TABLE fluct.made_relations (
	name text PRIMARY KEY,
	relation oid NOT NULL,
	extension oid NOT NULL,
	made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE fluct.made_relations IS
'The tables and views of schema sales that create_tables() made; written by it only. After a restore, when the OIDs are others, a relation is recognised by all of its columns.';
COMMENT ON COLUMN fluct.made_relations.name IS 'its name in schema sales';
COMMENT ON COLUMN fluct.made_relations.relation IS 'its OID';
COMMENT ON COLUMN fluct.made_relations.extension IS 'OID of the extension then: another one means that a restore brought this row';
COMMENT ON COLUMN fluct.made_relations.made_at IS 'when it was made, or recognised under this OID';

CREATE TABLE fluct.granted_roles (
	role text NOT NULL,
	role_oid oid NOT NULL,
	system_identifier text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (role, role_oid, system_identifier)
);
COMMENT ON TABLE fluct.granted_roles IS
'The roles given to grant_reader() or grant_operator(): create_tables() lets them read what it makes. Written by these functions only.';
COMMENT ON COLUMN fluct.granted_roles.role IS 'name of the role; what counts in another cluster';
COMMENT ON COLUMN fluct.granted_roles.role_oid IS 'OID of the role; what counts in the same cluster';
COMMENT ON COLUMN fluct.granted_roles.system_identifier IS 'the cluster in which it was granted';
COMMENT ON COLUMN fluct.granted_roles.created_at IS 'time of the first grant';

SELECT pg_catalog.pg_extension_config_dump('fluct.made_relations', '');
SELECT pg_catalog.pg_extension_config_dump('fluct.granted_roles', '');
