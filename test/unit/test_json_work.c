/*-------------------------------------------------------------------------
 *
 * test_json_work.c
 *	  The scanner's work grows no faster than the message.
 *
 * Work is counted, not timed: basic blocks, and bytes that are compared,
 * copied, cleared, searched or moved to a larger block (work.h).  So the same
 * message costs the same on any machine, but for the keys' random hash.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>

#include "json/json.h"
#include "tap.h"

/*
 * For four times the message: the work may be four times as much, and a little
 * more or less by the random hash of keys; quadratic work is sixteen times.
 */
#define MOST_TIMES		5

uint64_t	fluct_work;
void		__sanitizer_cov_trace_pc(void);

static Heap heap;

void
__sanitizer_cov_trace_pc(void)
{
	fluct_work++;
}

/* A block that grows may have to be copied. */
static void *
counted_resize(void *arg, void *p, size_t size)
{
	size_t		before = heap.bytes;
	void	   *result = heap_resize(arg, p, size);

	if (p != NULL)
		fluct_work += size - (heap.bytes - before);
	return result;
}

/* n repetitions of a piece between two others, and a number in each `%d`. */
static char *
repeated(const char *before, const char *piece, const char *after, int n,
		 size_t *len)
{
	char	   *text = malloc(strlen(before) + strlen(after) + 1 +
							  n * (strlen(piece) + 12));
	char	   *p = text + sprintf(text, "%s", before);

	for (int i = 0; i < n; i++)
	{
		const char *number = strchr(piece, '%');

		if (number == NULL)
			p += sprintf(p, "%s", piece);
		else
			p += sprintf(p, "%.*s%d%s", (int) (number - piece), piece, i,
						 number + 1);
	}
	p += sprintf(p, "%s", after);
	*len = p - text;
	return text;
}

/* A scanner of the default mapping, in part; a new one for each message. */
static FluctJson *
create(void)
{
	FluctAllocator allocator = {counted_resize, &heap};
	FluctJson  *json = fluct_json_create(&allocator);
	int			lines = fluct_json_add_rowset(json, "$.order_lines[*]");

	(void) fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.order_id");
	(void) fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.amount");
	(void) fluct_json_add_field(json, lines, "@.product_id");
	(void) fluct_json_add_field(json, lines, "@.volume");
	return json;
}

static uint64_t
work_of(const char *text, size_t len)
{
	FluctJson  *json = create();
	FluctRefusal refusal;

	fluct_work = 0;
	(void) fluct_json_parse(json, text, len, &refusal);
	heap_free(&heap);
	return fluct_work;
}

int
main(void)
{
	static const struct
	{
		const char *name;
		const char *before;
		const char *piece;
		const char *after;
		int			n;
	}			cases[] = {
		{"brackets", "", "[", "", 1000000},
		{"open quotes", "", "\"", "", 1000000},
		{"blanks", "", " ", "", 4000000},
		{"backslashes", "{\"a\":\"", "\\\\", "\"}", 2000000},
		{"escapes", "{\"a\":\"", "\\u0041", "\"}", 500000},
		{"an escaped key", "{\"", "\\u0041", "\":1}", 500000},
		{"a long key", "{\"", "kkkkkkkkkkkkkkkk", "\":1}", 200000},
		{"digits", "{\"a\":1", "0000000000", "}", 200000},
		{"digits with an exponent", "{\"a\":1", "0000000000", "e-9}", 200000},
		{"an exponent's digits", "{\"a\":1e", "0000000000", "}", 200000},
		{"keys", "{\"o\":{", "\"k%\":1,", "\"z\":1}}", 50000},
		{"escaped keys", "{\"o\":{", "\"\\u006b%\":1,", "\"z\":1}}", 50000},
		{"keys at the top", "{", "\"k%\":1,", "\"z\":1}", 50000},
		{"one key", "{\"z\":0", ",\"a\":1", "}", 100000},
		{"lines", "{\"order_lines\":[", "{\"volume\":1},", "{}]}", 50000},
		{"lines that are none", "{\"order_lines\":[", "0,", "0]}", 200000},
		{"deep ones", "{\"a\":[", "[[[[[[[[[[[[{\"a\":{}}]]]]]]]]]]]],", "0]}", 20000},
		{"objects of 20 keys", "{\"a\":[", "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,"
			"\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,"
		"\"n\":1,\"o\":1,\"p\":1,\"q\":1,\"r\":1,\"s\":1,\"t\":1},", "0]}", 5000},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t	work[2];
		size_t		len;

		for (int j = 0; j < 2; j++)
		{
			char	   *text = repeated(cases[i].before, cases[i].piece,
										cases[i].after,
										cases[i].n * (j == 0 ? 1 : 4), &len);

			work[j] = work_of(text, len);
			free(text);
		}
		ok(work[0] > 0 && work[1] < MOST_TIMES * work[0], "%s in proportion",
		   cases[i].name);
		printf("# %zu KB: %" PRIu64 ", a quarter of it %" PRIu64 "\n",
			   len / 1024, work[1], work[0]);
	}
	return done_testing();
}
