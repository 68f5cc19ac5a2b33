# Fluct::Stops - `pg_ctl stop -m fast` in every state that a stream can be in
#
# Each state has `begin`, done once; `ready`, done before each stop, with the
# server running; and `end`.  What is timed is pg_ctl.
package Fluct::Stops;

use strict;
use warnings;
use Fluct;
use IPC::Run ();
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $MOST = 2;					# s

my $COLUMNS = '{"columns": {"n": "$.n"}}';
my $BACKLOG = 200_000;

my @STATES = (
	{ name => 'full speed', begin => \&begin_speed, ready => \&ready_speed,
		end => sub { drop($_[0]) } },
	{ name => 'idle', begin => sub { make($_[0], 'shop', 'few') },
		ready => sub { state_is($_[0], 'running') } },
	{ name => 'TLS', ready => sub {
			await_state($_[0]->{node}, 'tls1', 'running') or die 'no TLS' } },
	{ name => 'waiting for a lock', begin => \&begin_lock,
		ready => \&ready_lock, end => \&end_lock },
	{ name => 'broker frozen', begin => sub { $_[0]->{kafka}->freeze },
		ready => sub { state_is($_[0], 'backing_off/broker_unreachable') } },
	{ name => 'check_stream', ready => sub {
			ask($_[0], "SELECT * FROM fluct.check_stream('numbers')") } },
	{ name => 'preview_stream', ready => sub {
			ask($_[0], "SELECT * FROM fluct.preview_stream('numbers', 5)") },
		end => sub { $_[0]->{kafka}->thaw } },
	{ name => 'broker down', begin => sub { $_[0]->{kafka}->stop },
		ready => sub { state_is($_[0], 'backing_off/broker_unreachable') },
		end => sub { $_[0]->{kafka}->restart } },
	{ name => 'starting', ready => sub { sleep($_[0]->seconds(0.3)) } },
	{ name => 'backing off', ready => \&ready_backing_off,
		end => sub { drop($_[0]) } },
	{ name => 'unknown host',
		begin => sub { make($_[0], 'nowhere', 'few') },
		ready => sub { state_is($_[0], 'backing_off/dns_failure') },
		end => sub { drop($_[0]) } },
	{ name => 'hanging resolver', begin => \&begin_resolver,
		ready => \&ready_resolver, end => \&end_resolver });

# Runs in a Fluct::Soak, of which it takes node, kafka, done and random.
sub run
{
	my ($soak) = @_;
	my (@figures, @problems);

	etl("CREATE TABLE numbers (n int);
		CREATE SERVER nowhere FOREIGN DATA WRAPPER fluct_kafka
			OPTIONS (bootstrap_servers 'nosuch.invalid:9092');
		CREATE SERVER hanging FOREIGN DATA WRAPPER fluct_kafka
			OPTIONS (bootstrap_servers 'broker.hang.invalid:9092')");
	$soak->{kafka}->create_topic('few', 2);
	foreach my $state (@STATES)
	{
		my @seconds = stops($soak, $state);
		my $median = (sort { $a <=> $b } @seconds)[ $#seconds / 2 ];
		my $figure = sprintf('%s %.2f (%.2f)', $state->{name}, $median,
			max(@seconds));

		note("stop -m fast, median (max): $figure");
		push(@figures, $figure);
		push(@problems, "above $MOST s: $figure")
		  if $soak->{judge_times} && max(@seconds) > $MOST;
	}
	return (done => "$soak->{done} stops in each of " . @STATES . ' states',
		figures => join('; ', 'seconds, median (max):', @figures),
		problems => \@problems);
}

sub stops
{
	my ($soak, $state) = @_;
	my @seconds;

	$state->{begin}->($soak) if $state->{begin};
	for (1 .. $soak->{done})
	{
		$state->{ready}->($soak);
		my $begin = time();
		$soak->{node}->stop('fast');
		push(@seconds, time() - $begin);
		end_session($soak);
		$soak->{node}->start;
	}
	$state->{end}->($soak) if $state->{end};
	return @seconds;
}


### What the states share

# The stream `numbers`.
sub make
{
	my ($soak, $server, $topic) = @_;

	etl("SELECT fluct.create_stream('numbers', '$server', '$topic',
		'numbers', '$COLUMNS', start_at => 'earliest', keep_raw => false,
		start => true)");
	return;
}

sub drop
{
	my ($soak) = @_;

	sql("SELECT fluct.drop_stream('numbers')");
	return;
}

sub state_is
{
	my ($soak, $state) = @_;

	await_state($soak->{node}, 'numbers', $state)
	  or die "the stream does not become $state";
	return;
}

# A session that asks something, and goes on asking when this returns.
sub ask
{
	my ($soak, $sql) = @_;
	my $out = '';

	state_is($soak, 'backing_off/broker_unreachable');
	$soak->{session} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $soak->{node}->connstr('postgres'), '-c', $sql ],
		'<', \undef, '>', \$out, '2>', \$out);
	poll($soak->{node}, "SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE backend_type LIKE 'fluct inquiry%'
			OR query LIKE 'SELECT * FROM fluct.%' AND pid <> pg_backend_pid())");
	sleep($soak->seconds(0.5));
	return;
}

sub end_session
{
	my ($soak) = @_;
	my $session = delete $soak->{session};

	IPC::Run::finish($session) if $session;
	return;
}


### One state each

sub begin_speed
{
	my ($soak) = @_;

	$soak->{kafka}->create_topic('speed', 2);
	$soak->{kafka}->produce('speed', [ map { qq({"n": $_}) } 1 .. $BACKLOG ]);
	make($soak, 'shop', 'speed');
	return;
}

# All again, if only a part of it was read the last time.
sub ready_speed
{
	my ($soak) = @_;

	drop($soak);
	sql('TRUNCATE numbers');
	make($soak, 'shop', 'speed');
	poll($soak->{node}, 'SELECT EXISTS (SELECT FROM numbers)');
	sleep($soak->seconds(0.1));
	return;
}

# The lock outlives the server.
sub begin_lock
{
	my ($soak) = @_;

	sql("BEGIN; LOCK TABLE numbers; PREPARE TRANSACTION 'hold'");
	$soak->{kafka}->produce('few', [ '{"n": 1}' ]);
	return;
}

sub ready_lock
{
	my ($soak) = @_;

	poll($soak->{node}, 'SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)')
	  or die 'nobody waits for the lock';
	sleep($soak->seconds(0.5));
	return;
}

sub end_lock
{
	my ($soak) = @_;

	sql("COMMIT PREPARED 'hold'");
	caught_up($soak->{node}, 'numbers') or die 'the lock stays';
	return;
}

# Ended again and again, it waits longer and longer, also across a restart.
sub ready_backing_off
{
	my ($soak) = @_;
	my $waits = "SELECT next_start > clock_timestamp() + interval '0.5 s'
		AND coalesce(cardinality(pids), 0) = 0
		FROM fluct.stream_states JOIN fluct.stat_streams USING (stream)
		WHERE stream = 'numbers'";

	for (1 .. 200)
	{
		return if sql($waits) eq 't';
		sql("SELECT pg_terminate_backend(p)
			FROM fluct.stat_streams, unnest(pids) p WHERE stream = 'numbers'");
		sleep(0.1);
	}
	die 'it does not back off';
}

sub begin_resolver
{
	my ($soak) = @_;
	my $library = "${PostgreSQL::Test::Utils::tmp_check}/slowdns.so";

	system_or_bail('cc', '-shared', '-fPIC', '-O1', '-o', $library,
		'test/soak/slowdns.c', '-ldl');
	make($soak, 'hanging', 'few');
	$soak->{node}->stop;
	$ENV{LD_PRELOAD} = $library;
	$soak->{node}->start;
	return;
}

# What /proc has; empty for a thread that has ended meanwhile.
sub name_of_thread
{
	my ($file) = @_;

	open(my $comm, '<', $file) or return '';
	return <$comm> // '';
}

# Inside getaddrinfo, for a random part of its time.
sub ready_resolver
{
	my ($soak) = @_;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;

	until (grep { name_of_thread($_) eq "slowdns\n" }
		map { glob("/proc/$_/task/*/comm") } worker_pids($soak->{node}))
	{
		die 'the resolver is not asked' if time() > $end;
		sleep(0.02);
	}
	sleep($soak->seconds(0.5));
	return;
}

sub end_resolver
{
	my ($soak) = @_;

	delete $ENV{LD_PRELOAD};
	drop($soak);
	return;
}

1;
