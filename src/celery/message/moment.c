/* SPDX-License-Identifier: MIT */
#include "celery/message/moment.h"

#include <errno.h>
#include <stdio.h>

#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)

/* The days from 1970 to a date of the Gregorian calendar, which is taken to have always been in
 * use. The year is counted from March, so that the day that comes and goes is its last. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t of_era = year - era * 400;
    const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t of_era = days - era * 146097;
    const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t from_march = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * from_march + 2) / 5 + 1);
    *month = (int)(from_march + (from_march < 10 ? 3 : -9));
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

struct reading {
    const char *at, *end;
};

static bool skip(struct reading *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* `count` digits, or -1. */
static int digits(struct reading *r, int count)
{
    int number = 0;
    if (r->end - r->at < count)
        return -1;
    for (int i = 0; i < count; i++) {
        if (r->at[i] < '0' || r->at[i] > '9')
            return -1;
        number = number * 10 + (r->at[i] - '0');
    }
    r->at += count;
    return number;
}

/* HH:MM[:SS[.FRACTION]] */
static int read_clock(struct reading *r, int64_t *ret_us)
{
    const int hour = digits(r, 2);
    if (hour < 0 || hour > 23 || !skip(r, ':'))
        return -EINVAL;
    const int minute = digits(r, 2);
    if (minute < 0 || minute > 59)
        return -EINVAL;
    int64_t us = (hour * 60 + minute) * 60 * SECOND;
    if (skip(r, ':')) {
        const int second = digits(r, 2);
        if (second < 0 || second > 59)
            return -EINVAL;
        us += second * SECOND;
        if (skip(r, '.') || skip(r, ',')) {
            int64_t unit = SECOND / 10;
            if (r->at == r->end || *r->at < '0' || *r->at > '9')
                return -EINVAL;
            for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++, unit /= 10)
                us += (*r->at - '0') * unit;
        }
    }
    *ret_us = us;
    return 0;
}

/* Z, +HH[[:]MM[:SS]] or nothing. */
static int read_offset(struct reading *r, int64_t *ret_us)
{
    *ret_us = 0;
    if (r->at == r->end || skip(r, 'Z') || skip(r, 'z'))
        return 0;
    const int sign = skip(r, '-') ? -1 : skip(r, '+') ? 1 : 0;
    const int hours = sign ? digits(r, 2) : -1;
    if (hours < 0 || hours > 23)
        return -EINVAL;
    int minutes = 0, seconds = 0;
    if (r->at < r->end) {
        skip(r, ':');
        minutes = digits(r, 2);
        if (skip(r, ':'))
            seconds = digits(r, 2);
    }
    if (minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59)
        return -EINVAL;
    *ret_us = sign * ((hours * 60 + minutes) * 60 + seconds) * SECOND;
    return 0;
}

int wfi_moment_read(const char *text, size_t len, int64_t *ret_us)
{
    static const int days_in[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct reading r = {text, text + len};
    int64_t clock = 0, offset = 0;

    const int year = digits(&r, 4);
    if (year < 1 || !skip(&r, '-'))
        return -EINVAL;
    const int month = digits(&r, 2);
    if (month < 1 || month > 12 || !skip(&r, '-'))
        return -EINVAL;
    const int day = digits(&r, 2);
    if (day < 1 || day > days_in[month - 1] + (month == 2 && is_leap(year)))
        return -EINVAL;
    if (r.at < r.end) {
        if (!skip(&r, 'T') && !skip(&r, 't') && !skip(&r, ' '))
            return -EINVAL;
        if (read_clock(&r, &clock) || read_offset(&r, &offset))
            return -EINVAL;
    }
    if (r.at != r.end)
        return -EINVAL;
    *ret_us = days_of(year, month, day) * DAY + clock - offset;
    return 0;
}

size_t wfi_moment_write(int64_t us, bool offset, char out[WFI_MOMENT_BYTES])
{
    const int64_t first = days_of(1, 1, 1) * DAY, last = days_of(10000, 1, 1) * DAY - 1;
    us = us < first ? first : us > last ? last : us;
    int64_t days = us / DAY;
    days -= us % DAY < 0;
    const int64_t of_day = us - days * DAY;
    const int seconds = (int)(of_day / SECOND), fraction = (int)(of_day % SECOND);
    int year, month, day;
    date_of(days, &year, &month, &day);
    int len = snprintf(out, WFI_MOMENT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day,
                       seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (fraction)
        len += snprintf(out + len, (size_t)(WFI_MOMENT_BYTES - len), ".%06d", fraction);
    if (offset)
        len += snprintf(out + len, (size_t)(WFI_MOMENT_BYTES - len), "+00:00");
    return (size_t)len;
}
