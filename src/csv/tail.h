/*-------------------------------------------------------------------------
 *
 * tail.h
 *	  Lines that are ignored if nothing follows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_CSV_TAIL_H
#define FLUCT_CSV_TAIL_H

#include "base/message.h"

typedef struct FluctCsvHeld FluctCsvHeld;

/* All zeros at first. */
typedef struct FluctCsvTail
{
	FluctCsvHeld *held;
	size_t		count;			/* 0 = no line is held */
	size_t		room;
	size_t		given;
} FluctCsvTail;

/* Holds a line, which is empty or of delimiters alone. */
extern void fluct_csv_tail_add(FluctCsvTail *tail,
							   const FluctAllocator *allocator,
							   uint64_t line, bool delimiters);

/* Takes the first of the lines that are held, and returns its number. */
extern uint64_t fluct_csv_tail_take(FluctCsvTail *tail, bool *delimiters);

#endif							/* FLUCT_CSV_TAIL_H */
