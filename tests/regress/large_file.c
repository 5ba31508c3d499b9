/* SPDX-License-Identifier: MIT
 *
 * large_file.c -- a file beyond 2 GiB on a machine of 32 bits: its size was an error, its offset
 * lost the upper half.
 */
#define _FILE_OFFSET_BITS 64
#include "conform/conn_rig.h"

CONFORM(the_end_of_a_file_of_5_GiB_is_sent)
{
    static const int64_t size = INT64_C(5) << 30;
    FILE *file = tmpfile();
    REQUIRE(file != NULL);
    bool made = ftruncate(fileno(file), size - 4) == 0 && fseeko(file, size - 4, SEEK_SET) == 0 &&
                fputs("tail", file) >= 0 && fflush(file) == 0;
    if (!made) {
        fclose(file);
        SKIP("no file of 5 GiB can be made here, not even with a hole in it");
    }
    struct rig rig;
    char text[4];
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_send_file(rig.loop, rig.conn, fileno(file), size - 4, -1, NULL, NULL));
    rig_client_gets(&rig, fd, text, sizeof(text));
    EQ_INT(0, memcmp(text, "tail", 4), "the last bytes, and no others");
    close(fd);
    rig_close(&rig);
    fclose(file);
}
