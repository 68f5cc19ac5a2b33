/*-------------------------------------------------------------------------
 *
 * text.h
 *	  UTF-8, and text that is safe to print.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BASE_TEXT_H
#define FLUCT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

static inline bool
fluct_text_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Bytes of the UTF-8 character at p (1 to 4), or 0 if it is not valid. */
extern int	fluct_text_utf8_char(const char *p, const char *end);

/*
 * Copies text so that it can be printed: whole UTF-8 characters only, no
 * control characters, truncated with `...` if it does not fit into size bytes.
 */
extern void fluct_text_printable(char *out, size_t size, const char *text);

#endif							/* FLUCT_BASE_TEXT_H */
