/*-------------------------------------------------------------------------
 *
 * vector.h
 *	  Arrays that grow through a FluctAllocator and are reused.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BASE_VECTOR_H
#define FLUCT_BASE_VECTOR_H

#include "base/message.h"

/* The most memory that a vector keeps from one use to the next, in bytes. */
#define FLUCT_VECTOR_KEEP	(1024 * 1024)

/* count and room are numbers of elements, of a size that the caller knows. */
typedef struct FluctVector
{
	char	   *data;
	size_t		count;
	size_t		room;
} FluctVector;

/* Room for n more elements; returns the first, which is not yet counted. */
static inline void *
fluct_vector_reserve(FluctVector *vector, const FluctAllocator *allocator,
					 size_t n, size_t element)
{
	if (__builtin_expect(vector->count + n > vector->room, 0))
	{
		size_t		room = vector->room * 2;

		if (room < vector->count + n)
			room = vector->count + n + 8;
		vector->data = allocator->resize(allocator->arg, vector->data,
										 room * element);
		vector->room = room;
	}
	return vector->data + vector->count * element;
}

/* Forgets the contents, and gives back what one huge use took. */
static inline void
fluct_vector_reset(FluctVector *vector, const FluctAllocator *allocator,
				   size_t element)
{
	vector->count = 0;
	if (__builtin_expect(vector->room * element > FLUCT_VECTOR_KEEP, 0))
	{
		vector->room = FLUCT_VECTOR_KEEP / element;
		vector->data = allocator->resize(allocator->arg, vector->data,
										 vector->room * element);
	}
}

#endif							/* FLUCT_BASE_VECTOR_H */
