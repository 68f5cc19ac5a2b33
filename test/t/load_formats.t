# Files as other programs write them: delimiters, encodings, lines before the
# header, names of columns, words for NULL, gzip.
use strict;
use warnings;
use Encode qw(encode);
use Fluct;
use IO::Compress::Gzip qw(gzip);
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('formats', operator => 1, 'fluct.inbox_root' => $root);
my $header = "customer_id,company_name,specialized_industries\n";
my $n = 0;

sub packed
{
	my ($content) = @_;
	my $result;

	gzip(\$content => \$result) or die;
	return $result;
}

# The customers that a file makes, as `id|name|industries` each.
sub customers
{
	my ($content, $options, $name) = @_;

	$name //= 'f' . ++$n . '.csv';
	write_file("$root/$name", $content);
	sql('DELETE FROM sales.customers');
	etl("SELECT fluct.load_customers('$name'" . ($options ? ", $options" : '') . ')');
	return sql(q{SELECT string_agg(concat_ws('|', c.customer_id, coalesce(c.company_name, 'NULL'),
		(SELECT string_agg(i.industry, '+' ORDER BY i.industry) FROM sales.customer_industries i WHERE i.customer_id = c.customer_id)), ' ' ORDER BY c.customer_id)
		FROM sales.customers c});
}

sub refused
{
	my ($content, $options, $like, $name, $file) = @_;

	$file //= 'f' . ++$n . '.csv';
	write_file("$root/$file", $content);
	fails_like($node, "SELECT fluct.load_customers('$file'" . ($options ? ", $options" : '') . ')', $like, $name, as => 'etl');
}

etl("INSERT INTO sales.industries VALUES ('Food'), ('Pharma'), ('Zubeh\xc3\xb6r')");

# ----- Excel on a German Windows, three ways -----

my @rows = ([ 'Kunde Nr.', 'Firma', 'Branchen' ], [ 'k1', "M\x{fc}ller & S\x{f6}hne; GmbH", "Food,Zubeh\x{f6}r" ], [ 'k2', "Preis in \x{20ac} \x{201e}netto\x{201c}", 'Pharma' ],
	[ 'k3', "Zeile\neins", '' ], [ 'k4', 'NULL', '#NV' ]);
my $wanted = encode('UTF-8', "k1|M\x{fc}ller & S\x{f6}hne; GmbH|Food+Zubeh\x{f6}r k2|Preis in \x{20ac} \x{201e}netto\x{201c}|Pharma k3|Zeile\neins k4|NULL");
my $columns = q(columns => '{"customer_id": "Kunde Nr.", "company_name": "Firma", "specialized_industries": "Branchen"}');
my $words = q(null_words => '{"NULL",#NV}', industry_delimiter => ',');

sub export
{
	my ($delimiter, $end) = @_;

	return join('', map { join($delimiter, map { /[;\n\t"]/ ? '"' . s/"/""/gr . '"' : $_ } @$_) . $end } @rows) . ($delimiter x 2 . $end) x 3;
}

is(customers(encode('cp1252', export(';', "\r\n")), "delimiter => ';', encoding => 'WIN1252', $columns, $words"), $wanted, 'CSV: semicolons, WIN1252, empty rows at the end');
is(customers(encode('cp1252', "sep=;\r\n" . export(';', "\r\n")), "encoding => 'windows-1252', $columns, $words"), $wanted, 'with a line sep=;');
is(customers("\xff\xfe" . encode('UTF-16LE', export("\t", "\r\n")), "delimiter => E'\\t', encoding => 'UTF-16', $columns, $words"), $wanted, 'Unicode text: tabs, UTF-16 with its mark');
is(customers(encode('UTF-16BE', export("\t", "\r\n")), "delimiter => E'\\t', encoding => 'utf16be', $columns, $words"), $wanted, 'big-endian without one');
is(customers("\xef\xbb\xbf" . encode('UTF-8', export(';', "\r\n")), "delimiter => ';', $columns, $words"), $wanted, 'CSV UTF-8: a byte order mark');
is(customers(encode('UTF-8', "Bericht vom 1.1.;;\n\n" . export(';', "\n")), "skip_lines => 2, delimiter => ';', $columns, $words"), $wanted, 'lines before the header');
is(sql(q{SELECT options FROM fluct.files ORDER BY id LIMIT 1}),
	q({"mode": "upsert", "columns": {"customer_id": "Kunde Nr.", "company_name": "Firma", "specialized_industries": "Branchen"}, "encoding": "WIN1252", "delimiter": ";", "null_words": ["NULL", "#NV"], "on_bad_row": "refuse", "unknown_industry": "report", "industry_delimiter": ","}),
	'the options are recorded, under usual names');

# ----- encodings -----

is(customers(encode('shiftjis', $header =~ s/company_name/\x{793e}\x{540d}/r . "j1,\x{8868}\x{30bd}\x{5341},Food\n"), q(encoding => 'SJIS', columns => '{"company_name": "社名"}')),
	encode('UTF-8', "j1|\x{8868}\x{30bd}\x{5341}|Food"), 'second bytes like ASCII, a name of a column that is not');
# at each place in the buffers
my $long = join('', map { "e$_," . ("\x{e9}\x{4e2d}\x{1f680}" x ($_ % 7)) . ",Food\n" } 1000 .. 6000);
my $plain = join(' ', map { "e$_|" . ("\x{e9}\x{4e2d}\x{1f680}" x ($_ % 7)) . '|Food' } 1000 .. 6000) =~ s/\|\|/|NULL|/gr;
is(customers(encode('UTF-16LE', $header . $long), q(encoding => 'UTF16')), encode('UTF-8', $plain), 'UTF-16, much of it');
$long =~ s/\x{1f680}//g;
$plain =~ s/\x{1f680}//g;
$long =~ s/\x{e9}/\x{3042}/g;
$plain =~ s/\x{e9}/\x{3042}/g;
is(customers(encode('euc-jp', $header . $long), q(encoding => 'EUC_JP')), encode('UTF-8', $plain), 'EUC_JP, much of it');
refused($header . "c1,A,\nc2,\x81,\n", "encoding => 'WIN1252'", qr/22021: file "f\d+.csv" is refused at line 3: bad_encoding\n.*Byte 0x81 is not valid WIN1252/s, 'a byte that the encoding does not have');
refused($header . "c1,A,\nc2,\xa4", "encoding => 'EUC_JP'", qr/refused at line 3: bad_encoding\n.*(?:The file ends within a character of EUC_JP|Byte 0xa4 is not valid EUC_JP)/s, 'the end within a character');
refused(encode('UTF-16LE', $header . "c1,") . "\x00\xd8" . encode('UTF-16LE', ",\n"), "encoding => 'UTF16'", qr/refused at line 2: bad_encoding\n.*Byte 0xd8 is not valid UTF16/s, 'half of a pair');
refused($header, "encoding => 'UTF16'", qr/bad_encoding\n.*It is not UTF-16 text: leave encoding out/s, 'ASCII for UTF-16');
refused("\xef\xbb\xbf$header", "encoding => 'WIN1252'", qr/bad_encoding\n.*mark of UTF-8, expected CSV in WIN1252.*HINT:  Leave encoding out/s, 'UTF-8 for another');
refused("\xff\xfe" . encode('UTF-16LE', $header), "encoding => 'WIN1252'", qr/bad_encoding\n.*looks like UTF-16 text, expected CSV in WIN1252.*HINT:  Pass encoding => 'UTF16'/s, 'UTF-16 for another');
refused($header . "c1,Caf\xe9,\n", '', qr/refused at line 2: bad_encoding\n.*HINT:  Pass its encoding, such as encoding => 'WIN1252'/s, 'the hint names the option');
refused($header . "c1,a\0b,\n", "encoding => 'LATIN1'", qr/refused at line 2: nul/, 'NUL');

# ----- NULL -----

is(customers($header . "c1,n/a,n/a\nc2,\"n/a\",Food\nc3,\"\",\nc4,,\nc5,N/A,\n", q(null_words => '{n/a}')), 'c1|NULL c2|NULL|Food c3| c4|NULL c5|N/A', 'words for NULL, quoted or not, as they are spelt');
is(customers($header . "c3,\"\",\n", q(null_words => '{""}')), 'c3|NULL', 'an empty one in quotes');
refused($header . "n/a,x,\n", q(null_words => '{n/a}'), qr/line 2: empty_key/, 'not for a key');

# ----- gzip -----

is(customers(packed($header . "z1,One,Food\n") . packed("z2,Two,Pharma\n") . "\0" x 600, '', 'two.csv.gz'), 'z1|One|Food z2|Two|Pharma', 'by its name; several put together');
is(customers(packed($header . "z1,One,Food\n"), q(compression => 'gzip')), 'z1|One|Food', 'by the option');
is(customers(packed(encode('UTF-16LE', $header . "z1,One,Food\n")), q(encoding => 'UTF16'), 'utf16.csv.GZ'), 'z1|One|Food', 'and in UTF-16');
is(customers($header . "z1,One,Food\n", q(compression => 'none'), 'plain.gz'), 'z1|One|Food', 'not compressed, whatever its name');
my $packed = packed($header . join('', map { "z$_,Name $_,Food\n" } 1 .. 20000));
refused($packed, '', qr/bad_encoding\n.*looks like gzip data.*HINT:  Name it \*\.gz, or pass compression => 'gzip'/s, 'under another name it is refused');
refused($header, '', qr/22P04: file "plain.csv.gz" is refused: bad_compression\n.*not valid gzip data: incorrect header check/s, 'not compressed', 'plain.csv.gz');
refused('', '', qr/line 1: empty_file/, 'empty', 'empty.csv.gz');
refused(substr($packed, 0, length($packed) - 9), '', qr/bad_compression\n.*ends within its gzip data/s, 'cut', 'cut.csv.gz');
refused(substr($packed, 0, 20000) . "xxxx" . substr($packed, 20004), '', qr/bad_compression\n.*not valid gzip data/s, 'damaged', 'damaged.csv.gz');
refused($packed . 'more', '', qr/bad_compression\n.*not valid gzip data/s, 'something behind it', 'behind.csv.gz');
is(sql('SELECT count(*) FROM sales.customers'), 1, 'nothing of a refused file is loaded');
# 200 MB in 200 KB
my $zeros = "\n" x (1024 * 1024);
my $bomb;
{
	my $z = IO::Compress::Gzip->new(\$bomb);

	$z->print($header . "b1,B,\n");
	$z->print($zeros) foreach 1 .. 200;
	$z->close;
}
is(customers($bomb, '', 'bomb.csv.gz'), 'b1|B', sprintf('%d KB of gzip that hold 200 MB', length($bomb) / 1024));

# ----- orders -----

write_file("$root/o.jsonl.gz", packed(an_order('g1') . "\n" . an_order('g2') . "\n"));
is(etl("SELECT status, rows, inserted FROM fluct.load_orders('o.jsonl.gz')"), 'loaded|2|2', 'orders, compressed');
write_file("$root/o16.jsonl", "\xff\xfe" . encode('UTF-16LE', an_order('u1') . "\r\n"));
is(etl("SELECT status, rows, inserted FROM fluct.load_orders('o16.jsonl', encoding => 'UTF16')"), 'loaded|1|1', 'in UTF-16');
fails_like($node, "SELECT fluct.load_orders('o16.jsonl', force => true)", qr/bad_encoding\n.*looks like UTF-16 text/, 'not without the option', as => 'etl');
write_file("$root/other.jsonl", packed(an_order('g1') . "\n"));
fails_like($node, "SELECT fluct.load_orders('other.jsonl')", qr/bad_encoding\n.*looks like gzip data, expected lines of JSON.*compression => 'gzip'/s, 'gzip under another name', as => 'etl');

# ----- options that make no sense -----

foreach my $wrong (
	[ "delimiter => '\"'", qr/22023: invalid value for delimiter: '"'/ ], [ "delimiter => ';;'", qr/invalid value for delimiter/ ], [ "delimiter => ''", qr/invalid value for delimiter/ ],
	[ "delimiter => E'\\n'", qr/invalid value for delimiter/ ], [ "encoding => 'UTF17'", qr/22023: invalid value for encoding: 'UTF17'\n.*HINT/s ], [ "encoding => 'SQL_ASCII'", qr/invalid value for encoding/ ],
	[ "skip_lines => -1", qr/skip_lines must be 0 or more/ ], [ "null_words => '{NULL,x}'", qr/null_words must not hold NULL\n.*in quotes: null_words => '\{"NULL"\}'/s ], [ "compression => 'zip'", qr/compression must be one of auto, gzip, none\n.*compression => 'gzip'/s ],
	[ "industry_delimiter => ''", qr/industry_delimiter must not be empty/ ], [ "columns => '[]'", qr/columns must be a JSON object of texts\n.*HINT/s ], [ "columns => '{\"customer_id\": 1}'", qr/JSON object of texts/ ],
	[ "columns => '{\"customerid\": \"x\"}'", qr/22023: there is no column "customerid" to load\n.*HINT:  Did you mean "customer_id"/s ],
	[ "columns => '{\"customer_id\": \"company_name\"}'", qr/column "company_name" of the file is named for two columns/ ],
	[ "columns => '{\"customer_id\": \"A\", \"company_name\": \"A\", \"specialized_industries\": \"B\"}'", qr/column "A" of the file is named for two columns/ ])
{
	refused($header, $wrong->[0], $wrong->[1], $wrong->[0]);
}
refused("Customer ID,company_name,specialized_industries\n", '', qr/bad_header\n.*closest name is "Customer ID".*HINT:  .*columns => '\{"customer_id": "Customer ID"\}'/s, 'a header with another name: the hint');
refused("Kunde,company_name,specialized_industries\n", '', qr/columns => '\{"customer_id": "its name in the file"\}'/, '... which guesses no name that is not much the same');
refused("customer_id,\xe2\x80\xaecompany_name,specialized_industries\n", '', qr/columns => '\{"company_name": "its name in the file"\}'/, '... and shows none that cannot be seen');
refused(encode('UTF-16BE', $header), '', qr/nul\n.*HINT:  Pass encoding => 'UTF16BE'/s, 'UTF-16 without a mark: the other order of bytes');
refused($header . 'q1,Acme "Best" Inc,Food' . "\n", '', qr/bad_quote\n.*HINT:  .*"Acme ""Best"" Inc"/s, 'quotes inside: how they are written');
is(customers("sep=;\n\xef\xbb\xbf" . $header =~ s/,/;/gr . "q1;A;Food\n"), 'q1|A|Food', 'a line sep=; put before a byte order mark');
refused($header . "q1,A,Food\n" . $header . "q2,B,Food\n", '', qr/refused at line 3: bad_header\n.*The header once more/s, 'the header twice');
is(customers($header . "q1,A,Food\n" . $header . "q2,B,Food\n", "on_bad_row => 'reject_row'"), 'q1|A|Food q2|B|Food', '... rejected alone');
refused("Kunde,Firma,Branchen\n", $columns, qr/bad_header\n.*No column "Kunde Nr\." in the header.*HINT:  .*columns => '\{"customer_id": "its name in the file"\}'/s, '... which names the column, not what it was called');
refused("Export\n\ncustomer_id,company_name,specialized_industries\n", $_->[0], qr/bad_header\n.*HINT:  .*further below, .*skip_lines\./s, "... lines before the header: $_->[1]") foreach [ '', 'none skipped' ], [ 'skip_lines => 1', 'too few' ];
refused("customer_id;company_name;specialized_industries\n", '', qr/wrong_delimiter\n.*HINT:  .*delimiter => ';'/s, 'another delimiter: the hint');
fails_like($node, "SELECT fluct.create_inbox('o', 'orders', 'o', delimiter => ';')", qr/22023: a file of orders has no option delimiter/, 'lines of JSON have no delimiter', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('o', 'products', 'o', industry_delimiter => ';')", qr/22023: a file of products has no option industry_delimiter/, 'nor products industries', as => 'etl');

# ----- an inbox has the same options -----

mkdir("$root/in");
etl("SELECT fluct.create_inbox('in', 'customers', 'in', settle => '0', delimiter => ';', encoding => 'latin1', skip_lines => 1, $columns, $words, compression => 'auto')");
is(sql(q{SELECT options - '{columns,null_words}'::text[] FROM fluct.inboxes}),
	'{"mode": "upsert", "encoding": "LATIN1", "delimiter": ";", "on_bad_row": "refuse", "skip_lines": 1, "max_rejects": 1000, "unknown_industry": "report", "industry_delimiter": ",", "max_delete_fraction": 0.1}',
	'what is not as usual is kept');
sql('DELETE FROM sales.customers');
write_file("$root/in/a.csv", encode('latin1', "x\nKunde Nr.;Firma;Branchen\ni1;M\x{fc}ller;Food,Zubeh\x{f6}r\n"));
write_file("$root/in/b.csv.gz", packed("x\nKunde Nr.;Firma;Branchen\ni2;NULL;#NV\n"));
write_file("$root/in/c.csv", "x\nKunde Nr.,Firma,Branchen\ni2,A,B\n");
my $err = said("CALL fluct.scan_inbox('in')", as => 'etl');
like($err, qr/2 loaded, 1 refused/, 'a scan');
like($err, qr/file "c.csv": refused at line 2: wrong_delimiter.*\nHINT:  .*delimiter => ','/, 'with the hint');
is(sql("SELECT string_agg(customer_id || coalesce(company_name, ''), ' ' ORDER BY 1) FROM sales.customers"), "i1M\xc3\xbcller i2", 'as the options say');
write_file("$root/in/b.csv.gz", packed("x\nKunde Nr.;Firma;Branchen\ni3;Three;\n"));
said("CALL fluct.scan_inbox('in')", as => 'etl');
is(etl("SELECT unchanged FROM fluct.reload_file('in', 'done/b.csv.gz.2')"), 1, 'a second file of that name is still known as compressed');
etl(q{SELECT fluct.alter_inbox('in', delimiter => ',', encoding => 'UTF8', skip_lines => 0, columns => '{}', null_words => '{}', industry_delimiter => ';')});
is(sql('SELECT options FROM fluct.inboxes'), '{"mode": "upsert", "on_bad_row": "refuse", "max_rejects": 1000, "unknown_industry": "report", "max_delete_fraction": 0.1}', 'and back to what is usual');

# ----- names -----

mkdir("$root/names");
etl(q{SELECT fluct.create_inbox('names', 'customers', 'names', settle => '0')});
foreach my $name ('a.filepart', 'b.CSV.part', 'c.tmp', '~$d.csv', 'Thumbs.db', 'desktop.ini', 'e.crdownload', '.f.csv', 'g.csv~', 'h.csv.download', 'i.csv._COPYING_')
{
	write_file("$root/names/$name", $header . "x,x,\n");
}
write_file("$root/names/G [1]+.CSV", $header . "g,G,\n");
write_file("$root/names/part.csv", $header . "p,P,\n");
like(said("CALL fluct.scan_inbox('names')", as => 'etl'), qr/"names": 2 loaded, 10 ignored for their names/, 'what other programs are still writing is ignored');
foreach my $case ([ '*.txt', 'no new file, 13 ignored' ], [ '*.c?v', '1 loaded, 12 ignored' ], [ 'x.dat , [y].txt', '2 loaded, 11 ignored' ], [ '*.tmp', '1 loaded, 10 ignored' ])
{
	etl("SELECT fluct.alter_inbox('names', pattern => '$case->[0]')");
	if ($case->[0] eq '*.txt')
	{
		write_file("$root/names/$_->[0]", $header . "$_->[1],x,\n") foreach [ 'x.dat', 1 ], [ '[y].TXT.csv', 2 ], [ 'z.json', 3 ];
	}
	write_file("$root/names/[y].txt", $header . "4,x,\n") if $case->[0] =~ /y/;
	like(said("CALL fluct.scan_inbox('names')", as => 'etl'), qr/"names": \Q$case->[1]\E/, "pattern $case->[0]");
}
like(etl("SELECT status FROM fluct.reload_file('names', 'Thumbs.db')"), qr/^loaded$/, 'by hand any of them');
fails_like($node, "SELECT fluct.alter_inbox('names', pattern => '$_')", qr/22023: invalid pattern/, "pattern '$_'", as => 'etl') foreach '', 'a/b', '*.csv,', ' ';

$node->stop;
done_testing();
