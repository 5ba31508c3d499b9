/* SPDX-License-Identifier: MIT
 *
 * wire.h -- one connection to the server, and how several are moved along.  A script says what
 * shall have happened on each wire, and drive() makes it so: it sends, reads, compares each byte,
 * and turns whatever goes wrong into a finding.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "torture.h"

struct wire {
    struct torture *torture;
    int fd; /* -1: closed, or never opened */

    /* The script may set these at any time. */
    uint64_t send_goal;     /* so many bytes shall be sent in all, */
    uint64_t read_goal;     /* so many shall have come back, */
    bool finish;            /* FIN shall follow what is sent, */
    bool until_end;         /* and the server's end shall have been seen behind what came back */
    size_t chunk_max;       /* bytes in one send(2); 0: whatever fits */
    bool chunk_random;      /* sends 1 to chunk_max bytes at a time */
    vigil_ns send_pause_ns; /* between one send(2) and the next */
    size_t read_max;        /* bytes in one recv(2); 0: whatever is there */
    vigil_ns read_pause_ns; /* between one recv(2) and the next */
    bool reluctant;         /* does not read until the server has taken nothing for a while */
    bool holding;           /* reads only for the sake of sending; done once the peer has it all */
    bool bystander;         /* nobody waits for it, and what happens to it is no finding */

    /* And may read these. */
    bool open; /* connected */
    bool fin_sent;
    bool ended; /* the server's end was seen */
    int error;  /* errno that broke it, or 0 */
    uint64_t sent;
    uint64_t received;
    uint64_t base;        /* offset of its stream in the payload */
    uint64_t largest;     /* bytes that one send(2) took */
    uint64_t urgent_sent; /* urgent bytes, which are not counted in `sent`, */
    uint64_t urgent_back; /* and those that came back between the others */
    uint64_t transit;     /* bytes sent that had not arrived when last asked */
    vigil_ns moved;       /* when something last moved */
    vigil_ns read_next;   /* not before */
    vigil_ns send_next;
    struct sockaddr_storage here; /* where it vanished from */
    socklen_t here_len;
};

/* How a wire is opened. */
enum {
    WIRE_NARROW = 1 << 0,    /* little room on the way back: what is not read waits in the server */
    WIRE_BYSTANDER = 1 << 1, /* sets `bystander` */
    WIRE_OWN_PORT = 1 << 2,  /* shares its port with no other socket, and can wire_return() there */
    WIRE_TINY = 1 << 3,      /* a window of two KiB, and segments of a quarter of one */
    WIRE_ROOMY = 1 << 4      /* much room to send: what is written goes out in one piece */
};

/* Begins to connect; drive() sees it through.  Closes by wire_close() or another of these, also
 * when it failed. */
void wire_open(struct wire *wire, struct torture *t, unsigned flags);

/* Closes: with FIN, or with a reset (RFC 9293, 3.10.4 ABORT) whatever is under way. */
void wire_close(struct wire *wire);
void wire_reset(struct wire *wire);

/* Is gone without a word to the server, as a machine that lost its power (tcp(7), TCP_REPAIR);
 * false: not permitted here (CAP_NET_ADMIN), and the wire is reset. */
bool wire_vanish(struct wire *wire);

/* After wire_vanish() of a WIRE_OWN_PORT: the machine is there again and connects from the very
 * port, by which the server's system learns that the old connection is dead (RFC 9293, 3.5.1).  A
 * bystander. */
void wire_return(struct wire *wire);

/* Bytes sent that the server's system has not acknowledged, its FIN included; on a Unix socket,
 * those that the server has not read. */
uint64_t wire_transit(const struct wire *wire);

/* `n` bytes shall be sent; and shall come back, where the server answers. */
void wire_send(struct wire *wire, uint64_t n);
void wire_echo(struct wire *wire, uint64_t n);

/* Sends at once what there is room for, and the FIN behind it, without a wait for anything. */
void wire_flush(struct wire *wire);

/* FIN behind what is sent, and the server's end behind what comes back. */
void wire_finish(struct wire *wire);

/* One urgent byte now, behind what was sent.  It may come back among the others or not: RFC 6093
 * has it both ways. */
#define WIRE_URGENT '!'
void wire_urgent(struct wire *wire);

/* The same for several: each is opened, and wire_echo()es `n` bytes; and all are closed. */
void wires_open(struct wire *wires, size_t count, struct torture *t, unsigned flags, uint64_t n);
void wires_close(struct wire *wires, size_t count);

/* Moves the wires until every one that is no bystander has come to its goals.  No progress on any
 * of those within the patience is a FAIL: in a crowd, each has its turn.  False: something was
 * found. */
bool drive(struct torture *t, struct wire *wires, size_t count);

/* Moves them for a time, whatever comes of it. */
bool drive_for(struct torture *t, struct wire *wires, size_t count, vigil_ns time);

/* Has one more client served, at wires[0], while the others are moved: it connects, gets an answer
 * of `bytes` and the end, and is closed.  Raises `*worst` to the time that took. */
bool drive_newcomer(struct torture *t, struct wire *wires, size_t count, uint64_t bytes,
                    vigil_ns *worst);

/* Whether the server's system has taken nothing of what any of them sends for 100 ms. */
bool wires_stuck(struct wire *wires, size_t count);

/* Whether the wire has come to its goals. */
bool wire_done(const struct wire *wire);

/* `count` wires with nothing opened on them, to be given back by wires_free(), which closes them;
 * NULL after a finding: no memory. */
struct wire *wires_new(struct torture *t, size_t count);
void wires_free(struct wire *wires, size_t count);

#endif /* WIRE_H */
