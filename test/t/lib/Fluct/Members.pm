# Fluct::Members - several servers with partitions of one topic, and what is
# counted over all of them
package Fluct::Members;

use strict;
use warnings;
use Exporter 'import';
use Fluct;
use PostgreSQL::Test::Cluster;

our @EXPORT = qw(meet total);

# Lets the first node ask the others: a server of the superuser's for each,
# with mappings for the role etl and for all.  The tests' servers ask for no password.
sub meet
{
	my ($node, %others) = @_;

	sql($node, 'CREATE EXTENSION IF NOT EXISTS postgres_fdw');
	foreach my $name (sort keys %others)
	{
		my ($host, $port) = ($others{$name}->host, $others{$name}->port);

		sql($node, "
			CREATE SERVER at_$name FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
			CREATE USER MAPPING FOR etl SERVER at_$name OPTIONS (user 'etl', password_required 'false');
			CREATE USER MAPPING FOR PUBLIC SERVER at_$name OPTIONS (user 'etl', password_required 'false');
			SELECT fluct.add_member('$name', 'at_$name')");
	}
	return;
}

# The sum of what a query gives at each node.
sub total
{
	my ($query, @nodes) = @_;
	my $sum = 0;

	$sum += sql($_, $query) foreach @nodes;
	return $sum;
}

1;
