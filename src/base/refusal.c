/*-------------------------------------------------------------------------
 *
 * refusal.c
 *	  Reasons by name, and refusals filled with printable text.
 *
 *-------------------------------------------------------------------------
 */
#include "base/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

typedef struct ReasonInfo
{
	const char *name;
	const char *sqlstate;
} ReasonInfo;

static const ReasonInfo reasons[] = {
	[FLUCT_OK] = {"ok", "00000"},
	[FLUCT_EMPTY_VALUE] = {"empty_value", "22P02"},
	[FLUCT_INVALID_JSON] = {"invalid_json", "22P02"},
	[FLUCT_INVALID_ENCODING] = {"invalid_encoding", "22021"},
	[FLUCT_NUL] = {"nul", "22P05"},
	[FLUCT_NOT_AN_OBJECT] = {"not_an_object", "2203C"},
	[FLUCT_DUPLICATE_KEY] = {"duplicate_key", "22030"},
	[FLUCT_MISSING_FIELD] = {"missing_field", "23502"},
	[FLUCT_NULL_FIELD] = {"null_field", "23502"},
	[FLUCT_WRONG_TYPE] = {"wrong_type", "22P02"},
	[FLUCT_NOT_FINITE] = {"not_finite", "22003"},
	[FLUCT_OUT_OF_RANGE] = {"out_of_range", "22003"},
	[FLUCT_BAD_TIMESTAMP] = {"bad_timestamp", "22007"},
	[FLUCT_EMPTY_KEY] = {"empty_key", "2200F"},
	[FLUCT_TOO_LONG] = {"too_long", "54000"},
	[FLUCT_TOO_DEEP] = {"too_deep", "54001"},
	[FLUCT_TOO_LARGE] = {"too_large", "54000"},
	[FLUCT_CONSTRAINT] = {"constraint", "23000"},
	[FLUCT_TRIGGER] = {"trigger", "09000"},
};

const char *
fluct_reason_name(FluctReason reason)
{
	return reasons[reason].name;
}

const char *
fluct_reason_sqlstate(FluctReason reason)
{
	return reasons[reason].sqlstate;
}

void
fluct_refuse(FluctRefusal *refusal, FluctReason reason, const char *path,
			 const char *detail,...)
{
	char		text[4 * FLUCT_DETAIL_LEN];
	va_list		args;

	va_start(args, detail);
	if (vsnprintf(text, sizeof(text), detail, args) < 0)
		text[0] = '\0';
	va_end(args);

	refusal->reason = reason;
	memcpy(refusal->sqlstate, reasons[reason].sqlstate, 6);
	fluct_text_printable(refusal->path, sizeof(refusal->path), path ? path : "");
	fluct_text_printable(refusal->detail, sizeof(refusal->detail), text);
}
