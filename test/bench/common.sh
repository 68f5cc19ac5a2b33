# common.sh - what the benchmarks share
#
# To be sourced, with $me, the name of the script, set.  Each part compares two
# sides, A and B: measure() runs one of them once, compare() prints the row of
# the table.  What a row says, and how each figure is taken: README.md.  Where
# it all lives and what can be chosen: test/lib/throwaway.sh.

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/test/lib/throwaway.sh"

rounds=5
quick=

### Options

# read_options "NAME..." "$@": --NAME VALUE sets the variable of that name, --rounds N is always
# known, and --quick is one round with a tenth of whatever is a number.
read_options()
{
	local name known=" rounds $1 " given=" "

	shift
	while [ $# -gt 0 ]; do
		name=${1#--}
		if [ "$1" = --quick ]; then
			quick=yes
			shift
		elif [[ $1 == --* && $known == *" $name "* && $# -ge 2 ]]; then
			printf -v "$name" %s "$2"
			given+="$name "
			shift 2
		else
			fail "unknown option $1"
		fi
	done
	[ -z "$quick" ] || make_quick "$known" "$given"
}

make_quick()
{
	local name

	for name in $1; do
		if [[ $2 != *" $name "* && ${!name} =~ ^[0-9]+$ ]]; then
			printf -v "$name" %s "$((${!name} < 10 ? 1 : ${!name} / 10))"
		fi
	done
}

### A server and a broker

# A server with the tables, of the operator etl, with a plain reader, and with a broker and the
# server kafka when there are $1 partitions (0: none).  $2: further lines of postgresql.conf.
set_up()
{
	# all parts of one run go by the load at its start: later it is their own
	load=${FLUCT_BENCH_LOAD:-$(cut -d ' ' -f 1 /proc/loadavg)}
	begin
	rows=${FLUCT_BENCH_ROWS:-$dir/rows}
	touch "$rows"
	first_row=$(($(wc -l <"$rows") + 1))
	build
	start_server "shared_buffers = 1GB
max_wal_size = 8GB
${2:-}"
	step_sql postgres -c 'CREATE ROLE etl LOGIN' -c 'CREATE ROLE reader LOGIN' \
		-c "SELECT fluct.grant_operator('etl')" \
		-c 'CREATE SCHEMA sales AUTHORIZATION etl' \
		-c 'CREATE SCHEMA own AUTHORIZATION etl'
	step_sql etl -c 'SELECT fluct.create_tables()'
	step_sql postgres -c "SELECT fluct.grant_reader('reader')"
	[ "$1" != 0 ] || return 0
	start_broker "$1"
	step_sql etl -c "CREATE SERVER kafka FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '$bootstrap')"
}

# Prints this part's rows, unless a whole run does that, and takes all down.
finish()
{
	[ -n "${FLUCT_BENCH_ROWS:-}" ] || print_rows < <(tail -n "+$first_row" "$rows")
	running=
	remove_all
}

# Python with the clients that others would write with.
peer()
{
	"$cache/peers/bin/python" "$root/test/bench/client.py" "$@"
}

dsn()
{
	echo "host=$dir port=$port dbname=shop user=$1"
}

# Sends standard input to topic $1, which is made with $2 partitions, and has $3 messages then.
fill_topic()
{
	local count

	as_user "$kafka" create-topic "$bootstrap" "$1" "$2" >>"$log" 2>&1 || fail "no topic $1" "$log"
	kcat -P -b "$bootstrap" -t "$1" -z lz4 2>>"$log" || fail "the messages could not be sent" "$log"
	count=$(topic_count "$1")
	[ "$count" = "$3" ] || fail "$3 messages were sent to $1, and Kafka has $count"
}

topic_count()
{
	"$root/test/kafka/kafka" describe "$bootstrap" "$1" | awk '{ n += $3 - $2 } END { print n }'
}

### Streams

# Reads a topic as it was filled: stream $1 is there and not running; more arguments are psql's.
arrive()
{
	local stream=$1 arrived

	shift
	arrived=$(sql etl "$@" -At -c "SELECT FROM fluct.start_stream('$stream')" \
		-c "SELECT fluct.wait_for_stream('$stream', '30 minutes')" 2>>"$log" | tail -n 1)
	[ "$arrived" = t ] || fail "stream $stream did not arrive" "$log" "$dir/server.log"
}

# Drops stream $1, and waits until its workers are gone.
drop_stream()
{
	step_sql etl -c "SELECT fluct.drop_stream('$1')"
	await_no_workers
}

await_no_workers()
{
	until [ "$(sql postgres -At -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'fluct stream%'")" = 0 ]; do
		sleep 0.05
	done
}

### Measuring

# Seconds of CPU: of the server with all its processes, those that ended included, and of what
# this script has started and waited for.
cpu_used()
{
	local hz postmaster

	hz=$(getconf CLK_TCK)
	postmaster=$(server_pid)
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v hz="$hz" -v server="$postmaster" -v me=$$ '
		$1 == server { n += $14 + $15 + $16 + $17 }
		$4 == server { n += $14 + $15 }
		$1 == me { n += $16 + $17 }
		END { print n / hz }'
}

wal_written()
{
	sql postgres -At -c "SELECT pg_current_wal_insert_lsn() - '0/0'"
}

# Until file $1 is gone: the most private memory, in MB, that one process of the server had,
# looked at ten times a second, into file $2.
watch_memory()
{
	local peak=0 size resident shared child children page nothing postmaster

	page=$(getconf PAGESIZE)
	postmaster=$(server_pid)
	exec {nothing}<> <(:)
	# a failure leaves the file, but ends the script
	while [ -e "$1" ] && [ -e "/proc/$$" ]; do
		children=$(<"/proc/$postmaster/task/$postmaster/children")
		for child in $children; do
			read -r size resident shared _ <"/proc/$child/statm" || continue
			((resident - shared <= peak)) || peak=$((resident - shared))
		done 2>/dev/null
		read -r -t 0.1 -u "$nothing" _
	done
	echo $((peak * page / 1048576)) >"$2"
}

# measure SIDE COMMAND...: runs it, which must not be in a subshell's pipe, and adds what it took
# to the figures of SIDE: seconds, seconds of CPU, bytes of WAL, MB of private memory.
measure()
{
	local side=$1 cpu wal began wall watcher memory

	shift
	touch "$dir/watch"
	watch_memory "$dir/watch" "$dir/memory" &
	watcher=$!
	cpu=$(cpu_used) wal=$(wal_written)
	began=$EPOCHREALTIME
	"$@"
	wall=$(awk "BEGIN { print $EPOCHREALTIME - $began }")
	cpu=$(awk "BEGIN { print $(cpu_used) - $cpu }") wal=$(($(wal_written) - wal))
	rm "$dir/watch"
	wait "$watcher"
	memory=$(<"$dir/memory")
	echo "$wall $cpu $wal $memory" >>"$dir/figures.$side"
	printf '  %-22s %9.3f s %9.2f s of CPU %8.1f MB of WAL %6d MB\n' "$side" "$wall" "$cpu" \
		"$(awk "BEGIN { print $wal / 1e6 }")" "$memory"
}

# Server-side statements of the role $1, measured as the side $2.
measure_sql()
{
	local role=$1 side=$2

	shift 2
	measure "$side" step_sql "$role" "$@"
}

# Seconds of CPU that process $1 has used.
cpu()
{
	awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$1/stat"
}

# The middle one of the lines of standard input.
median()
{
	sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# The median of column $2 of the figures of side $1.
figure()
{
	awk -v column="$2" '{ print $column }' "$dir/figures.$1" | median
}

### The table

# compare LINE BAR A B: a row, whose figure is the ratio of the medians of A's and B's seconds.
# BAR is such as "<= 0.5", or - for none.
compare()
{
	local a b column values=()

	for column in 1 2 3 4; do
		a=$(figure "$3" $column) b=$(figure "$4" $column)
		values+=("$a" "$b")
	done
	add_row "$1" "$2" "$(awk "BEGIN { print ${values[0]} / ${values[1]} }")" "" "${values[@]}"
}

# state LINE BAR VALUE UNIT: a row for a figure that is none of two sides.
state()
{
	[ -n "$3" ] || exit 1
	add_row "$1" "$2" "$3" "$4" - - - - - - - -
}

add_row()
{
	local IFS=$'\t'

	echo "$*	$load	${quick:-no}" >>"$rows"
}

# The rows of standard input as a table.  Seconds and CPU: A / B, then the ratio of the CPU.
print_rows()
{
	awk -F '\t' -v cores="$(nproc)" '
	function pair(a, b, by, format)
	{
		return a == "-" ? "" : sprintf(format, a / by) " / " sprintf(format, b / by)
	}
	function verdict(bar, value, load, quick,    words)
	{
		if (quick == "yes")
			return "quick"
		if (load / cores > 0.2)
			return "busy"
		if (split(bar, words, " ") < 2)
			return ""
		return (words[1] == "<=" ? value <= words[2] : value >= words[2]) ? "met" : "MISSED"
	}
	BEGIN {
		format = "%-50s %8s %10s %-7s %17s %17s %6s %15s %11s %5s\n"
		printf format, "line", "bar", "measured", "", "seconds", "CPU seconds", "of CPU", "MB of WAL", "MB memory", "load"
	}
	{
		printf format, $1, $2, sprintf("%.3g", $3) ($4 == "" ? "" : " " $4), verdict($2, $3, $13, $14),
			pair($5, $6, 1, "%.3f"), pair($7, $8, 1, "%.2f"),
			$7 == "-" || $8 == 0 ? "" : sprintf("%.2f", $7 / $8),
			pair($9, $10, 1e6, "%.1f"), pair($11, $12, 1, "%d"), $13
	}'
}

### Orders that nobody sent

# $1 orders straight in the tables, 22.4 a minute (1 M in 31 days), ten industries, 10,000
# customers, the newest at the end of June 2026, with $2 lines each; and the rollup of them.
make_orders()
{
	echo "making $1 orders with $2 lines each ..."
	sql postgres >>"$log" 2>&1 <<SQL || fail "the orders could not be made" "$log"
TRUNCATE sales.orders, sales.order_lines, sales.customer_industries, sales.customers, sales.industries CASCADE;
INSERT INTO sales.industries SELECT * FROM fluct.sample_industries();
CREATE TEMP TABLE feed AS SELECT * FROM fluct.sample_customers(10000);
INSERT INTO sales.customers SELECT customer_id, company_name FROM feed;
INSERT INTO sales.customer_industries
SELECT DISTINCT customer_id, industry FROM feed, string_to_table(specialized_industries, ';') industry WHERE industry <> '';
ALTER TABLE sales.orders DISABLE TRIGGER USER;
INSERT INTO sales.orders (order_id, customer_id, amount, ordered_at)
SELECT 'o' || i, c.ids[1 + i * 48271 % 2147483647 % 10000], i * 16807 % 2147483647 % 100000 / 100.0,
       '2026-07-01 00:00Z'::timestamptz - i * interval '2.6784 seconds'
  FROM generate_series(1, $1::bigint) i, (SELECT array_agg(customer_id) AS ids FROM feed) c;
ALTER TABLE sales.orders ENABLE TRIGGER USER;
SET ROLE etl;
SELECT fluct.ensure_partitions((SELECT min(ordered_at) FROM sales.orders), (SELECT max(ordered_at) FROM sales.orders));
RESET ROLE;
INSERT INTO sales.order_lines (order_id, line_number, product_id, volume, price, ordered_at)
SELECT o.order_id, l, 'p' || (hashtext(o.order_id) % 2000 + l * 7919) % 2000, 1 + l % 5, round(o.amount / $2 / (1 + l % 5), 4), o.ordered_at
  FROM (SELECT * FROM sales.orders ORDER BY ordered_at) o, generate_series(1, $2) l;
SET ROLE etl;
SELECT fluct.rebuild_rollup();
RESET ROLE;
VACUUM ANALYZE sales.orders, sales.order_lines, sales.industry_spend, sales.customer_industries;
CHECKPOINT;
SQL
}
