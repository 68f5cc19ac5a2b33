# Fluct::Load - two streams of one topic, and a process that fills it
#
#   my $load = Fluct::Load->new($node, $kafka);
#   $load->start(0.2);           # a share again and again, with this pause
#   ...                          # dump, recover, promote
#   $load->stop;
#
#   my $load = Fluct::Load->new($node, $kafka, seed => 7, messages => 5000,
#       shares => 8, linger => 30);
#   $load->start;                # a share when it is asked for
#   for (1 .. 8) { $load->ask_share; ... }
#   $load->stop;
#
# The streams read the topic `orders`: the stream `orders` fills the order
# tables, `arrivals` a table without any key, where a message that came twice
# would have two rows.  Fluct::Reckoning compares them with what Kafka holds.
#
# All messages are computed from the seed.  In each share there are, beside new
# orders, an order that came before, a message that is not JSON, and a
# tombstone.
package Fluct::Load;

use strict;
use warnings;
use Fluct;
use POSIX qw(ceil strftime);
use Time::HiRes qw(sleep);

my $ARRIVALS = '{"columns": {"partition": "kafka.partition",
	"offset": "kafka.offset", "order_id": "$.order_id",
	"amount": "$.amount"}}';

# Makes the topic and starts the streams.
#
# Options: seed (1); share, the messages of one (53), or messages and shares;
# fields, to replace or add in each order, as JSON; partitions (2); batch_size
# (50) and batch_interval (10 ms); linger (ms that each table of a batch takes
# longer, so that more of the kills fall between two of them).
sub new
{
	my ($class, $node, $kafka, %option) = @_;
	my $self = bless({ partitions => 2, linger => 0, seed => 1, fields => {},
		batch_size => 50, batch_interval => '10 ms', %option,
		node => $node, kafka => $kafka }, $class);

	$self->{share} //=
	  $self->{shares} ? ceil($self->{messages} / $self->{shares}) : 53;
	$kafka->create_topic('orders', $self->{partitions});
	$self->make_streams;
	return $self;
}

# The column `setting` says under which setting a row was really committed.
sub make_streams
{
	my ($self) = @_;
	my $node = $self->{node};
	my $options = "batch_size => $self->{batch_size},
		batch_interval => '$self->{batch_interval}',
		max_dead_letters => 10000000, start => true";

	etl($node, "CREATE TABLE arrivals (partition int, \"offset\" bigint,
			order_id text, amount numeric,
			setting text DEFAULT current_setting('synchronous_commit'))");
	$self->make_linger if $self->{linger} > 0;
	etl($node, "SELECT fluct.create_stream('orders', 'shop', 'orders', $options);
		SELECT fluct.create_stream('arrivals', 'shop', 'orders', 'arrivals',
			'$ARRIVALS', keep_raw => false, $options)");
	return;
}

sub make_linger
{
	my ($self) = @_;
	my $seconds = $self->{linger} / 1000;

	sql($self->{node}, "CREATE FUNCTION linger() RETURNS trigger
		LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_sleep($seconds); RETURN NULL; END'");
	foreach my $event ('AFTER INSERT ON arrivals',
		'AFTER INSERT ON sales.orders',
		'BEFORE UPDATE ON fluct.stream_offsets')
	{
		sql($self->{node}, "CREATE TRIGGER linger $event
			FOR EACH STATEMENT EXECUTE FUNCTION linger()");
	}
	return;
}


### Messages

# The order with this number, always the same; of one to three equal lines.
sub order
{
	my ($self, $n) = @_;
	my $lines = 1 + $n % 3;
	my $volume = 1 + ($n * 7 + $self->{seed}) % 9;
	my $cents = 1 + ($n * 7919 + $self->{seed}) % 9999;
	my $line = sprintf('{"product_id": "p%d", "volume": %d, "price": %s}',
		$n % 50, $volume, in_units($cents));

	return an_order("o$self->{seed}-$n",
		customer_id => sprintf('"c%d"', $n % 1000),
		amount => in_units($lines * $volume * $cents),
		timestamp => strftime('"%Y-%m-%dT%H:%M:%S"', gmtime(1767225600 + $n)),
		order_lines => '[' . join(', ', ($line) x $lines) . ']',
		%{ $self->{fields} });
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


### The process

# Begins it.  Each byte of the pipe asks for the next share, and its end is the
# end; with a pause (s) a share goes out every so often, until any byte.
sub start
{
	my ($self, $pause) = @_;
	my $test = $$;

	pipe(my $asked, my $ask);
	my $pid = fork();
	die "fork: $!" unless defined($pid);
	if ($pid == 0)
	{
		$SIG{INT} = $SIG{TERM} = sub { POSIX::_exit(1) };
		close($ask);
		for (my $i = 0; defined($pause) ? !has_input($asked, $pause) :
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
	my ($handle, $seconds) = @_;
	my $set = '';

	vec($set, fileno($handle), 1) = 1;
	return select($set, undef, undef, $seconds);
}

# A broker that dies may have taken a part of a share, which is then sent
# again.
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
sub stop
{
	my ($self) = @_;

	close($self->{ask});
	waitpid($self->{producer}, 0);
	die 'the producer failed' if $? != 0;
	return;
}

1;
