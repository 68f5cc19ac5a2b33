/*-------------------------------------------------------------------------
 *
 * test_csv.c
 *	  Records, physical lines, and every reason that csv.c gives.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/header.h"
#include "tap.h"

static const char *const names[] = {"id", "name", "tags"};

/* A file in memory that is handed out in pieces of any size. */
typedef struct Pieces
{
	const char *bytes;
	size_t		len;
	size_t		at;
	size_t		piece;
} Pieces;

static Heap heap;
static const FluctCsvOptions usual = FLUCT_CSV_USUAL;
static FluctCsvOptions options = FLUCT_CSV_USUAL;
static char seen[65536];

static size_t
read_piece(void *arg, char *buffer, size_t size)
{
	Pieces	   *pieces = arg;
	size_t		n = pieces->len - pieces->at;

	if (n > size)
		n = size;
	if (n > pieces->piece)
		n = pieces->piece;
	memcpy(buffer, pieces->bytes + pieces->at, n);
	pieces->at += n;
	return n;
}

static char *
put_refusal(char *p, const FluctCsvRefusal *refusal)
{
	return p + sprintf(p, "%s@%d ", fluct_csv_reason_name(refusal->reason),
					   (int) refusal->line);
}

static char *
put_record(char *p, const FluctCsvRecord *record)
{
	p += sprintf(p, "%d:", (int) record->line);
	for (int i = 0; i < record->count; i++)
		p += sprintf(p, "[%.*s]", (int) record->fields[i].len,
					 record->fields[i].text);
	return p + sprintf(p, "%s ", record->unterminated ? "..." : "");
}

/* The whole file as one text: records, refusals, `end`. */
static const char *
split(const char *bytes, size_t len, int columns, size_t piece)
{
	Pieces		pieces = {bytes, len, 0, piece};
	FluctAllocator allocator = {heap_resize, &heap};
	FluctCsvSource source = {read_piece, &pieces};
	FluctCsv   *csv;
	FluctCsvRecord record;
	FluctCsvRefusal refusal;
	FluctCsvStatus status = FLUCT_CSV_BAD_FILE;
	int			places[3];
	char	   *p = seen;

	heap_free(&heap);
	csv = fluct_csv_create(&allocator, &source, &options);
	if (!fluct_csv_read_header(csv, names, columns, places, &record, &refusal))
		put_refusal(p, &refusal);
	else
		do
		{
			status = fluct_csv_next(csv, &record, &refusal);
			if (status == FLUCT_CSV_RECORD)
				p = put_record(p, &record);
			else if (status == FLUCT_CSV_END)
				p += sprintf(p, "end");
			else
				p = put_refusal(p, &refusal);
		} while (status == FLUCT_CSV_RECORD || status == FLUCT_CSV_BAD_RECORD);
	if (status == FLUCT_CSV_END && fluct_csv_position(csv) != len)
		strcpy(seen, "wrong position");
	return seen;
}

static void
splits_bytes(const char *bytes, size_t len, int columns, const char *wanted)
{
	char		name[80];

	snprintf(name, sizeof(name), "%s", bytes);
	is_text(split(bytes, len, columns, 1 << 20), wanted, name);
	for (size_t piece = 1; piece < 4; piece++)
		if (strcmp(split(bytes, len, columns, piece), wanted) != 0)
			is_text(seen, wanted, "the same in pieces");
}

static void
splits(const char *text, const char *wanted)
{
	splits_bytes(text, strlen(text), 2, wanted);
}

static void
test_records(void)
{
	splits("id,name\n1,a\n2,b\n", "2:[1][a] 3:[2][b] end");
	splits("id,name\r\n1,a\r\n2,b\r\n", "2:[1][a] 3:[2][b] end");
	splits("id,name\n1,a\r\n2,b\n", "2:[1][a] 3:[2][b] end");
	splits("id,name\n1,a\n2,b", "2:[1][a] 3:[2][b]... end");
	splits("\xEF\xBB\xBFid,name\n1,\xEF\xBB\xBF\n",
		   "2:[1][\xEF\xBB\xBF] end");
	splits("\"id\",\"name\"\n\"1\",\"a,b\"\n", "2:[1][a,b] end");
	splits("id,name\n1,\"say \"\"hi\"\"\"\n2,\"\"\n3,\"\"\"\"\n",
		   "2:[1][say \"hi\"] 3:[2][] 4:[3][\"] end");
	splits("id,name\n1,\"a\nb\r\nc\rd\"\n2,e\n",
		   "2:[1][a\nb\r\nc\rd] 5:[2][e] end");
	splits("id,name\n,\n\"\",\n", "2:[][] 3:[][] end");
	splits("id,name\n\\.,\\.\n", "2:[\\.][\\.] end");
	splits("id,name\n 1 , a \n", "2:[ 1 ][ a ] end");
	splits("id,name\n1,\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\n",
		   "2:[1][\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80] end");
	splits("name,other,id\na,x,1\n", "2:[a][x][1] end");
	splits("id,name", "end");
	splits_bytes("id\nx\n\ny\n", 8, 1, "2:[x] missing_column@3 4:[y] end");
}

static void
test_blank_lines(void)
{
	splits("id,name\n1,a\n\n\r\n\n", "2:[1][a] end");
	splits("id,name\n\n1,a\n\n\n2,b\n", "missing_column@2 3:[1][a] "
		   "missing_column@4 missing_column@5 6:[2][b] end");
	splits("id,name\n\n\n", "end");
	splits("\nid,name\n1,a\n", "bad_header@1 ");
}

static void
test_commas_alone(void)
{
	splits("id,name\n1,a\n,\n\n,\r\n,\n\n", "2:[1][a] end");
	splits("id,name\n1,a\n,", "2:[1][a] end");
	splits("id,name\n,\n,\n\n2,b\n", "2:[][] 3:[][] missing_column@4 5:[2][b] end");
	splits("id,name\n\n,\n\n2,b\n", "missing_column@2 3:[][] missing_column@4 5:[2][b] end");
	splits("id,name\n,\n,,\n,\n", "2:[][] extra_column@3 end");
	splits("id,name\n1,a\n\"\",\n", "2:[1][a] 3:[][] end");
	splits("id,name\n1,a\n ,\n", "2:[1][a] 3:[ ][] end");
}

static void
test_refused_records(void)
{
	splits("id,name\n1\n2,b,c\n3,c\n",
		   "missing_column@2 extra_column@3 4:[3][c] end");
	splits("id,name\n1,5\" pipe\n2,b\n", "bad_quote@2 3:[2][b] end");
	splits("id,name\n1,\"a\"b\n2,b\n", "bad_quote@2 3:[2][b] end");
	splits("id,name\n1, \"a\"\n2,b\n", "bad_quote@2 3:[2][b] end");
	splits("id,name\n\"a\nb\"c,1\n2,b\n", "bad_quote@3 4:[2][b] end");
	splits("id,name\n1,\"a\n2,b\n3,c\n", "open_quote@2 ");
	splits("id,name\n1,a\n2,\"", "2:[1][a] open_quote@3 ");
	splits("id,name\n1,a\"\"\n2,\"b\n", "bad_quote@2 open_quote@3 ");
	splits("id,name\n1,a\rb\n2,b\n", "wrong_delimiter@2 3:[2][b] end");
	splits("id,name\n1,\"a\"\r2,b\n", "bad_quote@2 end");
	splits("id,name\n1,caf\xE9\n2,b\n", "bad_encoding@2 3:[2][b] end");
	splits("id,name\n1,\"x\ncaf\xE9\"\n2,b\n", "bad_encoding@3 4:[2][b] end");
	splits("id,name\n1,\xED\xA0\x80\n", "bad_encoding@2 end");
	splits("id,name\n1,\xE2\x82\n", "bad_encoding@2 end");
	splits_bytes("id,name\n1,a\0b\n2,b\n", 18, 2, "nul@2 3:[2][b] end");
}

static void
test_header(void)
{
	splits("", "empty_file@1 ");
	splits("\xEF\xBB\xBF", "empty_file@1 ");
	splits("\r\n\n", "empty_file@1 ");
	splits("id,Name\n1,a\n", "bad_header@1 ");
	splits("id, name\n1,a\n", "bad_header@1 ");
	splits("id,name,id\n1,a,1\n", "bad_header@1 ");
	splits("id,name,x,x\n1,a,2,3\n", "2:[1][a][2][3] end");
	splits("id;name\n1;a\n", "wrong_delimiter@1 ");
	splits("id\tname\n1\ta\n", "wrong_delimiter@1 ");
	splits("\"id\";\"name\"\n1;a\n", "wrong_delimiter@1 ");
	splits("id|name\n1|a\n", "wrong_delimiter@1 ");
	splits("id,name\r1,a\r", "wrong_delimiter@1 ");
	splits("1,a\n2,b\n", "bad_header@1 ");
	splits("\x1F\x8B\x08\x01", "bad_encoding@1 ");
	splits("PK\x03\x04zip", "bad_encoding@1 ");
	splits("<!doctype html>\n", "bad_header@1 ");
	splits_bytes("\xFF\xFEi\0d\0", 6, 2, "bad_encoding@1 ");
	splits_bytes("i\0d\0,\0", 6, 2, "nul@1 ");
	splits_bytes("\0i\0d\0,", 6, 2, "nul@1 ");
}

static void
refused_header(const char *text, const char *detail)
{
	Pieces		pieces = {text, strlen(text), 0, 1000};
	FluctAllocator allocator = {heap_resize, &heap};
	FluctCsvSource source = {read_piece, &pieces};
	FluctCsvRefusal refusal;
	int			places[3];

	heap_free(&heap);
	ok(!fluct_csv_read_header(fluct_csv_create(&allocator, &source, &options), names, 3,
							  places, NULL, &refusal), "refused");
	is_text(refusal.detail, detail, detail);
}

static void
test_details(void)
{
	Pieces		pieces = {"tags,x,id,name\n", 15, 0, 1000};
	FluctAllocator allocator = {heap_resize, &heap};
	FluctCsvSource source = {read_piece, &pieces};
	FluctCsvRecord header;
	FluctCsvRefusal refusal;
	int			places[3];

	refused_header("id,nmae,tags\n",
				   "no column \"name\" in the header; the closest name is \"nmae\"");
	refused_header("Id,name,tags\n",
				   "no column \"id\" in the header; the closest name is \"Id\"");
	refused_header("id,name,tags,name\n", "column \"name\" is duplicated in"
				   " the header, as columns 2 and 4");
	refused_header("id\tname\ttags\n",
				   "found byte 0x09 between the column names, expected \",\"");
	refused_header("id,\"name\" ,tags\n", "found byte 0x20 after the closing"
				   " quote of field 2, expected \",\" or the end of the line");

	ok(fluct_csv_read_header(fluct_csv_create(&allocator, &source, &options), names, 3,
							 places, &header, &refusal) && places[0] == 2 &&
	   places[1] == 3 && places[2] == 0 && header.count == 4,
	   "columns in any order");
}

static void
test_delimiters(void)
{
	options.delimiter = ';';
	splits("id;name\n1;a,b\n\"2\";\"x;y\"\n", "2:[1][a,b] 3:[2][x;y] end");
	splits("id;name\n1;a\n;\n;;\n;\n", "2:[1][a] 3:[][] extra_column@4 end");
	splits("id;name\n1;a\n;\n\n;\r\n", "2:[1][a] end");
	splits("id,name\n1,a\n", "wrong_delimiter@1 ");
	splits("\"id\",\"name\"\n", "wrong_delimiter@1 ");
	refused_header("id,name,tags\n",
				   "found \",\" between the column names, expected \";\"");
	refused_header("id;\"name\"x;tags\n", "found \"x\" after the closing"
				   " quote of field 2, expected \";\" or the end of the line");
	options.delimiter = '\t';
	splits("id\tname\r\n1\ta;b\r\n\t\r\n", "2:[1][a;b] end");
	options = usual;
}

static void
test_separator_line(void)
{
	splits("sep=;\nid;name\n1;a\n", "3:[1][a] end");
	splits("\xEF\xBB\xBFSEP=;\r\nid;name\r\n1;a\r\n", "3:[1][a] end");
	splits("sep=,\nid,name\n1,a\n", "3:[1][a] end");
	splits("sep=,\n\xEF\xBB\xBFid,name\n1,a\n", "3:[1][a] end");
	splits("sep=,\n\xEF\xBB", "bad_encoding@2 ");
	splits("sep=\t\nid\tname\n1\ta\n", "3:[1][a] end");
	splits("sep=\"\nid,name\n", "bad_quote@1 ");
	splits("sep=;;\nid;name\n", "bad_header@1 ");
	splits("sep=;\n", "bad_header@1 ");
	options.delimiter = ',';
	splits("sep=|\nid|name\n1|a\n", "3:[1][a] end");
	options = usual;
}

static void
test_skipped_lines(void)
{
	options.skip_lines = 2;
	splits("Report of \"today\n\nid,name\n1,a\n", "4:[1][a] end");
	splits("\xEF\xBB\xBFx\r\ny\r\nid,name\r\n1,a\r\n2\r\n",
		   "4:[1][a] missing_column@5 end");
	splits("x\ny\nsep=;\nid;name\n1;a\n", "5:[1][a] end");
	splits("sep=;\ny\nid;name\n1;a\n", "4:[1][a] end");
	splits("x\ny\n", "empty_file@1 ");
	splits("x\ny", "empty_file@1 ");
	splits("x", "empty_file@1 ");
	splits("", "empty_file@1 ");
	options.skip_lines = UINT64_MAX;
	splits("id,name\n1,a\n", "empty_file@1 ");
	options = usual;
}

/* What a decoder gives that could not decode. */
static void
test_undecoded(void)
{
	splits("id,name\n1,\xFF\x81\n2,b\n", "bad_encoding@2 3:[2][b] end");
	options.encoding = "WIN1252";
	refused_header("id,name\xFF\x81,tags\n", "byte 0x81 is not valid WIN1252");
	refused_header("id,name,tags\xFF\xFF", "the file ends within a character of WIN1252");
	refused_header("\xEF\xBB\xBFid,name,tags\n", "the file begins with the mark of UTF-8, expected CSV in WIN1252");
	refused_header("\x1F\x8B\x08\x01", "the file looks like gzip data, expected CSV in WIN1252");
	splits("id,name\n1,\xFF\x81\n2,b\n", "bad_encoding@2 3:[2][b] end");
	options = usual;
}

/* What is split of a file cut anywhere is a part of what is split of it. */
static void
test_cuts(void)
{
	static const char *const text =
	"\xEF\xBB\xBFid,name\r\n1,\"a \"\"b\"\" c\"\n2,\"\xE2\x82\xAC\nx\"\r\n"
	"3,\n\"4\",d\n";
	size_t		len = strlen(text);
	char	   *whole = strdup(split(text, len, 2, 7));
	int			right = 0;

	is_text(whole, "2:[1][a \"b\" c] 3:[2][\xE2\x82\xAC\nx] 5:[3][] 6:[4][d]"
			" end", "the whole");
	for (size_t cut = 0; cut < len; cut++)
	{
		char	   *copy = malloc(cut + 1);
		const char *cut_off;
		size_t		same = 0;

		memcpy(copy, text, cut);
		split(copy, cut, 2, 5);
		cut_off = strstr(seen, "...");
		while (seen[same] != '\0' && seen[same] == whole[same])
			same++;

		/* what differs is marked as cut, refused, or the end */
		right += (cut_off != NULL && strchr(cut_off, ':') == NULL) ||
			strcmp(seen + same, "end") == 0 ||
			strchr(seen + same, ':') == NULL;
		free(copy);
	}
	ok(right == (int) len, "cut at each byte: %d of %d", right, (int) len);
	free(whole);
}

static void
test_limits(void)
{
	size_t		size = 50 * 1024 * 1024;
	char	   *text = malloc(size + 100);
	char	   *p = text + sprintf(text, "id,name\n1,\"");

	memset(p, 'x', size);
	sprintf(p + size, "\"\n2,b\n");
	is_text(split(text, size + 17, 2, 65536), "too_long@2 3:[2][b] end",
			"a field of 50 MB");
	ok(heap.peak < 8 * 1024 * 1024, "%zu KB", heap.peak / 1024);
	p = text + sprintf(text, "id,name\n");
	memset(p, ',', size);
	sprintf(p + size, "\n2,b\n");
	is_text(split(text, size + 13, 2, 65536),
			"extra_column@2 3:[2][b] end", "fifty million columns");
	ok(heap.peak < 8 * 1024 * 1024, "%zu KB", heap.peak / 1024);
	p = text + sprintf(text, "id,name\n");
	for (int i = 0; i < 50; i++)
	{
		memset(p, 'x', 1024 * 1024 - 2);
		p += 1024 * 1024 - 2;
		*p++ = ',';
	}
	p += sprintf(p, "\n2,b\n");
	is_text(split(text, p - text, 2, 65536), "too_long@2 3:[2][b] end",
			"fifty large columns");
	ok(heap.peak < 40 * 1024 * 1024, "%zu KB", heap.peak / 1024);
	free(text);
}

int
main(void)
{
	test_records();
	test_blank_lines();
	test_commas_alone();
	test_refused_records();
	test_header();
	test_details();
	test_delimiters();
	test_separator_line();
	test_skipped_lines();
	test_undecoded();
	test_cuts();
	test_limits();
	heap_free(&heap);
	return done_testing();
}
