# Sessions that query Kafka leave workers for streams and for other roles.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

# A broker that never answers keeps who asks it busy; streams wait there, too.
my $silent = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1')
  or die $!;
my $node = fluct_node('main');

make_operator();
sql("CREATE ROLE rival LOGIN; SELECT fluct.grant_operator('rival'); GRANT rival TO etl;
	 GRANT INSERT, SELECT ON sales.orders, sales.order_lines, sales.raw_messages TO rival");
foreach my $role ('etl', 'rival')
{
	sql("CREATE SERVER s_$role FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:${\ $silent->sockport}');
		 SELECT fluct.create_stream('$role', 's_$role', 'orders')", as => $role);
}
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fluct inquiry'};
my $checked = q{SELECT string_agg(concat_ws(' ', item, status), ', ') FROM fluct.check_stream};
my $without = 'dns skipped, broker skipped, tls skipped, login skipped, topic skipped, partitions skipped, columns ok, privileges ok, retention skipped, messages waiting skipped';

# preview_stream has no time of its own at which it gives up a session
sub ask
{
	my ($role, $stream) = @_;
	my ($out, $err) = ('', '');
	my $psql = IPC::Run::start([ 'psql', '-qXAt', '-d', $node->connstr('postgres') . " user=$role", '-c', 'SELECT pg_backend_pid()',
			'-c', "SELECT * FROM fluct.preview_stream('$stream')" ],
		'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(180));

	return { psql => $psql, out => \$out, err => \$err };
}

sub finish { $_->{psql}->finish foreach @_ }

# ----- two a role -----

# The workers are stopped, so that they keep their places for as long as needed.
sub hold
{
	my ($count) = @_;
	my $pids = poll_until($node, q{SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = 'fluct inquiry'},
		sub { (() = $_[0] =~ /\d+/g) == $count });
	my @pids = split(' ', $pids);

	kill('STOP', @pids);
	return @pids;
}

my @asking = map { ask('etl', 'etl') } 1 .. 2;
my @held = hold(2);
fails_like($node, "SELECT * FROM fluct.preview_stream('etl')",
	qr/ERROR:  53400: role "etl" is already querying Kafka in 2 sessions.*HINT:  Wait until one of them has its answer, or cancel it/s,
	'a third session of the role', as => 'etl');
fails_like($node, "SET ROLE rival; SELECT * FROM fluct.preview_stream('rival')",
	qr/role "etl" is already querying Kafka/, 'nor under another name', as => 'etl');
is(etl("$checked('etl')"), $without, 'check_stream has its local rows');
like(etl("SELECT detail FROM fluct.check_stream('etl') LIMIT 1"), qr/^role "etl" is already querying Kafka in 2 sessions/, 'and says why the others are skipped');
is(sql($workers), 2, 'no more workers');
push(@asking, ask('rival', 'rival'));
ok(poll($node, $workers, 3), 'another role has its own');
ok(poll($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 40 AND granted}, 3), 'a lock for each');
fails_like($node, 'SELECT pg_advisory_unlock_all(); SELECT * FROM fluct.preview_stream($$etl$$)',
	qr/role "etl" is already querying Kafka/, 'which SQL does not give back', as => 'etl');
kill('CONT', @held);
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
finish(@asking);
ok(poll($node, $workers, 0), 'they end with their sessions');
@asking = map { ask('etl', 'etl') } 1 .. 2;
ok(poll($node, $workers, 2), 'and then others have their places');
sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
finish(@asking);
like(${ $asking[0]{err} }, qr/canceling statement/, 'a wait can be cancelled');
ok(poll($node, $workers, 0), 'which ends the worker');

# ----- a lock -----

my %behind = ('sales.orders' => 'columns fail', 'sales.order_lines' => 'columns fail', 'sales.raw_messages' => 'distribution skipped');
my $session = $node->background_psql('postgres');
foreach my $table (sort keys %behind)
{
	my $pid = $session->query_safe("BEGIN; LOCK TABLE $table; SELECT pg_backend_pid()");
	like(etl("SET statement_timeout = '10s'; SELECT string_agg(concat_ws(' ', item, status, detail, hint), ', ') FROM fluct.check_stream('etl')"),
		qr/\Q$behind{$table} canceling statement due to lock timeout Process $pid holds a lock on $table: SELECT pg_terminate_backend($pid); ends it./,
		"behind a lock on $table, check_stream says who holds it");
	$session->query_safe('ROLLBACK');
}
$session->quit;

# ----- some for streams -----

# What the server itself, pg_cron and the launcher need, and two more.
sub restart_with_free
{
	my ($free) = @_;
	my $own = sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('logical replication launcher', 'pg_cron launcher', 'fluct launcher')");

	$node->append_conf('postgresql.conf', 'max_worker_processes = ' . ($own + $free));
	$node->restart;
	return poll($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('logical replication launcher', 'pg_cron launcher', 'fluct launcher')", $own);
}

ok(restart_with_free(2), 'two free workers');

# after a start the maintenance of partitions has one of them for a moment
do
{
	@asking = (ask('etl', 'etl'));
	sleep(0.05) while $asking[0]{psql}->pumpable && sql($workers) == 0 && ($asking[0]{psql}->pump_nb || 1);
} while sql($workers) == 0;
@held = hold(1);
fails_like($node, "SELECT * FROM fluct.preview_stream('rival')",
	qr/ERROR:  53400: no background worker is free to query Kafka.*DETAIL:  max_worker_processes is \d+; 1 of them are free, and 1 are kept for streams/s,
	'the last one is not for questions', as => 'rival');
sql("SELECT fluct.start_stream('rival')", as => 'rival');
ok(await_state($node, 'rival', 'backing_off/broker_unreachable'), 'but for a stream');
kill('CONT', @held);
finish(@asking);
is(sql("$checked('rival')", as => 'rival'), $without, 'check_stream leaves it alone');

# a stream that has none, and one that ends: the free one is not taken from it
etl("SELECT fluct.start_stream('etl')");
ok(poll($node, q{SELECT count(*) FROM fluct.stat_streams WHERE state = 'backing_off' AND reason = 'broker_unreachable'}, 2), 'two streams have the two workers');
ok(restart_with_free(1), 'one free worker');
ok(poll($node, q{SELECT count(*) FROM fluct.stat_streams WHERE reason = 'no_worker_slot'}, 1), 'and only one of them has it');
fails_like($node, "SELECT * FROM fluct.preview_stream('etl')", qr/0 of them are free, and 2 are kept for streams/, 'one that waits counts', as => 'etl');

# fourteen of an attacker's, over and over, and another's stream starts all the same
sql("SELECT fluct.pause_stream('rival')", as => 'rival');
etl("SELECT fluct.pause_stream('etl')");
ok(restart_with_free(5), 'five free workers');
@asking = map { ask('etl', 'etl') } 1 .. 14;
ok(poll($node, $workers, 2), 'fourteen sessions of one role have two workers');
sql("SELECT fluct.start_stream('rival')", as => 'rival');
ok(await_state($node, 'rival', 'backing_off/broker_unreachable'), 'and the stream of another runs');
is(sql(q{SELECT count(*) FROM fluct.stat_streams WHERE reason = 'no_worker_slot'}), 0, 'none waits for a worker');
finish(@asking);
is(() = join('', map { ${ $_->{err} } } @asking) =~ /already querying Kafka in 2 sessions/g, 12, 'the other twelve were told');

done_testing();
