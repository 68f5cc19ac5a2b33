# How values are written in messages: each format, "null", time zones, paths by
# index and with odd keys; and what is said of a mapping that is wrong.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 16);

# A stream of that name, topic and table, whose columns are these and the offset.
sub stream
{
	my ($name, $columns, $mapping, @messages) = @_;

	return mapped_stream($name, "CREATE TABLE $name (off bigint, $columns)",
		qq({"columns": {"off": "kafka.offset", $mapping}}), '', @messages);
}

# ----- numbers, text, booleans -----

stream('scalars', 'n numeric, i int, s text, b boolean, p numeric',
	q("n": {"path": "$.n", "format": "number"}, "i": {"path": "$.n", "format": "number", "null": ["", "NULL", "5.5"]},
	   "s": {"path": "$.s", "format": "text"}, "b": {"path": "$.b", "format": "boolean"},
	   "p": {"path": "$.p", "format": "text"}),
	'{"n": 7, "s": 1001, "b": 1, "p": "3.5"}',
	'{"n": "7", "s": "x", "b": "true"}',
	'{"n": "-1e2", "s": true, "b": "0"}',
	'{"s": 1.50, "b": false}',
	'{"n": "x"}', '{"n": " 7"}', '{"n": "NaN"}', '{"s": {}}', '{"b": 2}', '{"b": "yes"}', '{"p": 3.5}', '{"n": true}');
is(sql("SELECT string_agg(concat_ws(' ', n, i, s, b, p), ', ' ORDER BY off) FROM scalars"),
	'7 7 1001 t 3.5, 7 7 x t, -100 -100 true f, 1.50 f', 'number, text, boolean');
is(letters('scalars'), '4 wrong_type $.n, 5 wrong_type $.n, 6 not_finite $.n, 7 wrong_type $.s, '
	. '8 wrong_type $.b, 9 wrong_type $.b, 10 wrong_type $.p, 11 wrong_type $.n', 'what they are not');
is(sql("SELECT detail FROM fluct.dead_letters WHERE stream = 'scalars' AND \"offset\" IN (4, 8) ORDER BY id"),
	"found \"x\", expected a number such as 12.5\nfound 2, expected true, false, 1 or 0, in quotes or not", 'in words');

stream('places', 't text, i int, tags text[], ids int[]', q("t": {"path": "$.j", "format": "json", "inner": "$.a.b"}, "i": {"path": "$.i", "format": "json"}, "tags": "$.tags", "ids": "$.ids"),
	'{"j": "{\"a\": {\"b\": \"x\"}}", "i": "7", "tags": ["a"], "ids": [1]}', '{"j": {"a": {"b": 7}}}', '{"i": "true"}', '{"tags": ["a", 1]}', '{"ids": {}}');
is(sql("SELECT string_agg(detail, E'\\n' ORDER BY id) FROM fluct.dead_letters WHERE stream = 'places'"), join("\n", 'found {"a": {"b": 7}}, expected a string at $.a.b in it; the format text takes a number, too, a column of type jsonb any value',
	'found "true", expected a whole number at $ in it', 'found ["a", 1], expected an array of text; the format text takes numbers, too', 'found {}, expected an array of integer'), 'what was expected within a value');

stream('nulls', 'n numeric, d timestamptz, s text, j jsonb NOT NULL',
	q("n": {"path": "$.n", "format": "number", "null": ["", "NULL"]}, "d": {"path": "$.d", "null": [""]},
	   "s": {"path": "$.s", "null": ["\u00e9"]}, "j": {"path": "$.j", "null": ["none"]}),
	'{"n": "", "d": "", "s": "\u00e9", "j": {}}', '{"n": "NULL", "s": "", "j": "a\"b"}', '{"n": "1", "j": "none"}', '{"n": "null", "j": 1}');
is(sql("SELECT string_agg(concat_ws(' ', off, n, d, '<' || s || '>', j), ', ' ORDER BY off) FROM nulls"),
	'0 {}, 1 <> "a\"b"', 'words for NULL');
is(letters('nulls'), '2 null_field $.j, 3 wrong_type $.n', 'which a NOT NULL column refuses');

stream('units', 'at timestamptz, d date', q("at": "$.at", "d": "$.d"), '{"at": 1664267577140}', '{"d": 19262}');
is(sql("SELECT string_agg(detail, E'\\n' ORDER BY id) FROM fluct.dead_letters WHERE stream = 'units'"), "found 1664267577140, expected a string that is a timestamp with time zone; the formats epoch_s, epoch_ms, epoch_us and epoch_ns take a number\n"
	. 'found 19262, expected a string that is a date; the format epoch_days takes a number', 'numbers for times: which formats take them');

# ----- times -----

stream('times', 's timestamptz, ms timestamptz, us timestamptz, ns timestamptz, d date, l timestamptz',
	q("s": {"path": "$.s", "format": "epoch_s"}, "ms": {"path": "$.ms", "format": "epoch_ms"},
	   "us": {"path": "$.us", "format": "epoch_us"}, "ns": {"path": "$.ns", "format": "epoch_ns"},
	   "d": {"path": "$.d", "format": "epoch_days"},
	   "l": {"path": "$.l", "format": "iso8601", "time_zone": "Europe/Berlin"}),
	'{"s": 1664267577, "ms": 1664267577140, "us": 1664267577140960, "ns": 1664267577140960499, "d": 19262}',
	'{"s": "1664267577.5", "ms": "1664267577140", "us": "1664267577140960", "ns": "1664267577140960500", "d": "-1"}',
	'{"s": -1, "ns": -1500, "l": "2021-01-04 15:23:30"}',
	'{"l": "2021-07-04T15:23:30"}', '{"l": "2021-07-04T15:23:30Z"}',
	'{"l": "2021-03-28T02:30:00"}', '{"l": "2021-10-31T02:30:00"}', '{"l": "2021-10-31T02:30:00+02:00"}',
	'{"us": 1664267577140960499}', '{"ms": "soon"}', '{"ns": 1.5}', '{"d": 0.5}', '{"d": 1664267577}');
is(sql("SELECT s, ms, us, ns, d FROM times WHERE off < 2 ORDER BY off"),
	"2022-09-27 08:32:57+00|2022-09-27 08:32:57.14+00|2022-09-27 08:32:57.14096+00|2022-09-27 08:32:57.14096+00|2022-09-27\n"
	  . "2022-09-27 08:32:57.5+00|2022-09-27 08:32:57.14+00|2022-09-27 08:32:57.14096+00|2022-09-27 08:32:57.140961+00|1969-12-31",
	'epochs, as numbers and as strings');
is(sql("SELECT s, ns FROM times WHERE off = 2"), '1969-12-31 23:59:59+00|1969-12-31 23:59:59.999999+00', 'before 1970');
is(sql("SELECT string_agg(l::text, ', ' ORDER BY off) FROM times"),
	'2021-01-04 14:23:30+00, 2021-07-04 13:23:30+00, 2021-07-04 15:23:30+00, 2021-03-28 01:30:00+00, 2021-10-31 01:30:00+00, 2021-10-31 00:30:00+00',
	'local times; one that is skipped, and one that comes twice');
is(sql("BEGIN; SET LOCAL TimeZone = 'Europe/Berlin';
		SELECT l = CASE off WHEN 5 THEN timestamptz '2021-03-28T02:30:00' ELSE timestamptz '2021-10-31T02:30:00' END
		FROM times WHERE off IN (5, 6) ORDER BY off; COMMIT"), "t\nt", 'as timestamptz reads them');
is(letters('times'), '8 bad_timestamp $.us, 9 wrong_type $.ms, 10 bad_timestamp $.ns, 11 wrong_type $.d, 12 bad_timestamp $.d', 'other units');

# ----- bytes and decimals -----

stream('bytes', 'b bytea, bt text, h bytea, c numeric, v numeric, i int',
	q("b": {"path": "$.b", "format": "base64"}, "bt": {"path": "$.b", "format": "base64"}, "h": {"path": "$.h", "format": "hex"},
	   "c": {"path": "$.c", "format": "decimal", "scale": 2}, "v": {"path": "$.v", "format": "decimal"},
	   "i": {"path": "$.i", "format": "decimal", "scale": 0}),
	'{"b": "aMOp", "h": "0aFF", "c": "AxY=", "v": {"scale": 3, "value": "/zA="}, "i": "AQA="}',
	'{"h": "0x0a", "c": {"scale": 1, "value": "AxY="}}', '{"b": "aMOp?"}', '{"b": "/w=="}', '{"h": "0g"}', '{"h": "0"}',
	'{"c": "12.5"}', '{"c": 12}', '{"v": "AxY="}', '{"v": {"value": "AxY="}}', '{"i": "////////"}', '{"i": "AQAAAAA="}');
is(sql("SELECT concat_ws(' ', b, bt, h, c, v, i) FROM bytes ORDER BY off"), "\\x68c3a9 h\xc3\xa9 \\x0aff 7.90 -0.208 256\n\\x0a 79.0\n12\n-1",
	'base64, hex, decimal');
is(letters('bytes'), '2 wrong_type $.b, 3 invalid_encoding $.b, 4 wrong_type $.h, 5 wrong_type $.h, 6 wrong_type $.c, '
	. '8 wrong_type $.v, 9 wrong_type $.v, 11 out_of_range $.i', 'what is not');

# ----- JSON in a string, arrays, odd paths -----

stream('inside', 'id bigint, at timestamptz, p jsonb, t text[], n int[], first text, deep int, odd text, dot text',
	q("id": {"path": "$.payload", "format": "json", "inner": "$.id"}, "at": {"path": "$.payload", "format": "json", "inner": "$.a[1].at"},
	   "p": {"path": "$.payload", "format": "json"}, "t": {"path": "$.tags", "format": "text"}, "n": "$.ns",
	   "first": "$.tags[0]", "deep": "$.list[1].x[0]", "odd": "$[\"odd.key [1]\"]", "dot": "$['order.id']"),
	'{"payload": "{\"id\": 9, \"a\": [0, {\"at\": \"2024-01-31T00:00:00Z\"}]}", "tags": ["a\"", 1, true, null], "ns": [1, 2], "list": [0, {"x": [5]}], "odd.key [1]": "o", "order.id": "d"}',
	'{"payload": {"id": 8}, "tags": [], "list": []}', '{"payload": "[1]"}', '{"payload": "{"}', '{"tags": [{}]}', '{"list": [0, 1]}', '{"payload": "{\"id\": \"x\"}"}',
	'{"payload": "\"x\""}', '{"payload": 5}', '{"payload": "{\"a\": \"x\"}"}', '{"tags": {"0": "a"}}', '{"list": [0, {"x": {"0": 5}}]}');
is(sql("SELECT id, at, p, t, n, coalesce(first, '-'), deep, odd, dot FROM inside WHERE off = 0"),
	'9|2024-01-31 00:00:00+00|{"a": [0, {"at": "2024-01-31T00:00:00Z"}], "id": 9}|{"a\"",1,true,NULL}|{1,2}|a"|5|o|d', 'all of it');
is(sql("SELECT string_agg(concat_ws(' ', off, id, p, t), ', ' ORDER BY off) FROM inside WHERE off > 0"), '1 8 {"id": 8} {}', 'JSON that is not in a string, too');
is(letters('inside'), '2 wrong_type $.payload, 3 invalid_json $.payload, 4 wrong_type $.tags, 5 wrong_type $.list[1], 6 wrong_type $.payload, '
	. '7 wrong_type $.payload, 8 wrong_type $.payload, 9 wrong_type $.payload, 10 wrong_type $.tags, 11 wrong_type $.list[1].x', 'what is not');

stream('within', 't text, n numeric, at timestamptz, l timestamptz, b boolean, d numeric, j jsonb, x bytea, v numeric',
	q("t": {"path": "$.p", "inner": "$.t", "format": "text"}, "n": {"path": "$.p", "inner": "$.n", "format": "number", "null": ["", "none"]},
	   "at": {"path": "$.p", "inner": "$.at", "format": "epoch_ms"}, "l": {"path": "$.p", "inner": "$.l", "time_zone": "Europe/Berlin"},
	   "b": {"path": "$.p", "inner": "$.b", "format": "boolean"}, "d": {"path": "$.p", "inner": "$.d", "format": "decimal", "scale": 2}, "j": {"path": "$.p", "inner": "$.j"},
	   "x": {"path": "$.p", "inner": "$.x", "format": "hex"}, "v": {"path": "$.p", "inner": "$.v", "format": "decimal"}),
	q({"p": "{\"t\": 7, \"n\": \"1.5\", \"at\": 1664267577140, \"l\": \"2024-07-01 12:00:00\", \"b\": \"0\", \"d\": \"BNI=\", \"j\": \"a\\\\\\"b\", \"x\": \"6869\", \"v\": {\"scale\": 1, \"value\": \"DA==\"}}"}),
	'{"p": {"t": true, "n": "none"}}', '{"p": ""}', '{"p": null}', '{"p": {"t": []}}', '{"p": {"b": 2}}', '{"p": {"n": "x"}}');
is(sql("SELECT t, n, extract(epoch FROM at), l, b, d, j, x, v FROM within WHERE off = 0"), q(7|1.5|1664267577.140000|2024-07-01 10:00:00+00|f|12.34|"a\"b"|\x6869|1.2), 'each format inside');
is(sql("SELECT string_agg(concat_ws(' ', off, t, n IS NULL), ', ' ORDER BY off) FROM within WHERE off > 0"), '1 true t, 3 t', 'what is null');
is(sql("SELECT string_agg(regexp_replace(detail, '^found .* expected', 'expected'), E'\\n' ORDER BY id) FROM fluct.dead_letters WHERE stream = 'within'"), join("\n", 'found ""',
	'expected a string, a number, true or false at $.t in it', 'expected true, false, 1 or 0, in quotes or not at $.b in it', 'expected a number such as 12.5 at $.n in it'), 'what is not');

# ----- elements of arrays are what a column of their type takes -----

etl('CREATE TYPE pair AS (a numeric, b text)');
stream('lists', 'tz timestamptz[], ts timestamp[], d date[], i int[], n numeric[], f float8[], b bool[], j jsonb[], iv interval[], tm time[], by bytea[], r numrange, nr numrange[], p pair',
	join(', ', map { qq("$_": "\$.$_") } qw(tz ts d i n f b j iv tm by r nr p)),
	'{"tz": ["2026-11-25T10:00:00+02:00", "2026-11-25t23:59:60.5z", null], "ts": ["2026-11-25T10:00+02:00", "0001-01-01T00:00:00+01:00"], "d": ["2026-11-25"], "i": [5.0, 1e2, "7"], "n": [1.50, "2.5"],'
	  . ' "f": [1e-300], "b": [true, "f"], "j": [1, true], "iv": ["1 day"], "tm": ["10:00"], "by": ["\\\\x41"], "r": "[0001,1e3]", "nr": ["[1,2]"], "p": "(0012,x)"}',
	(map { "{$_}" } '"tz": ["2026-11-25"]', '"tz": ["20261125T100000Z"]', '"tz": [161231]', '"tz": ["now"]', '"ts": ["25.11.2026 10:00"]', '"d": [20261125]', '"d": ["2026-11-25T23:00:00Z"]', '"i": [1.5]',
		'"n": ["NaN"]', '"n": [[1, 1e131071]]', '"n": ["1e131071"]', '"f": ["-Infinity"]', '"f": [1e309]', '"b": [1]', '"j": ["{\\"a\\": 1e131071}"]', '"iv": [1]', '"tm": [1000]', '"by": [5]',
		'"r": "[0,1e131071]"', '"nr": ["[-001e131071,0]"]', '"p": "(1e131071,x)"', '"n": "{1e131071}"'));
is(sql("SELECT tz, ts, d, i, n, f, b, j, iv, tm, by, r, nr, p FROM lists"), '{"2026-11-25 08:00:00+00","2026-11-26 00:00:00.5+00",NULL}|{"2026-11-25 08:00:00","0001-12-31 23:00:00 BC"}|{2026-11-25}|{5,100,7}|{1.50,2.5}|{1e-300}'
	. '|{t,f}|{1,true}|{"1 day"}|{10:00:00}|{"\\\\x41"}|[1,1000]|{"[1,2]"}|(12,x)', 'lists');
is(letters('lists'), '1 bad_timestamp $.tz, 2 bad_timestamp $.tz, 3 wrong_type $.tz, 4 bad_timestamp $.tz, 5 bad_timestamp $.ts, 6 wrong_type $.d, 7 bad_timestamp $.d, 8 wrong_type $.i, 9 not_finite $.n, '
	. '10 out_of_range $.n, 11 out_of_range $.n, 12 not_finite $.f, 13 out_of_range $.f, 14 wrong_type $.b, 15 out_of_range $.j, 16 wrong_type $.iv, 17 wrong_type $.tm, 18 wrong_type $.by, '
	. '19 out_of_range $.r, 20 out_of_range $.nr, 21 out_of_range $.p, 22 out_of_range $.n', 'what is not');

# ----- the orders, with numbers as ids -----

$kafka->create_topic('orders');
$kafka->produce('orders', [ '{"order_id": 1001, "customer_id": 5, "amount": "5.50", "timestamp": 1664267577140960, "order_lines": [{"product_id": 3, "volume": "2", "price": "2.75"}]}' ]);
etl(q[SELECT fluct.create_stream('orders', 'shop', 'orders', start => true, on_conflict => 'update', mapping => '{
	"columns": {"order_id": {"path": "$.order_id", "format": "text"}, "customer_id": {"path": "$.customer_id", "format": "text"},
		"amount": {"path": "$.amount", "format": "number"}, "ordered_at": {"path": "$.timestamp", "format": "epoch_us"}},
	"extra": "extra",
	"children": [{"target": "sales.order_lines", "rows": "$.order_lines[*]",
		"columns": {"order_id": {"path": "$.order_id", "format": "text"}, "ordered_at": {"path": "$.timestamp", "format": "epoch_us"},
			"line_number": "#", "product_id": {"path": "@.product_id", "format": "text"},
			"volume": {"path": "@.volume", "format": "number"}, "price": {"path": "@.price", "format": "number"}}}]}')]);
ok(caught_up($node, 'orders'), 'orders: all went through');
is(sql('SELECT order_id, customer_id, amount, o.ordered_at, product_id, volume, price FROM sales.orders o JOIN sales.order_lines USING (order_id)'),
	'1001|5|5.50|2022-09-27 08:32:57.14096+00|3|2|2.75', 'orders as others write them');

# ----- what is said of a wrong mapping -----

sub said
{
	my ($spec) = @_;

	my ($rc, $out, $err) = $node->psql('postgres',
		"SET ROLE etl; SELECT fluct.alter_stream('scalars', mapping => '{\"columns\": {$spec}}')");
	return join(' / ', map { s/^(psql:\S+ )?(ERROR|DETAIL|HINT):\s+//r } grep { !/^CONTEXT|^PL|^SQL/ } split(/\n/, $err));
}

like(said(q("n": {"path": "$.n", "format": "nubmer"})), qr/column "n" of public.scalars cannot have the format "nubmer" .*numeric\. \/ Did you mean "number"\?/, 'a word misspelt');
like(said(q("n": {"path": "$.n", "formt": "number"})), qr/unknown key "formt" in n \/ Did you mean "format"\?/, 'a key, too');
like(said(q("n": {"path": "$.n", "format": "base64"})), qr/type numeric\. \/ Formats are/, 'for another type');
like(said(q("n": {"path": "$.n", "format": "number", "scale": 2})), qr/has "scale", which is for the format decimal/, 'an option of another format');
like(said(q("n": {"path": "$.n", "format": "decimal", "scale": -1})), qr/"scale" of column "n" must be a number from 0/, 'a scale');
like(said(q("n": {"path": "$.n", "null": "x"})), qr/"null" of column "n" must be a list of strings/, 'a list');
like(said(q("n": {"path": "$.n", "null": [1]})), qr/"null" of column "n" must be a list of strings/, 'of strings');
like(said(q("n": {"path": "$.n", "format": "json", "inner": "id"})), qr/"inner" of column "n" is the invalid path "id"/, 'a path inside');
like(said(q("n": "$.a b")), qr/invalid path "\$\.a b" \/ A path is \$\.field, \$\.list\[0\], \$\["odd\.field"\]/, 'odd keys, in the hint');
etl('ALTER TABLE scalars ADD at timestamptz');
like(said(q("at": {"path": "$.n", "time_zone": "UTC+2"})), qr/unknown "time_zone" "UTC\+2" \/ pg_timezone_names/, 'a POSIX form');
like(said(q("at": {"path": "$.n", "time_zone": "Europe/Nowhere"})), qr/unknown "time_zone"/, 'no such zone');
is(said(q("at": {"path": "$.n", "time_zone": "etc/gmt-5"})), '', 'a zone with a digit');

# ----- settings that a trigger changes -----

mapped_stream('pinned', q{CREATE TABLE pinned (n int PRIMARY KEY, span tstzrange);
	CREATE FUNCTION set_zone() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM set_config('timezone', 'Asia/Kathmandu', false), set_config('datestyle', 'German', false); RETURN NULL; END $$;
	CREATE TRIGGER set_zone AFTER INSERT ON pinned FOR EACH STATEMENT EXECUTE FUNCTION set_zone()},
	'{"columns": {"n": "$.n", "span": "$.span"}}', '', '{"n": 1, "span": "[2026-02-01 00:00, 2026-02-02 00:00)"}');
more_messages('pinned', '{"n": 2, "span": "[2026-02-01 00:00, 2026-02-02 00:00)"}');
is(sql(q{SELECT count(*) FROM pinned WHERE span = '[2026-02-01 00:00Z, 2026-02-02 00:00Z)'}), 2, 'are as they were for the next batch');

done_testing();
