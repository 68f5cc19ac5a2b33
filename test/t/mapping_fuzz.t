# The decoder beside PostgreSQL's own JSON parser and input functions, inside a
# server: random and mutated messages, then messages that are meant to cost.
#
# FUZZ_ITERATIONS (default 200,000) and FUZZ_SEED say how many and which; what
# disagrees is printed with its seed and its bytes.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $iterations = $ENV{FUZZ_ITERATIONS} // 200_000;
my $seed = $ENV{FUZZ_SEED} // 1;
my $node = fluct_node('main', extension => 0, work_mem => '64MB', 'fluct.max_message_bytes' => '32MB');

sql(slurp_file('test/fuzz/setup.sql'),
	extra_params => [ '-v', "module=$ENV{PWD}/test/build/server_fuzz.so" ]);

# ----- random messages -----

# The cases, orders of few lines (long ones only cost time), and other JSON.
sub samples
{
	my @cases = map { $_->{value_base64} }
	  grep { defined($_->{value_base64}) && length($_->{value_base64}) < 4000 }
	  map { decode_json($_) } split(/\n/, slurp_file('test/data/messages.jsonl'));
	my @orders = grep { length($_) < 1000 }
	  split(/\n/, slurp_file('test/data/orders.jsonl'));
	my @others = split(/\n/, slurp_file('test/data/expected.jsonl'));

	splice(@orders, 20) if @orders > 20;
	splice(@others, 3);
	return (@cases, map { encode_base64($_, '') } @orders, @others);
}

my $samples = join(', ', map { "decode('$_', 'base64')" } samples());
my $all = 'SELECT fuzz(%d, %d, 0, ARRAY[%s], array_agg(target ORDER BY id),
	array_agg(mapping ORDER BY id)) FROM fuzz_mappings';
my ($out, $err);
my $rc = $node->psql('postgres', sprintf($all, $iterations, $seed, $samples),
	stdout => \$out, stderr => \$err, timeout => 1700);

is($rc, 0, "$iterations messages of seed $seed: no disagreement");
diag($err) if $rc != 0;
note($out);
foreach my $reason (qw(empty_value invalid_json invalid_encoding nul
	not_an_object duplicate_key missing_field null_field wrong_type not_finite
	out_of_range bad_timestamp empty_key too_deep))
{
	like($out, qr/\b[1-9]\d* $reason\b/, "$reason was among them");
}
like($out, qr/^[1-9]\d{3,} accepted/, 'and thousands that are accepted');

# ----- what the fuzzer found -----

# A value for a column of fuzz_values, with the options of its mapping.
sub stored
{
	my ($column, $value, $options) = @_;
	my $mapping = qq({"columns": {"$column": {"path": "\$.v"$options}}});

	return sql("SELECT concat_ws(' ', verdict, stored)
		FROM decode_one(convert_to('{\"v\": $value}', 'UTF8'), 'fuzz_values',
			'$mapping')");
}

my $epoch = ', "format": "epoch_s"';
foreach (
	[ 'at', '"2024-01-15T10:00:00\u002B02:00"', '', '2024-01-15 08:00:00+00' ],
	[ 'at', '"2016-12-31T23:59:60.5Z"', '', '2017-01-01 00:00:00.5+00' ],
	[ 'd', '"2024\u002d01-15"', '', '2024-01-15' ],
	[ 'u', '"\u0030bfd15dd-0737-404a-93cc-82262e09f0d7"', '',
		'0bfd15dd-0737-404a-93cc-82262e09f0d7' ],
	[ 'u', '"{0bfd15dd0737404a93cc82262e09f0d7}"', '',
		'0bfd15dd-0737-404a-93cc-82262e09f0d7' ],
	[ 'n', '"1\u00305"', ', "format": "text"', '105' ],
	[ 'f8', '-0', '', '0' ], [ 'f4', '-0.0', '', '0' ],
	[ 'f4', '7.038531e-26', '', '7.038531e-26' ],
	[ 'f4', '1e-46', '', undef, 'out_of_range' ],
	[ 'f8', '0.' . ('0' x 300) . '15e300', '', '0.15' ],
	[ 'at', '9223371', $epoch, '1970-04-17 18:02:51+00' ],
	[ 'at', '-9223372036854', $epoch, undef, 'bad_timestamp' ],
	[ 'at', '-2208988800', $epoch, '1900-01-01 00:00:00+00' ],
	[ 'at', '-2208988801', $epoch, undef, 'bad_timestamp' ],
	[ 'at', '253402300799.5', $epoch, '9999-12-31 23:59:59.5+00' ],
	[ 'at', '253402300800', $epoch, undef, 'bad_timestamp' ],
	[ 'at', '"2025-03-05T04:33Z"', '', '2025-03-05 04:33:00+00' ],
	[ 'at', '"2025-03-05T24:00:00Z"', '', '2025-03-06 00:00:00+00' ],
	[ 'f8', '1e100', '', '1e+100' ], [ 'f8', '1e-70', '', '1e-70' ],
	[ 'f8', '5e-324', '', '5e-324' ], [ 'f8', '1e309', '', undef, 'out_of_range' ],
	[ 'f8', '1e-400', '', undef, 'out_of_range' ],
	[ 'f8', '"1e-70"', ', "format": "text"', '1e-70' ],
	[ 'n', '7230000000000000000000000000000000000000000000000000000000000000000000000000',
		'', '7230000000000000000000000000000000000000000000000000000000000000000000000000' ],
	[ 'n', '1e1000', '', undef, 'out_of_range' ],
	[ 'jb', '[1e1000]', '', undef, 'out_of_range' ],
	[ 'j', '[1e1000]', '', '[1e1000]' ],
	[ 'by', '"\\\\x4142"', '', '\x4142' ], [ 'by', '"a\\\\101b"', '', '\x614162' ],
	[ 'by', '"\\\\x4"', '', undef, 'wrong_type' ])
{
	my ($column, $value, $options, $text, $verdict) = @$_;

	is(stored($column, $value, $options),
		$verdict // "accepted $text", "$column: " . substr($value, 0, 60));
}

# ----- Kafka's times, of which a producer may write any -----

is(sql('SELECT coalesce(kafka_time(ms)::text, $$none$$) FROM unnest(ARRAY[0, 1705312800123,
		-210866803200001, -9223372036854775808, 9224318015999999,
		9224318016000000, 9223372036854775807]::bigint[]) ms'),
	join("\n", '1970-01-01 00:00:00+00', '2024-01-15 10:00:00.123+00',
		'none', 'none', '294276-12-31 23:59:59.999+00', 'none', 'none'),
	"Kafka's times, where they are PostgreSQL's");

# ----- messages that are meant to cost -----

# name, verdict, SQL of the message; `order(...)` stands for an order with
# more members.  Work is counted in basic blocks, so no other load disturbs it.
my $keys = q~(SELECT string_agg('"%sk' || i || '":1', ',')
	FROM generate_series(1, 1000000) i)~;
my $line = '{"product_id":"p","volume":3,"price":1.25}';
my $lines = ',"order_lines":[]';
my @hostile = (
	[ '100,000 brackets', 'too_deep', q~repeat('[', 100000)~ ],
	[ '16 MB of brackets', 'too_deep', q~repeat('[', 16777216)~ ],
	[ '1e131071, 10,000 times', 'out_of_range',
		qq~order('$lines,"a":[' || repeat('1e131071,', 10000) || '1]')~ ],
	[ '10 MB array', 'too_long',
		qq~order('$lines,"a":[' || repeat('1,', 5242880) || '1]')~ ],
	[ '10 MB array of objects', 'too_long',
		qq~order('$lines,"a":[' || repeat('{"a":{}},', 1165084) || '1]')~ ],
	[ '16 MB of backslashes', 'accepted',
		qq~order('$lines,"a":"' || repeat('\\', 16777000) || '"')~ ],
	[ '16 MB of escapes', 'accepted',
		qq~order('$lines,"a":"' || repeat('\\u0041', 2796000) || '"')~ ],
	[ '16 MB of open quotes', 'invalid_json', q~repeat('"', 16777216)~ ],
	[ '16 MB of open strings', 'duplicate_key',
		q~'{' || repeat('"":"",', 2796200)~ ],
	[ '16 MB of blanks', 'invalid_json', q~repeat(' ', 16777216)~ ],
	[ '16 MB of blanks around', 'accepted',
		qq~repeat(' ', 8388000) || order('$lines') || repeat(' ', 8388000)~ ],
	[ '1,000,000 keys', 'too_long',
		"order('$lines,' || " . sprintf($keys, '') . ")" ],
	[ '1,000,000 keys of a field', 'too_long',
		"order('$lines,\"a\":{' || " . sprintf($keys, '') . " || '}')" ],
	[ '1,000,000 escaped keys', 'too_long',
		"order('$lines,\"a\":{' || " . sprintf($keys, '\\u0061') . " || '}')" ],
	[ 'a key of 10 MB', 'accepted',
		qq~order('$lines,"' || repeat('k', 10485760) || '":1')~ ],
	[ 'one key 100,000 times', 'duplicate_key',
		qq~order('$lines' || repeat(',"a":1', 100000))~ ],
	[ '10,000 lines', 'accepted',
		qq~order(',"order_lines":[' || repeat('$line,', 9999) || '$line]')~ ],
	[ '16 MB of empty lines', 'too_large',
		q~order(',"order_lines":[' || repeat('{},', 5500000) || '{}]')~ ],
	[ '16 MB of lines that are none', 'too_large',
		q~order(',"order_lines":[' || repeat('0,', 8300000) || '0]')~ ],
	[ 'a million digits', 'out_of_range',
		qq~replace(order('$lines'), '1.5', repeat('9', 1000000))~ ],
	[ 'a million zeros, and an exponent that undoes them', 'accepted',
		qq~replace(order('$lines'), '1.5', '0.' || repeat('0', 1000000) || '1e1000000')~ ],
	[ '100,000 nests of 60 levels', 'too_long',
		qq~order('$lines,"a":[' || repeat(repeat('[', 60) || repeat(']', 60) || ',', 100000) || '1]')~ ]);

sql(q~CREATE FUNCTION "order"(more text) RETURNS text LANGUAGE sql AS $$
	SELECT '{"order_id":"x","customer_id":"y","amount":1.5,'
		|| '"timestamp":"2024-01-15T10:00:00Z"' || more || '}' $$~);
foreach (@hostile)
{
	my ($name, $expected, $message) = @$_;
	my ($verdict, $work, $kb, $size) = split(/\|/, sql(
		"WITH m AS MATERIALIZED (SELECT convert_to("
		  . ($message =~ s/\border\(/"order"(/gr) . ", 'UTF8') AS m)
		SELECT verdict, work, kilobytes, length(m) / 1024
		FROM m, decode_one(m, 'fuzz_orders',
			(SELECT mapping FROM fuzz_mappings ORDER BY id LIMIT 1))"));

	is($verdict, $expected, $name);
	note("$size KB: $work blocks, $kb KB");
	cmp_ok($work, '<', 1024 * (1024 + 50 * $size), "$name: work");
	cmp_ok($kb, '<', 1024 + 10 * $size, "$name: memory");
}

done_testing();
