/*-------------------------------------------------------------------------
 *
 * lexer.h
 *	  JSON strings, numbers and blanks, checked in one pass.
 *
 * A function takes the place where something begins and returns what follows
 * it, or NULL after noting the fault.  What every message uses is inline.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_LEXER_H
#define FLUCT_JSON_LEXER_H

#include <string.h>

#include "base/message.h"
#include "base/text.h"
#include "json/number.h"
#if defined(__SSE2__) && !defined(FLUCT_NO_SIMD)
#include <emmintrin.h>
#define FLUCT_USE_SSE2

typedef __m128i FluctBytes16;
#endif

#define likely(x)			__builtin_expect((x) != 0, 1)
#define unlikely(x)			__builtin_expect((x) != 0, 0)

/* The bytes at hand, and what is wrong with them. */
typedef struct FluctJsonLex
{
	const char *bytes;
	const char *end;
	bool		long_number;	/* one has more than FLUCT_MAX_DIGITS */
	FluctReason reason;
	const char *at;
	char		what[FLUCT_DETAIL_LEN];
} FluctJsonLex;

/* Notes a fault; returns NULL. */
extern const char *fluct_jsonlex_fault(FluctJsonLex *lex, FluctReason reason,
									   const char *at, const char *format,...)
			__attribute__((format(printf, 4, 5), cold, noinline));

/* What is at p is not what was expected. */
extern const char *fluct_jsonlex_expected(FluctJsonLex *lex, const char *p,
										  const char *expected)
			__attribute__((cold, noinline));

/* The rare cases of the functions below. */
extern const char *fluct_jsonlex_special(FluctJsonLex *lex, const char *p);
extern const char *fluct_jsonlex_exponent(FluctJsonLex *lex, const char *p);
extern void fluct_jsonlex_judge(FluctJsonLex *lex, const char *start,
								const char *end);

static inline const char *
fluct_jsonlex_blanks(const char *p, const char *end)
{
	while (p < end &&
		   (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* Whether one of eight bytes is a quote, backslash, control or not ASCII. */
static inline bool
fluct_jsonlex_has_special(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t highs = ones << 7;
	uint64_t	quote = word ^ ones * '"';
	uint64_t	slash = word ^ ones * '\\';

	/* a borrow can only err towards true, after a byte that is special */
	return ((word | (word - ones * 0x20) | (quote - ones) | (slash - ones)) &
			highs) != 0;
}

/* To the next byte that is a quote, a backslash, a control, or not ASCII. */
static inline const char *
fluct_jsonlex_plain(const char *p, const char *end)
{
#ifdef FLUCT_USE_SSE2
	const FluctBytes16 quote = _mm_set1_epi8('"');
	const FluctBytes16 slash = _mm_set1_epi8('\\');
	const FluctBytes16 blank = _mm_set1_epi8(' ');

	for (; end - p >= 16; p += 16)
	{
		FluctBytes16 v = _mm_loadu_si128((const FluctBytes16 *) p);
		FluctBytes16 hit;
		int			mask;

		/* signed: bytes from 0x80 on are less than a blank, too */
		hit = _mm_or_si128(_mm_cmplt_epi8(v, blank),
						   _mm_or_si128(_mm_cmpeq_epi8(v, quote),
										_mm_cmpeq_epi8(v, slash)));
		mask = _mm_movemask_epi8(hit);
		if (mask != 0)
			return p + __builtin_ctz(mask);
	}
#endif
	for (; end - p >= 8; p += 8)
	{
		uint64_t	word;

		memcpy(&word, p, 8);
		if (fluct_jsonlex_has_special(word))
			break;
	}
	while (p < end && (unsigned char) *p >= 0x20 &&
		   (unsigned char) *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* From after the opening quote to the closing one. */
static inline const char *
fluct_jsonlex_string(FluctJsonLex *lex, const char *p, bool *escaped)
{
	const char *start = p;

	*escaped = false;
	for (;;)
	{
		p = fluct_jsonlex_plain(p, lex->end);
		if (unlikely(p >= lex->end))
			return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, start - 1,
									   "the message ends in the string that begins");
		if (likely(*p == '"'))
			return p;
		*escaped |= *p == '\\';
		p = fluct_jsonlex_special(lex, p);
		if (p == NULL)
			return NULL;
	}
}

/* Digits, at least one. */
static inline const char *
fluct_jsonlex_digits(FluctJsonLex *lex, const char *p)
{
	const char *start = p;

	while (p < lex->end && fluct_text_is_digit(*p))
		p++;
	return likely(p > start) ? p : fluct_jsonlex_expected(lex, p, "a digit");
}

/* A number; its digits are counted only where there could be too many. */
static inline const char *
fluct_jsonlex_number(FluctJsonLex *lex, const char *p)
{
	const char *start = p;
	bool		judge = false;

	p += *p == '-';
	if (p < lex->end && *p == '0')
		p++;
	else if ((p = fluct_jsonlex_digits(lex, p)) == NULL)
		return NULL;
	if (p < lex->end && *p == '.' &&
		(p = fluct_jsonlex_digits(lex, p + 1)) == NULL)
		return NULL;
	if (p < lex->end && (*p == 'e' || *p == 'E'))
	{
		judge = true;
		if ((p = fluct_jsonlex_exponent(lex, p)) == NULL)
			return NULL;
	}
	if (unlikely(judge || p - start > FLUCT_MAX_DIGITS))
		fluct_jsonlex_judge(lex, start, p);
	return p;
}

#endif							/* FLUCT_JSON_LEXER_H */
