# common.sh - what the benchmarks share
#
# To be sourced, with $me, the name of the script, set.  Where it all lives and
# what can be chosen: test/lib/throwaway.sh.

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/test/lib/throwaway.sh"

# A server with the tables, of the operator etl, and with a broker and the server kafka when there
# are $1 partitions (0: none).  $2: further lines of postgresql.conf.
set_up()
{
	begin
	build
	start_server "shared_buffers = 1GB
max_wal_size = 8GB
${2:-}"
	step_sql postgres -c 'CREATE ROLE etl LOGIN' \
		-c "SELECT fluct.grant_operator('etl')" \
		-c 'CREATE SCHEMA sales AUTHORIZATION etl'
	step_sql etl -c 'SELECT fluct.create_tables()'
	[ "$1" != 0 ] || return 0
	start_broker "$1"
	step_sql etl -c "CREATE SERVER kafka FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '$bootstrap')"
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
