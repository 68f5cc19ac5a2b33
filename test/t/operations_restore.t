# A dump taken under load, restored into another cluster and into other
# databases of the same one, whole and in parts: rows and positions agree,
# nothing runs by itself, and start_stream goes on there without loss or
# doubles.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Fluct::Load;
use Fluct::Reckoning;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);
my $dump = "${PostgreSQL::Test::Utils::tmp_check}/dump";

sub restore_sql
{
	my ($on, $database, $file, $name) = @_;

	return $on->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d',
			$on->connstr($database), '-f', $file ], $name);
}

sql($node, q{
	CREATE ROLE clerk LOGIN;
	ALTER TABLE sales.orders ADD COLUMN channel text;
	CREATE INDEX orders_by_channel ON sales.orders (channel);
	CREATE TABLE mine (id text);
	ALTER TABLE mine OWNER TO clerk;
	GRANT USAGE ON FOREIGN SERVER shop TO clerk;
	SELECT fluct.grant_operator('clerk');
	SET ROLE clerk;
	SELECT fluct.create_stream('of_clerk', 'shop', 'orders', 'mine',
		'{"columns": {"id": "$.order_id"}}', keep_raw => false)});
my $load = Fluct::Load->new($node, $kafka,
	fields => { channel => '"web"' });
sql($node, q{SELECT fluct.map_column('orders', 'channel', '$.channel')});
$load->start(0.02);

ok(poll($node, 'SELECT sum(messages) > 1000 FROM fluct.stream_offsets'),
	'under load');
my $before = positions($node);
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f',
		"$dump.sql" ], 'dumped');
cmp_ok(positions($node), '>', $before, 'under load to the end');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-Fc', '-f',
		"$dump.custom" ], 'dumped as an archive');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'),
		"--$_-only", '-f', "$dump.$_" ], "dumped: $_ only")
  foreach ('schema', 'data');

# ----- what the dump must show, wherever it is restored -----

my $states = q{
	SELECT DISTINCT state, reason FROM fluct.stat_streams
	WHERE stream <> 'of_clerk'};

sub check_restored
{
	my ($on, $database, $where) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql($on, $states, db => $database), 'paused|restored_elsewhere',
		"$where: it comes up paused");
	is(sql($on, 'SELECT count(*) FROM fluct._live()', db => $database), 0,
		"$where: nothing runs");
	check_agrees($on, $where, $database);
	is(sql($on, "SELECT count(*) FROM pg_indexes
			WHERE indexname = 'orders_by_channel'", db => $database),
		1, "$where: the users' index is there");
	is(sql($on, "SELECT mapping -> 'columns' -> 'channel' FROM fluct.streams
			WHERE name = 'orders'", db => $database),
		'"$.channel"', "$where: the mapping of their column");
	is(sql($on, "SELECT bool_and(channel = 'web') FROM sales.orders", db => $database),
		't', "$where: and the column");
	is(sql($on, "SELECT max(id) <= (SELECT last_value FROM fluct.dead_letters_id_seq)
			FROM fluct.dead_letters", db => $database),
		't', "$where: the next dead letter has a new number");
	return;
}

# Starts both streams there and waits until all is there.
sub check_goes_on
{
	my ($on, $database, $where) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	sql($on, "SELECT fluct.start_stream('$_')", db => $database)
	  foreach ('arrivals', 'orders');
	check_whole($on, $kafka, $where, $database);
	return;
}

# ----- another cluster, where the owner of a stream does not exist -----

my $other = fluct_node('other', extension => 0);

sql($other, 'CREATE ROLE etl LOGIN; CREATE ROLE clerk LOGIN');
restore_sql($other, 'postgres', "$dump.sql", 'restored elsewhere');
sql($other, 'DROP OWNED BY clerk; DROP ROLE clerk');
check_restored($other, 'postgres', 'another cluster');
$other->restart;
is(sql($other, $states), 'paused|restored_elsewhere',
	'after a restart as well');

# ----- other databases of the same cluster -----

sql($node, 'CREATE DATABASE copy');
restore_sql($node, 'copy', "$dump.sql", 'restored beside');
check_restored($node, 'copy', 'another database');
is(sql($node, "SELECT has_function_privilege('etl', 'fluct.start_stream(text)',
		'EXECUTE')", db => 'copy'),
	't', 'another database: operators are operators');

sql($node, 'CREATE DATABASE parts');
restore_sql($node, 'parts', "$dump.schema", 'restored without rows');
is(sql($node, 'SELECT count(*) FROM fluct.streams', db => 'parts'), 0,
	'without rows: no streams');
is(sql($node, "SELECT count(*) FROM pg_foreign_server WHERE srvname = 'shop'", db => 'parts'),
	1, 'without rows: the server is there');
restore_sql($node, 'parts', "$dump.data", 'and the rows after it');
check_restored($node, 'parts', 'in parts');

# ----- on they go -----

$load->stop;
ok(caught_up($node, $_), "$_ caught up") foreach ('orders', 'arrivals');
check_whole($node, $kafka, 'where it was dumped');
check_goes_on($other, 'postgres', 'another cluster');

is(sql($other, "SELECT fluct.start_stream('of_clerk')"), 'starting',
	'a stream of nobody may be started');
ok(await_state($other, 'of_clerk', 'failed/privilege_lost'), 'but fails');
like(sql($other, "SELECT detail FROM fluct.stat_streams WHERE stream = 'of_clerk'"),
	qr/role "clerk", the owner of stream "of_clerk", does not exist/, 'since its owner is not there');

sql($node, "ALTER SYSTEM SET fluct.database = 'copy'");
sql($node, 'SELECT pg_reload_conf()');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct launcher' AND datname = 'copy'", 1),
	'the launcher moves to the copy');
is(sql($node, $states, db => 'copy'), 'paused|restored_elsewhere',
	'where still nothing runs');
check_goes_on($node, 'copy', 'another database');

# ----- the same name, by an archive and several jobs -----

sql($node, 'DROP DATABASE copy WITH (FORCE)');
sql($node, 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', 2, '-d',
		$node->connstr('copy'), "$dump.custom" ],
	'restored in place of what was dropped');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct launcher' AND datname = 'copy'", 1),
	'the launcher finds it');
check_restored($node, 'copy', 'the same name');
check_goes_on($node, 'copy', 'the same name');

# ----- without owners: the page has what is to be done -----

my ($owners) = slurp_file('doc/operations.md') =~ /After `--no-owner`.*?```sql\n(.*?)```/s;

sql($node, 'DROP DATABASE copy WITH (FORCE)');
sql($node, 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--no-owner', '-d',
		$node->connstr('copy'), "$dump.custom" ], 'restored without owners');
sql($node, "$owners ALTER TABLE arrivals OWNER TO etl", db => 'copy');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct launcher' AND datname = 'copy'", 1),
	'the launcher finds it');
check_restored($node, 'copy', 'without owners');
check_goes_on($node, 'copy', 'without owners');
is(sql($node, 'SELECT count(*) FROM fluct.verify_rollup(); SELECT fluct.create_tables()', db => 'copy', as => 'etl'),
	"0\nnothing was missing", 'without owners: all is the operator\'s');

my $truth = "SELECT count(*), sum(amount), md5(string_agg(order_id, ' '
		ORDER BY order_id)) FROM sales.orders";
is(sql($other, $truth), sql($node, $truth), 'another cluster: the same orders');
is(sql($node, $truth, db => 'copy'), sql($node, $truth), 'another database: the same orders');

done_testing();
