# Topics of Debezium: a table with two child tables, in the three forms that
# the connector and its converters write, beside the source as it is at the end.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use MIME::Base64 qw(encode_base64);
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'max_worker_processes' => 40, 'fluct.max_workers' => 30);

# ----- the source, and what is written of each change -----

my $source = '"source":{"version":"2.7.0.Final","connector":"postgresql","name":"shop","ts_ms":1770000000123,"snapshot":"%s","db":"shop",'
	. '"sequence":"[\"24023119\",\"24023128\"]","schema":"public","table":"%s","txId":556,"lsn":24023128,"xmin":null}';
my $schema = '{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"}],"optional":false,"name":"shop.public.%s.Envelope"}';

# The row as the connector writes it, and as SQL has it.
sub customer
{
	my ($id, $i) = @_;
	my $cents = $i * 7919 % 200000 - 100000;

	return (sprintf('{"id":%d,"name":"n%d","born":%d,"balance":"%s","created":%d,"seen":"2026-01-02T03:04:%02d.5Z","photo":"%s","more":%d}',
			$id, $i, 10000 + $i, encode_base64(pack('l>', $cents), ''), 1_770_000_000_000_000 + $i, $i % 60, encode_base64("p$i", ''), $i),
		sprintf("(%d, 'n%d', date '1970-01-01' + %d, %.2f, timestamp '1970-01-01' + %d * interval '1 microsecond', timestamptz '2026-01-02 03:04:%02d.5+00', 'p%d'::bytea, jsonb '{\"more\": %d}')",
			$id, $i, 10000 + $i, $cents / 100, 1_770_000_000_000_000 + $i, $i % 60, $i, $i));
}

sub address { my ($id, $i) = @_; return (sprintf('{"id":%d,"customer_id":%d,"street":"s %d"}', $id, $id % 5, $i), sprintf("(%d, %d, 's %d')", $id, $id % 5, $i)) }

sub order { my ($id, $i) = @_; return (sprintf('{"id":%d,"customer_id":%d,"amount":%d.5}', $id, $id % 5, $i), sprintf('(%d, %d, %d.5)', $id, $id % 5, $i)) }

my %row_of = (customers => \&customer, addresses => \&address, purchases => \&order);

# Key and value of a change in each form; the value of a tombstone is undef.
sub written
{
	my ($table, $op, $id, $before, $after) = @_;
	my $envelope = sprintf('{"before":%s,"after":%s,%s,"op":"%s","ts_ms":1770000000456,"transaction":null}',
		$before // 'null', $after // 'null', sprintf($source, $op eq 'r' ? 'first' : 'false', $table), $op);
	my $row = ($after // $before) =~ s/}$//r;
	my $gone = $op eq 'd' ? 'true' : 'false';
	my $schemas = sprintf($schema, $table);

	return (
		plain => [ qq({"id":$id}), $envelope ],
		schemas => [ qq({"schema":$schemas,"payload":{"id":$id}}), qq({"schema":$schemas,"payload":$envelope}) ],
		flat => [ qq({"id":$id}), qq($row,"__deleted":"$gone"}) ],
		flat_schemas => [ qq({"schema":$schemas,"payload":{"id":$id}}), qq({"schema":$schemas,"payload":$row,"__deleted":$gone}}) ]);
}

my @forms = qw(plain schemas flat flat_schemas);
my (%messages, %rows);

srand(11);
foreach my $table (sort keys %row_of)
{
	my %now;

	foreach my $i (1 .. 300)
	{
		my $id = int(rand(9));
		my $op = $i < 10 ? 'r' : !$now{$id} ? 'c' : rand() < 0.4 ? 'd' : 'u';
		my ($json, $sql) = $row_of{$table}->($id, $i);
		my %key_only = (before => qq({"id":$id,"name":null}));
		my %written = written($table, $op, $id, $op eq 'd' ? $i % 2 ? $key_only{before} : $now{$id}[0] : undef, $op eq 'd' ? undef : $json);

		foreach my $form (@forms)
		{
			push(@{ $messages{$form}{$table} }, join("\t", @{ $written{$form} }));
			push(@{ $messages{$form}{$table} }, $written{$form}[0]) if $op eq 'd';
		}
		if ($op eq 'd') { delete($now{$id}) } else { $now{$id} = [ $json, $sql ] }
	}
	$rows{$table} = join(', ', map { $now{$_}[1] } sort keys %now);
}

# ----- streams, by column name -----

my %columns = (
	customers => 'id bigint PRIMARY KEY, name text, born date, balance numeric(10,2), created timestamp, seen timestamptz, photo bytea, extra jsonb',
	addresses => 'id bigint PRIMARY KEY, customer_id bigint, street text',
	purchases => 'id bigint PRIMARY KEY, customer_id bigint, amount numeric(10,1)');

foreach my $form (@forms)
{
	sql("CREATE SCHEMA $form");
	sql("GRANT ALL ON SCHEMA $form TO etl");
	foreach my $table (sort keys %columns)
	{
		$kafka->create_topic("$form.public.$table");
		$kafka->produce("$form.public.$table", $messages{$form}{$table}, keyed => 1);
		etl("SET client_min_messages = warning; CREATE TABLE $form.$table ($columns{$table});
			SELECT fluct.create_stream('$form.$table', 'shop', '$form.public.$table', target => '$form.$table', batch_size => 13, start => true,
				on_conflict => 'update', mapping => '{\"envelope\": \"debezium\"}')");
	}
}
foreach my $form (@forms)
{
	foreach my $table (sort keys %columns)
	{
		ok(caught_up($node, "$form.$table"), "$form: $table");
		is(sql("SELECT count(*), sum((d.status = 'open')::int) FROM fluct.dead_letters d WHERE stream = '$form.$table'"), '0|', 'no dead letters');
		is(sql("SELECT count(*) FROM ((TABLE $form.$table EXCEPT VALUES $rows{$table}) UNION ALL (VALUES $rows{$table} EXCEPT TABLE $form.$table)) d"), 0, 'the target is the source');
	}
}
is(etl("SELECT sum(offsets - stored - duplicates - tombstones), sum(unexplained) FROM fluct.reconcile_stream('plain.customers')"), '0|0', 'everything is accounted for');
like(sql("SELECT mapping FROM fluct.streams WHERE name = 'plain.customers'"), qr/"balance": \{"path": "\$\.balance", "scale": 2, "format": "decimal"\}.*"envelope": "debezium"/,
	'the mapping has the columns');
is(etl("SELECT fluct.create_or_alter_stream('plain.customers', 'shop', 'plain.public.customers', target => 'plain.customers', batch_size => 13,
		on_conflict => 'update', mapping => '{\"envelope\": \"debezium\"}')"), 'stream "plain.customers" is unchanged', 'declared again, it is the same');

# ----- tombstones, a condition, what is not a row -----

$kafka->create_topic('odd');
my $envelope = sub { my ($op, $before, $after) = @_; return sprintf('{"before":%s,"after":%s,%s,"op":"%s"}', $before, $after, sprintf($source, 'false', 't'), $op) };
$kafka->produce('odd', [
	qq({"id":1}\t) . $envelope->('c', 'null', '{"id":1,"kind":"a","op":"x"}'), qq({"id":2}\t) . $envelope->('c', 'null', '{"id":2,"kind":"b","op":"x"}'),
	qq({"id":3}\t) . $envelope->('r', 'null', '{"id":3,"kind":"a","op":"y"}'), qq({"id":3}\t) . $envelope->('d', 'null', 'null'),
	qq({"id":4}\t) . $envelope->('c', 'null', '{"id":4,"kind":"a","op":"z"}'), qq({"id":4}),
	qq({"id":1}\t) . $envelope->('d', '{"id":1}', 'null'), qq({"id":1}),
	qq({}\t) . '{"op":"m","ts_ms":1,"source":{"connector":"postgresql"},"message":{"transactional":true,"prefix":"x","content":"eA=="}}',
	qq({}\t) . $envelope->('t', 'null', 'null'), qq({"id":5}\t) . $envelope->('u', 'null', 'null'), qq({"id":5}\t) . $envelope->('x', 'null', '{}'),
	qq({"id":5}\t) . $envelope->('c', 'null', '5'), qq({"id":6}\t) . $envelope->('c', 'null', '{"id":"6","kind":"a"}'), qq({"id":7}\t[1]), qq({"id":7}\t{"op":"c", "after":}),
	qq({"id":8}\t{"id":8,"kind":"a","op":"w"}), qq({"id":9}\t{"payload":{"op":"c","after":{"id":9,"kind":"a","op":"v"}}}),
	qq({"id":10}\t) . $envelope->('c', 'null', '{"id":10,"kind":"a"}'), qq({"schema":{},"payload":{"id":10}}\t) . $envelope->('d', 'null', 'null'),
	qq({"id":11}\t) . $envelope->('c', 'null', '{"id":11,"kind":"a"}'), qq({"schema":{},"payload":{"id":11}}) ], keyed => 1);
etl("CREATE TABLE odd (id int PRIMARY KEY, kind text, op text);
	SELECT fluct.create_stream('odd', 'shop', 'odd', target => 'odd', start => true, on_conflict => 'update', on_tombstone => 'delete', mapping => '{
		\"envelope\": \"debezium\", \"where\": {\"\$.kind\": \"a\"}, \"delete\": {\"columns\": {\"id\": \"kafka.key.\$.id\"}}}')");
ok(caught_up($node, 'odd'), 'odd ones');
is(sql("SELECT string_agg(id || op, ' ' ORDER BY id) FROM odd"), '8w 9v', 'by Kafka\'s key, with its schema or without; a deleted row need not have what the condition asks for');
is(letters('odd'), '9 wrong_type $.op, 10 null_field $.after, 11 wrong_type $.op, 12 wrong_type $.after, 13 wrong_type $.id, 15 invalid_json $.after',
	'what is no row is a dead letter');
is(etl("SELECT sum(filtered), sum(tombstones), sum(duplicates) FROM fluct.reconcile_stream('odd')"), '3|1|5', 'a message of pg_logical_emit_message is filtered');
like(etl("SELECT string_agg(concat_ws(' ', \"offset\", first_row, error), ', ' ORDER BY \"offset\") FROM fluct.preview_stream('odd', 20, 'earliest') WHERE \"offset\" IN (3, 8)"),
	qr/3 \{"id": 3\} delete: .*, 8 filtered/, 'preview_stream says so');

# ----- the envelope's own fields -----

my $at = sub { my ($lsn, $table) = @_; return qq("source":{"lsn":$lsn,"table":"$table","big":1},"ts_ms":1770000000456) };
mapped_stream('fields', 'CREATE TABLE fields (id int PRIMARY KEY, name text, lsn bigint, at timestamptz, source jsonb)',
	'{"envelope": "debezium", "version": "lsn", "where": {"envelope.$.source.table": ["t", null]},
		"columns": {"id": "$.id", "name": "$.source", "lsn": "envelope.$.source.lsn", "at": {"path": "envelope.$.ts_ms", "format": "epoch_ms"}, "source": "envelope.$.source"}}',
	", on_conflict => 'update'",
	qq({"op":"c","after":{"id":1,"source":"a"},${\ $at->(7, 't')}}), qq({"op":"u","after":{"id":1,"source":"b"},${\ $at->(6, 't')}}),
	qq({"schema":{},"payload":{"op":"c","after":{"id":2,"source":"c"},${\ $at->(8, 't')}}}), '{"id":3,"source":"d","__deleted":"false"}',
	qq({"op":"c","after":{"id":4},${\ $at->(9, 'other')}}), qq({"op":"d","before":{"id":2},${\ $at->(9, 'other')}}),
	qq({"op":"c","after":{"id":5},${\ $at->('"x"', 't')}}), qq({"op":"c","after":{"id":6},"source":{"lsn":1,"table":"t","big":1e5000}}),
	qq({"op":"c","after":{"id":7},${\ $at->(9, 't')}}), qq({"op":"d","before":{"id":7},${\ $at->(10, 't')}}));
is(sql('SELECT id, name, lsn, at, source FROM fields ORDER BY id'), '1|a|7|2026-02-02 02:40:00.456+00|{"big": 1, "lsn": 7, "table": "t"}' . "\n"
	. '2|c|8|2026-02-02 02:40:00.456+00|{"big": 1, "lsn": 8, "table": "t"}' . "\n" . '3|d|||', 'the version, a time and a condition');
is(letters('fields'), '6 wrong_type envelope.$.source.lsn, 7 out_of_range envelope.$.source', 'what is wrong there');
is(etl("SELECT sum(filtered), sum(unexplained) FROM fluct.reconcile_stream('fields')"), '2|0', 'counted');

# ----- what is said when it is declared -----

sub refused
{
	my ($mapping, $error, $what, $options) = @_;
	my $said = said("SELECT fluct.create_stream('r', 'shop', 'r', target => 'odd', mapping => \$m\$$mapping\$m\$" . ($options // ", on_conflict => 'update'") . ')', as => 'etl');
	return like($said, $error, $what);
}

refused('{"envelope": "debezium"}', qr/"envelope" needs on_conflict update/, 'on_conflict nothing', '');
refused('{"envelope": "maxwell"}', qr/unknown "envelope" "maxwell".*debezium/s, 'another envelope');
refused('{"envelope": "debezium", "delete": {"where": {"$.op": "d"}}}', qr/the envelope says what deletes/, 'a condition of its own');
refused('{"envelope": "debezium"}', qr/on_tombstone delete needs the key of public\.odd/, 'tombstones by the row\'s key', ", on_conflict => 'update', on_tombstone => 'delete'");

refused('{"columns": {"id": "envelope.$.source.lsn"}}', qr/column "id" of public\.odd is mapped to envelope\.\$\.source\.lsn, and the mapping has no "envelope"/, 'a path into no envelope');
refused('{"envelope": "debezium", "columns": {"id": "envelope.id"}}', qr/invalid path "envelope\.id".*envelope\.\$\.field/s, 'a path that is none');

done_testing();
