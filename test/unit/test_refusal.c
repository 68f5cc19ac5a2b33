/*-------------------------------------------------------------------------
 *
 * test_refusal.c
 *	  Reasons, and refusals that can be printed.
 *
 *-------------------------------------------------------------------------
 */
#include "base/refusal.h"
#include "tap.h"

static void
test_reasons(void)
{
	static const char *const words[] = {
		"ok", "empty_value", "invalid_json", "invalid_encoding", "nul",
		"not_an_object", "duplicate_key", "missing_field", "null_field",
		"wrong_type", "not_finite", "out_of_range", "bad_timestamp",
		"empty_key", "too_long", "too_deep", "too_large", "constraint",
		"trigger"
	};

	for (int i = FLUCT_OK; i <= FLUCT_TRIGGER; i++)
	{
		is_text(fluct_reason_name(i), words[i], words[i]);
		ok(strlen(fluct_reason_sqlstate(i)) == 5, "%s has a SQLSTATE",
		   words[i]);
	}
}

static void
test_refuse(void)
{
	FluctRefusal refusal;
	char		text[1000];

	fluct_refuse(&refusal, FLUCT_NUL, NULL, "%s at %d", "a NUL", 7);
	ok(refusal.reason == FLUCT_NUL, "reason is kept");
	is_text(refusal.sqlstate, "22P05", "SQLSTATE is the reason's");
	is_text(refusal.path, "", "no path is an empty one");
	is_text(refusal.detail, "a NUL at 7", "detail is formatted");

	fluct_refuse(&refusal, FLUCT_NUL, "$.a\x1b[31m", "x\xffy\n\xc2\x9bz");
	is_text(refusal.path, "$.a\\x1b[31m", "no control characters in the path");
	is_text(refusal.detail, "x\\xffy\\x0a\\u009bz", "no broken UTF-8 in the detail");

	for (int i = 0; i < 333; i++)
		memcpy(text + 3 * i, "\xe2\x82\xac", 4);
	for (int i = 0; i < 3; i++)
	{
		const char *end;

		fluct_refuse(&refusal, FLUCT_NUL, text + 3, "%.*s%s", i, "xx", text);
		ok(strlen(refusal.detail) < FLUCT_DETAIL_LEN &&
		   strlen(refusal.detail) > FLUCT_DETAIL_LEN - 5,
		   "a long detail is cut (%d)", i);
		end = refusal.detail + strlen(refusal.detail) - 3;
		is_text(end, "...", "and says so");
		ok(memcmp(end - 3, "\xe2\x82\xac", 3) == 0, "between characters");
	}
	memset(text, 'a', 255);
	text[255] = '\0';
	fluct_refuse(&refusal, FLUCT_NUL, text, "%s", text);
	is_text(refusal.path, text, "what just fits is not cut");
}

int
main(void)
{
	test_reasons();
	test_refuse();
	return done_testing();
}
