/*-------------------------------------------------------------------------
 *
 * timestamp.c
 *	  Timestamps of RFC 3339.
 *
 * The functions are pure: no server, no locale, no state.  A timestamp equals
 * timestamptz_in(text) under TimeZone UTC.  Digits past the sixth are rounded
 * as there, through a double.
 *
 *-------------------------------------------------------------------------
 */
#include "json/timestamp.h"

#include <math.h>

#include "base/text.h"

#define USECS_PER_SEC		INT64_C(1000000)
#define SECS_PER_DAY		86400

/* Days from 0000-03-01 to 2000-01-01, PostgreSQL's day 0. */
#define DAYS_TO_2000		730425

/* As many digits of a fraction as a double holds exactly. */
#define FRACTION_DIGITS		15

/* n digits, exactly; -1 if there are fewer. */
static int
read_digits(const char **p, const char *end, int n)
{
	int			value = 0;

	if (end - *p < n)
		return -1;
	for (; n > 0; n--, (*p)++)
	{
		if (!fluct_text_is_digit(**p))
			return -1;
		value = value * 10 + (**p - '0');
	}
	return value;
}

static bool
read_mark(const char **p, const char *end, char mark)
{
	if (*p >= end || **p != mark)
		return false;
	(*p)++;
	return true;
}

static int
days_of_month(int year, int month)
{
	static const signed char days[] =
	{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/*
 * `YYYY-MM-DD` as days since 2000-01-01, counted in years that begin in March,
 * so that the leap day is a year's last.
 */
static bool
read_date(const char **p, const char *end, int64_t *days)
{
	int			year;
	int			month;
	int			day;

	if ((year = read_digits(p, end, 4)) < 1 || !read_mark(p, end, '-') ||
		(month = read_digits(p, end, 2)) < 1 || month > 12 ||
		!read_mark(p, end, '-') || (day = read_digits(p, end, 2)) < 1 ||
		day > days_of_month(year, month))
		return false;
	year -= month <= 2;
	month = (month + 9) % 12;
	*days = 365 * year + year / 4 - year / 100 + year / 400 +
		(153 * month + 2) / 5 + day - 1 - DAYS_TO_2000;
	return true;
}

/* `.f+` or nothing, as microseconds. */
static bool
read_fraction(const char **p, const char *end, int64_t *usecs)
{
	double		value = 0;
	double		scale = 1;
	const char *first;

	*usecs = 0;
	if (!read_mark(p, end, '.'))
		return true;
	for (first = *p; *p < end && fluct_text_is_digit(**p); (*p)++)
	{
		if (*p - first >= FRACTION_DIGITS)
			continue;
		value = value * 10 + (**p - '0');
		scale *= 10;
	}
	*usecs = (int64_t) rint(value / scale * 1000000.0);
	return *p > first;
}

/*
 * `hh:mm` or `hh:mm:ss` as seconds of the day; second 60 is the next minute's
 * 0, and 24:00 the next day's.
 */
static bool
read_time(const char **p, const char *end, int64_t *seconds, int64_t *fraction)
{
	int			hour;
	int			minute;
	int			second = 0;

	if ((hour = read_digits(p, end, 2)) < 0 || hour > 24 ||
		!read_mark(p, end, ':') ||
		(minute = read_digits(p, end, 2)) < 0 || minute > 59)
		return false;
	if (read_mark(p, end, ':') &&
		((second = read_digits(p, end, 2)) < 0 || second > 60 ||
		 !read_fraction(p, end, fraction)))
		return false;
	if (hour == 24 && (minute > 0 || second > 0 || *fraction > 0))
		return false;
	*seconds = hour * 3600 + minute * 60 + second;
	return true;
}

/* Nothing, `Z`, `+hh:mm`, `+hhmm` or `+hh`, as seconds east of UTC. */
static bool
read_offset(const char **p, const char *end, int64_t *seconds)
{
	int			sign;
	int			hours;
	int			minutes = 0;

	*seconds = 0;
	if (*p == end || read_mark(p, end, 'Z') || read_mark(p, end, 'z'))
		return true;
	if (**p != '+' && **p != '-')
		return false;
	sign = *(*p)++ == '-' ? -1 : 1;
	hours = read_digits(p, end, 2);
	if (hours < 0 || hours > 23)
		return false;
	if (*p < end)
	{
		(void) read_mark(p, end, ':');
		minutes = read_digits(p, end, 2);
	}
	if (minutes < 0 || minutes > 59)
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

FluctReason
fluct_timestamp_parse_local(const char *text, size_t len, int64_t *usecs,
							bool *zoned)
{
	const char *p = text;
	const char *end = text + len;
	int64_t		days;
	int64_t		seconds;
	int64_t		fraction = 0;
	int64_t		offset;

	if (!read_date(&p, end, &days) ||
		!(read_mark(&p, end, 'T') || read_mark(&p, end, 't') ||
		  read_mark(&p, end, ' ')) ||
		!read_time(&p, end, &seconds, &fraction))
		return FLUCT_BAD_TIMESTAMP;
	*zoned = p < end;
	if (!read_offset(&p, end, &offset) || p != end)
		return FLUCT_BAD_TIMESTAMP;
	*usecs = (days * SECS_PER_DAY + seconds - offset) * USECS_PER_SEC +
		fraction;
	return FLUCT_OK;
}

FluctReason
fluct_timestamp_parse(const char *text, size_t len, int64_t *usecs)
{
	bool		zoned;

	return fluct_timestamp_parse_local(text, len, usecs, &zoned);
}
