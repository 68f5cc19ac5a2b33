-- samples.sql: data in the real shape, for trying things out.
--
-- Everything is a function of a seed and a number, by integer arithmetic of
-- our own, so the same call gives the same rows on every server and at every
-- time.  sample_orders() refers to the customers and products that
-- sample_customers(customers, seed) and sample_products(products, seed) give.

-- A Lehmer step, a shift, a step, a shift: the factors stay below 2^31, so
-- nothing overflows.  plpgsql, because a SQL function within another is planned
-- again at each call.
CREATE OR REPLACE FUNCTION fluct._hash(seed bigint, n bigint)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m CONSTANT bigint := 2147483647;
	x bigint := (n % 2147483629 * 48271 + seed % 2147483629 * 40692 + 12345) % m;
BEGIN
	x := (x # (x >> 16)) * 16807 % m;
	RETURN (x # (x >> 13)) * 69621 % m;
END
$$;
COMMENT ON FUNCTION fluct._hash(bigint, bigint) IS 'a number of 0 to 2^31 - 2 that depends on seed and n alone';

CREATE OR REPLACE FUNCTION fluct._sample_id(seed bigint, n bigint)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	h text := '';
BEGIN
	FOR part IN 0 .. 3 LOOP
		h := h || lpad(to_hex(fluct._hash(seed + part, n)), 8, '0');
	END LOOP;
	-- version 4, and a variant of 8 to b
	RETURN substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 13, 3) || '-'
		   || substr('89ab', (ascii(substr(h, 32)) % 4) + 1, 1) || substr(h, 16, 3) || '-' || substr(h, 19, 12);
END
$$;
COMMENT ON FUNCTION fluct._sample_id(bigint, bigint) IS 'an id that looks like a version 4 UUID';

CREATE OR REPLACE FUNCTION fluct._check_sample(name text, value bigint, low bigint) RETURNS void
LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct._check_sample(text, bigint, bigint) IS 'raises invalid_parameter_value, naming the argument, where it is NULL or too small';

CREATE OR REPLACE FUNCTION fluct.__check_sample(name text, value bigint, low bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF value IS NULL OR value < low THEN
		RAISE EXCEPTION '% must be % or more', name, low
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('It is %s.', coalesce(value::text, 'NULL')),
			      HINT = 'Omit it to use the default.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__check_sample(text, bigint, bigint) IS '_check_sample, without a context';

CREATE OR REPLACE FUNCTION fluct._check_sample(first timestamptz, last timestamptz) RETURNS void
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'fluct_call_as_is';
COMMENT ON FUNCTION fluct._check_sample(timestamptz, timestamptz) IS 'raises invalid_parameter_value where these do not bound a time';

CREATE OR REPLACE FUNCTION fluct.__check_sample(first timestamptz, last timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF first IS NULL OR last IS NULL OR NOT isfinite(first) OR NOT isfinite(last) OR first >= last THEN
		RAISE EXCEPTION 'first must be a time before last'
			USING ERRCODE = 'invalid_parameter_value',
			      DETAIL = format('first is %s, last is %s.', coalesce(first::text, 'NULL'), coalesce(last::text, 'NULL')),
			      HINT = 'Omit both for the last 32 days.';
	END IF;
END
$$;
COMMENT ON FUNCTION fluct.__check_sample(timestamptz, timestamptz) IS '_check_sample, without a context';

CREATE OR REPLACE FUNCTION fluct.sample_industries()
RETURNS TABLE (industry text)
LANGUAGE sql IMMUTABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('Adhesives'), ('Automotive'), ('Beverages'), ('Cleaning'), ('Coatings'),
       ('Food'), ('Lubricants'), ('Pharma'), ('Polymers'), ('Textiles')
$$;
COMMENT ON FUNCTION fluct.sample_industries() IS 'Ten industries, as Industries.csv has them.';

CREATE OR REPLACE FUNCTION fluct.sample_products(n int DEFAULT 1000, seed int DEFAULT 1)
RETURNS TABLE (product_id text, product_name text, price numeric)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kinds CONSTANT text[] := '{Clear,Matt,Heavy,Light,Fast,Slow,Fine,Coarse,Dry,Wet,Hot,Cold,Strong,Mild}';
	goods CONSTANT text[] := '{Resin,Primer,Sealant,Solvent,Pigment,Starch,Syrup,Grease,Wax,Fibre,Granulate,Foam,Acid,Soap}';
BEGIN
	PERFORM fluct._check_sample('n', n, 0);
	RETURN QUERY
	SELECT fluct._sample_id(seed * 100 + 10, i),
		   kinds[1 + fluct._hash(seed * 100 + 20, i) % 14] || ' ' || goods[1 + fluct._hash(seed * 100 + 21, i) % 14],
		   round((100 + fluct._hash(seed * 100 + 22, i) % 99901) / 100.0, 2)
	  FROM generate_series(1, n) i;
END
$$;
COMMENT ON FUNCTION fluct.sample_products(int, int) IS
'n products, as Products.csv has them: ids that look like UUIDs, names that repeat, prices of 1.00 to 1000.00. Deterministic by seed; the first n are the same whatever n is.';

CREATE OR REPLACE FUNCTION fluct.sample_customers(n int DEFAULT 1000, seed int DEFAULT 1)
RETURNS TABLE (customer_id text, company_name text, specialized_industries text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	places CONSTANT text[] := '{Northern,Southern,Baltic,Alpine,Harbour,Summit,Valley,River,Island,Coastal,Prairie,Delta,Canyon,Meadow,Forest,Lake}';
	kinds CONSTANT text[] := '{Trading,Supplies,Works,Industries,Mills,Partners,Chemicals,Foods,Motors,Brands,Materials,Holding}';
	forms CONSTANT text[] := '{Ltd,GmbH,Inc.,"& Sons",SA,"","",""}';
	known CONSTANT text[] := ARRAY(SELECT i.industry FROM fluct.sample_industries() i);
BEGIN
	PERFORM fluct._check_sample('n', n, 0);
	RETURN QUERY
	SELECT fluct._sample_id(seed * 100 + 30, i),
		   places[1 + h.place % 16]
		   || CASE h.shape % 12 WHEN 0 THEN ', ' || places[1 + h.shape / 12 % 16] || ' & "Co"'
			  ELSE rtrim(' ' || kinds[1 + h.kind % 12] || ' ' || forms[1 + h.shape / 12 % 8]) END,
		   CASE WHEN h.many % 4 = 0 THEN ''
				WHEN h.many / 4 % 20 < 12 THEN known[1 + h.industry % 10]
				WHEN h.many / 4 % 20 < 17 THEN concat_ws(';', known[1 + h.industry % 10], known[1 + (h.industry + 1 + h.kind % 3) % 10])
				ELSE concat_ws(';', known[1 + h.industry % 10], known[1 + (h.industry + 4) % 10], known[1 + (h.industry + 7) % 10])
		   END
	  FROM generate_series(1, n) i
	 CROSS JOIN LATERAL (SELECT fluct._hash(seed * 100 + 40, i) AS place, fluct._hash(seed * 100 + 41, i) AS kind,
								fluct._hash(seed * 100 + 42, i) AS shape, fluct._hash(seed * 100 + 43, i) AS many,
								fluct._hash(seed * 100 + 44, i) AS industry) h;
END
$$;
COMMENT ON FUNCTION fluct.sample_customers(int, int) IS
'n customers, as Customers.csv has them: ids that look like UUIDs, names that are not unique and may need quotes, a quarter without industry, some with several, separated by semicolons. Deterministic by seed; the first n are the same whatever n is.';

-- In the last day, one industry is chosen much more often, and of another only
-- a third is left: these are numbers of customers to choose from.
CREATE OR REPLACE FUNCTION fluct._sample_movers(customers int, seed int, OUT rises int[], OUT falls int[])
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
WITH known AS (
	SELECT array_agg(i.industry) AS names FROM fluct.sample_industries() i
), picked AS (
	SELECT names[1 + fluct._hash(seed * 100 + 50, 0) % 10] AS up, names[1 + (fluct._hash(seed * 100 + 50, 0) + 5) % 10] AS down FROM known
)
SELECT coalesce(array_agg(c.no) FILTER (WHERE p.up = ANY (c.industries)), '{}'),
       coalesce(array_agg(c.no) FILTER (WHERE p.down = ANY (c.industries) AND p.up <> ALL (c.industries)), '{}')
  FROM picked p,
       (SELECT ordinality::int AS no, string_to_array(specialized_industries, ';') AS industries
          FROM fluct.sample_customers(customers, seed) WITH ORDINALITY) c
$$;
COMMENT ON FUNCTION fluct._sample_movers(int, int) IS 'the customers of the industry that rises, and of the one that falls, in the last day of the sample orders';

CREATE OR REPLACE FUNCTION fluct.sample_orders(
	n int DEFAULT 20000,
	first timestamptz DEFAULT now() - interval '32 days',
	last timestamptz DEFAULT now(),
	seed int DEFAULT 1,
	customers int DEFAULT 1000,
	products int DEFAULT 1000)
RETURNS SETOF text
LANGUAGE plpgsql STABLE ROWS 20000 SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET timezone = 'UTC'
AS $$
DECLARE
	m CONSTANT bigint := 2147483647;
	chunk CONSTANT int := 500;
	step bigint;
	movers record;
	customer_ids text[];
	heads text[];
	tails text[];
	prices float8[];
BEGIN
	PERFORM fluct._check_sample('n', n, 0), fluct._check_sample('customers', customers, 1), fluct._check_sample('products', products, 1),
		fluct._check_sample(first, last);
	step := greatest((extract(epoch FROM last - first) * 1000000)::bigint / greatest(n, 1), 1);
	customer_ids := ARRAY(SELECT c.customer_id FROM fluct.sample_customers(customers, seed) c);
	SELECT * INTO movers FROM fluct._sample_movers(customers, seed);
	SELECT array_agg('{"product_id": "' || p.product_id || '", "volume": '), array_agg(', "price": ' || trim_scale(p.price) || '}'), array_agg(p.price)
	  INTO heads, tails, prices FROM fluct.sample_products(products, seed) p;

	FOR start IN 1 .. n BY chunk LOOP
		RETURN QUERY
		WITH numbered AS MATERIALIZED (
			SELECT i, fluct._hash(seed * 100 + 60, i) AS h1, fluct._hash(seed * 100 + 61, i) AS h2,
				   fluct._hash(seed * 100 + 62, i) AS h3, fluct._hash(seed * 100 + 63, i) AS h4
			  FROM generate_series(start, least(start + chunk - 1, n)) i
		), timed AS MATERIALIZED (
			SELECT o.*, first + ((i - 1) * step + o.h1 % step) * interval '1 microsecond' AS at,
				   1 + o.h2 % customers AS customer
			  FROM numbered o
		), chosen AS MATERIALIZED (
			SELECT o.*,
				   CASE WHEN o.at < last - interval '24 hours' THEN o.customer
						WHEN o.h4 % 100 < 18 AND movers.rises <> '{}' THEN movers.rises[1 + o.h3 % cardinality(movers.rises)]
						WHEN o.h4 % 3 > 0 AND o.customer = ANY (movers.falls) THEN 1 + o.h3 % customers
						ELSE o.customer END AS chosen
			  FROM timed o
		), lines AS (
			SELECT o.i, k, 1 + y.h % products AS product, 1 + y.h / 65536 % 100 AS volume
			  FROM chosen o
			 CROSS JOIN LATERAL generate_series(1, 1 + o.h1 / 7 % 100) k
			 CROSS JOIN LATERAL (SELECT (o.h3 + k * (o.h4 + 1)) % m AS x OFFSET 0) x
			 CROSS JOIN LATERAL (SELECT ((x.x # (x.x >> 15)) * 48271) % m AS h OFFSET 0) y
		), summed AS (
			SELECT l.i, string_agg(heads[l.product] || l.volume || tails[l.product], ', ' ORDER BY l.k) AS lines,
				   sum(prices[l.product] * l.volume ORDER BY l.k) AS amount
			  FROM lines l GROUP BY l.i
		)
		SELECT '{"order_id": "' || fluct._sample_id(seed * 100 + 70, o.i) || '", "customer_id": "' || customer_ids[o.chosen]
			   || '", "order_lines": [' || s.lines || '], "amount": ' || s.amount
			   || ', "timestamp": "' || to_char(o.at, 'YYYY-MM-DD"T"HH24:MI:SS.US') || CASE WHEN o.h2 / 1009 % 2 = 0 THEN '+00:00' ELSE '' END || '"}'
		  FROM chosen o JOIN summed s ON s.i = o.i
		 ORDER BY o.i;
	END LOOP;
END
$$;
COMMENT ON FUNCTION fluct.sample_orders(int, timestamptz, timestamptz, int, int, int) IS
'n orders in [first, last), oldest first, as JSON text, one a row, as messages have them: 1 to 100 lines, products that repeat within an order, amounts summed in floating point (189921.66000000006), times with and without an offset. They are of sample_customers(customers, seed) and for sample_products(products, seed). In the 24 hours before last one industry rises and another falls. Deterministic by its arguments. psql -Atc "SELECT fluct.sample_orders()" | kcat -P -b BROKER -t TOPIC';
