/* SPDX-License-Identifier: MIT
 *
 * marks.h -- what a driven server tells whoever traces it: a system call that does nothing.
 *
 * It is prctl(MARK, kind, a, b, c); no prctl() has that number, and nobody else hears it. */
#ifndef BENCH_COUNTS_MARKS_H
#define BENCH_COUNTS_MARKS_H

enum {
    MARK = 0x76696769,
    MARK_PLACES =
        1,      /* a: where driven() begins; b, c: where what is not the server's begins, ends */
    MARK_BEGIN, /* counting begins, at the next MARK_LEAVE */
    MARK_END,   /* and is over */
    MARK_ENTER, /* the server has made system call number `a`: what follows is not the server */
    MARK_LEAVE  /* and now it is again */
};

#endif /* BENCH_COUNTS_MARKS_H */
