/*-------------------------------------------------------------------------
 *
 * plain.c
 *	  Which tables the direct path serves.
 *
 * The direct path (direct.c) is the short way for the common case, and this is
 * the one place that says what the common case is: an ordinary table of the
 * heap, or a partitioned one, on which nothing has to happen for a row but its
 * constraints and indexes.  All else goes through COPY's machinery, which
 * knows triggers, generated columns and domains.
 *
 * NOT NULL, CHECK, indexes of every kind, partitions with another order of
 * columns, and defaults are served.  A default that is volatile and more than
 * a sequence's next value could read what has been stored of the batch, so that
 * it would see another number of rows than through COPY: those are not (see
 * direct.c).
 *
 * Nothing is evaluated here: expressions stay in their catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "sink/plain.h"

/* Any trigger of INSERT, foreign keys and deferrable keys among them. */
static bool
has_triggers(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	return triggers &&
		(triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
		 triggers->trig_insert_instead_row ||
		 triggers->trig_insert_before_statement ||
		 triggers->trig_insert_after_statement ||
		 triggers->trig_insert_new_table);
}

static bool
has_plain_columns(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		if (att->attgenerated || get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
			return false;
	}
	return true;
}

bool
fluct_plain_is(Relation rel)
{
	char		kind = rel->rd_rel->relkind;

	if (kind != RELKIND_PARTITIONED_TABLE &&
		(kind != RELKIND_RELATION ||
		 rel->rd_tableam != GetHeapamTableAmRoutine()))
		return false;
	return rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
		!rel->rd_rel->relrowsecurity && rel->rd_rules == NULL &&
		!has_triggers(rel) && has_plain_columns(rel);
}
