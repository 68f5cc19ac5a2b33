# `behind` and `data_until`: from the later of the messages' time and the last
# moment at which the worker knew that it held all that Kafka had.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);

# An hour old, as Kafka's time says.
my $hour = 3600;
sub produce_old
{
	my (@numbers) = @_;

	$kafka->produce('n', [ numbers(@numbers) ],
		timestamp => int(1000 * (time() - $hour)));
	return;
}

# behind in seconds, and whether it lies between.
sub behind
{
	return sql('SELECT extract(epoch FROM behind) FROM fluct.freshness');
}

sub behind_between
{
	my ($low, $high, $name) = @_;
	my $behind = behind();

	note("behind: $behind s");
	ok($behind ne '' && $behind >= $low && $behind <= $high, $name);
	return;
}

$kafka->create_topic('n', 2);
produce_old(1 .. 10);
number_stream('n');
ok(caught_up($node, 'n'), 'old messages are read');
ok(poll($node, 'SELECT behind FROM fluct.freshness', '00:00:00'),
	'a stream that has all is not behind, however old its messages are');

# ----- a lock -----

my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE n');
my $begin = time();
produce_old(11);
ok(await_state($node, 'n', 'running/waiting_for_lock'), 'a batch waits');
behind_between(0, time() - $begin + 8, 'since then it is behind');
my $first = behind();
ok(poll($node, "SELECT extract(epoch FROM behind) > $first + 1
		FROM fluct.freshness"), 'more and more');
$session->query_safe('ROLLBACK');
$session->quit;
ok(poll($node, 'SELECT behind FROM fluct.freshness', '00:00:00'),
	'until the lock is gone');

# ----- a start that meets a lock -----

etl("SELECT fluct.pause_stream('n')");
$session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE n');
etl("SELECT fluct.start_stream('n')");
ok(poll($node, "SELECT concat_ws('|', state, reason, detail LIKE 'no lock within%') FROM fluct.stat_streams", 'starting|waiting_for_lock|t'),
	'a start that meets a lock says so, between its attempts too');
$session->query_safe('ROLLBACK');
$session->quit;
ok(await_state($node, 'n', 'running'), 'and runs when it is gone');

# ----- an outage, and a restart in it -----

$kafka->produce('n', [ numbers(501) ], timestamp => int(1000 * (time() + $hour / 2)));
ok(poll($node, 'SELECT count(*) FROM n', 12), "a message of a producer whose clock is ahead");
$begin = time();
$kafka->stop;
ok(await_state($node, 'n', 'backing_off/broker_unreachable', 60),
	'the broker is gone');
behind_between(0, time() - $begin + 8, 'behind since then');
ok(poll($node, "SELECT behind > '3 s' FROM fluct.freshness"), 'by the clock');
$node->restart;
ok(await_state($node, 'n', 'backing_off/broker_unreachable', 60),
	'the server is restarted');
behind_between(3, time() - $begin + 8, 'which changes nothing');
sql("SELECT fluct.pause_stream('n')");
behind_between(3, time() - $begin + 8, 'neither does a pause');
$kafka->restart;
sql("SELECT fluct.start_stream('n')");
ok(poll($node, 'SELECT behind FROM fluct.freshness', '00:00:00'),
	'with the broker it has all');

# ----- a pause, and a session that catches up -----

$begin = time();
sql("SELECT fluct.pause_stream('n')");
ok(await_state($node, 'n', 'paused'), 'paused');
behind_between(0, time() - $begin + 8, 'behind since the pause');
produce_old(12 .. 20);
my $caught_up = time();
etl("CALL fluct.run_stream('n')");
behind_between(0, time() - $caught_up + 5,
	'a paused stream that a session caught up is as far as that');
is(sql('SELECT count(*) FROM n'), 21, 'with all that Kafka had');

# ----- a lag is as old as its messages -----

etl('CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
	CREATE TRIGGER slow AFTER INSERT ON n FOR EACH STATEMENT
		EXECUTE FUNCTION slow();
	SELECT fluct.alter_stream(\'n\', batch_size => 10)');
$begin = time();
produce_old(21 .. 500);
sql("SELECT fluct.start_stream('n')");
ok(poll($node, 'SELECT lag > 0 FROM fluct.stat_streams'), 'a lag');
ok(poll($node, "SELECT lag > 0 AND behind > '2 s' FROM fluct.stat_streams"),
	'is behind');
etl('DROP TRIGGER slow ON n');
ok(poll($node, 'SELECT behind FROM fluct.freshness', '00:00:00'),
	'until it has all');
is(sql('SELECT count(*) FROM n'), 501, 'of it');
ok(poll($node, "SELECT behind = '0' FROM fluct.stat_streams"),
	'stat_streams says the same');

done_testing();
