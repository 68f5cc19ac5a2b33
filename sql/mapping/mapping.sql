-- mapping.sql: what a mapping fills, and the one that a table has by default.

CREATE OR REPLACE FUNCTION fluct._check_mapping(target regclass, mapping jsonb, on_conflict text, owner oid, framing text DEFAULT 'none',
	on_tombstone text DEFAULT 'ignore')
RETURNS text[]
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_check_mapping';
COMMENT ON FUNCTION fluct._check_mapping(regclass, jsonb, text, oid, text, text) IS
'Compiles a mapping and returns the names of the tables that it fills; an error names the table and column at fault.';

CREATE OR REPLACE FUNCTION fluct._find_target(stream text, target text) RETURNS regclass
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'fluct_find_target';
COMMENT ON FUNCTION fluct._find_target(text, text) IS
'The table that is the target of the stream; undefined_table, with what to do, where it is gone.';

CREATE OR REPLACE FUNCTION fluct._is_keyed(target regclass, mapping jsonb, on_conflict text, owner oid, framing text DEFAULT 'none',
	on_tombstone text DEFAULT 'ignore')
RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_is_keyed';
COMMENT ON FUNCTION fluct._is_keyed(regclass, jsonb, text, oid, text, text) IS
'Whether the target has a unique key whose columns are all mapped, so that on_conflict can tell a message that was stored before.';

CREATE OR REPLACE FUNCTION fluct._derive_mapping(target regclass, owner oid, envelope boolean DEFAULT false, rows boolean DEFAULT false) RETURNS jsonb
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'fluct_derive_mapping';
COMMENT ON FUNCTION fluct._derive_mapping(regclass, oid, boolean, boolean) IS
'The mapping that takes each column of a table from the top-level field of the same name; a jsonb column "extra" takes the rest. envelope: in the formats that Debezium has by default. rows: from the record.';

CREATE OR REPLACE FUNCTION fluct._orders_mapping() RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb '{
		"columns": {"order_id": "$.order_id", "customer_id": "$.customer_id",
					"amount": "$.amount", "ordered_at": "$.timestamp"},
		"extra": "extra",
		"children": [{"target": "sales.order_lines", "rows": "$.order_lines[*]",
			"columns": {"order_id": "$.order_id", "ordered_at": "$.timestamp",
						"line_number": "#", "product_id": "@.product_id",
						"volume": "@.volume", "price": "@.price"}}]}'
$$;
COMMENT ON FUNCTION fluct._orders_mapping() IS
'The mapping that a stream into sales.orders has by default.';

CREATE OR REPLACE FUNCTION fluct._find_child(parent regclass, name text) RETURNS regclass
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'fluct_find_child';
COMMENT ON FUNCTION fluct._find_child(regclass, text) IS
'The table that "target" of a child names in a mapping, without a schema beside the parent; NULL if there is none.';

-- A child's table is kept with its schema, so that all that reads the mapping finds it.
CREATE OR REPLACE FUNCTION fluct._with_schemas(target regclass, mapping jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN jsonb_typeof(mapping -> 'children') <> 'array' THEN mapping
		ELSE coalesce((SELECT jsonb_set(mapping, '{children}', jsonb_agg(
				CASE WHEN r.name IS NULL THEN c.child ELSE jsonb_set(c.child, '{target}', to_jsonb(r.name)) END ORDER BY c.n))
			FROM jsonb_array_elements(mapping -> 'children') WITH ORDINALITY c(child, n)
			CROSS JOIN LATERAL (SELECT fluct._qualified(fluct._find_child(target, c.child ->> 'target'))) r(name)), mapping) END
$$;
COMMENT ON FUNCTION fluct._with_schemas(regclass, jsonb) IS 'the mapping with the schemas of its children''s tables';

CREATE OR REPLACE FUNCTION fluct._whole_mapping(target regclass, mapping jsonb, owner oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN mapping IS NULL AND target = to_regclass('sales.orders') THEN fluct._orders_mapping()
				WHEN mapping IS NULL THEN fluct._derive_mapping(target, owner)
				WHEN mapping ? 'columns' OR NOT mapping ?| '{absent,delete,envelope,rows,version,where}' THEN mapping
				WHEN target = to_regclass('sales.orders') AND NOT mapping ?| '{envelope,rows}' THEN fluct._orders_mapping() || mapping
				ELSE fluct._derive_mapping(target, owner, mapping ? 'envelope', mapping ? 'rows') || mapping END
$$;
COMMENT ON FUNCTION fluct._whole_mapping(regclass, jsonb, oid) IS
'A mapping with the columns that it has by default: those of orders, or each from the field of its name.';

CREATE OR REPLACE FUNCTION fluct._deletes(mapping jsonb, on_tombstone text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT mapping ?| '{delete,envelope}' OR on_tombstone = 'delete'
$$;
COMMENT ON FUNCTION fluct._deletes(jsonb, text) IS 'Whether messages of a stream may delete rows of its target.';
