/* SPDX-License-Identifier: MIT
 *
 * finding.c -- what a probe found: the first finding stays.  Beside it what every script needs:
 * the clock, a sleep, random numbers, and bytes and times as a person reads them.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "torture.h"

static void found_text(struct finding *finding, enum verdict verdict, const char *format,
                       va_list values);

bool found(const struct torture *t)
{
    return t->finding->verdict != VERDICT_NONE;
}

void found_pass(struct torture *t, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    found_text(t->finding, VERDICT_PASS, format, values);
    va_end(values);
}

void found_fail(struct torture *t, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    found_text(t->finding, VERDICT_FAIL, format, values);
    va_end(values);
}

void found_skip(struct torture *t, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    found_text(t->finding, VERDICT_SKIP, format, values);
    va_end(values);
}

void found_while(struct torture *t, const char *what)
{
    char seen[SEEN_MAX];
    if (t->finding->verdict != VERDICT_FAIL || t->finding->placed)
        return;
    t->finding->placed = true;
    (void)snprintf(seen, sizeof seen, "%s", t->finding->seen);
    (void)snprintf(t->finding->seen, sizeof seen, "%s: %.150s", what, seen); /* cut is well */
}

static void found_text(struct finding *finding, enum verdict verdict, const char *format,
                       va_list values)
{
    if (finding->verdict != VERDICT_NONE)
        return;
    finding->verdict = verdict;
    (void)vsnprintf(finding->seen, sizeof finding->seen, format, values); /* cut is well */
}

void found_value(struct torture *t, const char *name, int64_t value)
{
    struct finding *finding = t->finding;
    if (finding->measure_count < MEASURES_MAX)
        finding->measures[finding->measure_count++] = (struct measure){ name, value };
}

const char *show_bytes(char out[SHOWN_MAX], uint64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && unit < sizeof units / sizeof units[0] - 1; unit++)
        value /= 1024;
    if (bytes < 1024)
        (void)snprintf(out, SHOWN_MAX, "%u byte%s", (unsigned)bytes, bytes == 1 ? "" : "s");
    else
        (void)snprintf(out, SHOWN_MAX, "%.4g %s", value, units[unit]);
    return out;
}

const char *show_time(char out[SHOWN_MAX], vigil_ns time)
{
    if (time < VIGIL_MS(1))
        (void)snprintf(out, SHOWN_MAX, "%.3g us", (double)time / 1e3);
    else if (time < VIGIL_S(1))
        (void)snprintf(out, SHOWN_MAX, "%.3g ms", (double)time / 1e6);
    else
        (void)snprintf(out, SHOWN_MAX, "%.3g s", (double)time / 1e9);
    return out;
}

vigil_ns torture_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock is there */
    return VIGIL_S(now.tv_sec) + now.tv_nsec;
}

void torture_sleep(const struct torture *t, vigil_ns time)
{
    const vigil_ns until = torture_now() + time;
    for (vigil_ns left = time; left > 0 && !*t->interrupted; left = until - torture_now())
        (void)vigil_poll(NULL, 0, left < VIGIL_MS(100) ? left : VIGIL_MS(100)); /* of nothing */
}

bool torture_goes_on(const struct torture *t, vigil_ns began)
{
    return !found(t) && !*t->interrupted && torture_now() - began < 4 * t->limits.idle_ns;
}

bool torture_asks_on(const struct torture *t, vigil_ns began)
{
    return !found(t) && !*t->interrupted && torture_now() - began < t->limits.patience_ns;
}

/* Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014). */
uint64_t torture_random(struct torture *t, uint64_t limit)
{
    uint64_t z = t->random += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % limit;
}
