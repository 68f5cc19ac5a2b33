/*-------------------------------------------------------------------------
 *
 * pins.c
 *	  The settings under which values are read.
 *
 * What a message becomes must not depend on who stores it: a worker, or a
 * session that retries, reprocesses or loads a file, whose settings come from
 * a role, a database or a client.
 *
 * The encoding.  Values go to the types' receive functions, which take text
 * for the client's and convert it from client_encoding.  Ours is the
 * database's: under any other client_encoding it would be stored wrong,
 * without an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/guc.h"

#include "pg/pins.h"

static const char *const pins[][2] = {
	{"TimeZone", "UTC"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"lc_monetary", "C"},
	{"xmloption", "content"},
	{"standard_conforming_strings", "on"},
	{"array_nulls", "on"},
	{"transform_null_equals", "off"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
};

static bool for_process;		/* fluct_pins_set was called */

static void
set_all(GucSource source, GucAction action)
{
	for (int i = 0; i < lengthof(pins); i++)
		(void) set_config_option(pins[i][0], pins[i][1], PGC_SUSET, source,
								 action, true, 0, false);
	(void) set_config_option("client_encoding", GetDatabaseEncodingName(),
							 PGC_SUSET, source, action, true, 0, false);
}

void
fluct_pins_set(void)
{
	set_all(PGC_S_OVERRIDE, GUC_ACTION_SET);
	for_process = true;
}

void
fluct_pins_set_here(void)
{
	if (!for_process)
		set_all(PGC_S_SESSION, GUC_ACTION_SAVE);
}
