-- What server_fuzz.c needs: its functions, tables of every form, and the
-- mappings, the orders' first and then one for each column of fuzz_values.
-- psql -v module=FILE
CREATE FUNCTION fuzz(iterations bigint, seed bigint, first bigint,
	samples bytea[], targets regclass[], mappings jsonb[])
RETURNS text LANGUAGE c STRICT AS :'module', 'fuzz';

CREATE FUNCTION decode_one(message bytea, target regclass, mapping jsonb,
	OUT verdict text, OUT stored text, OUT work bigint, OUT kilobytes bigint)
LANGUAGE c STRICT AS :'module', 'decode_one';

CREATE FUNCTION kafka_time(ms bigint) RETURNS timestamptz
LANGUAGE c STRICT AS :'module', 'kafka_time';

CREATE TABLE fuzz_orders (
	order_id	text PRIMARY KEY,
	customer_id text NOT NULL,
	amount		numeric NOT NULL,
	ordered_at	timestamptz NOT NULL,
	extra		jsonb
);

CREATE TABLE fuzz_lines (
	order_id	text NOT NULL,
	line_number int NOT NULL,
	product_id	text NOT NULL,
	volume		int NOT NULL,
	price		numeric NOT NULL,
	ordered_at	timestamptz NOT NULL,
	extra		jsonb
);

CREATE DOMAIN fuzz_domain AS numeric;
CREATE TABLE fuzz_values (
	t text, vc varchar, i2 smallint, i4 int, i8 bigint, n numeric, f4 real,
	f8 double precision, b boolean, at timestamptz, lt timestamp, d date,
	u uuid, by bytea, j json, jb jsonb, a inet, dn fuzz_domain, extra jsonb
);

CREATE TABLE fuzz_mappings (
	id		 int GENERATED ALWAYS AS IDENTITY,
	target	 regclass NOT NULL,
	mapping	 jsonb NOT NULL
);

INSERT INTO fuzz_mappings (target, mapping) VALUES ('fuzz_orders', '{
	"columns": {"order_id": "$.order_id", "customer_id": "$.customer_id",
		"amount": "$.amount", "ordered_at": "$.timestamp"},
	"extra": "extra",
	"children": [{"target": "fuzz_lines", "rows": "$.order_lines[*]",
		"columns": {"order_id": "$.order_id", "ordered_at": "$.timestamp",
			"line_number": "#", "product_id": "@.product_id",
			"volume": "@.volume", "price": "@.price"},
		"extra": "extra"}]}');

INSERT INTO fuzz_mappings (target, mapping)
SELECT 'fuzz_values', jsonb_build_object('extra', 'extra', 'columns',
	jsonb_build_object(attname, jsonb_build_object('path', '$.v')))
  FROM pg_attribute
 WHERE attrelid = 'fuzz_values'::regclass AND attnum > 0 AND attname <> 'extra'
 ORDER BY attnum;

INSERT INTO fuzz_mappings (target, mapping)
SELECT 'fuzz_values', jsonb_build_object('extra', 'extra', 'columns',
	jsonb_build_object(c, jsonb_build_object('path', '$.v', 'format', f)))
  FROM (VALUES ('i4', 'text'), ('i8', 'text'), ('n', 'text'), ('f8', 'text'),
			   ('at', 'epoch_s'), ('at', 'epoch_ms'), ('lt', 'epoch_ms')) v(c, f);

-- a column of the message and of its rows, deeper down
INSERT INTO fuzz_mappings (target, mapping) VALUES ('fuzz_values',
	'{"columns": {"jb": "$.v", "i8": "$.x.a0", "t": "$.w.b1"}, "extra": "extra"}');
