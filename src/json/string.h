/*-------------------------------------------------------------------------
 *
 * string.h
 *	  JSON strings without their escapes, and values counted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_STRING_H
#define FLUCT_JSON_STRING_H

#include <stddef.h>

/*
 * How many values a scanned JSON value holds, itself included; an empty
 * container counts as two.
 */
extern size_t fluct_string_count_values(const char *text, size_t len);

/* A scanned JSON string without its escapes; out has room for len bytes. */
extern size_t fluct_string_unescape(const char *text, size_t len, char *out);

#endif							/* FLUCT_JSON_STRING_H */
