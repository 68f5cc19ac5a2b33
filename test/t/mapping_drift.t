# schema_drift: what messages have and nothing maps, what they have no more; apply_schema_drift.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 16);

sub produce
{
	my ($topic, @messages) = @_;

	$kafka->produce($topic, \@messages);
	return caught_up($node, $topic);
}

sub drift
{
	my ($stream, $columns) = @_;

	return sql("SELECT $columns FROM fluct.schema_drift WHERE stream = '$stream'", as => 'etl');
}

sub apply
{
	my ($arguments) = @_;

	return etl("SET client_min_messages = warning; SELECT fluct.apply_schema_drift($arguments)");
}

sub stream
{
	my ($name, $tables, $mapping, $options) = @_;

	$kafka->create_topic($name);
	etl("SET client_min_messages = warning; $tables; SELECT fluct.create_stream('$name', 'shop', '$name', target => '$name', start => true $options, mapping => \$m\$$mapping\$m\$)");
	return;
}

# ----- new fields, with "extra" and a child -----

stream('visits', 'CREATE TABLE visits (id int PRIMARY KEY, page text, extra jsonb); CREATE TABLE hits (id int, n int, x int)',
	'{"where": {"$.kind": "visit"}, "columns": {"id": "$.id", "page": "$.page.name"}, "extra": "extra",
		"children": [{"target": "public.hits", "rows": "$.hits[*]", "required": false, "columns": {"id": "$.id", "n": "#", "x": "@.x"}}]}', '');
ok(produce('visits', map { qq({"kind": "visit", "id": $_, "page": {"name": "p", "size": 2.5}, "hits": [{"x": 1, "y": 2}]) .
		($_ > 3 ? qq(, "seen_at": "2026-11-2${_}T10:00:00Z", "odd key": {"a": [$_]}, "lines": [{"sku": 1}]) : '') . '}' } 1 .. 5), 'messages');
is(drift('visits', 'target, path, drift, topic, partition, "offset", messages, type, sample'), join("\n",
	'public.visits|$.lines|new|visits|0|3|2|jsonb|[{"sku": 1}]',
	'public.visits|$.page.size|new|visits|0|0|5|numeric|2.5',
	'public.visits|$.seen_at|new|visits|0|3|2|timestamp with time zone|"2026-11-24T10:00:00Z"',
	'public.visits|$["odd key"].a|new|visits|0|3|2|bigint[]|[4]',
	'public.hits|$.hits[*].y|new|visits|0|0|5|bigint|2') =~ s/timestamp with time zone/timestamptz/r, 'each path that nothing maps');
is(drift('visits', "statements") =~ /hits/ ? (split(/\n/, drift('visits', 'statements')))[4] : '',
	q{ALTER TABLE public.hits ADD COLUMN y bigint; SELECT fluct.map_column('visits', 'y', '@.y', target => 'public.hits');}, 'the statements');
is(apply(q{'visits', '$.seen_at'}), 2, 'a field of extra');
is(apply(q{'visits', '$.page.size', 'size', 'numeric(6,1)'}), 5, 'a field beside one that is mapped, from the raw copy');
is(apply(q{'visits', '$["odd key"].a'}), 2, 'a field deeper in extra');
is(apply(q{'visits', '$.hits[*].y'}), 0, 'of a child: rows that are there stay');
is(sql(q{SELECT id, to_char(seen_at AT TIME ZONE 'UTC', 'DD'), size, "odd key_a", extra FROM visits WHERE id > 2 ORDER BY 1}),
	qq(3||2.5||\n4|24|2.5|{4}|{"lines": [{"sku": 1}], "odd key": {"a": [4]}}\n5|25|2.5|{5}|{"lines": [{"sku": 1}], "odd key": {"a": [5]}}), 'rows that were there');
is(drift('visits', 'path'), '$.lines', 'are no drift any more');
ok(produce('visits', '{"kind": "visit", "id": 6, "page": {"size": 1}, "seen_at": "2026-11-26T10:00:00Z", "hits": [{"y": 3}]}'), 'the next message');
is(sql(q{SELECT id, size, seen_at IS NOT NULL, (SELECT y FROM hits h WHERE h.id = v.id) FROM visits v WHERE id = 6}), '6|1.0|t|3', 'has them');
is(apply(q{'visits', '$.seen_at'}), 0, 'again: nothing to do');
sql('UPDATE visits SET size = NULL WHERE id = 2');
is(apply(q{'visits', '$.page.size'}), 1, 'again: what is NULL still');

ok(produce('visits', '[1]', '"x"', '{"kind": "visit", "id": 16, "fresh": 1}'), 'messages that are not objects');
is(sql(q{SELECT path FROM fluct.schema_drift WHERE stream = 'visits' AND drift = 'new'}, as => 'etl'), "\$.fresh\n\$.lines", 'hide nothing of the others');
fails_like($node, q{SELECT fluct.map_column('visits', 'x', '@.x')}, qr/42703: mapping: table public\.visits has no column "x"\nHINT:  It is a column of public\.hits: pass target => 'public\.hits'/, "a child's column", as => 'etl');

# ----- beside a worker that is in the middle of a batch -----

ok(produce('visits', '{"kind": "visit", "id": 7, "tag": "a"}'), 'another field');

my $holder = $node->background_psql('postgres', on_error_die => 1, extra_params => [ '-U', 'etl' ]);

$holder->query_safe('BEGIN; LOCK TABLE visits IN ACCESS EXCLUSIVE MODE');
$kafka->produce('visits', [ '{"kind": "visit", "id": 8, "tag": "b"}' ]);
ok(poll($node, "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'visits'::regclass AND NOT granted"), 'the worker waits');
is($holder->query_safe(q{SET client_min_messages = warning; SELECT fluct.apply_schema_drift('visits', '$.tag'); COMMIT}), 1, 'applied in front of it');
$holder->quit;
ok(caught_up($node, 'visits'), 'the worker goes on');
is(sql('SELECT id, tag, extra FROM visits WHERE id IN (7, 8) ORDER BY 1'), "7|a|\n8|b|", 'with the new mapping');

# ----- without extra or a key; what is missing; what changed -----

stream('events', 'CREATE TABLE events (id int, a text, b jsonb, c int)', '{"columns": {"id": "$.id", "a": "$.a", "b": "$.b", "c": "$.never"}}', '');
ok(produce('events', (map { qq({"id": $_, "a": "x", "b": 1}) } 1 .. 20), (map { qq({"id": $_, "b": "two"}) } 21 .. 30)), 'messages');
is(drift('events', 'path, drift, "offset", messages, type, sample, statements'), join("\n",
	q{$.a|missing|20|10|||SELECT fluct.unmap_column('events', 'a');}, q{$.never|missing|0|30|||SELECT fluct.unmap_column('events', 'c');},
	q{$.b|changed|20|10|string|"two"|SELECT fluct.map_column('events', 'b', '$.b', format => 'text');}), 'missing and changed');
ok(produce('events', '{"id": 31, "d": "12"}'), 'a new field');
is(etl(q{SELECT fluct.apply_schema_drift('events', '$.d')}), 0, 'where no key finds the rows');
like(said(q{SELECT fluct.apply_schema_drift('events', '$.d')}, as => 'etl'), qr/NOTICE: +the rows that are in public\.events keep NULL in column "d".*reprocess_stream/s, 'says so');

# ----- several records a message -----

stream('packs', 'CREATE TABLE packs (id int PRIMARY KEY, shop text); CREATE TABLE pieces (id int, sku text)',
	'{"rows": "$.orders[*]", "columns": {"id": "@.id", "shop": "$.shop"}, "children": [{"target": "public.pieces", "rows": "@.lines[*]", "columns": {"id": "^.id", "sku": "@.sku"}}]}', '');
ok(produce('packs', '{"shop": "a", "sent": 1, "orders": [{"id": 1, "note": "x", "lines": [{"sku": "s", "n": 2}]}]}'), 'messages');
is(drift('packs', 'target, path, type, statements'), join("\n",
	q{public.packs|$.orders[*].note|text|ALTER TABLE public.packs ADD COLUMN note text; SELECT fluct.map_column('packs', 'note', '@.note');},
	q{public.packs|$.sent|bigint|ALTER TABLE public.packs ADD COLUMN sent bigint; SELECT fluct.map_column('packs', 'sent', '$.sent');},
	q{public.pieces|$.orders[*].lines[*].n|bigint|ALTER TABLE public.pieces ADD COLUMN n bigint; SELECT fluct.map_column('packs', 'n', '@.n', target => 'public.pieces');}), 'of a record, of the message, of a row in a record');

# ----- an object in place of an array -----

stream('boxes', 'CREATE TABLE boxes (id int); CREATE TABLE things (id int, sku text)',
	'{"rows": "$[*]", "single": true, "columns": {"id": "@.id"}, "children": [{"target": "public.things", "rows": "@.list[*]", "columns": {"id": "^.id", "sku": "@.sku"}}]}', '');
ok(produce('boxes', '[{"id": 1, "a": 1, "list": []}]', '{"id": 2, "b": 2, "list": []}'), 'records, and one that is no array');
is(sql(q{SELECT path FROM fluct.schema_drift WHERE stream = 'boxes' AND drift = 'new'}, as => 'etl'), "\$[*].a\n\$[*].b", 'of each record');
my $crates = '{"columns": {"id": "$.id"}, "children": [{"target": "goods", "rows": "$.in.list[*]", "single": true, "columns": {"id": "$.id", "sku": "@.sku"}}]}';

stream('crates', 'CREATE TABLE crates (id int); CREATE TABLE goods (id int, sku text)', $crates, '');
is(etl("SELECT fluct.create_or_alter_stream('crates', 'shop', 'crates', 'crates', \$m\$$crates\$m\$)"), 'stream "crates" is unchanged', 'the same mapping again is no change');
ok(produce('crates', '{"id": 1, "in": {"list": [{"sku": "a", "n": 1}]}}', '{"id": 2, "in": {"list": {"sku": "b", "n": 2}}}', '{"id": 3, "in": {"list": [{"sku": "a"}]}}'), 'lists, and one thing');
is(sql(q{SELECT target, path, messages FROM fluct.schema_drift WHERE stream = 'crates' AND drift = 'new'}, as => 'etl'), 'public.goods|$.in.list[*].n|2', 'of each element');

is(etl(q{SELECT fluct.apply_schema_drift('crates', '$.in.list[*].n'); SELECT fluct.map_column('crates', 'sku', '@.name', target => 'goods');
	SELECT fluct.unmap_column('crates', 'n', 'goods'); SELECT mapping #>> '{children,0,columns}' FROM fluct.streams WHERE name = 'crates'}) =~ s/^\s+//r =~ s/\n+/ /gr, '0 {"id": "$.id", "sku": "@.name"}',
	"a child's table without its schema is found, whatever is to be done with it");

is(sql(q{SELECT path, drift, type FROM fluct.schema_drift WHERE stream = 'crates' AND drift = 'changed'}, as => 'etl'), '', 'no drift, since the mapping says "single"');
stream('depots', 'CREATE TABLE depots (id int); CREATE TABLE items (id int, sku text)',
	'{"columns": {"id": "$.id"}, "children": [{"target": "public.items", "rows": "$.ships[*].lines[*]", "columns": {"id": "$.id", "sku": "@.sku"}}]}', '');
ok(produce('depots', (map { qq({"id": $_, "ships": [{"lines": [{"sku": "a"}]}, {"lines": []}]}) } 1 .. 3), '{"id": 4, "ships": [{"lines": []}, {"lines": {"sku": "b", "n": 1}}]}',
	'{"id": 5, "ships": {"lines": [{"sku": "c"}]}}', '{"id": 6, "ships": [{"lines": "none"}]}', '{"id": 7, "ships": [{"lines": [{"sku": "d"}]}]}'), 'lists in lists, and objects and a string in their place');
is(drift('depots', 'path, drift, "offset", messages, type, sample'), join("\n", '$.ships|changed|4|1|object|{"lines": [{"sku": "c"}]}',
	'$.ships[*].lines|changed|3|2|object|{"n": 1, "sku": "b"}', '$.ships[*].lines[*].n|new|3|1|bigint|1'), 'each is shown, and hides nothing of the others');
my ($single) = sql(q{SELECT DISTINCT statements FROM fluct.schema_drift WHERE stream = 'depots' AND drift = 'changed'}, as => 'etl');
etl($single);
is(sql(q{SELECT count(*), bool_and(status = 'retried') FROM fluct.retry_dead_letters(stream => 'depots') WHERE reason IS NULL}, as => 'etl'), '2|t', 'the statement takes the objects');
is(drift('depots', 'path'), '$.ships[*].lines[*].n', '... and they are no drift any more');

# ----- rows in an envelope, in each of its forms; without a raw copy -----

stream('changes', 'CREATE TABLE changes (id int PRIMARY KEY, a text)', '{"envelope": "debezium"}', ", on_conflict => 'update'");
ok(produce('changes', '{"op": "c", "after": {"id": 1, "n": 1}, "source": {}}', '{"payload": {"op": "c", "after": {"id": 2, "n": 2}, "source": {}}}',
	'{"id": 3, "n": 3, "__deleted": "false"}', '{"op": "d", "before": {"id": 9, "gone": 1}, "source": {}}', '{"id": 9, "gone": 1, "__deleted": "true"}'), 'messages');
is(drift('changes', 'path, drift, messages'), "\$.a|missing|3\n\$.n|new|3", 'those of the rows');
stream('bare', 'CREATE TABLE bare (id int PRIMARY KEY)', '{"columns": {"id": "$.id"}}', ', keep_raw => false');
fails_like($node, q{SELECT fluct.apply_schema_drift('bare', '$.x')}, qr/42704: stream "bare" has no new field "\$\.x"\n.*which this stream does not keep/s, 'without a raw copy', as => 'etl');
fails_like($node, q{SELECT fluct.apply_schema_drift('bear', '$.x')}, qr/42704: stream "bear" does not exist/, 'no such stream', as => 'etl');

stream('thin', 'CREATE TABLE thin (id int PRIMARY KEY, a text, extra jsonb)', '{"columns": {"id": "$.id", "a": "$.box.a"}, "extra": "extra"}', ", on_conflict => 'update', keep_raw => false");
ok(produce('thin', map { qq({"id": $_, "box": {"a": "x", "b": 1}, "seen_at": "2026-11-2${_}T10:00:00Z", "odd": {"a": $_}}) } 1 .. 3), 'with extra');
is(apply(q{'thin', '$.seen_at'}), 3, 'without a raw copy: from extra');
is(apply(q{'thin', '$.odd.a'}), 3, '... a field deeper in it');
is(sql('SELECT pg_typeof(seen_at), count(*), sum(odd_a), count(seen_at), min(extra::text) FROM thin GROUP BY 1'), 'timestamp with time zone|3|6|3|{"odd": {"a": 1}}', '... of the type that it has there');
is(apply(q{'thin', '$.seen_at'}), 0, '... again');
fails_like($node, q{SELECT fluct.apply_schema_drift('thin', '$.box.b')}, qr/42704: stream "thin" has no new field "\$\.box\.b"\n.*looked for in "extra" and/s, '... but not one that is in neither', as => 'etl');
etl(q{ALTER TABLE thin ADD COLUMN b int; SELECT fluct.map_column('thin', 'b', '$.box.b')});
like(said(q{SELECT fluct.apply_schema_drift('thin', '$.box.b')}, as => 'etl'), qr/NOTICE: +the rows that are in public\.thin keep NULL in column "b".*seek_stream\('thin', 'earliest'/s, '... whose rows stay as they are, which is said');
ok(produce('thin', '{"id": 4, "box": {"b": 2}, "seen_at": "2026-11-27T10:00:00Z", "odd": {"a": 1}}'), 'the next message');
is(sql('SELECT b, odd_a, seen_at IS NOT NULL, extra FROM thin WHERE id = 4'), '2|1|t|', '... has them');
sql('CREATE ROLE planter LOGIN; ALTER TABLE bare OWNER TO planter; ALTER TABLE bare ADD COLUMN extra jsonb; GRANT ALL ON bare TO etl;
	UPDATE fluct.streams SET mapping = mapping || $${"extra": "extra"}$$ WHERE name = $$bare$$');
fails_like($node, q{SELECT fluct.apply_schema_drift('bare', '$.x')}, qr/42501: must be owner of table public\.bare/, "nothing of another's table is run", as => 'etl');

# ----- who may -----

sql("CREATE ROLE analyst LOGIN; SELECT fluct.grant_reader('analyst'); CREATE ROLE stranger LOGIN");
is(sql(q{SELECT count(*) FROM fluct.schema_drift WHERE stream = 'events'}, as => 'analyst'), 3, 'a reader sees it');
fails_like($node, 'SELECT * FROM fluct.schema_drift', qr/42501/, 'a stranger does not', as => 'stranger');
fails_like($node, q{SELECT fluct.apply_schema_drift('visits', '$.lines')}, qr/42501/, 'a reader does not apply it', as => 'analyst');
fails_like($node, q{SELECT fluct.apply_schema_drift('visits', '$.lines')}, qr/42501: .*superuser/, 'nor does a superuser');
fails_like($node, q{SELECT fluct.apply_schema_drift('visits', '$.nothing')}, qr/42704: stream "visits" has no new field "\$\.nothing"/, 'no such field', as => 'etl');
fails_like($node, q{SELECT fluct.apply_schema_drift('visit', '$.nothing')}, qr/42704: stream "visit" does not exist\nHINT:  Did you mean "visits"/, 'no such stream', as => 'etl');

done_testing();
