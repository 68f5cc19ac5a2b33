# What ends a batch, and what begins the next one.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);

# A stream of $count numbers in messages of 100 bytes, which are there already.
sub filled_stream
{
	my ($name, $count, $more) = @_;

	$kafka->create_topic($name);
	$kafka->produce($name,
		[ map { sprintf('{"n": %d, "pad": "%s"}', $_, 'x' x (80 - length)) } 1 .. $count ]);
	number_stream($name, more => $more);
	return;
}

sub numbers_of { return sql("SELECT count(*), count(DISTINCT n), max(n) FROM $_[0]") }

# ----- in hand -----

filled_stream('few', 20, q{, batch_interval => '1 minute'});
ok(caught_up($node, 'few'), 'a first batch that is in hand does not wait for its interval');
is(numbers_of('few'), '20|20|20', 'and is whole');

# ----- by bytes -----

# With each poll 64 messages arrive: what is too much for a batch of a thousand
# is less than that, and begins the next batch.
filled_stream('bytes', 10000, ', batch_bytes => 100000');
ok(caught_up($node, 'bytes'), 'batches that end by bytes');
is(sql("SELECT ended, min(messages) > 900 FROM fluct.batches
		WHERE stream = 'bytes' AND ended <> 'batch_interval' GROUP BY 1"),
	'batch_bytes|t', 'none of them holds only what the one before left');
is(numbers_of('bytes'), '10000|10000|10000', 'and nothing is lost or doubled');

# A large message is a batch of its own, not one that waits for more.
filled_stream('large', 1000, ', batch_bytes => 1024');
ok(caught_up($node, 'large'), 'batches of a few messages');
is(sql("SELECT ended, max(messages) FROM fluct.batches
		WHERE stream = 'large' AND ended <> 'batch_interval' GROUP BY 1"),
	'batch_bytes|11', 'what arrived together is divided');
is(numbers_of('large'), '1000|1000|1000', 'and nothing is lost or doubled');

# ----- by their number -----

filled_stream('many', 10000, q{, batch_interval => '1 minute'});
ok(caught_up($node, 'many'), 'small messages');
is(sql("SELECT ended, messages FROM fluct.batches WHERE stream = 'many'"),
	'batch_size|10000', 'are one batch by default');

# ----- workers -----

like(said("SELECT fluct.alter_stream('many', workers => 3)", as => 'etl'),
	qr/NOTICE.*more workers than partitions.*2 of 3 have nothing to do.*workers => 1/s, 'more workers than partitions are idle');
is(said("SELECT fluct.alter_stream('many', workers => 1)", as => 'etl'), '', 'as many are not');

done_testing();
