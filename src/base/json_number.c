/* SPDX-License-Identifier: MIT */
/*
 * Doubles to text and back (contract in json_number.h).
 *
 * strtod rounds correctly, and "12345e-2" means the same to it in every locale; so reading turns
 * "123.45" into that form. Writing asks snprintf for more and more digits until they read back.
 */
#include "base/json_number.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * No double and no point half-way between two has more than 767 significant digits, so digits
 * behind these matter only by whether one of them is not zero.
 */
enum { DIGITS_MAX = 768 };

/* Exponents beyond this are zero or infinite whatever the digits, and it leaves room to add to. */
enum { EXPONENT_MAX = 100000000 };

/* The double nearest to 0.d1d2d3... * 10^exponent; digits is NUL-terminated and has room for the
 * exponent behind it. */
static double compose(char *digits, size_t len, int exponent)
{
    snprintf(digits + len, 16, "e%d", exponent - (int)len);
    return strtod(digits, NULL);
}

double wfi_double_read(const char *text, size_t len)
{
    char digits[DIGITS_MAX + 1 + 16];
    size_t count = 0;
    long exponent = 0;
    bool negative = false, point = false, more = false;
    const char *p = text, *end = text + len;

    if (p < end && *p == '-') {
        negative = true;
        p++;
    }
    if (p < end && *p == 'N')
        return (double)NAN;
    if (p < end && *p == 'I')
        return negative ? -(double)INFINITY : (double)INFINITY;
    for (; p < end && (*p == '.' || (*p >= '0' && *p <= '9')); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (count > 0 || *p != '0') {
            if (count < DIGITS_MAX)
                digits[count++] = *p;
            else
                more = more || *p != '0';
            if (!point && exponent < EXPONENT_MAX)
                exponent++;
        } else if (point && exponent > -EXPONENT_MAX) {
            exponent--; /* a zero between the point and the first digit */
        }
    }
    if (more)
        digits[count++] = '1';
    if (count == 0)
        return negative ? -0.0 : 0.0;
    if (p < end) { /* the e */
        p++;
        const bool down = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        long given = 0;
        for (; p < end; p++)
            if (given < EXPONENT_MAX)
                given = given * 10 + (*p - '0');
        exponent += down ? -given : given;
    }
    const double number = compose(digits, count, (int)exponent);
    return negative ? -number : number;
}

/* Asks for `precision` digits of a positive number, without zeros behind. Returns how many. */
static size_t get_digits(double number, int precision, char *digits, int *ret_exponent)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", precision - 1, number);
    size_t count = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') /* leaves out the point, whatever the locale makes of it */
            digits[count++] = *p;
    *ret_exponent = atoi(p + 1) + 1;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return count;
}

/* The next larger decimal of as many digits. */
static void next_decimal(char *digits, size_t *count, int *exponent)
{
    size_t i = *count;
    while (i > 0 && digits[i - 1] == '9')
        i--;
    if (i == 0) {
        digits[0] = '1';
        *count = 1;
        ++*exponent;
        return;
    }
    digits[i - 1]++;
    *count = i;
}

static bool is_power_of_two(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return (bits & (((uint64_t)1 << (DBL_MANT_DIG - 1)) - 1)) == 0;
}

/*
 * For numbers of few digits behind the point, as most in texts are. If a whole number of at most 15
 * digits divided by a power of ten that is exact gives the number, its digits are the ones looked
 * for: the division rounds as reading does, and no other 15 digits give the same number. Returns 0
 * if there are none.
 */
static size_t few_digits(double number, char *digits, int *ret_exponent)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

    for (size_t i = 0; i < sizeof powers / sizeof *powers && number * powers[i] < 1e15; i++) {
        uint64_t whole = (uint64_t)(number * powers[i] + 0.5);
        if (whole == 0 || whole >= 1000000000000000 || (double)whole / powers[i] != number)
            continue;
        char reversed[16];
        size_t len = 0, zeros = 0;
        for (; whole > 0; whole /= 10) {
            zeros += len == zeros && whole % 10 == 0;
            reversed[len++] = (char)('0' + whole % 10);
        }
        *ret_exponent = (int)len - (int)i;
        for (size_t k = 0; k < len - zeros; k++)
            digits[k] = reversed[len - 1 - k];
        return len - zeros;
    }
    return 0;
}

static size_t shortest_digits(double number, char *digits, int *ret_exponent)
{
    const size_t few = few_digits(number, digits, ret_exponent);
    if (few > 0)
        return few;
    /* A normal number gives back any 15 digits it was made from, so if fewer than 15 will do, 15
     * show them, followed by zeros. Below, precision shrinks with the number: try each. */
    for (int precision = number < DBL_MIN ? 1 : 15; precision < 17; precision++) {
        size_t count = get_digits(number, precision, digits, ret_exponent);
        if (compose(digits, count, *ret_exponent) == number)
            return count;
        /* At a power of two the doubles below lie closer than those above: the nearest decimal
         * below may miss where the one above, farther off, still hits. */
        if (is_power_of_two(number)) {
            memset(digits + count, '0', (size_t)precision - count);
            count = (size_t)precision;
            next_decimal(digits, &count, ret_exponent);
            if (compose(digits, count, *ret_exponent) == number)
                return count;
        }
    }
    return get_digits(number, 17, digits, ret_exponent);
}

size_t wfi_double_write(double number, char out[WFI_DOUBLE_TEXT_BYTES])
{
    if (number != number)
        return (size_t)snprintf(out, WFI_DOUBLE_TEXT_BYTES, "NaN");
    char *p = out;
    if (signbit(number)) {
        *p++ = '-';
        number = -number;
    }
    if (number > DBL_MAX)
        return (size_t)(p - out) + (size_t)snprintf(p, 16, "Infinity");

    char digits[40] = "0";
    int exponent = 1; /* the point stands behind this many digits */
    const size_t count = number > 0 ? shortest_digits(number, digits, &exponent) : 1;

    if (exponent > 16 || exponent < -3) {
        *p++ = digits[0];
        if (count > 1) {
            *p++ = '.';
            memcpy(p, digits + 1, count - 1);
            p += count - 1;
        }
        p += snprintf(p, 8, "e%+03d", exponent - 1);
        return (size_t)(p - out);
    }
    if (exponent <= 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = exponent; i < 0; i++)
            *p++ = '0';
        memcpy(p, digits, count);
        p += count;
    } else {
        for (size_t i = 0; i < count || i < (size_t)exponent; i++) {
            if (i == (size_t)exponent)
                *p++ = '.';
            *p++ = i < count ? digits[i] : '0';
        }
        if (count <= (size_t)exponent) {
            *p++ = '.';
            *p++ = '0';
        }
    }
    *p = '\0';
    return (size_t)(p - out);
}
