# What becomes of a message: each case of test/data/messages.jsonl through the
# real broker, with its key, headers and bytes; then the limits on how much may
# be refused.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka,
	'fluct.max_message_bytes' => '256kB');

sub hex_of
{
	my ($bytes) = @_;

	return defined($bytes) ? unpack('H*', $bytes) : '';
}

my @cases = map { decode_json($_) }
  split(/\n/, slurp_file('test/data/messages.jsonl'));
is(scalar(@cases), 28, 'cases');

# ----- produce -----

$kafka->create_topic('orders');
foreach my $i (0 .. $#cases)
{
	my $case = $cases[$i];
	my %header = (
		case => $i, text => "\"quoted\" \\ \xc3\xbc", bytes => "\xff\xfe");

	%header = map { ("h$_" => "value $_") } 1 .. 500
	  if $case->{name} eq '500 headers';
	$case->{value} = $case->{value_base64}
	  && decode_base64($case->{value_base64});
	$case->{value} //= '' if defined($case->{value_base64});
	$kafka->produce('orders',
		[ defined($case->{value}) ? "key $i\t$case->{value}" : "key $i" ],
		keyed => 1, whole => 1, headers => \%header,
		timestamp => 1700000000000 + $i);
}
is(($kafka->describe('orders'))[0][2], 28, 'Kafka has them');
etl("SELECT fluct.create_stream('orders', 'shop', 'orders', start => true)");
ok(caught_up($node, 'orders'), 'all went through');

# ----- what became of each -----

my %seen = (loaded => 0, duplicate => 0, dead_letter => 0, tombstone => 0);
foreach my $i (0 .. $#cases)
{
	my $case = $cases[$i];
	my $hex = hex_of($case->{value});
	my $kept = "encode(key, 'hex'), encode(value, 'hex'),
		extract(epoch FROM message_time) * 1000";
	my $as_sent = join('|', hex_of("key $i"), $hex, 1700000000000 + $i);

	is(sql("SELECT $kept FROM sales.raw_messages WHERE \"offset\" = $i")
		  =~ s/\.0*$//r,
		$as_sent, "$case->{name}: the raw copy");
	if ($case->{expect} eq 'dead_letter')
	{
		my ($reason, $field) = $case->{why} =~ /^(\w+)(?: ([\w\[\].]+))?/;
		my ($said, $path, $state) = split(/\|/,
			sql("SELECT reason, path, sqlstate FROM fluct.dead_letters
				WHERE \"offset\" = $i AND status = 'open' AND detail <> ''
					AND stream = 'orders' AND topic = 'orders'
					AND partition = 0"));

		is($said, $reason, "$case->{name}: $reason");
		like($state, qr/^[0-9A-Z]{5}$/, '  with an SQLSTATE');
		like($path, qr/\Q$field\E$/, "  at $path")
		  if defined($field) && $case->{why} !~ /^\w+ \w+ \w/;
		is(sql("SELECT $kept FROM fluct.dead_letters WHERE \"offset\" = $i")
			  =~ s/\.0*$//r,
			$as_sent, '  with its bytes');
		$seen{dead_letter}++;
	}
	elsif ($case->{expect} eq 'loaded')
	{
		my ($id) = $case->{value} =~ /"order_id": "([^"]+)"/;

		is(sql("SELECT count(*) FROM sales.orders JOIN sales.order_lines
					USING (order_id, ordered_at)
				WHERE order_id = '$id'"),
			1, "$case->{name}: loaded");
		$seen{loaded}++;
	}
	else
	{
		$seen{ defined($case->{value}) ? 'duplicate' : 'tombstone' }++;
	}
}
is(sql('SELECT messages, duplicates, dead_letters, tombstones,
			(SELECT count(*) FROM sales.orders),
			(SELECT count(*) FROM fluct.dead_letters)
		FROM fluct.stat_streams'),
	join('|', 28, @seen{qw(duplicate dead_letter tombstone loaded dead_letter)}),
	'all are accounted for');
is(sql("SELECT string_agg(amount::text, ' ' ORDER BY order_id)
		FROM sales.orders WHERE order_id ~ '^000000(01|16)'"),
	'189921.66000000006 0', 'a value is stored as sent, -0 as 0');
is(sql("SELECT string_agg(ordered_at::text, ' ' ORDER BY order_id)
		FROM sales.orders WHERE order_id ~ '^000000(20|21)'"),
	'2022-10-28 14:31:13.542504+00 2024-01-15 10:00:00.123457+00',
	'no offset is UTC, nanoseconds are rounded');
is(sql("SELECT extra FROM sales.orders WHERE order_id ~ '^00000002'"),
	'{"zzz": 1}', 'an unknown field is kept');

# ----- headers -----

is(sql('SELECT headers FROM sales.raw_messages WHERE "offset" = 0'),
	'[{"key": "bytes", "value_base64": "//4="}, {"key": "case", "value": "0"}, '
	  . "{\"key\": \"text\", \"value\": \"\\\"quoted\\\" \\\\ \xc3\xbc\"}]",
	'headers, base64 where they are no text');
is(sql('SELECT r.headers = d.headers AND jsonb_array_length(d.headers) = 3
		FROM sales.raw_messages r JOIN fluct.dead_letters d USING ("offset")
		WHERE "offset" = 5'),
	't', "a dead letter's, too");
is(sql(q{SELECT count(DISTINCT h), count(*) FILTER
			(WHERE h ->> 'value' = 'value ' || substr(h ->> 'key', 2))
		 FROM sales.raw_messages, jsonb_array_elements(headers) h
		 WHERE "offset" = 27}),
	'500|500', '500 headers');
is(sql("SELECT count(*) FROM fluct.open_dead_letters
		WHERE at = 'orders[0]\@5' AND reason = 'empty_value'"),
	1, 'open_dead_letters says where it is');

# ----- limits of its own -----

# Sends one message; returns what the dead letter says of it, or 'loaded'.
sub fate
{
	my ($message) = @_;

	$kafka->produce('orders', [$message], whole => 1);
	caught_up($node, 'orders') or return 'stuck';
	my $offset = ($kafka->describe('orders'))[0][2] - 1;

	return sql("SELECT coalesce((SELECT concat_ws(' ', reason, path)
			FROM fluct.dead_letters WHERE \"offset\" = $offset), 'loaded')");
}

sub nested { return ('[' x $_[0]) . (']' x $_[0]) }

is(fate(an_order('deep', x => nested(63))), 'loaded', 'depth 64');
like(fate(an_order('deeper', x => nested(64))), qr/^too_deep/, 'depth 65');
like(fate('[' x 100_000), qr/^(too_deep|not_an_object)/, '100,000 brackets');
like(fate(an_order('wide', x => '[' . join(',', ('1e131071') x 10_000) . ']')),
	qr/^out_of_range/, '10,000 numbers of 131,072 digits');
is(fate(an_order('long', x => '"' . ('x' x 200_000) . '"')), 'loaded',
	'a long field');
is(fate(an_order('larger', x => '"' . ('x' x 300_000) . '"')), 'too_large $',
	'above fluct.max_message_bytes');
is(sql("SELECT length(value), (SELECT count(*) FROM sales.raw_messages r
			WHERE r.\"offset\" = d.\"offset\")
		FROM fluct.dead_letters d WHERE reason = 'too_large'"),
	'65536|0', 'its beginning is kept');
sql("ALTER SYSTEM SET fluct.max_message_bytes = '1kB'; SELECT pg_reload_conf()");
poll($node, 'SHOW fluct.max_message_bytes', '1kB');
is(fate(an_order('small', x => '"' . ('x' x 2000) . '"')), 'too_large $', 'a limit below what is kept of one that is too large');
sql('ALTER SYSTEM RESET fluct.max_message_bytes; SELECT pg_reload_conf()');
poll($node, 'SHOW fluct.max_message_bytes', '256kB');
is(etl("SELECT status FROM fluct.retry_dead_letters(ARRAY[(SELECT max(id) FROM fluct.dead_letters WHERE reason = 'too_large')])"), 'retried', 'it is stored when the limit is raised');
is(fate(an_order('refund', amount => '-12.5')), 'loaded', 'a refund');
is(sql("SELECT amount FROM sales.orders WHERE order_id = 'refund'"), '-12.5',
	'with its negative amount');
is(fate(an_order('zero', amount => '-0.00')), 'loaded', '-0');
is(sql("SELECT amount FROM sales.orders WHERE order_id = 'zero'"), '0.00',
	'is 0');
is(fate(an_order('empty', order_lines => '[]')), 'loaded', 'no lines');
is(sql("SELECT count(*) FROM sales.order_lines WHERE order_id = 'empty'"), 0,
	'is an order without lines');
is(fate(an_order(join('', map { chr(97 + int(rand(26))) } 1 .. 20_000))),
	'too_long', 'a key too long for its index');
is(fate(an_order('values', x => '[' . ('1,' x 100_000) . '1]')), 'too_long $',
	'more than 100,000 values for a jsonb column');
is(fate(an_order('escaped', timestamp => '"2026-01-01T12:00:00\u002B02:00"')),
	'loaded', 'an escaped timestamp');
is(sql("SELECT ordered_at FROM sales.orders WHERE order_id = 'escaped'"),
	'2026-01-01 10:00:00+00', 'is the time that it means');
is(fate(an_order('none', order_lines => undef)),
	'missing_field $.order_lines', 'no array of lines');
is(fate(an_order('null', order_lines => 'null')), 'null_field $.order_lines',
	'lines null');
is(fate(an_order('text', order_lines => '"x"')), 'wrong_type $.order_lines',
	'lines of another type');
is(sql('SELECT detail FROM fluct.dead_letters ORDER BY id DESC LIMIT 1'),
	'found a string, expected an array for the rows of sales.order_lines', 'what was found, and expected');
is(fate(an_order('leap', timestamp => '"2016-12-31T23:59:60Z"')), 'loaded',
	'a leap second');
is(sql("SELECT ordered_at FROM sales.orders WHERE order_id = 'leap'"),
	'2017-01-01 00:00:00+00', 'is the next minute');
is(fate(an_order('integral',
		order_lines => '[{"product_id": "p", "volume": 3.0, "price": 1}]')),
	'loaded', '3.0 is an integer');
is(fate(an_order('half',
		order_lines => '[{"product_id": "p", "volume": 3.5, "price": 1}]')),
	'wrong_type $.order_lines[0].volume', '3.5 is none');
fate("\0\0\0\0\1abc");
like(sql('SELECT detail FROM fluct.dead_letters ORDER BY id DESC LIMIT 1'),
	qr/schema.registry/i, 'a first byte 0 looks like schema-registry framing');
is(sql('SELECT state FROM fluct.stat_streams'), 'running',
	'the stream runs all the while');

# ----- how much may be refused -----

my $columns = '{"columns": {"n": "$.n"}}';
etl('CREATE TABLE n (n int NOT NULL)');
$kafka->create_topic('n');
$kafka->produce('n', [ map { qq({"n": $_}) } 1 .. 5, '"x"', 7 .. 10 ]);
etl("SELECT fluct.create_stream('strict', 'shop', 'n', 'n', '$columns',
		on_bad_message => 'fail', batch_size => 1, start => true)");
ok(await_state($node, 'strict', 'failed'), 'on_bad_message fail');
like(detail('strict'), qr/^message \w+\[0\]\@5 cannot be stored: \w+ at \$\.n \(SQLSTATE/, 'says which');
is(sql("SELECT count(*), max(n) FROM n"), '5|5', 'stops before the message');
is(sql("SELECT next_offset FROM fluct.stream_offsets WHERE stream = 'strict'"),
	5, 'where it stays');
sql("SELECT fluct.alter_stream('strict', on_bad_message => 'dead_letter');
	 SELECT fluct.start_stream('strict')");
ok(caught_up($node, 'strict'), 'and goes on when told so');
is(sql("SELECT count(*), max(n) FROM n"), '9|10', 'with all but that one');

$kafka->create_topic('budget');
$kafka->produce('budget', [ map { '{"n": ' . ($_ % 2 ? $_ : '"x"') . '}' } 1 .. 20 ]);
etl("TRUNCATE n;
	SELECT fluct.create_stream('budget', 'shop', 'budget', 'n', '$columns',
		max_dead_letters => 3, batch_size => 1, start => true)");
ok(await_state($node, 'budget', 'failed/too_many_dead_letters'),
	'more dead letters than max_dead_letters');
is(sql("SELECT count(*) FROM fluct.dead_letters WHERE stream = 'budget'"), 4,
	'at the first too many');
sql("SELECT fluct.alter_stream('budget', max_dead_letters => 100);
	 SELECT fluct.start_stream('budget')");
ok(caught_up($node, 'budget'), 'and goes on when allowed more');
is(sql("SELECT count(*), (SELECT count(*) FROM fluct.dead_letters
			WHERE stream = 'budget') FROM n"),
	'10|10', 'with nothing lost or doubled');

$kafka->create_topic('misfit');
$kafka->produce('misfit', [ map { qq({"m": $_}) } 1 .. 200 ]);
etl("SELECT fluct.create_stream('misfit', 'shop', 'misfit', 'n', '$columns',
		start => true)");
ok(await_state($node, 'misfit', 'failed/nothing_fits'),
	'a first batch in which nothing fits');
like(sql("SELECT detail FROM fluct.stat_streams WHERE stream = 'misfit'"),
	qr/missing_field.*\$\.n/, 'with the reason');
is(sql("SELECT count(*), (SELECT sum(next_offset) FROM fluct.stream_offsets
			WHERE stream = 'misfit')
		FROM fluct.dead_letters WHERE stream = 'misfit'"),
	'0|0', 'is not committed');

done_testing();
