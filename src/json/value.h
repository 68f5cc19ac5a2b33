/*-------------------------------------------------------------------------
 *
 * value.h
 *	  Values and members as they stand in a message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_VALUE_H
#define FLUCT_JSON_VALUE_H

#include "base/message.h"

/* Open brackets at one time, and bytes of a message. */
#define FLUCT_JSON_MAX_DEPTH	64
#define FLUCT_JSON_MAX_LEN		((size_t) INT32_MAX)

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
 * A value as it is written in the message: a string without its quotes (still
 * escaped if `escaped`), anything else as written.  `text` points into the
 * bytes given to fluct_json_parse and is not NUL-terminated.  16 bytes, since there
 * are as many as a message's rows have columns.
 */
typedef struct FluctJsonValue
{
	FluctJsonType type:8;
	bool		escaped;
	uint32_t	len;
	const char *text;
} FluctJsonValue;

/* A member of an object that no path names; the key is a string value. */
typedef struct FluctJsonMember
{
	FluctJsonValue key;
	FluctJsonValue value;
} FluctJsonMember;

#endif							/* FLUCT_JSON_VALUE_H */
