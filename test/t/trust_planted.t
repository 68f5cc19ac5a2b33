# Code that somebody planted on a target runs as the stream's owner, in a
# session of the stream's owner, or not at all: each kind of it, wherever a
# stream is declared, changed, looked at, run, or its messages stored again.
# A canary tells who ran into it.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Planted;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main',
	# it runs index expressions, too, as their owner in its own session
	autovacuum => 'off', kafka => $kafka, 'fluct.max_workers' => 20,
	'max_worker_processes' => 48);

$kafka->create_topic('planted', 1);
$kafka->produce('planted', [
	'{"id": "1"}', '{"id": "2", "note": "n", "mood": "fine"}',
	'{"id": "3", "note": "m", "mood": null}', '{"id": "bad", "note": 7}' ]);

# A table for each kind, as its owner would have it.
sub make_tables
{
	my ($schema, $owner) = @_;

	foreach my $kind (@KINDS)
	{
		sql(qq{
			CREATE TABLE $schema.t_$kind (id text NOT NULL, note text);
			GRANT ALL ON $schema.t_$kind TO etl}, as => $owner);
		sql("ALTER TABLE $schema.t_$kind ADD PRIMARY KEY (id)", as => $owner)
		  if $kind ne 'rule';
	}
	return;
}

sub plant_kind
{
	my ($kind, $schema, $owner) = @_;

	sql(plant($kind, "$schema.t_$kind"), as => $owner);
	sql("GRANT ALL ON ${\ target($kind, $schema)} TO etl", as => $owner);
	return;
}

sub target
{
	my ($kind, $schema) = @_;

	return "$schema.t_$kind"
	  . ($kind eq 'view' ? '_view' : $kind eq 'partition_key' ? '_partitioned' : '');
}

sub create
{
	my ($kind, $schema, $stream, @columns) = @_;
	my $columns = join(', ', '"id": "$.id"',
		'"note": {"path": "$.note", "required": false}', @columns);

	return etl("SELECT fluct.create_stream('$stream', 'shop', 'planted',
		target => '${\ target($kind, $schema)}', mapping => '{\"columns\": {$columns}}')");
}

# The columns that two of the kinds add, to be mapped as well.
my %more = (cast => '"canary_cast": "$.mood"', domain => '"canary_domain": "$.note"');

# A value comes from its type's input function, so no cast of a user's is asked,
# and what is inserted is not planned by statistics of its table.
my @reached = grep { !/^(cast|statistics)$/ } @KINDS;

# How a stream of that kind ends: a restricted operation defers nothing.
sub ends
{
	my ($kind, $stream) = @_;

	return await_state($node, $stream, 'failed/privilege_lost')
	  if $kind eq 'deferred_trigger';
	return caught_up($node, $stream);
}

# ----- the owner of the target -----

plant_seed('mallory');
make_tables('mallory', 'mallory');
plant_kind($_, 'mallory', 'mallory') foreach @KINDS;

my $from = log_position($node);
create($_, 'mallory', "m_$_", $more{$_} // ()) foreach @KINDS;
etl("SELECT fluct.alter_stream('m_$_', batch_size => 10)") foreach @KINDS;
sql("SELECT fluct.alter_stream('m_$_', batch_size => 11)") foreach @KINDS;
is(scalar(canaries($node, $from)), 0, 'create and alter execute nothing');

$from = log_position($node);
sql("SELECT count(*) FROM fluct.check_stream('m_$_')") foreach @KINDS;
is_nobody_else($node, $from, [ 'etl', 'mallory' ], 'check, called by a superuser');

$from = log_position($node);
sql("SELECT count(*) FROM fluct.preview_stream('m_$_')") foreach @KINDS;
is_nobody_else($node, $from, [ 'etl', 'mallory' ],
	"preview, called by a superuser", 'default');

$from = log_position($node);
etl("SELECT fluct.start_stream('m_$_')") foreach @KINDS;
is(join(' ', grep { !ends($_, "m_$_") } @KINDS), '', 'each stream came to its end');
is_nobody_else($node, $from, [ 'etl', 'mallory' ], 'the worker', @reached);

# ----- stored again -----

my @stored = grep { $_ ne 'deferred_trigger' } @KINDS;
my @met = grep { $_ ne 'deferred_trigger' } @reached;
my $mended = '{"id": "mended", "mood": "fine"}';

sub letter
{
	return sql("SELECT id FROM fluct.dead_letters WHERE stream = '$_[0]' AND status = 'open'");
}

sub store_again
{
	my ($schema, $prefix) = @_;

	etl("SELECT fluct.pause_stream('${prefix}_$_')") foreach @KINDS;
	my $log = log_position($node);
	foreach my $kind (@stored)
	{
		my $id = letter("${prefix}_$kind");

		fails_like($node, "SELECT fluct.retry_dead_letters(ARRAY[$id], value => '$mended')",
			qr/ERROR:  42501: only a session of role "etl" can store.*HINT:  Connect as etl/s,
			"$kind: retry in another's session");
		fails_like($node, "CALL fluct.reprocess_stream('${prefix}_$kind', force => true)",
			qr/ERROR:  42501: only a session of role "etl" can store/,
			"$kind: reprocess in another's session");
	}
	is(scalar(canaries($node, $log)), 0, 'a refused session executes nothing');

	$log = log_position($node);
	is(etl("SELECT status FROM fluct.retry_dead_letters(ARRAY[${\ letter(\"${prefix}_$_\")}],
			value => '$mended')"), 'retried', "$_: retried") foreach @stored;
	is_nobody_else($node, $log, [ 'etl', $schema eq 'mallory' ? 'mallory' : () ], 'retry',
		@met);

	$log = log_position($node);
	etl("CALL fluct.reprocess_stream('${prefix}_$_', force => true)") foreach @stored;
	is_nobody_else($node, $log, [ 'etl', $schema eq 'mallory' ? 'mallory' : () ],
		'reprocess', grep { $_ ne 'index_expression' } @met);	# all are duplicates
	return;
}

store_again('mallory', 'm');

# ----- the stream's owner, against a superuser who calls -----

plant_seed('etl', 'planted');
make_tables('planted', 'etl');

# planted beside a stream that runs; where that is another table, before it
my @beside = grep { $_ !~ /^(view|partition_key)$/ } @KINDS;
plant_kind($_, 'planted', 'etl') foreach 'view', 'partition_key';
create($_, 'planted', "e_$_") foreach @KINDS;
etl("SELECT fluct.start_stream('e_$_')") foreach @KINDS;
is(join(' ', grep { !caught_up($node, "e_$_") } @KINDS), '', 'they run');

$from = log_position($node);
foreach my $kind (@beside)
{
	plant_kind($kind, 'planted', 'etl');
	my ($column, $path) = ($more{$kind} // '') =~ /"(\w+)": "(.*)"/;
	sql("SELECT fluct.map_column('e_$kind', '$column', '$path')") if $column;
}
$kafka->produce('planted', [ '{"id": "5"}', '{"id": "6", "note": "n", "mood": "fine"}' ]);
is(join(' ', grep { !ends($_, "e_$_") } @KINDS), '', 'each meets what was planted');
is_nobody_else($node, $from, ['etl'], 'planted while it runs', @reached);

$from = log_position($node);
foreach my $kind (@KINDS)
{
	sql("SELECT fluct.alter_stream('e_$kind', batch_size => 12)");
	sql("SELECT count(*) FROM fluct.check_stream('e_$kind')");
	sql("SELECT count(*) FROM fluct.preview_stream('e_$kind', start_at => 'earliest')");
}
is_nobody_else($node, $from, ['etl'], 'a superuser alters, checks and previews');

store_again('planted', 'e');

# ----- partitions that are made ahead -----

sql(plant('trigger', 'sales.order_lines_default', schema => 'planted'), as => 'etl');
etl(q{INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at)
	VALUES ('o', 1, 'p', 1, 1, now() - interval '3 months')});
is(sql('SELECT count(*) FROM ONLY sales.order_lines_default'), 1, 'a row of a month without a partition');
$from = log_position($node);
$node->restart;
ok(poll($node, 'SELECT count(*) FROM ONLY sales.order_lines_default', 0),
	'is moved when the launcher has begun');
is_nobody_else($node, $from, ['etl'], 'maintenance', 'trigger');

done_testing();
