# What one statement puts into sales.customer_feed: it ends with the statement,
# whatever triggers are there, and no other relation gets at it.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fluct_node('main');
my $folder = PostgreSQL::Test::Utils::tempdir();

make_operator();
sql('GRANT pg_monitor, pg_read_server_files TO etl;
	 CREATE ROLE reader LOGIN; SELECT fluct.grant_reader(\'reader\');
	 GRANT EXECUTE ON FUNCTION fluct._keep_row(), fluct._apply_feed(), fluct._feed_rows(), fluct._is_customer_feed(oid) TO reader;
	 GRANT pg_monitor TO reader');
etl("INSERT INTO sales.industries VALUES ('Food'), ('Pharma')");
chmod(0755, $folder);

# What is left of a statement, asked in the same session.
my $left = q{RESET work_mem; SELECT 'left: ' || (SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'fluct feed%')
	|| ' ' || (SELECT count(*) FROM pg_ls_tmpdir());
	SET work_mem = '64kB'};

# Statements, all in one session and with rows on disk; what was left at the end.
sub session
{
	my ($statements, %option) = @_;

	return outcome("SET work_mem = '64kB'; $statements;\n$left",
		as => 'etl', on_error_stop => 0, %option);
}

sub customers
{
	my ($pattern) = @_;

	return sql("SELECT coalesce(string_agg(customer_id, ' ' ORDER BY customer_id), '') FROM sales.customers WHERE customer_id ~ '$pattern'");
}

# 20,000 rows are more than work_mem holds
sub many { return "INSERT INTO sales.customer_feed SELECT '$_[0]' || i, repeat('x', 50), 'Food' FROM generate_series(1, 20000) i" }
my $count = q{SELECT count(*) FROM sales.customers WHERE customer_id ~ };

# ----- statements of every kind -----

my ($rc, $out, $err) = session(many('a') . "; $count '^a'");
is($out, "20000\nleft: 0 0", 'rows on disk: all stored, nothing left');

write_file("$folder/good.csv", map { "b$_,name,Food\n" } 1 .. 20000);
write_file("$folder/bad.csv", (map { "c$_,name,Food\n" } 1 .. 20000), "c1\n");
($rc, $out, $err) = session("COPY sales.customer_feed FROM '$folder/good.csv' (FORMAT csv); $count '^b'");
is($out, "20000\nleft: 0 0", 'COPY: all stored, nothing left');
($rc, $out, $err) = session("BEGIN; SAVEPOINT s; COPY sales.customer_feed FROM '$folder/bad.csv' (FORMAT csv); ROLLBACK TO s; $count '^c'; $left; COMMIT");
is($out, "0\nleft: 0 0\nleft: 0 0", 'an error in COPY, in a subtransaction');
like($err, qr/missing data for column/, 'which is one of COPY');
($rc, $out, $err) = session("COPY sales.customer_feed FROM '$folder/bad.csv' (FORMAT csv); $count '^c'");
is($out, "0\nleft: 0 0", 'and without one');
($rc, $out, $err) = session("DO \$\$ BEGIN EXECUTE 'COPY sales.customer_feed FROM ''$folder/good.csv'' (FORMAT csv); COPY sales.customer_feed FROM ''$folder/good.csv'' (FORMAT csv)'; END \$\$");
is($out, 'left: 0 0', 'several COPY in one call');
is(() = $err =~ /customer_feed: 20000 rows, 0 inserted, 20000 unchanged/g, 2, 'each is applied');

my $fails = "INSERT INTO sales.customer_feed SELECT 'd' || 1 / (19000 - i), repeat('x', 50), 'Food' FROM generate_series(1, 20000) i";
($rc, $out, $err) = session("BEGIN; SAVEPOINT s; $fails; ROLLBACK TO s; $left; INSERT INTO sales.customer_feed VALUES ('d1', 'x', 'Food'); COMMIT");
is($out, "left: 0 0\nleft: 0 0", 'an error after rows were on disk, in a subtransaction');
is(customers('^d'), 'd1', 'the next statement has its own rows only');
($rc, $out, $err) = session("DO \$\$ BEGIN $fails; EXCEPTION WHEN division_by_zero THEN INSERT INTO sales.customer_feed VALUES ('e1', 'x', 'Food'); END \$\$");
is("$out|" . customers('^e'), 'left: 0 0|e1', 'and in one of PL/pgSQL');
($rc, $out, $err) = session("$fails; $left");
is($out, "left: 0 0\nleft: 0 0", 'and without one');
($rc, $out, $err) = session("BEGIN; SAVEPOINT s; " . many('f') . "; ROLLBACK TO s; COMMIT");
is("$out|" . customers('^f'), 'left: 0 0|', 'applied, and rolled back');

($rc, $out, $err) = session("WITH a AS (INSERT INTO sales.customer_feed VALUES ('g1', 'x', 'Food') RETURNING 1),
	b AS (INSERT INTO sales.customer_feed VALUES ('g2', 'x', 'Food') RETURNING 1)
	INSERT INTO sales.customer_feed VALUES ('g3', 'x', 'Food')");
is($out, 'left: 0 0', 'three in one statement');
is(() = $err =~ /customer_feed: 3 rows, 3 inserted/g, 1, 'are applied together');
($rc, $out, $err) = session("INSERT INTO sales.customer_feed SELECT 'h', 'x', 'Food' WHERE false");
like("$out$err", qr/left: 0 0.*customer_feed: 0 rows/s, 'a statement without rows');
($rc, $out, $err) = session("CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE sql AS \$\$
		INSERT INTO sales.customer_feed VALUES ('i1', 'x', 'Food'), ('i2', 'x', 'Food') RETURNING customer_id \$\$;
	BEGIN; DECLARE c CURSOR FOR SELECT pg_temp.f(); FETCH 1 FROM c; CLOSE c; COMMIT");
is("$out|" . customers('^i'), "i1\nleft: 0 0|i1 i2", 'in a function of which a cursor read one row');

# ----- statements within statements -----

etl(q{
	CREATE FUNCTION public.nest() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF new.customer_id = 'j1' THEN
			INSERT INTO sales.customer_feed VALUES ('j2', 'inner', 'Pharma'), ('j3', 'inner', 'Pharma');
		END IF;
		RETURN new;
	END $$;
	CREATE TRIGGER nest BEFORE INSERT ON sales.customers FOR EACH ROW EXECUTE FUNCTION public.nest()});
fails_like($node, "INSERT INTO sales.customer_feed VALUES ('j1', 'x', 'Food')",
	qr/relation "_fluct_feed" already exists/, 'a statement at the end of another: no two loads in one', as => 'etl');
etl('DROP TRIGGER nest ON sales.customers');
etl(q{
	CREATE FUNCTION public.nested(id text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO sales.customer_feed VALUES (id || '-inner', 'inner', 'Pharma');
		RETURN id;
	END $$});
($rc, $out, $err) = session("INSERT INTO sales.customer_feed SELECT public.nested('k' || i), 'x', 'Food' FROM generate_series(1, 2) i");
is("$out|" . customers('^k'), 'left: 0 0|k1 k1-inner k2 k2-inner', 'statements while the rows of another come: each has its own');

# ----- without triggers -----

etl('DROP TRIGGER customer_feed_end ON sales.customer_feed');
($rc, $out, $err) = session('BEGIN; ' . many('l') . "; $left; SELECT count(*) FROM fluct._feed_rows(); ROLLBACK; SELECT count(*) FROM fluct._feed_rows()");
is($out, "left: 0 0\nleft: 0 0", 'the end\'s trigger dropped: nothing is left after the statement');
is(() = $err =~ /ERROR:  no statement on sales.customer_feed is being applied/g, 2, 'and nothing can be read');
etl('DROP TRIGGER customer_feed_row ON sales.customer_feed');
etl('SELECT fluct.create_tables()');
($rc, $out, $err) = session(many('m') . "; $count '^m'");
is($out, "20000\nleft: 0 0", 'and made again by create_tables()');
fails_like($node, 'SELECT * FROM fluct._feed_rows()', qr/ERROR:  55000: no statement on sales.customer_feed/,
	'the rows are for the end of a statement only', as => 'reader');

# code of the tables' owner that runs while the rows are applied
etl(q{
	CREATE FUNCTION public.peep() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'rows: %', (SELECT count(*) FROM fluct._feed_rows());
	END $$;
	CREATE TRIGGER peep BEFORE INSERT ON sales.customers FOR EACH ROW EXECUTE FUNCTION public.peep()});
($rc, $out, $err) = session("INSERT INTO sales.customer_feed VALUES ('n1', 'x', 'Food')");
like("$out$err", qr/^left: 0 0.*no statement on sales.customer_feed/s, 'the rows are read once');
etl('DROP TRIGGER peep ON sales.customers');

# ----- other relations -----

my $attack = q{
	CREATE TEMP VIEW v AS SELECT 'a'::text AS a, 'b'::text AS b, 'c'::text AS c;
	CREATE TRIGGER r INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION fluct._keep_row()};
my $refused = qr/ERROR:  42501: relation "v" is not the view sales.customer_feed that create_tables\(\) made/;

fails_like($node, "$attack; INSERT INTO v VALUES ('x', 'y', 'z')", $refused, 'a view of one\'s own', as => 'reader');
fails_like($node, "$attack; CREATE TRIGGER e AFTER INSERT ON v FOR EACH STATEMENT EXECUTE FUNCTION fluct._apply_feed();
	INSERT INTO v SELECT 'x', 'y', 'z' WHERE false", $refused, 'nor an empty statement on it', as => 'reader');
fails_like($node, "$attack; WITH w AS (INSERT INTO v VALUES ('x', 'y', 'z') RETURNING 1) INSERT INTO sales.customer_feed VALUES ('o1', 'x', 'Food')",
	$refused, 'nor in one statement with the right one', as => 'etl');
($rc, $out, $err) = session("$attack; INSERT INTO v VALUES ('x', 'y', 'z'); SELECT count(*) FROM fluct._feed_rows()", as => 'reader');
is($out, 'left: 0 0', 'and nothing is left of it');
foreach my $case (
	[ 'BEFORE INSERT ON t FOR EACH ROW', "INSERT INTO t VALUES ('x', 'y', 'z')", '_keep_row' ],
	[ 'AFTER INSERT ON t FOR EACH STATEMENT', "INSERT INTO t VALUES ('x', 'y', 'z')", '_keep_row' ],
	[ 'AFTER UPDATE ON t FOR EACH STATEMENT', "UPDATE t SET a = 'x'", '_apply_feed' ],
	[ 'BEFORE INSERT ON t FOR EACH STATEMENT', "INSERT INTO t VALUES ('x', 'y', 'z')", '_apply_feed' ],
	[ 'AFTER INSERT ON t FOR EACH ROW', "INSERT INTO t VALUES ('x', 'y', 'z')", '_apply_feed' ])
{
	my ($event, $statement, $function) = @$case;

	fails_like($node, "CREATE TEMP TABLE t (a text, b text, c text); CREATE TRIGGER r $event EXECUTE FUNCTION fluct.$function(); $statement",
		qr/ERROR:  39P01: this function is for the triggers of sales.customer_feed only/, "fluct.$function() $event", as => 'reader');
}

# a view of the same name that somebody else, or the owner, made instead
etl(q{DROP VIEW sales.customer_feed;
	CREATE VIEW sales.customer_feed AS SELECT 1 AS customer_id, 2 AS company_name, 3 AS specialized_industries;
	CREATE TRIGGER customer_feed_row INSTEAD OF INSERT ON sales.customer_feed FOR EACH ROW EXECUTE FUNCTION fluct._keep_row()});
fails_like($node, 'INSERT INTO sales.customer_feed VALUES (1, 2, 3)',
	qr/ERROR:  42501: relation "customer_feed" is not the view sales.customer_feed that create_tables\(\) made/,
	'one of the same name, with numbers where texts are read', as => 'etl');
etl('DROP VIEW sales.customer_feed; SELECT fluct.create_tables()');
($rc, $out, $err) = session(many('p') . "; $count '^p'");
is($out, "20000\nleft: 0 0", 'made again by create_tables()');

unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|AddressSanitizer|runtime error/, 'and no process died');
done_testing();
