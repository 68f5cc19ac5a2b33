# Several records in one message: "rows" at the top of a mapping.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 16, 'fluct.inbox_root' => $root);

# ----- orders with lines, as a shop's bulk export has them -----

my $bulk = '{"rows": "$.orders[*]", "columns": {"id": "@.id", "shop": "$.shop.name", "email": "@.customer.email", "total": {"path": "@.total_price", "format": "number"},
		"n": "#", "off": "kafka.offset"}, "extra": "extra",
	"children": [
		{"target": "bulk_lines", "rows": "@.line_items[*]", "columns": {"order_id": "^.id", "shop": "$.shop.name", "n": "#", "sku": "@.sku", "price": {"path": "@.price", "format": "number"}}},
		{"target": "bulk_taxes", "rows": "$.orders[*].line_items[*].tax_lines[*]", "required": false,
			"columns": {"order_id": "^^.id", "sku": "^.sku", "rate": "@.rate"}}]}';
my $tables = 'CREATE TABLE bulk (id bigint PRIMARY KEY, shop text, email text, total numeric NOT NULL CHECK (total < 1000), n int, off bigint, extra jsonb);
	CREATE TABLE bulk_lines (order_id bigint, shop text, n int, sku text NOT NULL, price numeric(6,2));
	CREATE TABLE bulk_taxes (order_id bigint, sku text, rate numeric)';

sub an_order_of
{
	my ($id, $total, @lines) = @_;

	return qq({"id": $id, "customer": {"email": "c$id\@example.com"}, "total_price": "$total", "note": null, "line_items": [)
	  . join(', ', map { my ($sku, $price, @rates) = @$_;
		qq({"sku": "$sku", "price": "$price", "tax_lines": [) . join(', ', map { qq({"title": "VAT", "rate": $_}) } @rates) . ']}' } @lines) . ']}';
}

my @bulk = (
	'{"shop": {"name": "north"}, "orders": [' . join(', ', an_order_of(1, '10.50', [ 'a', '5.25', 0.19 ], [ 'b', '5.25', 0.07, 0.01 ]), an_order_of(2, '3.00', [ 'c', '3.00' ]), an_order_of(3, '0.00')) . ']}',
	'{"shop": {"name": "south"}, "orders": [' . join(', ', an_order_of(4, '7.00', [ 'd', '7.00', 0.2 ]), an_order_of(2, '4.00', [ 'e', '2.00' ], [ 'f', '2.00' ])) . ']}',
	'{"shop": {"name": "west"}, "orders": []}',
	# what is wrong with one refuses all of its message
	'{"shop": {"name": "x"}, "orders": [' . join(', ', an_order_of(20, '1'), an_order_of(21, 'much')) . ']}',
	'{"shop": {"name": "x"}, "orders": [' . join(', ', an_order_of(20, '1'), an_order_of(21, '2', [ 'a', '1' ]), an_order_of(22, '3', [ 'a', '1' ], [ 'b', 'x' ])) . ']}',
	'{"shop": {"name": "x"}, "orders": [' . join(', ', an_order_of(20, '1'), '{"id": 21, "total_price": 1}') . ']}',
	'{"shop": {"name": "x"}, "orders": [' . join(', ', an_order_of(20, '1'), '5') . ']}',
	'{"shop": {"name": "x"}, "orders": [' . join(', ', an_order_of(20, '1'), an_order_of(21, '1', [ 'a', '12345.00' ])) . ']}',
	'{"shop": {"name": "x"}, "orders": [' . join(', ', an_order_of(20, '1'), an_order_of(21, '1000')) . ']}',
	'{"shop": {"name": "x"}}', '{"orders": null}', '{"orders": {"id": 1}}',
	# the later of one message wins, with its lines
	'{"shop": {"name": "east"}, "orders": [' . join(', ', an_order_of(5, '1', [ 'g', '1' ]), an_order_of(1, '2', [ 'h', '2', 0.5 ]), an_order_of(5, '3', [ 'i', '3' ])) . ']}');
my $letters = '3 wrong_type $.orders[1].total_price, 4 wrong_type $.orders[2].line_items[1].price, 5 missing_field $.orders[1].line_items, '
  . '6 wrong_type $.orders[1], 7 out_of_range $.orders[1].line_items[0].price, 8 constraint, '
  . '9 missing_field $.orders, 10 null_field $.orders, 11 wrong_type $.orders';

# What a program would do that takes one record after the other.
mapped_stream('bulk', $tables, $bulk, ", on_conflict => 'update'", @bulk);
is(letters('bulk'), $letters, 'a wrong record is the dead letter of its message, with its place');

sub as_a_program
{
	my ($conflict) = @_;

	sql(q[DROP TABLE IF EXISTS program, program_lines, program_taxes;
		CREATE TABLE program (LIKE bulk INCLUDING INDEXES); CREATE TABLE program_lines (LIKE bulk_lines); CREATE TABLE program_taxes (LIKE bulk_taxes);
		DO $$ DECLARE m record; o record;
		BEGIN
			FOR m IN SELECT r."offset" AS off, convert_from(value, 'UTF8')::jsonb AS j FROM sales.raw_messages r
					 WHERE stream = 'bulk' AND NOT EXISTS (SELECT FROM fluct.dead_letters d WHERE d.stream = r.stream AND d."offset" = r."offset") ORDER BY 1 LOOP
				FOR o IN SELECT e AS j, e->>'id' AS id, n FROM jsonb_array_elements(m.j->'orders') WITH ORDINALITY x(e, n) LOOP
					IF EXISTS (SELECT FROM program WHERE id = o.id::bigint) THEN
						CONTINUE WHEN '] . $conflict . q[' = 'nothing';
						DELETE FROM program WHERE id = o.id::bigint; DELETE FROM program_lines WHERE order_id = o.id::bigint; DELETE FROM program_taxes WHERE order_id = o.id::bigint;
					END IF;
					INSERT INTO program VALUES (o.id::bigint, m.j #>> '{shop,name}', o.j #>> '{customer,email}', (o.j->>'total_price')::numeric, o.n, m.off, o.j - '{id,customer,total_price,line_items}'::text[]);
					INSERT INTO program_lines SELECT o.id::bigint, m.j #>> '{shop,name}', n, l->>'sku', (l->>'price')::numeric FROM jsonb_array_elements(o.j->'line_items') WITH ORDINALITY x(l, n);
					INSERT INTO program_taxes SELECT o.id::bigint, l->>'sku', (t->>'rate')::numeric FROM jsonb_array_elements(o.j->'line_items') l, jsonb_array_elements(l->'tax_lines') t;
				END LOOP;
			END LOOP;
		END $$]);
	return join(', ', map { sql("SELECT (SELECT count(*) FROM (TABLE bulk$_ EXCEPT ALL TABLE program$_) a), (SELECT count(*) FROM (TABLE program$_ EXCEPT ALL TABLE bulk$_) a), count(*) > 1 FROM bulk$_") } '', '_lines', '_taxes');
}

is(as_a_program('update'), '0|0|t, 0|0|t, 0|0|t', 'update: the tables that a plain program makes');
is(sql("SELECT messages, duplicates, dead_letters FROM fluct.stat_streams WHERE stream = 'bulk'"), '13|0|9', 'messages are counted');
is(etl("SELECT offsets, stored, duplicates, dead_letters, unexplained FROM fluct.reconcile_stream('bulk')"), '13|4|0|9|0', 'and accounted for');
is(etl("SELECT string_agg(concat_ws(' ', target, rows, first_row->>'sku'), ', ') FROM fluct.preview_stream('bulk', 1, 'earliest')"),
	'public.bulk 3, public.bulk_lines 3 a, public.bulk_taxes 3 a', 'preview_stream shows their rows');
like(etl("SELECT string_agg(concat_ws(' ', error, path), ', ') FROM fluct.preview_stream('bulk', 1, '{\"0\": 4}')"), qr/wrong_type: found "x".*\$\.orders\[2\]\.line_items\[1\]\.price/, '... or what is wrong');

# the same with the first one winning, from the raw copy
etl("SELECT fluct.pause_stream('bulk'); SELECT fluct.alter_stream('bulk', on_conflict => 'nothing'); TRUNCATE bulk, bulk_lines, bulk_taxes; CALL fluct.reprocess_stream('bulk')");
is(as_a_program('nothing'), '0|0|t, 0|0|t, 0|0|t', 'nothing: the same, by reprocess_stream');
is(letters('bulk'), $letters, 'dead letters as before');
etl("CALL fluct.reprocess_stream('bulk')");
is(as_a_program('nothing'), '0|0|t, 0|0|t, 0|0|t', 'and once more, which changes nothing');
is(etl("SELECT status FROM fluct.retry_dead_letters((SELECT array_agg(id) FROM fluct.dead_letters WHERE stream = 'bulk' AND \"offset\" = 3), value => '{\"shop\": {\"name\": \"x\"}, \"orders\": ["
	. an_order_of(1, '9', [ 'z', '9' ]) . ', ' . an_order_of(21, '8', [ 'y', '8' ]) . "]}')"), 'retried', 'a corrected message');
is(sql("SELECT string_agg(concat_ws(' ', order_id, sku), ', ' ORDER BY order_id) FROM bulk_lines WHERE order_id IN (1, 21) AND sku IN ('y', 'z')"), '21 y', 'stores the records that are new');
is(etl("SELECT detail FROM fluct.retry_dead_letters((SELECT array_agg(id) FROM fluct.dead_letters WHERE stream = 'bulk' AND \"offset\" = 4), value => '{\"orders\": ["
	. an_order_of(1, '9', [ 'z', '9' ]) . "]}')"), 'its key already existed, or what it deletes did not', 'one whose records are all there is a duplicate');

# ----- a message that is an array, or one object -----

mapped_stream('list', 'CREATE TABLE list (id int, n int, k text, part int, region text, v jsonb)',
	'{"rows": "$[*]", "single": true, "where": {"kafka.headers.region": "eu"}, "columns": {"id": "@.id", "n": "#", "k": "kafka.key", "part": "kafka.partition", "region": "kafka.headers.region", "v": "@.v"}}', '',
	{ keyed => 1, headers => { region => 'eu' } }, "a\t[{\"id\": 1, \"v\": [1]}, {\"id\": 2}]", "b\t{\"id\": 3}", "c\t[]", "d\t[{\"id\": 4}, 5]", "e\t5", "f\tnull", "g\t[{\"id\": 5}, null]");
is(sql("SELECT string_agg(concat_ws(' ', id, n, k, part, region, v), ', ' ORDER BY id) FROM list"), '1 1 a 0 eu [1], 2 2 a 0 eu, 3 1 b 0 eu', 'elements of the message, one object, none');
is(letters('list'), '3 wrong_type $[1], 4 not_an_object $, 5 not_an_object $, 6 wrong_type $[1]', 'what is not');
$kafka->produce('list', [ "x\t[{\"id\": 9}]" ], keyed => 1, headers => { region => 'us' });
ok(caught_up($node, 'list'), 'a message that is not meant');
is(sql("SELECT messages, filtered, dead_letters, rows FROM fluct.stat_streams WHERE stream = 'list'"), '8|1|4|3', '... is filtered, as a message');

mapped_stream('flat', 'CREATE TABLE flat (id int)', '{"columns": {"id": "$.id"}}', '', {}, '[{"id": 1}]', '"x"');
is(sql("SELECT string_agg(detail, '; ' ORDER BY id) FROM fluct.dead_letters WHERE stream = 'flat'"),
	'the message is an array; "rows": "$[*]" in the mapping makes each element a record; the message is a string', 'an array without rows: what takes it');

mapped_stream('batch', 'CREATE TABLE batch (id int)', '{"rows": "$.data[*]", "columns": {"id": "@.id"}}', '', {}, '{"data": null}', '{"data": {"id": 1}}', '{"data": 1}');
is(sql("SELECT string_agg(detail, '; ' ORDER BY id) FROM fluct.dead_letters WHERE stream = 'batch'"), 'expected an array for the rows of public.batch; with "required": false there are none; '
	. 'found an object, expected an array for the rows of public.batch; with "single": true it is one of them; found a number, expected an array for the rows of public.batch', 'no array: what takes it');

# ----- on_conflict error: a record that exists refuses its message, when it is stored again, too -----

mapped_stream('once', 'CREATE TABLE once (id int PRIMARY KEY, v int)', '{"rows": "$[*]", "columns": {"id": "@.id", "v": "@.v"}}', ", on_conflict => 'error'",
	'[{"id": 1, "v": 1}, {"id": 2, "v": 1}]', '[{"id": 3, "v": 2}, {"id": 1, "v": 2}]', '[{"id": 4, "v": 3}]', '[{"id": 4, "v": 4}]', '[{"id": 5, "v": 5}, {"id": 5, "v": 5}]');
my $once = sub { return sql("SELECT string_agg(concat_ws(' ', id, v), ', ' ORDER BY id) FROM once") };
is($once->(), '1 1, 2 1, 4 3', 'never half a message');
is(letters('once'), '1 constraint, 3 constraint, 4 constraint', 'each is a dead letter');
etl("SELECT fluct.pause_stream('once'); TRUNCATE once; CALL fluct.reprocess_stream('once')");
is($once->(), '1 1, 2 1, 4 3', 'nor by reprocess_stream');
etl("DELETE FROM once WHERE id = 2; CALL fluct.reprocess_stream('once')");
is($once->(), '1 1, 2 1, 4 3', 'which stores what has gone of a message');
is(sql("SELECT string_agg(status, ' ') FROM fluct.dead_letters WHERE stream = 'once'"), 'open open open', 'the letters stay open');

# ----- changes of a table, some rows each (Canal) -----

mapped_stream('canal', 'CREATE TABLE canal (id int PRIMARY KEY, v text); CREATE TABLE canal_tags (id int, tag text)',
	'{"rows": "$.data[*]", "where": {"$.table": "t"}, "delete": {"where": {"$.type": "DELETE"}}, "columns": {"id": {"path": "@.id", "format": "number"}, "v": "@.v"},
		"children": [{"target": "canal_tags", "rows": "@.tags[*]", "required": false, "columns": {"id": {"path": "^.id", "format": "number"}, "tag": "@"}}]}',
	", on_conflict => 'update'",
	'{"table": "t", "type": "INSERT", "data": [{"id": "1", "v": "a", "tags": ["x", "y"]}, {"id": "2", "v": "b", "tags": ["z"]}, {"id": "3", "v": "c"}]}',
	'{"table": "t", "type": "UPDATE", "data": [{"id": "2", "v": "b2"}, {"id": "3", "v": "c2", "tags": ["w"]}], "old": [{"v": "b"}, {"v": "c"}]}',
	'{"table": "other", "type": "DELETE", "data": [{"id": "3"}]}', '{"table": "t", "type": "DELETE", "data": [{"id": "1"}, {"id": "4"}]}',
	'{"table": "t", "type": "INSERT", "data": [{"id": "4", "v": "d"}, {"id": "5", "v": "e", "tags": ["u"]}]}', '{"table": "t", "type": "DELETE", "data": [{"id": "5"}, {"id": null}]}',
	'{"table": "t", "type": "DELETE", "data": [{"id": "9"}]}');
is(sql("SELECT string_agg(id || v, ' ' ORDER BY id) FROM canal"), '2b2 3c2 4d 5e', 'each record of a message that deletes does');
is(sql("SELECT string_agg(id || tag, ' ' ORDER BY id, tag) FROM canal_tags"), '3w 5u', 'with its children');
is(letters('canal'), '5 null_field $.data[1].id', 'one without its key');
is(etl("SELECT stored + duplicates, dead_letters, filtered, unexplained FROM fluct.reconcile_stream('canal')"), '5|1|1|0', 'accounted for');

# ----- readings: arrays in arrays, without a key, some without any -----

mapped_stream('readings', 'CREATE TABLE readings (device text, sensor text, at timestamptz, value float8)',
	'{"rows": "$.sensors[*].samples[*]", "required": false, "columns": {"device": "$.device", "sensor": "^.name", "at": {"path": "@[0]", "format": "epoch_s"}, "value": "@[1]"}}', '',
	'{"device": "d1", "sensors": [{"name": "t", "samples": [[1700000000, 20.5], [1700000060, 20.75]]}, {"name": "h", "samples": [[1700000000, 40]]}, {"name": "p"}]}',
	'{"device": "d2"}', '{"device": "d3", "sensors": null}', '{"device": "d4", "sensors": [{"name": "t", "samples": [[1700000000, 1], [1700000060, "x"]]}]}');
is(sql("SELECT string_agg(concat_ws(' ', device, sensor, extract(epoch FROM at)::bigint, value), ', ' ORDER BY sensor, at) FROM readings"),
	'd1 h 1700000000 40, d1 t 1700000000 20.5, d1 t 1700000060 20.75', 'a row for each reading');
is(letters('readings'), '3 wrong_type $.sensors[0].samples[1][1]', 'a wrong one');
is(etl("SELECT stored, dead_letters FROM fluct.reconcile_stream('readings')"), '3|1', 'messages without readings are stored');
my $many = join(', ', map { '[' . (1700000000 + $_) . ", $_]" } 1 .. 30_000);
more_messages('readings', "{\"device\": \"big\", \"sensors\": [{\"name\": \"t\", \"samples\": [$many]}]}");
is(sql("SELECT count(*), sum(value) FROM readings WHERE device = 'big'"), '30000|450015000', 'many in one message');

# ----- an error of the table, with one key twice -----

mapped_stream('strict', 'CREATE TABLE strict (id int PRIMARY KEY)', '{"rows": "$[*]", "columns": {"id": "@"}}', ", on_conflict => 'error'", '[1, 2]', '[3, 4, 3]', '[5]', '[6, 1]');
is(sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM strict"), '1 2 5', 'on_conflict error: a key that exists refuses its message');
is(letters('strict'), '1 constraint, 3 constraint', '... also if it is twice in it');

# ----- a file of JSON lines -----

write_file("$root/l.jsonl", "{\"l\": [{\"id\": 1, \"v\": \"a\"}, {\"id\": 2, \"v\": \"b\"}]}\n{\"l\": [{\"id\": 1, \"v\": \"c\"}]}\n");
etl('CREATE TABLE filed (id int PRIMARY KEY, v text)');
is(etl(q(SELECT status, rows FROM fluct.load_table('l.jsonl', 'filed', '{"rows": "$.l[*]", "columns": {"id": "@.id", "v": "@.v"}}'))), 'loaded|2', 'load_table');
is(sql("SELECT string_agg(id || v, ' ' ORDER BY id) FROM filed"), '1c 2b', '... stores the records');

# ----- what is said of a wrong mapping -----

foreach my $wrong (
	[ '{"rows": "$.orders", "columns": {"id": "@.id", "total": "@.t"}}', qr/invalid path "\$\.orders" in "rows" of the mapping/ ],
	[ '{"rows": "@.orders[*]", "columns": {"id": "@.id", "total": "@.t"}}', qr/invalid path "\@\.orders\[\*\]" in "rows"/ ],
	[ '{"required": false, "columns": {"id": "$.id", "total": "$.t"}}', qr/about "rows", which are missing/ ],
	[ '{"rows": "$[*]", "single": 1, "columns": {"id": "@.id", "total": "@.t"}}', qr/"single" of rows must be true or false/ ],
	[ '{"columns": {"id": "@.id", "total": "$.t"}}', qr/invalid path "\@\.id".*HINT:.*where the mapping has "rows"/s ],
	[ '{"columns": {"id": "$.id", "total": "$.t"}, "children": [{"target": "bulk_lines", "rows": "@.l[*]", "columns": {"sku": "@"}}]}', qr/invalid path "\@\.l\[\*\]"/ ],
	[ '{"rows": "$.o[*]", "columns": {"id": "@.id", "total": "@.t"}, "children": [{"target": "bulk_lines", "rows": "$.l[*]", "columns": {"sku": "@"}}]}',
		qr/"rows" of bulk_lines do not lie in those of public\.bulk.*HINT:.*\@\.lines\[\*\]/s ],
	[ '{"rows": "$.o[*]", "columns": {"id": "@.id", "total": "@.t"}, "where": {"@.type": "x"}}', qr/a condition cannot be on \@\.type/ ])
{
	fails_like($node, "SELECT fluct.alter_stream('bulk', mapping => \$m\$$wrong->[0]\$m\$)", $wrong->[1], $wrong->[0], as => 'etl');
}
fails_like($node, "SELECT fluct.alter_stream('bulk', on_conflict => 'update', mapping => '" . '{"rows": "$.o[*]", "columns": {"id": "@.id", "total": "@.t"}, "children": [{"target": "bulk_lines", "rows": "@.l[*]", "columns": {"order_id": "@.id", "sku": "@.s"}}]}' . "')",
	qr/22023: on_conflict update cannot replace the rows of public\.bulk_lines/, 'the key of the record, and not of the line', as => 'etl');

done_testing();
