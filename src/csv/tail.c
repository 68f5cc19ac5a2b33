/*-------------------------------------------------------------------------
 *
 * tail.c
 *	  Lines that are ignored if nothing follows.
 *
 * Only a record after them shows that they were not the end of the file.  They
 * are held as ranges, so a million of one kind take no more than one.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/tail.h"

struct FluctCsvHeld
{
	uint64_t	line;
	uint64_t	count;
	bool		delimiters;		/* else they are empty */
};

void
fluct_csv_tail_add(FluctCsvTail *tail, const FluctAllocator *allocator,
				   uint64_t line, bool delimiters)
{
	FluctCsvHeld *last = tail->count > 0 ? &tail->held[tail->count - 1] : NULL;

	if (last != NULL && last->delimiters == delimiters)
	{
		last->count++;
		return;
	}
	if (tail->count == tail->room)
	{
		tail->room = tail->room * 2 + 16;
		tail->held = allocator->resize(allocator->arg, tail->held,
									   tail->room * sizeof(FluctCsvHeld));
	}
	last = &tail->held[tail->count++];
	last->line = line;
	last->count = 1;
	last->delimiters = delimiters;
}

uint64_t
fluct_csv_tail_take(FluctCsvTail *tail, bool *delimiters)
{
	FluctCsvHeld *held = &tail->held[tail->given];
	uint64_t	line = held->line++;

	*delimiters = held->delimiters;
	if (--held->count == 0 && ++tail->given == tail->count)
		tail->count = tail->given = 0;
	return line;
}
