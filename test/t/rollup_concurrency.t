# The rollup under concurrent writers: during and after random actions it
# equals the orders, and the ranking that is read from it equals plain SQL.
#
# Each session changes orders and customers of its own, and orders that it
# writes are of any customer: so no two wait for one row, and what is refused is
# refused for the rollup's sake.  Allowed are 40001 in a SERIALIZABLE
# transaction, and 40P01 where a transaction wrote orders first and customers'
# industries then.
#
# FLUCT_ACTIONS is the number of actions (1500), FLUCT_SEED repeats a run.
use strict;
use warnings;
use Fluct;
use POSIX ':sys_wait_h';
use PostgreSQL::Test::Utils;
use Test::More;

my $actions = $ENV{FLUCT_ACTIONS} || 1500;
my $seed = $ENV{FLUCT_SEED} || time();
my $sessions = 4;
my $customers = 5;    # of each session
note("FLUCT_SEED=$seed FLUCT_ACTIONS=$actions");
srand($seed);

my $node = fluct_node('rollup', operator => 1, 'max_connections' => 20, 'timezone' => 'Asia/Kathmandu');
etl(q{
	INSERT INTO sales.industries SELECT 'i' || i FROM generate_series(1, 6) i;
	INSERT INTO sales.customers SELECT 's' || s || 'c' || c FROM generate_series(1, 4) s, generate_series(1, 5) c;
	INSERT INTO sales.customer_industries
		SELECT customer_id, 'i' || 1 + mod(hashtext(customer_id) & 1023, 5) FROM sales.customers;
});

# The definition, from the base tables alone, in other words than fluct's.
sql(<<'EOS');
CREATE SCHEMA plain;
CREATE FUNCTION plain.ranking(as_of timestamptz, recent interval, baseline interval, measure text, average text, zone text)
RETURNS TABLE (rank bigint, industry text, r numeric, b numeric, delta numeric, pct numeric, ro bigint, bo bigint, active bigint)
LANGUAGE sql STABLE AS $$
WITH edge AS (
	SELECT CASE WHEN zone IS NULL THEN as_of ELSE date_trunc('day', as_of, zone) END AS t
), o AS (
	SELECT ci.industry, o.amount,
	       CASE WHEN zone IS NULL
	            THEN floor(extract(epoch FROM t - o.ordered_at) / extract(epoch FROM recent)
	                       - CASE WHEN mod(extract(epoch FROM t - o.ordered_at), extract(epoch FROM recent)) = 0 THEN 1 ELSE 0 END)
	            ELSE div((t AT TIME ZONE zone)::date - (o.ordered_at AT TIME ZONE zone)::date - 1, extract(day FROM recent)) END AS win,
	       CASE WHEN zone IS NULL THEN o.ordered_at >= t - make_interval(secs => extract(epoch FROM recent + baseline)::float8)
	            ELSE o.ordered_at >= ((t AT TIME ZONE zone) - recent - baseline) AT TIME ZONE zone END AS inside
	  FROM sales.orders o JOIN sales.customer_industries ci USING (customer_id), edge
	 WHERE o.ordered_at < t
), v AS (
	SELECT industry, win, sum(amount) AS amount, count(*) AS orders FROM o WHERE inside GROUP BY 1, 2
), s AS (
	SELECT i.industry, coalesce(sum(amount) FILTER (WHERE win = 0), 0) AS r, coalesce(sum(amount) FILTER (WHERE win > 0), 0) AS b,
	       coalesce(sum(amount * amount) FILTER (WHERE win > 0), 0) AS sq, coalesce(sum(orders) FILTER (WHERE win = 0), 0)::bigint AS ro,
	       coalesce(sum(orders) FILTER (WHERE win > 0), 0)::bigint AS bo, count(*) FILTER (WHERE win > 0) AS active,
	       extract(epoch FROM baseline) / extract(epoch FROM recent) AS n
	  FROM sales.industries i LEFT JOIN v USING (industry) GROUP BY 1
), q AS (
	SELECT *, CASE WHEN average = 'elapsed' THEN b * round(1.0, 40) / n WHEN active = 0 THEN 0 ELSE b * round(1.0, 40) / active END AS avg FROM s
)
SELECT rank() OVER (ORDER BY CASE measure WHEN 'absolute' THEN round(abs(r - avg), 15)
                                          WHEN 'relative' THEN round(abs(r - avg) / nullif(abs(avg), 0), 15)
                                          ELSE round((r - avg) * (r - avg) * n * n / nullif(n * sq - b * b, 0), 15) END DESC NULLS LAST),
       industry, r, round(avg, 10), round(r - avg, 10), round(100 * (r - avg) / nullif(avg, 0), 8), ro, bo, active
  FROM q
$$;
CREATE FUNCTION plain.differences(as_of timestamptz, recent interval, baseline interval, measure text, average text, zone text)
RETURNS bigint LANGUAGE sql STABLE AS $$
WITH a AS (
	SELECT rank, industry, recent_value, round(baseline_avg, 10), round(delta, 10), round(delta_pct, 8), recent_orders, baseline_orders, active_days
	  FROM fluct.top_fluctuations(as_of, recent, baseline, NULL, measure, 'both', average, zone)
), b AS (
	SELECT * FROM plain.ranking(as_of, recent, baseline, measure, average, zone)
)
SELECT count(*) FROM ((TABLE a EXCEPT TABLE b) UNION ALL (TABLE b EXCEPT TABLE a)) d
$$;
EOS

### The actions

sub pick { return $_[ rand(@_) ]; }

# Now and then on an edge; late and in the future, too.
sub random_time
{
	my $at = pick('00:00', '12:30', '23:59:59.999999', '07:00', '07:13:59.5', undef, undef, undef);

	$at //= sprintf('%02d:%02d:%09.6f', rand(24), rand(60), rand(59.99));
	return sprintf("'2026-0%d-%02d %sZ'", pick(2, 2, 2, 3, 3, 5), 1 + rand(28), $at);
}

# An action of session $s; $kind is what it writes, and it may not do more.
sub action
{
	my ($s, $kind) = @_;
	my $mine = "order_id LIKE 's$s\\_%'";
	my $some = "order_id IN (SELECT order_id FROM sales.orders WHERE $mine ORDER BY hashtext(order_id || " . int(rand(1e6)) . ") LIMIT " . (1 + int(rand(15))) . ")";
	my $own = "'s${s}c" . (1 + int(rand($customers))) . "'";
	my $time = random_time();
	my $i = "'i" . (1 + int(rand(5))) . "'";
	my $any = "'s' || 1 + i % 4 || 'c' || 1 + (i * 7 + " . int(rand(100)) . ') % 6';

	if ($kind eq 'orders')
	{
		return pick(
			("INSERT INTO sales.orders SELECT 's${s}_' || nextval('plain.n'), $any, round((random() * 200 - 20)::numeric, 1 + i % 3), ${time}::timestamptz + i * interval '"
				. pick('1 microsecond', '17 seconds', '3 hours 7 seconds', '-1 day') . "' FROM generate_series(1, " . (1 + int(rand(30))) . ") i ON CONFLICT DO NOTHING;") x 6,
			"UPDATE sales.orders SET amount = amount + 1.25 WHERE $some;",
			"UPDATE sales.orders SET ordered_at = ordered_at + interval '" . pick('1 second', '-1 hour', '3 days') . "' WHERE $some;",
			"UPDATE sales.orders SET ordered_at = $time, customer_id = $own WHERE $some;",
			"INSERT INTO sales.orders SELECT order_id, customer_id, amount * 2, $time FROM sales.orders WHERE $some ON CONFLICT (order_id) DO UPDATE SET amount = excluded.amount, ordered_at = excluded.ordered_at;",
			("DELETE FROM sales.orders WHERE $some;") x 2);
	}
	return pick(
		("INSERT INTO sales.customer_industries SELECT customer_id, $i FROM sales.customers WHERE customer_id = $own ON CONFLICT DO NOTHING;") x 3,
		("DELETE FROM sales.customer_industries WHERE customer_id = $own AND industry = $i;") x 2,
		"UPDATE sales.customer_industries c SET industry = $i WHERE customer_id = $own AND industry = (SELECT min(industry) FROM sales.customer_industries WHERE customer_id = $own) AND NOT EXISTS (SELECT 1 FROM sales.customer_industries x WHERE x.customer_id = $own AND x.industry = $i);",
		"UPDATE sales.customer_industries SET industry = CASE industry WHEN 'i1' THEN 'i5' ELSE 'i1' END WHERE customer_id = $own AND industry IN ('i1', 'i5') AND (SELECT count(*) FROM sales.customer_industries WHERE customer_id = $own AND industry IN ('i1', 'i5')) = 1;",
		"DELETE FROM sales.customers WHERE customer_id = $own;",
		("INSERT INTO sales.customers VALUES ($own) ON CONFLICT DO NOTHING;") x 2);
}

# A transaction's statements, after a line that says what may happen to it.
sub transaction
{
	my ($s, $n) = @_;
	my $isolation = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
	my $truncate = rand() < 0.01;
	my $shape = pick(qw(orders orders orders orders industries industries-then-orders orders-then-industries));
	my @kinds = split(/-then-/, $shape);
	my @lines = ("\\warn \@ $shape $isolation", "BEGIN ISOLATION LEVEL $isolation;");

	return ("\\warn \@ truncate READ COMMITTED", 'TRUNCATE sales.' . pick('orders', 'customer_industries') . ';') if $truncate;
	for my $k (1 .. $n)
	{
		my $kind = $kinds[ ($k - 1) * @kinds / $n ];
		my $undone = rand() < 0.2;

		push(@lines, 'SAVEPOINT a;') if $undone;
		push(@lines, action($s, $kind));
		push(@lines, pick('ROLLBACK TO a;', 'RELEASE a;')) if $undone;
	}
	push(@lines, "SELECT 'WRONG WITHIN', * FROM fluct.verify_rollup() LIMIT 1;")
	  if $isolation eq 'READ COMMITTED' && rand() < 0.2;
	return (@lines, pick('COMMIT;', 'COMMIT;', 'COMMIT;', 'COMMIT;', 'ROLLBACK;'));
}

sub script
{
	my ($s) = @_;
	my @lines = ('\set VERBOSITY verbose', 'SET client_min_messages = error;');

	for (my $left = $actions / $sessions; $left > 0;)
	{
		my $n = 1 + int(rand(5));

		push(@lines, transaction($s, $n));
		$left -= $n;
	}
	return join("\n", @lines, '');
}

sub random_question
{
	my $as_of = random_time();
	my ($recent, $baseline) = @{ pick([ '24 hours', '720 hours' ], [ '24 hours', '720 hours' ], [ '1 hour', '24 hours' ],
		[ '7 hours 30 minutes', '75 hours' ], [ '90 seconds', '1 hour' ], [ '36 hours', '100 hours' ], [ '0.5 seconds', '10 minutes' ]) };
	my $zone = 'NULL';
	my ($measure, $average) = (pick('absolute', 'relative', 'zscore'), pick('elapsed', 'active'));

	if (rand() < 0.3)
	{
		($recent, $baseline) = @{ pick([ '1 day', '30 days' ], [ '7 days', '28 days' ]) };
		$zone = pick("'Europe/Berlin'", "'UTC'", "'Asia/Kolkata'", "'America/Sao_Paulo'");
	}
	$measure = 'absolute' if $measure eq 'zscore' && $average eq 'active';
	($measure, $average) = ('relative', 'elapsed') if $recent eq '36 hours';
	return "$as_of, '$recent', '$baseline', '$measure', '$average', $zone";
}

### The run

sql('CREATE SEQUENCE plain.n');
my $dir = PostgreSQL::Test::Utils::tempdir();
my %running;
foreach my $s (1 .. $sessions)
{
	my $file = write_lines("$dir/$s.sql", script($s));
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDOUT, '>', "$dir/$s.out") and open(STDERR, '>', "$dir/$s.err")
		  and exec('psql', '-qXAt', '-d', $node->connstr('postgres'), '-f', $file);
		exit(1);
	}
	$running{$pid} = 1;
}

my ($checks, @wrong) = (0);
sub check
{
	my ($question) = @_;
	my $wrong = sql("SET client_min_messages = warning; SELECT plain.differences($question)");

	$checks++;
	push(@wrong, "$question: $wrong differ") if $wrong ne '0';
	return;
}

my $verified = 0;
while (%running)
{
	delete @running{ grep { waitpid($_, WNOHANG) != 0 } keys %running };
	my $wrong = sql('SELECT * FROM fluct.verify_rollup() LIMIT 3');
	$verified++;
	push(@wrong, $wrong) if $wrong ne '';
	check(random_question());
}
is(join("\n", @wrong), '', 'during the run the rollup is exact, and the ranking is that of plain SQL');
note("checked meanwhile: $verified times all, $checks rankings");

my (%errors, @refused, $what, $over);
foreach my $s (1 .. $sessions)
{
	is(slurp_file("$dir/$s.out"), '', "session $s found the rollup exact within its transactions");
	foreach my $line (split(/\n/, slurp_file("$dir/$s.err")))
	{
		($what, $over) = ($1, 0) if $line =~ /^\@ (.*)/;
		next unless $line =~ /(?:ERROR|FATAL|PANIC):\s+(\w{5}): /;
		next if $over++;    # the first one ends the transaction
		$errors{"$1 in $what"}++;
		next if $1 eq '40001' && $what =~ /SERIALIZABLE/;
		next if $1 =~ /^(40P01|40001)$/ && $what =~ /^orders-then-industries/;
		push(@refused, "session $s: $what: $line");
	}
}
note("$_: $errors{$_}") foreach sort keys %errors;
is(join("\n", @refused), '', 'nothing is refused that need not be');

is(sql('SELECT * FROM fluct.verify_rollup() LIMIT 3'), '', 'after the run the rollup is exact');
is(sql('SELECT valid FROM sales.rollup_state'), 't', 'and in use');

# the last thing may have been a TRUNCATE
sql(q{
	INSERT INTO sales.customers SELECT 's' || s || 'c' || c FROM generate_series(1, 4) s, generate_series(1, 5) c ON CONFLICT DO NOTHING;
	INSERT INTO sales.customer_industries
		SELECT customer_id, 'i' || i FROM sales.customers, generate_series(1, 5) i WHERE hashtext(customer_id || i) % 3 = 0 ON CONFLICT DO NOTHING});
sql(action(1, 'orders')) for 1 .. 40;
@wrong = ();
check(random_question()) for 1 .. 200;
is(join("\n", @wrong), '', '200 rankings are those of plain SQL');
is(sql('SELECT count(*) > 500 FROM sales.industry_spend'), 't', 'of something');
note(sql(q{SELECT count(*) || ' orders, ' || (SELECT count(*) || ' rows of the rollup in ' || count(DISTINCT slot) || ' slots' FROM sales.industry_spend) FROM sales.orders}));

my $slots = sql('SELECT count(DISTINCT slot) <= 4 FROM sales.industry_spend');
is($slots, 't', 'no more slots than writers');
my $spend = q{SELECT width, bucket, industry, sum(orders), trim_scale(sum(amount)) FROM sales.industry_spend
	GROUP BY 1, 2, 3 HAVING sum(orders) <> 0 OR sum(amount) <> 0 ORDER BY 1, 2, 3};
my $before = sql($spend);
sql('SELECT fluct.rebuild_rollup()');
is(sql($spend), $before, 'made anew it is the same');

$node->stop;
done_testing();
