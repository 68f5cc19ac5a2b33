/*-------------------------------------------------------------------------
 *
 * bench_json.c
 *	  How many MB/s the scanner reads, and what numbers cost.
 *
 * Run by hand (`make unit-bench`); its figures fail nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "json/json.h"
#include <time.h>

#include "json/number.h"
#include "tap.h"

#define MESSAGES	4000
#define LINES		50
#define ROUNDS		20

static char *messages[MESSAGES];
static size_t lengths[MESSAGES];
static size_t total;

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static char *
put_uuid(char *p)
{
	return p + sprintf(p, "\"%08x-%04x-4%03x-a%03x-%04x%08x\"",
					   (unsigned) random(), (unsigned) random() & 0xFFFF,
					   (unsigned) random() & 0xFFF,
					   (unsigned) random() & 0xFFF,
					   (unsigned) random() & 0xFFFF, (unsigned) random());
}

/* Orders in the shape that Python's json.dumps gives. */
static void
make_messages(void)
{
	static char text[LINES * 200];

	for (int i = 0; i < MESSAGES; i++)
	{
		char	   *p = text;

		p = put_uuid(p + sprintf(p, "{\"order_id\": "));
		p = put_uuid(p + sprintf(p, ", \"customer_id\": "));
		p += sprintf(p, ", \"order_lines\": [");
		for (int line = 0; line < LINES; line++)
		{
			p = put_uuid(p + sprintf(p, "%s{\"product_id\": ",
									 line ? ", " : ""));
			p += sprintf(p, ", \"volume\": %d, \"price\": %d.%02d}",
						 (int) (random() % 100), (int) (random() % 1000),
						 (int) (random() % 100));
		}
		p += sprintf(p, "], \"amount\": %d.%d, \"timestamp\":"
					 " \"2022-10-28T14:31:13.542504\"}",
					 (int) random() % 1000000, (int) random());
		lengths[i] = p - text;
		messages[i] = malloc(lengths[i]);
		memcpy(messages[i], text, lengths[i]);
		total += lengths[i];
	}
}

static void
bench_scan(const char *name, FluctJson *json)
{
	double		best = 1e9;
	FluctRefusal refusal;

	for (int round = 0; round < ROUNDS; round++)
	{
		double		start = seconds();

		for (int i = 0; i < MESSAGES; i++)
			if (!fluct_json_parse(json, messages[i], lengths[i], &refusal))
				abort();
		if (seconds() - start < best)
			best = seconds() - start;
	}
	printf("%-28s %6.0f MB/s\n", name, total / best / 1e6);
}

static void
bench_numeric(void)
{
	static const char *const numbers[] = {
		"278.12", "5", "896.49", "189921.66000000006", "19.9", "1234.56"
	};
	char		wire[FLUCT_NUMERIC_WIRE_LEN];
	size_t		len;
	int			count = 6 * 1000 * 1000;
	double		start = seconds();

	for (int i = 0; i < count; i++)
		if (fluct_number_numeric(numbers[i % 6], strlen(numbers[i % 6]), wire,
								 &len) != FLUCT_OK)
			abort();
	printf("%-28s %6.1f ns\n", "numeric", (seconds() - start) / count * 1e9);
}

int
main(void)
{
	static Heap heap;
	FluctAllocator allocator = {heap_resize, &heap};
	FluctJson  *json = fluct_json_create(&allocator);
	int			lines;

	make_messages();
	bench_scan("nothing mapped", json);
	lines = fluct_json_add_rowset(json, "$.order_lines[*]");
	(void) fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.order_id");
	(void) fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.customer_id");
	(void) fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.amount");
	(void) fluct_json_add_field(json, FLUCT_JSON_ROOT, "$.timestamp");
	(void) fluct_json_add_field(json, lines, "@.product_id");
	(void) fluct_json_add_field(json, lines, "@.volume");
	(void) fluct_json_add_field(json, lines, "@.price");
	bench_scan("the order mapping", json);
	bench_numeric();
	return 0;
}
