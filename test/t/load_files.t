# Whatever stands in a file, and whatever happens to it or to the server
# meanwhile: it is loaded once, wholly, or not at all.
#
# FLUCT_FILE_KILLS (10) kills; FLUCT_FILE_MB (4) the size of the large file;
# FLUCT_FILE_SEED (1) what is random.
use strict;
use warnings;
use Fluct;
use Fluct::Process;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kills = $ENV{FLUCT_FILE_KILLS} // 10;
my $mb = $ENV{FLUCT_FILE_MB} // 4;
my $seed = $ENV{FLUCT_FILE_SEED} // 1;
my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('files', operator => 1, 'fluct.inbox_root' => $root);
my $header = "customer_id,company_name,specialized_industries\n";

srand($seed);
note("FLUCT_FILE_SEED=$seed");

sub scan
{
	my ($inbox, @options) = @_;

	return said("CALL fluct.scan_inbox('$inbox')", @options, as => 'etl');
}

sub background
{
	my ($statement, $out, $err) = @_;

	return IPC::Run::start([ 'psql', '-qXAt', '-U', 'etl', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_backend_pid()', '-c', $statement ],
		'<', \undef, '>', $out, '2>', $err, IPC::Run::timeout(180));
}

sub pid_of
{
	my ($session, $out) = @_;

	$session->pump until $$out =~ /^(\d+)\n/;
	return $$out =~ /^(\d+)/ ? $1 : die;
}

etl("INSERT INTO sales.industries VALUES ('Food'), ('Pharma')");
foreach my $kind (qw(customers products orders industries))
{
	mkdir("$root/$kind");
	etl("SELECT fluct.create_inbox('$kind', '$kind', '$root/$kind', settle => '0')");
}
my $in = "$root/customers";

# ----- what stands in a file -----

my @bad = (
	[ 'gzip', "\x1f\x8b\x08\x00\x00\x00\x00\x00", 'bad_encoding', 1, 'gzip data' ],
	[ 'html', "<!DOCTYPE html>\n<html></html>\n", 'bad_header', 1, 'an HTML page' ],
	[ 'utf16', "\xff\xfec\x00u\x00s\x00", 'bad_encoding', 1, 'UTF-16 text' ],
	[ 'utf16 without mark', "c\x00u\x00s\x00t\x00", 'nul', 1, 'UTF-16 text' ],
	[ 'latin1', "${header}c1,Caf\xe9,Food\n", 'bad_encoding', 2, 'byte 0xe9' ],
	[ 'nul', "${header}c1,A\x00B,Food\n", 'nul', 2, 'NUL byte' ],
	[ 'semicolons', "customer_id;company_name;specialized_industries\nc1;One;Food\n", 'wrong_delimiter', 1, 'found ";"' ],
	[ 'tabs', "customer_id\tcompany_name\tspecialized_industries\n", 'wrong_delimiter', 1, 'byte 0x09' ],
	[ 'cr', "customer_id,company_name,specialized_industries\rc1,One,Food\r", 'wrong_delimiter', 1, 'carriage return' ],
	[ 'missing header', "customer_id,company_name\nc1,One\n", 'bad_header', 1, 'no column "specialized_industries"' ],
	[ 'misspelt header', "customer_id,company_name,specialised_industries\nc1,One,\n", 'bad_header', 1, 'closest name is "specialised_industries"' ],
	[ 'header twice', "customer_id,customer_id,company_name,specialized_industries\n", 'bad_header', 1, 'duplicated' ],
	[ 'other case', "Customer_id,company_name,specialized_industries\n", 'bad_header', 1, 'closest name is "Customer_id"' ],
	[ 'missing column', "${header}c1,One,Food\nc2,Two\n", 'missing_column', 3, 'found 2 columns' ],
	[ 'extra column', "${header}c1,One,Food,x\n", 'extra_column', 2, 'found 4 columns' ],
	[ 'blank line', "${header}c1,One,\n\nc2,Two,\n", 'missing_column', 3, 'empty line' ],
	[ 'open quote', "${header}c1,One,\nc2,\"Two,\nc3,Three,\n", 'open_quote', 3, 'never closed' ],
	[ 'quote in the middle', "${header}c1,O\"ne,\n", 'bad_quote', 2, 'quote in the middle' ],
	[ 'behind a quote', "${header}c1,\"One\"x,\n", 'bad_quote', 2, 'found "x"' ],
	[ 'lines in quotes count', "${header}c1,\"a\nb\nc\",\nc2,Two\n", 'missing_column', 5, 'found 2 columns' ],
	[ 'empty key', "${header} ,One,Food\n", 'empty_key', 2, 'customer_id is empty' ],
	[ 'long key', $header . ('k' x 1301) . ",One,Food\n", 'too_long', 2, '1301 bytes' ],
	[ 'long field', $header, "c1,", ('x' x (50 * 1024 * 1024)), ",\n", 'too_long', 2, 'longer than 1048576' ],
	[ 'a bad last line', $header, (map { "row$_,x,\n" } 1 .. 20000), "last\n", 'missing_column', 20002, 'found 1 column,' ],
	[ 'no end', "${header}c1,One,Food", 'missing_column', 2, 'may be truncated' ],
	[ 'empty', '', 'empty_file', 1, 'no header' ]);
foreach my $bad (@bad)
{
	my ($name, @content) = @$bad;
	my ($reason, $line, $detail) = splice(@content, -3);

	write_file("$in/$name.csv", @content);
	scan('customers');
	like(sql("SELECT concat_ws('|', status, reason, line, detail) FROM fluct.files ORDER BY id DESC LIMIT 1"),
		qr/^refused\|$reason\|$line\|.*\Q$detail\E/i, "$name: $reason at line $line");
}
is(sql('SELECT count(*) FROM sales.customers'), '0', 'nothing of them is loaded');
write_file("$in/good.csv", "\xef\xbb\xbf\"note\",specialized_industries,customer_id,company_name\r\n,Food;;Food; Pharma,g1,\"a \"\"b\"\"\"\n,,g2,\\.\r\n\n\n");
like(scan('customers'), qr/columns ignored: "note".*2 rows, 2 inserted, 2 links added/s, 'mark, other order, CRLF, quotes, blank lines at the end');
is(sql("SELECT string_agg(company_name, ' ' ORDER BY 1) FROM sales.customers"), 'a "b" \.', 'all as it stands there');
write_file("$root/products/p.csv", "product_id,product_name,price\np1,x,1.5\np2,y,12,5\n");
like(scan('products'), qr/refused at line 3: extra_column/, 'products');
write_file("$root/products/q.csv", "product_id,product_name,price\np1,x,1.5\np2,y,NaN\n");
like(scan('products'), qr/refused at line 3: bad_number: Column price holds "NaN"/, 'no number');
write_file("$root/orders/o.jsonl", an_order('o1') . "\n" . an_order('o2', amount => '"1"') . "\n");
like(scan('orders'), qr/refused at line 2: wrong_type/, 'orders');
write_lines("$root/orders/o.jsonl", an_order('o1'), an_order('o2'));
like(scan('orders'), qr/2 rows, 2 inserted/, 'orders, mended');
is(sql('SELECT count(*) FROM sales.order_lines'), '2', 'with their lines');

# ----- a file cut at every byte -----

my @parts = ("\xef\xbb\xbfcompany_name,customer_id,specialized_industries\r\n", "One,k1,Food\n", "\"T\nwo, \"\"2\"\"\",k2,\"Food;Pharma\"\r\n",
	"\xc3\x9cber,k3,\n", ",k4,Pharma\n");
my $whole = join('', @parts);
my %rows;    # how many are whole, by where they end
$rows{ length(join('', @parts[0 .. $_])) } = $_ foreach 0 .. $#parts;
write_file(sprintf('%s/cut%04d.csv', $in, $_), substr($whole, 0, $_)) foreach 0 .. length($whole);
my $first_cut = sql('SELECT max(id) FROM fluct.files');
scan('customers');
my @outcome = split(/\n/, sql("SELECT status, rows FROM fluct.files WHERE id > $first_cut AND file ~ 'cut' ORDER BY file"));
is(scalar(@outcome), length($whole) + 1, 'each is recorded');
my @wrong = grep {
	defined($rows{$_}) ? $outcome[$_] ne "loaded|$rows{$_}" : $outcome[$_] ne 'refused|0'
} 0 .. length($whole);
is("@wrong", '', 'a cut file is refused, unless it ends with a line; then it has all lines before');

# ----- what happens to it meanwhile -----

sql('GRANT pg_execute_server_program TO etl');
etl(q{CREATE TABLE doing (command text);
	CREATE FUNCTION doing() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN EXECUTE (SELECT format('COPY (SELECT 1) TO PROGRAM %L', command) FROM public.doing); RETURN NULL; END $$;
	CREATE TRIGGER doing AFTER INSERT ON sales.customers FOR EACH STATEMENT EXECUTE FUNCTION doing()});
my %doing = (
	appended => "cat >/dev/null; echo 'm9,x,' >> $in/FILE",
	replaced => "cat >/dev/null; cp $in/FILE $in/.new; mv $in/.new $in/FILE",
	touched => "cat >/dev/null; touch $in/FILE",
	deleted => "cat >/dev/null; rm $in/FILE");
foreach my $what (sort keys %doing)
{
	my $command = $doing{$what} =~ s/FILE/$what.csv/gr;

	sql("TRUNCATE doing; INSERT INTO doing VALUES (\$c\$$command\$c\$)");
	write_file("$in/$what.csv", $header . "$what,x,\n");
	fails_like($node, "SELECT fluct.load_customers('$in/$what.csv')", qr/55006: file "$what\.csv" is refused: changed_while_read/, "$what while read: an error", as => 'etl');
	write_file("$in/$what.csv", $header . "$what,x,\n");
	like(scan('customers'), qr/file "$what\.csv" is left for the next scan: .*changed_while_read/, "$what while read: left alone");
	is(sql("SELECT count(*) FROM sales.customers WHERE customer_id = '$what'"), '0', 'nothing loaded');
	next if $what eq 'deleted';
	sql("TRUNCATE doing; INSERT INTO doing VALUES ('cat >/dev/null')");
	like(scan('customers'), qr/file "$what\.csv": .* inserted/, 'the next scan loads what is there then');
}
sql('DROP FUNCTION doing CASCADE');

# ----- unchanged rows cost nothing downstream -----

etl(q{CREATE TABLE work (what text);
	CREATE FUNCTION work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.work VALUES (concat_ws(' ', TG_OP, TG_TABLE_NAME, TG_LEVEL)); RETURN NULL; END $$});
foreach my $table (qw(customers customer_industries products industries))
{
	etl("CREATE TRIGGER work_$_ AFTER INSERT OR UPDATE OR DELETE ON sales.$table FOR EACH $_ EXECUTE FUNCTION work()") foreach qw(ROW STATEMENT);
}
write_file("$in/many.csv", $header, map { "w$_,Name $_,Food;Pharma\n" } 1 .. 1000);
like(scan('customers'), qr/1000 rows, 1000 inserted, 2000 links added/, 'new rows');
sql('TRUNCATE work');
like(etl("SELECT unchanged FROM fluct.reload_file('customers', 'many.csv')"), qr/^1000$/, 'the same again');
write_file("$root/p.csv", "product_id,product_name,price\np9,x,1\n");
etl("SELECT fluct.load_products('$root/p.csv'); TRUNCATE work; SELECT fluct.load_products('$root/p.csv', force => true)");
is(sql('SELECT count(*) FROM work'), '0', 'no statement and no row of a trigger');
write_file("$in/many.csv", $header, map { "w$_," . ($_ == 7 ? 'New' : "Name $_") . ',' . ($_ == 8 ? 'Food' : 'Food;Pharma') . "\n" } 1 .. 1000);
like(scan('customers'), qr/1000 rows, 0 inserted, 2 updated, 998 unchanged, 1 links removed/, 'two rows changed');
is(sql('SELECT string_agg(what, $$, $$ ORDER BY what) FROM work'),
	'DELETE customer_industries ROW, DELETE customer_industries STATEMENT, UPDATE customers ROW, UPDATE customers STATEMENT', 'each in one statement');
sql('DROP FUNCTION work CASCADE; DROP TABLE work');

# ----- the feed -----

my $err = said("COPY sales.customer_feed FROM STDIN (FORMAT csv, HEADER);\ncustomer_id,company_name,specialized_industries\nf1,One,Food;Toys\nf2,Two,\nf1,Once,\" Pharma ;Food;;Pharma\"\n\\.\n", as => 'etl');
like($err, qr/customer_feed: unknown industries, left out: "Toys" \(row 1\)\n.*customer_feed: 3 rows, 2 inserted, 1 replaced by a later row, 2 links added/s, 'COPY sales.customer_feed: says what it did');
is(sql("SELECT string_agg(f::text, ' ' ORDER BY customer_id) FROM sales.customer_feed f WHERE customer_id ~ '^f'"), '(f1,Once,Food;Pharma) (f2,Two,)', 'the last row of a customer wins');
fails_like($node, "INSERT INTO sales.customer_feed VALUES ('f3', 'x', 'y'), ('', 'x', 'y')", qr/2200F: customer_feed is refused at row 2: empty_key(?!.*CONTEXT)/s, 'a bad row ends the statement', as => 'etl');
is(etl(q{BEGIN; SAVEPOINT s; INSERT INTO sales.customer_feed VALUES ('f4', 'x', 'Food'); ROLLBACK TO s;
	INSERT INTO sales.customer_feed SELECT 'f5', 'x', 'Food' WHERE false; INSERT INTO sales.customer_feed VALUES ('f6', 'x', 'Food'), ('f7', 'x', NULL);
	COMMIT; SELECT string_agg(customer_id, ' ' ORDER BY customer_id) FROM sales.customers WHERE customer_id ~ '^f'}), 'f1 f2 f6 f7', 'savepoints, no row');
etl(q{DO $$ BEGIN INSERT INTO sales.customer_feed SELECT 'f8', 'x', repeat('x', 2000000) FROM generate_series(1, 20); RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
	INSERT INTO sales.customer_feed VALUES ('f9', 'x', 'Food')});
is(sql("SELECT count(*) FROM sales.customers WHERE customer_id IN ('f8', 'f9')"), '1', 'an error after the rows were on disk');
my @sessions = map {
	my ($o, $e) = ('', '');
	background("INSERT INTO sales.customer_feed SELECT 's' || i || '-' || $_, 'x', 'Food;Pharma' FROM generate_series(1, 2000) i", \$o, \$e)
} 1 .. 4;
$_->finish foreach @sessions;
is(sql("SELECT count(DISTINCT customer_id), count(*) FROM sales.customer_industries WHERE customer_id ~ '^s\\d'"), '8000|16000', 'four sessions at once, apart');

# ----- progress, cancelling, memory -----

my $bytes = 0;
{
	open(my $big, '>', "$root/big.csv") or die $!;
	print $big $header;
	for (my $i = 0; $bytes < $mb * 1024 * 1024; $i++)
	{
		my $line = sprintf("big%09d-0000-4000-8000-000000000000,Company number %d of many,Food;Pharma\n", $i * 7919 % 100000007, $i);

		print $big $line;
		$bytes += length($line);
	}
	close($big);
}
foreach my $phase ('identifying', 'reading', 'storing rows')
{
	my ($o, $e) = ('', '');
	my $session = background("SELECT fluct.load_customers('$root/big.csv')", \$o, \$e);
	my $pid = pid_of($session, \$o);
	my $seen = poll_until($node, "SELECT phase FROM fluct.stat_files WHERE pid = $pid AND bytes_done > 0 OR (SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid)",
		sub { $_[0] eq $phase || $_[0] eq 'storing rows' }, 60);
	my $began = time();

	sql("SELECT pg_cancel_backend($pid)");
	$session->finish;
	note(sprintf('cancelled while %s: %.2f s', $seen // '?', time() - $began));
	like($e, qr/canceling statement due to user request/, "cancelled at the latest while $phase");
}
is(sql("SELECT count(*) FROM fluct.stat_files"), '0', 'no load is shown any more');
my ($o, $e) = ('', '');
my $session = background("SELECT rows, inserted FROM fluct.load_customers('$root/big.csv')", \$o, \$e);
my $pid = pid_of($session, \$o);
my ($peak, %phases) = (0);
while ($session->pumpable)
{
	my $row = sql("SELECT kind, file, phase, bytes_total, bytes_done <= bytes_total, share BETWEEN 0 AND 1 FROM fluct.stat_files WHERE pid = $pid");

	if ($row =~ /^customers\|big\.csv\|([a-z ]+)\|(\d+)\|t\|t$/)
	{
		$phases{$1} = 1;
		my $now = eval { private_memory($pid) } // 0;

		$peak = $now if $now > $peak;
	}
	$session->pump_nb;
	sleep(0.02);
}
$session->finish;
ok($phases{'storing rows'} && keys %phases > 1, 'progress is shown: ' . join(', ', sort keys %phases));
like($o, qr/\d+\|\d+/, 'loaded');
note(sprintf('a file of %d MB: at most %d MB of memory', $mb, $peak));
cmp_ok($peak, '<', 300, 'memory is bounded');
sql("DELETE FROM sales.customer_industries WHERE customer_id ~ '^big'");

# ----- kill -9 between opening and moving -----

foreach my $i (1 .. $kills)
{
	my ($o, $e) = ('', '');

	write_file("$in/kill$i.csv", $header, map { "kill$i-$_,x,Food;Pharma\n" } 1 .. 1000);
	my $session = background("CALL fluct.scan_inbox('customers')", \$o, \$e);
	my $pid = pid_of($session, \$o);

	sleep(rand(0.1));
	kill('KILL', $pid);
	eval { $session->finish };
	sleep(0.01) while kill(0, $pid);	# until the postmaster has reaped it
	poll($node, 'SELECT true', 't') or die;
}
scan('customers');
is(sql("SELECT count(DISTINCT file), count(*), bool_and(status = 'loaded') FROM fluct.files WHERE file ~ 'kill'"), "$kills|$kills|t", "$kills kills: each file is loaded once");
is(sql("SELECT count(*) FROM sales.customer_industries WHERE customer_id ~ '^kill'"), $kills * 2000, 'wholly');
is(scalar(grep { -f "$in/done/kill$_.csv" } 1 .. $kills), $kills, 'and healed by the next scan');

# ----- a restore to a moment before a load -----

$node->stop;
my $data = $node->data_dir;
system('cp', '-a', $data, "$data.before") == 0 or die;
$node->start;
write_file("$in/late.csv", $header . "late,x,Food\n");
scan('customers');
ok(-f "$in/done/late.csv", 'loaded');
$node->stop;
system("rm -rf '$data' && mv '$data.before' '$data'") == 0 or die;
$node->start;
is(sql("SELECT count(*) FROM sales.customers WHERE customer_id = 'late'"), '0', 'restored to before');
like(scan('customers'), qr/file "late\.csv": 1 row, 1 inserted.*inbox "customers": 1 loaded/s, 'the next scan finds it in done/');
like(scan('customers'), qr/no new file/, 'once');

$node->stop;
done_testing();
