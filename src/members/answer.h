/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  What a member can be asked, and what it answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MEMBERS_ANSWER_H
#define FLUCT_MEMBERS_ANSWER_H

#include "postgres.h"

#include "libpq-fe.h"
#include "nodes/execnodes.h"

#define FLUCT_ANSWER_COLUMNS	12	/* the most that an answer has */

typedef struct FluctAnswerColumn
{
	Oid			type;			/* InvalidOid = the type of schema fluct */
	const char *ours;			/* its name */
	bool		is_array;		/* an array of those */
} FluctAnswerColumn;

typedef struct FluctQuestion
{
	const char *name;
	const char *statement;
	bool		writes;
	bool		one;			/* the answer is one row */
	bool		shown;			/* to people: control characters are escaped */
	int			ncolumns;
	FluctAnswerColumn columns[FLUCT_ANSWER_COLUMNS];
} FluctQuestion;

typedef struct FluctAnswer FluctAnswer;

/* The question of that name; NULL = there is none. */
extern const FluctQuestion *fluct_answer_question(const char *name);

/* An answer without rows, in the current memory context. */
extern FluctAnswer *fluct_answer_begin(const FluctQuestion *question,
									   const char *member, TupleDesc desc);

/* Adds the rows of a result; returns what is wrong with them, or NULL. */
extern char *fluct_answer_add(FluctAnswer *answer, const PGresult * result);

/* Forgets all rows. */
extern void fluct_answer_clear(FluctAnswer *answer);

/*
 * Once all rows are there: what is wrong with them, or NULL, so that each field
 * is a value of its column's type.
 */
extern char *fluct_answer_check(FluctAnswer *answer);

/* Puts the rows into the result of a function. */
extern void fluct_answer_give(FluctAnswer *answer, ReturnSetInfo *rsinfo);

#endif							/* FLUCT_MEMBERS_ANSWER_H */
