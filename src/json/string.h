/*-------------------------------------------------------------------------
 *
 * string.h
 *	  JSON strings without their escapes, and values counted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_STRING_H
#define FLUCT_JSON_STRING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * How many values a scanned JSON value holds, itself included; an empty
 * container counts as two.
 */
extern size_t fluct_string_count_values(const char *text, size_t len);

/*
 * Whether a number in a scanned JSON value, or in another text, has more than
 * FLUCT_MAX_DIGITS digits when it is written out.
 */
extern bool fluct_string_has_long_number(const char *text, size_t len);

/* Bytes of a scanned JSON string at text, with both of its quotes. */
extern size_t fluct_string_len(const char *text, const char *end);

/* A scanned JSON string without its escapes; out has room for len bytes. */
extern size_t fluct_string_unescape(const char *text, size_t len, char *out);

#endif							/* FLUCT_JSON_STRING_H */
