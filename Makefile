# fluct: PostgreSQL extension. `make help` lists what one can ask for.
EXTENSION = fluct
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" fluct.control)
MODULE_big = fluct

OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c))

# One file a subject; the order is that of the install script.
SQL_PARTS = $(addprefix sql/, bookkeeping.sql connection.sql model.sql \
	streams.sql dead_letters.sql files.sql ranking.sql reports.sql \
	samples.sql views.sql privileges.sql)

DATA_built = $(EXTENSION)--$(EXTVERSION).sql
EXTRA_CLEAN = $(EXTENSION)--*.sql test/build

PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Werror
SHLIB_LINK = -lrdkafka

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)
endif

$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) fluct.control
	{ printf '%s\n' '\echo Use "CREATE EXTENSION fluct" to load this file. \quit'; \
	  cat $(SQL_PARTS); } > $@
