# Fluct - what the TAP tests of fluct share
#
#   use Fluct;
#   my $kafka = fluct_broker();                  # skips the test without one
#   my $node = fluct_node('main', kafka => $kafka, 'fluct.max_workers' => 8);
#   $kafka->create_topic('orders', 4);
#   $kafka->produce('orders', [ orders(100, seed => 1) ]);
#   poll($node, 'SELECT count(*) FROM sales.orders', 100);
#   is(sql('SELECT count(*) FROM sales.orders'), 100, 'every order');
#
# Tests observe state and never wait for time: poll() a query, or take
# log_position() before an action and wait_for_log() from there.
package Fluct;

use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use Fluct::Broker;
use POSIX qw(floor strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(fluct_broker fluct_node make_operator sql etl outcome said fails_like poll poll_until
  await_state detail letters caught_up worker_pid worker_pids crash_worker crash_server
  log_position log_lines orders an_order numbers number_stream mapped_stream more_messages generator
  write_lines write_file);

my $settings = dirname(__FILE__) . '/../../lib/server.conf';
my $node_of_sql;			# the latest of fluct_node()
my $broker_of_streams;		# the latest of fluct_broker()

# SIGINT would leave servers and brokers behind.
$SIG{INT} = $SIG{TERM} = sub { exit(130) };

# A running broker, or the whole test file is skipped with the reason.
sub fluct_broker
{
	my ($name, @settings) = @_;
	my $missing = Fluct::Broker::missing();

	plan(skip_all => $missing) if $missing;
	$broker_of_streams = Fluct::Broker->start($name // 'main', @settings);
	return $broker_of_streams;
}

# A running server with the extension, in the database postgres; sql() asks it
# from now on.
#
# Options: operator => 1: also the role etl, with the tables; kafka => a broker:
# the same, and its server shop; extension => 0: nothing but the running
# server; bare => 1: without the settings of test/lib/server.conf; init =>
# [ what the Cluster's init() takes, such as allows_streaming => 1 ];
# install_path => where another PostgreSQL's bin is.  All else is a setting;
# fsync is off unless it is given.
sub fluct_node
{
	my ($name, %option) = @_;
	my $kafka = delete $option{kafka};
	my $operator = delete $option{operator} // defined($kafka);
	my $extension = delete $option{extension} // 1;
	my $common = delete $option{bare} ? '' :
	  slurp_file($settings) =~ s/\@database\@/postgres/gr;
	my $init = delete $option{init} // [];
	my $path = delete $option{install_path};
	my %conf = ('fsync' => 'off', %option);
	my $node = PostgreSQL::Test::Cluster->new($name,
		defined($path) ? (install_path => $path) : ());

	# a new PostgreSQL is there before its pg_cron
	$common =~ s/,pg_cron//
	  unless -e $node->config_data('--pkglibdir') . '/pg_cron.so';
	$node->init(@$init);
	$node->append_conf('postgresql.conf',
		$common . join('', map { "$_ = '$conf{$_}'\n" } sort keys %conf));
	$node->start;
	$node_of_sql = $node;
	return $node unless $extension;

	sql('CREATE EXTENSION fluct');
	make_operator() if $operator;
	etl("CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka
		 OPTIONS (bootstrap_servers '${\ $kafka->bootstrap}')") if $kafka;
	return $node;
}

# Lets the role etl be an operator and make the tables, and tables of its own
# in schema public.  The arguments but for the statements are those of sql().
sub make_operator
{
	my (%option) = @_;

	sql(q{
		DO $$ BEGIN
			IF to_regrole('etl') IS NULL THEN CREATE ROLE etl LOGIN; END IF;
		END $$;
		SELECT fluct.grant_operator('etl');
		CREATE SCHEMA IF NOT EXISTS sales AUTHORIZATION etl;
		GRANT CREATE ON SCHEMA public TO etl}, %option);
	etl('SELECT fluct.create_tables()', %option);
	return;
}


### Statements

# What begins the arguments of the functions below: a node, or else the latest
# of fluct_node(), and the statements.  Options: as => a role, db => a
# database (postgres); all else is psql()'s.
sub arguments
{
	my $node = ref($_[0]) ? shift : $node_of_sql;
	my ($statements, %option) = @_;
	my $role = delete $option{as};
	my $database = delete $option{db} // 'postgres';

	return ($node, $database, $statements, %option,
		defined($role) ? (extra_params => [ '-U', $role ]) : ());
}

# The output of statements, which must not fail.
sub sql
{
	my ($node, @arguments) = arguments(@_);

	return $node->safe_psql(@arguments);
}

# The same as the role etl.
sub etl { return sql(@_, as => 'etl') }

# Whatever comes of statements: psql's exit code, the output, and what is said
# beside it, notices and errors alike.
sub outcome
{
	my ($node, @arguments) = arguments(@_);
	my ($out, $err);
	my $rc = $node->psql(@arguments, stdout => \$out, stderr => \$err);

	return ($rc, $out, $err);
}

# What is said beside the output.
sub said { return (outcome(@_))[2] }

# A test: the statement fails, with errcode, message, detail and hint like
# this.  The options are those of sql().
sub fails_like
{
	my ($node, $statement, $like, $name, %option) = @_;
	my ($rc, $out, $err) =
	  outcome($node, "\\set VERBOSITY verbose\n$statement", %option);

	$err = "no error: $out" if $rc == 0;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return like($err, $like, $name);
}

# Waits until $test, given the query's output, is true; returns the output,
# or undef after the timeout, with a note of what it was last.  A server that
# is not there (it may be recovering) is asked again.
sub poll_until
{
	my ($node, $query, $test, $timeout) = @_;
	my $end = time() + ($timeout // $PostgreSQL::Test::Utils::timeout_default);
	my ($out, $err);

	for (;;)
	{
		# a psql that ends before it has read its input is an exception
		my $rc = eval {
			$node->psql('postgres', $query, stdout => \$out,
				stderr => \$err, timeout => 60);
		};

		return $out if defined($rc) && $rc == 0 && $test->($out);
		last if time() > $end;
		sleep(0.05);
	}
	diag("waited in vain on: $query\nlast: " . ($out // '') . "\n" . ($err // ''));
	return undef;
}

# Waits until the query's output is $expected (default t); true, or false
# after the timeout in seconds.
sub poll
{
	my ($node, $query, $expected, $timeout) = @_;

	$expected //= 't';
	return defined(
		poll_until($node, $query, sub { $_[0] eq $expected }, $timeout));
}

# Waits until the stream is in a state, `state` or `state/reason`.
sub await_state
{
	my ($node, $stream, $state, $timeout) = @_;
	my $column = $state =~ m{/} ? "concat_ws('/', state, reason)" : 'state';

	return poll($node,
		"SELECT $column FROM fluct.stat_streams WHERE stream = '$stream'",
		$state, $timeout);
}

# The dead letters of a stream: offset, reason and path, in the order of the offsets.
sub letters
{
	my ($stream) = @_;

	return sql("SELECT string_agg(concat_ws(' ', \"offset\", reason, path), ', ' ORDER BY \"offset\")
		FROM fluct.dead_letters WHERE stream = '$stream'");
}

# What a stream's state says in more words.
sub detail
{
	my ($stream) = @_;

	return sql(
		"SELECT detail FROM fluct.stat_streams WHERE stream = '$stream'");
}

# Waits until all that Kafka holds now is committed.
sub caught_up
{
	my ($node, $stream, $timeout) = @_;

	return poll($node, "SELECT fluct.wait_for_stream('$stream', '5 s')", 't',
		$timeout);
}

# The pids of the stream workers that are there now.
sub worker_pids
{
	my ($node) = @_;

	return split(/\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity
		 WHERE backend_type = 'fluct stream worker' ORDER BY backend_start"));
}

# Waits for a stream worker other than $not, and returns its pid.
sub worker_pid
{
	my ($node, $not, $timeout) = @_;

	$not //= 0;
	return poll_until($node,
		"SELECT pid FROM pg_stat_activity
		 WHERE backend_type = 'fluct stream worker' AND pid <> $not
		 ORDER BY backend_start DESC LIMIT 1",
		sub { $_[0] ne '' }, $timeout);
}

# kill -9 for a stream worker; the server restarts itself.  Returns the pid.
sub crash_worker
{
	my ($node) = @_;
	my $pid = worker_pid($node);

	kill('KILL', $pid);
	return $pid;
}

# kill -9 for the whole server; starts it again when no process of it is left,
# and what is to happen meanwhile is done.
sub crash_server
{
	my ($node, $meanwhile) = @_;
	my $postmaster = $node->{_pid};
	my @children = grep { $_ } split(/\s+/, slurp_file(
		"/proc/$postmaster/task/$postmaster/children"));

	$node->kill9;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
	foreach my $pid ($postmaster, @children)
	{
		while (kill(0, $pid) && !is_zombie($pid))
		{
			die "process $pid outlives its postmaster" if time() > $end;
			sleep(0.02);
		}
	}

	# Until init has taken note of its death, the postmaster's pid answers,
	# and its lock file counts.
	while (kill(0, $postmaster))
	{
		die "nobody reaps process $postmaster" if time() > $end;
		sleep(0.02);
	}
	$meanwhile->() if $meanwhile;
	$node->start;
	return;
}

sub is_zombie
{
	my ($pid) = @_;

	open(my $status, '<', "/proc/$pid/status") or return 1;
	return scalar(grep { /^State:\s*Z/ } <$status>);
}

# Where the server's log ends now: wait_for_log's second argument.
sub log_position
{
	my ($node) = @_;

	return -s $node->logfile;
}

# The lines of the server's log since then (default: all) that are like this.
sub log_lines
{
	my ($node, $like, $from) = @_;

	return grep { /$like/ } split(/\n/, substr(slurp_file($node->logfile), $from // 0));
}


### Orders

# A generator of its own, so that a seed means the same everywhere.
sub generator
{
	my $state = ($_[0] * 2654435761 + 12345) & 0xffffffff;

	return sub {
		$state = ($state * 1664525 + 1013904223) & 0xffffffff;
		return floor($state / 4294967296 * $_[0]);
	};
}

sub uuid
{
	my ($random) = @_;

	return sprintf('%04x%04x-%04x-4%03x-%04x-%04x%04x%04x',
		map({ $random->(65536) } 1 .. 3), $random->(4096),
		32768 + $random->(16384), map({ $random->(65536) } 1 .. 3));
}

# The shortest text that reads back as the same double: 0.1, and
# 189921.66000000006 where a sum went that way.
sub double_text
{
	my ($value) = @_;

	foreach my $digits (15 .. 17)
	{
		my $text = sprintf("%.${digits}g", $value);

		return $text if $text == $value;
	}
}

# n orders in the real shape, as JSON; the same for the same arguments.
#
# Options: seed (default 1), customers (20), products (50), lines (most of an
# order, 100), since (2026-01-01, in seconds since 1970), interval (seconds
# from one order to the next, 60).
sub orders
{
	my ($n, %option) = @_;
	my $random = generator($option{seed} // 1);
	my $most_lines = $option{lines} // 100;
	my $time = $option{since} // 1767225600;
	my @customers = map { uuid($random) } 1 .. ($option{customers} // 20);
	my @products =
	  map { [ uuid($random), (1 + $random->(99999)) / 100 ] }
	  1 .. ($option{products} // 50);
	my @orders;

	for (1 .. $n)
	{
		my $amount = 0;
		my @lines;

		for (1 .. 1 + $random->($most_lines))
		{
			my ($id, $price) = @{ $products[ $random->(scalar @products) ] };
			my $volume = 1 + $random->(100);

			$amount += $volume * $price;
			push(@lines,
				qq({"product_id": "$id", "volume": $volume, "price": )
				  . double_text($price) . '}');
		}
		push(@orders, sprintf('{"order_id": "%s", "customer_id": "%s", '
			. '"order_lines": [%s], "amount": %s, "timestamp": "%s.%06d%s"}',
			uuid($random), $customers[ $random->(scalar @customers) ],
			join(', ', @lines), double_text($amount),
			strftime('%Y-%m-%dT%H:%M:%S', gmtime($time)),
			$random->(1000000), $random->(2) ? '+00:00' : ''));
		$time += $option{interval} // 60;
	}
	return @orders;
}

# One order; fields to replace or add as JSON, undef to leave out.
sub an_order
{
	my ($id, %field) = @_;
	my %order = (
		order_id => qq("$id"),
		customer_id => '"c1"',
		amount => '10.5',
		timestamp => '"2026-01-01T12:00:00"',
		order_lines => '[{"product_id": "p1", "volume": 2, "price": 5.25}]',
		%field);

	return '{' . join(', ', map { qq("$_": $order{$_}) }
		grep { defined($order{$_}) } sort keys %order) . '}';
}

# Messages for a stream of numbers.
sub numbers { return map { qq({"n": $_}) } @_ }

# Such a stream, into a table of its own without a key, where a message that
# came twice would have two rows.  Options: server (shop), topic (the stream's
# name), start (1), more (further options of create_stream, as SQL).
sub number_stream
{
	my ($name, %option) = @_;
	my $server = $option{server} // 'shop';
	my $topic = $option{topic} // $name;
	my $start = $option{start} // 1 ? 'true' : 'false';
	my $more = $option{more} // '';

	etl("CREATE TABLE $name (n int)");
	return etl(qq(SELECT fluct.create_stream('$name', '$server', '$topic',
		'$name', '{"columns": {"n": "\$.n"}}', keep_raw => false,
		start => $start $more)));
}

# The first may be a hash of what the broker's produce() takes besides.
sub produce_messages
{
	my ($topic, @messages) = @_;
	my %option = ref($messages[0]) eq 'HASH' ? %{ shift(@messages) } : ();

	$broker_of_streams->produce($topic, \@messages, %option) if @messages;
	return;
}

# A test: messages for a topic, until the stream of its name has them.
sub more_messages
{
	my ($name, @messages) = @_;

	produce_messages($name, @messages);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(caught_up($node_of_sql, $name), "$name: all went through");
}

# A test: a topic with these messages, and a stream of that name into the table
# of that name, which $tables makes, until all went through.  $options: further
# ones of create_stream, as SQL.
sub mapped_stream
{
	my ($name, $tables, $mapping, $options, @messages) = @_;

	$broker_of_streams->create_topic($name);
	produce_messages($name, @messages);
	etl("SET client_min_messages = warning; $tables;
		SELECT fluct.create_stream('$name', 'shop', '$name', target => '$name', start => true $options,
			mapping => \$m\$$mapping\$m\$)");
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return more_messages($name);
}


### Files

# Writes bytes to a file; returns its name.
sub write_file
{
	my ($file, @content) = @_;

	open(my $out, '>:raw', $file) or die "$file: $!";
	print $out @content;
	close($out) or die "$file: $!";
	return $file;
}

# The same with lines.
sub write_lines
{
	my ($file, @lines) = @_;

	return write_file($file, map { "$_\n" } @lines);
}

1;
