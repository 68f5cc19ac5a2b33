# fluct: PostgreSQL extension. `make help` lists what one can ask for.
EXTENSION = fluct
MODULE_big = fluct

# One a line, sorted; `make lint` compares the list with the files.
OBJS = \
	src/base/refusal.o \
	src/base/text.o \
	src/bookkeeping/dead_letters.o \
	src/bookkeeping/offsets.o \
	src/bookkeeping/owner.o \
	src/bookkeeping/servers.o \
	src/bookkeeping/skipped.o \
	src/bookkeeping/states.o \
	src/bookkeeping/streams.o \
	src/bookkeeping/topics.o \
	src/csv/bytes.o \
	src/csv/csv.o \
	src/csv/header.o \
	src/csv/refusal.o \
	src/csv/tail.o \
	src/csv/utf16.o \
	src/fluct.o \
	src/inquiry/answer.o \
	src/inquiry/check.o \
	src/inquiry/preview.o \
	src/inquiry/reconcile.o \
	src/inquiry/run.o \
	src/inquiry/sample.o \
	src/inquiry/seek.o \
	src/inquiry/session.o \
	src/inquiry/topic.o \
	src/inquiry/worker.o \
	src/json/binary.o \
	src/json/json.o \
	src/json/keyset.o \
	src/json/lexer.o \
	src/json/number.o \
	src/json/path.o \
	src/json/place.o \
	src/json/scan.o \
	src/json/string.o \
	src/json/timestamp.o \
	src/kafka/brokers.o \
	src/kafka/changes.o \
	src/kafka/connection.o \
	src/kafka/consumer.o \
	src/kafka/message.o \
	src/kafka/metadata.o \
	src/kafka/options.o \
	src/kafka/refill.o \
	src/kafka/resolver.o \
	src/kafka/retention.o \
	src/kafka/secret.o \
	src/kafka/trouble.o \
	src/kafka/watermarks.o \
	src/load/csv_rows.o \
	src/load/customer_feed.o \
	src/load/file.o \
	src/load/filename.o \
	src/load/inbox.o \
	src/load/jsonl.o \
	src/load/lines.o \
	src/load/move.o \
	src/load/progress.o \
	src/load/reader.o \
	src/load/table.o \
	src/mapping/body.o \
	src/mapping/bytes.o \
	src/mapping/column.o \
	src/mapping/decode.o \
	src/mapping/delete.o \
	src/mapping/document.o \
	src/mapping/elements.o \
	src/mapping/encode.o \
	src/mapping/envelope.o \
	src/mapping/field.o \
	src/mapping/findings.o \
	src/mapping/format.o \
	src/mapping/framing.o \
	src/mapping/kafka.o \
	src/mapping/mapping.o \
	src/mapping/place.o \
	src/mapping/relations.o \
	src/mapping/source.o \
	src/mapping/target.o \
	src/mapping/update.o \
	src/mapping/where.o \
	src/mapping/words.o \
	src/members/answer.o \
	src/members/ask.o \
	src/members/login.o \
	src/pg/argument.o \
	src/pg/attempt.o \
	src/pg/caller.o \
	src/pg/guc.o \
	src/pg/lock.o \
	src/pg/model.o \
	src/pg/pins.o \
	src/pg/printable.o \
	src/pg/procedure.o \
	src/pg/query.o \
	src/pg/relation.o \
	src/pg/rights.o \
	src/pg/routed.o \
	src/pg/sqlstate.o \
	src/pg/warning.o \
	src/process/announce.o \
	src/process/batches.o \
	src/process/databases.o \
	src/process/events.o \
	src/process/launcher.o \
	src/process/maintenance.o \
	src/process/shmem.o \
	src/process/status.o \
	src/process/vitals.o \
	src/process/worker.o \
	src/ranking/fluctuation.o \
	src/ranking/near_names.o \
	src/replay/reprocess.o \
	src/replay/retry.o \
	src/rollup/buckets.o \
	src/rollup/delta.o \
	src/rollup/fill.o \
	src/rollup/links.o \
	src/rollup/pending.o \
	src/rollup/replica.o \
	src/rollup/spend.o \
	src/rollup/statement.o \
	src/rollup/tables.o \
	src/rollup/triggers.o \
	src/rollup/unseen.o \
	src/sink/arrays.o \
	src/sink/blame.o \
	src/sink/copy.o \
	src/sink/datum.o \
	src/sink/delete.o \
	src/sink/diagnosis.o \
	src/sink/direct.o \
	src/sink/flush.o \
	src/sink/halving.o \
	src/sink/insert.o \
	src/sink/leaf.o \
	src/sink/plain.o \
	src/sink/raw.o \
	src/sink/samekey.o \
	src/sink/sink.o \
	src/sink/stored.o \
	src/sink/unchanged.o \
	src/sink/watch.o \
	src/sink/write.o \
	src/stream/backoff.o \
	src/stream/batch.o \
	src/stream/durable.o \
	src/stream/foreground.o \
	src/stream/lag.o \
	src/stream/position.o \
	src/stream/retention.o \
	src/stream/stall.o \
	src/stream/state.o \
	src/stream/stream.o \
	src/stream/watch.o

# The build may happen outside the tree: make -f DIR/Makefile VPATH=DIR
here := $(if $(VPATH),$(VPATH),$(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST)))))
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(here)/fluct.control)

# One file a subject; the order is that of the install script.
SQL_PARTS = $(addprefix $(here)/sql/, \
	tables/model.sql \
	tables/kafka.sql \
	tables/streams.sql \
	tables/files.sql \
	tables/inboxes.sql \
	tables/reports.sql \
	tables/health.sql \
	tables/members.sql \
	locks.sql \
	text.sql \
	model/definition.sql \
	model/superuser.sql \
	model/relations.sql \
	model/create.sql \
	model/lines.sql \
	model/partitions.sql \
	kafka/connection.sql \
	rollup/rollup.sql \
	mapping/mapping.sql \
	stream/owner.sql \
	stream/topics.sql \
	stream/preload.sql \
	stream/streams.sql \
	stream/alter.sql \
	stream/declare.sql \
	stream/positions.sql \
	stream/dead_letters.sql \
	stream/run.sql \
	stream/wait.sql \
	stream/views.sql \
	inquiry/check.sql \
	mapping/shapes.sql \
	mapping/suggest.sql \
	mapping/drift.sql \
	schedule.sql \
	members/members.sql \
	members/adding.sql \
	members/checking.sql \
	members/hand_over.sql \
	members/views.sql \
	members/orders.sql \
	ranking/complete.sql \
	ranking/windows.sql \
	ranking/ranking.sql \
	ranking/fluctuation.sql \
	ranking/explain.sql \
	ranking/views.sql \
	ranking/drivers.sql \
	ranking/pictures.sql \
	ranking/page.sql \
	ranking/reports.sql \
	load/options.sql \
	load/files.sql \
	load/customers.sql \
	load/loaders.sql \
	load/tables.sql \
	load/feed.sql \
	load/inboxes.sql \
	load/scans.sql \
	health/streams.sql \
	health/schedules.sql \
	health/server.sql \
	health/health.sql \
	help.sql \
	retention.sql \
	samples.sql \
	privileges.sql)

# What was released stays as it was: install scripts, and the update scripts
# between releases.  An update from the last release is sql/update.sql, and then
# everything that it can replace, as it is today.
RELEASED := $(wildcard $(here)/sql/released/*.sql)
LAST := $(filter-out $(EXTVERSION),$(shell printf '%s\n' $(notdir $(RELEASED)) | \
	sed -n 's/^$(EXTENSION)--\([0-9.]*\)\.sql$$/\1/p' | sort -V | tail -n 1))
DATA = $(RELEASED)
DATA_built = $(filter-out $(notdir $(RELEASED)), $(EXTENSION)--$(EXTVERSION).sql \
	$(if $(LAST),$(EXTENSION)--$(LAST)--$(EXTVERSION).sql))
EXTRA_CLEAN = $(EXTENSION)--*.sql $(EXTENSION)-*.zip compile_commands.json test/build

# `make installcheck`, against a running server (test/README.md has the settings
# that it needs).  Where the drivers look for what differs from 15 to 16; in a
# folder that has it all, and nothing else, they agree.  Both use one database,
# that of fluct.database; a launcher that is connected to it would keep the
# first from dropping it.
CHECK_DIR = test/build/check
CHECK_OPTS = --inputdir=$(CHECK_DIR) --outputdir=$(CHECK_DIR)
REGRESS = $(sort $(basename $(notdir $(wildcard $(here)/test/sql/*.sql))))
REGRESS_OPTS = $(CHECK_OPTS)
ISOLATION = $(sort $(basename $(notdir $(wildcard $(here)/test/specs/*.spec))))
ISOLATION_OPTS = $(CHECK_OPTS) --use-existing
REGRESS_PREP = prepare-check

PG_CPPFLAGS = -I$(here)/src -I$(libpq_srcdir) -DFLUCT_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers $(WERROR)
SHLIB_LINK = -lrdkafka -lz $(libpq)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)
else
all install:
	@echo "no $(PG_CONFIG) here: install PostgreSQL's server headers (test/setup does, on Debian)" >&2; exit 1
endif

ISOLATION_TESTDB = $(CONTRIB_TESTDB)

# PGXS knows neither dependencies on headers nor folders of object files.  The
# folders are no targets themselves, since VPATH would find those of the source.
$(OBJS) $(OBJS:.o=.bc): $(wildcard $(here)/src/*/*.h) | object-folders

.PHONY: object-folders
object-folders:
	@mkdir -p $(sort $(dir $(OBJS)))

.PHONY: prepare-check
prepare-check:
	@mkdir -p $(CHECK_DIR)
	@ln -sfn $(abspath $(addprefix $(here)/, test/sql test/specs test/data test/lib expected)) $(CHECK_DIR)
	@'$(bindir)/psql' -Xq -d postgres -c 'SET client_min_messages = warning' \
		-c 'DROP DATABASE IF EXISTS "$(CONTRIB_TESTDB)" WITH (FORCE)'

$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) $(here)/fluct.control
	{ printf '%s\n' '\echo Use "CREATE EXTENSION fluct" to load this file. \quit'; \
	  cat $(SQL_PARTS); } > $@

UPDATE_PARTS = $(here)/sql/update.sql $(filter-out $(here)/sql/tables/%, $(SQL_PARTS))

$(EXTENSION)--%--$(EXTVERSION).sql: $(UPDATE_PARTS) $(here)/fluct.control
	{ printf '%s\n' '\echo Use "ALTER EXTENSION fluct UPDATE" to load this file. \quit'; \
	  cat $(UPDATE_PARTS); } > $@

# unit tests: the pure files, without a server, under the sanitizers
UNIT_SRCS = $(wildcard src/base/*.c src/json/*.c src/csv/*.c)
UNIT_DEPS = $(UNIT_SRCS) $(wildcard src/base/*.h src/json/*.h src/csv/*.h) \
	test/unit/tap.h
UNIT_CFLAGS = -std=gnu99 -Isrc -Itest/unit -Wall -Wextra -Wno-sign-compare \
	-Wno-missing-field-initializers -Werror
SANITIZE = -g -O1 -fsanitize=address,undefined -fno-sanitize-recover
UNIT_TESTS = $(patsubst test/unit/%.c,test/build/%, \
	$(wildcard test/unit/test_*.c)) test/build/test_json_portable \
	test/build/json_fuzz
FUZZ_ITERATIONS ?= 1000000
FUZZ_SEED ?= 1

.PHONY: unit unit-programs unit-bench fuzz fuzz-module
unit-programs: $(UNIT_TESTS)

unit: unit-programs
	prove --exec '' $(UNIT_TESTS)

# for test/run
.PHONY: unit-names
unit-names:
	@echo $(notdir $(UNIT_TESTS))

fuzz: test/build/json_fuzz
	test/build/json_fuzz $(FUZZ_ITERATIONS) $(FUZZ_SEED)
	FUZZ_ITERATIONS=$(FUZZ_ITERATIONS) FUZZ_SEED=$(FUZZ_SEED) \
		PG_CONFIG='$(PG_CONFIG)' test/run tap mapping_fuzz mapping_whole

unit-bench: test/build/bench_json
	test/build/bench_json

test/build/test_%: test/unit/test_%.c $(UNIT_DEPS)
	@mkdir -p test/build
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) $< $(UNIT_SRCS) -lm -o $@

# the scanner's work counted; the test itself is not
test/build/test_json_work: test/unit/test_json_work.c test/unit/work.h $(UNIT_DEPS)
	@mkdir -p test/build
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -c $< -o $@.o
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -fsanitize-coverage=trace-pc \
		-include test/unit/work.h $(UNIT_SRCS) $@.o -lm -o $@

# the scanner without SSE2, as other machines run it
test/build/test_json_portable: test/unit/test_json.c $(UNIT_DEPS)
	@mkdir -p test/build
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -DFLUCT_NO_SIMD $< $(UNIT_SRCS) -lm -o $@

test/build/json_fuzz: test/fuzz/json_fuzz.c $(UNIT_DEPS)
	@mkdir -p test/build
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -DFLUCT_FUZZ_MAIN $< $(UNIT_SRCS) -lm -o $@

test/build/bench_%: test/unit/bench_%.c $(UNIT_DEPS)
	@mkdir -p test/build
	$(CC) $(UNIT_CFLAGS) -O2 $< $(UNIT_SRCS) -lm -o $@

# The decoder beside PostgreSQL's own parser, inside a server: a module with
# those of our files that it needs, so that it needs no extension there.  They
# are compiled again, for their work to be counted.
FUZZ_MODULE = test/build/server_fuzz.so
FUZZ_SRCS = $(addprefix test/fuzz/, server_fuzz.c predict.c messages.c)
FUZZ_DEPS = $(filter src/base/% src/json/% src/mapping/column.o \
	src/mapping/document.o src/mapping/mapping.o src/mapping/source.o \
	src/mapping/elements.o src/mapping/encode.o src/mapping/field.o src/mapping/decode.o \
	src/mapping/format.o src/mapping/words.o src/mapping/bytes.o \
	src/mapping/kafka.o src/mapping/place.o src/mapping/where.o \
	src/mapping/body.o src/mapping/delete.o src/mapping/envelope.o \
	src/mapping/framing.o src/pg/sqlstate.o, $(OBJS))

fuzz-module: $(FUZZ_MODULE)

FUZZ_OBJS = $(patsubst src/%, test/build/counted/%, $(FUZZ_DEPS))

test/build/counted/%.o: src/%.c $(wildcard src/*/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CFLAGS_SL) $(CPPFLAGS) -fsanitize-coverage=trace-pc \
		-c $< -o $@

$(FUZZ_MODULE): $(FUZZ_SRCS) $(FUZZ_OBJS) $(wildcard test/fuzz/*.h)
	@mkdir -p test/build
	$(CC) $(CFLAGS) $(CFLAGS_SL) $(CPPFLAGS) -shared -Wl,-Bsymbolic \
		$(FUZZ_SRCS) $(FUZZ_OBJS) -o $@

# An extension that routes tables, as its users see it.
ROUTED_MODULE = test/build/routed.so

.PHONY: routed-module
routed-module: $(ROUTED_MODULE)

$(ROUTED_MODULE): test/routed/routed.c
	@mkdir -p test/build
	$(CC) $(CFLAGS) $(CFLAGS_SL) $(CPPFLAGS) -shared $< -o $@

# tests
KAFKACTL = test/build/kafkactl

$(KAFKACTL): test/kafka/kafkactl.c
	@mkdir -p test/build
	$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -o $@ $< -lrdkafka

.PHONY: test lint indent kafka
test:
	@PG_CONFIG='$(PG_CONFIG)' test/run

lint:
	@test/lint

indent:
	@test/lint --indent

# For clangd; from what make would do, so that nothing else is needed.
.PHONY: compile_commands
compile_commands:
	@$(MAKE) -nB --no-print-directory $(OBJS) | $(here)/test/compile_commands >compile_commands.json

# The archive for PGXN: what is committed, without what .gitattributes excludes.
.PHONY: dist
dist:
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ -o $(EXTENSION)-$(EXTVERSION).zip HEAD

# Debian's package of what is committed, in test/build/package
.PHONY: package
package:
	@$(here)/test/package/package

# Fetches Kafka, so that what comes next needs no network.
kafka: $(KAFKACTL)
	@test/kafka/kafka fetch

# Seeds and scales: test/soak/soak PART... --seed N --scale 0.1
.PHONY: soak
soak:
	@PG_CONFIG='$(PG_CONFIG)' test/soak/soak

# the server's own tests with the extension under ASan and UBSan
.PHONY: sanitize
sanitize:
	@PG_CONFIG='$(PG_CONFIG)' test/sanitize

# other Debians, other PostgreSQLs, assertions: test/matrix/matrix LEG...
.PHONY: matrix
matrix:
	@test/matrix/matrix

# the demo, and benchmarks
.PHONY: demo demo-stop bench help
demo:
	@test/demo/demo

demo-stop:
	@test/demo/demo stop

bench:
	@PG_CONFIG='$(PG_CONFIG)' test/bench/all $(BENCH)

help:
	@sed -n 's/^#: //p' $(firstword $(MAKEFILE_LIST))

# What `make help` prints.
#: make demo        sets up, builds, and shows the whole way: orders through Kafka, the ranking
#: make demo-stop   ends what the demo left running
#: make test        sets up, builds, and runs every test; the summary is the last line
#:                  (test/run STEP NAME... runs some: lint unit regress isolation tap)
#: make soak        faults by the hundred, then counts: nothing lost, nothing doubled (test/README.md)
#: make sanitize    the server's own tests with the extension under ASan and UBSan (test/README.md)
#: make matrix      bare Debians with PostgreSQL 15, 17 and 18; 16 and 19; the Debian package; 15
#:                  with assertions; as root, an hour and more (test/README.md)
#: make bench       measures streams, files, replay, rollup, ranking, members beside COPY, plain SQL and
#:                  what a user would write; BENCH=--quick is shorter, and does not count
#:
#: make, make install    for the PostgreSQL of PG_CONFIG (default: pg_config)
#: make installcheck     the tests of pg_regress against a running server (test/README.md)
#: make unit             the pure C files under the sanitizers
#: make fuzz             a million random messages (FUZZ_ITERATIONS, FUZZ_SEED): against a slow
#:                       reading of the grammar, and against PostgreSQL's parser and input functions
#: make lint, indent     the house rules; the C files in the core's style
#: make compile_commands   compile_commands.json, for clangd
#: make dist             fluct-VERSION.zip of what is committed, for PGXN
#: make package          the Debian package of what is committed (as root it installs what that needs)
#: make kafka            fetches Kafka, so that what comes next needs no network
