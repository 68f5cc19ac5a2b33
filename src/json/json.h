/*-------------------------------------------------------------------------
 *
 * json.h
 *	  A strict single-pass JSON scanner that picks out the wanted fields.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_JSON_H
#define FLUCT_JSON_JSON_H

#include "base/message.h"

typedef enum FluctJsonType
{
	FLUCT_JSON_ABSENT = 0,
	FLUCT_JSON_NULL,
	FLUCT_JSON_BOOL,
	FLUCT_JSON_NUMBER,
	FLUCT_JSON_STRING,
	FLUCT_JSON_ARRAY,
	FLUCT_JSON_OBJECT
} FluctJsonType;

/*
 * A value as it stands in the message: a string without its quotes (still
 * escaped if `escaped`), anything else as written.  `text` points into the
 * bytes given to fluct_json_parse and is not NUL-terminated.
 */
typedef struct FluctJsonValue
{
	FluctJsonType type;
	bool		escaped;
	size_t		len;
	const char *text;
} FluctJsonValue;

/* A member of an object that no path asked for; the key is a string value. */
typedef struct FluctJsonMember
{
	FluctJsonValue key;
	FluctJsonValue value;
} FluctJsonMember;

typedef struct FluctJson FluctJson;

/* The message itself, in place of a rowset. */
#define FLUCT_JSON_ROOT		(-1)

/* Open brackets at one time, and bytes of a message. */
#define FLUCT_JSON_MAX_DEPTH	64
#define FLUCT_JSON_MAX_LEN		((size_t) INT32_MAX)

/*
 * Life: create, add the paths, then parse as often as wanted.  All memory
 * comes from the allocator and is reused from parse to parse; results hold
 * until the next parse.
 *
 * Paths: `$`, `$.a.b`, `$["odd key"].b` from the message (rowset
 * FLUCT_JSON_ROOT); `@`, `@.x.y` from the element of a rowset; a rowset is
 * `$.a.b[*]`.  The add functions return the number of the rowset or field, or
 * -1 for a path that is not of that form.  Fields are numbered from 0 within
 * their rowset.  The same path added twice gives the same number.
 */
extern FluctJson *fluct_json_create(const FluctAllocator *allocator);
extern int	fluct_json_add_rowset(FluctJson *json, const char *path);
extern int	fluct_json_add_field(FluctJson *json, int rowset, const char *path);

/*
 * Checks the whole message and picks out the fields.  False with *refusal
 * filled (reason, SQLSTATE, path, detail) when the message is not acceptable.
 */
extern bool fluct_json_parse(FluctJson *json, const char *bytes, size_t len,
							 FluctRefusal *refusal);

extern const FluctJsonValue *fluct_json_field(const FluctJson *json, int field);
extern FluctJsonType fluct_json_rowset_type(const FluctJson *json, int rowset);
extern int	fluct_json_row_count(const FluctJson *json, int rowset);

/* What the element itself is: cells by name are absent if it is no object. */
extern FluctJsonType fluct_json_row_type(const FluctJson *json, int rowset,
										 int row);
extern const FluctJsonValue *fluct_json_cell(const FluctJson *json, int rowset,
											 int row, int field);

/*
 * The members at the top of the message (rowset FLUCT_JSON_ROOT, row 0) or of
 * one element of a rowset with whose key no added path begins.
 */
extern const FluctJsonMember *fluct_json_unmapped(const FluctJson *json,
												  int rowset, int row,
												  int *count);

#endif							/* FLUCT_JSON_JSON_H */
