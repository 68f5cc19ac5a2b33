# Fluct::Soak - the parts of the soak, at any scale
#
#   my $soak = Fluct::Soak->new(kafka => $kafka, seed => 7, scale => 0.01);
#   my %result = $soak->run('workers');
#
# `make soak` runs them all in full (test/soak/soak), `make test` a short form
# (test/t/operations_soak.t).  A part returns a hash: done (in words), messages, lost,
# doubled, unaccounted, figures (in words), seconds, and problems, a list of
# words, which is empty when all holds.
#
# The seed decides which faults there are, when, and what the messages are; the
# machine decides what they hit, so a second run is alike, not the same.
#
# Times are judged only with judge_times, on a machine of one's own.
package Fluct::Soak;

use strict;
use warnings;
use File::Path qw(make_path);
use Fluct;
use Fluct::Load;
use Fluct::Reckoning;
use Fluct::Stops;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $MOST_BACK = 5;			# s until a stream has followed its broker, p95
my $MOST_LINES = 2;			# in the log, for a fault and a stream
my $MOST_CATCHING_UP = 900;	# s

my @PARTS = qw(workers server broker tls stop);
my %FULL = (workers => 300, server => 100, broker => 100, tls => 300,
	stop => 20);

sub parts { return @PARTS }

# Options: kafka, a broker with --sasl-ssl; seed; scale (1); count (instead of
# the scaled number of faults); linger (ms, 20); judge_times.
sub new
{
	my ($class, %option) = @_;

	return bless({ seed => 1, scale => 1, linger => 20, %option }, $class);
}

sub run
{
	my ($self, $part) = @_;
	my $begin = time();

	$self->{random} = Fluct::generator($self->{seed} + length($part));
	$self->{done} = $self->{count} // max(1, int($FULL{$part} * $self->{scale}));
	my %result = (lost => 0, doubled => 0, unaccounted => 0,
		$self->can("part_$part")->($self));
	$self->{node}->stop('fast');
	$result{seconds} = time() - $begin;
	return %result;
}

# At random below $most, in seconds, or a number.
sub seconds { return $_[0]->{random}->(1_000_000) / 1_000_000 * $_[1] }
sub number { return $_[0]->{random}->($_[1]) }

sub node
{
	my ($self, $name, %setting) = @_;

	return $self->{node} = fluct_node($name, kafka => $self->{kafka},
		'fluct.max_workers' => 16, 'log_min_messages' => 'warning',
		'max_wal_size' => '4GB', 'shared_buffers' => '256MB', %setting);
}

# The streams, and the process that fills their topic: a share when it is
# asked for, or with a pause again and again.
sub load
{
	my ($self, %option) = @_;
	my $pause = delete $option{pause};
	my $load = Fluct::Load->new($self->{node}, $self->{kafka},
		seed => $self->{seed}, linger => $self->{linger}, partitions => 8,
		batch_size => 500, batch_interval => '20 ms', %option);

	$load->start($pause);
	return $load;
}

sub percentile
{
	my ($share, @values) = @_;

	@values = sort { $a <=> $b } @values;
	return $values[ int($share * $#values + 0.5) ] // 0;
}

# Now and then, what is being done.
sub progress
{
	my ($self, $i, $what) = @_;

	note("$i of $self->{done} $what") if $i % (int($self->{done} / 10) || 1) == 0;
	return;
}


### What the parts share

sub await_running
{
	my ($self) = @_;

	return poll($self->{node},
		"SELECT bool_and(state = 'running') FROM fluct.stat_streams");
}

# kill -9 for a worker of either stream; the server then restarts itself.  The
# worker is stopped first, so that what it was at is seen: true when its
# transaction had written something.
sub kill_worker
{
	my ($self) = @_;
	my $pids = poll_until($self->{node},
		"SELECT pid FROM pg_stat_activity
		 WHERE backend_type = 'fluct stream worker'", sub { $_[0] ne '' });
	my @pids = split(/\n/, $pids // die 'no stream worker comes back');
	my $pid = $pids[ $self->number(scalar @pids) ];
	my $writing;

	return $self->kill_worker unless kill('STOP', $pid);
	# it may have been stopped with a lock that the answer needs
	eval {
		$writing = (outcome("SELECT backend_xid IS NOT NULL
			FROM pg_stat_activity WHERE pid = $pid", timeout => 2))[1];
	};
	kill('KILL', $pid);
	return ($writing // '') eq 't';
}

# kill -9 for the server.  True when commits that were seen are gone
# afterwards, as synchronous_commit off may have it: a lower bound, since the
# workers go on at once.
sub kill_server
{
	my ($self) = @_;
	my $before = $self->positions_if_there || 0;

	crash_server($self->{node});
	my $after = $self->positions_if_there;
	return defined($after) && $after ne '' && $after < $before;
}

# The sum of all positions, or undef while the server is not there.
sub positions_if_there
{
	my ($self) = @_;

	return eval { (outcome('SELECT sum(next_offset)
		FROM fluct.stream_offsets', timeout => 30))[1] };
}

# Ends the load, waits until all is committed, and compares.
sub reckoning
{
	my ($self, $load) = @_;
	my @problems;

	$load->stop;
	foreach my $stream ('orders', 'arrivals')
	{
		push(@problems, "$stream does not catch up")
		  unless caught_up($self->{node}, $stream, $MOST_CATCHING_UP);
	}
	my %result = reckon($self->{node}, $self->{kafka});

	push(@problems, 'not all streams run') unless $self->await_running;
	unshift(@{ $result{problems} }, @problems);
	return %result;
}


### Stream workers

# Each kill restarts the whole server, with both workers.  The load is two
# shares ahead, so that there is work at any moment; a pause and a polite
# restart are among the faults.
sub part_workers
{
	my ($self) = @_;
	my $kills = $self->{done};
	my $messages = max(int(1_000_000 * $self->{scale}), 500 * $kills);

	$self->node('workers');
	my $load = $self->load(messages => $messages, shares => $kills);
	my $writing = 0;

	$load->ask_share for 1 .. 2;
	# a few kills may all miss; then there are more
	for (my $i = 1; $i <= $kills || $writing == 0 && $i <= 3 * $kills; $i++)
	{
		$self->await_running if $self->number(10) < 9;
		$load->ask_share if $i < $kills - 1 || $i > $kills;
		sleep($self->seconds(0.5));
		$writing++ if $self->kill_worker;
		$self->be_polite($i);
		$self->progress($i, 'kills of a worker');
	}
	my %result = $self->reckoning($load);
	push(@{ $result{problems} }, 'no kill hit a transaction that had written')
	  if $writing == 0;
	return (%result, done => "$kills kills, $result{messages} messages",
		figures => sprintf('%d of the kills (%.0f %%) in a transaction that had written',
			$writing, 100 * $writing / $kills));
}

# Once each in a run, so that these are covered in every mixture.
sub be_polite
{
	my ($self, $i) = @_;

	if ($i == int($self->{done} / 3))
	{
		poll($self->{node}, "SELECT fluct.pause_stream('orders')", 'paused');
		await_state($self->{node}, 'orders', 'paused');
		poll($self->{node}, "SELECT fluct.start_stream('orders')", 'starting');
	}
	if ($i == int($self->{done} * 2 / 3))
	{
		poll($self->{node}, 'SELECT true');
		$self->{node}->restart;
	}
	return;
}


### The server

# The first third with synchronous_commit on and without fsync, since the
# kernel's cache outlives a process: no commit may be taken back.  Then with
# fsync, so that a batch is flushed while the next one is written, and at last
# with synchronous_commit off: a crash may take back the last commits, rows and
# offsets together.
sub part_server
{
	my ($self) = @_;
	my $kills = $self->{done};
	my %taken_back = (on => 0, fsync => 0, off => 0);

	$self->node('server');
	my $load = $self->load(messages => 3000 * $kills, shares => $kills);

	$load->ask_share for 1 .. 2;
	foreach my $i (1 .. $kills)
	{
		my $setting = (qw(on fsync off))[ 3 * ($i - 1) / $kills ];

		$self->set('fsync', 'on') if $setting eq 'fsync';
		$self->set('synchronous_commit', 'off') if $setting eq 'off';
		$self->await_running if $self->number(10) < 8;
		# the last share comes when it is off
		$load->ask_share if $i < $kills - 2 || $i == $kills;
		sleep($self->seconds(0.5));
		$taken_back{$setting}++ if $self->kill_server;
		$self->progress($i, 'kills of the server');
	}
	my %result = $self->reckoning($load);
	my $settings = sql("SELECT string_agg(setting || ' ' || n, ', '
			ORDER BY setting DESC)
		FROM (SELECT setting, count(*) AS n FROM arrivals GROUP BY 1) s");

	push(@{ $result{problems} }, "no row was committed with it off: $settings")
	  unless $settings =~ /off/;
	push(@{ $result{problems} }, 'commits were taken back in spite of it on')
	  if $taken_back{on} > 0;
	return (%result, done => "$kills kills, $result{messages} messages",
		figures => "rows by synchronous_commit: $settings; commits taken back "
		  . "by a crash: on $taken_back{on}, with fsync $taken_back{fsync}, off $taken_back{off}");
}

sub set
{
	my ($self, $name, $value) = @_;

	poll($self->{node}, 'SELECT true');
	sql("ALTER SYSTEM SET $name = $value");
	sql('SELECT pg_reload_conf()');
	return;
}


### The broker

# A trickle goes on all the time, as far as the broker takes it.
sub part_broker
{
	my ($self) = @_;
	my $faults = $self->{done};
	my (@back, %number);
	my $silent = 0;

	$self->node('broker');
	my $load = $self->load(share => 20, pause => 0.2);
	my $log = log_position($self->{node});

	foreach my $i (1 .. $faults)
	{
		my $fault = (qw(kill freeze restart))[ $i % 3 ];

		$silent++ unless $self->await_running;
		sleep($self->seconds(1));
		$self->can("broker_$fault")->($self);
		my $seconds = $self->time_to_follow("marker-$self->{seed}-$i");
		push(@back, $seconds);
		$number{$fault}++;
		note(sprintf('fault %d, %s: followed after %.2f s', $i, $fault, $seconds))
		  if $seconds > 2;
		$self->progress($i, 'faults of the broker');
	}
	my %result = $self->reckoning($load);
	my $p95 = percentile(0.95, @back);
	my $lines = log_lines($self->{node}, qr/ LOG:  stream "/, $log);

	push(@{ $result{problems} }, "$silent times not running in spite of a broker")
	  if $silent > 0;
	push(@{ $result{problems} }, "$lines lines in the log for $faults faults")
	  if $lines > $MOST_LINES * 2 * $faults;
	push(@{ $result{problems} }, sprintf('p95 is %.2f s, and the bar %d s',
			$p95, $MOST_BACK))
	  if $self->{judge_times} && $p95 > $MOST_BACK;
	return (%result,
		done => join(', ', map { "$number{$_} $_" } sort keys %number)
		  . ", $result{messages} messages",
		figures => sprintf('followed its broker after: p50 %.2f s, p95 %.2f s, '
			. 'max %.2f s; %.1f lines in the log per fault and stream',
			percentile(0.5, @back), $p95, max(@back), $lines / 2 / $faults));
}

# Each of these returns when the broker has answered, and every partition has
# its leader.
sub broker_kill
{
	my ($self) = @_;

	$self->{kafka}->kill;
	sleep($self->seconds(2));
	$self->{kafka}->restart;
	return;
}

sub broker_restart { return $_[0]->{kafka}->restart }

sub broker_freeze
{
	my ($self) = @_;

	$self->{kafka}->freeze;
	sleep(1 + $self->seconds(7));
	$self->{kafka}->thaw;
	Fluct::Broker::call('wait', $self->{kafka}->dir, 60);
	return;
}

# From now until both streams have committed a message that is produced now.
sub time_to_follow
{
	my ($self, $id) = @_;
	my $begin = time();

	$self->{kafka}->produce('orders', [ an_order($id) ]);
	poll($self->{node}, "SELECT EXISTS (SELECT FROM sales.orders
			WHERE order_id = '$id')
		AND EXISTS (SELECT FROM arrivals WHERE order_id = '$id')", 't', 120)
	  or die "the streams do not follow the broker";
	return time() - $begin;
}


### TLS

# Streams over TLS, each with a table of its own without a key.
sub make_tls_streams
{
	my ($self, $count) = @_;
	my $kafka = $self->{kafka};
	my $secrets = PostgreSQL::Test::Utils::tempdir();
	my $sasl = slurp_file($kafka->dir . '/bootstrap.sasl');
	my $role = 'etl';

	chomp($sasl);
	make_path("$secrets/$role");
	write_lines("$secrets/$role/$_->[0]", slurp_file($kafka->dir . "/$_->[1]"))
	  foreach [ 'ca.pem', 'ca.pem' ], [ 'kafka.pw', 'password' ];
	sql("ALTER SYSTEM SET fluct.secrets_dir = '$secrets'");
	sql('SELECT pg_reload_conf()');
	poll($self->{node}, 'SHOW fluct.secrets_dir', $secrets);
	etl("CREATE SERVER safe FOREIGN DATA WRAPPER fluct_kafka
		OPTIONS (bootstrap_servers '$sasl', security_protocol 'sasl_ssl',
			sasl_mechanism 'PLAIN', ssl_ca_pem 'file:ca.pem');
		CREATE USER MAPPING FOR CURRENT_USER SERVER safe
			OPTIONS (sasl_username 'etl', sasl_password 'file:kafka.pw')");
	etl("CREATE TABLE tls$_ (n int);
		SELECT fluct.create_stream('tls$_', 'safe', 'tls', 'tls$_',
			'{\"columns\": {\"n\": \"\$.n\"}}', keep_raw => false, start => true)")
	  foreach 1 .. $count;
	return;
}

# What makes every worker leave; a worker that is killed by a signal of its own
# making restarts the server and is in the log.
my @LEAVING = (
	sub {
		my ($self, $n) = @_;
		sql("SELECT fluct.pause_stream('tls$_')") foreach 1 .. $n;
		sql("SELECT fluct.start_stream('tls$_')") foreach 1 .. $n;
	},
	sub {
		my ($self, $n) = @_;
		my $interval = 50 + $self->number(1000);
		sql("SELECT fluct.alter_stream(stream,
				batch_interval => '$interval ms') FROM fluct.stat_streams");
	},
	sub {
		my ($self, $n) = @_;
		sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE backend_type = 'fluct stream worker'");
	},
	sub { $_[0]->{node}->restart });

sub part_tls
{
	my ($self) = @_;
	my $streams = 6;
	my ($exits, $sent) = (0, 0);

	$self->node('tls');
	$self->{kafka}->create_topic('tls', 2);
	$self->make_tls_streams($streams);
	my $log = log_position($self->{node});
	while ($exits < $self->{done})
	{
		# a message for each round: connected, busy, and no failure counts on
		$sent++;
		$self->{kafka}->produce('tls', [ qq({"n": $sent}) ]);
		poll($self->{node}, join(' AND ', map { "(SELECT count(*) FROM tls$_) >= $sent" }
				1 .. $streams) =~ s/^/SELECT /r) or die 'the streams do not run';
		sleep($self->seconds(0.2));
		my @before = worker_pids($self->{node});
		$LEAVING[ $self->number(scalar @LEAVING) ]->($self, $streams);
		poll($self->{node}, "SELECT count(*) FILTER (WHERE pid = ANY('{"
			  . join(',', @before) . "}')) = 0 AND count(*) = $streams
			FROM pg_stat_activity WHERE backend_type = 'fluct stream worker'");
		$exits += @before;
		note("$exits of $self->{done} exits") if $sent % 10 == 0;
	}
	return (messages => $sent, $self->tls_reckoning($streams, $sent, $log),
		done => "$exits exits");
}

sub tls_reckoning
{
	my ($self, $streams, $sent, $log) = @_;
	my %result = (lost => 0, doubled => 0, problems => []);

	foreach my $i (1 .. $streams)
	{
		caught_up($self->{node}, "tls$i");
		my $distinct = sql("SELECT count(DISTINCT n) FROM tls$i");
		$result{lost} += $sent - $distinct;
		$result{doubled} += sql("SELECT count(*) FROM tls$i") - $distinct;
	}
	my @crashes = log_lines($self->{node}, qr/terminated by signal|reinitializing|PANIC/, $log);

	push(@{ $result{problems} }, "signal deaths: $crashes[0]") if @crashes;
	push(@{ $result{problems} }, 'messages lost or doubled')
	  if $result{lost} + $result{doubled} != 0;
	return (%result, figures => scalar(@crashes) . ' signal deaths');
}


### Stopping

sub part_stop
{
	my ($self) = @_;

	$self->node('stop');
	$self->{kafka}->create_topic('tls', 2);
	$self->make_tls_streams(1);
	return Fluct::Stops::run($self);
}

1;
