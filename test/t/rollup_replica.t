# The rollup of a subscriber: what logical replication brings, orders and the
# customers' industries alike, is booked as on the publisher, under load and
# with the initial copy, once; TRUNCATE, too; another server's rollup is skipped;
# and none of it runs with the rights of the subscription's owner.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my @init = (init => [ allows_streaming => 'logical' ]);
my $publisher = fluct_node('publisher', operator => 1, 'deadlock_timeout' => '20ms', @init);
my $subscriber = fluct_node('subscriber', operator => 1, @init);
my $connection = $publisher->connstr('postgres') =~ s/'/''/gr;
my $seed = $ENV{FLUCT_SEED} || time();

note("FLUCT_SEED=$seed");
srand($seed);

# Waits until the subscriber has all that the publisher has committed now.
sub caught_up_with
{
	my ($slot) = @_;

	return $publisher->wait_for_catchup($slot);
}

sub verified
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql($subscriber, 'SELECT count(*) FROM fluct.verify_rollup()'), 0, "$name: the rollup equals the orders");
	is(sql($subscriber, 'SELECT fluct._rollup_obstacle()'), '', "$name: and is read");
	is(sql($subscriber, 'SELECT links - fluct._links_computed() FROM sales.rollup_state'), 0, "$name: the digest of the industries, too");
	is(sql($subscriber, 'SELECT count(*), sum(hashtext(o::text)) FROM sales.orders o'),
		sql($publisher, 'SELECT count(*), sum(hashtext(o::text)) FROM sales.orders o'), "$name: the same orders")
	  unless $name =~ /own orders/;
	return;
}

# ----- orders before, and sessions that write all the time -----

etl($publisher, q{
	INSERT INTO sales.industries SELECT 'i' || i FROM generate_series(1, 6) i;
	INSERT INTO sales.customers SELECT 'c' || c, 'Company ' || c FROM generate_series(1, 40) c;
	INSERT INTO sales.customer_industries SELECT 'c' || c, 'i' || 1 + c % 6 FROM generate_series(1, 40) c WHERE c % 4 <> 0;
	INSERT INTO sales.orders SELECT 'old' || i, 'c' || 1 + i % 45, round(i * 1.37, i % 4), timestamptz '2026-01-01Z' + i * interval '37 seconds'
	  FROM generate_series(1, 3000) i;
	CREATE SEQUENCE n});
sql($publisher, 'CREATE PUBLICATION all_of_it FOR TABLE sales.industries, sales.products, sales.customers, sales.customer_industries, sales.orders');

sub random_statement
{
	my $c = q{'c' || 1 + (random() * 45)::int};

	return (
		"INSERT INTO sales.orders SELECT 'n' || nextval('n'), $c, round((random() * 300 - 50)::numeric, i % 4), timestamptz '2026-01-01Z' + random() * interval '60 hours' FROM generate_series(1, 20) i",
		"UPDATE sales.orders SET amount = amount + 1.5 WHERE order_id IN (SELECT order_id FROM sales.orders ORDER BY random() LIMIT 5)",
		"UPDATE sales.orders SET customer_id = $c, ordered_at = ordered_at + interval '1 hour' WHERE order_id IN (SELECT order_id FROM sales.orders ORDER BY random() LIMIT 3)",
		"DELETE FROM sales.orders WHERE order_id IN (SELECT order_id FROM sales.orders ORDER BY random() LIMIT 4)",
		"INSERT INTO sales.customer_industries SELECT 'c' || 1 + (random() * 39)::int, 'i' || 1 + (random() * 5)::int ON CONFLICT DO NOTHING",
		"DELETE FROM sales.customer_industries WHERE customer_id = 'c' || 1 + (random() * 39)::int",
		"UPDATE sales.customer_industries ci SET industry = 'i1' WHERE customer_id = 'c7' AND NOT EXISTS (SELECT FROM sales.customer_industries o WHERE o.customer_id = 'c7' AND o.industry = 'i1')",
		"UPDATE sales.orders SET extra = '{\"note\": 1}' WHERE order_id = 'old' || (random() * 3000)::int",
		"DELETE FROM sales.customers WHERE customer_id = 'c' || 30 + (random() * 9)::int")[ rand(9) ];
}

my $steps = $ENV{FLUCT_ACTIONS} || 400;
my @sessions = map {
	my $statements = join(";\n", map { rand() < 0.2 ? 'BEGIN;' . join(';', random_statement(), random_statement()) . ';COMMIT' : random_statement() } 1 .. $steps) . ';';
	my $file = write_file("${PostgreSQL::Test::Utils::tmp_check}/writer$_.sql", "$statements\n");
	IPC::Run::start([ 'psql', '-X', '-q', '-U', 'etl', '-f', $file, $publisher->connstr('postgres') ], '>', '/dev/null', '2>', \my $err)
} 1 .. 2;

ok(poll($publisher, q{SELECT last_value > 100 FROM n}), 'orders arrive');
# the subscriber's own stream of orders, so to speak
etl($subscriber, q{INSERT INTO sales.orders SELECT 'own' || i, 'c' || 1 + i % 45, i, timestamptz '2026-01-02Z' FROM generate_series(1, 50) i});
sql($subscriber, "CREATE SUBSCRIPTION copy CONNECTION '$connection' PUBLICATION all_of_it");
etl($subscriber, "INSERT INTO sales.orders SELECT 'own' || $_ || '_' || i, 'c' || 1 + i % 45, i, timestamptz '2026-01-02Z' FROM generate_series(1, 20) i")
  foreach 1 .. 30;
$_->finish foreach @sessions;
$subscriber->wait_for_subscription_sync($publisher, 'copy');
caught_up_with('copy');
verified('under load, beside own orders');
isnt(sql($subscriber, 'SELECT sum(orders) FROM sales.industry_spend'), 0, 'there is something in it');
etl($subscriber, q{DELETE FROM sales.orders WHERE order_id LIKE 'own%'});
verified('without own orders');
is(sql($subscriber, q{SELECT count(*) FROM (
		(SELECT width, bucket, industry, sum(orders), sum(amount) FROM sales.industry_spend GROUP BY 1, 2, 3 HAVING sum(orders) <> 0)) a}),
	sql($publisher, q{SELECT count(*) FROM (
		(SELECT width, bucket, industry, sum(orders), sum(amount) FROM sales.industry_spend GROUP BY 1, 2, 3 HAVING sum(orders) <> 0)) a}),
	'as many buckets as the publisher');

# ----- another server's rollup is skipped -----

sql($publisher, 'ALTER PUBLICATION all_of_it ADD TABLE sales.industry_spend');
sql($subscriber, 'ALTER SUBSCRIPTION copy REFRESH PUBLICATION');
$subscriber->wait_for_subscription_sync($publisher, 'copy');
etl($publisher, q{INSERT INTO sales.orders SELECT 'published' || i, customer_id, 1, timestamptz '2026-03-01Z' + i * interval '1 hour' FROM sales.customer_industries, generate_series(1, 5) i ON CONFLICT DO NOTHING});
caught_up_with('copy');
verified('with the rollup published');

# ----- with the rights of the tables' owner -----

sql($subscriber, q{
	CREATE TABLE public.who (name text);
	GRANT ALL ON public.who TO PUBLIC;
	SET ROLE etl;
	CREATE FUNCTION public.tell_who() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.who VALUES (current_user); RETURN NULL; END$$;
	CREATE TRIGGER planted AFTER INSERT OR UPDATE ON sales.industry_spend EXECUTE FUNCTION public.tell_who();
	ALTER TABLE sales.industry_spend ENABLE ALWAYS TRIGGER planted});
etl($publisher, q{INSERT INTO sales.orders SELECT 'planted', customer_id, 1, '2026-02-01' FROM sales.customer_industries LIMIT 1});
caught_up_with('copy');
is(sql($subscriber, 'SELECT DISTINCT name FROM public.who'), 'etl', 'what is planted on the rollup runs as its owner');
sql($subscriber, 'DROP TRIGGER planted ON sales.industry_spend');
verified('after that');

# ----- a large transaction -----

sql($subscriber, q{
	TRUNCATE public.who;
	CREATE TRIGGER written AFTER INSERT OR UPDATE ON sales.industry_spend FOR EACH ROW EXECUTE FUNCTION public.tell_who();
	ALTER TABLE sales.industry_spend ENABLE ALWAYS TRIGGER written});
etl($publisher, q{
	BEGIN;
	INSERT INTO sales.customers SELECT 'large' || c FROM generate_series(1, 100) c;
	INSERT INTO sales.customer_industries SELECT 'large' || c, 'i1' FROM generate_series(1, 100) c;
	INSERT INTO sales.orders SELECT 'large' || i, 'large' || 1 + i % 100, i, '2026-02-03Z' FROM generate_series(1, 5000) i;
	INSERT INTO sales.customer_industries SELECT 'large' || c, 'i2' FROM generate_series(1, 100) c;
	COMMIT});
caught_up_with('copy');
is(sql($subscriber, 'SELECT count(*) FROM public.who'), 6, 'each row of the rollup is written once a transaction');
sql($subscriber, 'DROP TRIGGER written ON sales.industry_spend');
verified('a large transaction');

# ----- with subtransactions, as the workers of streaming = parallel have them -----

etl($subscriber, q{
	ALTER TABLE sales.orders DISABLE TRIGGER orders_rollup_insert;
	ALTER TABLE sales.customer_industries DISABLE TRIGGER customer_industries_rollup_insert});
sql($subscriber, q{
	SET session_replication_role = replica;
	CREATE PROCEDURE pg_temp.add(name text) LANGUAGE sql AS $$
		INSERT INTO sales.orders SELECT name || i, 'large1', i, '2026-02-04Z' FROM generate_series(1, 10) i;
		INSERT INTO sales.customer_industries VALUES ('large1', 'i' || right(name, 1)) $$;
	BEGIN;
	CALL pg_temp.add('sub3');
	SAVEPOINT a;
	CALL pg_temp.add('sub4');
	SAVEPOINT b;
	CALL pg_temp.add('lost5');
	ROLLBACK TO b;
	CALL pg_temp.add('sub6');
	RELEASE a;
	SAVEPOINT c;
	TRUNCATE sales.orders;
	ROLLBACK TO c;
	COMMIT});
is(sql($subscriber, 'SELECT count(*) FROM fluct.verify_rollup()'), 0, 'what subtransactions booked is in the rollup, and nothing of what was rolled back');
sql($subscriber, q{
	SET session_replication_role = replica;
	BEGIN;
	INSERT INTO sales.orders VALUES ('first', 'large1', 1, '2026-02-04Z');
	SAVEPOINT a;
	TRUNCATE sales.orders;
	INSERT INTO sales.orders VALUES ('second', 'large1', 2, '2026-02-04Z');
	RELEASE a;
	INSERT INTO sales.orders VALUES ('third', 'large1', 3, '2026-02-04Z');
	COMMIT});
is(sql($subscriber, 'SELECT count(*), (SELECT count(*) FROM fluct.verify_rollup()) FROM sales.orders'), '2|0', 'with a TRUNCATE in one');
etl($publisher, 'TRUNCATE sales.orders');
etl($publisher, q{INSERT INTO sales.orders SELECT 'more' || i, 'c' || i % 45, i, '2026-02-01' FROM generate_series(1, 100) i});
caught_up_with('copy');
etl($subscriber, q{
	ALTER TABLE sales.orders ENABLE ALWAYS TRIGGER orders_rollup_insert;
	ALTER TABLE sales.customer_industries ENABLE ALWAYS TRIGGER customer_industries_rollup_insert;
	SELECT fluct.rebuild_rollup()});

# ----- however the triggers are enabled -----

etl($subscriber, q{ALTER TABLE sales.orders ENABLE TRIGGER ALL});
is(sql($subscriber, 'SELECT fluct._rollup_obstacle()'), 'trigger orders_rollup_delete on sales.orders is not enabled for replication',
	'after ENABLE TRIGGER ALL the rollup is not read');
etl($publisher, q{INSERT INTO sales.orders VALUES ('missed', 'c2', 1, '2026-02-01')});
caught_up_with('copy');
etl($subscriber, q{INSERT INTO sales.orders VALUES ('own', 'c2', 1, '2026-02-01'); DELETE FROM sales.orders WHERE order_id = 'own'});
like(said($subscriber, 'SELECT fluct.create_tables()', as => 'etl'), qr/the rollup is not valid/, 'create_tables() enables them again');
etl($subscriber, 'SELECT fluct.rebuild_rollup()');
verified('after rebuild_rollup()');
sql($subscriber, q{
	DO $$ DECLARE t record; BEGIN
		FOR t IN SELECT tgname, tgrelid::regclass AS rel FROM pg_trigger WHERE tgrelid IN ('sales.orders'::regclass, 'sales.customer_industries'::regclass) AND NOT tgisinternal LOOP
			EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.rel, t.tgname);
		END LOOP;
	END $$});
etl($publisher, q{INSERT INTO sales.orders VALUES ('always', 'c2', 1, '2026-02-01'); INSERT INTO sales.customer_industries SELECT 'c2', i.industry FROM sales.industries i ON CONFLICT DO NOTHING});
caught_up_with('copy');
etl($subscriber, q{INSERT INTO sales.orders VALUES ('own', 'c2', 1, '2026-02-01'); DELETE FROM sales.orders WHERE order_id = 'own'});
sql($subscriber, q{SET session_replication_role = replica; INSERT INTO sales.orders VALUES ('own', 'c2', 1, '2026-02-01'); DELETE FROM sales.orders WHERE order_id = 'own'});
verified('with all of them enabled as ALWAYS');
fails_like($subscriber, 'SET session_replication_role = replica; SELECT fluct.rebuild_rollup()',
	qr/25000: rebuild_rollup\(\) does not work where session_replication_role is replica/, 'no rebuild where its rows would be skipped');

# ----- TRUNCATE -----

sql($publisher, 'TRUNCATE sales.industry_spend');
caught_up_with('copy');
like(sql($subscriber, 'SELECT fluct._rollup_obstacle()'), qr/^sales.industry_spend was written/, 'a TRUNCATE of the other rollup is noticed');
sql($publisher, 'ALTER PUBLICATION all_of_it DROP TABLE sales.industry_spend; SET ROLE etl; SELECT fluct.rebuild_rollup()');
sql($subscriber, 'ALTER SUBSCRIPTION copy REFRESH PUBLICATION; SET ROLE etl; SELECT fluct.rebuild_rollup()');
etl($publisher, 'TRUNCATE sales.customer_industries');
caught_up_with('copy');
is(sql($subscriber, 'SELECT count(*) FROM sales.industry_spend'), 0, 'TRUNCATE of customer_industries empties the rollup');
verified('truncated');
etl($publisher, q{INSERT INTO sales.customer_industries SELECT customer_id, 'i1' FROM sales.customers});
caught_up_with('copy');
isnt(sql($subscriber, 'SELECT count(*) FROM sales.industry_spend'), 0, 'and new ones fill it');
etl($publisher, 'TRUNCATE sales.orders');
caught_up_with('copy');
is(sql($subscriber, 'SELECT count(*) FROM sales.industry_spend'), 0, 'TRUNCATE of orders empties it');
etl($publisher, q{INSERT INTO sales.orders VALUES ('last', 'c1', 1, '2026-02-01')});
caught_up_with('copy');
verified('at the end');

# ----- the functions serve nothing else -----

etl($subscriber, 'CREATE TABLE alike AS TABLE sales.orders');
fails_like($subscriber, qq{BEGIN; CREATE TRIGGER t $_->[1] ON $_->[2] $_->[3] EXECUTE FUNCTION fluct.$_->[0](); INSERT INTO $_->[2] SELECT 'x', 'c1', 1, now()},
	$_->[4], "$_->[0]: $_->[1] on $_->[2] $_->[3]", as => 'etl') foreach
  [ '_rollup_order_row', 'AFTER INSERT', 'alike', '', qr/39P01: the rollup's functions for replication are row triggers/ ],
  [ '_rollup_order_row', 'BEFORE INSERT', 'sales.orders', 'FOR EACH ROW', qr/39P01: the rollup's functions for replication are row triggers/ ],
  [ '_rollup_skip_row', 'AFTER INSERT', 'alike', 'FOR EACH ROW', qr/39P01: the rollup's functions for replication are row triggers/ ],
  [ '_rollup_order_row', 'AFTER INSERT', 'alike', 'FOR EACH ROW', qr/42501: the rollup's triggers may not serve table alike/ ],
  [ '_rollup_industry_row', 'AFTER INSERT', 'sales.orders', 'FOR EACH ROW', qr/42501: the rollup's triggers may not serve table orders/ ];

$subscriber->stop;
$publisher->stop;
done_testing();
