/*-------------------------------------------------------------------------
 *
 * write.c
 *	  The records of messages into their tables, parents and children.
 *
 * A message is one record, or has several ("rows" at the top of the mapping).
 * Each record is stored or a duplicate by itself; what is counted is messages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sink/arrays.h"
#include "sink/delete.h"
#include "sink/stored.h"
#include "sink/unchanged.h"
#include "sink/write.h"

static void
write_children(const FluctTarget *child, const FluctStatements *statements,
			   const FluctRows *rows, int from, int to)
{
	if (statements->clear)
		fluct_delete_replaced(child, statements->clear, rows, from, to);
	if (statements->insert == NULL)
		fluct_stored_write(child, rows, from, to);
	else
		fluct_store_insert(child, statements->insert, rows, from, to);
}

/* The parents, which are locked then, and their children. */
static void
write_stored(const FluctMapping *mapping, const FluctStatements *statements,
			 const FluctRows *rows, int from, int to)
{
	const FluctTarget *parent = &mapping->targets[0];

	if (statements->insert == NULL)
		fluct_stored_write(parent, rows, from, to);
	else if (parent->nkeys > 0)
		fluct_store_merge(parent, statements->insert, rows, from, to);
	else
		fluct_store_insert(parent, statements->insert, rows, from, to);
	for (int t = 1; t < mapping->ntargets; t++)
		write_children(&mapping->targets[t], &statements[t], &rows[t], from, to);
}

/* The same but for what exists already as it is, which counts as stored. */
static void
write_changed(const FluctMapping *mapping, const FluctStatements *statements,
			  const FluctRows *rows, int from, int to)
{
	FluctOutcome *outcomes = rows->records->outcomes;
	bool	   *unchanged = fluct_unchanged_find(mapping, statements, rows, from, to);

	for (int r = from; r < to; r++)
		if (unchanged[r - from])
			outcomes[r] = FLUCT_PENDING;
	write_stored(mapping, statements, rows, from, to);
	for (int r = from; r < to; r++)
		if (unchanged[r - from])
			outcomes[r] = FLUCT_STORED;
}

/* ----- turns ----- */

/* When a record is written. */
typedef struct Turn
{
	int			number;			/* of the records of its key before it */
	const char *present;		/* its columns that have values */
	int			ncolumns;
	int			record;
	FluctOutcome outcome;
} Turn;

static int
compare_turns(const Turn *a, const Turn *b)
{
	return a->number != b->number ? a->number - b->number :
		memcmp(a->present, b->present, a->ncolumns);
}

static int
by_turn(const void *a, const void *b)
{
	int			order = compare_turns(a, b);

	return order ? order : ((const Turn *) a)->record - ((const Turn *) b)->record;
}

/* Those of all records, in order. */
static Turn *
make_turns(const FluctTarget *parent, const FluctRows *rows, int from, int to,
		   int *count)
{
	FluctArrays *arrays = fluct_arrays_read(parent, rows, from, to);
	FluctSeen  *seen = fluct_arrays_begin_seen(parent, arrays->nrows);
	Turn	   *turns = palloc(sizeof(Turn) * (arrays->nrows + 1));

	for (int i = 0; i < arrays->nrows; i++)
	{
		int			record = arrays->record[i];

		turns[i].number = fluct_arrays_find_seen(seen, arrays, i, true)->rows++;
		turns[i].present = rows->records->present.data + record * parent->ncolumns;
		turns[i].ncolumns = parent->ncolumns;
		turns[i].record = record;
		rows->records->outcomes[record] = FLUCT_PENDING;
	}
	hash_destroy(seen->table);
	qsort(turns, arrays->nrows, sizeof(Turn), by_turn);
	*count = arrays->nrows;
	return turns;
}

/*
 * Where a record leaves columns as they are, each key's are written one after
 * the other, and in one statement only those that have values in the same
 * columns.
 */
static void
write_in_turns(const FluctMapping *mapping, const FluctStatements *statements,
			   const FluctRows *rows, int from, int to)
{
	FluctOutcome *outcomes = rows->records->outcomes;
	int			count;
	int			end;
	Turn	   *turns = make_turns(&mapping->targets[0], rows, from, to, &count);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fluct turn",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int i = 0; i < count; i = end)
	{
		for (end = i; end < count && compare_turns(&turns[i], &turns[end]) == 0; end++)
			outcomes[turns[end].record] = FLUCT_STORED;
		write_stored(mapping, statements, rows, turns[i].record,
					 turns[end - 1].record + 1);
		for (int j = i; j < end; j++)
		{
			turns[j].outcome = outcomes[turns[j].record];
			outcomes[turns[j].record] = FLUCT_PENDING;
		}
		MemoryContextReset(context);
	}
	for (int i = 0; i < count; i++)
		outcomes[turns[i].record] = turns[i].outcome;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ----- messages ----- */

/* Deletes first: only what comes after them is FLUCT_STORED then. */
static void
write_records(const FluctMapping *mapping, const FluctStatements *statements,
			  const FluctRows *rows, bool update, int from, int to)
{
	const FluctTarget *parent = &mapping->targets[0];

	if (mapping->deletes)
		fluct_delete_rows(mapping, statements, rows, from, to);
	if (parent->keep)
	{
		write_in_turns(mapping, statements, rows, from, to);
		return;
	}
	if (update)
		fluct_store_keep_last(parent, rows, from, to);
	if (statements->stored)
		write_changed(mapping, statements, rows, from, to);
	else
		write_stored(mapping, statements, rows, from, to);
}

/*
 * A message without records is stored, too: it says that there are none.  One
 * without a value deletes a row, or is a tombstone as any other.
 */
static FluctOutcome
outcome_of(const FluctMessage *message, const FluctRecords *records, int from,
		   int to)
{
	for (int r = from; r < to; r++)
		if (records->outcomes[r] == FLUCT_STORED)
			return FLUCT_STORED;
	return from == to ? FLUCT_STORED :
		message->value ? FLUCT_DUPLICATE : FLUCT_TOMBSTONE;
}

void
fluct_write_messages(const FluctMapping *mapping,
					 const FluctStatements *statements, const FluctRows *rows,
					 bool update, FluctMessage *messages, int from, int to)
{
	FluctRecords *records = rows->records;

	for (int i = from; i < to; i++)
		for (int r = records->starts[i]; r < records->starts[i + 1]; r++)
			records->outcomes[r] = messages[i].outcome;
	write_records(mapping, statements, rows, update, records->starts[from],
				  records->starts[to]);
	for (int i = from; i < to; i++)
		if (messages[i].outcome == FLUCT_STORED)
			messages[i].outcome = outcome_of(&messages[i], records,
											 records->starts[i],
											 records->starts[i + 1]);
}

int64
fluct_write_rows(const FluctMapping *mapping, const FluctRows *rows,
				 int message)
{
	const FluctRecords *records = rows->records;
	int64		written = 0;

	for (int r = records->starts[message]; r < records->starts[message + 1]; r++)
		for (int t = 0; t < mapping->ntargets; t++)
			if (records->outcomes[r] == FLUCT_STORED)
				written += rows[t].stored.row_starts[r + 1] -
					rows[t].stored.row_starts[r];
	return written;
}
