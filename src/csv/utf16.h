/*-------------------------------------------------------------------------
 *
 * utf16.h
 *	  UTF-16, as spreadsheets on Windows write it, into UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_CSV_UTF16_H
#define FLUCT_CSV_UTF16_H

#include <stdbool.h>
#include <stddef.h>

typedef enum FluctUtf16Order
{
	FLUCT_UTF16_BY_MARK,		/* little-endian where there is none */
	FLUCT_UTF16_LITTLE,
	FLUCT_UTF16_BIG
} FluctUtf16Order;

/* Room that two bytes, or the end of the file, take at most in UTF-8. */
#define FLUCT_UTF16_MAX_CHAR	4

/*
 * Decodes bytes as long as there is room; returns how many bytes of UTF-8 are
 * in `out`, and in *used how many were taken of `in`.  The rest, an incomplete
 * character or what had no room, is given again with what follows; `last` says
 * that nothing does.  At the beginning of a file, first `order` may be changed
 * to what its mark says, and the mark is skipped.  What is not UTF-16 (half of
 * a pair, half of a unit) becomes FLUCT_CSV_UNDECODED and a byte of it.
 */
extern size_t fluct_utf16_decode(FluctUtf16Order *order, const char *in,
								 size_t len, bool last, char *out,
								 size_t room, size_t *used);

/* Skips a mark of the file's beginning: its length, 0 without. */
extern size_t fluct_utf16_mark(FluctUtf16Order *order, const char *in,
							   size_t len);

#endif							/* FLUCT_CSV_UTF16_H */
