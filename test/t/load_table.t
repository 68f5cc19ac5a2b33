# Files for any table: CSV and JSON lines, in the words of a mapping.
use strict;
use warnings;
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('tables', operator => 1, 'fluct.inbox_root' => $root, 'fluct.max_message_bytes' => '1MB');

sub load_file
{
	my ($name, $content, $options) = @_;

	write_file("$root/$name", $content);
	return etl("SELECT status, rows, inserted, unchanged, duplicates, rejected FROM fluct.load_table('$name', $options)");
}

sub refused
{
	my ($name, $content, $options, $like, $what) = @_;

	write_file("$root/$name", $content);
	fails_like($node, "SELECT fluct.load_table('$name', $options)", $like, $what, as => 'etl');
}

sql('CREATE SCHEMA shop AUTHORIZATION etl');
etl(q{
	CREATE DOMAIN shop.percent AS numeric CHECK (VALUE <= 100);
	CREATE TYPE shop.size AS ENUM ('S', 'M', 'L');
	CREATE TABLE shop.articles (sku text PRIMARY KEY, name text, price numeric NOT NULL, stock int, active boolean, since date, changed_at timestamptz,
		discount shop.percent, size shop.size, note text DEFAULT 'none', weight float8, extra jsonb)});

# ----- CSV: what the columns' types read, beside COPY -----

my $csv = join('', map { "$_\n" } 'price,sku,name,stock,active,since,changed_at,discount,size,note,weight,Color of it',
	'1.50,a1,"One, ""two""",3,true,2026-01-31,2026-01-31T10:00:00Z,10,S,"x' . "\n" . 'y",0.1,red', '-2e1,a2,\\back,,f,,2026-01-31 10:00:00+02:00,,L,,1e3,', '3,a3,,-5,1,2024-02-29,,100,,"",,');
is(load_file('a.csv', $csv, "'shop.articles'"), 'loaded|3|3|0|0|0', 'CSV, without a mapping');
my $columns = 'sku, name, price, stock, active, since, changed_at, discount, size, note, weight';
write_file("$root/plain.csv", $csv);
sql("SET timezone = 'UTC'; CREATE TABLE shop.plain AS SELECT $columns, extra->>'Color of it' AS color FROM shop.articles WHERE false; COPY shop.plain (price, sku, name, stock, active, since, changed_at, discount, size, note, weight, color) FROM '$root/plain.csv' (FORMAT csv, HEADER)");
is(sql("SELECT count(*) FROM ((SELECT $columns, extra->>'Color of it' FROM shop.articles EXCEPT TABLE shop.plain) UNION ALL (TABLE shop.plain EXCEPT SELECT $columns, extra->>'Color of it' FROM shop.articles)) x"), 0, 'the table that COPY makes');
is(etl("SELECT status FROM fluct.load_table('a.csv', 'shop.articles')"), 'duplicate', 'once');
is(load_file('b.csv', "sku,price\na1,9\nn1,1\nn1,2\n", q{'shop.articles', '{"columns": {"sku": "$.sku", "price": "$.price"}}'}), 'loaded|3|2|0|1|0', 'upsert: the last row of a key wins');
is(sql("SELECT string_agg(concat_ws(':', sku, price, stock), ' ' ORDER BY sku) FROM shop.articles"), 'a1:9:3 a2:-20 a3:3:-5 n1:2', 'columns that are not mapped stay');
is(load_file('c.csv', "sku,price\na1,7\nn2,1\nn2,3\n", q{'shop.articles', '{"columns": {"sku": "$.sku", "price": "$.price"}}', mode => 'append'}), 'loaded|3|1|2|0|0', 'append: a key that exists stays as it is');
is(load_file('d.csv', "Artikel Nr.;Preis\r\nn3;4\r\n;\r\n", q{'shop.articles', '{"columns": {"sku": "$[\"Artikel Nr.\"]", "price": "$[\"Preis\"]", "note": {"path": "$.Notiz", "required": false}}}', delimiter => ';'}),
	'loaded|1|1|0|0|0', 'odd names; one that need not be there');
is(sql("SELECT note FROM shop.articles WHERE sku = 'n3'"), 'none', '... has its default');

# ----- rows that are refused -----

my $bad = "sku,price,stock,size,active\nb1,1,1,S,t\nb2,x,1,S,t\nb3,1\n,1,1,S,t\nb5,1,1.5,S,t\nb6,1,1,XL,t\nb7,1,1,S,perhaps\nb8,1,1,S,no\n";
my $map = q{'{"columns": {"sku": "$.sku", "price": "$.price", "stock": "$.stock", "size": "$.size", "active": "$.active"}}'};
refused('bad.csv', $bad, "'shop.articles', $map", qr/22P04: file "bad\.csv" is refused at line 3: \w+\n.*price/s, 'the first one refuses the file');
is(sql("SELECT count(*) FROM shop.articles WHERE sku LIKE 'b%'"), 0, 'and nothing is stored');
is(load_file('bad.csv', $bad, "'shop.articles', $map, on_bad_row => 'reject_row'"), 'loaded|8|2|0|0|6', 'or they are left out');
is(sql("SELECT string_agg(r.line || ' ' || r.reason, ', ' ORDER BY r.line) FROM fluct.file_rejects r JOIN fluct.files f ON f.id = r.file_id WHERE f.file = 'bad.csv'"),
	'3 wrong_type, 4 missing_column, 5 null_field, 6 wrong_type, 7 wrong_type, 8 wrong_type', 'and kept with their reasons');
like(sql("SELECT fields[1] FROM fluct.file_rejects WHERE line = 3 ORDER BY file_id DESC LIMIT 1"), qr/"sku":"b2","price":"x"/, 'with what they hold');
refused('bad.csv', $bad, "'shop.articles', $map, on_bad_row => 'reject_row', max_rejects => 5, force => true", qr/refused at line 3: .*\n.*6 bad rows, at most 5 may be rejected/s, 'up to max_rejects');
refused('e.csv', "sku,prize\nx,1\n", "'shop.articles', $map", qr/refused at line 1: bad_header\n.*No column "\w+" in the header.*HINT:  In mapping/s, 'a column that is not there');
refused('e.csv', "List\nsku,price\nx,1\n", "'shop.articles', $map", qr/bad_header\n.*further below, pass skip_lines/s, 'a line before the header');
refused('e.csv', "sku,price\nx,\"1,50\"\n", q{'shop.articles', '{"columns": {"sku": "$.sku", "price": "$.price"}}'}, qr/wrong_type\n.*found "1,50", expected a number such as 12\.5/s, 'a decimal comma');
refused('lines.txt', qq({"sku": "x", "price": 1}\n), q{'shop.articles', '{"columns": {"sku": "$.sku", "price": "$.price"}}'}, qr/bad_quote\n.*HINT:  .*format => 'json'/s, 'JSON lines by another name');
refused('e.csv', "sku;price\nx;1\n", q{'shop.articles', '{"columns": {"sku": "$.sku", "price": "$.price"}}'}, qr/wrong_delimiter\n.*HINT:  .*delimiter => ';'/s, 'another delimiter');
refused('e.csv', "sku,price,sku\nx,1,y\n", q{'shop.articles', '{"columns": {"sku": "$.sku", "price": "$.price"}}'}, qr/bad_header\n.*duplicated/s, 'a name twice');
refused('e.csv', "sku,price\nx,\"1\n", q{'shop.articles', '{"columns": {"sku": "$.sku", "price": "$.price"}}, on_bad_row => 'reject_row'} =~ s/}}, on/}}', on/r, qr/open_quote/, 'a quote that is never closed');

# ----- JSON lines, with children -----

etl(q{CREATE TABLE shop.carts (id int PRIMARY KEY, at timestamptz); CREATE TABLE shop.items (cart int, n int, sku text)});
my $carts = q{'{"columns": {"id": "$.id", "at": "$.at"}, "children": [{"target": "shop.items", "rows": "$.items[*]", "columns": {"cart": "$.id", "n": "#", "sku": "@.sku"}}]}'};
is(load_file('c.jsonl', qq({"id": 1, "at": "2026-01-01T00:00Z", "items": [{"sku": "a"}, {"sku": "b"}]}\n{"id": "x"}\n{"id": 3, "at": null, "items": []}\n), "'shop.carts', $carts, on_bad_row => 'reject_row'"),
	'loaded|3|2|0|0|1', 'JSON lines, by their name');
is(sql('SELECT string_agg(concat_ws(chr(58), cart, n, sku), $$ $$ ORDER BY n) FROM shop.items'), '1:1:a 1:2:b', 'with children');
is(load_file('blank.jsonl', qq(\n{"id": 8, "at": null, "items": []}\n \t\n\n{"id": 9, "at": null, "items": []}\n\n \n\n), "'shop.carts', $carts, on_bad_row => 'reject_row'"),
	'loaded|5|2|0|0|3', 'blank lines are left out, but for those at the end');
is(sql("SELECT string_agg(concat_ws(' ', line, reason, detail), ', ' ORDER BY line) FROM fluct.file_rejects WHERE file_id = (SELECT max(id) FROM fluct.files)"),
	'1 empty_value the line is blank, 3 empty_value the line is blank, 4 empty_value the line is blank', 'and kept with their reason');
refused('blank2.jsonl', qq({"id": 8, "at": null, "items": []}\n\n{"id": 9, "at": null, "items": []}\n), "'shop.carts', $carts", qr/refused at line 2: empty_value\n.*The line is blank/s, 'or they refuse the file');
sql('DELETE FROM shop.carts WHERE id > 7');

is(load_file('bytes.jsonl', qq({"id": 8}\n{"id": 9, "x": "\xff"}\n), "'shop.carts', '{\"columns\": {\"id\": \"\$.id\"}}', on_bad_row => 'reject_row'"), 'loaded|2|1|0|0|1', 'bytes that are not text count once');

# a line above fluct.max_message_bytes: one that is read at once, in many pieces, the last one
my $at_most = '{"id": 8, "x": "' . ('x' x (1024 * 1024 - 18)) . '"}';
my $long = join("\n", $at_most, "$at_most ", '{"id": 9, "x": "' . ('\n' x 4_000_000) . '"}', '{"id": 10}', '{"id": 11, "x": "' . ('x' x 1_048_576)) . "\n";
is(load_file('long.jsonl', $long, "'shop.carts', '{\"columns\": {\"id\": \"\$.id\"}}', on_bad_row => 'reject_row'"), 'loaded|5|2|0|0|3', 'lines that are too long are left out');
is(sql("SELECT string_agg(concat_ws(' ', line, reason, detail, left(fields[1], 8), length(fields[1])), ', ' ORDER BY line) FROM fluct.file_rejects WHERE file_id = (SELECT max(id) FROM fluct.files)"),
	join(', ', map { "$_->[0] too_large the line is longer than fluct.max_message_bytes, 1048576 {\"id\": $_->[1] 10000" } [ 2, 8 ], [ 3, 9 ], [ 5, 1 ]), 'and their beginning is kept');
refused('long2.jsonl', $long, "'shop.carts', '{\"columns\": {\"id\": \"\$.id\"}}'", qr/refused at line 2: too_large/, 'or they refuse the file');
write_file("$root/long_orders.jsonl", an_order('long', x => '"' . ('x' x 1_048_576) . '"') . "\n");
fails_like($node, "SELECT fluct.load_orders('long_orders.jsonl')", qr/refused at line 1: too_large\n/, 'and a file of orders', as => 'etl');
sql('DELETE FROM shop.carts WHERE id > 7');
is(load_file('c.txt', qq({"id": 1, "at": "2026-01-01T00:00Z", "items": [{"sku": "z"}]}\n), "'shop.carts', $carts, format => 'json'"), 'loaded|1|1|0|0|0', 'by the option');
is(sql('SELECT string_agg(sku, $$ $$) FROM shop.items'), 'z', 'an upsert replaces the children');

# ----- a snapshot: what the file does not hold goes -----

etl(q{CREATE TABLE shop.stores (id int PRIMARY KEY, name text); CREATE TABLE shop.hours (store bigint, n int, open text); INSERT INTO shop.stores VALUES (1, 'old'), (2, 'gone'), (3, 'same');
	INSERT INTO shop.hours VALUES (1, 1, '8'), (2, 1, '9'), (9, 1, '10')});
my $stores = q{'shop.stores', '{"where": {"$.kind": "store"}, "columns": {"id": "$.id", "name": "$.name"}, "children": [{"target": "hours", "rows": "$.hours[*]", "required": false,
	"columns": {"store": "$.id", "n": "#", "open": "@"}}]}', mode => 'snapshot'};
my $lines = join('', map { "$_\n" } '{"kind": "store", "id": 1, "name": "new", "hours": ["7"]}', '{"kind": "other", "id": 2}', '{"kind": "store", "id": 3, "name": "same"}', '{"kind": "store", "id": 4, "hours": ["6", "7"]}');
refused('s.jsonl', $lines, $stores, qr/too_many_deletes\n.*1 of 3 rows of shop\.stores are not in the file, expected at most 10\.0 %/s, 'not more than may go');
is(sql('SELECT count(*) FROM shop.stores'), 3, '... and nothing changes');
is(load_file('s.jsonl', $lines, "$stores, max_delete_fraction => 0.5"), 'loaded|4|3|0|0|0', 'a snapshot');
is(sql("SELECT string_agg(concat_ws(':', s.id, name, store, open), ' ' ORDER BY s.id, store, open) FROM shop.stores s FULL JOIN shop.hours ON store = s.id"), '1:new:1:7 3:same 4:4:6 4:4:7 9:10', 'with the children of what goes');
is(etl("SELECT status, removed FROM fluct.load_table('s.jsonl', $stores, force => true)"), 'loaded|0', 'again: nothing goes');
is(etl("SELECT status FROM fluct.load_table('s.jsonl', $stores)"), 'duplicate', 'once');
is(load_file('s.csv', "id;name\n1;a\n3;b\n", q{'shop.stores', mode => 'snapshot', delimiter => ';', max_delete_fraction => 1}), 'loaded|2|2|0|0|0', 'of CSV');
is(sql("SELECT string_agg(concat_ws(':', id, name), ' ' ORDER BY id) FROM shop.stores"), '1:a 3:b', '... the file is the table');
is(load_file('v.jsonl', qq({"r": [{"id": 1, "v": 0, "hours": ["1"]}, {"id": 5, "v": 1, "hours": ["2"]}]}\n), q{'shop.stores', '{"rows": "$.r[*]", "columns": {"id": "@.id", "name": {"path": "@.v", "format": "text"}}, "version": "name",
	"children": [{"target": "shop.hours", "rows": "@.hours[*]", "columns": {"store": "^.id", "open": "@"}}]}', mode => 'snapshot', max_delete_fraction => 1}), 'loaded|1|1|0|0|0', 'several records a line; newer wins');
is(sql("SELECT string_agg(concat_ws(':', id, name, open), ' ' ORDER BY id) FROM shop.stores LEFT JOIN shop.hours ON store = id"), '1:a:7 5:1:2', '... an older one counts as there');
refused('s2.csv', "id,name\n", q{'shop.stores', mode => 'snapshot'}, qr/empty_file/, 'no row');
refused('s2.csv', "id,name\n1,\n", q{'shop.stores', mode => 'snapshot', on_bad_row => 'reject_row'}, qr/a snapshot cannot leave rows out/, 'no rejects');
refused('s2.csv', "id,name\n1,\n", q{'shop.stores', '{"columns": {"id": "$.id"}, "delete": {"where": {"$.x": 1}}}', mode => 'snapshot'}, qr/the rows of a snapshot cannot delete/, 'no deletes');
is(load_file('d.jsonl', qq({"op": "c", "after": {"id": 7, "name": "x"}}\n{"op": "d", "before": {"id": 1}}\n), q{'shop.stores', '{"envelope": "debezium"}'}), 'loaded|2|2|0|0|0', 'changes by column name');
is(sql("SELECT string_agg(concat_ws(':', id, name), ' ' ORDER BY id) FROM shop.stores"), '5:1 7:x', '... and what they delete');

# ----- without a key -----

etl('CREATE TABLE shop.log (at timestamptz DEFAULT now(), line bigint, what text)');
my $deletes = q{'{"columns": {"sku": "$.sku", "price": "$.price"}, "delete": {"where": {"$.gone": true}}}'};
is(load_file('gone.jsonl', qq({"sku": "g1", "price": 1}\n{"sku": "g2", "price": 2}\n{"sku": "g1", "gone": true}\n{"sku": "g9", "gone": true}\n), "'shop.articles', $deletes"),
	'loaded|4|2|0|2|0', 'lines that delete');
is(sql(q{SELECT string_agg(sku, ' ') FROM shop.articles WHERE sku LIKE 'g%'}), 'g2', 'do so in their order');
refused('gone2.jsonl', "{}\n", "'shop.articles', $deletes, mode => 'append'", qr/"delete" needs on_conflict update.*mode => 'upsert'/s, 'which append cannot');
refused('l.csv', "what\na\n", q{'shop.log', '{"columns": {"what": "$.what", "line": "kafka.offset"}}'}, qr/22023: mode upsert needs a unique key, and shop\.log has none.*\n.*HINT:.*append/s, 'no key to go by');
is(load_file('l.csv', "what\na\nb\na\n", q{'shop.log', '{"columns": {"what": "$.what", "line": "kafka.offset"}}', mode => 'append'}), 'loaded|3|3|0|0|0', 'append');
is(etl(q{SELECT status FROM fluct.load_table('l.csv', 'shop.log', '{"columns": {"what": "$.what", "line": "kafka.offset"}}', mode => 'append')}), 'duplicate', 'once');
is(sql('SELECT string_agg(line || what, $$ $$ ORDER BY line) FROM shop.log'), '2a 3b 4a', 'kafka.offset is the line');
my $many = "what\n" . join('', map { "row $_\n" } 1 .. 5000);
is(load_file('many.csv', $many, q{'shop.log', '{"columns": {"what": "$.what"}}', mode => 'append'}), 'loaded|5000|5000|0|0|0', 'more than a batch');

etl('CREATE TABLE shop.ids (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), what text)');
is(load_file('ids.csv', "what\na\nb\n", q{'shop.ids', mode => 'append'}), 'loaded|2|2|0|0|0', 'columns that have a default need not be there');
is(sql('SELECT string_agg(id || what, $$ $$ ORDER BY id) FROM shop.ids WHERE at IS NOT NULL'), '1a 2b', '... and have it');
refused('ids2.csv', "wat\na\n", q{'shop.ids', mode => 'append'}, qr/No column "what" in the header; the closest name is "wat"/, 'a misspelt one is not NULL without a word');

# ----- an inbox -----

mkdir("$root/in");
etl(q{SELECT fluct.create_inbox('in', 'table', 'in', settle => '0', target => 'shop.articles', mapping => '{"columns": {"sku": "$.sku", "price": "$.price"}}', on_bad_row => 'reject_row', pattern => '*.csv')});
write_file("$root/in/a.csv", "sku,price\ni1,1\ni2,x\n");
write_file("$root/in/b.csv", "sku;price\ni1;1\n");
write_file("$root/in/c.csv", "sku,price\ni3,1");
my $err = said("CALL fluct.scan_inbox('in')", as => 'etl');
like($err, qr/"a\.csv": 2 rows, 1 inserted, 1 rejected/, 'a scan');
like($err, qr/"b\.csv": refused at line 1: wrong_delimiter.*\nHINT:  .*delimiter => ';'/, 'and what it refuses');
like($err, qr/"c\.csv": 1 row, 0 inserted, 1 rejected/, 'a last line without its end');
etl(q{SELECT fluct.alter_inbox('in', delimiter => ';', mode => 'append')});
like(etl(q{SELECT status FROM fluct.reload_file('in', 'b.csv')}), qr/^loaded$/, 'mended');

# ----- options, rights -----

foreach my $wrong (
	[ q{'shop.articles', '{"columns": {"skuu": "$.sku"}}'}, qr/42703: mapping: table shop\.articles has no column "skuu"/ ], [ q{NULL}, qr/target must be given\n.*HINT/s ],
	[ q{0}, qr/42P01: relation with OID 0 does not exist/ ], [ q{4294967295, '{"columns": {"sku": "$.sku"}}'}, qr/42P01: relation with OID 4294967295 does not exist/ ],
	[ q{'shop.articles', mode => 'replace'}, qr/mode must be one of upsert, append, snapshot/ ], [ q{'shop.articles', format => 'xml'}, qr/format must be one of auto, csv, json/ ])
{
	refused('a.csv', $csv, $wrong->[0], $wrong->[1], $wrong->[0]);
}
fails_like($node, "SELECT fluct.create_inbox('x', 'table', 'in')", qr/target must be given/, 'an inbox needs a target', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('x', 'table', 'in', target => 'shop.log', format => 'json', $_->[1])", qr/22023: a file of JSON lines has no option $_->[0]\n/, "lines of JSON have no $_->[0]", as => 'etl')
  foreach [ 'delimiter', "delimiter => ';'" ], [ 'skip_lines', 'skip_lines => 1' ], [ 'null_words', "null_words => '{NULL}'" ];
fails_like($node, "SELECT fluct.create_inbox('x', 'products', 'in', target => 'shop.log')", qr/a file of products has no option target/, 'of kind table alone', as => 'etl');
fails_like($node, "SELECT fluct.load_table('a.csv', 'shop.articles')", qr/42501: a superuser cannot load into the tables of role "etl"/, 'not a superuser');
etl('CREATE TABLE shop.part (id int, what text)');
sql(q{CREATE VIEW public.of_articles AS SELECT * FROM shop.articles;
	CREATE TABLE public.parts (id int, what text) PARTITION BY LIST (id); ALTER TABLE shop.part OWNER TO postgres;
	ALTER TABLE public.parts ATTACH PARTITION shop.part DEFAULT; ALTER TABLE shop.part OWNER TO etl});
fails_like($node, "SELECT fluct.load_table('a.csv', '$_', mode => 'append')", qr/42501: a superuser cannot load into the tables of role "etl"/, "... nor by way of $_")
  foreach 'public.of_articles', 'public.parts';
sql('CREATE TABLE public.own (sku text)');
fails_like($node, q{SELECT fluct.load_table('c.jsonl', 'public.own', '{"columns": {"sku": "$.id"}, "children": [{"target": "shop.log", "rows": "$.items[*]", "columns": {"what": "@.sku"}}]}')},
	qr/42501: a superuser cannot load into the tables of role "etl"/, '... nor into a child');
sql('CREATE TABLE public.log (what text); ALTER TABLE public.log OWNER TO etl');
fails_like($node, qq{SELECT fluct.load_table('c.jsonl', 'public.own', '{"columns": {"sku": "\$.id"}, "children": [{"target": "$_", "rows": "\$.items[*]", "columns": {"what": "@.sku"}}]}')},
	qr/42501: a superuser cannot load into the tables of role "etl"/, "... whose name is written $_") foreach 'log', 'LOG ', '\"log\"';
like(sql(q{SELECT status FROM fluct.load_table('a.csv', 'public.own', mode => 'append')}), qr/^loaded$/, 'into a table of its own');

# a schema's owner can change what the name of a superuser's table means
sql('GRANT CREATE ON DATABASE postgres TO etl; CREATE SCHEMA second AUTHORIZATION etl; CREATE TABLE second.own (sku text)');
fails_like($node, q{SELECT fluct.load_table('a.csv', 'second.own', mode => 'append')}, qr/42501: a superuser cannot load into the schema of role "etl"/,
	'nor into its own table in a schema of another role');
sql('DROP TABLE second.own; CREATE TABLE public.late (sku text)');

# a name comes to mean something while the load waits
etl(q{CREATE TABLE second.log (what text); CREATE TABLE second.seen (who text);
	CREATE FUNCTION second.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO second.seen VALUES (current_user); RETURN NEW; END';
	CREATE TRIGGER note BEFORE INSERT ON second.log FOR EACH ROW EXECUTE FUNCTION second.note()});
write_file("$root/late.jsonl", qq{{"id": "1", "items": [{"sku": "x"}]}\n});
my $holder = $node->background_psql('postgres');
my $load = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_safe('BEGIN; LOCK TABLE public.late IN ACCESS EXCLUSIVE MODE');
$load->query_until(qr/sent/, qq{\\echo sent
SELECT status FROM fluct.load_table('late.jsonl', 'public.late', '{"columns": {"sku": "\$.id"}, "children": [{"target": "first.log", "rows": "\$.items[*]", "columns": {"what": "\@.sku"}}]}', mode => 'append');
});
ok(poll($node, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%load_table%' AND wait_event_type = 'Lock'}, 1), 'a superuser\'s load waits for its table');
etl('ALTER SCHEMA second RENAME TO first');
$holder->query_safe('COMMIT');
$holder->quit;
$load->query('SELECT 1');
like($load->{stderr}, qr/a superuser cannot load into the tables of role "etl"/, '... and is refused: its child is another role\'s');
$load->quit;
is(sql('REVOKE CREATE ON DATABASE postgres FROM etl; SELECT count(*) FROM first.seen'), 0, '... whose trigger has not run');
sql('CREATE ROLE clerk LOGIN; SELECT fluct.grant_operator($$clerk$$); GRANT USAGE ON SCHEMA shop TO clerk');
fails_like($node, "SELECT fluct.load_table('a.csv', 'shop.articles', force => true)", qr/42501: permission denied for table articles/, 'nobody without rights on the table', as => 'clerk');
is(sql('SELECT count(*) FROM fluct.stat_files'), 0, 'no load is left in stat_files');

$node->stop;
done_testing();
