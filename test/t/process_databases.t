# fluct.database is a list: each database has a launcher, they share
# fluct.max_workers in turn, and one that leaves the list stops.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 8,
	'max_worker_processes' => 32);
my $bootstrap = $kafka->bootstrap;
my $columns = '{"columns": {"n": "$.n"}}';

sub set_databases
{
	my ($list) = @_;

	sql("ALTER SYSTEM SET fluct.database = '$list'");
	sql('SELECT pg_reload_conf()');
	return;
}

# The databases that have a launcher.
sub launchers_are
{
	my ($list, $name) = @_;

	return ok(poll($node, "SELECT string_agg(datname, ', ' ORDER BY datname)
			FROM pg_stat_activity WHERE backend_type = 'fluct launcher'",
			$list, 60), $name);
}

sub make_database
{
	my ($name) = @_;

	sql(qq(CREATE DATABASE "$name"));
	sql('CREATE EXTENSION fluct', db => $name);
	make_operator(db => $name);
	etl("CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka
			OPTIONS (bootstrap_servers '$bootstrap')", db => $name);
	return;
}

# A stream of numbers in one of them.
sub stream_in
{
	my ($name, $stream, $start) = @_;

	etl("CREATE TABLE $stream (n int);
		SELECT fluct.create_stream('$stream', 'shop', 'n', '$stream', '$columns',
			keep_raw => false)", db => $name);
	etl("SELECT fluct.start_stream('$stream')", db => $name) if $start;
	return;
}

sub count_is
{
	my ($name, $stream, $count, $what) = @_;
	my $end = time() + 60;
	my $is;

	do { $is = sql("SELECT count(*) FROM $stream", db => $name) }
	  until $is == $count || time() > $end;
	return is($is, $count, $what);
}

sub workers_in
{
	my ($name) = @_;

	return "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct stream worker' AND datname = '$name'";
}

$kafka->create_topic('n');
$kafka->produce('n', [ numbers(1 .. 5) ]);
my @names = ('second', 'Shop, north');
make_database($_) foreach @names;
stream_in('postgres', 'a', 1);
count_is('postgres', 'a', 5, 'one database');

# ----- a second one -----

stream_in('second', 'b');
fails_like($node, "SELECT fluct.start_stream('b')",
	qr/ERROR:  55000: the streams of database "second" do not run.*DETAIL:  fluct\.database is "postgres", and this database is not in that list\..*HINT:  ALTER SYSTEM SET fluct\.database = 'postgres, second'; SELECT pg_reload_conf\(\);/s,
	'the hint adds a database to the list', db => 'second', as => 'etl');
my $needed = sql('SELECT fluct._workers_needed()');
set_databases('postgres, second');
launchers_are('postgres, second', 'each has a launcher');
is(sql('SELECT fluct._workers_needed()'), $needed + 1,
	'which takes one of max_worker_processes');
sql('ALTER SYSTEM SET fluct.max_workers = 28');
sql('SELECT pg_reload_conf()');
ok(poll($node, 'SELECT fluct._preload_lines() LIKE
		format(E\'%%\nfluct.database = \'\'postgres, second\'\'\nmax_worker_processes = %s\',
			fluct._workers_needed())'), 'so the lines to add count them');
sql('ALTER SYSTEM RESET fluct.max_workers');
sql('SELECT pg_reload_conf()');
etl("SELECT fluct.start_stream('b')", db => 'second');
count_is('second', 'b', 5, 'and its streams run');

stream_in('Shop, north', 'c');
my ($hint) = (said("SELECT fluct.start_stream('c')", db => 'Shop, north',
		as => 'etl')) =~ /HINT:  (.*)/;
is($hint, q{ALTER SYSTEM SET fluct.database = 'postgres, second, "Shop, north"'; SELECT pg_reload_conf();},
	'a name that has to be quoted');
sql($_) foreach split(/(?<=;) /, $hint);
launchers_are('Shop, north, postgres, second', 'is quoted');
etl("SELECT fluct.start_stream('c')", db => 'Shop, north');
count_is('Shop, north', 'c', 5, 'and found');
fails_like($node, q{ALTER SYSTEM SET fluct.database = 'a, "b'},
	qr/ERROR:  22023: invalid value for parameter "fluct\.database".*DETAIL:  List syntax is invalid\./s,
	'a list is checked');

# ----- leaving the list -----

my $pid = sql('SELECT pids[1] FROM fluct.stat_streams');
set_databases('postgres, "Shop, north"');
ok(poll($node, workers_in('second'), 0, 10),
	'the workers of a database that left the list stop');
launchers_are('Shop, north, postgres', 'and so does its launcher');
is(sql("SELECT state, reason FROM fluct.stat_streams", db => 'second'),
	'paused|database_not_listed', 'its streams say so');
$kafka->produce('n', [ numbers(6) ]);
count_is($_->[0], $_->[1], 6, "$_->[0] goes on")
  foreach [ 'postgres', 'a' ], [ 'Shop, north', 'c' ];
is(sql('SELECT count(*) FROM b', db => 'second'), 5, 'second does not');
is(sql('SELECT pids[1] FROM fluct.stat_streams'), $pid,
	'with the worker that it had');

# Another one is the first, which another launcher has served.
set_databases('"Shop, north"');
launchers_are('Shop, north', 'the first leaves the list');
ok(poll($node, workers_in('postgres'), 0, 10), 'its workers stop');
$kafka->produce('n', [ numbers(7) ]);
count_is('Shop, north', 'c', 7, 'the one that is first now goes on');
set_databases('second, postgres');
launchers_are('postgres, second', 'others come back');
count_is('postgres', 'a', 7, 'and go on');
count_is('second', 'b', 7, 'where they were');
is(sql('SELECT count(*) FROM c', db => 'Shop, north'), 7,
	'the one that was first does not');

# ----- what does not exist -----

my $n = 7;
foreach my $list ('postgres, nosuch, second', 'nosuch, postgres, second')
{
	my $from = log_position($node);

	set_databases($list);
	ok($node->wait_for_log(
			qr/the streams of database "nosuch" in fluct\.database cannot run\n.*DETAIL:  The database does not exist/,
			$from), "$list: the log names the unknown one");
	$kafka->produce('n', [ numbers(++$n) ]);
	count_is('postgres', 'a', $n, 'the others go on');
	count_is('second', 'b', $n, 'all of them');
}
make_database('nosuch');
launchers_are('nosuch, postgres, second', 'once it exists, it is served');
stream_in('nosuch', 'd', 1);
count_is('nosuch', 'd', $n, 'and its streams run');

# ----- turns -----

# One worker for two streams in each of two databases that both wait.
sql('ALTER SYSTEM SET fluct.max_workers = 2');
set_databases('postgres, second');
ok(poll($node, workers_in('nosuch'), 0, 10), 'the third leaves');
stream_in('postgres', $_, 1) foreach qw(a1 a2 a3);
foreach my $stream (qw(b1 b2))
{
	stream_in('second', $stream, 1);
}
my $waiting = "SELECT count(*) FROM fluct.stat_streams
	WHERE reason = 'no_worker_slot'";
ok(poll($node, $waiting, 3), 'three wait in one database');
ok($node->poll_query_until('second', $waiting, 2), 'and two in the other');
ok(poll($node, "SELECT count(*) FROM fluct.stat_streams
		WHERE detail = 'fluct.max_workers is 2, but 7 workers are needed'", 3),
	'the detail counts all');

# Two more: one for each, not both for the one that comes first, nor three
# while one of them waits for the lock of a row.
my $session = $node->background_psql('second');
$session->query_safe("BEGIN; SELECT FROM fluct.stream_states
	WHERE stream = 'b1' FOR UPDATE");
sql('ALTER SYSTEM SET fluct.max_workers = 4');
foreach (1 .. 30)
{
	sql('SELECT pg_reload_conf(), pg_sleep(0.1)');
}
ok(poll($node, $waiting, 2), 'a slot for the one');
ok($node->poll_query_until('second', $waiting, 1), 'and one for the other');
is(sql(workers_in('postgres')), 2, 'two workers in the one');
is(sql(workers_in('second')), 2, 'and in the other');
$session->quit;
sql('ALTER SYSTEM SET fluct.max_workers = 8');
sql('SELECT pg_reload_conf()');
ok(poll($node, $waiting, 0), 'with slots for all');
ok($node->poll_query_until('second', $waiting, 0), 'all run');
$node->stop('fast');
ok(1, 'and the server stops');

done_testing();
