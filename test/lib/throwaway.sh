# throwaway.sh - a throw-away server and broker, for the demo and the benchmark
#
# To be sourced, with $me, the name of the script, and $root, the checkout, set.
# All lives in one directory, $dir: $me below FLUCT_CACHE, which for root is
# /var/cache/fluct.  What runs is known by the pids recorded there, and by
# nothing else.  PostgreSQL refuses to be root, so root's server and broker run
# as the user postgres.  PG_CONFIG chooses the PostgreSQL, FLUCT_KAFKA =
# host:port a broker that is already there.

export LC_ALL=C.UTF-8 LANG=C.UTF-8
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGOPTIONS PGSERVICE PGTZ

if [ -n "${FLUCT_CACHE:-}" ]; then
	cache=$FLUCT_CACHE
elif [ "$(id -u)" = 0 ]; then
	cache=/var/cache/fluct
else
	cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/fluct
fi
dir=$cache/$me
log=$dir/log
running=			# set while a failure should take all down again

### Failing, and ending

# $1 says what went wrong; further arguments are files whose end says why.
fail()
{
	local file

	echo "$me: $1" >&2
	shift
	for file; do
		if [ -s "$file" ]; then
			echo "$me: the end of $file:" >&2
			tail -n 15 "$file" | cut -c 1-200 | sed 's/^/  | /' >&2
		fi
	done
	exit 1
}

# The server's pid while it lives; a reused pid has another directory.
server_pid()
{
	local pid

	pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null) || return 1
	[ "/proc/$pid/cwd" -ef "$dir/data" ] && echo "$pid"
}

end_server()
{
	local pid end=$((SECONDS + 30))

	pid=$(server_pid) || return 0
	kill -INT "$pid"
	while [ -e "/proc/$pid" ]; do
		[ $SECONDS -lt $end ] || fail "server $pid does not end" "$dir/server.log"
		sleep 0.05
	done
}

end_broker()
{
	local broker=$dir/broker

	[ -e "$broker/bootstrap" ] || return 0
	if [ -e "$broker/external" ]; then
		"$root/test/kafka/kafka" delete-topic "$broker" "$(cat "$dir/topic")" \
			>/dev/null 2>&1
	else
		"$root/test/kafka/kafka" stop "$broker" || exit 1
	fi
}

end_all()
{
	end_server
	end_broker
}

remove_all()
{
	[ -d "$dir" ] || return 0
	[ -e "$dir/this-is-fluct" ] ||
		fail "$dir was not made by $me; remove it, or set FLUCT_CACHE"
	end_all
	rm -rf "$dir"
}

# What broke off leaves its logs, and nothing running.
break_off()
{
	local code=$?

	[ -n "$running" ] || exit "$code"
	running=
	end_all
	exit "$code"
}

### Helpers

# Runs a command as the user who may run PostgreSQL.
as_user()
{
	if [ "$(id -u)" = 0 ]; then
		(cd "$dir" && exec runuser -u postgres -- "$@" 9>&-)
	else
		(cd "$dir" && exec "$@" 9>&-)
	fi
}

# psql as the role $1.
sql()
{
	local role=$1

	shift
	"$bindir/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U "$role" \
		-d shop "$@"
}

# The same for a step: what it says goes to the log, and it must not fail.
step_sql()
{
	sql "$@" >>"$log" 2>&1 || fail "this failed: ${*: -1}" "$log" "$dir/server.log"
}

now_ms()
{
	echo $((${EPOCHREALTIME/[^0-9]/} / 1000))
}

version()
{
	sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$root/fluct.control"
}

### Starting

# Sets up, ends what an earlier run left, and makes the directory.
begin()
{
	"$root/test/setup" || exit 1
	(umask 022; mkdir -p "$cache") && exec 9>"$cache/$me.lock" || exit 1
	flock -n 9 || fail "another $me is at work"
	remove_all
	trap break_off EXIT
	trap 'exit 130' INT TERM
	running=yes
	prepare_directory
}

build()
{
	pg_config=${PG_CONFIG:-pg_config}
	command -v "$pg_config" >/dev/null || fail "no $pg_config here"
	bindir=$("$pg_config" --bindir)
	pkglibdir=$("$pg_config" --pkglibdir)
	[ -w "$pkglibdir" ] ||
		fail "cannot install into $pkglibdir: be root, or give PG_CONFIG of a PostgreSQL of your own"
	make -s -C "$root" PG_CONFIG="$pg_config" all test/build/kafkactl \
		>"$log" 2>&1 || fail "the build failed" "$log"
	make -s -C "$root" PG_CONFIG="$pg_config" install >"$log" 2>&1 ||
		fail "the installation failed" "$log"
}

prepare_directory()
{
	[ ${#dir} -lt 80 ] || fail "$dir is too long for a socket's path; set FLUCT_CACHE"
	(umask 022; mkdir -p "$dir"/{inbox,tree/test/build}) || exit 1
	touch "$dir/this-is-fluct"
	if [ "$(id -u)" = 0 ]; then
		id postgres >/dev/null 2>&1 || fail "there is no user postgres"
		chown -R postgres: "$dir"
	fi
	chmod 700 "$dir"
	as_user test -w "$dir" ||
		fail "the user postgres cannot get to $dir; set FLUCT_CACHE to a place where it can"
}

# A free loopback port, below the range that outgoing connections use.
free_port()
{
	perl -MIO::Socket::INET -e '
		my $socket;
		$socket = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1",
			LocalPort => 20000 + int(rand(12000))) until $socket;
		print $socket->sockport, "\n"'
}

# $1: further lines of postgresql.conf.  The database is there before the
# libraries look for it.
start_server()
{
	port=$(free_port)
	password=$(head -c 12 /dev/urandom | base64 | tr '+/' 'xy')
	as_user "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 \
		--locale=C --no-sync --no-instructions >"$log" 2>&1 ||
		fail "initdb failed" "$log"
	echo 'CREATE DATABASE shop' |
		as_user "$bindir/postgres" --single -D "$dir/data" -F postgres \
			>>"$log" 2>&1 || fail "no database could be made" "$log"
	sed 's/@database@/shop/' "$root/test/lib/server.conf" - \
		>>"$dir/data/postgresql.conf" <<CONF

fluct.inbox_root = '$dir/inbox'
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
$1
CONF
	# only root and the server's user get to the socket
	cat >"$dir/data/pg_hba.conf" <<'CONF'
local all all                trust
host  all all 127.0.0.1/32   scram-sha-256
CONF
	as_user "$bindir/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w start \
		>>"$log" 2>&1 || fail "the server does not start" "$log" "$dir/server.log"
	step_sql postgres -c 'CREATE EXTENSION pg_cron' -c 'CREATE EXTENSION fluct'
}

# $1: partitions of the topic.
start_broker()
{
	cp -a "$root/Makefile" "$dir/tree/"
	cp -a "$root/test/kafka" "$dir/tree/test/"
	cp -a "$root/test/build/kafkactl" "$dir/tree/test/build/"
	kafka=$dir/tree/test/kafka/kafka
	topic=orders
	[ -z "${FLUCT_KAFKA:-}" ] || topic=fluct-$me-$$
	echo "$topic" >"$dir/topic"
	"$root/test/kafka/kafka" fetch || exit 1
	bootstrap=$(FLUCT_CACHE=$cache HOME=$dir as_user "$kafka" start \
		"$dir/broker" --ttl 0 2>>"$log") ||
		fail "the broker does not start" "$log" "$dir/broker/log"
	as_user "$kafka" create-topic "$bootstrap" "$topic" "$1" \
		>>"$log" 2>&1 || fail "no topic could be made" "$log"
}

### Orders

# sample_orders() with the arguments $2, asked by the role $1: one a line.
sample_orders()
{
	sql "$1" -At -v FETCH_COUNT=1000 -c "SELECT fluct.sample_orders($2)" \
		2>>"$log"
}

# Sends the lines of standard input to the topic.
send_orders()
{
	kcat -P -b "$bootstrap" -t "$topic" -z lz4 2>>"$log" ||
		fail "the orders could not be sent" "$log" "$dir/server.log"
}
