# suggest_mapping: the statements that it returns work as they are, for topics as people have them.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 16);

# Runs what is suggested for these messages, and waits until the stream has them; returns the statements.  The first may be a
# hash of what the broker's produce() takes besides.
sub suggested
{
	my ($topic, @messages) = @_;
	my %option = ref($messages[0]) eq 'HASH' ? %{ shift(@messages) } : ();

	$kafka->create_topic($topic);
	$kafka->produce($topic, \@messages, %option);

	my $statements = etl("SELECT fluct.suggest_mapping('shop', '$topic')");

	etl("SET client_min_messages = warning; $statements; SELECT fluct.start_stream('$topic')");
	ok(caught_up($node, $topic), "$topic: all went through");
	is(letters($topic), '', "$topic: no dead letters");
	return $statements;
}

# The columns of a table and their types.
sub columns
{
	my ($table) = @_;

	return sql("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'sales.$table'::regclass AND attnum > 0");
}

suggested('parcels', map {
	qq({"id": $_, "ref": "00000000-0000-0000-0000-00000000000$_", "sent_at": "2026-11-2${_}T10:00:00Z", "weight": $_.5, "fragile": true,
		"day": "2026-11-2$_", "price": $_, "tax": "1.$_", "seen": 170000000$_, "updated": 170000000000$_, "note": "n$_", "tags": ["a", "b"], "sizes": [1, 2],
		"to": {"name": "N$_", "zip code": "0100$_", "geo": {"lat": 5$_.25}}, "odd.key": "o", "mixed": @{[ $_ % 2 ? '"x"' : 7 ]}, "any": @{[ $_ % 2 ? '{"a": 1}' : 'null' ]},
		"which": @{[ $_ % 2 ? '{"a": 1}' : '"b"' ]}, "empty": [], "extra": 5, "line's": "l",
		"items": [{"sku": "s$_", "n": 1, "id": 9, "attributes": [{"k": 1}]}, {"sku": "t", "n": 2}]}) =~ s/\n\s*//gr } 1 .. 4);
is(columns('parcels'), 'id bigint, any_a bigint, day date, empty jsonb, extra_1 bigint, fragile boolean, mixed text, note text, price numeric, ref uuid, seen bigint, '
	. 'sent_at timestamp with time zone, sizes bigint[], tags text[], tax numeric, to_geo_lat numeric, to_name text, to_zip code text, updated timestamp with time zone, weight numeric, '
	. "which jsonb, line's text, odd.key text, extra jsonb", 'types');
is(sql(q{SELECT to_jsonb(p) - 'ref' FROM sales.parcels p WHERE id = 1}), '{"id": 1, "day": "2026-11-21", "tax": 1.1, "note": "n1", "seen": 1700000001, "tags": ["a", "b"], "any_a": 1, '
	. '"empty": [], "extra": null, "mixed": "x", "price": 1, "sizes": [1, 2], "which": {"a": 1}, "line\'s": "l", "weight": 1.5, "extra_1": 5, "fragile": true, "odd.key": "o", "sent_at": "2026-11-21T10:00:00+00:00", '
	. '"to_name": "N1", "updated": "2023-11-14T22:13:20.001+00:00", "to_geo_lat": 51.25, "to_zip code": "01001"}', 'a row');
is(columns('parcels_items'), 'parcels_id bigint, line_number integer, id bigint, n bigint, sku text', 'an array of objects is a child');
is(sql(q{SELECT string_agg(concat_ws(' ', parcels_id, line_number, sku, n, id), ', ' ORDER BY parcels_id, line_number) FROM sales.parcels_items WHERE parcels_id < 3}),
	'1 1 s1 1 9, 1 2 t 2, 2 1 s2 1 9, 2 2 t 2', 'and its rows');
is(sql(q{SELECT string_agg(concat_ws(' ', parcels_id, items_line_number, line_number, k), ', ' ORDER BY parcels_id) FROM sales.parcels_items_attributes}), '1 1 1 1, 2 1 1 1, 3 1 1 1, 4 1 1 1', 'so is one in it');

# digits and a point in a string are a number, but not where the name says that they are none
suggested('releases', '{"id": 1, "version": "2.1", "user_id": "12.50", "appVersion": "1.0", "paid": "7.50", "lib": {"code": "1.5"}}');
is(columns('releases'), 'id bigint, "appVersion" text, lib_code text, paid numeric, user_id text, version text, extra jsonb' =~ tr/"//dr, 'versions, ids and codes are texts');

# without an id: the place in Kafka; a table and a stream of that name are there
etl('CREATE TABLE sales.visits (x int)');
like(suggested('visits', '{"user_id": 1, "page": "a", "order_lines": [{"n": 1}]}', '{"user_id": 1, "page": "b"}'), qr/^-- no field is an id that differs/m, 'no key');
is(sql(q{SELECT string_agg(concat_ws(' ', kafka_partition, kafka_offset, user_id, page), ', ' ORDER BY kafka_offset) FROM sales.visits_2}), '0 0 1 a, 0 1 1 b', 'the place is the key');
is(sql('SELECT kafka_partition, kafka_offset, line_number, n FROM sales.visits_order_lines'), '0|0|1|1', 'of the child, too');
like(etl(q{SELECT fluct.suggest_mapping('shop', 'visits')}), qr/CREATE TABLE sales\.visits_3 .*create_stream\('visits_2'/s, 'again: other names');

# behind a registry's prefix; several topics; what is not JSON
like(suggested('framed', map { pack('CN', 0, 7) . qq({"order_id": "o$_"}) } 1 .. 3), qr/framing => 'registry'/, 'framing');
is(sql(q{SELECT string_agg(order_id, ' ' ORDER BY 1) FROM sales.framed}), 'o1 o2 o3', 'is skipped');
$kafka->create_topic($_) foreach 'm-1', 'm-2', 'empty', 'broken';
$kafka->produce('m-1', [ '{"a": 1}', 'no json', '[1]' ]);
$kafka->produce('m-2', [ '{"a": 2}' ]);
$kafka->produce('broken', [ 'x' ]);
like(etl(q{SELECT fluct.suggest_mapping('shop', '^m-')}), qr/-- 2 more are not JSON objects.*PRIMARY KEY \(kafka_topic, kafka_partition, kafka_offset\)/s, 'several topics');
fails_like($node, q{SELECT fluct.suggest_mapping('shop', 'empty')}, qr/P0002: topic "empty" holds no messages/, 'no messages', as => 'etl');
fails_like($node, q{SELECT fluct.suggest_mapping('shop', 'broken')}, qr/of 1 messages of topic "broken" none is a JSON object/, 'no JSON', as => 'etl');
fails_like($node, q{SELECT fluct.suggest_mapping('shop', 'nowhere')}, qr/cannot read topic "nowhere": unknown_topic/, 'no topic', as => 'etl');
fails_like($node, q{SELECT fluct.suggest_mapping('shop', 'visits')}, qr/42501/, 'not for a superuser');

# names that a producer chose: nothing of them is run
my @evil = ("\\n; DROP TABLE sales.visits; --", "'); DROP TABLE sales.visits; --", 'a\\"b', '$m$', '\\u202e');
suggested('evil', '{"id": 1, ' . join(', ', map { "\"$_\": 1" } @evil) . ', "": 2}', '{"id": 2}');
is(sql(q{SELECT count(*) FROM sales.visits}), '0', 'a name is a name');
is(columns('evil') =~ tr/,//, 5, 'what is not printed as it is becomes no column');

# arrays of records, with and without an id
suggested('lists', '[{"id": 1, "at": "2026-01-02", "lines": [{"sku": "a"}, {"sku": "b"}]}, {"id": 2, "lines": []}]', '[]', '[{"id": 3, "lines": [{"sku": "c"}]}]');
is(sql(q{SELECT string_agg(concat_ws(' ', l.id, at, line_number, sku), ', ' ORDER BY l.id, line_number) FROM sales.lists l LEFT JOIN sales.lists_lines ON lists_id = l.id}), '1 2026-01-02 1 a, 1 2026-01-02 2 b, 2, 3 1 c', 'arrays of records');
suggested('nameless', '[{"v": 1, "lines": [{"sku": "a"}]}, {"v": 1, "lines": [{"sku": "b"}]}]');
is(sql(q{SELECT string_agg(concat_ws(' ', kafka_offset, record_number, line_number, sku), ', ' ORDER BY sku) FROM sales.nameless_lines}), '0 1 1 a, 0 2 1 b', '... known by their numbers');

# changes of a table, which the target becomes
my $change = sub { my ($op, $before, $after) = @_; return qq({"schema":{"type":"struct"},"payload":{"op":"$op","before":$before,"after":$after,"source":{"lsn":1},"ts_ms":1770000000456}}) };
my $of = sub { return qq({"schema":{"type":"struct"},"payload":{"shop":"s","no":$_[0]}}\t) };
like(suggested('changes', { keyed => 1 }, $of->(1) . $change->('c', 'null', '{"no":1,"shop":"s","name":"a"}'), $of->(1) . $change->('u', 'null', '{"no":1,"shop":"s","name":"b"}'),
	$of->(2) . $change->('c', 'null', '{"no":2,"shop":"s","name":"c"}'), $of->(2) . $change->('d', '{"no":2,"shop":"s","name":null}', 'null'), $of->(2) =~ s/\t//r),
	qr/look like changes of rows.*PRIMARY KEY \(no, shop\).*on_conflict => 'update'.*"envelope": "debezium"/s, 'changes');
is(sql('SELECT shop, no, name FROM sales.changes'), 's|1|b', '... by the key of the messages');
suggested('flattened', { keyed => 1 }, qq({"id":1}\t{"id":1,"name":"a","__deleted":"false"}), qq({"id":2}\t{"id":2,"name":"b","__deleted":"false"}), qq({"id":1}\t{"id":1,"name":null,"__deleted":"true"}));
is(sql('TABLE sales.flattened'), '2|b|', 'flattened ones');
like(suggested('keyless', $change->('r', 'null', '{"id":1}'), $change->('r', 'null', '{"id":2}')),
	qr/Kafka's keys do not have the key of the rows: .*"envelope": "debezium".*PRIMARY KEY \(kafka_partition, kafka_offset\)/s, 'without a key they are messages');
$kafka->produce('keyless', [ $change->('u', '{"id":1}', '{"id":1}'), $change->('d', '{"id":1}', 'null') ]);
ok(caught_up($node, 'keyless'), '... the next changes of a row');
is(sql(q{SELECT string_agg(payload_op || coalesce(payload_after_id, 0), ' ' ORDER BY kafka_offset) FROM sales.keyless}) . letters('keyless'), 'r1 r2 u1 d0', '... are stored, too');

# as Kafka Connect's JsonConverter writes with its schema
suggested('connected', map { qq({"schema": {"type": "struct", "fields": [{"field": "id", "type": "int64"}]}, "payload": {"id": $_, "at": 170000000000$_, "name": "n$_"}}) } 1, 2);
is(columns('connected') . ' | ' . sql('SELECT id, at, name FROM sales.connected WHERE id = 2'),
	'id bigint, at timestamp with time zone, name text, extra jsonb | 2|2023-11-14 22:13:20.002+00|n2', 'what is beside a schema');

done_testing();
