# Others' words (topics, files, messages, keys, headers) are shown so that no
# terminal obeys them and no reader is misled; the tables keep them exactly.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka);
my $folder = PostgreSQL::Test::Utils::tempdir();

chmod(0755, $folder);
$node->append_conf('postgresql.conf', "fluct.inbox_root = '$folder'");
$node->reload;
etl("INSERT INTO sales.industries VALUES ('Food')");

# What a terminal obeys, what turns text, what is not seen, what is no UTF-8.
my $esc = "\x1b[31m";
my $c1 = "\xc2\x9b31m";
my $bidi = "\xe2\x80\xae";
my $unseen = "\xe2\x80\x8b";
my $broken = "\xff\xfe";
my $shown = '\\\\x1b\[31m\\\\u009b31m\\\\u202e\\\\u200b';	# as a pattern

sub is_clean
{
	my ($text, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return unlike($text, qr/[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|[\xf8-\xff]/, $name);
}

# ----- the functions -----

is(sql(q{SELECT fluct._printable(U&'a\001Bb\0009c\009Bd\202Ee\FEFFf\+0E0041g \00E9\20AC\+01F600 \\\\ "')}),
	"a\\x1bb\\x09c\\u009bd\\u202ee\\ufefff\\udb40\\udc41g \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \\ \"", 'text');
is(sql(q{SELECT fluct._printable('\x00611bffc3a9c328eda080e282'::bytea)}),
	"\\x00a\\x1b\\xff\xc3\xa9\\xc3(\\xed\\xa0\\x80\\xe2\\x82", 'bytes');
is(sql('SELECT fluct._printable(NULL::text) IS NULL AND fluct._printable(NULL::bytea) IS NULL AND fluct._printable($$$$) = $$$$'), 't', 'nothing');

# ----- topics -----

foreach my $topic ("'a,^b'", "'a,,b'", "''", "'a b'", "repeat('a', 250)", "'.'", "'..'", "E'orders\\n'", "E'orders\\n2'", "'a/b'", "U&'orders\\001B[31m\\202E'", "U&'b\\00FCcher'")
{
	my $said = said("\\set VERBOSITY verbose\nSELECT fluct.create_stream('t', 'shop', $topic)", as => 'etl');

	like($said, qr/ERROR:  42602: invalid topic name: .*HINT:  In Kafka a topic has 1 to 249/s, "no topic: $topic");
	is_clean($said, 'shown');
}
etl(q{SELECT fluct.create_stream('t', 'shop', repeat('a', 249)); SELECT fluct.drop_stream('t'); SELECT fluct.create_stream('t', 'shop', 'Orders-1_2.x')});
is(sql('SELECT topic FROM fluct.stat_streams'), 'Orders-1_2.x', 'topics that are');
my $waited = said("CALL fluct.run_stream('t')", as => 'etl');
like($waited, qr/NOTICE:  stream "t" is backing_off: unknown_topic/, 'run_stream says at once that there is no such topic');
like($waited, qr/ERROR:  stream "t" cannot run now: unknown_topic\n.*HINT:  Create the topic in Kafka, or: SELECT fluct.drop_stream\('t'\);/s, 'and gives up');

# ----- messages -----

etl('CREATE TABLE public.words (n int, word text CHECK (length(word) < 20));
	 ALTER TABLE public.words ADD COLUMN k int UNIQUE');
etl(q{SELECT fluct.create_stream('words', 'shop', 'words', 'public.words', on_conflict => 'error')});
$kafka->create_topic('words', 1);
my @bad = (
	qq({"$esc$c1$bidi$unseen": ),
	qq({"n": "$c1$bidi$unseen", "word": "x", "k": 1}),
	qq({"n": 1, "word": "$c1$bidi$unseen and more than twenty", "k": 1}),
	qq({"n": 1, "word": "$broken", "k": 1}),
	qq({"n": 1, "word": "\\u001b[31m and more than twenty", "k": 1}),
	"$esc$c1$bidi$unseen$broken",
	qq({"n": 1, "n$c1": 1, "n$c1": 2}));
$kafka->produce('words', [$_], keyed => 1, headers => { h => "$esc$c1$bidi" }, whole => 1)
  foreach map { "$esc$c1$bidi\t$_" } @bad;
etl("SELECT fluct.start_stream('words')");
ok(caught_up($node, 'words'), 'all are read');
is(sql('SELECT count(*) FROM fluct.open_dead_letters'), scalar(@bad), 'and are dead letters');
my $letters = sql('SELECT concat_ws($$ $$, at, reason, path, detail, message) FROM fluct.open_dead_letters d ORDER BY id');
is_clean($letters, 'open_dead_letters shows them');
like($letters, qr/$shown/, 'by what they are');
is(sql("SELECT count(*) FROM fluct.dead_letters WHERE value = decode('" . unpack('H*', $bad[5]) . "', 'hex') AND key = decode('" . unpack('H*', "$esc$c1$bidi") . "', 'hex')"),
	1, 'dead_letters keeps them exactly');
is(length((split(/\|/, sql('SELECT message FROM fluct.open_dead_letters ORDER BY id LIMIT 1')))[0]) <= 80, 1, 'at most 80 characters');
is_clean(sql('SELECT s::text FROM fluct.stat_streams s'), 'stat_streams');
is_clean(said("SELECT * FROM fluct.retry_dead_letters()", as => 'etl'), 'retry_dead_letters');
is_clean(join('', (outcome("SELECT error, path FROM fluct.preview_stream('words', 10, start_at => 'earliest')", as => 'etl'))[1, 2]), 'preview_stream');

# ----- a stream that fails by what a message holds -----

etl(q{SELECT fluct.pause_stream('words'); SELECT fluct.alter_stream('words', on_bad_message => 'fail');
	  SELECT * FROM fluct.seek_stream('words', 'earliest', force => true)});
etl("SELECT fluct.start_stream('words')");
ok(await_state($node, 'words', 'failed'), 'a stream that a message fails');
is_clean(sql('SELECT s::text FROM fluct.stat_streams s'), 'stat_streams shows why');

# ----- files -----

my $head = "customer_id,company_name,specialized_industries\n";
my %files = (
	'industry.csv' => "${head}c1,x,$esc$c1$bidi$unseen\n",
	'header.csv' => "customer_id,company_name,specialized_industries$esc$c1$bidi$unseen\n",
	'further.csv' => "customer_id,company_name,specialized_industries,$esc$c1$bidi$unseen\nc2,x,Food,y\n",
	"n$esc$c1$bidi$unseen.csv" => "${head}c3,x\n",
	"in/n$esc$c1$bidi$unseen.csv" => "${head}c3,x\n",
	"in/i.csv" => "${head}c6,x,$esc$c1$bidi$unseen\n",
	"in/m$broken.csv" => "${head}c4,x,Food\n");
mkdir("$folder/in");
foreach my $name (sort keys %files)
{
	open(my $file, '>:raw', "$folder/$name") or die $!;
	print $file $files{$name};
	close($file);
}
like(said("SELECT * FROM fluct.load_customers('industry.csv')", as => 'etl'), qr/unknown industries, left out: "$shown"/, 'an industry');
like(said("SELECT * FROM fluct.load_customers('header.csv')", as => 'etl'), qr/bad_header.*$shown/s, 'a header');
like(said("SELECT * FROM fluct.load_customers('further.csv')", as => 'etl'), qr/columns ignored: .*$shown/, 'a further column');
like(said(q{SELECT * FROM fluct.load_customers(U&'n\001B[31m\009B31m\202E\200B.csv')}, as => 'etl'),
	qr/ERROR:  file "n\\x1b\[31m\\xc2\\x9b31m\\xe2\\x80\\xae\\xe2\\x80\\x8b.csv" is refused at line 2: missing_column/, 'a name, byte by byte');
like(said(q{INSERT INTO sales.customer_feed VALUES ('c5', 'x', U&'\001B[31m\009B31m\202E\200B')}, as => 'etl'), qr/unknown industries, left out: "$shown"/, 'a feed');
etl("SELECT fluct.create_inbox('in', 'customers', '$folder/in', settle => '0')");
my $said = said("CALL fluct.scan_inbox('in')", as => 'etl');
is_clean($said, 'scan_inbox');
like($said, qr/file "m\\xff\\xfe\.csv": 1 row/, 'a name that is no UTF-8');
is(sql(q{SELECT count(*) FROM fluct.files WHERE unknown_names @> ARRAY[U&'\001B[31m\009B31m\202E\200B']}) > 0, 1, 'fluct.files keeps it exactly');

etl(q{INSERT INTO sales.industries VALUES (U&'\001B[31m\009B31m\202E\200B')});
like(said(q{SELECT fluct.explain_fluctuation(U&'\001B[31m\009B31m\202E')}, as => 'etl'), qr/unknown industry: "\\x1b.*Did you mean "$shown"/s, 'known industries, where one is unknown');
like(said(q{INSERT INTO sales.customer_feed VALUES ('c6', 'x', U&'\001B[31m\009B31m\202E')}, as => 'etl'), qr/nearest known ones are "$shown"/, 'and in a load');

# ----- names and reasons that a role gives -----

my $given = q{U&'\001B[31m\009B31m\202E\200B'};
etl(qq{SELECT fluct.pause_stream('words', $given)});
like(sql(q{SELECT reason FROM fluct.stat_streams WHERE stream = 'words'}), qr/^$shown$/, 'why a stream is paused');
like(slurp_file($node->logfile), qr/LOG:  stream "words" was paused by role "etl"\n.*DETAIL:  $shown\n/, 'in the log, too');
etl(q{ALTER TABLE words ADD COLUMN U&"\001B[31m\009B31m\202E\200B" int} . qq{; SELECT fluct.map_column('words', $given, '\$.c')});
etl(q{ALTER TABLE words DROP COLUMN U&"\001B[31m\009B31m\202E\200B"; SELECT fluct.start_stream('words')});
ok(await_state($node, 'words', 'failed/column_missing'), 'a column that is gone');
like(detail('words'), qr/$shown/, 'is shown');
is_clean(sql('SELECT detail || last_error FROM fluct.stream_states'), 'and stored so');
is_clean(sql('SELECT h::text FROM fluct.health h'), 'health shows what to do');
fails_like($node, "SELECT fluct.record_fluctuations($given)", qr/22023: report must be a name of 1 to 50 bytes without control characters\nDETAIL:  It is "$shown"/, 'no name of a report', as => 'etl');
sql('CREATE EXTENSION postgres_fdw; CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw');
fails_like($node, "SELECT fluct.add_member($given, 'there')", qr/22023: invalid member name: "$shown"/, 'no name of a member');

# ----- descriptors -----

write_file("$folder/good.csv", $head, "c9,x,Food\n");
is(etl(q{
	DO $$ BEGIN
		FOR i IN 1 .. 1500 LOOP
			BEGIN
				PERFORM fluct.load_customers('../x.csv');
			EXCEPTION WHEN insufficient_privilege THEN NULL;
			END;
		END LOOP;
	END $$;
	SELECT status FROM fluct.load_customers('good.csv')}), 'loaded', 'refused files leave no descriptor behind, nor the count of one');

# ----- the log -----

is_clean(slurp_file($node->logfile), 'the log');
done_testing();
