/*-------------------------------------------------------------------------
 *
 * update.c
 *	  What a mapping says of a row that already exists.
 *
 * "version": "updated_at" names the column by which a message is older than the
 * row: an older one changes nothing.  NULL is older than any value, and an equal
 * one replaces the row, as without "version".
 *
 * "absent": "keep" leaves the columns of the row as they are that a message does
 * not have; null is a value.  A new row has the default there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "mapping/document.h"
#include "mapping/update.h"

void
fluct_update_require(const FluctCompiler *c, const char *what)
{
	if (!c->update)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s needs on_conflict update", what),
				 errhint("Pass on_conflict => 'update'; for a file, mode => 'upsert'.")));
}

static int
find_column(const FluctTarget *t, const char *name)
{
	for (int i = 0; i < t->ncolumns; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return i;
	if (get_attnum(t->relid, name) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("mapping: table %s has no column \"%s\", which \"version\" names",
						t->name, name)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("mapping: nothing is mapped to column \"%s\" of %s, which \"version\" names",
					name, t->name)));
}

static bool
has_order(const FluctColumn *column)
{
	TypeCacheEntry *type = lookup_type_cache(column->base,
											 TYPECACHE_LT_OPR | TYPECACHE_CMP_PROC);

	return OidIsValid(type->lt_opr) && OidIsValid(type->cmp_proc);
}

static void
compile_version(FluctTarget *t, const char *name)
{
	const FluctColumn *column;

	t->version = find_column(t, name);
	column = &t->columns[t->version];
	if (!has_order(column))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping: column \"%s\" of %s cannot be the \"version\"",
						name, t->name),
				 errdetail("The values of type %s have no order.",
						   format_type_be(column->type)),
				 errhint("It is a time or a number that grows with each change of a row.")));
}

void
fluct_update_compile(FluctCompiler *c, JsonbContainer *document)
{
	char	   *version = fluct_document_text(document, "version");
	char	   *absent = fluct_document_text(document, "absent");

	if (version)
	{
		fluct_update_require(c, "mapping: \"version\"");
		compile_version(c->target, version);
	}
	if (absent)
	{
		if (strcmp(absent, "keep") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping: \"absent\" must be \"keep\""),
					 errhint("Without it, what a message does not have gets its default.")));
		fluct_update_require(c, "mapping: \"absent\"");
		c->target->keep = true;
	}
}
