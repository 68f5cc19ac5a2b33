# Fluct::Chaos - a load, faults, and the reckoning
#
#   my $chaos = Fluct::Chaos->new($node, $kafka, seed => 7, messages => 5000,
#       shares => 8, linger => 30);
#   for (1 .. 8) { $chaos->ask_share; ...; $chaos->kill_worker }
#   my $result = $chaos->reckon;     # { lost => 0, doubled => 0, ... }
#
# Two streams read one topic: `orders` fills the order tables, `arrivals` a
# table without any key, where a message that came twice would be there twice.
#
# The load comes from a process of its own, share by share, each when it is
# asked for, so that there is something to lose as long as there are faults.
# All is computed from the seed.  In each share there are, beside new orders,
# an order that came before, a message that is no JSON, and a tombstone.
#
# What counts in the end is what Kafka holds: a broker that dies may have
# taken a part of a share, which is then sent again.
package Fluct::Chaos;

use strict;
use warnings;
use Fluct;
use POSIX qw(ceil strftime);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

my $BATCH = "batch_size => 500, batch_interval => '20 ms',
	max_dead_letters => 10000000";
my $ARRIVALS = '{"columns": {"partition": "kafka.partition",
	"offset": "kafka.offset", "order_id": "$.order_id",
	"amount": "$.amount"}}';
my $MOST_CATCHING_UP = 900;

# Options: seed; messages and shares, or share (messages in one) and trickle
# (a share goes out again and again until the end, without being asked for);
# partitions (8); linger (ms that each table of a batch takes longer, so that
# more of the kills fall between two of them).
sub new
{
	my ($class, $node, $kafka, %option) = @_;
	my $self = bless({ partitions => 8, linger => 0, seed => 1, %option,
		node => $node, kafka => $kafka, topic => 'orders' }, $class);

	$self->{share} //= ceil($self->{messages} / $self->{shares});
	$kafka->create_topic('orders', $self->{partitions});
	$self->make_streams;
	$self->start_producer;
	return $self;
}

sub sql
{
	my ($self, $sql) = @_;

	return $self->{node}->safe_psql('postgres', $sql);
}

# The column `setting` says under which setting a row was really committed.
sub make_streams
{
	my ($self) = @_;

	$self->sql("CREATE TABLE arrivals (partition int, \"offset\" bigint,
			order_id text, amount numeric,
			setting text DEFAULT current_setting('synchronous_commit'))");
	$self->make_linger if $self->{linger} > 0;
	$self->sql("SELECT fluct.create_stream('orders', 'shop', 'orders', $BATCH,
			start => true);
		SELECT fluct.create_stream('arrivals', 'shop', 'orders', 'arrivals',
			'$ARRIVALS', $BATCH, keep_raw => false, start => true)");
	return;
}

sub make_linger
{
	my ($self) = @_;
	my $seconds = $self->{linger} / 1000;

	$self->sql("CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN PERFORM pg_sleep($seconds); RETURN NULL; END'");
	foreach my $event ('AFTER INSERT ON arrivals',
		'AFTER INSERT ON fluct.orders',
		'BEFORE UPDATE ON fluct.stream_offsets')
	{
		$self->sql("CREATE TRIGGER linger $event
			FOR EACH STATEMENT EXECUTE FUNCTION linger()");
	}
	return;
}


### The load

# The order with this number, always the same; of one to three equal lines.
sub order
{
	my ($self, $n) = @_;
	my $lines = 1 + $n % 3;
	my $volume = 1 + ($n * 7 + $self->{seed}) % 9;
	my $cents = 1 + ($n * 7919 + $self->{seed}) % 9999;
	my $line = sprintf('{"product_id": "p%d", "volume": %d, "price": %s}',
		$n % 50, $volume, in_units($cents));

	return sprintf('{"order_id": "o%d-%d", "customer_id": "c%d", "amount": %s, '
		. '"timestamp": "%s", "order_lines": [%s]}',
		$self->{seed}, $n, $n % 1000, in_units($lines * $volume * $cents),
		strftime('%Y-%m-%dT%H:%M:%S', gmtime(1767225600 + $n)),
		join(', ', ($line) x $lines));
}

sub in_units { return sprintf('%d.%02d', $_[0] / 100, $_[0] % 100) }

# The messages of a share, as KEY, tab, VALUE.
sub share
{
	my ($self, $i) = @_;
	my $random = Fluct::generator($self->{seed} * 1_000_003 + $i);
	my $new = $self->{share} > 6 ? $self->{share} - 3 : $self->{share};
	my $first = $i * $new;
	my @values = map { $self->order($_) } $first .. $first + $new - 1;
	my $key = 0;

	push(@values, $self->order($random->($first + $new)), '{"order_id": "cut',
		undef) if $new < $self->{share};
	return map { $key++; defined($_) ? "$i-$key\t$_" : "$i-$key" } @values;
}

# A process of its own.  Each byte of the pipe asks for the next share; its
# end, with a trickle any byte, is the end.
sub start_producer
{
	my ($self) = @_;
	my $test = $$;

	pipe(my $asked, my $ask);
	my $pid = fork();
	die "fork: $!" unless defined($pid);
	if ($pid == 0)
	{
		$SIG{INT} = $SIG{TERM} = sub { POSIX::_exit(1) };
		close($ask);
		for (my $i = 0; $self->{trickle} ? !has_input($asked) :
			sysread($asked, my $byte, 1); $i++)
		{
			$self->send_share($i, sub { getppid() != $test });
		}
		POSIX::_exit(0);
	}
	close($asked);
	@$self{qw(producer ask)} = ($pid, $ask);
	return;
}

sub has_input
{
	my ($handle) = @_;
	my $set = '';

	vec($set, fileno($handle), 1) = 1;
	return select($set, undef, undef, 0.2);
}

sub send_share
{
	my ($self, $i, $alone) = @_;
	my @messages = $self->share($i);

	until (eval { $self->{kafka}->produce('orders', \@messages, keyed => 1); 1 })
	{
		POSIX::_exit(1) if $alone->();
		sleep(0.2);
	}
	return;
}

sub ask_share
{
	my ($self) = @_;

	die 'the producer is gone' unless syswrite($self->{ask}, '.');
	return;
}

# Waits until all that was asked for is sent.
sub end_producer
{
	my ($self) = @_;

	close($self->{ask});
	waitpid($self->{producer}, 0);
	die 'the producer failed' if $? != 0;
	return;
}


### Faults

sub await_running
{
	my ($self) = @_;

	return poll($self->{node},
		"SELECT bool_and(state = 'running') FROM fluct.stat_streams");
}

# kill -9 for a worker of either stream; the server then restarts itself.  The
# worker is stopped first, so that what it was at is seen: true when its
# transaction had written something.  $choose takes a number, and returns one
# below it.
sub kill_worker
{
	my ($self, $choose) = @_;
	my $pids = poll_until($self->{node},
		"SELECT pid FROM pg_stat_activity
		 WHERE backend_type = 'fluct stream worker'", sub { $_[0] ne '' });
	my @pids = split(/\n/, $pids // die 'no stream worker comes back');
	my $pid = $pids[ $choose->(scalar @pids) ];
	my $writing;

	return $self->kill_worker($choose) unless kill('STOP', $pid);
	# it may have been stopped with a lock that the answer needs
	eval {
		$self->{node}->psql('postgres', "SELECT backend_xid IS NOT NULL
			FROM pg_stat_activity WHERE pid = $pid",
			stdout => \$writing, timeout => 2);
	};
	kill('KILL', $pid);
	return ($writing // '') eq 't';
}

# The sum of all positions, or undef while the server is not there.
sub positions
{
	my ($self) = @_;
	my $sum;

	eval {
		$self->{node}->psql('postgres', 'SELECT sum(next_offset)
			FROM fluct.stream_offsets', stdout => \$sum, timeout => 30);
	};
	return $sum;
}

# kill -9 for the server.  True when commits that were seen are gone
# afterwards, as synchronous_commit off may have it: a lower bound, since the
# workers go on at once.
sub kill_server
{
	my ($self) = @_;
	my $before = $self->positions || 0;

	crash_server($self->{node});
	my $after = $self->positions;
	return defined($after) && $after ne '' && $after < $before;
}


### The reckoning

# Writes what the topic holds to a file for COPY; Kafka's word, not the
# producer's.
sub write_truth
{
	my ($self, $file) = @_;

	open(my $log, '-|', 'kcat', '-C', '-q', '-e', '-b',
		$self->{kafka}->bootstrap, '-t', 'orders', '-X',
		'isolation.level=read_committed', '-f', '%p %o %S %s\n')
	  or die "kcat: $!";
	open(my $out, '>', $file) or die "$file: $!";
	while (<$log>)
	{
		my ($partition, $offset, $size, $value) = split(/ /, $_, 4);
		my ($id) = $value =~ /"order_id": "([^"]+)"/;
		my ($amount) = $value =~ /"amount": ([\d.]+)/;
		my $lines = () = $value =~ /"product_id"/g;
		my ($kind, @order) = $size < 0 ? ('tombstone', '\N', '\N', 0) :
		  $value =~ /\}$/ ? ('order', $id, $amount, $lines) :
		  ('bad', '\N', '\N', 0);

		print $out join("\t", $partition, $offset, $kind, @order), "\n";
	}
	close($log) or die 'kcat failed';
	close($out) or die "$file: $!";
	return;
}

sub load_truth
{
	my ($self) = @_;
	my $file = "${PostgreSQL::Test::Utils::tmp_check}/truth";

	$self->write_truth($file);
	$self->sql("CREATE TABLE truth (partition int, \"offset\" bigint, kind text,
			order_id text, amount numeric, lines int);
		COPY truth FROM '$file';
		CREATE TABLE true_orders AS SELECT DISTINCT order_id, amount, lines
			FROM truth WHERE kind = 'order';
		CREATE TABLE log_ends (partition int, high bigint);
		INSERT INTO log_ends VALUES "
		  . join(', ', map { "($_->[0], $_->[2])" }
			  $self->{kafka}->describe('orders'))
		  . '; ANALYZE truth, true_orders');
	unlink($file);
	return;
}

# How many rows of $_[0] are not in $_[1].
sub difference
{
	return "SELECT count(*) FROM ($_[0] EXCEPT ALL $_[1]) d";
}

my $place = 'SELECT partition, "offset"';
my %compared = (
	'orders' => [ 'SELECT order_id, amount FROM true_orders',
		'SELECT order_id, amount FROM fluct.orders' ],
	'order lines' => [
		'SELECT order_id, generate_series(1, lines) FROM true_orders',
		'SELECT order_id, line_number FROM fluct.order_lines' ],
	'raw messages' => [ "$place FROM truth", "$place FROM fluct.raw_messages" ],
	'arrivals' => [
		"$place, order_id, amount FROM truth WHERE kind = 'order'",
		"$place, order_id, amount FROM arrivals" ],
	map({ ("dead letters of $_" => [ "$place FROM truth WHERE kind = 'bad'",
			"$place FROM fluct.dead_letters WHERE stream = '$_'" ]) }
		'orders', 'arrivals'));

# A checksum of ids does not depend on their order.
my $ids = 'sum(hashtextextended(order_id, 0)), count(*), sum(amount)';

# messages = stored + duplicates + dead letters + tombstones, and up to the
# log's end; each expression is 0 when it is so.
sub accounts
{
	my ($self) = @_;
	my %stored = (orders => 'fluct.orders', arrivals => 'arrivals');
	my %account = (
		'checksum of orders' => "SELECT ((SELECT ROW($ids) FROM true_orders)
			IS DISTINCT FROM (SELECT ROW($ids) FROM fluct.orders))::int",
		'checksum of arrivals' => "SELECT ((SELECT ROW($ids) FROM truth
			WHERE kind = 'order')
			IS DISTINCT FROM (SELECT ROW($ids) FROM arrivals))::int");

	foreach my $stream (keys %stored)
	{
		$account{"positions of $stream"} = "SELECT sum(abs(l.high -
				coalesce(o.next_offset, 0)) + abs(l.high - coalesce(o.messages, 0)))
			FROM log_ends l LEFT JOIN fluct.stream_offsets o
				ON o.stream = '$stream' AND o.partition = l.partition";
		$account{"counts of $stream"} = "SELECT abs(messages - duplicates -
				dead_letters - tombstones - (SELECT count(*) FROM $stored{$stream}))
			+ abs(tombstones - (SELECT count(*) FROM truth WHERE kind = 'tombstone'))
			FROM fluct.stat_streams WHERE stream = '$stream'";
		$account{"reconcile_stream of $stream"} = "SELECT sum(unexplained)
			FROM fluct.reconcile_stream('$stream')" if $self->{reconciles};
	}
	return %account;
}

# Ends the load, waits until all is committed, and compares.  Returns a hash:
# messages, lost, doubled, unaccounted, and problems, a list of words.
sub reckon
{
	my ($self) = @_;
	my %result = (lost => 0, doubled => 0, unaccounted => 0, problems => []);
	my $check = sub {
		my ($sum, $what, $sql) = @_;
		my $n = $self->sql("SET work_mem = '256MB'; $sql");

		$n = 1 if $n eq '';
		$result{$sum} += $n;
		push(@{ $result{problems} }, "$what: $n $sum") if $n != 0;
	};

	$self->end_producer;
	foreach my $stream ('orders', 'arrivals')
	{
		caught_up($self->{node}, $stream, $MOST_CATCHING_UP)
		  or push(@{ $result{problems} }, "$stream does not catch up");
	}
	$self->load_truth;
	$self->{reconciles} = $self->sql(
		"SELECT to_regprocedure('fluct.reconcile_stream(text)')") ne '';
	foreach my $what (sort keys %compared)
	{
		my ($true, $found) = @{ $compared{$what} };

		$check->('lost', $what, difference($true, $found));
		$check->('doubled', $what, difference($found, $true));
	}
	my %account = $self->accounts;
	$check->('unaccounted', $_, $account{$_}) foreach sort keys %account;
	push(@{ $result{problems} }, 'not all streams run')
	  unless $self->await_running;
	$result{messages} = $self->sql('SELECT count(*) FROM truth');
	return %result;
}

1;
