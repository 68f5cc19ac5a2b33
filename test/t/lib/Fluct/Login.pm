# Fluct::Login - a broker that asks for a login over TLS, and the secrets in files
package Fluct::Login;

use strict;
use warnings;
use Exporter 'import';
use File::Path qw(make_path);
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(login_node make_safe_server put_secret);

my ($secrets, $address);

# Such a broker, or the test file is skipped, and a node with the given
# settings; also the folder of the secrets, the password and the address.
sub login_node
{
	my (%settings) = @_;
	my $kafka = fluct_broker('main', '--sasl-ssl');

	plan(skip_all => 'FLUCT_KAFKA has no listener with a login')
	  if $kafka->is_external;
	$secrets = PostgreSQL::Test::Utils::tempdir();
	$address = slurp_file($kafka->dir . '/bootstrap.sasl');
	my $password = slurp_file($kafka->dir . '/password');
	chomp($address, $password);
	my $node = fluct_node('main', kafka => $kafka, %settings,
		'fluct.secrets_dir' => $secrets);
	return ($kafka, $node, $secrets, $password, $address);
}

# The server "safe" of the role etl, with its login, whose secrets are the files
# ca.pem and kafka.pw.
sub make_safe_server
{
	return etl("CREATE SERVER safe FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '$address',
			security_protocol 'sasl_ssl', sasl_mechanism 'PLAIN', ssl_ca_pem 'file:ca.pem');
		CREATE USER MAPPING FOR etl SERVER safe OPTIONS (sasl_username 'etl', sasl_password 'file:kafka.pw')");
}

# A file of a role's secrets, in place of the one that is there, as a tool
# that rotates secrets does it.
sub put_secret
{
	my ($role, $name, $content) = @_;
	my $folder = "$secrets/$role";

	make_path($folder);
	rename(write_file("$folder/new", $content), "$folder/$name") or die $!;
	return;
}

1;
