# The whole path: random tables, mappings and messages, through Kafka, a stream
# and its raw copy, beside a slow model in SQL (test/fuzz/model.sql): every row,
# every dead letter with its reason and path, and what the stream counted; then
# the same again from the raw copy by reprocess_stream.
#
# FUZZ_SEED repeats the choices; FUZZ_ITERATIONS is how many messages (2,400).
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $iterations = $ENV{FUZZ_ITERATIONS} // 2_400;
my $seed = $ENV{FUZZ_SEED} // 20261126;
my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 8);
my %reasons;

sql('CREATE EXTENSION citext; ' . slurp_file('test/fuzz/model.sql'));
etl(q{CREATE TYPE mood AS ENUM ('ok', 'angry'); CREATE DOMAIN small AS numeric(4,1) CHECK (VALUE < 100);
	CREATE DOMAIN calm AS mood DEFAULT 'ok' CHECK (VALUE <> 'angry'); CREATE DOMAIN word AS text NOT NULL});

# ----- choices -----

my $random = generator($seed);

sub chance { return $random->($_[0]) }

sub one_of { return $_[ chance(scalar @_) ] }

sub string
{
	my ($text) = @_;

	$text =~ s/([\\"])/\\$1/g;
	$text =~ s/([a-z])/sprintf('\u%04x', ord($1))/e if chance(8) == 0;
	return "\"$text\"";
}

my @words = ('', 'a', 'abc', 'abc ', 'ok', '7', '-1.5', 'a\\b', 'say "x"', "\xc3\xbc\xf0\x9f\x98\x80", '{1,2}', ' ', 'NaN', "it's");
my @whole = ('0', '1', '-1', '7', '3.0', '1e3', '-5E1', '32767');
my @small = (@whole[0 .. 4], '1.5', '-0.0', '12.345', '99.94', '-5e-1');
my @odd = ('1.5', '99.96', '32768', '2147483648', '9223372036854775808', '1E-7', '1e40', '1e309', '1e-400', '1e1000',
	'123456789.125', '-0.000', '"7"');
my @any = ('null', 'true', 'false', '[]', '{}', '[1, "a", null]', '{"a": 1, "b": [1.10, null, {"c": "d"}]}', '{"n": 1e1000}',
	'[[1, 2], [3, 4]]', '"x"', '1');
my @times = map { "\"$_\"" } '2024-02-29T01:02:03Z', '2024-02-29 01:02:03.9876543+01:00', '2024-02-29T01:02Z', '2024-02-29t01:02:03',
  '2024-12-31T23:59:60Z', '0099-01-01T00:00:00+0530', '2024-02-29T24:00:00Z';
my @no_times = map { "\"$_\"" } '2024-02-30T00:00:00Z', '2024-02-29', 'now', '2024-1-1T00:00:00Z', 'infinity', '', '2024-02-29T24:00:01Z';
my @epochs = ('0', '1700000000', '1700000000.25', '-2208988800', '1e9', '253402300799');
my @no_epochs = ('1700000000123456789', '-2208988800001', '253402300800000', '1e1000', '"1700000000"', 'true');

# mostly one of the first list, else of the second
sub among
{
	my ($good, $bad) = @_;
	$bad //= [];
	return sub { return one_of(chance(12) == 0 && @$bad ? @$bad : @$good) };
}

sub strings
{
	my ($good, $bad) = @_;
	my $fill = among($good, $bad // []);
	return sub { return string($fill->()) };
}

# name, what it is filled with, whether it can be a key
my @types = (
	[ 'text', strings(\@words), 1 ], [ 'varchar(3)', strings([ 'a', 'abc', 'abc ', '', 'x y' ], [ 'abcd' ]), 1 ],
	[ 'char(4)', strings([ 'a', 'abc', 'abcd  ', '' ], [ 'abcde' ]) ], [ 'smallint', among(\@whole, \@odd) ],
	[ 'int', among(\@whole, \@odd), 1 ], [ 'bigint', among(\@whole, \@odd), 1 ],
	[ 'numeric', among(\@small, \@odd), 1 ], [ 'numeric(5,2)', among(\@small, \@odd), 1 ],
	[ 'real', among(\@small, \@odd) ], [ 'float8', among(\@small, \@odd) ], [ 'boolean', among([ 'true', 'false' ], [ '1' ]) ],
	[ 'timestamptz', among(\@times, \@no_times) ], [ 'timestamp', among(\@times, \@no_times) ],
	[ 'timestamptz(0)', among(\@times, \@no_times) ], [ 'date', strings([ '2024-02-29', '0001-01-01' ], [ '2023-02-29', '24-1-1', 'today' ]) ],
	[ 'uuid', strings([ 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{A0EEBC999C0B4EF8BB6D6BB9BD380A12}' ], [ 'a0eebc99' ]), 1 ],
	[ 'bytea', strings([ '\x4142', '\x 41', 'a\\\\b', '\101', 'plain' ], [ '\x4', 'a\b' ]) ],
	[ 'json', among([ @any, @small, @odd ]) ], [ 'jsonb', among([ @any[0 .. 6], @small ], [ @any, @odd ]) ],
	[ 'mood', strings([ 'ok', 'angry' ], [ 'sad' ]) ], [ 'calm', strings([ 'ok' ], [ 'angry' ]) ],
	[ 'small', among(\@small, \@odd) ], [ 'word', strings(\@words) ],
	[ 'inet', strings([ '10.0.0.1', '::1/64' ], [ '10.0.0.256' ]) ],
	[ 'interval', strings([ '1 day', 'P1D', '02:00' ], [ 'abc' ]) ], [ 'time', strings([ '01:02:03', '24:00' ], [ '25:00', 'now' ]) ],
	[ 'citext', strings(\@words) ],
	[ 'text[]', among([ '["a", "b\"c\\\\d", null]', '[]', '[["x"], ["y"]]', '"{1,2}"' ], [ '[1]', '[{"a": 1}]', '["a", ["b"]]', '"{"' ]) ],
	[ 'int[]', among([ '[1, 2]', '[null, 3]', '"{4}"', '["7"]', '[1e2, 3.0]' ], [ '[1.5]', '[true]', '[[1], 2]', '[2147483648]', '["1.5"]', '[1e19]' ]) ],
	[ 'numeric[]', among([ '[1.50, -0.0]', '["7"]', '[[1e3]]' ], [ '["NaN"]', '[1e1000]', '["1e1000"]', '[" 1"]', '["-inf"]' ]) ],
	[ 'float8[]', among([ '[1.50, 1e-300]', '["7"]' ], [ '["NaN"]', '[1e309]', '[true]' ]) ],
	[ 'timestamptz[]', sub { return '[' . join(', ', map { chance(20) == 0 ? one_of(@no_times, '161231', 'null') : one_of(@times) } 1 .. chance(3)) . ']' } ],
	[ 'timestamp[]', sub { return '[' . join(', ', map { chance(20) == 0 ? one_of(@no_times, '161231', 'null') : one_of(@times) } 1 .. chance(3)) . ']' } ],
	[ 'boolean[]', among([ '[true, null, false]', '["t", "off"]' ], [ '[1]', '["maybe"]' ]) ],
	[ 'varbit(4)', strings([ '101', '' ], [ '10111', '2' ]) ]);
my %default = ('text' => "'d'", 'varchar(3)' => "'dd'", int => '5', bigint => '6', numeric => '1.50', boolean => 'true',
	timestamptz => "'2000-01-01 00:00+00'", json => q('{"d": 1}'), jsonb => q('[]'), mood => "'angry'", inet => "'::1'",
	interval => "'1 h'", 'text[]' => "'{q}'", uuid => "'00000000-0000-0000-0000-000000000001'", date => "'2001-02-03'",
	float8 => '0.1', bytea => q('\x00ff'), calm => "'ok'");
my @places = ('$.a', '$.b', '$.c', '$["odd key"]', '$.n.x', '$.n.y', '$.n.z.deep');
my @row_places = ('@.x', '@.y', '@.z.w', '@["odd.key"]');

# ----- a mapping with its tables -----

# A column that gives its part of the table and of the mapping; remembers what
# its path is to be filled with.
sub column
{
	my ($name, $round, @paths) = @_;
	my $type = one_of(@types);
	my ($definition, $fill) = @$type;
	my $path = one_of(grep { chance(8) == 0 || !$round->{fill}{$_} } @paths) // one_of(@paths);
	my %spec = (path => '"' . $path =~ s/"/\\"/gr . '"');

	if ($definition =~ /^timestamp(?!.*\[)/ && chance(3) == 0)
	{
		$spec{format} = one_of('"epoch_ms"', '"epoch_s"');
		$fill = among(\@epochs, \@no_epochs);
	}
	elsif ($definition =~ /^(smallint|int|bigint|numeric|real|float8)\b(?!\[)/ && chance(4) == 0)
	{
		my $plain = $fill;
		$spec{format} = '"text"';
		$fill = sub { my $n = $plain->(); return $n =~ /^"/ ? one_of('7', '"+7"', '"007"', '"-inf"') : "\"$n\"" };
	}
	$spec{required} = one_of('true', 'false') if chance(5) == 0;
	$spec{null} = one_of('["abc", ""]', '["7"]', '["a\\\\b", "{1,2}", "x"]') if chance(6) == 0;
	$spec{default} = $spec{format} ? 'null' : one_of('null', '"d"', '"w"')
	  if chance(8) == 0 && $definition =~ /^(text|word|citext|char)/;
	$round->{fill}{$path} = $fill if $path !~ /^kafka|^#/ && !($round->{fill}{$path} && chance(2));
	my $mapped = keys(%spec) == 1 && chance(2) ? $spec{path}
	  : '{' . join(', ', map { "\"$_\": $spec{$_}" } sort keys %spec) . '}';
	my $null = chance(4) == 0 ? ' NOT NULL' : '';
	my $default = exists($default{$definition}) && chance(3) == 0 ? " DEFAULT $default{$definition}" : '';
	return ("$name $definition$null$default", "\"$name\": $mapped");
}

sub kafka_column
{
	return one_of([ 'k text', '"k": "kafka.key"' ], [ 'k bytea', '"k": "kafka.key"' ], [ 'k bigint', '"k": "kafka.key"' ],
		[ 'k bigint', '"k": "kafka.offset"' ], [ 'k int', '"k": "kafka.partition"' ], [ 'k jsonb', '"k": "kafka.headers"' ],
		[ 'k timestamptz', '"k": "kafka.timestamp"' ], [ 'k text', '"k": "kafka.topic"' ], [ 'k jsonb', '"k": "kafka.key"' ]);
}

# Words of the whole mapping, and the fields that they ask for.
sub words
{
	my ($round) = @_;
	my $update = $round->{conflict} eq 'update';
	my $record = $round->{record};
	my @words;

	if (chance(3) == 0)
	{
		my $path = one_of('$.kind', '$.n.kind');
		push(@words, "\"where\": {\"$path\": " . one_of('["a", "abc", null]', '["a", 1, true]', '[1.0, false, null, ""]', '"a"', '["ü", -50]')
			  . one_of('', ', "kafka.key": ["k1", "12", "C:\\\\x"]', ', "kafka.headers.h": ["u", "v"]') . '}');
		$round->{fill}{$path} = among([ '"a"', '"abc"', '1', '1.00', 'true', 'false', '""', '-5E1', '"\u0061"' ], [ '[]', '{}', 'null', '2' ]);
	}
	return @words unless $update;
	if (chance(4) == 0)
	{
		push(@words, '"envelope": "debezium"');
		$round->{envelope} = 1;
	}
	elsif (chance(3) == 0)
	{
		my $path = $record ? '@.gone.id' : '$.gone.id';
		push(@words, '"delete": {"where": {"$.op": ["d", 1]}' . one_of('', ", \"columns\": {\"id\": \"$path\"}") . '}');
		$round->{fill}{'$.op'} = among([ '"d"', '"c"', '"u"', 'null' ], [ '1', '[]' ]);
		($record // $round->{fill})->{$path} = $round->{id}[1];
	}
	push(@words, "\"version\": \"$round->{orderly}\"") if $round->{orderly} && (!$record || $round->{keep}) && chance(2);
	push(@words, '"absent": "keep"') if $round->{keep};
	return @words;
}

sub new_round
{
	my ($name) = @_;
	my %round = (name => $name, fill => {});
	my (@definitions, @columns, @children, @tables);
	my $id = one_of(grep { $_->[2] } @types);
	my ($key, $extra) = ('', '');

	$round{conflict} = one_of('nothing', 'update', 'update', 'error');
	$round{id} = $id;
	$round{keep} = $round{conflict} eq 'update' && chance(3) == 0;
	my %record = (fill => {});
	$round{record} = $record{fill} if chance(4) == 0;
	my ($own, $at, $up) = $round{record} ? (\%record, '@', '^') : (\%round, '$', '$');
	my @own_places = map { s/^\$/$at/r } @places;
	$own->{fill}{"$at.id"} = $id->[1];
	$key = ' PRIMARY KEY' if $round{conflict} ne 'error' || chance(2);
	push(@definitions, "id $id->[0]$key");
	push(@columns, "\"id\": \"$at.id\"");
	for my $i (1 .. 1 + chance(5))
	{
		my ($definition, $mapped) = $round{record} && chance(4) == 0 ? column("c$i", \%round, @places) : column("c$i", $own, @own_places);
		push(@definitions, $definition);
		push(@columns, $mapped);
		$round{orderly} = "c$i" if $definition !~ /^c\d json\b/;
	}
	if (chance(2))
	{
		my $kafka = kafka_column();
		push(@definitions, $kafka->[0]);
		push(@columns, $kafka->[1]);
	}
	if (chance(2))
	{
		push(@definitions, 'extra ' . one_of('jsonb', 'json', q(jsonb NOT NULL DEFAULT '{}'), 'jsonb NOT NULL'));
		$extra = ', "extra": "extra"';
	}
	push(@definitions, 'CHECK (id::text <> \'7\')') if chance(3) == 0;
	push(@tables, "CREATE TABLE $name (" . join(', ', @definitions) . ')');

	# their rows lie in different arrays
	foreach my $child (1 .. chance(3))
	{
		my $rows = $child == 1 ? "$at.lines[*]" : "$at.n.rows[*]";
		my (@d, @c, %paths);
		my %inner = (fill => {});
		if ($round{conflict} eq 'update' || chance(2)) { push(@d, "id $id->[0]"); push(@c, "\"id\": \"$up.id\"") }
		if (chance(2)) { push(@d, 'n ' . one_of('int', 'bigint', 'text', 'numeric')); push(@c, '"n": "#"') }
		if (chance(4) == 0 || !@c)
		{
			my ($definition, $mapped) = column('v', \%inner, '@');
			push(@d, $definition);
			push(@c, $mapped);
		}
		else
		{
			for my $i (1 .. 1 + chance(3))
			{
				my ($definition, $mapped) = column("r$i", \%inner, @row_places);
				push(@d, $definition);
				push(@c, $mapped);
			}
		}
		if (chance(4) == 0) { my ($definition, $mapped) = column('s', \%round, @places); push(@d, $definition); push(@c, $mapped) }
		my $more = chance(3) == 0 ? ', "extra": "rest"' : '';
		push(@d, 'rest jsonb') if $more;
		$more .= ', "required": ' . one_of('false', 'false', 'true') if chance(2);
		$more .= ', "single": ' . one_of('true', 'false') if chance(3) == 0;
		push(@tables, "CREATE TABLE ${name}_$child (" . join(', ', @d) . ')');
		push(@children, "{\"target\": \"${name}_$child\", \"rows\": \"$rows\", \"columns\": {" . join(', ', @c) . "}$more}");
		$round{rows}{$rows} = $inner{fill};
	}
	my $records = $round{record} ? '"rows": "$.recs[*]", ' . one_of('', '"required": false, ') . one_of('', '"single": true, ') : '';
	$round{tables} = join(';', @tables);
	$round{mapping} = '{' . $records . join('', map { "$_, " } words(\%round)) . '"columns": {' . join(', ', @columns) . "}$extra"
	  . (@children ? ', "children": [' . join(', ', @children) . ']' : '') . '}';
	# what a batch replaces is not written, nor refused
	$round{batch} = $round{record} && $round{conflict} eq 'update' ? 1 : one_of(7, 50, 99);
	return \%round;
}

# ----- messages -----

# Sets the value at a path, in nested hashes; leaves are JSON text.
sub set
{
	my ($to, $path, $value) = @_;
	my @steps = grep { defined } $path =~ /\.([a-z_]+)|\["([^"]+)"\]/g;
	my $last = pop(@steps);

	foreach my $step (@steps)
	{
		return unless ref($to);
		$to->{$step} //= {};
		$to = $to->{$step};
	}
	$to->{$last} = $value if ref($to) && !ref($to->{$last});
	return;
}

sub write_json
{
	my ($value) = @_;

	return $value unless ref($value);
	my @keys = sort keys %$value;
	@keys = reverse(@keys) if chance(4) == 0;
	return '{' . join(one_of(', ', ','), map { string($_) . one_of(': ', ':') . write_json($value->{$_}) } @keys) . '}';
}

sub filled
{
	my ($fill, %more) = @_;
	my %object = %more;

	return one_of(@any) if exists($fill->{'@'}) && chance(20) == 0;
	return $fill->{'@'}->() if exists($fill->{'@'});
	foreach my $path (sort keys %$fill)
	{
		my $luck = chance(90);
		next if $luck == 0;
		set(\%object, $path, $luck == 1 ? 'null' : $luck == 2 ? one_of(@any) : $fill->{$path}->());
	}
	$object{ one_of('u', 'v', 'w', 'ü') } = one_of(@any, @small, @odd) if chance(3) == 0;
	$object{n} = one_of('null', '"n"', '5', '[]', '[{"x": 1}]', 'true') if chance(80) == 0;
	return \%object;
}

# Now and then, one fault of the whole message.
sub spoil
{
	my ($json) = @_;
	my $at = chance(length($json));

	return one_of(
		sub { substr($json, 0, $at) },
		sub { substr($json, 0, $at) . substr($json, $at + 1) },
		sub { substr($json, 0, $at) . one_of('{', '}', '[', ']', '"', ',', ':', '0', '-', 'e', '.', 't', '\\', "\x01", ' ') . substr($json, $at) },
		sub { substr($json, 0, -1) . ', "dup": 1, "d\u0075p": 2}' },
		sub { substr($json, 0, -1) . ', "deep": ' . ('[' x 63) . (']' x 63) . '}' },
		sub { substr($json, 0, -1) . ', "deep": ' . ('[' x 64) . (']' x 64) . '}' },
		sub { substr($json, 0, -1) . ', "nul": "\u0000"}' },
		sub { substr($json, 0, -1) . ", \"bad\": \"\xff\"}" },
		sub { substr($json, 0, -1) . ', "half": "\ud800"}' },
		sub { "[$json]" }, sub { '"x"' }, sub { '' }, sub { ' ' }, sub { "\xef\xbb\xbf$json" })->();
}

# With the rows of children in it.
sub with_rows
{
	my ($round, $object) = @_;

	foreach my $rows (sort keys %{ $round->{rows} // {} })
	{
		my $path = $rows =~ s/\[\*\]$//r;
		my @elements = map { my $e = filled($round->{rows}{$rows}); chance(60) == 0 ? one_of(@any) : write_json($e) } 1 .. chance(4);
		my $luck = chance(50);
		set($object, $path, $luck == 0 ? one_of(@any) : $luck == 1 ? 'null' : $luck < 5 && @elements ? $elements[0] : '[' . join(', ', @elements) . ']')
		  if $luck < 40 || !$round->{keep} && $luck < 46;
	}
	return $object;
}

# In one of the forms of an envelope, or without.
sub enveloped
{
	my ($json) = @_;
	my $op = one_of('c', 'u', 'u', 'r', 'd', 'd', chance(10) == 0 ? one_of('m', 't', 'x', '') : 'u');
	my ($before, $after) = $op eq 'd' ? ($json, 'null') : (one_of('null', $json), $json);

	return $json =~ s/^\{/one_of('{"__deleted": ' . one_of('true', '"true"', 'false', '"false"', 'null') . one_of(', ', ', '), '{')/er =~ s/, \}$/}/r if chance(3) == 0;
	$after = one_of('null', '5', '"x"', '[]') if chance(60) == 0;
	$before = one_of('null', '5', '{}') if chance(60) == 0;
	my $whole = "{\"before\": $before, \"after\": $after, \"source\": {\"lsn\": 1}, \"op\": \"$op\"}";
	$whole =~ s/"(?:before|after)": null, // if chance(10) == 0;
	return chance(3) ? $whole : "{\"schema\": {\"type\": \"struct\"}, \"payload\": $whole}";
}

sub message
{
	my ($round) = @_;
	my $object = filled($round->{fill});

	if ($round->{record})
	{
		my @records = map { chance(60) == 0 ? one_of(@any) : write_json(with_rows($round, filled($round->{record}))) } 1 .. chance(5);
		my $luck = chance(40);
		$object->{recs} = $luck == 0 ? one_of(@any) : $luck < 4 && @records ? $records[0] : '[' . join(', ', @records) . ']' if $luck < 38;
	}
	else { with_rows($round, $object) }
	my $json = write_json($object);
	$json = enveloped($json) if $round->{envelope};
	$json = spoil($json) if chance(20) == 0;
	return one_of('k1', '12', 'abc', "\xc3\xbc", 'C:\x', '-5') . "\t$json";
}

# ----- rounds -----

sub begin_round
{
	my ($name, $messages) = @_;
	my $round = new_round($name);

	$round->{messages} = [ map { message($round) } 1 .. $messages ];
	$kafka->create_topic($name);
	$kafka->produce($name, $round->{messages}, keyed => 1, timestamp => 1_700_000_000_123, headers => { h => 'v' });
	etl($round->{tables});
	my ($rc, $out, $err) = outcome("SET client_min_messages = warning;
		SELECT fluct.create_stream('$name', 'shop', '$name', '$name', \$m\$$round->{mapping}\$m\$, on_conflict => '$round->{conflict}',
			max_dead_letters => 1000000, batch_size => $round->{batch})", as => 'etl');
	is($err, '', "$name: a stream") or diag("$round->{tables}\n$round->{mapping}");
	sql("SELECT model.prepare('$name', '$name', \$m\$$round->{mapping}\$m\$)");
	etl("SELECT fluct.start_stream('$name')");
	return $round;
}

sub end_round
{
	my ($round) = @_;
	my $name = $round->{name};
	my $n = @{ $round->{messages} };
	my $good = 1;
	my $told = sub {
		return if $_[0];
		diag("$round->{tables}\non_conflict $round->{conflict}\n$round->{mapping}") if $good;
		$good = 0;
	};

	$told->(ok(poll_until($node, "SELECT coalesce(sum(messages), 0) FROM fluct.stream_offsets WHERE stream = '$name'", sub { $_[0] == $n }, 120),
		"$name: all messages")) or diag(detail($name));
	my ($stored, $refused, $repeated, $filtered) = split(/\|/, sql("SELECT * FROM model.run('$name', '$round->{conflict}')"));
	my $updates = $round->{conflict} eq 'update' ? 'true' : 'false';
	$told->(is(sql("SELECT model.letters('$name', $updates)"), '', "$name: dead letters"));
	$told->(is(sql("SELECT model.differences('$name')"), '', "$name: rows"));
	$told->(is(sql("SELECT duplicates FROM fluct.stat_streams WHERE stream = '$name'"), $repeated, "$name: duplicates"))
	  unless $updates eq 'true';
	$told->(is(sql("SELECT filtered FROM fluct.stat_streams WHERE stream = '$name'"), $filtered, "$name: not meant"));
	$reasons{stored} += $stored;
	$reasons{filtered} += $filtered;
	$reasons{$_}++ foreach split(/\n/, sql("SELECT reason FROM model.verdicts WHERE stream = '$name'"));

	# the same from the raw copy, message by message if the stream did so
	my @windows = $round->{batch} == 1
	  ? map { "since => '$_', until => '$_'::timestamptz + '1 us'," } split(/\n/, sql("SELECT ingested_at FROM sales.raw_messages WHERE stream = '$name' ORDER BY 1"))
	  : ('');
	etl("SELECT fluct.pause_stream('$name');
		TRUNCATE " . join(', ', $name, map { "${name}_$_" } 1 .. keys(%{ $round->{rows} // {} })) . ';'
		  . join(';', map { "CALL fluct.reprocess_stream('$name', $_ force => true)" } @windows));
	$told->(is(sql("SELECT model.differences('$name')"), '', "$name: reprocessed"));
	$told->(is(sql("SELECT model.letters('$name', $updates)"), '', "$name: dead letters as before"));
	etl("SELECT fluct.drop_stream('$name')");
	return $good;
}

my $each = $iterations > 100_000 ? 5_000 : 150;
my $rounds = int(($iterations + $each - 1) / $each);
my @waiting;
foreach my $r (1 .. $rounds)
{
	push(@waiting, begin_round("w$r", $each));
	end_round(shift(@waiting)) if @waiting == 4;
	last unless Test::More->builder->is_passing || $rounds > 40;
}
end_round($_) foreach @waiting;
note("seed $seed, $rounds mappings, " . $rounds * $each . ' messages: ' . join(', ', map { "$_ $reasons{$_}" } sort keys %reasons));
cmp_ok($reasons{stored}, '>', $rounds * $each / 10, 'many are stored');

done_testing();
