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
		if (node->len == step->len &&
			memcmp(node->key, step->key, step->len) == 0)
			return child;
		last = child;
	}
	child = add_node(json, node_at(json, parent)->sheet);
	node = node_at(json, child);
	node->key = step->key;
	node->len = (uint32_t) step->len;
	node->plain = is_plain(step->key, step->len);
	node->bit = count < SEEN_BITS ? UINT64_C(1) << count : 0;
	if (last >= 0)
		node_at(json, last)->next_sibling = child;
	else
		node_at(json, parent)->first_child = child;
	return child;
}

static int
add_path(FluctJson *json, int sheet, const FluctJsonPath *path)
{
	int			node = sheet_at(json, sheet)->root;

	for (int i = 0; i < path->count; i++)
		node = add_child(json, node, &path->steps[i]);
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

int
fluct_json_add_rowset(FluctJson *json, const char *path)
{
	FluctJsonPath steps;
	int			node;

	if (!fluct_jsonpath_read(&steps, path, &json->allocator) || steps.start != '$' || !steps.rows ||
		steps.count == 0)
		return -1;
	node = add_path(json, 0, &steps);
	if (node_at(json, node)->rows < 0)
	{
		int			sheet = add_sheet(json);

		node_at(json, node)->rows = sheet;
	}
	return node_at(json, node)->rows - 1;
}

int
fluct_json_add_field(FluctJson *json, int rowset, const char *path)
{
	FluctJsonPath steps;
	Node	   *node;

	if (rowset < FLUCT_JSON_ROOT ||
		rowset + 1 >= (int) json->sheets.count ||
		!fluct_jsonpath_read(&steps, path, &json->allocator) || steps.rows ||
		steps.start != (rowset == FLUCT_JSON_ROOT ? '$' : '@'))
		return -1;
	node = node_at(json, add_path(json, rowset + 1, &steps));
	if (node->field < 0)
		node->field = sheet_at(json, rowset + 1)->fields++;
	return node->field;
}

void
fluct_json_limit_rows(FluctJson *json, int rowset, size_t max_rows)
{
	Sheet	   *sheet = sheet_at(json, rowset + 1);

	if (max_rows < sheet->max_rows)
		sheet->max_rows = max_rows;
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
fluct_json_rowset_type(const FluctJson *json, int rowset)
{
	return sheet_at(json, rowset + 1)->type;
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
