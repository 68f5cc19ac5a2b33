# Targets other than the orders: types, defaults, Kafka's own fields, conflict
# rules, relations of every kind, and who is to blame when a table refuses.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use JSON::PP;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 24);
my $json = JSON::PP->new->canonical;

# A stream of its own name's topic into a table of its own name; returns once
# the messages are through.  Options are create_stream's, as SQL.
sub fill
{
	my ($name, $messages, %option) = @_;
	my $role = delete $option{role} // 'etl';
	my $partition = delete $option{in} // 0;
	my %produce = %{ delete $option{produce} // {} };

	$option{mapping} = "'" . $json->encode($option{mapping}) . "'"
	  if ref($option{mapping});
	$option{target} //= "'$name'";
	my $options = join('', map { ", $_ => $option{$_}" } sort keys %option);

	$kafka->create_topic($name, 2);
	$kafka->produce($name, $messages, partition => $partition, %produce);
	sql("SET client_min_messages = warning;
		SELECT fluct.create_stream('$name', 'shop', '$name', start => true,
			keep_raw => false $options)", as => $role);
	caught_up($node, $name) or diag(sql("SELECT concat_ws(' ', state, reason,
		detail) FROM fluct.stat_streams WHERE stream = '$name'"));
	return;
}

sub refused
{
	my ($target, $mapping, $like, $name) = @_;

	$mapping = ref($mapping) ? "'" . $json->encode($mapping) . "'" : 'NULL';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return fails_like($node, "SELECT fluct.create_stream('refused', 'shop',
		'refused', '$target', $mapping, keep_raw => false)", $like, $name, as => 'etl');
}

# ----- types -----

etl(q{
	CREATE DOMAIN positive AS int CHECK (value > 0);
	CREATE TYPE mood AS ENUM ('sad', 'ok');
	CREATE TABLE types (u uuid, i2 smallint, i4 int, i8 bigint,
		n numeric(10, 2), f4 real, f8 double precision, b boolean, j jsonb,
		js json, d date, ts timestamp, tz timestamptz, ms timestamptz,
		s timestamptz, v varchar(5), c char(3), t text, by bytea, p positive,
		nt numeric, it int);
	CREATE TABLE others (u uuid, m mood, ip inet, a int[], n numeric(10, 2),
		v varchar(5), p positive, tz timestamptz, r int4range);
});
my %types = map { $_ => "\$.$_" }
  qw(u i2 i4 i8 n f4 f8 b j js d ts tz v c t by p);
$types{ms} = { path => '$.ms', format => 'epoch_ms' };
$types{s} = { path => '$.s', format => 'epoch_s' };
$types{nt} = { path => '$.nt', format => 'text' };
$types{it} = { path => '$.it', format => 'text' };
my $typed = '{"u": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "i2": -32768,
	"i4": 2147483647, "i8": -9223372036854775808, "n": 1.005, "f4": 0.5,
	"f8": 1e-7, "b": true, "j": {"b": 1, "a": [1.10]}, "js": {"b": 1, "a": 2},
	"d": "2024-02-29", "ts": "2024-02-29T01:02:03", "tz":
	"2024-02-29T01:02:03+01:00", "ms": 1700000000123, "s": 1700000000,
	"v": "five5", "c": "ab", "t": "\u00fc \ud83d\ude00 \"", "by": "bytes",
	"p": 1, "nt": "12.50", "it": "42"}' =~ s/\n\s*/ /gr;
fill('types', [
	$typed,
	'{}',
	'{"v": "longer"}', '{"p": 0}', '{"u": "no uuid"}', '{"i2": 32768}',
	'{"i8": 9223372036854775808}', '{"b": "true"}', '{"b": 1}',
	'{"d": "2023-02-29"}', '{"d": "2024-02-29T00:00:00"}', '{"ms": "one"}',
	'{"nt": 12.5}', '{"nt": "NaN"}', '{"it": "4.5"}', '{"f4": 1e39}',
	'{"n": 123456789.12}', '{"t": 1}', '{"c": "abcd"}'
	], mapping => { columns => \%types });
is(sql('SELECT * FROM types WHERE u IS NOT NULL'), join('|',
		'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', -32768, 2147483647,
		'-9223372036854775808', '1.01', '0.5', '1e-07', 't',
		'{"a": [1.10], "b": 1}', '{"b": 1, "a": 2}', '2024-02-29',
		'2024-02-29 01:02:03', '2024-02-29 00:02:03+00',
		'2023-11-14 22:13:20.123+00', '2023-11-14 22:13:20+00', 'five5',
		'ab ', "\xc3\xbc \xf0\x9f\x98\x80 \"", '\x6279746573', 1, '12.50', 42),
	'values of many types');
is(sql('SELECT count(*), count(i4) FROM types'), '2|1', 'absent is NULL');
is(letters('types'), join(', ',
		'2 too_long $.v', '3 constraint $.p', '4 wrong_type $.u',
		'5 out_of_range $.i2', '6 out_of_range $.i8', '7 wrong_type $.b',
		'8 wrong_type $.b', '9 bad_timestamp $.d', '10 bad_timestamp $.d',
		'11 wrong_type $.ms', '12 wrong_type $.nt', '13 not_finite $.nt',
		'14 wrong_type $.it', '15 out_of_range $.f4', '16 out_of_range $.n',
		'17 wrong_type $.t', '18 too_long $.c'),
	'what does not fit');

fill('others', [
	'{"u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "m": "ok",
	  "ip": "10.0.0.1", "a": "{1,2}", "n": 1.005, "v": "five5", "p": 1,
	  "tz": "2024-02-29T01:02:03", "r": "[1,3)"}' =~ s/\n\s*/ /gr,
	'{"m": "angry"}', '{"ip": "10.0.0.256"}', '{"v": "longer"}', '{"p": 0}',
	'{"m": null}' ]);
is(sql('SELECT * FROM others WHERE u IS NOT NULL'),
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|ok|10.0.0.1|{1,2}|1.01|five5|1|'
	  . '2024-02-29 01:02:03+00|[1,3)',
	'types that only their input function knows');
is(sql('SELECT count(*) FROM others'), 2, 'and NULL');
is(letters('others'),
	'1 wrong_type $.m, 2 wrong_type $.ip, 3 too_long $.v, 4 constraint $.p',
	'what does not fit');

# ----- required, default, NULL -----

etl(q{CREATE TABLE defaults (n int, a int DEFAULT 1, b int NOT NULL,
	c text NOT NULL DEFAULT 'column', d text, e int[] DEFAULT '{1,2}',
	f timestamptz DEFAULT '2000-01-01Z')});
fill('defaults', [
	'{"n": 1, "b": 1}', '{"n": 2, "a": null, "b": 2, "d": null}',
	'{"n": 3, "a": 3, "b": 3, "c": "own", "d": "d",
	  "f": "2001-01-01T00:00:00Z"}' =~ s/\n\s*/ /gr,
	'{"n": 4}', '{"n": 5, "b": null}', '{"n": 6, "b": 6, "c": null}', '{"b": 7}'
	], mapping => { columns => { n => { path => '$.n', required => JSON::PP::true },
		a => '$.a', b => '$.b', c => '$.c', f => '$.f',
		d => { path => '$.d', default => 'mapping' } } });
is(sql("SELECT * FROM defaults ORDER BY n"), join("\n",
		'1|1|1|column|mapping|{1,2}|2000-01-01 00:00:00+00',
		'2||2|column||{1,2}|2000-01-01 00:00:00+00',
		'3|3|3|own|d|{1,2}|2001-01-01 00:00:00+00'),
	'absent: the default; null: NULL; unmapped: the default');
is(letters('defaults'),
	'3 missing_field $.b, 4 null_field $.b, 5 null_field $.c, 6 missing_field $.n',
	'what is required');

# ----- Kafka's own fields -----

etl(q{CREATE TABLE kafka (o bigint, p int, t timestamptz, tn bigint, k text,
	kb bytea, topic text, h jsonb, v text)});
fill('kafka', [ "key\t{\"v\": \"a\"}", "\t{\"v\": \"b\"}" ], in => 1,
	produce => { keyed => 1, headers => { h => 'x' },
		timestamp => 1700000000123 },
	mapping => { columns => { o => 'kafka.offset', p => 'kafka.partition',
		t => 'kafka.timestamp', tn => 'kafka.timestamp', k => 'kafka.key',
		kb => 'kafka.key', topic => 'kafka.topic', h => 'kafka.headers',
		v => '$.v' } });
is(sql('SELECT * FROM kafka ORDER BY o'), join("\n", map {
		"$_->[0]|1|2023-11-14 22:13:20.123+00|1700000000123|$_->[1]|$_->[2]|"
		. "kafka|[{\"key\": \"h\", \"value\": \"x\"}]|$_->[3]" }
		[ 0, 'key', '\x6b6579', 'a' ], [ 1, '', '\x', 'b' ]),
	'kafka.*');

# ----- conflicts -----

etl('CREATE TABLE conflict (id text PRIMARY KEY, n int)');
my %conflict = (mapping => { columns => { id => '$.id', n => '$.n' } },
	target => "'conflict'");
my @pairs = map { qq({"id": "$_->[0]", "n": $_->[1]}) }
  ([ 'a', 1 ], [ 'b', 1 ], [ 'a', 2 ], [ 'c', 1 ], [ 'a', 3 ]);
fill('ignoring', \@pairs, %conflict);
is(sql('SELECT id, n FROM conflict ORDER BY id'), "a|1\nb|1\nc|1",
	'on_conflict nothing: the first stays');
is(sql("SELECT rows, duplicates FROM fluct.stat_streams
		WHERE stream = 'ignoring'"),
	'3|2', 'the others are duplicates');
fill('updating', \@pairs, %conflict, on_conflict => "'update'");
is(sql('SELECT id, n FROM conflict ORDER BY id'), "a|3\nb|1\nc|1",
	'on_conflict update: the last stays');
is(sql("SELECT rows, duplicates, messages FROM fluct.stat_streams
		WHERE stream = 'updating'"),
	'3|2|5', 'of a batch');
sql('TRUNCATE conflict');
fill('erring', \@pairs, %conflict, on_conflict => "'error'");
is(sql('SELECT id, n FROM conflict ORDER BY id'), "a|1\nb|1\nc|1",
	'on_conflict error: the first stays');
is(letters('erring'), '2 constraint, 4 constraint',
	'the others are dead letters');
fill('orders', [
	an_order('a', order_lines => '[' . join(', ', map {
		qq({"product_id": "p$_", "volume": $_, "price": 1}) } 1 .. 5) . ']'),
	an_order('b') ], target => "'sales.orders'", on_conflict => "'update'");
$kafka->produce('orders', [ an_order('a', amount => 7,
	timestamp => '"2026-02-02T00:00:00Z"') ], partition => 0);
ok(caught_up($node, 'orders'), 'an order comes again');
is(sql("SELECT o.order_id, o.amount, o.ordered_at = l.ordered_at, l.line_number,
			l.product_id
		FROM sales.orders o JOIN sales.order_lines l USING (order_id)
		ORDER BY 1, 4"),
	"a|7|t|1|p1\nb|10.5|t|1|p1", 'on_conflict update replaces its lines');
etl('CREATE TABLE keyless (n int)');
fails_like($node, "SELECT fluct.create_stream('refused', 'shop', 'r',
		'keyless', on_conflict => 'update', keep_raw => false)",
	qr/ERROR:  22023: on_conflict update needs a unique key, and public\.keyless has none/,
	'update without a key', as => 'etl');

# ----- kinds of relations -----

etl(q{
	CREATE TABLE parted (n int, t text) PARTITION BY RANGE (n);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
	CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
	CREATE TABLE below (n int, seen text);
	CREATE VIEW instead AS SELECT n FROM below;
	CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.below VALUES (NEW.n * 10, 'by trigger');
		RETURN NEW;
	END $$;
	CREATE TRIGGER instead INSTEAD OF INSERT ON instead
		FOR EACH ROW EXECUTE FUNCTION instead();
	CREATE VIEW simple AS SELECT n FROM below;
	CREATE TABLE ruled (n int);
	CREATE RULE also AS ON INSERT TO ruled
		DO ALSO INSERT INTO below VALUES (NEW.n, 'by rule');
	CREATE TABLE "Odd ""name" (n int, "a ""b" text);
	CREATE TABLE generated (n int, twice int GENERATED ALWAYS AS (n * 2) STORED,
		id int GENERATED ALWAYS AS IDENTITY);
});
my @numbers = map { qq({"n": $_}) } (1, 11, 21, 2);
fill('parted', [ map { qq({"n": $_}) } (1, 11, 2) ]);
is(sql('SELECT tableoid::regclass, n FROM parted ORDER BY n'),
	"parted_1|1\nparted_1|2\nparted_2|11", 'a partitioned table');
is(letters('parted'), '', 'without a dead letter');
fill('instead', [@numbers]);
is(sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM below
		WHERE seen = 'by trigger'"),
	'10 20 110 210', 'a view with an INSTEAD OF trigger');
fill('simple', [@numbers]);
is(sql('SELECT count(*) FROM below WHERE seen IS NULL'), 4,
	'a view that is updatable by itself');
fill('ruled', [@numbers]);
is(sql("SELECT (SELECT count(*) FROM ruled), count(*) FROM below
		WHERE seen = 'by rule'"),
	'4|4', 'a table with a rule');
fill('odd', [ '{"n": 1, "a \\"b": "x"}' ], target => q('"Odd ""name"'));
is(sql('SELECT * FROM "Odd ""name"'), '1|x', 'names that need quotes');
fill('generated', [@numbers]);
is(sql('SELECT string_agg(n || \' \' || twice || \' \' || id, \', \' ORDER BY id)
		FROM generated'),
	'1 2 1, 11 22 2, 21 42 3, 2 4 4', 'generated columns');

etl('CREATE TABLE derived (n int, "when" timestamptz, extra jsonb)');
like(said("SELECT fluct.create_stream('derived', 'shop', 'parted',
		'derived', keep_raw => false, start => true)", as => 'etl'),
	qr/NOTICE:  mapping of stream "derived": \{"extra": "extra", "columns": \{"n": "\$\.n", "when": "\$\.when"\}\}/,
	'a derived mapping is shown');
$kafka->produce('parted',
	['{"n": 9, "when": "2024-01-01T00:00:00", "x": [1]}'], partition => 0);
ok(caught_up($node, 'derived'), 'and works');
is(sql('SELECT * FROM derived WHERE extra IS NOT NULL'),
	'9|2024-01-01 00:00:00+00|{"x": [1]}', 'with the rest in extra');

# Row security, for a role that it binds.
sql(q{
	CREATE ROLE clerk LOGIN;
	SELECT fluct.grant_operator('clerk');
	GRANT USAGE ON FOREIGN SERVER shop TO clerk;
	CREATE TABLE secured (n int);
	GRANT INSERT, SELECT ON secured TO clerk;
	ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
	CREATE POLICY small ON secured FOR INSERT TO clerk WITH CHECK (n < 20)});
fill('secured', [ '{"n": 1}', '{"n": 2}' ], role => 'clerk');
is(sql('SELECT count(*) FROM secured'), 2, 'a table with row security');
$kafka->produce('secured', [ '{"n": 20}', '{"n": 3}' ], partition => 0);
ok(caught_up($node, 'secured'), 'a row that its policy refuses does not stop the stream');
is(letters('secured'), '2 constraint', 'it is a dead letter');
is(sql('SELECT string_agg(n::text, $$ $$ ORDER BY n) FROM secured'), '1 2 3', 'and the others are stored');

# ----- refused -----

etl(q{
	CREATE FOREIGN TABLE far (n int) SERVER shop;
	CREATE TABLE half_far (n int) PARTITION BY LIST (n);
	CREATE FOREIGN TABLE far_part PARTITION OF half_far FOR VALUES IN (1)
		SERVER shop;
	CREATE TABLE late (n int, CONSTRAINT n_once UNIQUE (n) DEFERRABLE
		INITIALLY DEFERRED);
	CREATE SEQUENCE counter});
refused('far', undef,
	qr/ERROR:  42809: public\.far cannot be the target.*DETAIL:  A foreign table commits on its own/s,
	'a foreign table');
refused('half_far', undef,
	qr/ERROR:  42809: public\.half_far cannot be the target.*DETAIL:  Its partition far_part is a foreign table/s,
	'a foreign partition');
refused('counter', undef, qr/ERROR:  42809: public\.counter cannot be the target/,
	'a sequence');
refused('late', undef,
	qr/ERROR:  0A000: public\.late has the initially deferred constraint "n_once"/,
	'a deferred constraint, by name');
refused('generated', { columns => { twice => '$.n' } },
	qr/ERROR:  22023: mapping: column "twice" of public\.generated is generated/,
	'a generated column');
refused('derived', { columns => { n => '$.n' }, extra => 'when' },
	qr/ERROR:  22023: mapping: extra column "when" of public\.derived is not of type jsonb/,
	'extra that is no jsonb');
refused('derived', { columns => { n => '@.n' } },
	qr/ERROR:  22023: mapping: column "n" .* has the invalid path "\@\.n".*HINT:/s,
	'@ outside of a child');
refused('derived', { columns => { n => { path => '$.n', format => 'epoch_ms' } } },
	qr/ERROR:  22023: mapping: column "n" .* cannot have the format "epoch_ms".*type integer/s,
	'a format of another type');
refused('derived', { columns => { n => { path => '$.n', default => 'x' } } },
	qr/ERROR:  22023: mapping: column "n" .* cannot hold its "default" x/,
	'a default that does not fit');
refused('derived', { columns => { n => { path => '$.n', requierd => 1 } } },
	qr/ERROR:  22023: mapping: unknown key "requierd" in n/, 'a misspelt key');
refused('derived', { columns => { n => '$.n' }, children => [ {
		target => 'derived', columns => { n => '@.n' } } ] },
	qr/ERROR:  22023: mapping: a child needs "target" and "rows"/,
	'a child without rows');
refused('derived', { columns => { n => '$.n' }, children => [ {
		target => 'nosuch', rows => '$.a[*]', columns => { n => '@.n' } } ] },
	qr/ERROR:  42P01: .*nosuch/, 'a child that is not there');
refused('derived', { columns => {} }, qr/ERROR:  22023: .*has no "columns"/,
	'no columns');

# ----- who is to blame -----

etl(q{
	CREATE TABLE checked (n int, CONSTRAINT n_odd CHECK (n % 97 <> 0));
	CREATE TABLE raising (n int);
	CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.n % 97 = 0 THEN RAISE 'no multiple of 97'; END IF;
		IF NEW.n % 89 = 0 THEN RETURN NULL; END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER raising BEFORE INSERT ON raising
		FOR EACH ROW EXECUTE FUNCTION raising();
});
my @many = map { qq({"n": $_}) } 1 .. 400;
fill('checked', \@many);
is(sql('SELECT count(*), count(*) FILTER (WHERE n % 97 = 0) FROM checked'),
	'396|0', 'a CHECK: all others are stored');
is(letters('checked'), join(', ', map { "$_ constraint" } 96, 193, 290, 387),
	'and the guilty messages are dead letters');
is(sql("SELECT DISTINCT sqlstate, detail ~ 'n_odd' FROM fluct.dead_letters
		WHERE stream = 'checked'"),
	'23514|t', 'which name the constraint');
fill('raising', \@many);
is(sql('SELECT count(*) FROM raising'), 392, 'a trigger: all others are stored');
is(letters('raising'), join(', ', map { "$_ trigger" } 96, 193, 290, 387),
	'and the guilty messages are dead letters');
is(sql("SELECT DISTINCT sqlstate, detail FROM fluct.dead_letters
		WHERE stream = 'raising'"),
	'P0001|no multiple of 97', 'with its words');

# of a trigger's errors, those that time heals are nobody's fault
etl(q{
	CREATE TABLE moody (n int);
	CREATE FUNCTION moody() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.n = 2 THEN RAISE SQLSTATE '42P01'; END IF;
		IF NEW.n = 5 THEN RAISE SQLSTATE 'XX000'; END IF;
		IF NEW.n = 3 THEN RAISE SQLSTATE '53100'; END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER moody BEFORE INSERT ON moody
		FOR EACH ROW EXECUTE FUNCTION moody();
});
fill('moody', [ '{"n": 1}', '{"n": 2}', '{"n": 5}' ]);
is(letters('moody'), '1 trigger, 2 trigger', "class 42 and XX000 in a trigger are the message's fault");
foreach my $state ('53100', '40001', '57014')
{
	sql("CREATE OR REPLACE FUNCTION moody() RETURNS trigger LANGUAGE plpgsql AS
		\$\$ BEGIN RAISE SQLSTATE '$state'; END \$\$");
	$kafka->produce('moody', ['{"n": 4}'], partition => 0);
	ok(await_state($node, 'moody', 'backing_off'), "$state in it is waited out");
	is(sql("SELECT count(*) FROM fluct.dead_letters WHERE stream = 'moody'"), 2,
		'without a dead letter');
	sql("CREATE OR REPLACE FUNCTION moody() RETURNS trigger LANGUAGE plpgsql AS
		\$\$ BEGIN RETURN NEW; END \$\$");
	ok(caught_up($node, 'moody'), 'and the message goes in when it is over');
}
is(sql('SELECT count(*) FROM moody'), 4, 'with nothing lost or doubled');

# what an expression of the table cannot read
sql('CREATE EXTENSION ltree');
etl(q{
	CREATE TABLE paths (n int, t text, p ltree GENERATED ALWAYS AS (t::ltree) STORED);
	CREATE TABLE words (n int, t text, v tsvector GENERATED ALWAYS AS (t::tsvector) STORED);
	CREATE TABLE names (n int, t text, CHECK (cardinality(parse_ident(t)) > 0))});
fill('words', [ '{"n": 1, "t": "a b"}', q({"n": 2, "t": "it's ' odd"}), '{"n": 3}' ]);
is(letters('words'), '1 wrong_type', 'a syntax error in a generated column');
fill('names', [ '{"n": 1, "t": "a.b"}', '{"n": 2, "t": "1.."}' ]);
is(letters('names'), '1 out_of_range', 'and what a CHECK cannot read');
fill('paths', [ '{"n": 1, "t": "a.b"}', '{"n": 2, "t": "a..b"}', '{"n": 3, "t": "' . 'x' x 2000 . '"}' ]);
is(letters('paths'), '1 wrong_type, 2 too_long', 'a syntax error of ltree, and a label that is too long');
is(sql('SELECT count(*) FROM words') . sql('SELECT count(*) FROM names'), 21, 'the others are stored');
etl("SELECT fluct.drop_stream('words'), fluct.drop_stream('names'), fluct.drop_stream('paths')");

# what a function raises that a CHECK or a domain calls
etl(q{
	CREATE FUNCTION picky(n int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		CASE n WHEN 1, 4 THEN RETURN true; WHEN 2 THEN RAISE 'not two'; END CASE;
	END $$;
	CREATE DOMAIN picked_int AS int CHECK (picky(VALUE));
	CREATE TABLE picky (n int, CHECK (picky(n)));
	CREATE TABLE picked (n picked_int)});
foreach my $case ([ 'picky', '' ], [ 'picked', ' $.n' ])
{
	my ($name, $path) = @$case;

	fill($name, [ map { qq({"n": $_}) } 1 .. 4 ]);
	is(letters($name), "1 constraint$path, 2 constraint$path", "$name: what its function raises");
	is(sql("SELECT string_agg(sqlstate, ' ' ORDER BY sqlstate) FROM fluct.dead_letters WHERE stream = '$name'"), '20000 P0001', '  with the SQLSTATE');
	is(sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM $name"), '1 4', '  the others are stored');
	etl("SELECT fluct.drop_stream('$name')");
}

# what only the operator can give is nobody's fault either, and fails the stream
etl(q{
	CREATE TABLE ranges (n int) PARTITION BY RANGE (n);
	CREATE TABLE ranges_1 PARTITION OF ranges FOR VALUES FROM (0) TO (10);
	CREATE SEQUENCE few MINVALUE 1 MAXVALUE 2 START 2;
	CREATE TABLE numbered (n int, id int DEFAULT nextval('few'))});
fill('ranges', ['{"n": 1}']);
fill('numbered', ['{"n": 1}'], mapping => { columns => { n => '$.n' } });
my %gives = (
	ranges => [
		'23514',
		'CREATE TABLE ranges_2 PARTITION OF ranges FOR VALUES FROM (10) TO (20)' ],
	numbered => [ '2200H', 'ALTER SEQUENCE few MAXVALUE 9' ]);
foreach my $name (sort keys %gives)
{
	my ($state, $gift) = @{ $gives{$name} };

	$kafka->produce($name, [ '{"n": 12}', '{"n": 2}' ], partition => 0);
	# an exhausted sequence is waited out, a missing partition is not
	ok(await_state($node, $name, $state eq '2200H' ? 'backing_off/error' : 'failed/error'),
		"$name: no message's fault");
	like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = '$name'"),
		qr/\(SQLSTATE $state\)/, '  with the SQLSTATE');
	is(sql("SELECT count(*), count(*) FILTER (WHERE n > 1) FROM $name"), '1|0',
		'  without a row of that batch');
	etl("$gift; SELECT fluct.start_stream('$name')");
	ok(caught_up($node, $name), '  and all goes in when it is given');
	is(sql("SELECT (SELECT string_agg(n::text, ' ' ORDER BY n) FROM $name),
			(SELECT count(*) FROM fluct.dead_letters WHERE stream = '$name')"),
		'1 2 12|0', '  without a dead letter');
}
# the bounds of a table that is itself a partition are a constraint
fill('ranges_1', [ '{"n": 3}', '{"n": 30}' ]);
is(letters('ranges_1'), '1 constraint', "a partition's own bounds");

# constraints that could be deferred, and are not
etl(q{
	CREATE TABLE soon (n int PRIMARY KEY,
		m int CONSTRAINT m_once UNIQUE DEFERRABLE INITIALLY IMMEDIATE);
	CREATE TABLE soon_child (n int, p int CONSTRAINT known REFERENCES soon (n)
		DEFERRABLE INITIALLY IMMEDIATE)});
fill('soon', [
	'{"n": 1, "m": 1, "c": [{"p": 1}]}', '{"n": 2, "m": 1, "c": []}',
	'{"n": 3, "m": 3, "c": [{"p": 3}, {"p": 9}]}',
	'{"n": 4, "m": 4, "c": [{"p": 3}]}', '{"n": 5, "m": 5, "c": [{"p": 1}]}' ],
	mapping => { columns => { n => '$.n', m => '$.m' }, children => [ {
		target => 'public.soon_child', rows => '$.c[*]',
		columns => { n => '$.n', p => '@.p' } } ] });
is(letters('soon'), '1 constraint, 2 constraint, 3 constraint',
	'deferrable constraints, checked at once: of parents and children');
is(sql("SELECT (SELECT string_agg(n::text, ' ' ORDER BY n) FROM soon),
			(SELECT string_agg(n::text, ' ' ORDER BY n) FROM soon_child)"),
	'1 5|1 5', 'and only the guilty messages are refused, whole');

# several guilty ones among updates: the last one of a key that fits stays
etl(q{
	CREATE TABLE latest (id int PRIMARY KEY, v int CHECK (v > 0));
	CREATE TABLE latest_child (id int, line int, v int CHECK (v < 100));
	INSERT INTO latest VALUES (1, 1), (2, 1);
	INSERT INTO latest_child VALUES (1, 1, 77), (2, 1, 77)});
fill('latest', [
	'{"id": 1, "v": 2, "c": [1, 2]}', '{"id": 1, "v": 0, "c": [3]}',
	'{"id": 2, "v": 5, "c": [4, 100]}', '{"id": 3, "v": 1, "c": [5]}',
	'{"id": 3, "v": 2, "c": [100]}', '{"id": 1, "v": -1, "c": []}' ],
	on_conflict => "'update'",
	mapping => { columns => { id => '$.id', v => '$.v' }, children => [ {
		target => 'public.latest_child', rows => '$.c[*]',
		columns => { id => '$.id', line => '#', v => '@' } } ] });
is(letters('latest'), '1 constraint, 2 constraint, 4 constraint, 5 constraint',
	'updates: the guilty messages');
is(sql("SELECT string_agg(id || '=' || v, ' ' ORDER BY id) FROM latest"),
	'1=2 2=1 3=1', 'each key has its last good value');
is(sql("SELECT string_agg(id || '=' || v, ' ' ORDER BY id, line)
		FROM latest_child"),
	'1=1 1=2 2=77 3=5', 'with the lines of that message');

sql('ALTER TABLE sales.order_lines ADD CONSTRAINT small CHECK (volume < 1000)');
my $good = '{"product_id": "p1", "volume": 2, "price": 1}';
$kafka->produce('orders', [ an_order('c'), an_order('d',
	order_lines => "[$good, " . ($good =~ s/2/1000/r) . ", $good]"),
	an_order('e') ], partition => 0);
ok(caught_up($node, 'orders'), 'an order with a line that is refused');
is(sql("SELECT string_agg(order_id, ' ' ORDER BY order_id) FROM sales.orders"),
	'a b c e', 'is refused whole');
is(sql("SELECT count(*) FROM sales.order_lines WHERE order_id = 'd'"), 0,
	'with its other lines');
is(letters('orders'), '4 constraint', 'once');
is(sql("SELECT string_agg(stream, ' ') FROM fluct.stat_streams
		WHERE state <> 'running'"),
	'', 'all of them run');

done_testing();
