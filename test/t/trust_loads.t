# Code that the owner of the tables planted on them, where files are loaded and
# where the tables are maintained and read: it runs as the role that loads or
# as their owner, never as a superuser who calls.  A canary tells who ran into it.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Planted;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('loads',
	# it runs index expressions, too, as their owner in its own session
	autovacuum => 'off', operator => 1, 'fluct.inbox_root' => $root);

# What cannot be planted on one of these tables is tried elsewhere: a partition
# key and a view stand beside the table, and only a stream's mapping casts
# (trust_names, trust_planted).
my @kinds = grep { !/^(view|partition_key|cast)$/ } @KINDS;
my %planted_on = (
	'sales.customers' => [ text => 'company_name', key => 'customer_id' ],
	'sales.products' => [ text => 'product_name', key => 'product_id' ],
	'sales.orders' => [ text => 'customer_id', key => 'order_id' ],
	'sales.order_lines' => [ text => 'product_id', key => 'order_id' ],
	'sales.raw_messages' => [ text => 'topic', key => 'stream' ],
	'sales.industry_spend' => [ text => 'industry', key => 'industry' ],
	'sales.fluctuations' => [ text => 'incomplete_reason', key => 'industry' ]);

# ----- a database with some orders, copied for each kind -----

sql('CREATE ROLE clerk LOGIN; CREATE ROLE reader LOGIN; CREATE DATABASE base');
my %base = (db => 'base');
sql('CREATE EXTENSION fluct', %base);
make_operator(%base);
sql(q{SELECT fluct.grant_operator('clerk'); SELECT fluct.grant_reader('reader')}, %base);
plant_seed('etl', 'planted', %base);
mkdir("$root/in");
write_lines("$root/orders.jsonl", an_order('new', timestamp => '"2026-02-01T00:00:00"'));
write_file("$root/customers.csv", "customer_id,company_name,specialized_industries\nc1,Uno,Food\nc2,Two,Food\n");
write_file("$root/products.csv", "product_id,product_name,price\np1,Uno,2\np2,Two,1\n");
etl(q{
	INSERT INTO sales.industries VALUES ('Food');
	INSERT INTO sales.customers VALUES ('c1', 'One');
	INSERT INTO sales.customer_industries VALUES ('c1', 'Food');
	INSERT INTO sales.products VALUES ('p1', 'One', 1);
	INSERT INTO sales.orders SELECT 'o' || i, 'c1', i, now() - i * interval '8 days' FROM generate_series(1, 12) i;
	INSERT INTO sales.order_lines SELECT order_id, 1, 'p1', 1, 1, ordered_at FROM sales.orders;
	CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
	SELECT fluct.create_stream('s', 'shop', 't');
	INSERT INTO sales.raw_messages (stream, topic, partition, "offset", ingested_at) SELECT 's', 't', 0, i, now() - i * interval '4 days' FROM generate_series(1, 6) i;
	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sales TO clerk}, %base);

my @reads = (
	q{SELECT * FROM fluct.podium()}, q{SELECT * FROM fluct.top_fluctuations(average => 'active')},
	q{SELECT * FROM fluct.explain_fluctuation('Food')}, q{SELECT * FROM fluct.verify_rollup()}, q{SELECT * FROM fluct.lines_of('o1')},
	q{SELECT * FROM fluct.drivers('Food')}, q{SELECT * FROM fluct.trend()}, q{SELECT * FROM fluct.compare(current_date)},
	q{SELECT length(fluct.report_html())}, q{TABLE sales.podium_today}, q{TABLE sales.fluctuation_history},
	q{SELECT * FROM fluct.check_members()}, q{TABLE fluct.cluster_unattributed_spend}, q{TABLE fluct.schema_drift});
my @maintenance = (
	q{SELECT * FROM fluct.record_fluctuations('of_' || current_user)}, q{SELECT fluct.rebuild_rollup()},
	q{SELECT * FROM fluct.maintain_partitions()}, q{SELECT * FROM fluct.ensure_partitions('2019-01-01', '2019-01-01')},
	q{CALL fluct.apply_retention('9 days', '40 days', '50 days', '9 days')});
my @loads = (
	q{SELECT fluct.load_customers('customers.csv', force => true)}, q{SELECT fluct.load_products('products.csv', force => true)},
	q{SELECT fluct.load_orders('orders.jsonl', force => true)}, q{INSERT INTO sales.customer_feed VALUES ('c3', 'Three', 'Food')});
my @inbox = (
	q{CALL fluct.scan_inbox('box')}, q{SELECT fluct.reload_file('box', 'a.csv')}, q{SELECT fluct.skip_file('box', 'a.csv')});

my %seen;		# by kind and current_user

# What is said to the statements, in one session; some of them may fail.
sub together
{
	my ($role, $db, @statements) = @_;

	return said("\\set VERBOSITY verbose\n" . join(";\n", @statements) . ';', as => $role, db => $db, on_error_stop => 0);
}

# The statements, after which the canary was run into by those only.
sub run
{
	my ($kind, $role, $db, $allowed, @statements) = @_;
	my $from = log_position($node);

	together($role, $db, @statements);
	$seen{$kind}{ $_->[1] }++ foreach canaries($node, $from);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(', ', grep { !exists($allowed->{$_}) } map { "$_->[1] in a session of $_->[2]" } canaries($node, $from)), '', "$kind: $role");
	return;
}

foreach my $kind (@kinds)
{
	my $db = "with_$kind";
	my %db = (db => $db);

	sql("CREATE DATABASE $db TEMPLATE base");
	foreach my $table (sort keys %planted_on)
	{
		# a unique index on a partitioned table is one thing that cannot be
		outcome(plant($kind, $table, @{ $planted_on{$table} }, schema => 'planted'), as => 'etl', %db);
	}
	mkdir("$root/$kind");
	write_file("$root/$kind/a.csv", "customer_id,company_name,specialized_industries\nc9,Nine,Food\n");
	etl("SELECT fluct.create_inbox('box', 'customers', '$kind', settle => '0')", %db);

	# a superuser: as the tables' owner, or refused
	run($kind, 'postgres', $db, { 'etl in a session of postgres' => 1 }, @reads, @maintenance);
	my $from = log_position($node);
	my @refused = together('postgres', $db, @loads, @inbox, 'SET ROLE etl', @loads, @inbox) =~
	  /ERROR:  42501: (a superuser cannot load into the tables|only a session of role "etl" can load files)/g;

	is(scalar(@refused), 2 * (@loads + @inbox), "$kind: a superuser is refused, and its session as etl");
	is(join(', ', map { "@$_" } canaries($node, $from)), '', "$kind: nothing was run into on the way");

	# others, with their own rights; the rollup is written with its owner's
	run($kind, 'clerk', $db, { 'clerk in a session of clerk' => 1, 'etl in a session of clerk' => 1 }, @loads, @reads, $maintenance[0]);
	run($kind, 'reader', $db, { 'reader in a session of reader' => 1 }, @reads);
	run($kind, 'etl', $db, { 'etl in a session of etl' => 1 }, $inbox[0], @loads, @reads, @maintenance);
	ok($seen{$kind}, "$kind: the canary was run into, by " . join(', ', sort keys %{ $seen{$kind} // {} }));
	is(sql("SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'"), '', "$kind: no new superuser");
	sql("DROP DATABASE $db");
}

# ----- sales.orders is gone, before a call or in the middle of one -----

my $db = 'without_orders';
my %db = (db => $db);
my %as_owner = ('etl in a session of postgres' => 1);

sql("CREATE DATABASE $db TEMPLATE base");
etl(q{
	CREATE INDEX ON sales.raw_messages (stream) WHERE planted.one('index_predicate') = 1;
	CREATE FUNCTION planted.away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF to_regclass('sales.orders') IS NOT NULL THEN
			ALTER TABLE sales.orders RENAME TO gone;
		END IF;
		PERFORM fluct._recent_messages('s', 1, now());
		RETURN OLD;
	END $$;
	CREATE TRIGGER away BEFORE DELETE ON sales.raw_messages FOR EACH ROW EXECUTE FUNCTION planted.away()}, %db);
run('renamed meanwhile', 'postgres', $db, \%as_owner, q{CALL fluct.apply_retention(raw => '9 days')});
is(sql(q{SELECT to_regclass('sales.orders')}, %db), '', 'it was renamed');
ok($seen{'renamed meanwhile'}{etl}, 'and the canary was run into');
run('renamed', 'postgres', $db, \%as_owner, @reads, @maintenance);
run('renamed', 'postgres', $db, \%as_owner, q{SELECT * FROM fluct._recent_messages('s', 1, now())}, q{SELECT * FROM fluct._retire_rows('raw', now())});

# ----- a superuser owns one of the tables -----

sql('ALTER TABLE sales.gone RENAME TO orders; ALTER TABLE sales.orders OWNER TO postgres', %db);
like(together('postgres', $db, q{SELECT * FROM fluct.podium()}),
	qr/ERROR:  42809: relation "sales\.\w+" is not a table of role "postgres", the owner of sales\.orders/, 'a superuser who owns the orders is refused');
run('of a superuser', 'postgres', $db, {}, @reads, @maintenance, @loads);
sql("DROP DATABASE $db");

$node->stop;
done_testing();
