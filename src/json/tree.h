/*-------------------------------------------------------------------------
 *
 * tree.h
 *	  What json.c and scan.c share: the tree of wanted keys, and its rows.
 *
 * The added paths form trees of keys: one for the message and one for each
 * rowset's element.  A Sheet is what such a tree fills: rows of cells.  The
 * message is sheet 0, with one row; rowset n is sheet n + 1.
 *
 * The accessors are inline, because the scan calls them for each value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_TREE_H
#define FLUCT_JSON_TREE_H

#include "base/vector.h"
#include "json/keyset.h"
#include "json/lexer.h"
#include "json/value.h"

/* In place of a node. */
#define NO_NODE				(-1)
#define UNMAPPED			(-2)

/* The bits of Frame.seen. */
#define SEEN_BITS			64

#define NO_CELLS			UINT32_MAX

/* A key that some path names, in the tree of its sheet. */
typedef struct Node
{
	const char *key;			/* unescaped */
	uint32_t	len;
	bool		plain;			/* needs no escapes, so it can be guessed */
	bool		root;			/* the message, or an element of a rowset */
	int			sheet;			/* whose cells it fills */
	int			field;			/* its cell, or -1 */
	int			rows;			/* the sheet that its elements fill, or -1 */
	int			index;			/* of the element that it is, or -1 for a key */
	bool		by_index;		/* has children that are elements */
	bool		by_key;			/* has children that are members */
	int			first_child;
	int			next_sibling;
	int			first_seen;		/* guess: the child that comes first */
	int			successor;		/* guess: the sibling that comes next */
	uint64_t	bit;			/* in Frame.seen; 0 = on the stack of keys */
} Node;

typedef struct Row
{
	uint32_t	cells;			/* its first in Sheet.cells, or NO_CELLS */
	uint32_t	first_member;
	uint32_t	members;
	uint32_t	above;			/* the row of the sheet above that holds it */
	uint32_t	index;			/* which one of those it is, from 0 */
	FluctJsonType type;
} Row;

typedef struct Sheet
{
	int			above;			/* the sheet whose rows hold its rows, or -1 */
	int			at;				/* the field there that is the rowset itself */
	bool		by_member;		/* rows are the members of an object */
	bool		single;			/* an object is an array of one */
	int			key;			/* the field of a member's name, or -1 */
	int			root;			/* node of its elements */
	int			fields;
	size_t		max_rows;
	FluctVector rows;			/* Row */
	FluctVector cells;			/* FluctJsonValue, `fields` for a row */
	FluctVector members;		/* FluctJsonMember */
} Sheet;

/* An open object or array. */
typedef struct Frame
{
	char		close;			/* the bracket that ends it */
	int			node;			/* its own node, or NO_NODE, or UNMAPPED */
	int			array;			/* node of the array that the object stands
								 * for, or NO_NODE */
	int			members;		/* the sheet of which each member is a row, or
								 * -1 */
	bool		by_index;		/* some of its elements have nodes */
	int			target;			/* node of the member or element at hand */
	int			last;			/* node of the last key that had one */
	int			guess;			/* node of the key expected next */
	uint64_t	seen;
	const char *start;
	const char *key;			/* of the member at hand, or NULL */
	size_t		key_len;
	bool		key_escaped;
	size_t		index;			/* of the element at hand, from 1 */
	FluctKeyMark keys;			/* those that matched no node */
} Frame;

struct FluctJson
{
	FluctAllocator allocator;

	/* fixed once the paths are added */
	FluctVector nodes;			/* Node */
	FluctVector sheets;			/* Sheet */

	bool		any_root;		/* it need not be an object */

	/* the message at hand */
	FluctJsonLex lex;
	int			depth;
	Frame		frames[FLUCT_JSON_MAX_DEPTH];
	FluctKeySet keys;
	FluctRefusal misstep;		/* FLUCT_OK, or the first one */
};

static inline void *
reserve(FluctJson *json, FluctVector *vector, size_t n, size_t element)
{
	return fluct_vector_reserve(vector, &json->allocator, n, element);
}

static inline Node *
node_at(const FluctJson *json, int node)
{
	return (Node *) json->nodes.data + node;
}

static inline Sheet *
sheet_at(const FluctJson *json, int sheet)
{
	return (Sheet *) json->sheets.data + sheet;
}

static inline Row *
last_row(const Sheet *sheet)
{
	return (Row *) sheet->rows.data + sheet->rows.count - 1;
}

#endif							/* FLUCT_JSON_TREE_H */
