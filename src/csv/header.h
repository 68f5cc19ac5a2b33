/*-------------------------------------------------------------------------
 *
 * header.h
 *	  The first record of a CSV file: which column is where.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_CSV_HEADER_H
#define FLUCT_CSV_HEADER_H

#include "csv/csv.h"

/*
 * Skips the lines before the header, a line `sep=;` among them, which sets the
 * delimiter; reads the first record as the header and finds the wanted names in it, in
 * any order; columns[i] becomes the place of names[i].  False with *refusal
 * filled if one is missing or duplicated.  *header, if not NULL, becomes the
 * record.
 */
extern bool fluct_csv_read_header(FluctCsv *csv, const char *const *names,
								  int count, int *columns,
								  FluctCsvRecord *header,
								  FluctCsvRefusal *refusal);

/* What a file with these first bytes is, if it is not CSV; else NULL. */
extern const char *fluct_csv_kind(const char *bytes, size_t len,
								  bool *is_text);

#endif							/* FLUCT_CSV_HEADER_H */
