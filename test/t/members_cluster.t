# Three members, each a server of its own with some of a topic's partitions, and
# a hub that has the whole topic as well: random rankings over the members equal
# those of the one server, while orders arrive, customers change by logical
# replication, members are killed, and partitions move.
#
# FLUCT_SEED makes other choices (default 1).
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Members;
use Test::More;

my $seed = $ENV{FLUCT_SEED} // 1;

note("FLUCT_SEED=$seed");
srand($seed);

my $kafka = fluct_broker();
my %member = map { $_ => fluct_node($_, kafka => $kafka, init => [ allows_streaming => 'logical' ]) } 'm1', 'm2', 'm3';
my $hub = fluct_node('hub', kafka => $kafka, init => [ allows_streaming => 'logical' ]);
my $publisher = $hub->connstr('postgres') =~ s/'/''/gr;
my %partitions = (m1 => '{0,1}', m2 => '{2,3}', m3 => '{4,5}');
my $n = 0;

sub pick { return $_[ rand(@_) ] }

sub stream
{
	my ($node, $more) = @_;

	return etl($node, "SELECT fluct.create_stream('orders', 'shop', 'orders', batch_interval => '20 ms', keep_raw => false, start => true$more)");
}

sub arrive
{
	my @orders = map {
		my $day = 1 + int(rand(28));

		$n++;
		an_order("o$n", customer_id => '"c' . (1 + int(rand(32))) . '"', amount => sprintf('%.*f', 1 + int(rand(4)), rand(300) - 40),
			timestamp => sprintf('"2026-02-%02dT%02d:%02d:%06.3fZ"', $day, rand(24), rand(60), rand(59)))
	} 1 .. 10 + rand(60);

	return $kafka->produce('orders', \@orders);
}

sub change_customers
{
	my ($c, $i) = (1 + int(rand(30)), 1 + int(rand(5)));

	return etl($hub, pick("DELETE FROM sales.customer_industries WHERE customer_id = 'c$c'",
			"INSERT INTO sales.customer_industries VALUES ('c$c', 'i$i') ON CONFLICT DO NOTHING",
			"DELETE FROM sales.customers WHERE customer_id = 'c$c'; INSERT INTO sales.customers VALUES ('c$c'); INSERT INTO sales.customer_industries VALUES ('c$c', 'i$i')"));
}

# A partition of a random member goes to another.
sub move
{
	my ($from, $to) = sort { rand() <=> 0.5 } keys %member;
	my ($partition) = split(/\n/, sql($member{$from}, q{SELECT unnest(partitions) FROM fluct.streams ORDER BY random() LIMIT 1}));

	return '' if !defined($partition);
	note("partition $partition from $from to $to");
	return said($member{$from}, "CALL fluct.hand_over('orders', $partition, '$to')", as => 'etl');
}

sub ranking
{
	my $recent = pick('24 hours', '7 hours 13 minutes', '3 days');
	my $as_of = sprintf("'2026-02-%02d %02d:%02d:%06.3fZ'", 8 + rand(20), rand(24), rand(60), rand(59));

	return "SELECT * FROM fluct.top_fluctuations($as_of, '$recent', @{[ pick(4, 9) ]} * interval '$recent', NULL, '"
	  . pick('absolute', 'relative', 'zscore') . "', average => '" . pick('elapsed', 'active') . "')";
}

sub settled
{
	caught_up($_, 'orders') || return 0 foreach $hub, values %member;
	$hub->wait_for_catchup("customers_$_") foreach sort keys %member;
	return 1;
}

# The hub without its members is the one server.
sub equal
{
	my ($name, $count) = @_;
	my $same = 0;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(settled(), "$name: all is stored");
	foreach (1 .. $count)
	{
		my $query = ranking();
		my $of_members = sql($hub, "SET client_min_messages = error; $query");
		my $of_one = sql($hub, "SET client_min_messages = error; BEGIN; DELETE FROM fluct.members; $query; ROLLBACK");

		$same++ if $of_members eq $of_one;
		is($of_members, $of_one, "$name: $query") if $of_members ne $of_one;
	}
	is($same, $count, "$name: $count rankings equal those of one server");
	is(total('SELECT count(*) FROM sales.orders', values %member), $n, "$name: each order is with one member");
	return;
}

# ----- they meet -----

$kafka->create_topic('orders', 6);
etl($hub, q{
	INSERT INTO sales.industries SELECT 'i' || i FROM generate_series(1, 6) i;
	INSERT INTO sales.customers SELECT 'c' || c, 'Company ' || c FROM generate_series(1, 30) c;
	INSERT INTO sales.customer_industries SELECT 'c' || c, 'i' || i FROM generate_series(1, 25) c, generate_series(1, 5) i WHERE (c * 7 + i * 3) % 4 = 0});
sql($hub, 'CREATE PUBLICATION fluct_customers FOR TABLE sales.industries, sales.products, sales.customers, sales.customer_industries');
stream($hub, '');
foreach my $m (sort keys %member)
{
	sql($member{$m}, "CREATE SUBSCRIPTION customers_$m CONNECTION '$publisher' PUBLICATION fluct_customers");
	stream($member{$m}, ", partitions => '$partitions{$m}'");
}
meet($_, %member) foreach $hub, values %member;
$member{$_}->wait_for_subscription_sync($hub, "customers_$_") foreach sort keys %member;
arrive() foreach 1 .. 10;
equal('at first', 15);
is(sql($hub, q{SELECT string_agg(concat_ws(' ', member, item, detail), ', ') FROM fluct.check_members() WHERE item <> 'freshness' AND status <> 'ok'}), '', 'check_members() finds nothing wrong');

is(sql($hub, q{SELECT string_agg(member, ',' ORDER BY member) FROM fluct.cluster_freshness WHERE state = 'running' AND data_until IS NOT NULL}), 'm1,m2,m3', 'cluster_freshness has their streams');
etl($member{m1}, q{
	CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE LOG 'run as %', current_user; RETURN 1; END $$;
	CREATE DOMAIN guarded AS text CHECK (one() = 1)});
my $as_owner = sql($hub, 'SHOW server_version_num') >= 160000;
my $from = log_position($member{m1});
foreach my $planted (
	[ 'trigger "planted"', 'CREATE TRIGGER planted BEFORE INSERT ON sales.customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', 'DROP TRIGGER planted ON sales.customers' ],
	[ 'the default of column "planted"', 'ALTER TABLE sales.customers ADD planted int DEFAULT one()', 'ALTER TABLE sales.customers DROP planted' ],
	[ 'constraint "planted"', 'ALTER TABLE sales.customers ADD CONSTRAINT planted CHECK (one() = 1)', 'ALTER TABLE sales.customers DROP CONSTRAINT planted' ],
	[ 'index "planted"', 'CREATE INDEX planted ON sales.customers (customer_id) WHERE one() = 1', 'DROP INDEX sales.planted' ],
	[ 'the type of column "planted"', 'ALTER TABLE sales.customers ADD planted guarded', 'ALTER TABLE sales.customers DROP planted' ])
{
	my ($what, $plant, $remove) = @$planted;

	etl($member{m1}, $plant);
	is(sql($hub, q{SELECT member, status, detail FROM fluct.check_members() WHERE item = 'subscription' AND status <> 'ok'}),
		$as_owner ? '' : qq(m1|fail|$what of sales.customers, which role "etl" owns and subscription "customers_m1" of superuser "postgres" writes),
		"$what, which would run as the superuser of a subscription");
	etl($member{m1}, $remove);
}

# ----- while all of it moves -----

foreach my $round (1 .. $ENV{FLUCT_ROUNDS} || 4)
{
	my $victim = pick(sort keys %member);

	foreach (1 .. 6)
	{
		arrive();
		change_customers();
		sql($hub, 'SET client_min_messages = error; ' . ranking());
	}
	unlike(move(), qr/ERROR/, "round $round: a partition moves");
	arrive();
	crash_server($member{$victim}, sub {
			fails_like($hub, ranking(), qr/08006: member "$victim" does not answer/, "$victim is killed: no half answer");
			change_customers();
			arrive();
		});
	arrive();
	equal("round $round, $victim killed", 10);
}

# ----- with other customers, and behind -----

sql($member{m3}, 'ALTER SUBSCRIPTION customers_m3 DISABLE');
etl($hub, q{INSERT INTO sales.customers VALUES ('new'); INSERT INTO sales.customer_industries VALUES ('new', 'i6')});
like(said($hub, ranking()), qr/WARNING:  the ranking may be incomplete: member "m3" has other industries of the customers/, 'one whose replication stands still is named');
sql($member{m3}, 'ALTER SUBSCRIPTION customers_m3 ENABLE');
equal('and when it has caught up', 5);
my ($late) = grep { sql($member{$_}, q{SELECT count(*) FROM fluct.stat_partitions}) } sort keys %member;
etl($member{$late}, q{SELECT fluct.pause_stream('orders')});
arrive();
caught_up($member{$_}, 'orders') foreach grep { $_ ne $late } sort keys %member;
like(said($hub, 'SELECT FROM fluct.top_fluctuations()'), qr/WARNING:  the ranking may be incomplete: member "$late": orders are stored only up to/, 'one that is behind is named');
etl($member{$late}, q{SELECT fluct.start_stream('orders')});
equal('and when it runs again', 5);
$_->stop foreach values %member, $hub;
done_testing();
