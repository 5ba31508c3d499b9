/* SPDX-License-Identifier: MIT
 *
 * server.h -- an echo server on poll(2) alone that is right, and the places where one can be made
 * wrong.  bad_NAME.c is wrong in one of them: it must fail the probe NAME of `vigil torture`, and
 * no other.  good.c is wrong in none.
 *
 * A member of the behaviour that is not set is what is right.
 */
#ifndef TESTS_TORTURE_SERVER_H
#define TESTS_TORTURE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_MAX ((size_t)64 * 1024) /* kept for one client; one that lets it fill is not read */

struct conn {
    int fd;
    bool input_ended;   /* its FIN was read */
    bool output_ended;  /* ours was sent */
    unsigned char *out; /* bytes that wait to be sent: */
    size_t out_cap;
    size_t out_at;   /* where the first one is, */
    size_t out_len;  /* how many there are, */
    size_t out_held; /* and how many of the last ones are a line that is not whole */
    int64_t opened_ms;
    uint64_t received;
    void *extra; /* whatever the wrong server wants */
};

/* All times are milliseconds of the monotonic clock. */
struct behaviour {
    size_t queue_max;               /* 0: QUEUE_MAX */
    size_t read_max;                /* bytes in one recv(2); 0: what there is room for */
    int backlog;                    /* of listen(2); 0: SOMAXCONN */
    bool dies_of_sigpipe;           /* writes without MSG_NOSIGNAL */
    bool spins_without_descriptors; /* tries to accept again at once */
    bool dies_of_accept_errors;

    /* A client is there; false closes it. */
    bool (*accepted)(struct conn *conn);
    /* Bytes came; may change them.  Answers how many shall be queued. */
    size_t (*received)(struct conn *conn, unsigned char *bytes, size_t n);
    /* Its end of input came; right is to send what is queued and then to close. */
    void (*input_ended)(struct conn *conn);
    /* The connection broke with this errno; right is to close it. */
    void (*broke)(struct conn *conn, int error);
    /* It is closed; right is close(2). */
    void (*closed)(struct conn *conn);
    /* Before each wait.  Answers how long it may take at most; -1: no limit. */
    int (*turn)(void);
    /* SIGTERM came; right is to accept and finish what is under way.  Answers whether to do so:
     * false ends at once. */
    bool (*stop)(void);
};

/* Serves on the address in argv[1] (tcp://A.B.C.D:PORT, port 0 is a free one, told on stdout) in
 * the mode of argv[2]: echo (that is the default), lines or discard.  Answers the exit status. */
int server_run(int argc, char **argv, const struct behaviour *behaviour);

/* The connections, for a behaviour that concerns all; and what one does to its own. */
extern struct conn **server_conns;
extern size_t server_conn_count;
bool server_queue(struct conn *conn, const unsigned char *bytes, size_t n);
void server_close(struct conn *conn); /* freed at the end of the turn */
int64_t server_now(void);

#endif /* TESTS_TORTURE_SERVER_H */
