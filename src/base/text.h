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
 * Whether the valid character of so many bytes (0: there is none) is safe to
 * print: no control, escape or invisible character, none that turns text.
 */
extern bool fluct_text_is_safe(const char *p, int length);

/* The most bytes, with a NUL, that one character is shown by. */
#define FLUCT_TEXT_SHOWN	13

/*
 * Shows the first character from p on: itself, or \xNN for a byte and \uNNNN
 * for a character that is not safe to print.  Returns the bytes in out, and in
 * *length those that were shown.
 */
extern int	fluct_text_show(char out[FLUCT_TEXT_SHOWN], const char *p,
							const char *end, int *length);

/*
 * Copies text as it is shown, with `...` in place of what does not fit into
 * size bytes (at least 4).
 */
extern void fluct_text_printable(char *out, size_t size, const char *text);

#endif							/* FLUCT_BASE_TEXT_H */
