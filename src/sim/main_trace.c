/* SPDX-License-Identifier: MIT
 *
 * main_trace.c -- traces in files, for the main function of test programs: a line "value label" per
 * choice; and a fuzzer's bytes.  Floor: sim.
 */
#include "sim/main.h"

#include <stdio.h>
#include <stdlib.h>

enum { BYTES_MAX = 1 << 20 }; /* of a file: each is a choice, and no world makes so many */

bool vigil__sim_trace_add(struct sim_trace *trace, uint32_t value)
{
    if (trace->count == trace->room) {
        size_t room = trace->room != 0 ? 2 * trace->room : 1024;
        uint32_t *more = realloc(trace->choices, room * sizeof(*more));
        if (more == NULL)
            return false;
        trace->choices = more;
        trace->room = room;
    }
    trace->choices[trace->count++] = value;
    return true;
}

static bool read_choice(const char *line, uint32_t *out)
{
    char *end;
    unsigned long long value = strtoull(line, &end, 10);
    *out = (uint32_t)value;
    return line[0] >= '0' && line[0] <= '9' && (*end == ' ' || *end == '\n') && value <= UINT32_MAX;
}

bool vigil__sim_trace_read(const char *path, const char *program, struct sim_trace *out)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot read %s\n", program, path);
        return false;
    }
    char line[256];
    bool good = true;
    for (size_t number = 1; good && fgets(line, sizeof(line), file) != NULL; number++) {
        uint32_t value;
        if (line[0] == '#')
            continue;
        good = read_choice(line, &value) && vigil__sim_trace_add(out, value);
        if (!good)
            fprintf(stderr, "%s: %s:%zu: not a choice, as \"3 label\"\n", program, path, number);
    }
    fclose(file);
    return good;
}

bool vigil__sim_trace_write(const char *path, const vigil_sim *sim)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    size_t count = sim->choice_count;
    while (count > 0 && sim->choices[count - 1].value == 0)
        count--; /* behind the last all are 0 */
    fprintf(file, "# %s\n", sim->failed_oracle != NULL ? sim->failure : "passes");
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%u %s\n", sim->choices[i].value, sim->choices[i].label);
    return fclose(file) == 0;
}

uint8_t *vigil__sim_bytes_read(const char *path, const char *program, size_t *len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(BYTES_MAX);
    if (file != NULL && bytes != NULL) {
        *len = fread(bytes, 1, BYTES_MAX, file);
        bool good = ferror(file) == 0;
        fclose(file);
        if (good)
            return bytes;
        file = NULL;
    }
    fprintf(stderr, "%s: cannot read %s\n", program, path);
    if (file != NULL)
        fclose(file);
    free(bytes);
    return NULL;
}
