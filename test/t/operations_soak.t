# The short form of `make soak`: exactly once, whatever dies, and no crash of
# our own making.  No times are judged here.  FLUCT_SEED repeats a run's
# choices.
#
# Triggers make each transaction last, between its tables and before its
# offsets, so that most kills hit one where it would hurt: a worker that
# committed the offsets on their own is found out.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Soak;
use Test::More;

my $seed = $ENV{FLUCT_SEED} // int(time()) % 100000;
my $kafka = fluct_broker('main', '--sasl-ssl');
plan(skip_all => 'FLUCT_KAFKA is another\'s broker, and cannot be killed')
  if $kafka->is_external;
note("seed $seed: FLUCT_SEED=$seed repeats it");

my %count = (workers => 8, server => 6, broker => 3, tls => 12);

foreach my $part (grep { $count{$_} } Fluct::Soak::parts())
{
	my $soak = Fluct::Soak->new(kafka => $kafka, seed => $seed,
		count => $count{$part}, scale => 0.01, linger => 30);
	my %result = $soak->run($part);

	note("$part: $result{done}; $result{figures}; "
		. sprintf('%.1f s', $result{seconds}));
	is($result{lost}, 0, "$part, seed $seed: nothing lost");
	is($result{doubled}, 0, "$part, seed $seed: nothing doubled");
	is($result{unaccounted}, 0,
		"$part, seed $seed: every offset is accounted for");
	is_deeply($result{problems}, [], "$part, seed $seed: no problem");
	$kafka->delete_topic('orders') unless $part eq 'tls';
}

done_testing();
