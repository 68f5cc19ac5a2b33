# The words of a mapping mean the same however a message comes: random events,
# one by one, in one batch, again from the raw copy by reprocess_stream, and as
# dead letters by retry_dead_letters once a wrong mapping is corrected.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 32, 'fluct.max_workers' => 20);
my $seed = $ENV{FUZZ_SEED} // 20261127;
my $random = generator($seed);

diag("FUZZ_SEED=$seed");

sub one_of { return $_[ $random->(scalar @_) ] }

# ----- events: a key, a tab, and the message; a key alone is a tombstone -----

my @lines = ('null', '[]', '{"sku": "a"}', '[{"sku": "b"}]', '[{"sku": "c"}, {"sku": "d"}]');

# Some of these fields.
sub object
{
	my (%field) = @_;
	return '{' . join(', ', map { "\"$_\": $field{$_}" } sort keys %field) . '}';
}

sub fields
{
	my ($id) = @_;
	my %field = (id => $id, v => one_of('null', map { $random->(30) } 1 .. 5), name => one_of('null', '""', '"NULL"', '"x"', '"y"'),
		b => one_of('null', 1, 2), lines => one_of(@lines), more => one_of(1, 2));

	foreach my $name (qw(v name b lines more)) { delete $field{$name} if $random->(3) == 0 }
	return %field;
}

sub event
{
	my $id = $random->(30);
	my $key = "{\"id\": $id}";

	return $key if $random->(20) == 0;
	return "$key\t" . object(fields($id), op => one_of(qw("c" "u" "u" "u" "u" "x" "d")));
}

# What Debezium makes of it: with a payload around it, without, and unwrapped.
sub change
{
	my $id = $random->(30);
	my $key = "{\"id\": $id}";
	my $row = object(fields($id));
	my $deleted = $random->(8) == 0;
	my $envelope = $deleted ? "{\"op\": \"d\", \"before\": {\"id\": $id}, \"after\": null}" : "{\"op\": \"u\", \"before\": null, \"after\": $row}";

	return $key if $random->(20) == 0;
	return "$key\t" . one_of($envelope, "{\"schema\": null, \"payload\": $envelope}",
		object(fields($id), __deleted => $deleted ? '"true"' : '"false"'));
}

my $columns = '"columns": {"id": "kafka.key.$.id", "v": "$.v", "name": {"path": "$.name", "null": ["", "NULL"]}, "b": {"path": "$.b", "default": 7}}, "extra": "extra",
	"children": [{"target": "NAME_lines", "rows": "$.lines[*]", "required": false, "single": true, "columns": {"id": "kafka.key.$.id", "n": "#", "sku": "@.sku"}}]';
my $condition = '"where": {"$.op": ["c", "u", "d", null]}, "delete": {"where": {"$.op": "d"}}';
my %mapping = (
	plain => [ \&event, "{$condition, $columns}" ],
	newest => [ \&event, "{$condition, \"version\": \"v\", $columns}" ],
	partial => [ \&event, "{$condition, \"absent\": \"keep\", $columns}" ],
	newest_partial => [ \&event, "{$condition, \"version\": \"v\", \"absent\": \"keep\", $columns}" ],
	debezium => [ \&change, "{\"envelope\": \"debezium\", \"version\": \"v\", \"absent\": \"keep\", $columns}" ]);

# ----- the same events, in each way -----

sub stream
{
	my ($name, $topic, $mapping, $more) = @_;

	$mapping =~ s/NAME/$name/g;
	return etl("SET client_min_messages = warning; CREATE TABLE $name (id int PRIMARY KEY, v bigint, name text DEFAULT 'new', b int, extra jsonb);
		CREATE TABLE ${name}_lines (id int REFERENCES $name, n int, sku text);
		SELECT fluct.create_stream('$name', 'shop', '$topic', target => '$name', on_conflict => 'update', on_tombstone => 'delete',
			mapping => \$m\$$mapping\$m\$, start => true, $more)");
}

sub contents
{
	my ($name) = @_;
	return sql("SELECT * FROM $name ORDER BY id; SELECT * FROM ${name}_lines ORDER BY id, n");
}

foreach my $name (sort keys %mapping)
{
	my ($events, $mapping) = @{ $mapping{$name} };
	my $wrong = $mapping =~ s/"kafka\.key\.\$\.id"/"kafka.key.\$.nope"/gr;

	$kafka->create_topic($name);
	$kafka->produce($name, [ map { $events->() } 1 .. 300 ], keyed => 1);
	stream($name, $name, $mapping, 'batch_size => 1000');
	stream("${name}_single", $name, $mapping, 'batch_size => 1');
	stream("${name}_late", $name, $wrong, 'batch_size => 50');
	ok(caught_up($node, "$name$_"), "$name$_: all went through") foreach '', '_single', '_late';
	my $expected = contents("${name}_single");

	cmp_ok($expected =~ tr/\n//, '>', 20, "$name: there are rows");
	is(letters("${name}_single"), '', '... and no dead letters');
	is(contents($name), $expected, '... the same in one batch');
	etl("SELECT fluct.pause_stream('$name'); TRUNCATE $name, ${name}_lines; CALL fluct.reprocess_stream('$name')");
	is(contents($name), $expected, '... by reprocess_stream');

	my $late = $mapping =~ s/NAME/${name}_late/gr;

	is(contents("${name}_late"), '', '... and nothing by a wrong mapping');
	etl("SELECT fluct.alter_stream('${name}_late', mapping => \$m\$$late\$m\$)");
	is(etl("SELECT count(*) FILTER (WHERE status <> 'retried') FROM fluct.retry_dead_letters(stream => '${name}_late')"), '0', '... whose dead letters are stored');
	is(contents("${name}_late"), $expected, '... in the same way');
	is(etl("SELECT sum(unexplained) FROM fluct.reconcile_stream('${name}$_')"), '0', "$name$_: all accounted for") foreach '', '_single', '_late';
}

done_testing();
