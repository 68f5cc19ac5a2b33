/*-------------------------------------------------------------------------
 *
 * findings.c
 *	  What the messages so far had of the paths of a mapping.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "mapping/findings.h"

/* Whether a message may or may not have something for the column. */
static bool
is_looked_for(const FluctColumn *column)
{
	return column->source == FLUCT_FROM_MESSAGE ||
		column->source == FLUCT_FROM_ROW || column->source == FLUCT_FROM_ENVELOPE;
}

bool
fluct_findings_any(const FluctMapping *mapping)
{
	bool		wanted = false;

	for (int t = 0; t < mapping->ntargets; t++)
		for (int i = 0; i < mapping->targets[t].ncolumns; i++)
		{
			const FluctColumn *column = &mapping->targets[t].columns[i];

			if (column->findings->found)
				return true;
			wanted |= is_looked_for(column);
		}
	return !wanted;
}

/* Whether another column has the same path, and has found it or comes first. */
static bool
is_listed_elsewhere(const FluctMapping *mapping, const FluctColumn *column)
{
	bool		first = true;

	for (int t = 0; t < mapping->ntargets; t++)
		for (int i = 0; i < mapping->targets[t].ncolumns; i++)
		{
			const FluctColumn *other = &mapping->targets[t].columns[i];

			if (other == column)
				first = false;
			else if (other->source == column->source && other->rowset == column->rowset &&
					 strcmp(other->path, column->path) == 0 &&
					 (first || other->findings->found))
				return true;
		}
	return false;
}

static char *
list_columns(const FluctMapping *mapping,
			 bool (*is_listed) (const FluctColumn *), bool paths)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int t = 0; t < mapping->ntargets; t++)
		for (int i = 0; i < mapping->targets[t].ncolumns; i++)
		{
			const FluctTarget *target = &mapping->targets[t];
			const FluctColumn *column = &target->columns[i];

			if (!is_listed(column) || (paths && is_listed_elsewhere(mapping, column)))
				continue;
			appendStringInfoString(&list, list.len > 0 ? ", " : "");
			if (!paths)
				appendStringInfo(&list, "%s.%s", target->name,
								 quote_identifier(column->name));
			else if (column->path[0] != '@')
				appendStringInfoString(&list, column->path);
			else
				appendStringInfo(&list, "%s%s", target->rows_path,
								 column->path + 1);
		}
	return list.len > 0 ? list.data : NULL;
}

static bool
is_missing(const FluctColumn *column)
{
	return !column->findings->found &&
		(is_looked_for(column) || column->source == FLUCT_KAFKA_KEY_PATH ||
		 column->source == FLUCT_KAFKA_HEADER);
}

static bool
is_far(const FluctColumn *column)
{
	return column->findings->far;
}

char *
fluct_findings_missing_paths(const FluctMapping *mapping)
{
	return list_columns(mapping, is_missing, true);
}

char *
fluct_findings_far_columns(const FluctMapping *mapping)
{
	return list_columns(mapping, is_far, false);
}
