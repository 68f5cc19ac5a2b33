-- model.sql: what the extension itself remembers about the users' tables.

CREATE TYPE fluct.order_line AS (
	order_id text, line_number int, product_id text, volume int, price numeric, ordered_at timestamptz
);
COMMENT ON TYPE fluct.order_line IS 'a row of fluct.order_lines, as lines_of() returns it';
