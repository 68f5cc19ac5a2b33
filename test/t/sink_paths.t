# The direct path stores what COPY's machinery stores: the same messages go
# through a stream with fluct.direct_path on, and through one with it off, into
# tables of every kind, and rows, dead letters and positions are compared.  Which
# way rows took is seen from a CHECK whose function tells its context.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, wal_level => 'logical',
	log_min_messages => 'log');

sub set_path
{
	my ($value) = @_;

	sql("ALTER SYSTEM SET fluct.direct_path = $value");
	sql('SELECT pg_reload_conf()');
	poll($node, 'SHOW fluct.direct_path', $value);
	return;
}

# What the CHECK of a table says of the way that its rows took.
etl(q{CREATE FUNCTION tell_way(name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE context text;
BEGIN
	GET DIAGNOSTICS context = PG_CONTEXT;
	RAISE LOG 'rows of % go by %', name,
		CASE WHEN context LIKE '%COPY%' THEN 'copy' ELSE 'direct' END;
	RETURN true;
END $$});

my $types = 'i2 smallint, i4 int, i8 bigint, n numeric, n52 numeric(5,2), r real,
	f8 float8, b boolean, t text, v3 varchar(3), c3 char(3), tz timestamptz, ts timestamp,
	d date, u uuid, by bytea, j json, jb jsonb';

# Messages of all types; every seventh lacks something, or is refused.
sub typed_messages
{
	my ($count) = @_;
	my @messages;

	foreach my $i (1 .. $count)
	{
		my $big = $i % 50 == 0 ? 'x' x 5000 : "text $i";
		my $number = $i % 11 == 0 ? '1e-70' : $i % 5 == 0 ? "-$i.00500" : $i % 3 == 0 ? '0.000' : "$i" . '0000000.25';
		my @fields = ("\"id\": $i", "\"k\": \"k" . ($i % 90) . '"',
			sprintf('"at": "2026-%02d-%02dT%02d:00:00Z"', 1 + $i % 4, 1 + $i % 28, $i % 24),
			"\"i2\": " . $i % 100, "\"i4\": -$i", '"i8": ' . $i * 10**12, "\"n\": $number",
			'"n52": 12.345', "\"r\": $i.5", "\"f8\": 1e$i", '"b": ' . ($i % 2 ? 'true' : 'false'),
			"\"t\": \"$big \\u00fc \\\" $i\"", '"v3": "' . ($i % 29 ? 'ab' : 'too long') . '"', '"c3": "x"',
			'"tz": "2026-01-01T01:02:03.456789+02:00"', '"ts": "1999-12-31T23:59:59Z"', '"d": "2024-02-29"',
			sprintf('"u": "00000000-0000-0000-0000-%012d"', $i), '"by": "\\\\x00ff"', "\"j\": {\"a\": [$i]}",
			"\"jb\": {\"b\": $i, \"a\": null}", "\"extra\": \"e$i\"");

		splice(@fields, 3 + $i % 17, 1) if $i % 7 == 0;
		push(@fields, '"lines": [' . join(', ', map { "{\"p\": \"p$_\", \"v\": $_}" } 1 .. $i % 6) . ']');
		push(@messages, '{' . join(', ', @fields) . '}');
	}
	push(@messages, 'no json', '{"id": 1}');
	return @messages;
}

# name, what is between the parentheses, what follows them, statements after
# it, and the way that is expected with the direct path on
my @tables = (
	[ plain => "id int NOT NULL, $types, extra jsonb", '', '', 'direct' ],
	[ defaults => "id int NOT NULL, k text, n numeric DEFAULT 1.50, t text DEFAULT 'none', here timestamptz NOT NULL DEFAULT '2020-01-01Z',
		serial bigserial, ident int GENERATED ALWAYS AS IDENTITY, nothing text", '', '', 'direct' ],
	[ volatile => 'id int NOT NULL, k text, chance float8 DEFAULT random() * 0', '', '', 'copy' ],
	[ generated => 'id int NOT NULL, n numeric, twice numeric GENERATED ALWAYS AS (n * 2) STORED', '', '', 'copy' ],
	[ domained => 'id int NOT NULL, n positive', '', '', 'copy' ],
	[ keyed => 'id int NOT NULL, k text PRIMARY KEY, t text', '', 'CREATE UNIQUE INDEX ON %1$s (lower(t)) WHERE id > 40; CREATE INDEX ON %1$s USING brin (id)', 'direct' ],
	[ excluded => 'id int NOT NULL, k text, EXCLUDE USING btree (k WITH =)', '', '', 'direct' ],
	[ deferrable => 'id int NOT NULL, k text UNIQUE DEFERRABLE', '', '', 'copy' ],
	[ checked => 'id int NOT NULL, n numeric CHECK (n < 1000000000), i4 int, CHECK (i4 > -200)', '', '', 'direct' ],
	[ referring => 'id int NOT NULL, i2 smallint REFERENCES known', '', '', 'copy' ],
	[ triggered => 'id int NOT NULL, t text', '', 'CREATE TRIGGER louder BEFORE INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION louder()', 'copy' ],
	[ blocked => 'id int NOT NULL, at timestamptz, k text', '',
		'CREATE INDEX ON %1$s USING brin (at) WITH (pages_per_range = 2, autosummarize = on);
		 CREATE INDEX ON %1$s USING brin (k text_bloom_ops, at); CREATE INDEX ON %1$s USING brin ((id / 10)); CREATE INDEX ON %1$s USING gin (to_tsvector(\'simple\', k))', 'direct' ],
	[ parted => 'id int NOT NULL, k text, at timestamptz NOT NULL, n numeric', 'PARTITION BY RANGE (at)',
		q{CREATE TABLE %1$s_1 PARTITION OF %1$s FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
		  CREATE TABLE %1$s_2 (n numeric, gone int, at timestamptz NOT NULL, k text, id int NOT NULL, CONSTRAINT way CHECK (tell_way('%1$s')));
		  ALTER TABLE %1$s_2 DROP gone; ALTER TABLE %1$s ATTACH PARTITION %1$s_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
		  CREATE TABLE %1$s_3 (LIKE %1$s INCLUDING ALL, CHECK (id <> 50)); CREATE TRIGGER louder BEFORE INSERT ON %1$s_3 FOR EACH ROW EXECUTE FUNCTION louder_k();
		  ALTER TABLE %1$s ATTACH PARTITION %1$s_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
		  CREATE TABLE %1$s_d PARTITION OF %1$s DEFAULT; CREATE INDEX ON %1$s USING brin (at); CREATE INDEX ON %1$s (k)}, 'both' ],
	[ deep => 'id int NOT NULL, k text, i2 smallint', 'PARTITION BY LIST (i2)',
		q{CREATE TABLE %1$s_0 PARTITION OF %1$s FOR VALUES IN (1, 2, 3, NULL) PARTITION BY HASH (id);
		  CREATE TABLE %1$s_0a PARTITION OF %1$s_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE %1$s_0b PARTITION OF %1$s_0 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		  CREATE TABLE %1$s_d PARTITION OF %1$s DEFAULT}, 'direct' ],
	[ computed => 'id int NOT NULL, k text', 'PARTITION BY LIST ((id % 40))',
		join(';', map { "CREATE TABLE %1\$s_$_ PARTITION OF %1\$s FOR VALUES IN ($_)" } 0 .. 39), 'direct' ],
);

sql('CREATE ROLE other');
etl(q{CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
	CREATE TABLE known (i2 smallint PRIMARY KEY); INSERT INTO known SELECT generate_series(0, 60);
	CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.t := upper(NEW.t); RETURN NEW; END $$;
	CREATE FUNCTION louder_k() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.k := upper(NEW.k); RETURN NEW; END $$});
$kafka->create_topic('typed');
$kafka->produce('typed', [ typed_messages(300) ]);

# The columns of a table that messages fill, as a mapping.
sub mapping
{
	my ($table) = @_;

	return sql("SELECT jsonb_build_object('columns', jsonb_object_agg(attname, CASE attname WHEN 'id' THEN '\"\$.id\"'::jsonb
			ELSE jsonb_build_object('path', '\$.' || attname, 'required', false) END))
		FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND attgenerated = '' AND attidentity = ''
		AND NOT attisdropped AND attname NOT IN ('serial', 'here', 'nothing', 'chance', 'extra')");
}

etl("ALTER TABLE sales.raw_messages ADD CONSTRAINT way CHECK (tell_way('raw of ' || stream))");
sql('CREATE PUBLICATION everything FOR ALL TABLES');
foreach my $way ('off', 'on')
{
	set_path($way);
	sql("SELECT pg_create_logical_replication_slot('after', 'pgoutput')") if $way eq 'on';
	foreach my $table (@tables)
	{
		my ($name, $columns, $after, $more) = @$table;
		my $full = "${name}_$way";

		etl("CREATE TABLE $full ($columns, CONSTRAINT way CHECK (tell_way('$full'))) $after; " . $more =~ s/%1\$s/$full/gr);
		my $mapping = mapping($full);
		etl("SELECT fluct.create_stream('$full', 'shop', 'typed', '$full', mapping => '$mapping', on_conflict => 'error',
			keep_raw => true, max_dead_letters => 100000, start => true)");
		ok(caught_up($node, $full), "$full: all went through") or diag(detail($full));
		etl("SELECT fluct.pause_stream('$full')");
	}
}

my $log = slurp_file($node->logfile);
foreach my $table (@tables)
{
	my ($name, $expected) = ($table->[0], $table->[4]);
	my ($on, $off) = ("${name}_on", "${name}_off");
	my $letters = sub {
		return sql("SELECT count(*), string_agg(concat_ws('|', partition, \"offset\", reason, sqlstate, path,
				replace(detail, '$_[0]', 'it')), E'\\n' ORDER BY partition, \"offset\")
			FROM fluct.dead_letters WHERE stream = '$_[0]'");
	};
	my %ways = map { $_ => scalar($log =~ /rows of $on go by $_/) } 'copy', 'direct';

	is(join(' ', grep { $ways{$_} } sort keys %ways), $expected eq 'both' ? 'copy direct' : $expected, "$name: the way");
	unlike($log, qr/rows of $off go by direct/, "$name: COPY where it is off");
	cmp_ok(sql("SELECT count(*) FROM $on"), '>', 5, "$name: rows");
	is(sql("SELECT count(*) FROM ((TABLE $on EXCEPT ALL TABLE $off) UNION ALL (TABLE $off EXCEPT ALL TABLE $on)) x"), 0, "$name: the same rows")
		if $name !~ /^(plain|defaults)$/;
	is(sql("SELECT string_agg(x::text, E'\\n' ORDER BY id) FROM $on x"),
		sql("SELECT string_agg(x::text, E'\\n' ORDER BY id) FROM $off x"), "$name: the same values");
	is($letters->($on), $letters->($off), "$name: the same dead letters");
	is(sql("SELECT string_agg(p.tableoid::regclass::text, ' ' ORDER BY id) FROM $on p") =~ s/_on//gr,
		sql("SELECT string_agg(p.tableoid::regclass::text, ' ' ORDER BY id) FROM $off p") =~ s/_off//gr, "$name: the same partitions");
}

# ----- the raw copy -----

like($log, qr/rows of raw of plain_on go by direct/, 'the raw copy: the direct way');
unlike($log, qr/rows of raw of plain_on go by copy/, 'the raw copy: and no other');
like($log, qr/rows of raw of plain_off go by copy/, 'the raw copy: COPY where it is off');
my $raw = sub {
	return "SELECT partition, \"offset\", message_time, key, headers, value FROM sales.raw_messages WHERE stream = '$_[0]'";
};
foreach my $pair ([ 'plain_on', 'plain_off' ], [ 'plain_off', 'plain_on' ])
{
	is(sql("SELECT count(*) FROM ((" . $raw->($pair->[0]) . ') EXCEPT ALL (' . $raw->($pair->[1]) . ')) x'), 0,
		"the raw copy: no message of $pair->[0] is another");
}
is(sql("SELECT count(*) FROM sales.raw_messages WHERE stream = 'plain_on'"), 302, 'the raw copy: all messages');

# ----- logical decoding -----

sub decoded
{
	my ($table) = @_;

	return sql("SELECT count(*) FROM pg_logical_slot_peek_binary_changes('after', NULL, NULL,
			'proto_version', '1', 'publication_names', 'everything')
		WHERE get_byte(data, 0) = ascii('I') AND substr(data, 2, 4) = int4send('$table'::regclass::oid::int)");
}
foreach my $table ('plain_on', 'keyed_on', 'parted_on_1', 'parted_on_2', 'parted_on_3')
{
	is(decoded($table), sql("SELECT count(*) FROM $table"), "pgoutput sees the rows of $table");
}

# ----- BRIN: what an index scan finds is what is there -----

etl(q{CREATE TABLE heads (id int, at timestamptz);
	CREATE TABLE lines (id int, v int, p text, at timestamptz);
	ALTER TABLE lines SET (fillfactor = 10);
	CREATE INDEX ON lines USING brin (at) WITH (pages_per_range = 1);
	CREATE INDEX ON lines USING brin (v, p) WITH (pages_per_range = 2)});
$kafka->create_topic('lined');
etl(q{SELECT fluct.create_stream('lined', 'shop', 'lined', 'heads', mapping => '{"columns": {"id": "$.id", "at": "$.at"},
	"children": [{"target": "lines", "rows": "$.lines[*]", "columns": {"id": "$.id", "at": "$.at", "v": "@.v", "p": "@.p"}}]}', start => true)});
my @lined = map { sprintf('{"id": %d, "at": "2026-01-%02dT00:00:00Z", "lines": [%s]}', $_, 1 + ($_ * 7) % 28,
		join(', ', map { "{\"v\": $_, \"p\": \"p$_\"}" } 1 .. $_ % 40)) } 1 .. 400;
foreach my $round (0 .. 3)
{
	$kafka->produce('lined', [ @lined[ $round * 100 .. $round * 100 + 99 ] ]);
	ok(caught_up($node, 'lined'), "BRIN: round $round");
	etl(q{SELECT brin_summarize_new_values('lines_at_idx'), brin_summarize_new_values('lines_v_p_idx')});
}
my $all = "SELECT count(*) FROM generate_series('2026-01-01Z'::timestamptz, '2026-01-28Z', '1 day') k, generate_series(1, 40) w,
	LATERAL (SELECT count(*) AS n FROM lines WHERE at = k AND v = w OFFSET 0) x,
	LATERAL (SELECT count(*) AS n FROM lines WHERE at + interval '0' = k AND v + 0 = w OFFSET 0) y WHERE x.n <> y.n";
is(sql("SET enable_seqscan = off; SET enable_indexscan = off; SET timezone = UTC; $all"), 0, 'BRIN: each row is found');
is(sql('SET enable_seqscan = off; EXPLAIN (COSTS off) SELECT FROM lines WHERE v = 3') =~ /Bitmap Index Scan on (\w+)/ ? $1 : '',
	'lines_v_p_idx', 'BRIN: by the index');
is(sql('SELECT count(*) FROM lines'), sql('SELECT sum(id % 40) FROM heads'), 'BRIN: all rows');
done_testing();
