/*-------------------------------------------------------------------------
 *
 * bytes.c
 *	  The bytes of a CSV file, in a buffer that can be looked ahead.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/bytes.h"

#include <string.h>

void
fluct_csv_bytes_fill(FluctCsvBytes *bytes, size_t n)
{
	memmove(bytes->buffer, bytes->buffer + bytes->pos, bytes->len - bytes->pos);
	bytes->read += bytes->pos;
	bytes->len -= bytes->pos;
	bytes->pos = 0;
	while (bytes->len < n && !bytes->ended)
	{
		size_t		got = bytes->source.read(bytes->source.arg,
											 bytes->buffer + bytes->len,
											 FLUCT_CSV_BUFFER_SIZE - bytes->len);

		bytes->ended = got == 0;
		bytes->len += got;
	}
}

uint64_t
fluct_csv_bytes_position(const FluctCsvBytes *bytes)
{
	return bytes->read + bytes->pos;
}
