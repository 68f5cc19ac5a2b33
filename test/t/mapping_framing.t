# JSON behind the prefix of a schema registry: read, kept as it came, retried, reprocessed.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);

# As clients of a registry write it.
sub framed
{
	my ($id, $json) = @_;

	return pack('CN', 0, $id) . $json;
}

my $mapping = '{"columns": {"id": "$.id", "v": "$.v", "schema": "kafka.schema_id", "k": "kafka.key.$.k"}}';

$kafka->create_topic('framed');
$kafka->produce('framed', [
	framed(7, '{"id": "a", "v": 1}'), framed(16909060, '{"id": "b", "v": 2}'), '{"id": "c", "v": 3}',
	"\0\0\0", framed(7, ''), framed(7, "\0\x08\x01"), framed(8, '{"id": "d", "v": "x"}'),
	framed(8, '{"id": "e", "v": "y"}') ]);
$kafka->produce('framed', [ framed(7, '{"k": "x"}') . "\t" . framed(9, '{"id": "f", "v": 6}') ], keyed => 1);
etl("CREATE TABLE framed (id text PRIMARY KEY, v int, schema int NOT NULL, k text)");
etl("SELECT fluct.create_stream('framed', 'shop', 'framed', target => 'framed', mapping => '$mapping', framing => 'registry')");
is(etl("SELECT string_agg(coalesce(first_row->>'schema', split_part(error, ':', 1)), ' ' ORDER BY \"offset\") FROM fluct.preview_stream('framed', 9)"),
	'7 16909060 invalid_json invalid_json invalid_json nul wrong_type wrong_type 9', 'preview_stream reads the prefix');
etl("SELECT fluct.start_stream('framed')");
ok(caught_up($node, 'framed'), 'all went through');

my $rows = q{SELECT string_agg(concat_ws(' ', id, v, schema, k), ', ' ORDER BY id) FROM framed};

is(sql($rows), 'a 1 7, b 2 16909060, f 6 9 x', 'values, and keys, behind a prefix');
is(sql(q{SELECT string_agg(detail, E'\n' ORDER BY "offset") FROM fluct.dead_letters}), join("\n",
	"the first byte is 0x7b, expected 0x00 of the schema registry's prefix (framing => 'registry')",
	"3 bytes, too short for the schema registry's prefix of 5 bytes and JSON",
	"5 bytes, too short for the schema registry's prefix of 5 bytes and JSON",
	"a NUL byte after the schema registry's prefix, as in Protobuf or Avro, which cannot be read",
	'found "x", expected a whole number', 'found "y", expected a whole number'), 'why the others are not stored');
is(sql(q{SELECT encode(value, 'hex') FROM sales.raw_messages WHERE "offset" = 0}), unpack('H*', framed(7, '{"id": "a", "v": 1}')),
	'the raw copy has the message as it came');

# ----- stored again -----

sub retry
{
	my ($offset, $value) = @_;

	return etl("SELECT status FROM fluct.retry_dead_letters(ARRAY(SELECT id FROM fluct.dead_letters WHERE \"offset\" = $offset), value => '$value')");
}

is(retry(6, '{"id": "d", "v": 4}'), 'retried', 'a corrected text has no prefix');
is(retry(2, '{"id": "c", "v": 3}'), 'retried', 'nor had this message');
is(sql($rows), 'a 1 7, b 2 16909060, c 3 0, d 4 8, f 6 9 x', 'and has the id of its message');
etl("SELECT fluct.pause_stream('framed')");
etl('TRUNCATE framed');
etl("CALL fluct.reprocess_stream('framed')");
is(sql($rows), 'a 1 7, b 2 16909060, c 3 0, d 4 8, f 6 9 x', 'reprocess_stream stores the same');

# ----- declared -----

fails_like($node, "SELECT fluct.alter_stream('framed', framing => 'registri')", qr{must be one of none, registry.*framing => .registry.}s, 'one of two words', as => 'etl');
fails_like($node, "SELECT fluct.alter_stream('framed', framing => 'none')", qr/22023: +mapping: column "schema" .* kafka\.schema_id.*framing => 'registry'/s,
	'without framing there is no schema id', as => 'etl');
etl('CREATE TABLE plain (id text PRIMARY KEY, v int)');

my $plain = "'plain', 'shop', 'framed', target => 'plain', start => true";

etl("SELECT fluct.create_or_alter_stream($plain)");
ok(caught_up($node, 'plain'), 'the same topic without framing');
like(sql(q{SELECT detail FROM fluct.dead_letters WHERE stream = 'plain' AND "offset" = 0}), qr/framing => 'registry' skips it/, 'says what is missing');
is(etl("SELECT fluct.create_or_alter_stream($plain, framing => 'registry')"), 'stream "plain" altered: framing', 'which can be given later');
is(etl("SELECT fluct.create_or_alter_stream($plain, framing => 'registry')"), 'stream "plain" is unchanged', 'once');
is(etl("SELECT count(*) FROM fluct.retry_dead_letters(stream => 'plain') WHERE status = 'retried'"), '3', 'and for the dead letters');

done_testing();
