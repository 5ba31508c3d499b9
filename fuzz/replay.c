/* SPDX-License-Identifier: MIT
 *
 * replay.c -- a main() for a fuzz target that only runs the files named, with any compiler.
 *
 * Prints TAP, one line per file.  What a file brings down the process with, it does at once: the
 * last line says which file it was, and the command that runs it alone.
 */
#include "fuzz.h"

/* The whole file; the caller frees it. */
static uint8_t *file_read(const char *name, size_t *size)
{
    FILE *file = fopen(name, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        return NULL;
    long length = ftell(file);
    rewind(file);
    uint8_t *bytes = length >= 0 ? malloc((size_t)length + 1) : NULL;
    *size = bytes != NULL ? fread(bytes, 1, (size_t)length, file) : 0;
    (void)fclose(file); /* it was only read */
    return bytes;
}

int main(int argc, char **argv)
{
    int failed = 0;
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* each line is out before the next file can crash */
    (void)printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        size_t size;
        uint8_t *bytes = file_read(argv[i], &size);
        (void)printf("# %s %s\n", argv[0], argv[i]);
        if (bytes != NULL)
            (void)LLVMFuzzerTestOneInput(bytes, size);
        (void)printf("%s %d - %s\n", bytes != NULL ? "ok" : "not ok", i, argv[i]);
        failed += bytes == NULL;
        free(bytes);
    }
    return failed > 0;
}
