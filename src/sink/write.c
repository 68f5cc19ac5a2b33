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

#include "sink/delete.h"
#include "sink/stored.h"
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

/* Deletes, then the parents, which are locked then, and their children. */
static void
write_records(const FluctMapping *mapping, const FluctStatements *statements,
			  const FluctRows *rows, bool update, int from, int to)
{
	const FluctTarget *parent = &mapping->targets[0];

	if (mapping->deletes)
		fluct_delete_rows(mapping, statements, rows, from, to);
	if (update)
		fluct_store_keep_last(parent, rows, from, to);
	if (statements->insert == NULL)
		fluct_stored_write(parent, rows, from, to);
	else if (parent->nkeys > 0)
		fluct_store_merge(parent, statements->insert, rows, from, to);
	else
		fluct_store_insert(parent, statements->insert, rows, from, to);
	for (int t = 1; t < mapping->ntargets; t++)
		write_children(&mapping->targets[t], &statements[t], &rows[t], from, to);
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
