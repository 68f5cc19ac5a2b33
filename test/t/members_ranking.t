# Rankings over three members: equal to those of one server with all orders,
# while orders arrive, customers change and orders move from one member to
# another; and what is wrong with a member is said, never half an answer, also
# where it only looks like a member and answers what it likes.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FLUCT_SEED} || time();
my @members = ('m1', 'm2', 'm3');

note("FLUCT_SEED=$seed");
srand($seed);

my $node = fluct_node('members', operator => 1, 'max_connections' => 60, 'timezone' => 'Europe/Berlin');
my $port = $node->port;
my $host = $node->host;

$node->append_conf('pg_hba.conf', '');
my $hba = slurp_file($node->data_dir . '/pg_hba.conf');
write_file($node->data_dir . '/pg_hba.conf', "local all asker scram-sha-256\n$hba");
sql(q{
	CREATE EXTENSION postgres_fdw;
	GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO etl;
	CREATE ROLE asker LOGIN PASSWORD 'a secret';
	CREATE ROLE analyst LOGIN;
	SELECT fluct.grant_reader('analyst')});
$node->reload;

# The hub's industries are those of all.
my $customers = q{
	INSERT INTO sales.industries SELECT 'i' || i FROM generate_series(1, 6) i;
	INSERT INTO sales.products SELECT 'p' || i, 'Product ' || i, i FROM generate_series(1, 5) i;
	INSERT INTO sales.customers SELECT 'c' || c, 'Company ' || c FROM generate_series(1, 30) c;
	INSERT INTO sales.customer_industries SELECT 'c' || c, 'i' || i FROM generate_series(1, 25) c, generate_series(1, 5) i WHERE (c * 7 + i * 3) % 4 = 0;
};
foreach my $db ('one', @members)
{
	sql("CREATE DATABASE $db");
	sql('CREATE EXTENSION fluct', db => $db);
	make_operator(db => $db);
	sql("SELECT count(*) FROM fluct.grant_reader('asker')", db => $db);
	etl($customers . q{SELECT fluct.mark_complete('infinity')}, db => $db);
}
etl($customers);

# ----- adding them -----

foreach my $m (@members)
{
	etl("CREATE SERVER at_$m FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname '$m')");
}
fails_like($node, q{SELECT fluct.add_member('m1', 'at_m1')},
	qr/42704: role "etl" has no user mapping for server "at_m1".*CREATE USER MAPPING FOR etl SERVER at_m1/s, 'no user mapping', as => 'etl');
etl(q{CREATE USER MAPPING FOR PUBLIC SERVER at_m1 OPTIONS (user 'asker')});
fails_like($node, q{SELECT fluct.add_member('m1', 'at_m1')},
	qr/2F003: the user mapping of PUBLIC for server "at_m1" has no password/, 'no password', as => 'etl');
etl(q{ALTER USER MAPPING FOR PUBLIC SERVER at_m1 OPTIONS (ADD password 'wrong', SET user 'asker')});
fails_like($node, q{SELECT fluct.add_member('m1', 'at_m1')}, qr/08006: member "m1" does not answer.*password authentication failed/s, 'a wrong one', as => 'etl');
etl(q{ALTER USER MAPPING FOR PUBLIC SERVER at_m1 OPTIONS (SET password 'x', SET user 'analyst')});
fails_like($node, q{SELECT fluct.add_member('m1', 'at_m1')}, qr/it did not ask for the password/, 'a member that asks for none', as => 'etl');
sql(q{ALTER USER MAPPING FOR PUBLIC SERVER at_m1 OPTIONS (ADD password_required 'false')});
fails_like($node, q{SELECT fluct.add_member('m1', 'at_m1')}, qr/42501: server "at_m1" must belong to a superuser/, 'without one, on a server of no superuser', as => 'etl');
etl(q{DROP USER MAPPING FOR PUBLIC SERVER at_m1; CREATE USER MAPPING FOR PUBLIC SERVER at_m1 OPTIONS (user 'asker', password 'a secret')});
etl(qq{CREATE USER MAPPING FOR PUBLIC SERVER at_$_ OPTIONS (user 'asker', password 'a secret')}) foreach 'm2', 'm3';
fails_like($node, q{SELECT fluct._ask_members('streams', '{at_m1}', '{}')}, qr/42704: member "at_m1" does not exist/, 'a server that is not a member is not asked', as => 'analyst');
fails_like($node, q{SELECT fluct._ask_members('secrets', '{}', '{}')}, qr/22023: unknown question: secrets/, 'nor what is not in the list', as => 'analyst');
sql(q{CREATE USER MAPPING FOR analyst SERVER at_m1 OPTIONS (user 'asker', password 'a secret')});
like(etl(q{SELECT fluct.add_member('m1', 'at_m1')}), qr/CREATE SUBSCRIPTION fluct_customers_m1/, 'added, with what is left to do');
fails_like($node, q{SELECT * FROM fluct.top_fluctuations()}, qr/42501: the user mapping of role "analyst" must not be sent to server "at_m1" of role "etl"/,
	'a mapping is sent to no other role\'s server', as => 'analyst');
sql(q{DROP USER MAPPING FOR analyst SERVER at_m1});
fails_like($node, q{SELECT fluct.add_member('m1', 'at_m2')}, qr/42710: member "m1" already exists/, 'once', as => 'etl');
fails_like($node, q{SELECT fluct.add_member('x', 'nowhere')}, qr/42704: server "nowhere" does not exist/, 'a server that is there', as => 'etl');
my $adding = $node->background_psql('postgres', extra_params => [ '-U', 'etl' ]);
$adding->query_safe(q{BEGIN; SELECT fluct.add_member('m2', 'at_m2')});
fails_like($node, q{SET lock_timeout = '1ms'; SELECT fluct.add_member('m2', 'at_m3')}, qr/55P03: /, 'one at a time', as => 'etl');
$adding->query_safe('COMMIT');
$adding->quit;
etl("SELECT fluct.add_member('m3', 'at_m3')");
sql('ALTER SERVER at_m3 RENAME TO "At m3"');
is(sql(q{SELECT server FROM fluct.members WHERE name = 'm3'}), 'At m3', 'a member follows its server that is renamed');
sql('ALTER SERVER "At m3" RENAME TO at_m3');
sql(q{CREATE ROLE other LOGIN; SELECT fluct.grant_operator('other'); CREATE SERVER at_x FOREIGN DATA WRAPPER postgres_fdw; ALTER SERVER at_x OWNER TO other});
fails_like($node, $_, qr/42501: permission denied to (add|remove) a member\nDETAIL:  sales\.orders belongs to role "etl"/, "not by another operator: $_", as => 'other')
  foreach q{SELECT fluct.add_member('x', 'at_x')}, q{SELECT fluct.remove_member('m1')};
sql('ALTER SERVER at_m2 OWNER TO other');
fails_like($node, q{SELECT * FROM fluct.top_fluctuations()}, qr/42501: server "at_m2" of role "other" must not be asked as a member/, 'nor is one asked that is another role\'s server now', as => 'analyst');
is(sql(q{SELECT what, detail, hint FROM fluct.health WHERE problem = 'member'}),
	'member "m2"|server "at_m2" belongs to role "other", and not to role "etl", who owns the tables, so that no ranking asks it|ALTER SERVER at_m2 OWNER TO etl;', 'health says so');
fails_like($node, q{SELECT fluct.add_member('x', 'at_x')}, qr/42501: server "at_x" of role "other" must not be asked as a member/, 'nor added by a superuser');
sql('ALTER SERVER at_m2 OWNER TO etl');
fails_like($node, 'DROP SERVER at_m2 CASCADE', qr/2BP01: server "at_m2" is used by member "m2"\nHINT:  SELECT fluct\.remove_member\('m2'\);/, 'nor does it go away', as => 'etl');
fails_like($node, q{SELECT fluct.remove_member('m4')}, qr/42704: member "m4" does not exist.*Did you mean "m[123]"/s, 'nor can what is not there be removed', as => 'etl');

# ----- random rankings -----

sub pick { return $_[ rand(@_) ]; }

my $n = 0;

# The same orders go to one member and to the whole.
sub arrive
{
	my $m = pick(@members);
	my $count = 1 + int(rand(40));
	my $time = sprintf("timestamptz '2026-02-%02d %02d:%02d:%06.3fZ'", 1 + rand(28), rand(24), rand(60), rand(59));
	my $values = "SELECT 'o$n' || '_' || i, 'c' || 1 + (i * 7 + $n) % 32, round(((i * 37 + $n) % 211 - 40) / 3.0, 1 + i % 4), $time + i * interval '"
	  . pick('17 seconds', '3 hours 7 seconds', '1 microsecond', '-1 day') . "' FROM generate_series(1, $count) i";

	foreach my $db ('one', $m)
	{
		etl("INSERT INTO sales.orders $values;
			INSERT INTO sales.order_lines SELECT o.order_id, l, 'p' || 1 + (l + length(o.order_id)) % 5, l, round(o.amount / 3, 2), o.ordered_at
			  FROM sales.orders o, generate_series(1, 2) l WHERE o.order_id LIKE 'o${n}\\_%'", db => $db);
	}
	$n++;
	return;
}

sub change_customers
{
	my $c = 'c' . (1 + int(rand(30)));
	my $i = 'i' . (1 + int(rand(5)));
	my $statement = pick("DELETE FROM sales.customer_industries WHERE customer_id = '$c'",
		"INSERT INTO sales.customer_industries VALUES ('$c', '$i') ON CONFLICT DO NOTHING");

	etl($statement, db => $_) foreach 'postgres', 'one', @members;
	return;
}

# Orders of a member go to another.
sub move
{
	my ($from, $to) = @_;

	etl(q{CREATE TABLE IF NOT EXISTS public.moving AS TABLE sales.orders WITH NO DATA}, db => $from);
	my $rows = etl(q{WITH d AS (DELETE FROM sales.orders WHERE order_id IN (SELECT order_id FROM sales.orders ORDER BY order_id LIMIT 20) RETURNING *)
		SELECT string_agg(format('(%L, %L, %s, %L)', order_id, customer_id, amount, ordered_at), ', ') FROM d}, db => $from);

	etl("INSERT INTO sales.orders (order_id, customer_id, amount, ordered_at) VALUES $rows", db => $to) if $rows ne '';
	return;
}

sub ranking
{
	my $zone = pick('NULL', 'NULL', "'Europe/Berlin'", "'Asia/Kathmandu'");
	my $recent = $zone eq 'NULL' ? pick('24 hours', '7 hours 13 minutes', '3 days', '36 hours') : pick('1 day', '2 days', '7 days');
	my $times = pick(4, 7, 9, 13, 14);
	my $measure = pick('absolute', 'relative', 'zscore');
	my $average = $recent =~ /^(24 hours|1 day)$/ && $times % 7 == 0 ? 'weekday' : pick('elapsed', 'active');
	my $as_of = sprintf("'2026-02-%02d %02d:%02d:%06.3fZ'", 8 + rand(20), rand(24), rand(60), rand(59));

	return "$as_of, '$recent', $times * interval '$recent', NULL, '$measure', '" . pick('both', 'up', 'down') . "', '$average', $zone";
}

sub same
{
	my ($query, $name) = @_;
	my $options = 'SET client_min_messages = error; ';
	my $of_members = sql($options . $query, as => 'analyst');
	my $of_one = sql($options . $query, db => 'one');

	return 1 if $of_members eq $of_one;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($of_members, $of_one, "$name: $query");
	return 0;
}

my $equal = 0;
my $rounds = $ENV{FLUCT_ACTIONS} || 60;
arrive() foreach 1 .. 25;
for my $round (1 .. $rounds)
{
	arrive();
	change_customers() if rand() < 0.3;
	move(@members[ 0, 1 ]) if $round % 20 == 5;
	# a member whose rollup is not read gives the same
	sql('UPDATE sales.rollup_state SET valid = NOT valid', db => 'm2') if $round % 10 == 0;
	$equal += same('SELECT * FROM fluct.top_fluctuations(' . ranking() . ')', 'ranking');
}
is($equal, $rounds, "$rounds random rankings over members equal those of one server");
sql('UPDATE sales.rollup_state SET valid = false', db => 'm2');
is(sql(q{SELECT member, problem FROM fluct.cluster_health WHERE what = 'rollup'}, as => 'analyst'), 'm2|rollup_invalid', 'cluster_health says at which member');
sql('UPDATE sales.rollup_state SET valid = true', db => 'm2');
sql('DELETE FROM sales.order_lines', db => $_) foreach 'one', @members;
$equal = 0;
$equal += same($_, 'others') foreach
  q{SELECT * FROM fluct.podium('2026-02-20')},
  q{SELECT * FROM fluct.podium('2026-02-14', average => 'active', time_zone => 'UTC')},
  q{SELECT * FROM fluct.trend('2026-02-20')},
  q{SELECT * FROM fluct.compare('2026-02-20')},
  q{SELECT replace(fluct.report_html('2026-02-20'), fluct._page_streams('Europe/Berlin'), '') ~ 'podium'},
  map({ "SELECT * FROM fluct.explain_fluctuation('i$_', '2026-02-20Z', '3 days', '12 days', '" . pick('elapsed', 'active') . "', top_n => 4)" } 1 .. 5);
is($equal, 10, 'and so do podium, trend, compare and explain_fluctuation');
like(sql(q{SELECT fluct.report_html('2026-02-20')}, as => 'analyst'), qr{<td>m1</td><td>none</td>.*<td>m3</td>}s, 'the page shows the members');
like(said(q{SELECT * FROM fluct.podium('2027-02-20')}, as => 'analyst'), qr/NOTICE:  no order counts.*cluster_unattributed_spend/s, 'where no order counts the hint is about members');
my $unattributed = 'SELECT reason, customer_id, company_name, orders, amount, first_order, last_order FROM';

is(sql("$unattributed fluct.cluster_unattributed_spend ORDER BY 2", as => 'analyst'), sql("$unattributed sales.unattributed_spend ORDER BY 2", db => 'one'), 'orders without an industry');
isnt(sql('SELECT sum(orders) FROM fluct.cluster_unattributed_spend', as => 'analyst'), '', 'of which there are some');
is(etl(q{SET client_min_messages = error; SELECT count(*) FROM fluct.record_fluctuations('r', '2026-02-20Z', top_n => NULL);
		SELECT string_agg(industry || recent_value, ',' ORDER BY industry), bool_and(complete) FROM sales.fluctuations WHERE report = 'r'}) =~ s/^\d+\n//r,
	sql(q{SET client_min_messages = error; SELECT string_agg(industry || recent_value, ',' ORDER BY industry), bool_and(complete) FROM fluct.top_fluctuations('2026-02-20Z', top_n => NULL)}, db => 'one'),
	'record_fluctuations stores the same');

# ----- the members -----

is(sql(q{SELECT string_agg(DISTINCT status, ',') FROM fluct.check_members() WHERE item IN ('reachable', 'version', 'customers')}, as => 'analyst'), 'ok', 'check_members() finds nothing wrong');
etl(q{INSERT INTO sales.customer_industries VALUES ('c30', 'i6')}, db => 'm3');
is(sql(q{SELECT member, item, status FROM fluct.check_members() WHERE status = 'fail'}, as => 'analyst'), 'm3|customers|fail', 'other customers are found');
like(said(q{SELECT * FROM fluct.top_fluctuations('2026-02-20Z')}, as => 'analyst'),
	qr/WARNING:  the ranking may be incomplete: member "m3" has other industries of the customers.*check_members/s, 'by rankings, too');
is(sql(q{SET client_min_messages = error; SELECT DISTINCT complete FROM fluct.top_fluctuations('2026-02-20Z')}, as => 'analyst'), 'f', 'which are not complete');
etl(q{DELETE FROM sales.customer_industries WHERE (customer_id, industry) = ('c30', 'i6')}, db => 'm3');
is(said(q{SELECT * FROM fluct.top_fluctuations('2026-02-20Z')}, as => 'analyst'), '', 'until they are the same');

# an order with two of them
is(sql(q{SELECT count(*) FROM fluct.shared_orders('-infinity', 'infinity')}, as => 'analyst'), 0, 'no order is with two members');
etl(q{INSERT INTO sales.orders VALUES ('twice', 'c1', 1, '2026-02-20 10:00Z'), ('elsewhere', 'c1', 1, '2026-02-20 10:00Z')}, db => $_) foreach 'm1', 'm3';
etl(q{DELETE FROM sales.orders WHERE order_id = 'elsewhere'}, db => 'm3');
is(sql(q{SELECT * FROM fluct.shared_orders('2026-02-20Z', '2026-02-21Z')}, as => 'analyst'), 'twice|{m1,m3}', 'one that is, is found');
is(sql(q{SELECT count(*) FROM fluct.shared_orders('2026-02-21Z', '2026-02-22Z')}, as => 'analyst'), 0, 'in its time');
fails_like($node, q{SELECT * FROM fluct.shared_orders(NULL, 'infinity')}, qr/22004: since and until must not be null/, 'a time without a beginning', as => 'analyst');
etl(q{DELETE FROM sales.orders WHERE order_id IN ('twice', 'elsewhere')}, db => $_) foreach 'm1', 'm3';

# behind: the latest one speaks
etl(q{SELECT fluct.mark_complete('2026-02-10Z')}, db => 'm1');
etl(q{SELECT fluct.mark_complete('2026-02-12Z')}, db => 'm2');
like(said(q{SET timezone = 'UTC'; SELECT * FROM fluct.top_fluctuations('2026-02-20Z')}, as => 'analyst'),
	qr/WARNING:  the ranking may be incomplete: member "m1": nothing feeds sales.orders since 2026-02-10.*HINT:  At member "m1": If another program/s, 'one that is behind is named');
is(sql(q{SET client_min_messages = error; SELECT DISTINCT complete FROM fluct.top_fluctuations('2026-02-20Z')}, as => 'analyst'), 'f', 'and the answer is not complete');
etl(q{SELECT fluct.mark_complete('infinity')}, db => $_) foreach 'm1', 'm2';

# late
sql('BEGIN; ALTER FUNCTION fluct.__member_spend_1 RENAME TO _member_spend_quick;
	CREATE FUNCTION fluct.__member_spend_1(w fluct._windows, per_window boolean, with_offsets boolean,
		OUT shortfall fluct._shortfall, OUT oldest timestamptz, OUT newest timestamptz, OUT offsets jsonb, OUT spend fluct._member_spend[], OUT links bigint)
	LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); END $$;
	GRANT EXECUTE ON FUNCTION fluct.__member_spend_1 TO asker; COMMIT', db => 'm2');
fails_like($node, q{SET fluct.member_timeout = '300ms'; SELECT * FROM fluct.top_fluctuations('2026-02-20Z')},
	qr/08006: members? .*"m2".* not answer.*m2: (no answer within 300 ms|[^.]*statement timeout)/s, 'one that is slow is an error', as => 'analyst');
my ($rc, $out, $err) = outcome(q{SET fluct.member_timeout = '300ms'; SELECT count(*) FILTER (WHERE complete) FROM fluct.top_fluctuations('2026-02-20Z', allow_missing => true);
	SELECT current_setting('fluct.allow_missing')}, as => 'analyst');
is($out, "0\noff", 'allow_missing: an answer that is not complete');
like($err, qr/WARNING:  members? .*"m2".* not answer/, 'with a WARNING');
sql('BEGIN; DROP FUNCTION fluct.__member_spend_1; ALTER FUNCTION fluct._member_spend_quick RENAME TO __member_spend_1; COMMIT', db => 'm2');

# of another version
sql('ALTER FUNCTION fluct._member_spend_1 RENAME TO _member_spend_2', db => 'm2');
fails_like($node, q{SELECT * FROM fluct.top_fluctuations('2026-02-20Z')}, qr/member "m2" does not answer.*it has no fluct of this version/s, 'one of another version', as => 'analyst');
sql('ALTER FUNCTION fluct._member_spend_2 RENAME TO _member_spend_1', db => 'm2');

# one that lies, or is no member at all: what it answers is its own fault
sql('CREATE DATABASE liar');
sql('CREATE SCHEMA fluct; GRANT USAGE ON SCHEMA fluct TO asker', db => 'liar');
etl(qq{CREATE SERVER at_liar FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'liar');
	CREATE USER MAPPING FOR PUBLIC SERVER at_liar OPTIONS (user 'asker', password 'a secret')});
sql(q{INSERT INTO fluct.members (name, server, added_by) VALUES ('liar', 'at_liar', 'etl')});

# It answers what this query gives, in so many columns of text.
sub lies
{
	my ($question, $arguments, $columns, $query) = @_;
	my $returned = join(', ', map { "c$_ text" } 1 .. $columns);

	return sql("DROP FUNCTION IF EXISTS fluct._member_${question}_1;
		CREATE FUNCTION fluct._member_${question}_1($arguments) RETURNS TABLE ($returned) LANGUAGE sql STABLE AS \$f\$ $query \$f\$", db => 'liar');
}

my $links = sql('SELECT links FROM sales.rollup_state', db => 'm1');
my $ranking = q{SELECT * FROM fluct.top_fluctuations('2026-02-20Z', baseline => '14 days')};

sub lies_of_spend
{
	my ($spend, $shortfall, $from) = @_;

	return lies('spend', 'text, text, text', 6, sprintf("SELECT %s, NULL, NULL, NULL, %s, '$links' %s", $shortfall // 'NULL', $spend, $from // ''));
}

lies('spend', 'text, text, text', 1, q{SELECT '1'});
fails_like($node, $ranking, qr/08006: member "liar" does not answer\nDETAIL:  liar: its answer has 1 columns instead of 6\./, 'other columns', as => 'analyst');
lies('spend', 'text, text, text', 6, q{SELECT 'x', 'x', 'x', repeat('[', 100000), 'x', 'x'});
fails_like($node, $ranking, qr/08006: .*liar: its answer is not valid: malformed record literal: "x"/s, 'values of other types', as => 'analyst');
my ($liar_rc, $liar_out, $liar_err) = outcome(qq{SET fluct.allow_missing = on; SELECT DISTINCT complete FROM ($ranking) r}, as => 'analyst');
is($liar_out, 'f', 'allow_missing goes without it');
like($liar_err, qr/WARNING:  member "liar" does not answer/, 'and says so');
lies('spend', 'text, text, text', 6, q{SELECT NULL, NULL, NULL, NULL, NULL, NULL});
fails_like($node, $ranking, qr/08006: .*liar: its answer is not valid: a sum is missing/s, 'nothing but NULL', as => 'analyst');
lies('spend', 'text, text, text', 6, qq{SELECT NULL, NULL, NULL, repeat('[', 100000), '{}', '$links'});
fails_like($node, $ranking, qr/08006: .*liar: its answer is not valid: stack depth/s, 'what cannot be parsed', as => 'analyst');
lies_of_spend(q{'{}'}, undef, 'WHERE false');
fails_like($node, $ranking, qr/08006: .*liar: its answer has no row/s, 'no row', as => 'analyst');
lies_of_spend(q{'{}'}, undef, 'FROM (SELECT generate_series(1, 1000000000)) s');
fails_like($node, $ranking, qr/08006: .*liar: its answer has more than one row/s, 'rows without end', as => 'analyst');
foreach my $sum ('i1,2026-02-19Z,1,NaN,', 'i1,2026-02-19Z,1,-Infinity,', 'i1,2026-02-19Z,9223372036854775807,1,', 'i1,2026-02-19Z,-1,1,', 'i1,2026-02-10Z,1,,',
	',,,,', 'i1,2026-02-20Z,1,1,')
{
	lies_of_spend(qq{'{"($sum)"}'});
	fails_like($node, $ranking, qr/08006: .*liar: its answer is not valid: a sum is missing/s, "a sum that is none: $sum", as => 'analyst');
}
lies_of_spend(q{'{}'}, q{E'("at %s %s %I\x1b[31m","at %d \x1b[31m",2026-01-01Z,"\x1b[31m","\x1b[31m")'});
like(said($ranking, as => 'analyst'), qr/WARNING:  the ranking may be incomplete: member "liar": at %d \\x1b\[31m\nDETAIL:  \\x1b/, 'words of its own are shown as they are, safely');
lies_of_spend(q{'{}'});
is(sql("SET client_min_messages = error; $ranking", as => 'analyst'), sql("SET client_min_messages = error; $ranking", db => 'one'), 'one that has nothing adds nothing');
lies('explain', 'text, text, text, text', 4, q{VALUES ('customer', 'c1', 'NaN', '1')});
fails_like($node, q{SELECT * FROM fluct.explain_fluctuation('i1', '2026-02-20Z')}, qr/08006: .*liar: its answer is not valid: a number is not finite/s, 'nor is explain_fluctuation() taken in', as => 'analyst');
lies('streams', '', 12, q{VALUES (E'x\x1b[31m', 'running', 'r', 'many', '', '', '', '', '{}', 't', '1', 't')});
like(sql(q{SELECT concat_ws(' ', state, reason) FROM fluct.cluster_streams WHERE member = 'liar'}, as => 'analyst'), qr/^unreachable its answer is not valid: invalid input syntax for type bigint: "many"/, 'nor cluster_streams');
lies('health', '', 6, q{VALUES ('critical', E'x\x1b[31m', E'p\x1b', NULL, 'd', E'h\x1b')});
is(sql(q{SELECT what, problem, hint FROM fluct.cluster_health WHERE member = 'liar'}, as => 'analyst'), 'x\x1b[31m|p\x1b|h\x1b', 'cluster_health shows no control characters');
lies('state', 'text', 5, q{VALUES (E'9\x1b', '00:00:09', 't', '', NULL)});
is(sql(q{SELECT string_agg(item || ' ' || status, ', ') FROM fluct.check_members() WHERE member = 'liar'}, as => 'analyst'),
	'reachable ok, version warn, time warn, customers fail, subscription ok', 'check_members() tells what it says of itself');
sql(q{DELETE FROM fluct.members WHERE name = 'liar'});

# what apply_retention() deleted at one member
etl(q{CALL fluct.apply_retention(orders => now() - '2026-02-10 00:00Z')}, db => 'm1');
$equal = 0;
foreach my $industry (1 .. 3)
{
	my $explained = "SELECT trim_scale(sum(recent_value)) || ' ' || trim_scale(round(sum(baseline_avg), 15)) FROM fluct.explain_fluctuation('i$industry', '2026-02-20Z', average => 'active', top_n => 1) WHERE part = 'customer'";

	$equal += same("SELECT recent_value || ' ' || trim_scale(round(baseline_avg, 15)) FROM fluct.top_fluctuations('2026-02-20Z', average => 'active', top_n => NULL) WHERE industry = 'i$industry'", 'the ranking');
	is(sql("SET client_min_messages = error; $explained", as => 'analyst'), sql("SET client_min_messages = error; $explained", db => 'one'), "what deleted orders made of i$industry is explained");
}
is($equal, 3, 'a ranking has it still');

# connections that are kept
($rc, $out, $err) = outcome(q{SET client_min_messages = error;
	SELECT count(*) FROM fluct.top_fluctuations('2026-02-20Z');
	SELECT count(*) FROM fluct.top_fluctuations('2026-02-20Z');
	SELECT count(*) FROM pg_stat_activity WHERE usename = 'asker'}, as => 'analyst');
like($out, qr/\n3$/, 'a session keeps one connection to each member');
my $session = $node->background_psql('postgres', extra_params => [ '-U', 'analyst' ]);
$session->query_safe(q{SET client_min_messages = error; SELECT count(*) FROM fluct.top_fluctuations('2026-02-20Z')});
is(sql(q{SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = 'asker'}), 't', 'connections are ended');
is($session->query_safe(q{SELECT count(*) > 0 FROM fluct.top_fluctuations('2026-02-20Z')}), 't', 'and made again');

# down
sql('ALTER DATABASE m3 WITH ALLOW_CONNECTIONS false');
sql(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'asker'});
fails_like($node, q{SELECT * FROM fluct.podium()}, qr/08006: member "m3" does not answer.*m3: .*not currently accepting connections/s, 'one that is down', as => 'analyst');
is(sql(q{SELECT member, state FROM fluct.cluster_streams}, as => 'analyst'), 'm3|unreachable', 'cluster_streams has it');
is(sql(q{SELECT member, state FROM fluct.cluster_freshness}, as => 'analyst'), 'm3|unreachable', 'cluster_freshness, too');
is(sql(q{SELECT member, item, status FROM fluct.check_members() WHERE status = 'fail'}, as => 'analyst'), 'm3|reachable|fail', 'check_members() too');
is(sql(q{SELECT member, severity, what, problem FROM fluct.cluster_health WHERE member = 'm3'}, as => 'analyst'), 'm3|critical|member "m3"|unreachable', 'and cluster_health');
fails_like($node, 'SELECT * FROM fluct.cluster_unattributed_spend', qr/08006: member "m3" does not answer/, 'orders without an industry: an error', as => 'analyst');
etl(q{SELECT fluct.remove_member('m3')});
is(sql(q{SELECT * FROM fluct.health WHERE problem = 'member'}), '', 'health: the members can be asked');
my $lost = sql(q{BEGIN; SET LOCAL client_min_messages = error; SET LOCAL session_replication_role = replica; DROP SERVER at_m2 CASCADE; SET LOCAL session_replication_role = origin; DROP USER MAPPING FOR PUBLIC SERVER at_m1;
	SELECT severity, what, detail, hint FROM fluct.health WHERE problem = 'member' ORDER BY what; ROLLBACK});
like($lost, qr/^critical\|member "m1"\|server "at_m1" has no user mapping for PUBLIC or role "etl", who owns the tables\|CREATE USER MAPPING FOR PUBLIC SERVER at_m1 OPTIONS/m, 'health: a user mapping is gone');
like($lost, qr/^critical\|member "m2"\|its server "at_m2" does not exist.*SELECT fluct\.remove_member\('m2'\);$/m, 'and a server');
is(sql(q{SELECT count(*) FROM fluct.members}), 2, 'it can be removed');
$session->quit;

# no secret in the log
unlike(slurp_file($node->logfile) =~ s/^.*(CREATE|ALTER) USER MAPPING.*$//mgr, qr/a secret/, 'no password in the log, but for statements that hold one');

$node->stop;
done_testing();
