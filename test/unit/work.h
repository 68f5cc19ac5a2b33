/*-------------------------------------------------------------------------
 *
 * work.h
 *	  Counts what a program does, so that its cost can be tested without time.
 *
 * What is compiled with -fsanitize-coverage=trace-pc calls a function in each
 * basic block, which the test defines and counts.  With `-include work.h` the
 * bytes that the functions of string.h pass over are counted as well.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_WORK_H
#define FLUCT_WORK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern uint64_t fluct_work;

static inline void *
fluct_work_memchr(const void *s, int c, size_t n)
{
	char	   *found = memchr(s, c, n);

	fluct_work += found ? (size_t) (found - (const char *) s) : n;
	return found;
}

#define memchr(s, c, n)		fluct_work_memchr(s, c, n)
#define memcmp(a, b, n)		(fluct_work += (n), memcmp(a, b, n))
#define memcpy(to, from, n) (fluct_work += (n), memcpy(to, from, n))
#define memmove(to, from, n)	(fluct_work += (n), memmove(to, from, n))
#define memset(to, c, n)	(fluct_work += (n), memset(to, c, n))

#endif							/* FLUCT_WORK_H */
