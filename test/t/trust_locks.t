# Nobody holds up another's work with a lock: fluct's own cannot be taken by
# pg_advisory_lock, and one open transaction stops only what it is about.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('locks', operator => 1, 'fluct.inbox_root' => $root);

sql(q{
	CREATE ROLE outsider LOGIN;
	CREATE ROLE clerk LOGIN;
	SELECT fluct.grant_operator('clerk');
	GRANT ALL ON ALL TABLES IN SCHEMA sales TO clerk});
etl(q{CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
	GRANT USAGE ON FOREIGN SERVER shop TO clerk;
	CREATE TABLE numbers (n int); GRANT INSERT, SELECT ON numbers TO clerk;
	INSERT INTO sales.industries VALUES ('Food')});
mkdir("$root/$_") foreach qw(a b c c/d);
write_file("$root/customers.csv", "customer_id,company_name,specialized_industries\nc1,One,Food\n");
write_file("$root/products.csv", "product_id,product_name,price\np1,One,1\n");

sub session
{
	my ($role) = @_;
	my $session = $node->background_psql('postgres', extra_params => [ '-U', $role ]);

	$session->query_safe('SET client_min_messages = error');
	return $session;
}

# What goes on within a second beside the other sessions.
sub goes_on
{
	my ($role, $name, @statements) = @_;

	foreach (@statements)
	{
		my ($rc, $out, $err) = outcome("SET lock_timeout = '1 s';\n$_", as => $role);

		local $Test::Builder::Level = $Test::Builder::Level + 1;
		is($err =~ /ERROR:.*/ ? $& : '', '', "$name: $_");
	}
	return;
}

sub waits
{
	my ($role, $name, $statement) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return fails_like($node, "SET lock_timeout = '100 ms';\n$statement", qr/55P03: canceling statement due to lock timeout/,
		"$name: $statement", as => $role);
}

# ----- the classes of the locks -----

my @work = (
	q{SELECT fluct.create_tables()},
	q{SELECT fluct.create_inbox('a', 'customers', 'a')},
	q{SELECT fluct.create_stream('s', 'shop', 's', target => 'numbers', mapping => '{"columns": {"n": "$.n"}}', keep_raw => false)},
	q{SELECT fluct.load_customers('customers.csv', force => true)},
	q{SELECT count(*) FROM fluct.record_fluctuations()},
	q{INSERT INTO sales.orders VALUES ('o1', 'c1', 1, now())});
my $held = q{
	SELECT classid::bigint, objid::bigint, objsubid FROM pg_locks
	 WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2};
my @locks = map { [ split(/\|/) ] } grep { /^\d+\|\d+\|\d+$/ }
  split(/\n/, etl(join(";\n", 'BEGIN', @work, $held, 'ROLLBACK') . ';'));

cmp_ok(scalar(@locks), '>=', 6, 'the work takes locks');
is(scalar(grep { $_->[2] < 3 } @locks), 0, 'of classes that pg_advisory_lock does not reach');

# Somebody without any right takes all that it can of these keys, and those
# that 0.1.0 had.
my $outsider = session('outsider');

foreach my $lock (@locks)
{
	my ($high, $low) = map { $_ >= 2**31 ? $_ - 2**32 : $_ } @$lock[ 0, 1 ];
	my $key = ($high << 32) | ($lock->[1] & 0xffffffff);

	$outsider->query_safe("SELECT pg_advisory_lock($high, $low)");
	$outsider->query_safe(sprintf('SELECT pg_advisory_lock(((%d)::bigint << 32) | %d)', $high, $lock->[1]));
}
$outsider->query_safe("SELECT pg_advisory_lock(hashtextextended(k, 0)) FROM unnest(ARRAY[
	'fluct.create_tables', 'fluct.load_customers', 'fluct inbox $root/a', 'fluct create_stream s', 'fluct report default', 'fluct positions s']) k");
goes_on('etl', 'beside every advisory lock', @work, q{CALL fluct.scan_inbox('a')});
$outsider->quit;

# ----- one idle transaction -----

my $idle = session('clerk');

$idle->query_safe("BEGIN; SELECT fluct.create_inbox('c', 'products', 'c')");
goes_on('etl', 'beside an open create_inbox',
	q{CALL fluct.scan_inbox('a')}, q{SELECT fluct.create_inbox('b', 'products', 'b')}, q{SELECT fluct.drop_inbox('b')},
	q{SELECT fluct.alter_inbox('a', settle => '1 s')}, q{SELECT count(*) FROM fluct.podium()});
waits('etl', 'beside an open create_inbox, a folder within', q{SELECT fluct.create_inbox('d', 'products', 'c/d')});
waits('etl', 'and one above', qq{SELECT fluct.create_inbox('d', 'products', '$root/c/.')});
$idle->query_safe('ROLLBACK');
fails_like($node, q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT fluct.create_inbox('d', 'products', 'c/d')},
	qr/25000: the directory of an inbox can be set only in a READ COMMITTED transaction/, 'an old snapshot could miss an inbox', as => 'etl');

$idle->query_safe("BEGIN; SELECT fluct.load_customers('customers.csv', unknown_industry => 'add', force => true)");
goes_on('etl', 'beside an open load of customers',
	q{SELECT fluct.load_products('products.csv', force => true)}, q{CALL fluct.scan_inbox('a')},
	q{SELECT count(*) FROM fluct.podium()}, q{SELECT count(*) FROM fluct.record_fluctuations()},
	q{SELECT fluct.create_inbox('b', 'products', 'b')}, q{SELECT fluct.drop_inbox('b')},
	q{SELECT fluct.alter_stream('s', batch_size => 7)});
waits('etl', 'beside an open load of customers', q{SELECT fluct.load_customers('customers.csv', force => true)});
$idle->query_safe('ROLLBACK');

# Who may not load takes no lock at all.
sql(q{CREATE ROLE poor LOGIN; SELECT fluct.grant_operator('poor')});
fails_like($node, q{BEGIN; SELECT fluct.load_customers('customers.csv')}, qr/42501: permission denied for table customers/, 'without rights', as => 'poor');

$idle->query_safe("BEGIN; SELECT count(*) FROM fluct.record_fluctuations('of_clerk')");
goes_on('etl', 'beside an open recording', q{SELECT count(*) FROM fluct.record_fluctuations()}, q{SELECT count(*) FROM fluct.podium()});
$idle->query_safe('ROLLBACK');

$idle->query_safe(q{BEGIN; SELECT fluct.create_stream('t', 'shop', 't', target => 'numbers', mapping => '{"columns": {"n": "$.n"}}', keep_raw => false)});
goes_on('etl', 'beside an open create_stream', q{SELECT fluct.alter_stream('s', batch_size => 8)},
	q{SELECT fluct.create_stream('u', 'shop', 'u', target => 'numbers', mapping => '{"columns": {"n": "$.n"}}', keep_raw => false)},
	q{SELECT fluct.drop_stream('u')});
waits('etl', 'the same name', q{SELECT fluct.create_stream('t', 'shop', 't', target => 'numbers', mapping => '{"columns": {"n": "$.n"}}', keep_raw => false)});
$idle->query_safe('ROLLBACK');
$idle->quit;

$node->stop;
done_testing();
