# A changed server, user mapping or file of secrets reaches a stream by itself,
# whatever its state; a file that goes away does not stop one that runs.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Login;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($kafka, $node, $secrets, $password) = login_node('fluct.max_workers' => 8);
put_secret('etl', 'ca.pem', slurp_file($kafka->dir . '/ca.pem'));

# What the design allows is 10 s; here machines may be busy.
sub soon
{
	my ($stream, $state, $name) = @_;
	my $begin = time();
	my $is = await_state($node, $stream, $state, 60);

	note(sprintf('%s after %.1f s', $state, time() - $begin));
	return ok($is, $name);
}

sub pid_of
{
	my ($stream) = @_;

	return sql("SELECT pids[1] FROM fluct.stat_streams
		WHERE stream = '$stream'");
}

# Another worker runs, and delivers.
sub replaced
{
	my ($stream, $pid, $name) = @_;
	my $begin = time();

	ok(poll($node, "SELECT pids[1] <> $pid AND state = 'running'
			AND reason IS NULL FROM fluct.stat_streams
			WHERE stream = '$stream'", 't', 60), $name);
	note(sprintf('after %.1f s', time() - $begin));
	return;
}

$kafka->create_topic('n', 2);
$kafka->produce('n', [ numbers(1 .. 10) ]);
make_safe_server();

# ----- a file -----

number_stream('n', server => 'safe');
soon('n', 'backing_off/bad_connection', 'a file that is not there');
put_secret('etl', 'kafka.pw', 'wrong');
soon('n', 'backing_off/authentication_failed', 'a password that is wrong');
put_secret('etl', 'kafka.pw', $password);
soon('n', 'running', 'and one that is right');
ok(caught_up($node, 'n'), 'it reads');
my $pid = pid_of('n');
put_secret('etl', 'kafka.pw', "$password\n");
replaced('n', $pid, 'a file that is changed while the stream runs');

# It is looked at every 5 s.
$pid = pid_of('n');
unlink("$secrets/etl/kafka.pw") or die $!;
my $until = time() + 12;
my $n = 10;
while (time() < $until)
{
	$kafka->produce('n', [ numbers(++$n) ]);
	caught_up($node, 'n') or last;
	sleep(0.5);
}
is(pid_of('n'), $pid, 'a file that goes away does not stop a stream that runs');
is(sql('SELECT count(*) FROM n'), $n, 'which delivers');
put_secret('etl', 'kafka.pw', $password);
replaced('n', $pid, 'and one that comes back is another one');

# ----- the user mapping -----

etl("ALTER USER MAPPING FOR etl SERVER safe OPTIONS (SET sasl_username 'nobody')");
soon('n', 'backing_off/authentication_failed', 'another user while it runs');
etl("ALTER USER MAPPING FOR etl SERVER safe OPTIONS (SET sasl_username 'etl')");
soon('n', 'running', 'and the right one while it does not');

# ----- the server -----

$kafka->create_topic('m');
etl("CREATE SERVER dead FOREIGN DATA WRAPPER fluct_kafka
		OPTIONS (bootstrap_servers '127.0.0.1:1')");
number_stream('m', server => 'dead');
soon('m', 'backing_off/broker_unreachable', 'a server that leads nowhere');
etl("ALTER SERVER dead OPTIONS (SET bootstrap_servers '${\ $kafka->bootstrap }')");
soon('m', 'running', 'and then somewhere');
$pid = pid_of('m');
etl("ALTER SERVER dead OPTIONS (ADD client_id 'other')");
replaced('m', $pid, 'another option while it runs');

# What is not its own is not its concern.
$pid = pid_of('m');
my $other = pid_of('n');
etl("ALTER SERVER safe OPTIONS (ADD client_id 'other')");
replaced('n', $other, 'another server is changed');
$kafka->produce('m', [ numbers(1 .. 3) ]);
ok(caught_up($node, 'm'), 'the stream of this one');
is(pid_of('m'), $pid, 'goes on');

# ----- paused and failed -----

etl("SELECT fluct.pause_stream('m')");
etl('ALTER TABLE n DROP COLUMN n');
$kafka->produce('n', [ numbers(0) ]);
soon('n', 'failed/column_missing', 'a stream fails');
etl("ALTER SERVER dead OPTIONS (DROP client_id);
	ALTER SERVER safe OPTIONS (DROP client_id)");
etl('ALTER TABLE n ADD n int');
$kafka->create_topic('last');
number_stream('last', server => 'dead');
soon('last', 'running', 'another one is started after that');
is(sql("SELECT string_agg(state, ', ' ORDER BY stream) FROM fluct.stat_streams
		WHERE stream <> 'last'"),
	'paused, failed', 'what is paused or failed stays so');
etl("SELECT fluct.start_stream('n'); SELECT fluct.start_stream('m')");
ok(caught_up($node, $_), 'until it is started') foreach qw(n m);

# ----- another name -----

$pid = pid_of('m');
etl('ALTER SERVER dead RENAME TO "The Shop"');
replaced('m', $pid, 'a server is renamed');
is(sql("SELECT string_agg(stream || ' ' || server, ', ' ORDER BY stream) FROM fluct.stat_streams"), 'last The Shop, m The Shop, n safe', 'its streams follow');
ok($node->log_contains(qr/stream "m" was altered by role "etl"\n.*DETAIL:  Its server was renamed/), 'with a line in the log');
$kafka->produce('m', [ numbers(4 .. 6) ]);
ok(caught_up($node, 'm'), 'and go on');

# as after a restore without it
etl("SELECT fluct.pause_stream('m')");
sql('ALTER EVENT TRIGGER fluct_follow_servers DISABLE');
etl('ALTER SERVER "The Shop" RENAME TO shop_of_old');
sql('ALTER EVENT TRIGGER fluct_follow_servers ENABLE');
etl("SELECT fluct.start_stream('m')");
soon('m', 'failed/error', 'a server that is gone');
like(detail('m'), qr/^server "The Shop" does not exist \(SQLSTATE 42704\)\. Create it, or name another: SELECT fluct\.alter_stream\('m', server => 'SERVER'\);$/, 'says which, and what to do');
etl("SELECT fluct.alter_stream('m', server => 'shop_of_old'); SELECT fluct.start_stream('m')");
ok(caught_up($node, 'm'), 'which is enough');

done_testing();
