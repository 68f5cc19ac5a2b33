/*-------------------------------------------------------------------------
 *
 * json.h
 *	  A strict single-pass JSON scanner that picks out the wanted fields.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_JSON_H
#define FLUCT_JSON_JSON_H

#include "json/value.h"

typedef struct FluctJson FluctJson;

/* The message itself, in place of a rowset. */
#define FLUCT_JSON_ROOT		(-1)

/*
 * Life: create, add the paths, then parse any number of messages.  All
 * memory comes from the allocator and is reused; results are valid until the
 * next parse.
 *
 * Paths: `$`, `$.a.b`, `$["odd key"].b`, `$['odd.key']`, `$.a[0]` from the
 * message (rowset FLUCT_JSON_ROOT); `@`, `@.x.y` from the element of a rowset.
 * A rowset is `$.a.b[*]` (the elements of an array), `$.a.*` (the members of an
 * object), or more than one of these steps, as `$.orders[*].lines[*]`; its rows
 * lie in those of the rowset `above` (FLUCT_JSON_ROOT for `$`, else `@`), and
 * with `single` an object is an array of one.
 * The add functions return the number of the rowset or field, or -1 for a path
 * that is not of that form, or that contradicts an earlier one.  Fields are
 * numbered from 0 within their rowset.  The same path added twice gives the
 * same number.
 */
extern FluctJson *fluct_json_create(const FluctAllocator *allocator);
extern int	fluct_json_add_rowset(FluctJson *json, const char *path);
extern int	fluct_json_add_rows(FluctJson *json, int above, const char *path,
								bool single);
extern int	fluct_json_add_field(FluctJson *json, int rowset, const char *path);

/* The field of a member's name, where the rows are members; else -1. */
extern int	fluct_json_add_key(FluctJson *json, int rowset);

/* Messages that are not objects are taken, too. */
extern void fluct_json_take_any_root(FluctJson *json);

/*
 * A message with more elements in the rowset, or in one above, is
 * FLUCT_TOO_LARGE.
 */
extern void fluct_json_limit_rows(FluctJson *json, int rowset, size_t max_rows);

/*
 * Checks the whole message and picks out the fields.  False with *refusal
 * filled (reason, SQLSTATE, path, detail) when the message is not acceptable.
 * That it is not, either, where a path steps into a value that has no members:
 * NULL and absent values end a path, all else is FLUCT_WRONG_TYPE.
 */
extern bool fluct_json_parse(FluctJson *json, const char *bytes, size_t len,
							 FluctRefusal *refusal);

/* Its two halves: all that makes it JSON, and whether the paths fit it. */
extern bool fluct_json_scan(FluctJson *json, const char *bytes, size_t len,
							FluctRefusal *refusal);
extern bool fluct_json_fits(const FluctJson *json, FluctRefusal *refusal);

/* As in "found a number". */
extern const char *fluct_json_type_name(FluctJsonType type);

extern const FluctJsonValue *fluct_json_field(const FluctJson *json, int field);
extern FluctJsonType fluct_json_rowset_type(const FluctJson *json, int rowset);

/* The same for the rows that lie in one row of the rowset above. */
extern FluctJsonType fluct_json_rows_type(const FluctJson *json, int rowset,
										  int above);

/* Whether a value of that type can be the rowset's. */
extern bool fluct_json_takes(const FluctJson *json, int rowset,
							 FluctJsonType type);

/* The rowset above, and there the row that holds this one. */
extern int	fluct_json_above(const FluctJson *json, int rowset);
extern int	fluct_json_row_above(const FluctJson *json, int rowset, int row);

/* The same for `above`, the rowset itself or one further up. */
extern int	fluct_json_row_within(const FluctJson *json, int rowset, int row,
								  int above);

/* The first row that lies in that row of `above`, or in one after it. */
extern int	fluct_json_first_within(const FluctJson *json, int rowset,
									int above, int row);

/* Which one it is, from 0, of those that lie in the same row above. */
extern int	fluct_json_row_index(const FluctJson *json, int rowset, int row);
extern int	fluct_json_row_count(const FluctJson *json, int rowset);

/* The type of the element: cells are absent if it is not an object. */
extern FluctJsonType fluct_json_row_type(const FluctJson *json, int rowset,
										 int row);
extern const FluctJsonValue *fluct_json_cell(const FluctJson *json, int rowset,
											 int row, int field);

/* Whether a number anywhere in it has more than FLUCT_MAX_DIGITS digits. */
extern bool fluct_json_has_long_number(const FluctJson *json);

/*
 * The members at the top of the message (rowset FLUCT_JSON_ROOT, row 0) or of
 * one element of a rowset whose key begins no added path.
 */
extern const FluctJsonMember *fluct_json_unmapped(const FluctJson *json,
												  int rowset, int row,
												  int *count);

#endif							/* FLUCT_JSON_JSON_H */
