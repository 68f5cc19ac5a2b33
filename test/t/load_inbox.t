# Folders whose files are each loaded once: scans, rights, names, moves.
use strict;
use warnings;
use Fluct;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $node = fluct_node('inbox', operator => 1, 'fluct.inbox_root' => $root);
my $header = "customer_id,company_name,specialized_industries\n";

# CALL scan_inbox, as its owner: what it says.
sub scan
{
	my ($inbox, @options) = @_;

	return said("CALL fluct.scan_inbox('$inbox')", @options ? @options : (as => 'etl'));
}

sub listing
{
	my ($dir) = @_;

	opendir(my $d, $dir) or return "$!";
	return join(' ', sort grep { !/^\./ && !-d "$dir/$_" } readdir($d));
}

sub last_file
{
	return sql("SELECT concat_ws('|', status, reason, line, moved_to) FROM fluct.files ORDER BY id DESC LIMIT 1");
}

etl("INSERT INTO sales.industries VALUES ('Food'), ('Pharma')");
mkdir("$root/$_") foreach qw(in other);
my $in = "$root/in";

# ----- making one -----

fails_like($node, "SELECT fluct.create_inbox('a', 'customer', '$in')", qr/22023: kind must be one of industries, products, customers, orders, table\nDETAIL:  It is "customer"\.\nHINT:  Did you mean kind => 'customers'\?/, 'unknown kind', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('a b', 'customers', '$in')", qr/42602: invalid inbox name: "a b"/, 'bad name', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('a', 'orders', '$in', mode => 'snapshot')", qr/22023: a file of orders has no option mode/, 'an option of another kind', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('a', 'customers', '$root/none')", qr/58P01: directory ".*none" cannot be used/, 'no such folder', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('a', 'customers', '$root/other/../in')", qr/has "\.\." in it/, '..', as => 'etl');
symlink($in, "$root/link");
fails_like($node, "SELECT fluct.create_inbox('a', 'customers', '$root/link')", qr/"link" is a symbolic link/, 'a link', as => 'etl');
is(etl("SELECT fluct.create_inbox('a', 'customers', '$in//', settle => '0')"),
	q{inbox "a" created: CALL fluct.scan_inbox('a') loads what lies in it}, 'created');
is(sql("SELECT directory = '$in', settle, options->>'mode' FROM fluct.inboxes"), 't|00:00:00|upsert', 'with what it is');
fails_like($node, "SELECT fluct.create_inbox('a', 'customers', '$root/other')", qr/42710: inbox "a" already exists/, 'a second of that name', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('b', 'products', '$in/done')", qr/42710: directory .* is that of inbox "a", or one holds the other/, 'a folder of another', as => 'etl');
fails_like($node, "SELECT fluct.create_inbox('b', 'products', '$_')", qr/42710: directory "\Q$in\E" is that of inbox "a", or one holds the other/, "its folder as $_", as => 'etl')
  foreach 'in', './in/.', "$root/.//in/";
fails_like($node, "CALL fluct.scan_inbox('b')", qr/42704: inbox "b" does not exist/, 'unknown inbox', as => 'etl');
fails_like($node, "BEGIN; CALL fluct.scan_inbox('a')", qr/25001: scan_inbox\(\) commits after each file, and you began a transaction/, 'within a transaction', as => 'etl');
like(scan('a'), qr/inbox "a": no new file/, 'nothing there');

# ----- one scan -----

write_file("$in/1.csv", $header . "c1,One,Food;Pharma\nc2,Two,\n");
write_file("$in/2.csv", $header . "c3,Three,Food\nc4,Four\n");
write_file("$in/3.csv", $header . "c5,Five,Toys\n");
write_file("$in/4.csv", $header . "c1,One,Food;Pharma\nc2,Two,\n");
write_file("$in/.hidden", 'x');
utime(1e9 + $_, 1e9 + $_, "$in/$_.csv") foreach 1 .. 3;
utime(1e9 + 2, 1e9 + 2, "$in/4.csv");
my $said = scan('a');
like($said, qr/NOTICE:  file "1\.csv": 2 rows, 2 inserted, 2 links added\n/, 'loaded: says what');
like($said, qr/WARNING:  file "2\.csv": refused at line 3: missing_column: Found 2 columns, expected 3\.\n/, 'refused: says why');
like($said, qr/unknown industries, left out: "Toys" \(line 2\)/, 'unknown industries by name');
like($said, qr/NOTICE:  file "4\.csv": its content is already loaded\n/, 'the same content under another name');
like($said, qr/inbox "a": 2 loaded, 1 loaded before, 1 refused\n*\z/, 'and the sum');
is(listing($in), '', 'the inbox is empty');
is(listing("$in/done"), '1.csv 3.csv 4.csv', 'done');
is(listing("$in/refused"), '2.csv', 'refused');
is(sql('SELECT string_agg(customer_id, $$ $$ ORDER BY 1) FROM sales.customers'), 'c1 c2 c5', 'the good ones are there, of the bad one nothing');
is(sql("SELECT status, reason, line, moved_to, loaded_by FROM fluct.files WHERE file LIKE '%2.csv'"), 'refused|missing_column|3|refused/2.csv|etl', 'recorded');
is(sql("SELECT last_scan IS NOT NULL FROM fluct.inboxes"), 't', 'last_scan');
like(scan('a'), qr/inbox "a": no new file/, 'again: nothing');

# The same name with other content; a name that is taken gets a number.
write_file("$in/1.csv", $header . "c1,Uno,Food\n");
like(scan('a'), qr/file "1\.csv": 1 row, 0 inserted, 1 updated, 1 links removed/, 'same name, other content: loaded');
is(listing("$in/done"), '1.csv 1.csv.2 3.csv 4.csv', 'nothing is overwritten');
is(sql("SELECT moved_to FROM fluct.files ORDER BY id DESC LIMIT 1"), 'done/1.csv.2', 'and where it is, is known');

# Content with something left to report is loaded again, once more is known.
sql("INSERT INTO sales.industries VALUES ('Toys')");
rename("$in/done/3.csv", "$in/3.csv");
like(scan('a'), qr/file "3\.csv": 1 row, 0 inserted, 1 updated, 1 links added/, 'put back after the industry came: loaded');

# ----- still being written -----

sql("SELECT fluct.alter_inbox('a', settle => '1 hour')");
write_file("$in/slow.csv", $header . "c6,Six,\n");
like(scan('a'), qr/inbox "a": 1 still being written/, 'a young file is left alone');
is(listing($in), 'slow.csv', 'where it is');
utime(time() - 7200, time() - 7200, "$in/slow.csv");
like(scan('a'), qr/1 loaded/, 'a file that has been still is loaded');
write_file("$in/ahead.csv", $header . "c7,Seven,\n");
utime(time() + 400000, time() + 400000, "$in/ahead.csv");
like(scan('a'), qr/1 loaded/, 'a time in the far future says nothing');
sql("SELECT fluct.alter_inbox('a', settle => '0')");
fails_like($node, "SELECT fluct.alter_inbox('a', settle => '-1 s')", qr/22023/, 'settle is not negative', as => 'etl');

# ----- what is no file -----

write_file("$root/one", 'x');
link("$root/one", "$in/hard.csv");
symlink("$root/one", "$in/link.csv");
system('mkfifo', "$in/fifo.csv") == 0 or die;
mkdir("$in/folder");
socket(my $socket, PF_UNIX, SOCK_STREAM, 0);
my $has_socket = bind($socket, sockaddr_un("$in/s.csv"));
write_file("$in/empty.csv", '');
chmod(0, write_file("$in/secret.csv", $header));
$said = scan('a');
like($said, qr/file "$_->[0]": refused: $_->[1]/, "$_->[0]: $_->[1]")
  foreach [ 'link.csv', 'not_regular_file: It is a symbolic link' ], [ 'fifo.csv', 'not_regular_file: It is a FIFO' ],
  [ 'secret.csv', 'unreadable' ], $has_socket ? [ 's.csv', 'not_regular_file' ] : ();
like($said, qr/file "empty\.csv": refused at line 1: empty_file/, 'empty.csv: empty_file');
is(listing($in), '', 'all are moved');
ok(-d "$in/folder" && -l "$in/refused/link.csv" && -e "$root/one", 'a folder stays; a link is moved, not followed');
rmdir("$in/folder");
chmod(0600, "$in/refused/secret.csv");

# ----- names -----

my @names = ("new\nline.csv", "quo'te\".csv", "\x1b[31mred.csv", "\xff\xfe.csv", "back\\slash.csv", "\xc3\xa9.csv", '%s%n.csv', ('n' x 255), "-rf", "\xe2\x80\xaeevil.csv");
write_file("$in/$names[$_]", $header . "name$_,x,\n") foreach 0 .. $#names;
$said = scan('a');
is(sql("SELECT count(*) FROM sales.customers WHERE customer_id LIKE 'name%'"), scalar(@names), 'odd names: all loaded');
is(listing("$in"), '', 'and moved');
is(scalar(grep { -f "$in/done/$_" } @names), scalar(@names), 'under their names');
unlike($said, qr/\x1b|\xff|\xe2\x80\xae|new\n/, 'shown without what a terminal obeys');
is(sql(q{SELECT string_agg(moved_to, ' ' ORDER BY id) FROM fluct.files WHERE moved_to ~ 'line|red|xff|slash|evil'}),
	q{done/new\x0aline.csv done/\x1b[31mred.csv done/\xff\xfe.csv done/back\\\\slash.csv done/\xe2\x80\xaeevil.csv}, 'and recorded so');
write_file("$in/" . ('n' x 255), $header . "name11,x,\n");
scan('a');
ok(-f "$in/done/" . ('n' x 253) . '.2', 'a long name that is taken is cut for its number');
is(etl(q{SELECT status FROM fluct.reload_file('a', 'done/\xff\xfe.csv')}), 'loaded', 'found again by the name as it is shown');

# ----- reload and skip -----

sql("DELETE FROM sales.customers WHERE customer_id = 'c1'");
is(etl("SELECT status, inserted FROM fluct.reload_file('a', 'done/4.csv')"), 'loaded|1', 'reload_file: from done/, whatever is recorded');
fails_like($node, "SELECT fluct.reload_file('a', '2.csv')", qr/22P04: file "2\.csv" is refused at line 3: missing_column\n(?!.*CONTEXT.*PL)/, 'reload_file: refused again', as => 'etl');
write_file("$in/refused/2.csv", $header . "c3,Three,Food\nc4,Four,\n");
is(etl("SELECT status, inserted FROM fluct.reload_file('a', '2.csv')"), 'loaded|2', 'mended in refused/: loaded');
ok(-f "$in/done/2.csv" && !-e "$in/refused/2.csv", 'and moved');
fails_like($node, "SELECT fluct.reload_file('a', '../one')", qr/is not a valid file name/, 'no path out', as => 'etl');
fails_like($node, "SELECT fluct.$_", qr/must not be null/, "NULL: $_", as => 'etl') foreach "skip_file('a', NULL)", "reload_file('a', NULL)", "_scan_file('a', '', NULL)";
fails_like($node, "SELECT fluct._scan_file('a', '../other', 'x')", qr/an inbox has no such folder/, 'no folder beside it', as => 'etl');
fails_like($node, "SELECT fluct.skip_file('a', 'done/1.csv')", qr/does not lie in the inbox any more/, 'skip_file: only what waits', as => 'etl');
fails_like($node, "SELECT fluct.skip_file('a', 'none.csv')", qr/58P01: file "none\.csv" is not in inbox "a"/, 'skip_file: not there', as => 'etl');
write_file("$in/skip.csv", $header . "skipped,x,\n");
etl("BEGIN; SELECT fluct.skip_file('a', 'skip.csv'); ROLLBACK");
is(listing($in), 'skip.csv', 'rolled back: it stays');
etl("SELECT fluct.skip_file('a', 'skip.csv', 'not ours')");
is(last_file(), 'skipped', 'skipped');
ok(-f "$in/refused/skip.csv", 'moved at the commit');
is(sql("SELECT count(*) FROM sales.customers WHERE customer_id = 'skipped'"), '0', 'not loaded');

# ----- what is not the file's fault -----

write_file("$in/lock.csv", $header . "locked,x,\n");
my ($psql_in, $psql_out, $timer) = ('', '', IPC::Run::timeout(60));
my $holder = IPC::Run::start([ 'psql', '-qXAt', '-d', $node->connstr('postgres'), '-f', '-' ], '<', \$psql_in, '>', \$psql_out, '2>&1', $timer);
$psql_in = "BEGIN; LOCK TABLE sales.customers; SELECT 'held';\n";
$holder->pump until $psql_out =~ /held/;
my $err = said("SET lock_timeout = '100 ms'; CALL fluct.scan_inbox('a')", as => 'etl');
like($err, qr/file "lock\.csv" is left for the next scan: canceling statement due to lock timeout.*1 left for the next scan/s, 'a lock: left');
$err = said("SET statement_timeout = '100 ms'; CALL fluct.scan_inbox('a')", as => 'etl');
like($err, qr/canceling statement due to statement timeout/, 'a cancel ends the scan');
is(listing($in), 'lock.csv', 'and the file stays');

# two scans at once
my ($scan_out, $scan_err) = ('', '');
my $first = IPC::Run::start([ 'psql', '-qXAt', '-U', 'etl', '-d', $node->connstr('postgres'), '-c', "CALL fluct.scan_inbox('a')" ], '<', \undef, '>', \$scan_out, '2>', \$scan_err, IPC::Run::timeout(60));
ok(poll($node, q{SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'sales.customers'::regclass)}), 'a scan waits for the lock');
like(scan('a'), qr/inbox "a": another scan is at work/, 'a second one ends at once');
$psql_in = "COMMIT;\n\\q\n";
$holder->finish;
$first->finish;
like($scan_err, qr/1 loaded/, 'the first one goes on');
is(sql("SELECT count(*) FROM fluct.files WHERE file LIKE '%lock.csv'"), '1', 'one load');

# a user's own rules refuse a file; a missing table is nobody's fault
sql("ALTER TABLE sales.customers ADD CONSTRAINT short CHECK (length(company_name) < 10)");
write_file("$in/rule.csv", $header . "long,a very long name,\n");
like(scan('a'), qr/file "rule\.csv": refused: constraint: .*violates check constraint "short"/, 'a constraint refuses it');
sql("ALTER TABLE sales.customers DROP CONSTRAINT short");
etl(q{CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'we are closed'; END $$;
	CREATE TRIGGER no BEFORE INSERT ON sales.customers FOR EACH ROW EXECUTE FUNCTION no()});
write_file("$in/rule2.csv", $header . "long2,x,\n");
like(scan('a'), qr/file "rule2\.csv": refused: trigger: we are closed/, 'a trigger refuses it');
sql('DROP FUNCTION no CASCADE');

# ----- a move that cannot be, and one that was not made -----

write_file("$in/stuck.csv", $header . "stuck,x,\n");
chmod(0555, "$in/done");
like(scan('a'), qr/file "stuck\.csv" stays where it is/, 'done/ not writable: says so');
is(sql("SELECT count(*) FROM sales.customers WHERE customer_id = 'stuck'"), '1', 'it is loaded');
scan('a');
is(sql("SELECT count(*) FROM fluct.files WHERE file LIKE '%stuck.csv'"), '1', 'and is not loaded or recorded again');
chmod(0755, "$in/done");
like(scan('a'), qr/1 moved only/, 'writable again: moved');
ok(-f "$in/done/stuck.csv", 'to done/');

# a file that was moved by hand, or of which nothing is recorded: as after a
# restore to a moment before its load
sql("DELETE FROM fluct.files WHERE file LIKE '%stuck.csv'; DELETE FROM sales.customers WHERE customer_id = 'stuck'");
like(scan('a'), qr/file "stuck\.csv": 1 row, 1 inserted/, 'in done/, and nothing recorded: loaded again');
like(scan('a'), qr/no new file/, 'once');
rename("$in/done", "$root/done");
symlink("$root/done", "$in/done");
like(scan('a'), qr/"done" is a symbolic link/, 'done/ is a link: refused');
unlink("$in/done");
rename("$root/done", "$in/done");
rename($in, "$in.gone");
like(scan('a'), qr/directory ".*in" cannot be used.*No such file/s, 'the inbox is gone: says so');
rename("$in.gone", $in);

# ----- rights -----

sql("CREATE ROLE clerk LOGIN; CREATE ROLE other LOGIN; SELECT fluct.grant_operator('clerk'); SELECT fluct.grant_operator('other');
	GRANT ALL ON sales.customers, sales.customer_industries, sales.industries TO clerk");
my @clerk = (as => 'clerk');
my @other = (as => 'other');
mkdir("$root/clerk");
fails_like($node, "SELECT fluct.create_inbox('c', 'customers', '/etc')", 
	qr/42501: directory "\/etc" cannot be used\n.*not below fluct\.inbox_root.*HINT:  fluct\.inbox_root is "\Q$root\E". Only roles with/s, 'a folder elsewhere', @clerk);
sql("SELECT fluct.create_inbox('c', 'customers', '$root/clerk', settle => '0')", @clerk);
fails_like($node, "CALL fluct.scan_inbox('c')", qr/42501: must be owner of inbox "c"/, 'another role may not scan it', @other);
fails_like($node, "SELECT fluct.$_", qr/42501: must be owner of inbox "c"/, "nor $_", @other)
  foreach "drop_inbox('c')", "alter_inbox('c', settle => '1 s')", "skip_file('c', 'x')", "reload_file('c', 'x')", "_scan_file('c', '', 'x')", "_end_scan('c', '{}')";
fails_like($node, $_, qr/42501: permission denied/, "not for an operator: $_", @clerk)
  foreach "INSERT INTO fluct.files (kind, file, status, loaded_by) VALUES ('orders', 'x', 'loaded', 'x')", "SELECT fluct._record_load(NULL, '[]')",
  "SELECT fluct._load_inbox_file(NULL, 'x', true)", "SELECT fluct._load('customers', 'x', '{}', true, false, NULL)", "UPDATE fluct.inboxes SET owner = 'postgres'";
write_file("$root/clerk/x.csv", $header . "by clerk,x,\n");
fails_like($node, "CALL fluct.scan_inbox('c')", qr/42501: only a session of role "clerk" can load files of inbox "c".*HINT:  Connect as clerk; SET ROLE is not enough/s, 'nor a superuser');
fails_like($node, "SET ROLE clerk; CALL fluct.scan_inbox('c')", qr/42501: only a session of role "clerk"/, 'nor its session in that role');
sql('GRANT clerk TO other');
fails_like($node, "CALL fluct.scan_inbox('c')", qr/42501: only a session of role "clerk"/, 'nor a member', @other);
sql('REVOKE clerk FROM other');
like(scan('c', @clerk), qr/1 loaded/, 'its owner does');
is(last_file() . sql(' SELECT loaded_by FROM fluct.files ORDER BY id DESC LIMIT 1'), 'loaded|done/x.csvclerk', 'as it is recorded');
sql('REVOKE INSERT ON sales.customers FROM clerk');
write_file("$root/clerk/y.csv", $header . "by clerk too,x,\n");
like(scan('c', @clerk), qr/left for the next scan: permission denied for table customers/, 'whose rights count');
sql('GRANT INSERT ON sales.customers TO clerk');
$node->append_conf('postgresql.conf', "fluct.inbox_root = '$root/other'");
$node->reload;
ok(poll($node, 'SHOW fluct.inbox_root', "$root/other"), 'the root is elsewhere now');
like(scan('c', @clerk), qr/not below fluct\.inbox_root/, 'checked at each scan');
symlink($root, "$root/rootlink");
$node->append_conf('postgresql.conf', "fluct.inbox_root = '$root/rootlink'");
$node->reload;
ok(poll($node, 'SHOW fluct.inbox_root', "$root/rootlink"), 'the root by another name');
like(scan('a'), qr/inbox "a": no new file/, 'is the same root');
foreach ([ '', qr/HINT:  fluct\.inbox_root is empty. Put a line such as fluct\.inbox_root = '\/srv\/fluct' in postgresql\.conf/ ], [ '/nowhere', qr/"\/nowhere": No such file or directory/ ])
{
	my ($elsewhere, $like) = @$_;
	$node->append_conf('postgresql.conf', "fluct.inbox_root = '$elsewhere'");
	$node->reload;
	ok(poll($node, 'SHOW fluct.inbox_root', $elsewhere), "the root is '$elsewhere'");
	fails_like($node, "SELECT fluct.create_inbox('d', 'customers', '$_')", $like, "what is missing for a folder $_", @clerk) foreach 'clerk', "$elsewhere/clerk";
}
$node->append_conf('postgresql.conf', "fluct.inbox_root = '$root'");
$node->reload;
ok(poll($node, 'SHOW fluct.inbox_root', $root), 'and back');

# ----- schedule -----

SKIP:
{
	skip('pg_cron is not installed', 7) unless sql("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'");
	fails_like($node, "SELECT fluct.schedule_inbox('c', '* * * * *')", qr/pg_cron is not created.*CREATE EXTENSION pg_cron/s, 'without pg_cron: says so', @clerk);
	sql('CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO clerk');
	my ($major, $minor) = split(/\./, sql("SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'"));
	if ($major == 1 && $minor < 5)
	{
		fails_like($node, "SELECT fluct.schedule_inbox('c', '30 seconds')",
			qr/22023: unknown schedule "30 seconds".*Seconds need pg_cron 1\.5 or later.*Five fields: minute/s, 'seconds: says what a schedule is', @clerk);
	}
	else { like(sql("SELECT fluct.schedule_inbox('c', '30 seconds')", @clerk), qr/is scanned at "30 seconds"/, 'seconds') }
	is(sql("SELECT fluct.schedule_inbox('c', '* * * * *')", @clerk), 'inbox "c" is scanned at "* * * * *" (GMT)', 'scheduled');
	ok(poll($node, "SELECT count(*) FROM sales.customers WHERE customer_id = 'by clerk too'", '1'), 'a job loads what lies there');
	fails_like($node, "SELECT fluct.drop_inbox('c')", qr/55006: inbox "c" is scheduled/, 'drop_inbox: ends the schedule first', @clerk);
	is(sql("SELECT fluct.unschedule_inbox('c'), fluct.unschedule_inbox('c')", @clerk), 't|f', 'unscheduled');
	is(sql('SELECT count(*) FROM cron.job'), '0', 'no job is left');
}
sql("SELECT fluct.drop_inbox('c')");
is(sql('SELECT string_agg(name, $$ $$) FROM fluct.inboxes'), 'a', 'dropped');

$node->stop;
done_testing();
