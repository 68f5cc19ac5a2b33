# What there is (help, version), streams as they are declared, and how all of
# it goes away again: uninstall() and DROP EXTENSION leave the users' tables.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $node = fluct_node('main', operator => 1);
my $has_cron = sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) eq '1';
sql('CREATE ROLE watcher LOGIN IN ROLE pg_monitor; CREATE ROLE reader LOGIN; SELECT fluct.grant_reader($$reader$$)');

# ----- help and version -----

like(sql('SELECT fluct.version()', as => $_), qr/^fluct \d+\.\d+\.\d+, librdkafka \d+\.\d+\.\d+, PostgreSQL \d+/, "the versions, to $_") foreach qw(watcher reader postgres);
sql(q{BEGIN; UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'fluct'; COMMIT});
like(sql('SELECT fluct.version()'), qr/^fluct 0\.0\.9 \(library \d/, 'a library of another version');
sql(q{UPDATE pg_extension SET extversion = fluct._library_version() WHERE extname = 'fluct'});
is(sql(q{SELECT string_agg(name, ' ') FROM fluct.help('PODIUM') WHERE strpos(name, 'podium') > 0}, as => 'reader'), 'podium', 'help finds a name');
is(sql(q{SELECT name, description FROM fluct.help('wait_for')}), 'wait_for_stream|Waits until all that Kafka held at the call
is committed: true; false at the timeout.', 'with its first sentence');
is(sql(q{SELECT arguments FROM fluct.help('preview_str')}), 'name [, n, start_at]', 'and its arguments');
is(sql(q{SELECT name, replace(description, chr(10), ' ') = obj_description('fluct.freshness'::regclass) FROM fluct.help('FRESHNESS') LIMIT 1}), 'freshness|t', 'of a whole name all that is said');
is(sql(q{SELECT count(*) FROM fluct.help() h, string_to_table(h.arguments, chr(10)) a, string_to_table(h.description, chr(10)) d WHERE length(h.name) + greatest(25, length(a)) + length(d) > 94}), '0', 'in 100 columns');
is(sql(q{SELECT count(*) FROM fluct.help() WHERE name LIKE '\_%' OR coalesce(description, '') = ''}), '0', 'no internals, and nothing undescribed');
is(sql(q{SELECT string_agg(proname, ' ') FROM pg_proc p WHERE pronamespace = 'fluct'::regnamespace AND proname NOT LIKE '\_%' AND proname <> 'kafka_options_validator'
	AND NOT EXISTS (SELECT FROM fluct.help() h WHERE h.name = p.proname)}), '', 'and nothing is left out');
like(said(q{SELECT * FROM fluct.help('podum')}), qr/nothing here has "podum" in its name or description.*Did you mean "podium"\?/s, 'a misspelt name');

# ----- the same call again -----

is(sql(q{SELECT pg_get_function_arguments(p.oid) = pg_get_function_arguments(q.oid) FROM pg_proc p, pg_proc q WHERE p.oid::regprocedure::text LIKE 'fluct.create_stream(%' AND q.oid::regprocedure::text LIKE 'fluct.create_or_alter_stream(%'}),
	't', 'it takes what create_stream takes');
etl(q{CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
	CREATE SERVER other FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '127.0.0.1:1'); CREATE TABLE t (id int PRIMARY KEY)});
my $call = q{SELECT fluct.create_or_alter_stream('s', 'shop', 'topic', 't', '{"columns": {"id": "$.id"}}', error_window => '90 minutes', partitions => '{1,0,1}', keep_raw => false%s)};
my $row = q{SELECT row_to_json(s) FROM fluct.streams s WHERE name = 's'};
is(etl(sprintf($call, '')), q{stream "s" created; SELECT fluct.start_stream('s'); starts it}, 'created');
my $before = sql($row);
like($before, qr/"partitions":\[0,1\]/, 'each partition once, in order');
is(etl(sprintf($call, '')), 'stream "s" is unchanged', 'the same call');
is(sql($row), $before, 'changes nothing');
is(etl(q{SELECT fluct.create_or_alter_stream('s', 'shop', 'topic', 't', error_window => '90 minutes', keep_raw => false, start_at => 'latest')}), 'stream "s" is unchanged', 'mapping and partitions stay');
is(sql($row), $before, 'and so does all');
is(etl(sprintf($call, q{, batch_size => 5, workers => 2, start => true})), 'stream "s" altered: batch_size, workers; started', 'another call');
is(etl(sprintf($call, q{, batch_size => 5, workers => 2, start => true})), 'stream "s" is unchanged', 'again');
is(etl(sprintf($call =~ s/'shop'/'other'/r, '')), 'stream "s" altered: batch_size, server, workers', 'what is not given is as by default');
is(sql(q{SELECT enabled FROM fluct.streams}), 't', 'which does not pause it');
fails_like($node, q{SELECT fluct.create_or_alter_stream('s', 'shop', 'topic')}, qr/55000: stream "s" fills public\.t, not sales\.orders.*SELECT fluct\.drop_stream\('s'\);/s, 'another target', as => 'etl');
sql('CREATE ROLE thief LOGIN; SELECT fluct.grant_operator($$thief$$)');
fails_like($node, sprintf($call, ''), qr/42501: stream "s" belongs to role "etl"/, 'another role', as => 'thief');
fails_like($node, q{SELECT fluct.create_or_alter_stream('s', 'shop', 'topic', 't', on_conflict => 'upsert')}, qr/22023:/, 'a word that is not one', as => 'etl');

# ----- going away -----

etl(q{INSERT INTO sales.orders VALUES ('o', 'c', 1, now()); CREATE VIEW mine AS SELECT * FROM fluct.freshness; GRANT USAGE ON SCHEMA fluct TO etl});
if ($has_cron)
{
	sql('CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO etl');
	etl(q{SELECT fluct.schedule_fluctuations('daily', '5 0 * * *'); SELECT cron.schedule('keep', '30 3 * * *', 'CALL fluct.apply_retention()'); SELECT cron.schedule('theirs', '30 3 * * *', 'SELECT 1')});
}
fails_like($node, 'DROP EXTENSION fluct', qr/2BP01: cannot drop extension fluct because other objects depend on it/, 'DROP EXTENSION alone');
fails_like($node, 'SELECT fluct.uninstall()', qr/42501: permission denied/, 'an operator cannot', as => 'etl');
my $printed = sql('SELECT fluct.uninstall()');
like($printed, qr/^SELECT fluct\.drop_stream\('s'\);$/m, 'streams');
like($printed, qr/^DROP SERVER shop CASCADE;$/m, 'servers');
like($printed, qr/^DROP TRIGGER \w+ on sales\.orders;$/m, 'triggers');
like($printed, qr/^DROP VIEW IF EXISTS public\.mine CASCADE;$/m, 'views');
like($printed, qr/^DROP EXTENSION fluct;\z/m, 'and the extension last');
is(sql('SELECT count(*) FROM fluct.streams'), '1', 'nothing was done');
is(sql('SELECT string_agg(u, chr(10)) FROM fluct.uninstall(true) u'), $printed, 'the same, done');
sql('DROP EXTENSION fluct');
is(sql('SELECT count(*) FROM sales.orders'), '1', 'the orders stay');
is(sql('SELECT string_agg(jobname, $$,$$) FROM cron.job'), 'theirs', 'and the jobs of others') if $has_cron;

# The printed statements do the same, and fluct can come again.
sql('CREATE EXTENSION fluct; SELECT fluct.grant_operator($$etl$$)');
etl('SELECT fluct.create_tables()');
is(sql('SELECT count(*) FROM fluct.health'), '1', 'the rollup is to be rebuilt');
sql(sql('SELECT fluct.uninstall()'));
is(sql(q{SELECT count(*) FROM pg_extension WHERE extname = 'fluct'}), '0', 'the statements as printed');

$node->stop;
done_testing();
