# The life of a stream, as an operator without any special right meets it:
# create, start, look, change, pause, drop.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = fluct_broker();
my $node = fluct_node('main', 'fluct.max_workers' => 16);
my $bootstrap = $kafka->bootstrap;

sub etl_fails
{
	my ($statement, $like, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return fails_like($node, $statement, $like, $name, as => 'etl');
}

# ----- an operator -----

sql('CREATE ROLE etl LOGIN; CREATE ROLE other LOGIN');
like(sql("SELECT string_agg(g, ' ') FROM fluct.grant_operator('etl') g"),
	qr/GRANT EXECUTE ON ROUTINE .*fluct\.create_stream,/,
	'grant_operator prints what it grants');
sql('CREATE SCHEMA sales AUTHORIZATION etl');
etl("CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka
	 OPTIONS (bootstrap_servers '$bootstrap')");
etl_fails("SELECT fluct.create_stream('orders', 'shop', 'orders')",
	qr/ERROR:  42P01: the tables in schema sales do not exist yet.*HINT:  SELECT fluct\.create_tables\(\);/s,
	'without the tables, the hint says how to get them');
etl('SELECT fluct.create_tables()');
is(sql("SELECT relowner::regrole FROM pg_class
		WHERE oid = 'sales.orders'::regclass"),
	'etl', 'the operator owns the tables');

# ----- create -----

etl_fails("SELECT fluct.create_stream('orders', 'nosuch', 'orders')",
	qr/ERROR:  42704: server "nosuch" .*does not exist.*HINT:  CREATE SERVER nosuch/s,
	'an unknown server');
etl_fails("SELECT fluct.create_stream('orders', 'shop', 'orders',
		mapping => '{\"columns\": {\"order_id\": \"\$.order_id\",
			\"colour\": \"\$.colour\"}}')",
	qr/ERROR:  42703: mapping: table sales\.orders has no column "colour"/,
	'a mapping to a column that is not there');
etl_fails("SELECT fluct.create_stream('orders', 'shop', 'orders',
		mapping => '{\"columns\": {\"order_id\": \"\$.order_id\"}}')",
	qr/ERROR:  22023: mapping: column "customer_id" of sales\.orders is NOT NULL without a default/,
	'a mapping without a column that must be there');
etl_fails("SELECT fluct.create_stream('orders', 'shop', 'orders',
		mapping => '{\"columns\": {\"order_id\": \"order_id\"}}')",
	qr/ERROR:  22023: mapping: column "order_id" of sales\.orders has the invalid path "order_id"/,
	'a bad path');
etl_fails("SELECT fluct.create_stream('or ders', 'shop', 'orders')",
	qr/ERROR:  42602: .*HINT:  A name has/s, 'a bad name');
my %bad = (
	"on_conflict => 'ignore'" => 'on_conflict must be one of nothing, error, update',
	"on_bad_message => 'skip'" => 'on_bad_message must be one of dead_letter, fail',
	"on_data_loss => 'ignore'" => 'on_data_loss must be one of fail, skip',
	'max_dead_letters => -1' => 'max_dead_letters must be at least 0',
	"error_window => '0'" => 'error_window must be longer than 0',
	'batch_size => 0' => 'batch_size must be from 1 to 100000 messages',
	'batch_bytes => 1' => 'batch_bytes must be from 1024 to 268435456 bytes',
	"batch_interval => '2 min'" => 'batch_interval must be from 0 to 1 minute',
	'workers => 0' => 'workers must be from 1 to 64',
	"partitions => '{0,-1}'" => 'partitions must be a list of numbers from 0',
	"start_at => 'yesteryear'" => 'invalid start_at: "yesteryear"');
etl_fails("SELECT fluct.create_stream('orders', 'shop', 'orders', $_)",
	qr/ERROR:  22023: \Q$bad{$_}\E/, "refused: $_")
  foreach sort keys %bad;
is(sql('SELECT count(*) FROM fluct.streams'), 0, 'nothing of that was made');

is(etl("SELECT fluct.create_stream('orders', 'shop', 'orders',
		batch_interval => '20 ms')"),
	"stream \"orders\" created; SELECT fluct.start_stream('orders'); starts it",
	'created, and what to do next');
etl_fails("SELECT fluct.create_stream('orders', 'shop', 'orders')",
	qr/ERROR:  42710: stream "orders" already exists/, 'not twice');
is(etl("SELECT state, reason FROM fluct.stat_streams"), 'paused|',
	'it begins paused');
etl_fails("SELECT fluct.wait_for_stream('orders')",
	qr/ERROR:  55000: stream "orders" is paused.*HINT:  SELECT fluct\.start_stream/s,
	'waiting for a paused stream is an error at once');
etl_fails("SELECT fluct.start_stream('order')",
	qr/ERROR:  42704: stream "order" does not exist.*HINT:  Did you mean "orders"\?/s,
	'an unknown stream');

# ----- rows -----

$kafka->create_topic('orders', 2);
my @orders = orders(100, seed => 10, lines => 20);
$kafka->produce('orders', \@orders);
is(etl("SELECT fluct.start_stream('orders')"), 'starting', 'started');
is(etl("SELECT fluct.wait_for_stream('orders')"), 't', 'and caught up');

my $lines = () = "@orders" =~ /"product_id"/g;
is(etl('SELECT count(*) FROM sales.orders'), 100, 'every order');
is(etl('SELECT count(*) FROM sales.order_lines'), $lines, 'every line');
my $sent = write_lines("${PostgreSQL::Test::Utils::tmp_check}/sent",
	map { s/\\/\\\\/gr } @orders);
sql("CREATE TABLE sent (message jsonb); COPY sent FROM '$sent'");
is(sql(q{
	SELECT count(*)
	FROM sent, jsonb_to_record(message) AS m(order_id text, customer_id text,
		amount numeric, "timestamp" text)
	JOIN sales.orders o USING (order_id, customer_id, amount)
	WHERE o.ordered_at = (m."timestamp" || CASE WHEN m."timestamp" ~ '\+'
		THEN '' ELSE '+00' END)::timestamptz AND o.extra IS NULL}),
	100, 'the orders are the ones sent');
is(sql(q{
	WITH theirs AS (
		SELECT message ->> 'order_id', n::int, line ->> 'product_id',
			(line ->> 'volume')::int, (line ->> 'price')::numeric
		FROM sent, jsonb_array_elements(message -> 'order_lines')
			WITH ORDINALITY AS l(line, n)),
	ours AS (
		SELECT order_id, line_number, product_id, volume, price
		FROM sales.order_lines JOIN sales.orders o USING (order_id, ordered_at))
	SELECT count(*) FROM (TABLE theirs EXCEPT ALL TABLE ours) d}),
	0, 'the lines, too, numbered from 1');
my @held = $kafka->consume('orders', '-f', '%p %o %s\n');
is(sql(q{SELECT partition, "offset", convert_from(value, 'UTF8')
		 FROM sales.raw_messages ORDER BY 1, 2}),
	join("\n", map { s/^(\d+) (\d+) /$1|$2|/r }
		sort { (split(/ /, $a))[0] <=> (split(/ /, $b))[0]
			  || (split(/ /, $a))[1] <=> (split(/ /, $b))[1] } @held),
	'the raw copy is what Kafka holds');
is(sql('SELECT count(*) FROM sales.raw_messages
		WHERE key IS NULL AND headers IS NULL AND stream = topic
			AND message_time BETWEEN now() - interval \'10 min\' AND now()'),
	100, 'with its times');

# ----- what is no new order -----

$kafka->produce('orders', [ @orders[ 0 .. 4 ],
		an_order('with extra', channel => '"web"', tags => '["a", 1]'),
		an_order('twice'), an_order('twice', amount => 99) ],
	partition => 0);
$kafka->produce('orders', [ 'gone', 'gone too' ], keyed => 1);
ok(caught_up($node, 'orders'), 'caught up');
is(etl("SELECT messages, duplicates, tombstones, dead_letters, rows
		FROM fluct.stat_streams"),
	join('|', 110, 6, 2, 0, 102 + $lines + 2),
	'duplicates and tombstones are counted');
is(etl('SELECT count(*) FROM sales.order_lines'), $lines + 2,
	'the lines of duplicates are ignored');
is(etl("SELECT amount FROM sales.orders WHERE order_id = 'twice'"), '10.5',
	'the first of two wins');
is(etl("SELECT extra FROM sales.orders WHERE order_id = 'with extra'"),
	'{"tags": ["a", 1], "channel": "web"}', 'extra fields are kept');

# ----- being seen -----

is(etl("SELECT state, reason, lag, messages, since <= now(), partitions,
			owner, server, topic, target, workers, cardinality(pids)
		FROM fluct.stat_streams"),
	'running||0|110|t|2|etl|shop|orders|sales.orders|1|1', 'stat_streams');
is(etl('SELECT stream, topic, partition, current_offset, log_end_offset, lag,
			log_start_offset, last_commit <= now()
		FROM fluct.stat_partitions'),
	join("\n", map { "orders|orders|$_->[0]|$_->[2]|$_->[2]|0|0|t" }
		$kafka->describe('orders')),
	'stat_partitions');
is(etl("SELECT data_until > now() - interval '1 min', behind, state
		FROM fluct.freshness"),
	't|00:00:00|running', 'freshness');
is(sql("SELECT string_agg(backend_type || ': ' || query, ', ' ORDER BY 1)
		FROM pg_stat_activity WHERE backend_type LIKE 'fluct%'"),
	'fluct launcher: launcher: database postgres, '
	  . 'fluct stream worker: stream orders: running',
	'pg_stat_activity');


# ----- nothing bends a value -----

etl("SELECT fluct.pause_stream('orders', 'for the test')");
ok(await_state($node, 'orders', 'paused/for the test'), 'paused, and why');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct stream worker'", 0),
	'the worker leaves');
etl('ALTER TABLE sales.orders ADD COLUMN page xml');
etl("SELECT fluct.map_column('orders', 'page', '\$.page')");
sql(q{
	ALTER ROLE postgres SET timezone = 'Asia/Tokyo';
	ALTER ROLE etl SET timezone = 'Asia/Tokyo';
	ALTER ROLE etl SET client_encoding = 'LATIN1';
	ALTER ROLE etl SET xmloption = 'document';
	ALTER DATABASE postgres SET timezone = 'America/New_York';
	ALTER DATABASE postgres SET datestyle = 'SQL, DMY';
	ALTER DATABASE postgres SET search_path = nowhere;
	ALTER DATABASE postgres SET default_transaction_read_only = on;
	ALTER DATABASE postgres SET default_transaction_isolation = serializable;
	ALTER DATABASE postgres SET statement_timeout = '5ms';
	ALTER DATABASE postgres SET row_security = off});
$kafka->produce('orders', [
	an_order('zone 1', timestamp => '"2026-03-04T05:06:07.123456"'),
	an_order('zone 2', timestamp => '"2026-03-04T05:06:07.123456+02:00"'),
	an_order('text', customer_id => "\"\xc3\xa9\xe2\x82\xac\"", page => '"<a/>b"', more => "\"\xc3\xbc\"") ]);
my $free = 'SET default_transaction_read_only = off; SET statement_timeout = 0; SET client_encoding = UTF8;';
sql("$free BEGIN READ WRITE; SELECT fluct.start_stream('orders'); COMMIT",
	as => 'etl');
ok(poll($node, "$free SELECT fluct.wait_for_stream('orders')", "t"),
	'caught up under odd settings');
is(sql("$free SET timezone = 'UTC'; SET datestyle = 'ISO';
		SELECT ordered_at FROM sales.orders
		WHERE order_id LIKE 'zone%' ORDER BY order_id"),
	"2026-03-04 05:06:07.123456+00\n2026-03-04 03:06:07.123456+00",
	'no offset means UTC');
is(sql("$free SET timezone = 'UTC'; SET datestyle = 'ISO';
		SELECT DISTINCT ordered_at FROM sales.order_lines
		WHERE order_id LIKE 'zone%' ORDER BY 1 DESC"),
	"2026-03-04 05:06:07.123456+00\n2026-03-04 03:06:07.123456+00",
	'in the lines, too');
my $text = "SELECT encode(convert_to(concat_ws('|', customer_id, page, extra->>'more'), 'UTF8'), 'escape')
	FROM sales.orders WHERE order_id = 'text'";
is(sql("$free SET row_security = on; $text"),
	'\\303\\251\\342\\202\\254|<a/>b|\\303\\274', 'text is the text that came, and no other');
sql("$free BEGIN READ WRITE; ALTER ROLE postgres RESET ALL;
	 ALTER ROLE etl RESET ALL; ALTER DATABASE postgres RESET ALL; COMMIT");

# nor where a session stores them: what was stored is deleted, and comes from the raw copy
etl("SELECT fluct.pause_stream('orders')");
sql("DELETE FROM sales.orders WHERE order_id = 'text'; SET client_encoding = 'LATIN1'; SET xmloption = 'document';
	CALL fluct.reprocess_stream('orders', '-infinity', 'infinity')", as => 'etl');
is(sql($text),
	'\\303\\251\\342\\202\\254|<a/>b|\\303\\274', 'nor does a session');
etl("SELECT fluct.unmap_column('orders', 'page'); ALTER TABLE sales.orders DROP COLUMN page; SELECT fluct.start_stream('orders')");

# ----- changes under load -----

# A process of its own produces until it is told to stop.
my $stop = "${PostgreSQL::Test::Utils::tmp_check}/stop";
my $producer = fork();
if ($producer == 0)
{
	for (my $n = 0; !-e $stop && getppid() != 1; $n++)
	{
		$kafka->produce('orders',
			[ map { an_order("load $n.$_", channel => '"web"') } 1 .. 50 ]);
		sleep(0.02);
	}
	POSIX::_exit(0);
}
ok(poll($node, "SELECT EXISTS (SELECT FROM sales.orders WHERE order_id LIKE 'load%')"),
	'orders come meanwhile');
for my $round (1 .. 5)
{
	etl('ALTER TABLE sales.orders ADD COLUMN channel text;
		 ALTER TABLE sales.order_lines ADD COLUMN channel text');
	etl("SELECT fluct.map_column('orders', 'channel', '\$.channel')");
	etl("SELECT fluct.map_column('orders', 'channel', '\$.channel',
			target => 'sales.order_lines')");
	ok(poll($node, "SELECT count(*) > 0 FROM sales.order_lines
			WHERE channel = 'web'"),
		"round $round: the new columns are filled");
	etl("SELECT fluct.unmap_column('orders', 'channel')");
	etl('ALTER TABLE sales.orders DROP COLUMN channel');
	etl("SELECT fluct.unmap_column('orders', 'channel', 'sales.order_lines')");
	etl('ALTER TABLE sales.order_lines DROP COLUMN channel');
}
etl("SELECT fluct.alter_stream('orders', batch_size => 7)");
my $before = etl('SELECT sum(messages) FROM fluct.stream_offsets');
ok(poll($node, "SELECT sum(messages) > $before + 100
		FROM fluct.stream_offsets"),
	'an altered stream goes on by itself');
write_lines($stop);
waitpid($producer, 0);
ok(caught_up($node, 'orders'), 'caught up');
my $expected = $kafka->consume('orders');
is(etl('SELECT messages, dead_letters FROM fluct.stat_streams'),
	"$expected|0", 'no batch was lost');
is(etl("SELECT count(*) = count(DISTINCT order_id)
			AND count(*) = (SELECT count(*) FROM sales.orders
				WHERE order_id LIKE 'load%')
		FROM sales.order_lines WHERE order_id LIKE 'load%'"),
	't', 'each order has its line');
is(etl("SELECT count(*) FROM sales.orders
		WHERE order_id LIKE 'load%' AND extra IS NULL") > 0
	  && etl("SELECT count(*) FROM sales.orders
		WHERE extra ->> 'channel' = 'web'") > 0,
	1, 'unmapped, the field is in extra; mapped, it is not');
etl_fails("SELECT fluct.unmap_column('orders', 'channel')",
	qr/ERROR:  42703: stream "orders" maps nothing to column "channel"/,
	'unmapping what is not mapped');
etl_fails("SELECT fluct.unmap_column('orders', 'custmer_id')",
	qr/maps nothing to column "custmer_id".*HINT:  Did you mean "customer_id"/s,
	'unmapping a misspelt column names the nearest');
etl_fails("SELECT fluct.map_column('orders', 'custmer_id', '\$.a')",
	qr/ERROR:  42703: mapping: table sales\.orders has no column "custmer_id".*HINT:  Did you mean "customer_id"/s,
	'mapping to a misspelt column names the nearest');
etl_fails("SELECT fluct.map_column('orders', 'nosuch', '\$.a')",
	qr/ERROR:  42703: mapping: table sales\.orders has no column "nosuch"/,
	'mapping to what is not there');
etl_fails("SELECT fluct.alter_stream('orders', start_at => 'latest')",
	qr/ERROR:  55000: stream "orders" has a position already/,
	'start_at after the start');

# Changes are no failures: an idle stream that was changed often is no slower.
etl("SELECT fluct.alter_stream('orders', batch_size => 100 + $_)"),
  poll($node, "SELECT version = (SELECT version FROM fluct.streams)
	AND state = 'running' FROM fluct.stat_streams, fluct.streams")
  foreach 1 .. 8;
is(etl("SELECT failures <= 1 FROM fluct.stream_states"), 't',
	'changing a stream is no failure');

# ----- partitions that are added -----

$kafka->add_partitions('orders', 3);
$kafka->produce('orders', [ map { an_order("new $_") } 1 .. 5 ],
	partition => 2);
ok(poll($node, "SELECT count(*) FROM sales.orders
		WHERE order_id LIKE 'new%'", 5),
	'a partition that is added is found');

# ----- waiting -----

my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE sales.orders');
$kafka->produce('orders', [ an_order('locked out') ]);
is(etl("SELECT fluct.wait_for_stream('orders', '500 ms')"), 'f',
	'false at the timeout');
my $waiter = $node->background_psql('postgres');
$waiter->query_until(qr/^/, "SELECT fluct.wait_for_stream('orders');\n");
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE query LIKE 'SELECT fluct.wait%' AND wait_event_type = 'Extension'", 1),
	'who waits sleeps');
$session->query_safe('COMMIT');
$waiter->quit;
is(etl("SELECT fluct.wait_for_stream('orders', '1 min')"), 't',
	'true when it is there');
$session->quit;
fails_like($node, "SELECT fluct.wait_for_stream('nosuch')",
	qr/ERROR:  42704: stream "nosuch" does not exist/,
	'waiting for what is not there');

# ----- pause and drop, and on -----

etl("SELECT fluct.pause_stream('orders')");
$kafka->produce('orders', [ map { an_order("paused $_") } 1 .. 5 ]);
is(etl("SELECT fluct.start_stream('orders')"), 'starting', 'resumed');
ok(caught_up($node, 'orders'), 'caught up');
is(etl("SELECT count(*) FROM sales.orders WHERE order_id LIKE 'paused%'"), 5,
	'what came while it was paused');

etl_fails('DROP SERVER shop',
	qr/ERROR:  2BP01: server "shop" is used by stream "orders".*HINT:  SELECT fluct\.drop_stream\('orders'\)/s,
	'a server that is used stays');
etl_fails('DROP SERVER shop CASCADE', qr/ERROR:  2BP01/, 'with CASCADE, too');
my $count = etl('SELECT count(*) FROM sales.orders');
etl("SELECT fluct.drop_stream('orders')");
is(etl('SELECT count(*) FROM fluct.streams'), 0, 'dropped');
ok(poll($node, "SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'fluct stream worker'", 0),
	'the worker leaves');
is(etl('SELECT count(*) FROM sales.orders'), $count, 'the orders stay');
$kafka->produce('orders', [ an_order('after the drop') ]);
like(said("SELECT fluct.create_stream('orders', 'shop', 'orders',
		start => true)", as => 'etl'),
	qr/stream "orders" continues where the dropped stream of that name left off/,
	'a new stream of the name says where it goes on');
ok(caught_up($node, 'orders'), 'caught up');
is(etl('SELECT count(*) FROM sales.orders') . ' '
	  . etl('SELECT duplicates FROM fluct.stat_streams'),
	($count + 1) . ' 6', 'and reads nothing again');
etl("SELECT fluct.drop_stream('orders')");

# ----- where to begin -----

$kafka->create_topic('times');
my $now = int(time());
$kafka->produce('times', [qq({"n": $_})],
	timestamp => ($now - (10 - $_) * 3600) * 1000)
  foreach 0 .. 9;
my $between = POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($now - 5.5 * 3600));
my %start = (
	earliest => [ 'earliest', 0 ],
	latest => [ 'latest', 10 ],
	timestamp => [ $between, 5 ],
	zoneless => [ POSIX::strftime('%Y-%m-%d %H:%M:%S',
			gmtime($now - 5.5 * 3600)), 5 ],
	future => [ '2100-01-01', 10 ],
	interval => [ '-150 minutes', 8 ],
	offsets => [ '{"0": 7}', 7 ]);
foreach my $name (sort keys %start)
{
	etl("SET client_min_messages = warning;
		CREATE TABLE IF NOT EXISTS sales.n_$name (n int, \"offset\" bigint);
		SELECT fluct.create_stream('$name', 'shop', 'times', 'sales.n_$name',
			'{\"columns\": {\"n\": \"\$.n\", \"offset\": \"kafka.offset\"}}',
			start_at => '$start{$name}[0]', keep_raw => false, start => true)");
}
ok(caught_up($node, $_), "$_ caught up") foreach sort keys %start;
$kafka->produce('times', ['{"n": 10}']);
foreach my $name (sort keys %start)
{
	my ($text, $first) = @{ $start{$name} };

	caught_up($node, $name);
	is(etl("SELECT count(*), min(n), min(\"offset\") FROM sales.n_$name"),
		(11 - $first) . "|$first|$first", "start_at $text");
	etl("SELECT fluct.drop_stream('$name')");
}

# A session's zone counts when the stream is created, and no more after that.
etl("SET timezone = 'Asia/Tokyo';
	SELECT fluct.create_stream('zone', 'shop', 'times', 'sales.n_latest',
		start_at => '2026-01-02 03:04:05', keep_raw => false)");
is(etl("SELECT start_at FROM fluct.streams WHERE name = 'zone'"),
	'2026-01-01T18:04:05.000000Z', 'start_at is kept in UTC');
etl("SELECT fluct.drop_stream('zone')");

# ----- rights -----

sql("SELECT fluct.grant_operator('other')");
my @as_other = (as => 'other');
fails_like($node, "SELECT fluct.create_stream('mine', 'shop', 'orders')",
	qr/ERROR:  42501: role "other" cannot use server "shop".*HINT:  GRANT USAGE ON FOREIGN SERVER shop TO other;/s,
	'a server of somebody else', @as_other);
etl('GRANT USAGE ON FOREIGN SERVER shop TO other');
fails_like($node, "SELECT fluct.create_stream('mine', 'shop', 'orders')",
	qr/ERROR:  42501: role "other" lacks INSERT on sales\.orders.*HINT:  GRANT INSERT, SELECT ON sales\.orders TO other;/s,
	'a target without the right to INSERT', @as_other);
fails_like($node, "SELECT fluct.create_stream('mine', 'shop', 'orders')",
	qr/ERROR:  42501: a stream cannot belong to a superuser.*HINT:  .*CREATE ROLE \w+ LOGIN;\nSELECT fluct\.grant_operator\('\w+'\);/s,
	"a superuser's stream");
etl('GRANT USAGE ON SCHEMA sales TO other;
	GRANT INSERT, SELECT ON sales.orders, sales.order_lines, sales.raw_messages TO other');
sql("SELECT fluct.create_stream('risen', 'shop', 'orders')", @as_other);
sql("ALTER ROLE other SUPERUSER; SELECT fluct.start_stream('risen')");
ok(await_state($node, 'risen', 'failed/owner_is_superuser'),
	'an owner that has become a superuser');
like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = 'risen'"),
	qr/role "other" is a superuser.*ALTER ROLE other NOSUPERUSER/,
	"writes into nobody's table");
sql("SELECT fluct.drop_stream('risen'); ALTER ROLE other NOSUPERUSER");
etl("SELECT fluct.create_stream('orders', 'shop', 'orders')");
foreach my $call ("start_stream('orders')", "pause_stream('orders')",
	"drop_stream('orders')", "alter_stream('orders', batch_size => 5)",
	"map_column('orders', 'extra', '\$.a')")
{
	fails_like($node, "SELECT fluct.$call",
		qr/ERROR:  42501: stream "orders" belongs to role "etl"/,
		"not another's: $call", @as_other);
}
fails_like($node, 'UPDATE fluct.streams SET enabled = true',
	qr/ERROR:  42501: permission denied/, 'nor by writing the table',
	@as_other);
fails_like($node, "SELECT fluct._start_stream('orders')",
	qr/ERROR:  42501: permission denied/, 'nor by the inner function',
	@as_other);
sql('CREATE ROLE nobody LOGIN');
fails_like($node, 'SELECT * FROM fluct.stat_streams',
	qr/ERROR:  42501: permission denied/, 'PUBLIC sees nothing',
	as => 'nobody');
sql("SELECT fluct.grant_reader('nobody')");
is(sql('SELECT stream, state FROM fluct.stat_streams',
		as => 'nobody'),
	'orders|paused', 'a reader sees the streams');
sql('GRANT etl TO other');
is(sql("SELECT fluct.start_stream('orders')", @as_other),
	'starting', 'a member of the owner may start it');
sql('REVOKE etl FROM other');

# ----- a trigger on the target -----

etl(q{
	CREATE TABLE sales.seen (n serial, session_user_is text, user_is text,
		zone text, path text, role text);
	CREATE FUNCTION sales.look() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO sales.seen (session_user_is, user_is, zone, path, role)
		VALUES (session_user, current_user, current_setting('timezone'),
			current_setting('search_path'),
			current_setting('session_replication_role'));
		PERFORM set_config('timezone', 'Asia/Tokyo', false),
			set_config('search_path', 'nowhere', false),
			set_config('statement_timeout', '1ms', false);
		RETURN NULL;
	END $$;
	CREATE TRIGGER look AFTER INSERT ON sales.orders
		FOR EACH STATEMENT EXECUTE FUNCTION sales.look()});
for my $n (1 .. 2)
{
	$kafka->produce('orders', [ an_order("seen $n") ]);
	ok(caught_up($node, 'orders'), 'caught up');
}
is(etl("SELECT DISTINCT user_is, zone, path, role FROM sales.seen"),
	'etl|UTC|pg_catalog, pg_temp|origin',
	'a trigger runs as the owner, and its settings do not stay');
is(etl("SELECT count(*) >= 2 FROM sales.seen"), 't', 'in each batch');
etl('DROP TRIGGER look ON sales.orders');
etl(q{
	CREATE OR REPLACE FUNCTION sales.look() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN RESET ROLE; RESET SESSION AUTHORIZATION; RETURN NULL; END';
	CREATE TRIGGER look AFTER INSERT ON sales.orders
		FOR EACH STATEMENT EXECUTE FUNCTION sales.look()});
$kafka->produce('orders', [ an_order('escape') ]);
ok(caught_up($node, 'orders'), 'caught up');
is(etl("SELECT reason, sqlstate FROM fluct.dead_letters"),
	'trigger|42501', 'a trigger cannot get out of the role');

done_testing();
