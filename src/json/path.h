/*-------------------------------------------------------------------------
 *
 * path.h
 *	  Paths into a message, as a mapping writes them, taken apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_PATH_H
#define FLUCT_JSON_PATH_H

#include "base/message.h"

/* No message is deeper than this. */
#define FLUCT_JSONPATH_STEPS	64

typedef enum FluctJsonStepKind
{
	FLUCT_STEP_KEY,				/* .a, ["a"], ['a'] */
	FLUCT_STEP_INDEX,			/* [0] */
	FLUCT_STEP_ELEMENTS,		/* [*] */
	FLUCT_STEP_MEMBERS			/* .* */
} FluctJsonStepKind;

typedef struct FluctJsonStep
{
	FluctJsonStepKind kind;
	char	   *key;			/* unescaped, not NUL-terminated */
	size_t		len;
	int			index;
} FluctJsonStep;

typedef struct FluctJsonPath
{
	char		start;			/* `$` or `@` */
	bool		rows;			/* has a step of `[*]` or `.*`, and ends in
								 * one */
	int			count;
	FluctJsonStep steps[FLUCT_JSONPATH_STEPS];
} FluctJsonPath;

/* False if it is not a path; the keys come from the allocator. */
extern bool fluct_jsonpath_read(FluctJsonPath *path, const char *p,
								const FluctAllocator *allocator);

#endif							/* FLUCT_JSON_PATH_H */
