/*-------------------------------------------------------------------------
 *
 * stored.c
 *	  Encoded rows into a table, by the direct path or by COPY's machinery.
 *
 * The decoder's form is what COPY reads, so a row that the direct path cannot
 * store goes there as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "port/pg_bswap.h"

#include "sink/copy.h"
#include "sink/datum.h"
#include "sink/direct.h"
#include "sink/stored.h"

/* One table, and what is left for COPY. */
typedef struct Writer
{
	const FluctTarget *target;
	FluctDirect *direct;
	bool		simple[MaxTupleAttributeNumber];	/* by column */
	MemoryContext context;
	FluctPiece *pieces;
	int			npieces;
	int			room;
} Writer;

static void
leave(Writer *writer, const char *data, size_t len)
{
	if (writer->npieces > 0)
	{
		FluctPiece *last = &writer->pieces[writer->npieces - 1];

		if (last->data + last->len == data)
		{
			last->len += len;
			return;
		}
	}
	if (writer->npieces == writer->room)
	{
		writer->room = 2 * writer->room + 16;
		writer->pieces = writer->pieces ?
			repalloc_huge(writer->pieces, sizeof(FluctPiece) * writer->room) :
			MemoryContextAlloc(writer->context, sizeof(FluctPiece) * writer->room);
	}
	writer->pieces[writer->npieces].data = data;
	writer->pieces[writer->npieces++].len = len;
}

/* Fills the row from what begins at `at`; returns its end. */
static const char *
read_row(const Writer *writer, const char *at, TupleTableSlot *slot)
{
	const FluctTarget *target = writer->target;

	at += 2;					/* the number of columns */
	for (int c = 0; c < target->ncolumns; c++)
	{
		const FluctColumn *column = &target->columns[c];
		int			place = column->attnum - 1;
		int32		len;

		memcpy(&len, at, 4);
		len = (int32) pg_ntoh32(len);
		at += 4;
		slot->tts_isnull[place] = len < 0;
		slot->tts_values[place] = (Datum) 0;
		if (len < 0)
			continue;
		slot->tts_values[place] = fluct_datum_read(column, writer->simple[c],
												   at, len);
		at += len;
	}
	return at;
}

static void
write_directly(Writer *writer, const char *at, const char *end)
{
	while (at < end)
	{
		const char *next = read_row(writer, at, fluct_direct_row(writer->direct));

		if (!fluct_direct_add(writer->direct))
			leave(writer, at, next - at);
		at = next;
	}
}

static FluctDirect *
begin(Writer *writer)
{
	const FluctTarget *target = writer->target;
	AttrNumber	attnums[MaxTupleAttributeNumber];

	for (int c = 0; c < target->ncolumns; c++)
	{
		attnums[c] = target->columns[c].attnum;
		writer->simple[c] = fluct_datum_is_simple(&target->columns[c]);
	}
	return fluct_direct_begin(target->relid, attnums, target->ncolumns);
}

static List *
column_names(const FluctTarget *target)
{
	List	   *names = NIL;

	for (int i = 0; i < target->ncolumns; i++)
		names = lappend(names, makeString(target->columns[i].name));
	return names;
}

void
fluct_stored_write(const FluctTarget *target, const FluctRows *rows, int from,
				   int to)
{
	Writer		writer = {target};
	List	   *names = column_names(target);
	const FluctRowData *data = &rows->stored;

	writer.context = CurrentMemoryContext;
	fluct_copyrows_check_rights(target->relid, names);
	writer.direct = begin(&writer);
	for (int r = from; r < to; r++)
	{
		const char *at = data->data.data + data->starts[r];
		const char *end = data->data.data + data->starts[r + 1];

		CHECK_FOR_INTERRUPTS();
		if (rows->records->outcomes[r] != FLUCT_STORED || at == end)
			continue;
		if (writer.direct)
			write_directly(&writer, at, end);
		else
			leave(&writer, at, end - at);
	}
	if (writer.direct)
		fluct_direct_end(writer.direct);
	fluct_copyrows_pieces(target->relid, names, writer.pieces, writer.npieces);
}
