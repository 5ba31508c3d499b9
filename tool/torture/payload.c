/* SPDX-License-Identifier: MIT
 *
 * payload.c -- a pattern of 16,381 random lines, then the same again: a prime number of them, so
 * that what comes back at a wrong place differs from what belongs there, whatever power of two the
 * distance is.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "payload.h"

#define PERIOD ((size_t)PAYLOAD_LINE * 16381)

static uint64_t next(uint64_t *state);

static unsigned char pattern[PERIOD + PAYLOAD_PIECE];

void payload_make(enum torture_mode mode)
{
    uint64_t state = 1;
    for (size_t i = 0; i < PERIOD; i++) {
        const unsigned char byte = (unsigned char)(next(&state) >> 40);
        if (mode == MODE_ECHO)
            pattern[i] = byte;
        else
            pattern[i] = i % PAYLOAD_LINE == PAYLOAD_LINE - 1 ? '\n' : '!' + byte % ('~' - '!');
    }
    for (size_t i = 0; i < PAYLOAD_PIECE; i++)
        pattern[PERIOD + i] = pattern[i];
}

const unsigned char *payload_at(uint64_t offset)
{
    return pattern + offset % PERIOD;
}

uint64_t payload_lines(uint64_t bytes)
{
    return (bytes + PAYLOAD_LINE - 1) / PAYLOAD_LINE * PAYLOAD_LINE;
}

/* A linear congruential generator (Knuth, MMIX): its high bits are as random as is needed here. */
static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state;
}
