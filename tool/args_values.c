/* SPDX-License-Identifier: MIT
 *
 * args_values.c -- reads the values of options: numbers, sizes and durations with their units.
 * Each reader answers NULL, or what is wrong with the text and what would be right, to stand
 * behind the quoted text in the one line of complaint.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <string.h>

#include "args.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const char *digits_read(const char *text, uint64_t *out, bool *overflow);
static const char *scaled_read(const char *text, const char *not_one, uint64_t *out);
static const struct unit *unit_find(const struct unit *units, const char *name);
static uint64_t fraction_read(const char *digits, size_t len, uint64_t factor);
static bool digit(char c);

static const struct unit number_units[] = {
    { "", 1 },
    { "k", 1000 },
    { "M", 1000000 },
    { "G", 1000000000 },
    { "Ki", 1ULL << 10 },
    { "Mi", 1ULL << 20 },
    { "Gi", 1ULL << 30 },
    { NULL, 0 },
};

static const struct unit duration_units[] = {
    { "ns", 1 },
    { "us", 1000 },
    { "ms", 1000000 },
    { "s", 1000000000 },
    { "m", 60ULL * 1000000000 },
    { "h", 3600ULL * 1000000000 },
    { NULL, 0 },
};

const char *args_read_number(const char *text, uint64_t *out)
{
    return scaled_read(text, "is not a number (try 1000 or 10k)", out);
}

const char *args_read_size(const char *text, uint64_t *out)
{
    return scaled_read(text, "is not a size in bytes (try 4096 or 64Ki)", out);
}

const char *args_read_duration(const char *text, int64_t *out)
{
    uint64_t whole = 0;
    bool overflow = false;
    const char *rest = digits_read(text, &whole, &overflow);
    if (rest == text)
        return "is not a duration (try 10s or 1.5s)";
    const char *decimals = rest + (*rest == '.');
    size_t decimals_len = 0;
    while (decimals != rest && digit(decimals[decimals_len]))
        decimals_len++;
    if (*rest == '.' && decimals_len == 0)
        return "is not a duration (try 10s or 1.5s)";
    if (decimals[decimals_len] == '\0')
        return "has no unit (try 10s or 500ms)";
    const struct unit *unit = unit_find(duration_units, decimals + decimals_len);
    if (!unit)
        return "has an unknown unit (take ns us ms s m h, as in 500ms)";
    if (overflow || whole >= (uint64_t)INT64_MAX / unit->factor)
        return "is too long (at most 2562047h)";
    *out = (int64_t)(whole * unit->factor + fraction_read(decimals, decimals_len, unit->factor));
    return NULL;
}

static const char *scaled_read(const char *text, const char *not_one, uint64_t *out)
{
    uint64_t whole = 0;
    bool overflow = false;
    const char *rest = digits_read(text, &whole, &overflow);
    if (rest == text || *rest == '.')
        return not_one;
    const struct unit *unit = unit_find(number_units, rest);
    if (!unit)
        return "has an unknown unit (take k M G, or Ki Mi Gi)";
    if (overflow || whole > UINT64_MAX / unit->factor)
        return "is too large";
    *out = whole * unit->factor;
    return NULL;
}

/* Reads the digits at the start of `text`; answers where they end. */
static const char *digits_read(const char *text, uint64_t *out, bool *overflow)
{
    uint64_t sum = 0;
    for (; digit(*text); text++) {
        uint64_t value = (uint64_t)(*text - '0');
        if (sum > (UINT64_MAX - value) / 10)
            *overflow = true;
        else
            sum = sum * 10 + value;
    }
    *out = sum;
    return text;
}

static const struct unit *unit_find(const struct unit *units, const char *name)
{
    for (; units->name; units++) {
        if (strcmp(units->name, name) == 0)
            return units;
    }
    return NULL;
}

/* The part of `factor` that the decimals name, rounded down; exact, without floating point. */
static uint64_t fraction_read(const char *digits, size_t len, uint64_t factor)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len && factor >= 10; i++) {
        /* 60 and 3600 seconds divide by 10 as often as nanoseconds go. */
        factor /= 10;
        sum += factor * (uint64_t)(digits[i] - '0');
    }
    return sum;
}

/* Not isdigit(): what a number is must not depend on the locale. */
static bool digit(char c)
{
    return c >= '0' && c <= '9';
}
