/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  The pass over the bytes of a message.
 *
 * While it scans, the scanner carries for each value the node of the tree that
 * it stands at, or NO_NODE where nothing below is wanted, or UNMAPPED for a
 * member of a row's object that no path names.
 *
 * Finding a member
 *
 * Producers write the keys of their objects in one order, message after
 * message.  Each node remembers which node followed it last time, so a key is
 * compared with that one first, in place, with its closing quote; anything else
 * takes the slow way.
 *
 * Duplicate keys
 *
 * A key that matches a node sets the node's bit in the frame: no comparison.
 * The others are compared with each other, which is keyset.c's work.
 *
 * Depth is bounded by FLUCT_JSON_MAX_DEPTH frames in an array; there is no
 * recursion.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "base/refusal.h"
#include "base/text.h"
#include "json/json.h"
#include "json/place.h"
#include "json/tree.h"

/*
 * Keeping what was found
 */

static void
begin_row(FluctJson *json, Sheet *sheet)
{
	Row		   *row = reserve(json, &sheet->rows, 1, sizeof(Row));

	row->cells = NO_CELLS;
	row->first_member = (uint32_t) sheet->members.count;
	row->members = 0;
	row->above = sheet->above < 0 ? 0 :
		(uint32_t) sheet_at(json, sheet->above)->rows.count - 1;
	row->index = sheet->rows.count > 0 && row[-1].above == row->above ?
		row[-1].index + 1 : 0;
	row->type = FLUCT_JSON_ABSENT;
	sheet->rows.count++;
}

/* The cells of a row are made when the first one is filled. */
static inline FluctJsonValue *
cell_to_fill(FluctJson *json, Sheet *sheet, int field)
{
	Row		   *row = last_row(sheet);

	if (row->cells == NO_CELLS)
	{
		FluctJsonValue *cells = reserve(json, &sheet->cells, sheet->fields,
										sizeof(FluctJsonValue));

		memset(cells, 0, sheet->fields * sizeof(FluctJsonValue));
		row->cells = (uint32_t) sheet->cells.count;
		sheet->cells.count += sheet->fields;
	}
	return (FluctJsonValue *) sheet->cells.data + row->cells + field;
}

/* A member that no path names; its object is the innermost open one. */
static void
keep_member(FluctJson *json, const FluctJsonValue *value)
{
	const Frame *frame = &json->frames[json->depth - 1];
	Sheet	   *sheet = sheet_at(json, node_at(json, frame->node)->sheet);
	FluctJsonMember *member = reserve(json, &sheet->members, 1,
									  sizeof(FluctJsonMember));

	member->key.type = FLUCT_JSON_STRING;
	member->key.escaped = frame->key_escaped;
	member->key.text = frame->key;
	member->key.len = frame->key_len;
	member->value = *value;
	sheet->members.count++;
	last_row(sheet)->members++;
}

/*
 * Whether a value at the node ends paths that go further.  A message or a row
 * that is not an object is judged as a whole.
 */
static inline bool
is_misstep(const FluctJson *json, const Node *node, FluctJsonType type)
{
	if (node->first_child == NO_NODE || type == FLUCT_JSON_NULL)
		return false;
	if (type == FLUCT_JSON_OBJECT)
		return !node->by_key;
	if (node->root && !json->any_root)
		return false;
	return type != FLUCT_JSON_ARRAY || (node->rows < 0 && !node->by_index);
}

/* A value is complete; its container is the innermost open one. */
static inline void
keep(FluctJson *json, int target, FluctJsonType type, const char *text,
	 const char *end, bool escaped)
{
	FluctJsonValue value = {type, escaped, (uint32_t) (end - text), text};
	const Node *node;

	if (target == NO_NODE)
		return;
	if (target == UNMAPPED)
	{
		keep_member(json, &value);
		return;
	}
	node = node_at(json, target);
	if (node->field >= 0)
		*cell_to_fill(json, sheet_at(json, node->sheet), node->field) = value;
	if (node->root)
		last_row(sheet_at(json, node->sheet))->type = type;
	if (unlikely(is_misstep(json, node, type)))
		fluct_jsonplace_misstep(json, node, type, text, end);
}

/*
 * Members
 */

static const char *
refuse_duplicate(FluctJson *json, const Frame *frame)
{
	return fluct_jsonlex_fault(&json->lex, FLUCT_DUPLICATE_KEY, frame->key - 1,
							   "the key is repeated");
}

/* The child of the frame's node with this key, or -1. */
static int
find_child(const FluctJson *json, const Frame *frame, const char *key,
		   size_t len)
{
	int			child = NO_NODE;

	if (frame->node >= 0)
		child = node_at(json, frame->node)->first_child;
	while (child >= 0)
	{
		const Node *node = node_at(json, child);

		if (node->len == len && node->index < 0 &&
			memcmp(node->key, key, len) == 0)
			break;
		child = node->next_sibling;
	}
	return child;
}

/* This child came where another was guessed. */
static void
learn_order(FluctJson *json, const Frame *frame, int child)
{
	if (!node_at(json, child)->plain)
		return;
	if (frame->last == NO_NODE)
		node_at(json, frame->node)->first_seen = child;
	else
		node_at(json, frame->last)->successor = child;
}

/* The frame's member at hand is this child. */
static inline bool
take_child(FluctJson *json, Frame *frame, int child)
{
	const Node *node = node_at(json, child);

	frame->target = child;
	frame->last = child;
	frame->guess = node->successor;
	if (unlikely(frame->seen & node->bit))
		return false;
	frame->seen |= node->bit;
	return true;
}

/* Begins a row of the sheet, unless there are too many; p is its value. */
static inline bool
add_row(FluctJson *json, Sheet *sheet, const char *p)
{
	if (unlikely(sheet->rows.count >= sheet->max_rows))
	{
		fluct_jsonlex_fault(&json->lex, FLUCT_TOO_LARGE, p,
							"more than %zu rows", sheet->max_rows);
		return false;
	}
	begin_row(json, sheet);
	return true;
}

/* The key of a member that is a row; p is after its opening quote. */
static const char *
read_row_key(FluctJson *json, Frame *frame, const char *p)
{
	const char *end = fluct_jsonlex_string(&json->lex, p, &frame->key_escaped);
	Sheet	   *sheet = sheet_at(json, frame->members);
	FluctKey	key;

	if (end == NULL)
		return NULL;
	frame->key = p;
	frame->key_len = end - p;
	key = fluct_keyset_key(&json->keys, p, end - p, frame->key_escaped);
	if (!fluct_keyset_add(&json->keys, &frame->keys, &key))
		return refuse_duplicate(json, frame);
	if (!add_row(json, sheet, p - 1))
		return NULL;
	if (sheet->key >= 0)
		*cell_to_fill(json, sheet, sheet->key) =
			(FluctJsonValue)
	{
		FLUCT_JSON_STRING, frame->key_escaped,
			(uint32_t) (end - p), p
	};
	frame->target = sheet->root;
	return end;
}

/* A key that was not the guessed one; p is after its opening quote. */
static __attribute__((noinline))
const char *
read_other_key(FluctJson *json, Frame *frame, const char *p)
{
	const char *end = fluct_jsonlex_string(&json->lex, p, &frame->key_escaped);
	FluctKey	key;
	int			child;

	if (frame->members >= 0)
		return read_row_key(json, frame, p);
	if (end == NULL)
		return NULL;
	frame->key = p;
	frame->key_len = end - p;
	key = fluct_keyset_key(&json->keys, p, end - p, frame->key_escaped);
	child = find_child(json, frame, fluct_keyset_text(&json->keys, &key), key.len);
	if (child >= 0 && node_at(json, child)->bit != 0)
	{
		learn_order(json, frame, child);
		if (!take_child(json, frame, child))
			return refuse_duplicate(json, frame);
		return end;
	}
	frame->target = child;
	if (child < 0 && frame->node >= 0 && node_at(json, frame->node)->root)
		frame->target = UNMAPPED;
	if (!fluct_keyset_add(&json->keys, &frame->keys, &key))
		return refuse_duplicate(json, frame);
	return end;
}

/* From a key's opening quote to the first byte of its value. */
static inline const char *
read_key(FluctJson *json, Frame *frame, const char *p)
{
	const Node *guess;

	frame->key = NULL;
	if (unlikely(p >= json->lex.end || *p != '"'))
		return fluct_jsonlex_expected(&json->lex, p, "a key");
	p++;
	guess = frame->guess >= 0 ? node_at(json, frame->guess) : NULL;
	if (likely(guess != NULL) && json->lex.end - p > guess->len &&
		p[guess->len] == '"' && memcmp(p, guess->key, guess->len) == 0)
	{
		frame->key = p;
		frame->key_len = guess->len;
		p += guess->len;
		if (!take_child(json, frame, frame->guess))
			return refuse_duplicate(json, frame);
	}
	else if ((p = read_other_key(json, frame, p)) == NULL)
		return NULL;
	p = fluct_jsonlex_blanks(p + 1, json->lex.end);
	if (unlikely(p >= json->lex.end || *p != ':'))
		return fluct_jsonlex_expected(&json->lex, p, "\":\"");
	return fluct_jsonlex_blanks(p + 1, json->lex.end);
}

/*
 * Values
 */

static const char *
scan_word(FluctJson *json, const char *p, const char *word, size_t len)
{
	if (json->lex.end - p < (ptrdiff_t) len || memcmp(p, word, len) != 0)
		return fluct_jsonlex_expected(&json->lex, p, "a value");
	return p + len;
}

/* The node of the array's element at hand, or NO_NODE. */
static __attribute__((noinline))
int
find_element(const FluctJson *json, const Frame *frame)
{
	int			child = node_at(json, frame->node)->first_child;

	while (child >= 0 &&
		   node_at(json, child)->index != (int) frame->index - 1)
		child = node_at(json, child)->next_sibling;
	return child;
}

/* An object begins where rows are wanted: its members are, or it is one. */
static __attribute__((noinline))
bool
open_rows(FluctJson *json, Frame *frame, const char *p)
{
	const Node *node = node_at(json, frame->node);
	Sheet	   *sheet = sheet_at(json, node->rows);

	if (sheet->by_member)
	{
		frame->members = node->rows;
		frame->guess = NO_NODE;
	}
	else if (sheet->single)
	{
		if (!add_row(json, sheet, p))
			return false;
		frame->array = frame->node;
		frame->node = sheet->root;
		frame->guess = node_at(json, sheet->root)->first_seen;
	}
	return true;
}

/* An object or array begins at p; returns what follows the bracket. */
static const char *
open_container(FluctJson *json, const char *p, int target)
{
	Frame	   *frame;

	if (json->depth == FLUCT_JSON_MAX_DEPTH)
		return fluct_jsonlex_fault(&json->lex, FLUCT_TOO_DEEP, p, "more than %d levels",
								   FLUCT_JSON_MAX_DEPTH);
	frame = &json->frames[json->depth++];
	frame->close = *p == '{' ? '}' : ']';
	frame->node = target;
	frame->array = NO_NODE;
	frame->members = -1;
	frame->by_index = false;
	frame->target = NO_NODE;
	frame->last = NO_NODE;
	frame->guess = NO_NODE;
	frame->seen = 0;
	frame->start = p;
	frame->key = NULL;
	frame->key_len = 0;
	frame->key_escaped = false;
	frame->index = 0;
	fluct_keyset_open(&json->keys, &frame->keys);
	if (target >= 0)
	{
		const Node *node = node_at(json, target);

		if (*p == '{')
		{
			frame->guess = node->first_seen;
			if (unlikely(node->rows >= 0) && !open_rows(json, frame, p))
				return NULL;
		}
		else if (node->rows >= 0)
		{
			if (!sheet_at(json, node->rows)->by_member)
				frame->target = sheet_at(json, node->rows)->root;
		}
		else
			frame->by_index = node->by_index;
	}
	return p + 1;
}

/* p is at the bracket that ends the innermost container. */
static inline const char *
close_container(FluctJson *json, const char *p)
{
	const Frame *frame = &json->frames[--json->depth];

	fluct_keyset_close(&json->keys, &frame->keys);
	keep(json, frame->node,
		 frame->close == '}' ? FLUCT_JSON_OBJECT : FLUCT_JSON_ARRAY,
		 frame->start, p + 1, false);
	if (unlikely(frame->array != NO_NODE))
		keep(json, frame->array, FLUCT_JSON_OBJECT, frame->start, p + 1, false);
	return p + 1;
}

/*
 * Reads one value, or the bracket that opens one; *opened says which.
 */
static inline const char *
scan_value(FluctJson *json, const char *p, int target, bool *opened)
{
	const char *start = p;
	FluctJsonType type;
	bool		escaped = false;

	*opened = false;
	if (unlikely(p >= json->lex.end))
		return fluct_jsonlex_expected(&json->lex, p, "a value");
	switch (*p)
	{
		case '"':
			p = fluct_jsonlex_string(&json->lex, p + 1, &escaped);
			if (p == NULL)
				return NULL;
			keep(json, target, FLUCT_JSON_STRING, start + 1, p, escaped);
			return p + 1;
		case '{':
		case '[':
			*opened = true;
			return open_container(json, p, target);
		case 't':
			type = FLUCT_JSON_BOOL;
			p = scan_word(json, p, "true", 4);
			break;
		case 'f':
			type = FLUCT_JSON_BOOL;
			p = scan_word(json, p, "false", 5);
			break;
		case 'n':
			type = FLUCT_JSON_NULL;
			p = scan_word(json, p, "null", 4);
			break;
		default:
			if (*p != '-' && !fluct_text_is_digit(*p))
				return fluct_jsonlex_expected(&json->lex, p, "a value");
			type = FLUCT_JSON_NUMBER;
			p = fluct_jsonlex_number(&json->lex, p);
			break;
	}
	if (p != NULL)
		keep(json, target, type, start, p, false);
	return p;
}

/*
 * From the end of a value, or from after an opening bracket, to the first
 * byte of the next value; closes what ends on the way.  With depth 0 the
 * document is complete.
 */
static inline const char *
next_value(FluctJson *json, const char *p, bool opened)
{
	while (json->depth > 0)
	{
		Frame	   *frame = &json->frames[json->depth - 1];

		p = fluct_jsonlex_blanks(p, json->lex.end);
		if (p < json->lex.end && *p == frame->close)
		{
			p = close_container(json, p);
			opened = false;
			continue;
		}
		if (!opened)
		{
			if (unlikely(p >= json->lex.end || *p != ','))
				return fluct_jsonlex_expected(&json->lex, p, frame->close == '}' ?
											  "\",\" or \"}\"" : "\",\" or \"]\"");
			p = fluct_jsonlex_blanks(p + 1, json->lex.end);
		}
		if (frame->close == '}')
			return read_key(json, frame, p);
		frame->index++;
		if (unlikely(frame->by_index))
			frame->target = find_element(json, frame);
		else if (frame->target >= 0 &&
				 !add_row(json, sheet_at(json, node_at(json, frame->target)->sheet), p))
			return NULL;
		return p;
	}
	return p;
}

static const char *
scan_document(FluctJson *json, const char *p)
{
	int			target = 0;
	bool		opened;

	p = fluct_jsonlex_blanks(p, json->lex.end);
	if (p == json->lex.end)
		return fluct_jsonlex_fault(&json->lex, FLUCT_INVALID_JSON, p, "nothing but blanks");
	do
	{
		p = scan_value(json, p, target, &opened);
		if (unlikely(p == NULL))
			return NULL;
		p = next_value(json, p, opened);
		if (unlikely(p == NULL))
			return NULL;
		target = json->frames[json->depth > 0 ? json->depth - 1 : 0].target;
	} while (json->depth > 0);
	p = fluct_jsonlex_blanks(p, json->lex.end);
	if (p < json->lex.end)
		return fluct_jsonlex_expected(&json->lex, p, "the end of the message");
	return p;
}

/* Forgets the last message. */
static void
begin_message(FluctJson *json, const char *bytes, size_t len)
{
	json->lex.bytes = bytes;
	json->lex.end = bytes + len;
	json->lex.long_number = false;
	json->misstep.reason = FLUCT_OK;
	json->depth = 0;
	fluct_keyset_reset(&json->keys, bytes);
	for (size_t i = 0; i < json->sheets.count; i++)
	{
		Sheet	   *sheet = sheet_at(json, i);

		fluct_vector_reset(&sheet->rows, &json->allocator, sizeof(Row));
		fluct_vector_reset(&sheet->cells, &json->allocator, sizeof(FluctJsonValue));
		fluct_vector_reset(&sheet->members, &json->allocator, sizeof(FluctJsonMember));
	}
	begin_row(json, sheet_at(json, 0));
}

bool
fluct_json_scan(FluctJson *json, const char *bytes, size_t len,
				FluctRefusal *refusal)
{
	begin_message(json, bytes, len);
	if (len > FLUCT_JSON_MAX_LEN)
	{
		fluct_refuse(refusal, FLUCT_TOO_LARGE, "$", "%zu bytes", len);
		return false;
	}
	if (scan_document(json, bytes) == NULL)
	{
		fluct_jsonplace_refuse(json, refusal);
		return false;
	}
	return true;
}

/* Whether the paths begin at a value of that type. */
static bool
takes_root(const FluctJson *json, FluctJsonType type)
{
	const Node *root = node_at(json, 0);

	return type == FLUCT_JSON_OBJECT || json->any_root ||
		(type == FLUCT_JSON_ARRAY && (root->rows >= 0 || root->by_index));
}

const char *
fluct_json_type_name(FluctJsonType type)
{
	static const char *const names[] = {
		"nothing", "null", "a boolean", "a number", "a string",
		"an array", "an object"
	};

	return names[type];
}

bool
fluct_json_fits(const FluctJson *json, FluctRefusal *refusal)
{
	FluctJsonType type = last_row(sheet_at(json, 0))->type;

	if (!takes_root(json, type))
	{
		fluct_refuse(refusal, FLUCT_NOT_AN_OBJECT, "$",
					 "the message is %s", fluct_json_type_name(type));
		return false;
	}
	if (json->misstep.reason != FLUCT_OK)
	{
		*refusal = json->misstep;
		return false;
	}
	return true;
}

bool
fluct_json_parse(FluctJson *json, const char *bytes, size_t len,
				 FluctRefusal *refusal)
{
	return fluct_json_scan(json, bytes, len, refusal) &&
		fluct_json_fits(json, refusal);
}
