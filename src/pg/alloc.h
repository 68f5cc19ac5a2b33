/*-------------------------------------------------------------------------
 *
 * alloc.h
 *	  The allocator of the pure files, in a memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PG_ALLOC_H
#define FLUCT_PG_ALLOC_H

#include "postgres.h"

#include "utils/memutils.h"

#include "base/message.h"

static inline void *
fluct_alloc_resize(void *arg, void *p, size_t size)
{
	if (p != NULL)
		return repalloc_huge(p, size);
	return MemoryContextAllocHuge((MemoryContext) arg, size);
}

/* What it gives lives as long as the context. */
static inline FluctAllocator
fluct_alloc_in(MemoryContext context)
{
	FluctAllocator allocator = {fluct_alloc_resize, context};

	return allocator;
}

#endif							/* FLUCT_PG_ALLOC_H */
