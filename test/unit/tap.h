/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  The least that a unit test needs to speak TAP.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_TAP_H
#define FLUCT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tap_count = 0;
static int	tap_failed = 0;

static bool ok(bool condition, const char *format,...)
			__attribute__((format(printf, 2, 3), unused));

static bool
ok(bool condition, const char *format,...)
{
	char		name[120];
	va_list		args;

	tap_count++;
	tap_failed += !condition;
	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	for (char *c = name; *c != '\0'; c++)
		if (*c < ' ' || *c == '#' || *c == 0x7F)
			*c = '.';
	printf("%sok %d - %s\n", condition ? "" : "not ", tap_count, name);
	return condition;
}

static bool is_text(const char *got, const char *wanted, const char *name)
			__attribute__((unused));

static bool
is_text(const char *got, const char *wanted, const char *name)
{
	bool		same = strcmp(got, wanted) == 0;

	ok(same, "%s", name);
	if (!same)
		printf("#      got: %s\n#   wanted: %s\n", got, wanted);
	return same;
}

static int	done_testing(void) __attribute__((unused));

/* The test's exit status. */
static int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed > 0;
}

/* An allocator that remembers what it gave, so that all can be freed. */
#define HEAP_BLOCKS 4096

typedef struct Heap
{
	void	   *blocks[HEAP_BLOCKS];
	size_t		sizes[HEAP_BLOCKS];
	int			count;
	size_t		bytes;
	size_t		peak;
} Heap;

static void *heap_resize(void *arg, void *p, size_t size)
			__attribute__((unused));

static void *
heap_resize(void *arg, void *p, size_t size)
{
	Heap	   *heap = arg;
	int			i = 0;

	while (i < heap->count && heap->blocks[i] != p)
		i++;
	if (p == NULL || i == heap->count)
		i = heap->count++;
	if (i >= HEAP_BLOCKS)
		abort();
	heap->blocks[i] = realloc(p, size);
	if (heap->blocks[i] == NULL)
		abort();
	heap->bytes += size - heap->sizes[i];
	heap->sizes[i] = size;
	if (heap->bytes > heap->peak)
		heap->peak = heap->bytes;
	return heap->blocks[i];
}

static void heap_free(Heap *heap) __attribute__((unused));

static void
heap_free(Heap *heap)
{
	for (int i = 0; i < heap->count; i++)
		free(heap->blocks[i]);
	memset(heap, 0, sizeof(Heap));
}

#endif							/* FLUCT_TAP_H */
