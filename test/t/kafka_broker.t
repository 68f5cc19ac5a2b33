# The broker tool itself: what other tests rest on.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use JSON::PP;
use Test::More;

my $kafka = fluct_broker();

$kafka->create_topic('orders', 2);
is_deeply([ $kafka->describe('orders') ], [ [ 0, 0, 0 ], [ 1, 0, 0 ] ],
	'a new topic is empty');

$kafka->produce('orders', [ 'a', 'b', 'c', 'd', 'e' ]);
is_deeply([ $kafka->describe('orders') ], [ [ 0, 0, 3 ], [ 1, 0, 2 ] ],
	'messages go to the partitions in turn');
$kafka->produce('orders', ['f'], partition => 1);
is_deeply([ $kafka->consume('orders', '-p', 1) ], [ 'b', 'd', 'f' ],
	'a partition keeps the order');

$kafka->create_topic('keyed');
$kafka->produce('keyed', [ "k\tv", 'gone' ],
	keyed => 1, headers => { h => 'x' }, timestamp => 1700000000000);
is_deeply([ $kafka->consume('keyed', '-f', '%k %S %s %h %T\n') ],
	[ 'k 1 v h=x 1700000000000', 'gone -1  h=x 1700000000000' ],
	'keys, a tombstone, headers, times');
$kafka->produce('keyed', ["two\nlines\0"], whole => 1);
is(($kafka->describe('keyed'))[0][2], 3, 'one message of any bytes');

# Transactions: a control record takes an offset, too.
$kafka->create_topic('txn');
$kafka->produce('txn', [ 1, 2 ], transaction => 'abort');
$kafka->produce('txn', [ 3, 4 ], transaction => 'commit');
is_deeply([ $kafka->describe('txn') ], [ [ 0, 0, 6 ] ],
	'control records take offsets');
is_deeply([ $kafka->consume('txn', '-f', '%o:%s\n') ], [ '3:3', '4:4' ],
	'what was aborted is not there');

$kafka->delete_records('orders', 0, 2);
is_deeply([ $kafka->describe('orders') ], [ [ 0, 2, 3 ], [ 1, 0, 3 ] ],
	'deleted records move the low offset');
$kafka->add_partitions('orders', 3);
is_deeply([ $kafka->describe('orders') ],
	[ [ 0, 2, 3 ], [ 1, 0, 3 ], [ 2, 0, 0 ] ], 'one partition more');
$kafka->delete_topic('orders');
ok(!eval { $kafka->describe('orders'); 1 }, 'a deleted topic is gone');
like($@, qr/no topic "orders"/, 'and the tool says so');
$kafka->create_topic('orders', 1);
is_deeply([ $kafka->describe('orders') ], [ [ 0, 0, 0 ] ],
	'made again, it is another');

# Orders: the same for a seed, in the real shape.
my @orders = orders(20, seed => 7);
is_deeply(\@orders, [ orders(20, seed => 7) ], 'a seed gives the same orders');
isnt($orders[0], (orders(1, seed => 8))[0], 'another seed gives others');
my @parsed = map { decode_json($_) } @orders;
is(scalar(grep { @{ $_->{order_lines} } > 0 && $_->{amount} > 0 } @parsed), 20,
	'orders are JSON and have lines');
$kafka->produce('orders', \@orders);
is_deeply([ $kafka->consume('orders') ], \@orders, 'orders go through Kafka');

SKIP:
{
	skip('FLUCT_KAFKA is another\'s broker', 6) if $kafka->is_external;
	my $bootstrap = $kafka->bootstrap;

	$kafka->freeze;
	is($kafka->status, 'frozen', 'frozen');
	$kafka->thaw;
	is($kafka->status, 'running', 'thawed');
	$kafka->kill;
	is($kafka->status, 'stopped', 'killed');
	$kafka->restart;
	is($kafka->bootstrap, $bootstrap, 'it comes back at the same port');
	is_deeply([ $kafka->describe('orders') ], [ [ 0, 0, 20 ] ],
		'and has what it had');
	$kafka->stop;
	is($kafka->status, 'stopped', 'stopped');
}

done_testing();
