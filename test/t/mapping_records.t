# Which messages a stream wants, and which rows they have: "where", headers and
# keys, children that are optional, single, members of an object, or in others.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 16);

# ----- where -----

mapped_stream('events', 'CREATE TABLE events (id text PRIMARY KEY, amount numeric NOT NULL)',
	'{"where": {"$.type": ["Placed", "Returned"], "$.v": [1, null], "$.test": [null, false]}, "columns": {"id": "$.id", "amount": "$.a.b"}}', '',
	'{"type": "Placed", "id": "1", "a": {"b": 5}}', '{"type": "Viewed", "id": "2"}', '{"type": "Heartbeat", "a": 3}', '{"a": []}',
	'{"type": "Pl\u0061ced", "id": "3", "a": {"b": 1}, "v": 1.0, "test": false}', '{"type": "Placed", "id": "4", "v": 2}',
	'{"type": "Placed", "id": "5", "test": true}', '{"type": "Returned", "id": "6", "v": null}', '{"type": "Placed"', '[1]',
	'{"type": ["Placed"]}');
is(sql("SELECT string_agg(id || ' ' || amount, ', ' ORDER BY id) FROM events"), '1 5, 3 1', 'what is meant');
is(letters('events'), '7 missing_field $.a.b, 8 invalid_json $.type', 'what is meant and wrong, or is no JSON');
is(sql("SELECT messages, filtered, dead_letters FROM fluct.stat_streams WHERE stream = 'events'"), '11|7|2', 'the others are counted');
is(sql("SELECT topic, partition, filtered FROM fluct.stat_partitions WHERE stream = 'events'"), 'events|0|7', 'by partition');
is(etl("SELECT offsets, stored, dead_letters, filtered, unexplained FROM fluct.reconcile_stream('events')"), '11|2|2|7|0', 'and accounted for');
like(etl("SELECT string_agg(p::text, ' ') FROM fluct.preview_stream('events', 3, 'earliest') p"),
	qr/filtered: the mapping's ""where"" does not mean it/, 'preview_stream says so');
is(etl(q(SELECT status, detail FROM fluct.retry_dead_letters(ARRAY(SELECT id FROM fluct.dead_letters WHERE stream = 'events' AND "offset" = 7), value => '{"type": "Viewed"}'))),
	q(retried|filtered: the mapping's "where" does not mean it), 'and so does a retry');
is(sql("SELECT string_agg(id, ', ' ORDER BY id) FROM events"), '1, 3', 'which stores nothing');

# ----- headers and keys -----

mapped_stream('keys', 'CREATE TABLE keys (off bigint, trace text, n int, raw bytea, id bigint, what text)',
	'{"where": {"kafka.headers.region": "eu"}, "columns": {"off": "kafka.offset", "trace": "kafka.headers.trace", "n": "kafka.headers.n", "raw": "kafka.headers.bin",
		"id": "kafka.key.$.id", "what": "$.what"}}', '',
	{ keyed => 1, headers => { trace => "a\"\xc3\xa9", n => 7, bin => "\xff\\", region => 'eu' } },
	"{\"id\": 5}\t{\"what\": \"x\"}", "nokey\t{}", "7\t{}");
is(sql('SELECT trace, n, raw, id, what FROM keys WHERE off = 0'), "a\"\xc3\xa9|7|\\xff5c|5|x", 'headers, and the JSON of a key');
is(letters('keys'), '1 invalid_json kafka.key.$.id, 2 wrong_type kafka.key.$.id', 'other keys');

# ----- children -----

my $children = '{"columns": {"id": "$.id"}, "children": [
	{"target": "public.kids_l", "rows": "$.line[*]", "single": true, "required": false, "columns": {"id": "$.id", "n": "#", "sku": "@.sku"}},
	{"target": "public.kids_m", "rows": "$.by_name.*", "required": false, "columns": {"id": "$.id", "n": "#", "name": "@key", "sku": "@.sku"}},
	{"target": "public.kids_d", "rows": "$.ships[*].items[*]", "required": false,
		"columns": {"id": "$.id", "n": "#", "ship": "^.no", "nth": "^#", "sku": "@.sku"}}]}';

mapped_stream('kids', 'CREATE TABLE kids (id text PRIMARY KEY); CREATE TABLE kids_l (id text, n int, sku text);
		CREATE TABLE kids_m (id text, n int, name text, sku text); CREATE TABLE kids_d (id text, n int, ship int NOT NULL, nth int, sku text)',
	$children, ", on_conflict => 'update'",
	'{"id": "a", "line": {"sku": "1"}, "by_name": {"x": {"sku": "2"}, "\"y": {"sku": "3"}}, "ships": [{"no": 1, "items": [{"sku": "4"}, {"sku": "5"}]}, {"items": [{"sku": "6"}], "no": 2}]}',
	'{"id": "b"}', '{"id": "c", "line": null, "by_name": null, "ships": null}', '{"id": "d", "line": [], "by_name": {}, "ships": [{"no": 3}]}',
	'{"id": "e", "line": [{"sku": "7"}, {"sku": "8"}]}', '{"id": "f", "line": 5}', '{"id": "g", "by_name": [1]}', '{"id": "h", "ships": [{"no": 1, "items": 5}]}',
	'{"id": "i", "ships": [{"no": 1, "items": []}, {"no": 2, "items": [{"sku": "x"}, {"sku": 5}]}]}', '{"id": "j", "by_name": {"x": 1}}', '{"id": "k", "ships": [{"items": [{}]}]}');
is(sql("SELECT string_agg(id, '' ORDER BY id) FROM kids"), 'abcde', 'parents');
is(sql("SELECT string_agg(concat_ws(' ', id, n, sku), ', ' ORDER BY sku) FROM kids_l"), 'a 1 1, e 1 7, e 2 8', 'an object is an array of one');
is(sql("SELECT string_agg(concat_ws(' ', id, n, name, sku), ', ' ORDER BY sku) FROM kids_m"), 'a 1 x 2, a 2 "y 3', 'members are rows');
is(sql("SELECT string_agg(concat_ws(' ', id, n, ship, nth, sku), ', ' ORDER BY sku) FROM kids_d"), 'a 1 1 1 4, a 2 1 1 5, a 1 2 2 6', 'rows in rows');
is(letters('kids'), '5 wrong_type $.line, 6 wrong_type $.by_name, 7 wrong_type $.ships[0].items, 8 wrong_type $.ships[1].items[1].sku, '
	. '9 wrong_type $.by_name[0], 10 missing_field $.ships[0].no', 'what is not');
$kafka->produce('kids', [ '{"id": "a", "line": {"sku": "9"}}' ]);
ok(caught_up($node, 'kids'), 'an update');
is(sql("SELECT (SELECT count(*) FROM kids_l WHERE id = 'a'), (SELECT count(*) FROM kids_m), (SELECT count(*) FROM kids_d)"), '1|0|0', 'replaces all of them');

# ----- what is said of a wrong mapping -----

sub said
{
	my ($mapping) = @_;

	my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE etl; SELECT fluct.alter_stream('kids', mapping => \$m\$$mapping\$m\$)");
	return $err;
}

like(said('{"where": {}, "columns": {"id": "$.id"}}'), qr/"where" has no condition/, 'no condition');
like(said('{"where": {"$.a": {"x": 1}}, "columns": {"id": "$.id"}}'), qr/condition on \$\.a is not a value/, 'not a value');
like(said('{"where": {"kafka.offset": 1}, "columns": {"id": "$.id"}}'), qr/a condition cannot be on kafka\.offset/, 'on an offset');
like(said('{"wher": {"$.a": 1}, "columns": {"id": "$.id"}}'), qr/unknown key "wher".*Did you mean "where"/s, 'misspelt');
like(said('{"columns": {"id": "kafka.header.x"}}'), qr/invalid path "kafka\.header\.x".*kafka\.headers\.NAME/s, 'a header');
like(said('{"columns": {"id": "$.id"}, "children": [{"target": "kids_l", "rows": "$.l[*]", "columns": {"id": "^.id"}}]}'), qr/invalid path "\^\.id"/, 'no row above');
like(said('{"columns": {"id": "$.id"}, "children": [{"target": "kids_l", "rows": "$.l[*]", "columns": {"id": "@key"}}]}'), qr/invalid path "\@key"/, 'an element has no name');
like(said('{"columns": {"id": "$.id"}, "children": [{"target": "kids_l", "rows": "$.l", "columns": {"id": "$.id"}}]}'), qr/invalid path "\$\.l" in "rows"/, 'not rows');

done_testing();
