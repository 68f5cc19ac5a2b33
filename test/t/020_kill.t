# Exactly once, whatever dies: 10,000 orders on 4 partitions, produced while
# stream workers, the whole server and the broker are killed at random moments.
#
# Two streams read the same topic: one into the order tables, one into a table
# without any key, where a message that came twice would be there twice.
# Triggers make each transaction last, between its tables and before its
# offsets, so that most kills hit one where it would hurt: a worker that
# committed the offsets on their own is found out.
#
# FLUCT_SEED repeats a run's choices.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{FLUCT_SEED} // int(time()) % 100000;
my $partitions = 4;
my $chunk = 50;
my $chunks = 200;

note("seed $seed: FLUCT_SEED=$seed repeats it");
srand($seed);

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);
my $external = $kafka->is_external;

$kafka->create_topic('orders', $partitions);
$node->safe_psql('postgres', q{
	CREATE TABLE arrivals (partition int, "offset" bigint, order_id text,
		amount numeric);
	CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END';
	CREATE TRIGGER linger AFTER INSERT ON arrivals
		FOR EACH STATEMENT EXECUTE FUNCTION linger();
	CREATE TRIGGER linger AFTER INSERT ON fluct.orders
		FOR EACH STATEMENT EXECUTE FUNCTION linger();
	CREATE TRIGGER linger BEFORE UPDATE ON fluct.stream_offsets
		FOR EACH STATEMENT EXECUTE FUNCTION linger();
	SELECT fluct.create_stream('orders', 'shop', 'orders', batch_size => 100,
		batch_interval => '20 ms', start => true);
	SELECT fluct.create_stream('arrivals', 'shop', 'orders', 'arrivals',
		'{"columns": {"partition": "kafka.partition",
			"offset": "kafka.offset", "order_id": "$.order_id",
			"amount": "$.amount"}}',
		batch_size => 100, batch_interval => '20 ms', keep_raw => false,
		start => true);
});

# Which faults, and in which order.
my @faults = (('worker') x 20, ('server') x 3, 'restart', 'pause');

push(@faults, 'broker_stop', 'broker_kill') unless $external;
for my $i (reverse 1 .. $#faults)
{
	my $j = int(rand($i + 1));
	@faults[ $i, $j ] = @faults[ $j, $i ];
}

# ----- the producer: a process of its own -----

# 10,000 different orders, a share before each fault, so that there is
# something to lose as long as there are faults.  In each chunk there is also
# an order that came before, a message that is no JSON, and a tombstone.
my @orders = orders($chunks * $chunk, seed => $seed, lines => 8);

sub produce_chunk
{
	my ($i) = @_;
	my @messages = @orders[ $i * $chunk .. ($i + 1) * $chunk - 1 ];
	my $n = 0;

	push(@messages, $orders[ int(rand(($i + 1) * $chunk)) ],
		'{"order_id": "cut', undef);
	@messages = map { defined($_) ? "$n$i\t$_" : "$n$i" }
	  map { $n++; $_ } @messages;

	# A broker that dies may have taken a part of them; what counts below is
	# what Kafka holds.
	until (eval { $kafka->produce('orders', \@messages, keyed => 1); 1 })
	{
		POSIX::_exit(1) if getppid() == 1;
		sleep(0.2);
	}
	return;
}

# Each byte of the pipe asks for the next share; its end means that the test
# is gone.
pipe(my $asked, my $ask);
my $producer = fork();

if ($producer == 0)
{
	my $next = 0;

	close($ask);
	for my $share (1 .. @faults)
	{
		sysread($asked, my $byte, 1) or POSIX::_exit(1);
		produce_chunk($next++) while $next < $chunks * $share / @faults;
	}
	POSIX::_exit(0);
}
close($asked);

# ----- the faults -----

my %done;
my $in_transaction = 0;

# Kills a worker of either stream, and notes whether it was writing.
sub kill_worker
{
	my $pids = poll_until($node,
		"SELECT pid, backend_xid IS NOT NULL FROM pg_stat_activity
		 WHERE backend_type = 'fluct stream worker'", sub { $_[0] ne '' });
	my @workers = split(/\n/, $pids // die 'no stream worker comes back');
	my ($pid, $writing) = split(/\|/, $workers[ int(rand(@workers)) ]);

	$in_transaction++ if $writing eq 't';
	return kill('KILL', $pid);
}

my %fault = (
	worker => \&kill_worker,
	server => sub { crash_server($node); 1 },
	restart => sub { $node->restart; 1 },
	pause => sub {
		poll($node, "SELECT fluct.pause_stream('orders')", 'paused');
		my $paused = await_state($node, 'orders', 'paused');
		poll($node, "SELECT fluct.start_stream('orders')", 'starting');
		return $paused;
	},
	broker_stop => sub { $kafka->stop; $kafka->restart; 1 },
	broker_kill => sub { $kafka->kill; $kafka->restart; 1 });

foreach my $name (@faults)
{
	# Back, whatever the last one was; mostly at work again; then a moment of
	# its own choice.
	poll($node, 'SELECT true');
	poll($node, "SELECT bool_and(state = 'running') FROM fluct.stat_streams")
	  if rand() < 0.8;
	syswrite($ask, '.');
	sleep(rand(0.8));
	until (eval { $fault{$name}->() })
	{
		note("$name: $@") if $@;
		poll($node, 'SELECT true');
	}
	$done{$name}++;
}
is($done{worker}, 20, 'workers were killed 20 times');
is($done{server}, 3, 'the server was killed 3 times');
cmp_ok($in_transaction, '>', 0, 'some of the workers in a transaction');
note("of the workers' deaths, $in_transaction were in a transaction");

# ----- the reckoning -----

waitpid($producer, 0);
is($?, 0, 'the producer is done');
ok(caught_up($node, 'orders'), 'the orders arrive');
ok(caught_up($node, 'arrivals'), 'and at the other target, too');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# What Kafka holds, as it holds it; %T would be the only thing not compared.
my @log = $kafka->consume('orders', '-f', '%p %o %S %s\n');
my $messages = @log;
my (%ids, @stored, $tombstones, $bad);

foreach (@log)
{
	my ($partition, $offset, $size, $value) = split(/ /, $_, 4);

	if ($size < 0) { $tombstones++; next; }
	if ($value !~ /\}$/) { $bad++; next; }
	my ($id) = $value =~ /"order_id": "([^"]+)"/;
	my ($amount) = $value =~ /"amount": ([^,]+)/;
	$ids{$id} = $value;
	push(@stored, [ $partition, $offset, $id, $amount ]);
}
my $lines = 0;
$lines += () = /"product_id"/g foreach values %ids;
note("$messages messages: " . @stored
	. " orders, $bad bad, $tombstones tombstones");

is(scalar(keys %ids), $chunks * $chunk, 'Kafka holds every order');
is(sql('SELECT count(*), count(DISTINCT order_id) FROM fluct.orders'),
	join('|', (scalar(keys %ids)) x 2), 'every order is stored once');
is(sql('SELECT count(*), count(DISTINCT (order_id, line_number))
		FROM fluct.order_lines'),
	"$lines|$lines", 'and every line');
is(sql('SELECT count(*), count(DISTINCT (partition, "offset"))
		FROM fluct.raw_messages'),
	"$messages|$messages", 'and every message, as it came');

my $file = write_lines("${PostgreSQL::Test::Utils::tmp_check}/stored",
	map { join("\t", @$_) } @stored);
my $psql_file = $file;
sql("CREATE TABLE truth (LIKE arrivals);
	COPY truth FROM '$psql_file'");
is(sql('SELECT count(*), sum(amount) FROM arrivals'),
	sql('SELECT count(*), sum(amount) FROM truth'),
	'without a key: the same count and sum');
is(sql('SELECT count(*) FROM (TABLE truth EXCEPT ALL TABLE arrivals) lost'),
	0, 'without a key: none lost');
is(sql('SELECT count(*) FROM (TABLE arrivals EXCEPT ALL TABLE truth) doubled'),
	0, 'without a key: none doubled');
is(sql('SELECT count(*) FROM truth t LEFT JOIN fluct.orders o USING (order_id)
		WHERE o.amount IS DISTINCT FROM t.amount'),
	0, 'the amounts are the ones sent');

is(sql('SELECT messages, rows - ' . $lines . ', duplicates, dead_letters,
			tombstones
		FROM fluct.stat_streams WHERE stream = \'orders\''),
	join('|', $messages, scalar(keys %ids), @stored - keys %ids, $bad,
		$tombstones),
	'messages = stored + duplicates + dead + tombstones');
is(sql("SELECT messages, rows, duplicates, dead_letters, tombstones
		FROM fluct.stat_streams WHERE stream = 'arrivals'"),
	join('|', $messages, scalar(@stored), 0, $bad, $tombstones),
	'without a key, too');
is(sql('SELECT stream, count(*), count(DISTINCT (partition, "offset"))
		FROM fluct.dead_letters GROUP BY 1 ORDER BY 1'),
	"arrivals|$bad|$bad\norders|$bad|$bad", 'every bad message is kept once');
is(sql("SELECT partition, messages, next_offset FROM fluct.stream_offsets
		WHERE stream = 'orders' ORDER BY 1"),
	join("\n", map { "$_->[0]|$_->[2]|$_->[2]" } $kafka->describe('orders')),
	'every offset is accounted for');
is(sql("SELECT string_agg(DISTINCT state, ',') FROM fluct.stat_streams"),
	'running', 'both streams run');

done_testing();
