/*-------------------------------------------------------------------------
 *
 * binary.h
 *	  Bytes that travel in JSON as text: base64, and decimals in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_JSON_BINARY_H
#define FLUCT_JSON_BINARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes and the greatest scale that a decimal may have. */
#define FLUCT_DECIMAL_BYTES	256
#define FLUCT_DECIMAL_SCALE	1000
#define FLUCT_DECIMAL_ROOM	2048

/*
 * Base64 of either alphabet, with padding or without, into bytes; false if it
 * is not.  out has room for 3 bytes of each 4 begun.
 */
extern bool fluct_binary_base64(const char *text, size_t len,
								unsigned char *out, size_t *outlen);

/*
 * A big-endian integer in two's complement, divided by ten to the scale, as
 * text in FLUCT_DECIMAL_ROOM bytes; returns its length.  The bytes are used up.
 */
extern size_t fluct_binary_decimal(unsigned char *bytes, size_t len, int scale,
								   char *out);

#endif							/* FLUCT_JSON_BINARY_H */
