/* SPDX-License-Identifier: MIT */
#include "http/date.h"

static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char weekdays_long[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};
const char wfi_month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

enum { SECONDS_PER_DAY = 86400 };
#define FIRST_SECOND INT64_C(-62167219200) /* 0000-01-01 */
#define LAST_SECOND INT64_C(253402300799)  /* 9999-12-31 23:59:59 */

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
    static const signed char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 0000-03-01: the year then ends with the leap day, and the lengths of its months follow
 * a line of slope 30.6. */
static int64_t days_from_march_0(int year, int month, int day)
{
    const int64_t y = year - (month <= 2), m = (month + 9) % 12;
    return y * 365 + (y >= 0 ? y / 4 - y / 100 + y / 400 : -1) + (153 * m + 2) / 5 + day - 1;
}

static int64_t days_since_1970(int year, int month, int day)
{
    return days_from_march_0(year, month, day) - days_from_march_0(1970, 1, 1);
}

struct wfi_date wfi_date_split(int64_t seconds)
{
    seconds = seconds < FIRST_SECOND ? FIRST_SECOND : seconds > LAST_SECOND ? LAST_SECOND : seconds;
    int64_t days = seconds / SECONDS_PER_DAY, rest = seconds % SECONDS_PER_DAY;
    if (rest < 0)
        rest += SECONDS_PER_DAY, days--;
    /* Guess the year from below by its mean length, then step. */
    int year = (int)(1970 + days * 400 / 146097) - 1;
    while (days_since_1970(year + 1, 1, 1) <= days)
        year++;
    while (days_since_1970(year, 1, 1) > days)
        year--;
    int day = (int)(days - days_since_1970(year, 1, 1)), month = 1;
    for (; day >= days_in_month(year, month); month++)
        day -= days_in_month(year, month);
    return (struct wfi_date){
        .year = year,
        .month = month,
        .day = day + 1,
        .hour = (int)(rest / 3600),
        .minute = (int)(rest / 60 % 60),
        .second = (int)(rest % 60),
        .weekday = (int)(((days + 4) % 7 + 7) % 7), /* 1970 began with a Thursday */
    };
}

static char *put_two(char *out, int n)
{
    *out++ = (char)('0' + n / 10);
    *out++ = (char)('0' + n % 10);
    return out;
}

void wfi_date_format(int64_t seconds, char out[WFI_DATE_BYTES])
{
    const struct wfi_date d = wfi_date_split(seconds);
    char *p = out;
    memcpy(p, weekdays[d.weekday], 3);
    memcpy(p + 3, ", ", 2);
    p = put_two(p + 5, d.day);
    *p++ = ' ';
    memcpy(p, wfi_month_names[d.month - 1], 3);
    p[3] = ' ';
    p = put_two(put_two(p + 4, d.year / 100), d.year % 100);
    *p++ = ' ';
    p = put_two(p, d.hour);
    *p++ = ':';
    p = put_two(p, d.minute);
    *p++ = ':';
    p = put_two(p, d.second);
    memcpy(p, " GMT", 5);
}

static bool skip(struct wfi_text *text, const char *word)
{
    const size_t len = strlen(word);
    if (text->len < len || memcmp(text->ptr, word, len) != 0)
        return false;
    text->ptr += len;
    text->len -= len;
    return true;
}

static bool take_number(struct wfi_text *text, int digits, int *ret)
{
    if (text->len < (size_t)digits)
        return false;
    int n = 0;
    for (int i = 0; i < digits; i++) {
        if (text->ptr[i] < '0' || text->ptr[i] > '9')
            return false;
        n = n * 10 + text->ptr[i] - '0';
    }
    text->ptr += digits;
    text->len -= (size_t)digits;
    *ret = n;
    return true;
}

static bool take_month(struct wfi_text *text, int *ret)
{
    for (int i = 0; i < 12; i++)
        if (skip(text, wfi_month_names[i])) {
            *ret = i + 1;
            return true;
        }
    return false;
}

static bool take_time(struct wfi_text *text, struct wfi_date *d)
{
    return take_number(text, 2, &d->hour) && skip(text, ":") && take_number(text, 2, &d->minute) &&
           skip(text, ":") && take_number(text, 2, &d->second);
}

/* 06 Nov 1994 08:49:37 GMT */
static bool take_current(struct wfi_text text, struct wfi_date *d)
{
    return skip(&text, ", ") && take_number(&text, 2, &d->day) && skip(&text, " ") &&
           take_month(&text, &d->month) && skip(&text, " ") && take_number(&text, 4, &d->year) &&
           skip(&text, " ") && take_time(&text, d) && skip(&text, " GMT") && text.len == 0;
}

/* 06-Nov-94 08:49:37 GMT */
static bool take_rfc850(struct wfi_text text, struct wfi_date *d, int64_t now)
{
    if (!(skip(&text, ", ") && take_number(&text, 2, &d->day) && skip(&text, "-") &&
          take_month(&text, &d->month) && skip(&text, "-") && take_number(&text, 2, &d->year) &&
          skip(&text, " ") && take_time(&text, d) && skip(&text, " GMT") && text.len == 0))
        return false;
    const int year_now = wfi_date_split(now).year;
    d->year += year_now / 100 * 100;
    if (d->year > year_now + 50)
        d->year -= 100;
    return true;
}

/* Nov  6 08:49:37 1994 */
static bool take_asctime(struct wfi_text text, struct wfi_date *d)
{
    return skip(&text, " ") && take_month(&text, &d->month) && skip(&text, " ") &&
           (skip(&text, " ") ? take_number(&text, 1, &d->day) : take_number(&text, 2, &d->day)) &&
           skip(&text, " ") && take_time(&text, d) && skip(&text, " ") &&
           take_number(&text, 4, &d->year) && text.len == 0;
}

bool wfi_date_parse(struct wfi_text text, int64_t now, int64_t *ret_seconds)
{
    struct wfi_date d = {0};
    bool taken = false;
    for (int i = 0; i < 7 && !taken; i++) {
        struct wfi_text rest = text;
        if (skip(&rest, weekdays_long[i]))
            taken = take_rfc850(rest, &d, now);
        else if (skip(&rest, weekdays[i]))
            taken = take_current(rest, &d) || take_asctime(rest, &d);
    }
    if (!taken || d.day < 1 || d.day > days_in_month(d.year, d.month) || d.hour > 23 ||
        d.minute > 59 || d.second > 60)
        return false;
    *ret_seconds = days_since_1970(d.year, d.month, d.day) * SECONDS_PER_DAY +
                   (d.hour * 60 + d.minute) * 60 + d.second;
    return true;
}
