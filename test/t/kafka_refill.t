# The queue of fetched messages while its worker is held up: it stays bounded,
# it is filled again, and whatever happens meanwhile, no message is lost.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Process;
use PostgreSQL::Test::Utils;
use Test::More;

my $count = 200_000;
my $bound = 128;			# MB of a worker
my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_wal_size' => '4GB');
my $session = $node->background_psql('postgres');
my $produced = 0;

# $count further numbers in $partitions partitions, in messages of $size bytes.
sub produce
{
	my ($topic, $numbers, $size) = @_;

	$kafka->produce($topic,
		[ map { sprintf('{"n": %d, "pad": "%s"}', $_, 'x' x ($size - 20)) }
			  $produced + 1 .. $produced + $numbers ]);
	$produced += $numbers;
	return;
}

sub hold
{
	$session->query_safe('BEGIN; LOCK TABLE gate');
	return;
}

sub waits
{
	my ($name) = @_;

	ok(await_state($node, 'n', 'running/waiting_for_lock'), $name);
	return;
}

sub all_there
{
	my ($name) = @_;

	is(sql('SELECT count(*), count(DISTINCT n), max(n) FROM n'),
		"$produced|$produced|$produced", $name);
	return;
}

# ----- more messages than the queue holds -----

$kafka->create_topic('n', 2);
produce('n', $count, 100);
number_stream('n', start => 0);
# A batch waits at the gate, and the start of a worker does not.
etl(q{CREATE TABLE gate ();
	CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql SET search_path = public
		AS 'BEGIN LOCK TABLE gate IN SHARE MODE; RETURN NULL; END';
	CREATE TRIGGER pass BEFORE INSERT ON n EXECUTE FUNCTION pass()});
hold();
etl("SELECT fluct.start_stream('n')");
waits('a batch waits for a lock');
my $memory = private_memory(worker_pid($node));
note("private memory while it waits: $memory MB");
cmp_ok($memory, '<=', $bound, 'and what is fetched meanwhile is bounded');

# ----- pause, another setting, a partition more -----

etl("SELECT fluct.pause_stream('n')");
ok(poll($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'fluct stream%'}, 0),
	'a worker with a full queue ends when it is paused');
etl("SELECT fluct.start_stream('n')");
waits('and the next one waits again');
etl("SELECT fluct.alter_stream('n', batch_size => 3000)");
waits('as does the one with another setting');
$kafka->add_partitions('n', 3);
produce('n', 20_000, 100);
$session->query_safe('ROLLBACK');
ok(poll($node, q{SELECT count(*) FROM fluct.stream_offsets WHERE stream = 'n'}, 3, 120),
	'a partition more is found');
ok(caught_up($node, 'n'), 'and all is read');
all_there('nothing is lost or doubled');

# ----- large messages -----

# Of these the bound in bytes is reached with some 110.
produce('n', 400, 500_000);
hold();
produce('n', 1, 100);
waits('a batch of large messages waits');
$memory = private_memory(worker_pid($node));
note("private memory with large messages: $memory MB");
$session->query_safe('ROLLBACK');
ok(caught_up($node, 'n'), 'and is read when it can be');
all_there('nothing is lost or doubled');
$session->quit;

done_testing();
