# Fluct::Broker - a Kafka broker of a test's own, ended with the test
#
#   my $kafka = Fluct::Broker->start('main', 'log.retention.ms=1000');
#   $kafka->create_topic('orders', 4);
#   $kafka->produce('orders', \@lines, partition => 0);
#   is_deeply([$kafka->describe('orders')], [[0, 0, 10], ...]);
#
# A call that fails dies with what the tool said.
package Fluct::Broker;

use strict;
use warnings;
use File::Basename qw(dirname);
use File::Temp;
use IPC::Run ();
use PostgreSQL::Test::Utils ();

my $tool = dirname(__FILE__) . '/../../../kafka/kafka';
my @started;

# Runs the tool; returns what it printed.
sub call
{
	my ($command, @args) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $tool, $command, @args ], '<', \undef, '>', \$out, '2>',
		\$err)
	  or die "kafka $command @args: $err";
	return $out;
}

# Why there can be no broker here, or nothing.
sub missing
{
	eval { call('fetch'); 1 } and return;
	my $reason = (split(/\n/, $@))[-1];
	$reason =~ s/^.*kafka: //;
	return "no broker: $reason";
}

# A new broker, answering; the settings are lines for server.properties, or
# --sasl-ssl.
sub start
{
	my ($class, $name, @settings) = @_;
	my $dir = "${PostgreSQL::Test::Utils::tmp_check}/kafka_$name";
	my $self = bless({ dir => $dir }, $class);

	push(@started, $self);
	call('start', $dir, '--ttl', 3600, map { /^--/ ? $_ : ('--set', $_) } @settings);
	return $self;
}

sub dir { return $_[0]->{dir} }

# host:port
sub bootstrap
{
	my ($self) = @_;
	my $bootstrap = PostgreSQL::Test::Utils::slurp_file("$self->{dir}/bootstrap");

	chomp($bootstrap);
	return $bootstrap;
}

# Whether it is another's (FLUCT_KAFKA), and cannot be killed or frozen.
sub is_external { return -e "$_[0]->{dir}/external" }

sub stop { return call('stop', $_[0]->{dir}) }
sub kill { return call('kill', $_[0]->{dir}) }
sub restart { return call('restart', $_[0]->{dir}) }
sub freeze { return call('freeze', $_[0]->{dir}) }
sub thaw { return call('thaw', $_[0]->{dir}) }

# running, frozen, stopped or external
sub status
{
	my ($self) = @_;
	my $status = `'$tool' status '$self->{dir}'`;

	return (split(' ', $status))[0];
}

sub create_topic
{
	my ($self, $topic, $partitions, @settings) = @_;

	call('create-topic', $self->{dir}, $topic, $partitions // 1, @settings);
	$self->{topics}{$topic} = 1;
	return;
}

sub alter_topic
{
	my ($self, $topic, @settings) = @_;

	call('alter-topic', $self->{dir}, $topic, @settings);
	return;
}

# To a total of so many.
sub add_partitions
{
	my ($self, $topic, $partitions) = @_;

	call('add-partitions', $self->{dir}, $topic, $partitions);
	return;
}

sub delete_topic
{
	my ($self, $topic) = @_;

	call('delete-topic', $self->{dir}, $topic);
	delete $self->{topics}{$topic};
	return;
}

sub delete_records
{
	my ($self, $topic, $partition, $before_offset) = @_;

	call('delete-records', $self->{dir}, $topic, $partition, $before_offset);
	return;
}

# What the user etl may do: topic or group, name, read or describe.
sub allow { my $self = shift; return call('allow', $self->{dir}, @_) }
sub disallow { my $self = shift; return call('disallow', $self->{dir}, @_) }

# A list of [partition, low, high].
sub describe
{
	my ($self, $topic) = @_;

	return map { [ split(/\t/) ] }
	  split(/\n/, call('describe', $self->{dir}, $topic));
}

# Messages as a list of bytes each without a newline, or as a file of lines.
# Options: partition, keyed (KEY, tab, VALUE; without a tab a tombstone),
# whole (the one message may be any bytes), times (all that often), timestamp
# (ms), headers (a hash), transaction (commit, abort or open).
sub produce
{
	my ($self, $topic, $messages, %option) = @_;
	my $file = $messages;
	my $temp;
	my @args;

	if (ref($messages))
	{
		$temp = File::Temp->new(DIR => $self->{dir});
		binmode($temp);
		print $temp join($option{whole} ? '' : "\n", @$messages);
		print $temp "\n" if @$messages && !$option{whole};
		close($temp);
		$file = $temp->filename;
	}
	push(@args, '-p', $option{partition}) if defined($option{partition});
	push(@args, '-k') if $option{keyed};
	push(@args, '-w') if $option{whole};
	push(@args, '-r', $option{times}) if $option{times};
	push(@args, '-t', $option{timestamp}) if $option{timestamp};
	my $headers = $option{headers} // {};
	push(@args, map { ('-h', "$_=$headers->{$_}") } sort keys %$headers);
	if ($option{transaction})
	{
		call('produce-transaction', $self->{dir}, $topic,
			$option{transaction}, @args, $file);
	}
	else
	{
		call('produce', $self->{dir}, $topic, @args, $file);
	}
	return;
}

# What is in the topic, as kcat prints it (default: the values, in each
# partition's order); read_committed.
sub consume
{
	my ($self, $topic, @kcat_options) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[
			'kcat', '-C', '-q', '-e', '-b', $self->bootstrap, '-t', $topic,
			'-X', 'isolation.level=read_committed', @kcat_options
		],
		'<', \undef, '>', \$out, '2>', \$err) or die "kcat: $err";
	return split(/\n/, $out);
}

END
{
	my $exit_code = $?;

	# A broker of ours has no use any more, so no need to be polite; another's
	# is left as it was found.
	foreach my $broker (grep { -e $_->dir } @started)
	{
		if ($broker->is_external)
		{
			eval { $broker->delete_topic($_) }
			  foreach keys %{ $broker->{topics} // {} };
		}
		else
		{
			eval { $broker->kill };
		}
	}
	$? = $exit_code;
}

1;
