/*-------------------------------------------------------------------------
 *
 * json.c
 *	  The paths that are wanted of a message, and what was found there.
 *
 * scan.c makes the one pass over the bytes.  It checks everything that makes a
 * message acceptable (grammar, UTF-8, keys, depth, size of numbers) and notes
 * where the wanted values are.  Nothing is copied and nothing is allocated per
 * value.
 *
 *-------------------------------------------------------------------------
 */
#include "json/json.h"

#include <string.h>

#include "json/path.h"
#include "json/tree.h"

static const FluctJsonValue absent_value;

/*
 * Paths
 */

static int
add_node(FluctJson *json, int sheet)
{
	Node	   *node = reserve(json, &json->nodes, 1, sizeof(Node));

	memset(node, 0, sizeof(Node));
	node->sheet = sheet;
	node->field = node->rows = -1;
	node->index = -1;
	node->first_child = node->next_sibling = NO_NODE;
	node->first_seen = node->successor = NO_NODE;
	return (int) json->nodes.count++;
}

/* A sheet, with the node of its elements. */
static int
add_sheet(FluctJson *json)
{
	Sheet	   *sheet = reserve(json, &json->sheets, 1, sizeof(Sheet));
	int			number = (int) json->sheets.count++;

	memset(sheet, 0, sizeof(Sheet));
	sheet->max_rows = SIZE_MAX;
	sheet->above = sheet->key = -1;
	sheet->root = add_node(json, number);
	node_at(json, sheet->root)->root = true;
	return number;
}

/* Whether the key is written in every message as it is here. */
static bool
is_plain(const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) key[i] < 0x20 || key[i] == '"' || key[i] == '\\')
			return false;
	return true;
}

/* The child of a node with that key, added if there is none. */
static int
add_child(FluctJson *json, int parent, const FluctJsonStep *step)
{
	int			child = node_at(json, parent)->first_child;
	int			last = NO_NODE;
	int			count = 0;
	Node	   *node;

	for (; child >= 0; child = node_at(json, child)->next_sibling, count++)
	{
		node = node_at(json, child);
		if (step->kind == FLUCT_STEP_INDEX ? node->index == step->index :
			node->index < 0 && node->len == step->len &&
			memcmp(node->key, step->key, step->len) == 0)
			return child;
		last = child;
	}
	child = add_node(json, node_at(json, parent)->sheet);
	node = node_at(json, child);
	if (step->kind == FLUCT_STEP_INDEX)
	{
		node->index = step->index;
		node_at(json, parent)->by_index = true;
	}
	else
		node_at(json, parent)->by_key = true;
	node->key = step->key ? step->key : "";
	node->len = (uint32_t) step->len;
	node->plain = step->key && is_plain(step->key, step->len);
	node->bit = count < SEEN_BITS ? UINT64_C(1) << count : 0;
	if (last >= 0)
		node_at(json, last)->next_sibling = child;
	else
		node_at(json, parent)->first_child = child;
	return child;
}

/*
 * Whether a path may go on there: not to one element of an array whose
 * elements are rows, nor into an object whose members are.
 */
static bool
may_have_child(const FluctJson *json, int node, const FluctJsonStep *step)
{
	const Node *at = node_at(json, node);

	if (at->rows < 0)
		return true;
	return step->kind == FLUCT_STEP_KEY && !sheet_at(json, at->rows)->by_member &&
		!sheet_at(json, at->rows)->single;
}

/* The node at the end of a path, or -1. */
static int
add_path(FluctJson *json, int sheet, const FluctJsonPath *path)
{
	int			node = sheet_at(json, sheet)->root;

	for (int i = 0; i < path->count && node >= 0; i++)
		node = may_have_child(json, node, &path->steps[i]) ?
			add_child(json, node, &path->steps[i]) : -1;
	return node;
}

FluctJson *
fluct_json_create(const FluctAllocator *allocator)
{
	FluctJson  *json = allocator->resize(allocator->arg, NULL,
										 sizeof(FluctJson));

	memset(json, 0, sizeof(FluctJson));
	json->allocator = *allocator;
	fluct_keyset_init(&json->keys, allocator);
	(void) add_sheet(json);
	return json;
}

/* The cell of a node, made if it has none. */
static int
add_cell(FluctJson *json, int node)
{
	Node	   *at = node_at(json, node);

	if (at->field < 0)
		at->field = sheet_at(json, at->sheet)->fields++;
	return at->field;
}

/*
 * The sheet of the rows at a node, made if there is none; -1 where they are
 * another kind of rows already, or some of them have paths of their own.
 */
static int
add_rows(FluctJson *json, int node, bool members, bool single)
{
	int			above = node_at(json, node)->sheet;
	int			at;
	int			number = node_at(json, node)->rows;
	Sheet	   *sheet;

	if (number >= 0)
	{
		sheet = sheet_at(json, number);
		return sheet->by_member == members && sheet->single == single ? number : -1;
	}
	if (node_at(json, node)->by_index ||
		((members || single) && node_at(json, node)->first_child != NO_NODE))
		return -1;
	at = add_cell(json, node);
	number = add_sheet(json);
	node_at(json, node)->rows = number;
	sheet = sheet_at(json, number);
	sheet->above = above;
	sheet->at = at;
	sheet->by_member = members;
	sheet->single = single;
	return number;
}

int
fluct_json_add_rows(FluctJson *json, int above, const char *path, bool single)
{
	FluctJsonPath steps;
	int			sheet = above + 1;
	int			node;

	if (sheet < 0 || sheet >= (int) json->sheets.count ||
		!fluct_jsonpath_read(&steps, path, &json->allocator) || !steps.rows ||
		steps.start != (above == FLUCT_JSON_ROOT ? '$' : '@'))
		return -1;
	node = sheet_at(json, sheet)->root;
	for (int i = 0; i < steps.count; i++)
	{
		const FluctJsonStep *step = &steps.steps[i];

		if (step->kind == FLUCT_STEP_KEY || step->kind == FLUCT_STEP_INDEX)
		{
			if (!may_have_child(json, node, step))
				return -1;
			node = add_child(json, node, step);
			continue;
		}
		sheet = add_rows(json, node, step->kind == FLUCT_STEP_MEMBERS,
						 single && step->kind == FLUCT_STEP_ELEMENTS);
		if (sheet < 0)
			return -1;
		node = sheet_at(json, sheet)->root;
	}
	return sheet - 1;
}

int
fluct_json_add_rowset(FluctJson *json, const char *path)
{
	return fluct_json_add_rows(json, FLUCT_JSON_ROOT, path, false);
}

int
fluct_json_add_key(FluctJson *json, int rowset)
{
	Sheet	   *sheet = sheet_at(json, rowset + 1);

	if (!sheet->by_member)
		return -1;
	if (sheet->key < 0)
		sheet->key = sheet->fields++;
	return sheet->key;
}

void
fluct_json_take_any_root(FluctJson *json)
{
	json->any_root = true;
}

int
fluct_json_add_field(FluctJson *json, int rowset, const char *path)
{
	FluctJsonPath steps;
	int			node;

	if (rowset < FLUCT_JSON_ROOT ||
		rowset + 1 >= (int) json->sheets.count ||
		!fluct_jsonpath_read(&steps, path, &json->allocator) || steps.rows ||
		steps.start != (rowset == FLUCT_JSON_ROOT ? '$' : '@'))
		return -1;
	node = add_path(json, rowset + 1, &steps);
	return node < 0 ? -1 : add_cell(json, node);
}

void
fluct_json_limit_rows(FluctJson *json, int rowset, size_t max_rows)
{
	Sheet	   *sheet;

	for (int i = rowset + 1; i > 0; i = sheet->above)
	{
		sheet = sheet_at(json, i);
		if (max_rows < sheet->max_rows)
			sheet->max_rows = max_rows;
	}
}

/*
 * Results
 */

bool
fluct_json_has_long_number(const FluctJson *json)
{
	return json->lex.long_number;
}

const FluctJsonValue *
fluct_json_field(const FluctJson *json, int field)
{
	return fluct_json_cell(json, FLUCT_JSON_ROOT, 0, field);
}

FluctJsonType
fluct_json_rows_type(const FluctJson *json, int rowset, int above)
{
	const Sheet *sheet = sheet_at(json, rowset + 1);

	return fluct_json_cell(json, sheet->above - 1, above, sheet->at)->type;
}

FluctJsonType
fluct_json_rowset_type(const FluctJson *json, int rowset)
{
	return fluct_json_rows_type(json, rowset, 0);
}

int
fluct_json_above(const FluctJson *json, int rowset)
{
	return sheet_at(json, rowset + 1)->above - 1;
}

bool
fluct_json_takes(const FluctJson *json, int rowset, FluctJsonType type)
{
	const Sheet *sheet = sheet_at(json, rowset + 1);

	return type == FLUCT_JSON_ARRAY ? !sheet->by_member :
		type == FLUCT_JSON_OBJECT && (sheet->by_member || sheet->single);
}

int
fluct_json_row_count(const FluctJson *json, int rowset)
{
	return (int) sheet_at(json, rowset + 1)->rows.count;
}

static const Row *
row_at(const Sheet *sheet, int row)
{
	return (const Row *) sheet->rows.data + row;
}

int
fluct_json_row_above(const FluctJson *json, int rowset, int row)
{
	return (int) row_at(sheet_at(json, rowset + 1), row)->above;
}

int
fluct_json_row_index(const FluctJson *json, int rowset, int row)
{
	return (int) row_at(sheet_at(json, rowset + 1), row)->index;
}

int
fluct_json_row_within(const FluctJson *json, int rowset, int row, int above)
{
	for (int s = rowset + 1; s != above + 1; s = sheet_at(json, s)->above)
		row = (int) row_at(sheet_at(json, s), row)->above;
	return row;
}

int
fluct_json_first_within(const FluctJson *json, int rowset, int above, int row)
{
	int			low = 0;
	int			high = fluct_json_row_count(json, rowset);

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (fluct_json_row_within(json, rowset, middle, above) < row)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

FluctJsonType
fluct_json_row_type(const FluctJson *json, int rowset, int row)
{
	return row_at(sheet_at(json, rowset + 1), row)->type;
}

const FluctJsonValue *
fluct_json_cell(const FluctJson *json, int rowset, int row, int field)
{
	const Sheet *sheet = sheet_at(json, rowset + 1);
	uint32_t	cells = row_at(sheet, row)->cells;

	if (cells == NO_CELLS)
		return &absent_value;
	return (const FluctJsonValue *) sheet->cells.data + cells + field;
}

const FluctJsonMember *
fluct_json_unmapped(const FluctJson *json, int rowset, int row, int *count)
{
	const Sheet *sheet = sheet_at(json, rowset + 1);
	const Row  *found = row_at(sheet, row);

	*count = (int) found->members;
	return (const FluctJsonMember *) sheet->members.data +
		found->first_member;
}
