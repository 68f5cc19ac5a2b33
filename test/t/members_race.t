# Partitions go to and fro between members by calls that come at the same time,
# while streams are altered, dropped and made again, paused and started, and servers killed: each call says
# what it did or why not, and every order is stored once.
#
# FLUCT_SEED makes other choices (default 1), FLUCT_ROUNDS more of them (3).
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Members;
use IPC::Run;
use Test::More;

my $seed = $ENV{FLUCT_SEED} // 1;
my $rounds = $ENV{FLUCT_ROUNDS} // 3;

my $kafka = fluct_broker();
my %node = map { $_ => fluct_node($_, kafka => $kafka) } qw(a b c);
my @names = sort keys %node;
my @nodes = @node{@names};
my $partitions = 6;
my $produced = 0;
my $again = q{DO $$ DECLARE p int[]; BEGIN
	PERFORM fluct.alter_stream('orders', batch_size => 50);
	SELECT s.partitions INTO p FROM fluct.streams s;
	PERFORM fluct.drop_stream('orders');
	SET LOCAL client_min_messages = warning;
	PERFORM fluct.create_stream('orders', 'shop', 'orders', batch_interval => '10 ms', keep_raw => false, partitions => p, start => true);
END $$};
my $known = qr/^(|NOTICE:  00000: member .* has partition .*|ERROR:  55000: (partition|stream) .*|ERROR:  08006: member .* does not take partition .*)$/s;

sub pick { return $_[ rand(@_) ] }

sub produce
{
	my ($n) = @_;

	$produced += $n;
	return $kafka->produce('orders', [ orders($n, seed => $produced, lines => 1) ]);
}

# A call at some member, under way.
sub begin
{
	my $at = $node{ pick(@names) };
	my $what = pick(
		("CALL fluct.hand_over('orders', ${\ int(rand($partitions))}, '${\ pick(@names)}')") x 8,
		"SELECT fluct.alter_stream('orders', batch_size => ${\ (1 + int(rand(100)))})",
		q{SELECT fluct.pause_stream('orders')}, $again,
		(q{SELECT fluct.start_stream('orders')}) x 2);
	my $err = '';
	my $run = IPC::Run::start([ 'psql', '-XqAt', '-v', 'VERBOSITY=verbose', '-U', 'etl', '-c', $what, $at->connstr('postgres') ],
		'<', \undef, '>', '/dev/null', '2>', \$err);

	return { run => $run, what => $what, err => \$err };
}

note("FLUCT_SEED=$seed");
srand($seed);
$kafka->create_topic('orders', $partitions);
etl($node{$_}, q{SELECT fluct.create_stream('orders', 'shop', 'orders', batch_interval => '10 ms', keep_raw => false, start => true}
	. ($_ eq 'a' ? ')' : q{, partitions => '{}')})) foreach @names;
meet($_, %node) foreach @nodes;
produce(100);
ok(caught_up($node{a}, 'orders'), 'one member has all');

my $handed_over = 0;
my @odd;
foreach my $round (1 .. $rounds)
{
	my $kills = $round % 3 == 0;
	my @calls = map { begin() } 1 .. 12;

	produce(50);
	crash_server($node{ pick(@names) }) if $kills;
	foreach my $call (@calls)
	{
		$call->{run}->finish;
		$handed_over++ if ${ $call->{err} } =~ /"; its stream is /;
		push @odd, "$call->{what}: ${ $call->{err} }" if !$kills && ${ $call->{err} } !~ $known;
	}
}
note("$handed_over of the calls have handed over a partition");
is(join("\n", @odd), '', 'each call did what it was to do, or said why not');

# ----- what was begun is completed -----

foreach my $name (@names)
{
	etl($node{$name}, $_) foreach q{SELECT fluct.start_stream('orders')},
	  split(/\n/, sql($node{$name}, q{SELECT format('CALL fluct.hand_over(%L, %s, %L)', stream, partition, to_member) FROM fluct._handovers_under_way}));
}
caught_up($_, 'orders') foreach @nodes;
is(join(',', sort map { split(/,/, sql($_, q{SELECT array_to_string(partitions, ',') FROM fluct.streams})) } @nodes),
	join(',', 0 .. $partitions - 1), 'each partition is with one member');
is(total('SELECT count(*) FROM sales.orders', @nodes), $produced, 'every order, once');
is(total(q{SELECT coalesce(sum(unexplained), 0) FROM fluct.reconcile_stream('orders')}, @nodes), 0, 'all offsets accounted for');
is(total('SELECT count(*) FROM fluct.verify_rollup()', @nodes), 0, 'and in the rollups');
$_->stop foreach @nodes;
done_testing();
