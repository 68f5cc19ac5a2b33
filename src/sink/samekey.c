/*-------------------------------------------------------------------------
 *
 * samekey.c
 *	  Whether some columns of a row are those of the row before it.
 *
 * The lines of an order have the order's time, 50 times over.  What depends on
 * that alone (the partition, the summary of a range of pages) is asked once
 * for all of them.  Bytes are compared, so no operator of a user's is called,
 * and equal bytes are equal under each of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datum.h"

#include "sink/samekey.h"

bool
fluct_samekey_add(FluctSameKey *key, AttrNumber attnum)
{
	for (int i = 0; i < key->n; i++)
		if (key->attnums[i] == attnum)
			return true;
	if (key->n == INDEX_MAX_KEYS)
		return false;
	key->attnums[key->n++] = attnum;
	return true;
}

static bool
is_same(const FluctSameKey *key, int i, Form_pg_attribute att, Datum value,
		bool isnull)
{
	if (isnull || key->nulls[i])
		return isnull && key->nulls[i];
	return att->attbyval ? value == key->values[i] :
		datumIsEqual(value, key->values[i], false, att->attlen);
}

static void
remember(FluctSameKey *key, int i, Form_pg_attribute att, Datum value,
		 bool isnull)
{
	MemoryContext old = MemoryContextSwitchTo(key->context);

	if (key->known && !key->nulls[i] && !att->attbyval)
		pfree(DatumGetPointer(key->values[i]));
	key->nulls[i] = isnull;
	key->values[i] = isnull ? (Datum) 0 :
		datumCopy(value, att->attbyval, att->attlen);
	MemoryContextSwitchTo(old);
}

bool
fluct_samekey_is(FluctSameKey *key, TupleDesc desc, const Datum *values,
				 const bool *nulls)
{
	bool		same = key->known;

	for (int i = 0; i < key->n; i++)
	{
		int			c = key->attnums[i] - 1;
		Form_pg_attribute att = TupleDescAttr(desc, c);

		if (key->known && is_same(key, i, att, values[c], nulls[c]))
			continue;
		remember(key, i, att, values[c], nulls[c]);
		same = false;
	}
	key->known = true;
	return same;
}
