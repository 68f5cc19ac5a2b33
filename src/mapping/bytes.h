/*-------------------------------------------------------------------------
 *
 * bytes.h
 *	  Bytes that are written as text: as byteain has them, base64, hex.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_MAPPING_BYTES_H
#define FLUCT_MAPPING_BYTES_H

#include "mapping/shape.h"

/* What a hexadecimal digit stands for; -1 for another character. */
extern int	fluct_bytes_hex_value(char c);

/* `\x` and hex digits, or characters and `\ooo`, in place. */
extern FluctReason fluct_bytes_unescape(char *to, size_t *len);

/*
 * The unescaped string *plain, in base64 or hex, becomes what the column (bytea
 * or text) takes.
 */
extern FluctReason fluct_bytes_base64(const FluctColumn *column,
									  FluctJsonValue *plain);
extern FluctReason fluct_bytes_hex(const FluctColumn *column,
								   FluctJsonValue *plain);

#endif							/* FLUCT_MAPPING_BYTES_H */
