/*-------------------------------------------------------------------------
 *
 * bytes.h
 *	  The bytes of a CSV file, in a buffer that can be looked ahead.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_CSV_BYTES_H
#define FLUCT_CSV_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLUCT_CSV_BUFFER_SIZE	65536
#define FLUCT_CSV_EOF			(-1)

/* Fills a buffer with up to size bytes; 0 is the end of the file. */
typedef struct FluctCsvSource
{
	size_t		(*read) (void *arg, char *buffer, size_t size);
	void	   *arg;
} FluctCsvSource;

typedef struct FluctCsvBytes
{
	FluctCsvSource source;
	char		buffer[FLUCT_CSV_BUFFER_SIZE];
	size_t		pos;			/* of the next byte */
	size_t		len;
	bool		ended;
	uint64_t	read;			/* bytes before buffer[0] */
} FluctCsvBytes;

/* Reads until n bytes are in the buffer, or the file has ended. */
extern void fluct_csv_bytes_fill(FluctCsvBytes *bytes, size_t n);

/* Bytes taken so far. */
extern uint64_t fluct_csv_bytes_position(const FluctCsvBytes *bytes);

/* The byte n places ahead (few), or FLUCT_CSV_EOF. */
static inline int
fluct_csv_bytes_peek(FluctCsvBytes *bytes, size_t n)
{
	if (bytes->pos + n >= bytes->len)
	{
		if (!bytes->ended)
			fluct_csv_bytes_fill(bytes, n + 1);
		if (bytes->pos + n >= bytes->len)
			return FLUCT_CSV_EOF;
	}
	return (unsigned char) bytes->buffer[bytes->pos + n];
}

#endif							/* FLUCT_CSV_BYTES_H */
