/*-------------------------------------------------------------------------
 *
 * links.c
 *	  A digest of customer_industries, kept.
 *
 * A ranking over members is right only where all have the same industries of
 * the customers, and they are too many to be compared at each call.  So
 * sales.rollup_state has the sum, modulo 2^64, of a hash of each row: a change
 * adds to it and takes away from it, and the order does not matter.  It is
 * written once a transaction (pending.c).  The lock that a change of industries
 * holds (triggers.c) keeps others away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "pg/model.h"
#include "rollup/links.h"
#include "rollup/statement.h"

static uint64
hash(Datum value, uint64 seed)
{
	return DatumGetUInt64(DirectFunctionCall2Coll(hashtextextended,
												  C_COLLATION_OID, value,
												  UInt64GetDatum(seed)));
}

uint64
fluct_links_hash(Datum customer, Datum industry)
{
	return hash(industry, hash(customer, 0));
}

/*
 * Nothing of schema fluct, which may have gone, too; else fluct._wrap().  The
 * column may be missing, until create_tables() adds it.
 */
void
fluct_links_write(bool cleared, uint64 sum)
{
	static void *plans[2];
	static const char *const statements[] = {
		"UPDATE sales.rollup_state SET links ="
		" (((links::numeric + $1) % 18446744073709551616"
		" + 27670116110564327424) % 18446744073709551616"
		" - 9223372036854775808)::bigint",
		"UPDATE sales.rollup_state SET links = $1"
	};

	if (get_attnum(fluct_model_find("rollup_state"), "links") != InvalidAttrNumber)
		fluct_statement_run_with(&plans[cleared], statements[cleared],
								 Int64GetDatum((int64) sum));
}
