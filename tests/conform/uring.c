/* SPDX-License-Identifier: MIT
 *
 * uring.c -- what can go wrong on io_uring alone, on this kernel:
 * buffers, order, what ends by itself, more completions than places, closing, hostile crowds.
 */
#include "uring_rig.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- buffers ---- */

static void buffers_are_back(struct rig *rig)
{
    rig_settle(rig);
    EQ_INT(0, rig_stats(rig).memory);
    EQ_INT(view.places_count, buffers_in_kernel(), "of the ring");
}

static size_t keep_one_byte(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig, (void)conn, (void)p;
    return n - 1;
}

static size_t pause_at_once(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p, (void)n;
    EQ_INT(0, vigil_pause(rig->loop, conn));
    return 0;
}

static size_t abort_at_once(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(0, vigil_abort(rig->loop, conn));
    return n;
}

/* What ends a connection while the kernel receives and sends for it. */
static void end_somehow(struct rig *rig, vigil_conn conn, int *peer, unsigned how)
{
    switch (how % 4) {
    case 0:
        (void)vigil_abort(rig->loop, conn); /* `data` may have done so */
        break;
    case 1:
        (void)vigil_finish(rig->loop, conn); /* likewise */
        close(*peer);
        *peer = -1;
        break;
    case 2:
        close(*peer);
        *peer = -1;
        (void)vigil_resume(rig->loop, conn); /* likewise */
        break;
    default:
        shutdown(*peer, SHUT_WR);
        (void)vigil_abort(rig->loop, conn); /* likewise */
    }
}

TEST(a_buffer_of_a_connection_that_ended_does_not_come_back)
{
    static size_t (*const uses[])(struct rig *, vigil_conn, const void *, size_t) = {
        NULL, rig_echo, keep_one_byte, pause_at_once, abort_at_once,
    };
    enum { ROUNDS = 600, AT_ONCE = 6 };
    static const char text[50000];
    struct rig rig;
    vigil_conn conns[AT_ONCE];
    int peers[AT_ONCE];
    uring_needed();
    uring_open_loop(&rig);
    for (unsigned round = 0; round < ROUNDS; round++) {
        rig.on_data = uses[round % TEST_COUNT(uses)];
        for (int i = 0; i < AT_ONCE; i++)
            peers[i] = uring_pair(&rig, NULL, &conns[i]);
        for (unsigned turns = 0; turns < round % 4; turns++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        for (unsigned i = 0; i < AT_ONCE; i++) {
            (void)!send(peers[i], text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT); /* what fits */
            if (round % 3 == 0)
                REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
            end_somehow(&rig, conns[i], &peers[i], round / 4 + i);
        }
        for (int turns = 0; turns < 3; turns++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        for (int i = 0; i < AT_ONCE; i++)
            (void)vigil_abort(rig.loop, conns[i]); /* those that are paused */
        RIG_UNTIL(&rig, rig.closed == (int)(round + 1) * AT_ONCE);
        for (int i = 0; i < AT_ONCE; i++)
            if (peers[i] >= 0)
                close(peers[i]);
        rig_take_log(&rig);
    }
    buffers_are_back(&rig);
    EQ_INT(0, seen.twice);
    rig_close(&rig);
    EQ_INT(0, seen.under_way, "requests that never ended");
}

TEST(closing_a_loop_leaves_the_kernel_with_requests_or_memory)
{
    enum { ROUNDS = 60, PAIRS = 8 };
    static const char text[60000];
    uring_needed();
    for (int round = 0; round < ROUNDS; round++) {
        struct rig rig;
        vigil_conn conns[PAIRS];
        int peers[PAIRS], clients[3];
        seen_reset();
        uring_open(&rig, NULL);
        rig.on_data = round % 2 ? rig_echo : pause_at_once;
        for (int i = 0; i < PAIRS; i++)
            peers[i] = uring_pair(&rig, NULL, &conns[i]);
        for (int turns = 0; turns < round % 5; turns++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        for (int i = 0; i < 3; i++)
            clients[i] = rig_client(&rig); /* somebody is at the door */
        for (int i = 0; i < PAIRS; i++) {
            (void)!send(peers[i], text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT); /* what fits */
            (void)vigil_send(rig.loop, conns[i], text, sizeof(text)); /* nobody reads it */
        }
        for (int turns = 0; turns < round % 3; turns++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        rig_close(&rig);
        EQ_INT(0, seen.under_way, "round %d", round);
        EQ_INT(0, seen.twice, "round %d", round);
        for (int i = 0; i < PAIRS; i++)
            close(peers[i]);
        for (int i = 0; i < 3; i++)
            close(clients[i]);
    }
}

/* ---- order ---- */

enum { KINDS = 5, KINDS_TOTAL = 3 << 20 };

static struct {
    size_t queued; /* of the pattern */
    int done_due;
    int file;
} kinds;

static void owned_done(void *arg)
{
    free(arg);
    kinds.done_due--;
}

static void file_done(void *arg)
{
    (void)arg;
    kinds.done_due--;
}

/* Queues the next `n` bytes by one of the ways there are.  False: not now. */
static bool queue_by(struct rig *rig, vigil_conn conn, unsigned kind, size_t n)
{
    static uint8_t p[40000];
    pattern_fill(p, n, kinds.queued, 1);
    size_t third = n / 3;
    vigil_iov iov[] = { { p, third }, { p + third, 0 }, { p + third, n - third } };
    int status = 0;
    switch (kind % KINDS) {
    case 0:
        n = vigil_send(rig->loop, conn, p, n);
        break;
    case 1:
        status = vigil_send_all(rig->loop, conn, p, n);
        break;
    case 2:
        status = vigil_sendv(rig->loop, conn, iov, TEST_COUNT(iov));
        break;
    case 3: {
        uint8_t *own = malloc(n);
        memcpy(own, p, n);
        status = vigil_send_owned(rig->loop, conn, own, n, owned_done, own);
        if (status != 0)
            free(own);
        kinds.done_due += status == 0;
        break;
    }
    default:
        REQUIRE(pwrite(kinds.file, p, n, (off_t)kinds.queued) == (ssize_t)n);
        status = vigil_send_file(rig->loop, conn, kinds.file, (int64_t)kinds.queued, (int64_t)n,
                                 file_done, NULL);
        kinds.done_due += status == 0;
    }
    kinds.queued += status == 0 ? n : 0;
    return status == 0 && n > 0;
}

TEST(concurrent_sends_overtake_each_other_when_the_buffer_is_full)
{
    struct rig rig;
    vigil_conn conn;
    char name[] = "/tmp/vigil-uring-XXXXXX";
    unsigned random = 1;
    uring_needed();
    memset(&kinds, 0, sizeof(kinds));
    kinds.file = mkstemp(name);
    unlink(name);
    uring_open_loop(&rig);
    vigil_limits limits = { .out_high = 200000, .out_hard = 300000 };
    struct talk reader = { .fd = uring_pair(&rig, &limits, &conn), .seed = 1, .chunk = 3000 };
    int small = 1; /* the smallest there is */
    RIG_UNTIL(&rig, rig.opened == 1);
    setsockopt(vigil_conn_fd(rig.loop, conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    for (long turns = 0; reader.got < KINDS_TOTAL && turns < 100000; turns++) {
        bool more = kinds.queued < KINDS_TOTAL;
        for (unsigned i = 0; more && i < KINDS; i++) {
            random = random * 1103515245u + 12345u;
            more = queue_by(&rig, conn, random >> 16, 1 + (random >> 8) % 40000);
        }
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        talk_get(&reader);
        REQUIRE(!reader.wrong, "before %zu", reader.got);
        REQUIRE(!reader.ended, "after %zu", reader.got);
    }
    OK(reader.got >= KINDS_TOTAL, "%zu", reader.got);
    EQ_INT(0, seen.sends_overlapping, "more than one send of a connection under way");
    OK(seen.sends_short > 0, "no send was cut short: this has shown nothing");
    close(reader.fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(0, kinds.done_due);
    close(kinds.file);
    rig_close(&rig);
}

/* ---- what ends by itself ---- */

enum { CROWD = 100, CROWD_EACH = 160 << 10 };

static struct crowd {
    vigil_conn conn;
    int peer;
    size_t put, got;
} crowd[CROWD];
static int crowd_begun;
static int crowd_served; /* who had all of theirs when the last had the first */

static struct crowd *crowd_member(vigil_conn conn)
{
    for (size_t i = 0; i < CROWD; i++)
        if (crowd[i].conn.v == conn.v)
            return &crowd[i];
    return NULL;
}

static size_t crowd_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    struct crowd *member = crowd_member(conn);
    REQUIRE(member != NULL);
    if (member->got == 0 && ++crowd_begun == CROWD)
        for (size_t i = 0; i < CROWD; i++)
            crowd_served += crowd[i].got == crowd[i].put;
    member->got += n;
    rig->log[0] = '\0';
    return n;
}

TEST(out_of_buffers_a_connection_starves_or_is_closed)
{
    static uint8_t text[CROWD_EACH];
    struct rig rig;
    size_t total = 0;
    uring_needed();
    memset(crowd, 0, sizeof(crowd));
    crowd_begun = 0;
    crowd_served = 0;
    /* With so little memory that one reads far less at once than it has. */
    incremental_size = 16384;
    rig_open_loop(&rig, "io_uring", &(vigil_loop_options){ .memory_limit = 1 << 20 });
    rig.ops.eof = NULL;
    rig.on_data = crowd_data;
    for (size_t i = 0; i < CROWD; i++)
        crowd[i].peer = uring_pair(&rig, NULL, &crowd[i].conn);
    rig_settle(&rig);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < CROWD; i++) {
            ssize_t put = send(crowd[i].peer, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT);
            REQUIRE(put > 0);
            crowd[i].put += (size_t)put;
            total += (size_t)put;
        }
        RIG_UNTIL(&rig, rig.used_total == total);
    }
    OK(seen.nobufs > 0, "the buffers did not run out: this has shown nothing");
    OK(crowd_served <= CROWD * 3 / 5, "%d had all before another had any", crowd_served);
    EQ_INT(0, rig.closed);
    for (size_t i = 0; i < CROWD; i++) {
        EQ_INT(crowd[i].put, crowd[i].got, "of %zu", i);
        close(crowd[i].peer);
    }
    RIG_UNTIL(&rig, rig.closed == CROWD);
    buffers_are_back(&rig);
    rig_close(&rig);
    incremental_size = 65536;
}

/* ---- one that floods ---- */

enum { FLOOD_BUFFER = 8 << 20 };

/* A TCP client whose socket buffers, both ways, hold as much as this system allows. */
static int flood_client(struct rig *rig, vigil_conn *conn)
{
    int size = FLOOD_BUFFER;
    int fd = rig_client_opened(rig);
    *conn = rig->conn;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    int ours = vigil_conn_fd(rig->loop, *conn);
    if (setsockopt(ours, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(ours, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    return fd;
}

static struct {
    vigil_conn conn;
    size_t got, in_turn, most_in_turn;
    bool consume, pause, wrong;
    int quiet_served;
} flood;

static size_t flood_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    rig->log[0] = '\0';
    if (conn.v != flood.conn.v) {
        flood.quiet_served++;
        return vigil_send(rig->loop, conn, p, n);
    }
    if (flood.pause) {
        flood.pause = false;
        (void)vigil_pause(rig->loop, conn); /* it is there: cannot fail */
    }
    if (!flood.consume)
        return 0;
    flood.wrong = flood.wrong || !pattern_is(p, n, flood.got, 5);
    flood.got += n;
    flood.in_turn += n;
    return n;
}

static void flood_turn(struct rig *rig)
{
    flood.in_turn = 0;
    REQUIRE(vigil_loop_turn(rig->loop, VIGIL_MS(1)) >= 0);
    if (flood.in_turn > flood.most_in_turn)
        flood.most_in_turn = flood.in_turn;
}

static void quiet_one_is_served(struct rig *rig, int fd, const char *when)
{
    char c;
    int turns = 0;
    client_send(fd, "?");
    while (client_peek(fd, &c, 1) != 1 && turns++ < 500)
        flood_turn(rig);
    OK(turns < 5, "%s: %d turns; got %zu most %zu served %d mem %d", when, turns, flood.got,
       flood.most_in_turn, flood.quiet_served, (int)rig_stats(rig).memory);
}

/* How much one connection may have brought and not used. */
static size_t most_pinned(size_t in_max)
{
    return in_max + (size_t)view.places_count * view.buf_size + 65536; /* a buffer of ours */
}

static void floods(bool consume, bool pause)
{
    struct rig rig;
    enum { IN_MAX = 64 << 10 };
    vigil_listen_options options = { .limits = { .in_max = IN_MAX } };
    memset(&flood, 0, sizeof(flood));
    seen_reset();
    uring_open(&rig, &options);
    rig.on_data = flood_data;
    int quiet = rig_client_opened(&rig);
    struct talk client = { .seed = 5, .total = 64 << 20, .chunk = 65536 };
    client.fd = flood_client(&rig, &flood.conn);
    int behind = rig_client_opened(&rig);
    flood.consume = consume;
    flood.pause = pause;
    rig_settle(&rig);
    talk_put(&client);
    for (int i = 0; i < 40; i++) {
        quiet_one_is_served(&rig, quiet, "first to come");
        quiet_one_is_served(&rig, behind, "last to come");
        talk_put(&client);
        uint64_t pinned = rig_stats(&rig).memory;
        OK(pinned <= most_pinned(IN_MAX), "%" PRIu64 " pinned", pinned);
    }
    OK(client.put > 1 << 20, "%zu: no flood", client.put);
    if (consume && pause)
        EQ_INT(0, vigil_resume(rig.loop, flood.conn));
    client.total = client.put;
    RIG_UNTIL(&rig, consume ? flood.got == client.put : rig.closed == 1 || pause);
    OK(!flood.wrong);
    OK(flood.most_in_turn <= (size_t)view.places_count * view.buf_size + 4 * 65536,
       "%zu in one turn", flood.most_in_turn);
    if (!consume && !pause)
        EQ_INT(VIGIL_ELIMIT, rig.why, "who uses nothing is at its limit");
    close(client.fd);
    close(quiet);
    close(behind);
    rig_settle(&rig);
    rig_close(&rig);
}

TEST(one_that_floods_keeps_others_waiting_or_pins_every_buffer)
{
    uring_needed();
    floods(true, false);
    floods(true, true); /* pauses at its first byte */
    floods(false, true);
    floods(false, false); /* uses nothing at all */
}

TEST(slow_readers_with_output_stop_another)
{
    enum { SLOW = 120, ASKS = 100 };
    static const char text[65536];
    struct rig rig;
    vigil_conn conn;
    int slow[SLOW];
    uring_needed();
    uring_open_loop(&rig);
    rig.on_data = rig_echo;
    for (int i = 0; i < SLOW; i++)
        slow[i] = uring_pair(&rig, NULL, &conn);
    int good = uring_pair(&rig, NULL, &conn);
    rig_settle(&rig);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < SLOW; i++)
            (void)!send(slow[i], text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT); /* what fits */
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        rig_take_log(&rig);
    }
    rig_settle(&rig);
    for (int i = 0; i < ASKS; i++) {
        char c;
        int turns = 0;
        client_send(good, "?");
        while (client_peek(good, &c, 1) != 1 && turns++ < 10)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(100)) >= 0);
        OK(turns < 10, "asked for the %dth time", i);
        rig_take_log(&rig);
    }
    rig_is_quiet(&rig);
    EQ_INT(0, rig.closed);
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
    close(good);
    RIG_UNTIL(&rig, rig.closed == SLOW + 1);
    buffers_are_back(&rig);
    rig_close(&rig);
}

/* ---- more completions than places ---- */

enum { MANY = 5000 }; /* CQ_ENTRIES of uring.c is 2048 */

/* Room for so many descriptors; else the row is skipped. */
static void many_descriptors(rlim_t want)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < want + 200) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* looked at again */
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < want + 200)
        SKIP("too few descriptors are allowed here");
}

static void many_shots(unsigned events, bool ready_first)
{
    static int fds[MANY], told[MANY];
    static vigil_reg regs[MANY];
    vigil_poller *poller;
    vigil_event got[300];
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    memset(told, 0, sizeof(told));
    seen.overflows = 0;
    REQUIRE(vigil_poller_open(&poller, "io_uring") == 0);
    if (ready_first)
        EQ_INT(1, write(ends[1], "x", 1));
    for (int i = 0; i < MANY; i++) {
        fds[i] = dup(ends[0]);
        REQUIRE(fds[i] >= 0);
        REQUIRE(vigil_poller_register(poller, fds[i], VIGIL_IN | events, (uintptr_t)i, &regs[i]) ==
                0);
    }
    if (!ready_first) {
        EQ_INT(0, vigil_poller_wait(poller, got, 300, VIGIL_NOWAIT));
        EQ_INT(1, write(ends[1], "x", 1));
    }
    int total = 0, idle = 0;
    bool level = (events & (VIGIL_ONESHOT | VIGIL_EDGE)) == 0; /* told of again and again */
    while (level ? total < 2 * MANY : idle < 3) {
        int n = vigil_poller_wait(poller, got, 300, VIGIL_MS(20));
        REQUIRE(n >= 0, "%s", vigil_strerror(n));
        for (int i = 0; i < n; i++)
            told[got[i].tag]++;
        total += n;
        idle = n == 0 ? idle + 1 : 0;
        REQUIRE(total <= 3 * MANY, "it does not end");
    }
    int lost = 0, doubled = 0;
    for (int i = 0; i < MANY; i++) {
        lost += told[i] == 0;
        doubled += told[i] > 1;
    }
    EQ_INT(0, lost, "events 0x%x, ready first %d", events, ready_first);
    if ((events & VIGIL_ONESHOT) != 0)
        EQ_INT(0, doubled, "ready first %d", ready_first);
    vigil_poller_close(poller);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(ends[0]);
    close(ends[1]);
}

TEST(the_ring_overflows_and_single_shots_are_lost_or_doubled)
{
    many_descriptors(MANY);
    uring_needed();
    many_shots(VIGIL_ONESHOT, true);
    many_shots(VIGIL_ONESHOT, false);
    many_shots(VIGIL_EDGE, true);
    many_shots(VIGIL_EDGE, false);
    many_shots(0, true);
    many_shots(0, false);
    older.setup_flags = VIGIL__URING_SETUP_DEFER_TASKRUN; /* all that is due is done at once */
    many_shots(VIGIL_ONESHOT, false);
    OK(seen.overflows > 0, "it did not overflow: this has shown nothing");
    many_shots(VIGIL_EDGE, false);
    many_shots(0, false);
    older.setup_flags = 0;
}

enum { READABLE = 3000 };

static size_t answer_once(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    rig->log[0] = '\0';
    EQ_INT(1, n);
    EQ_INT(1, vigil_send(rig->loop, conn, "!", 1));
    return n;
}

static void forget_log(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    rig->log[0] = '\0';
}

TEST(the_ring_overflows_and_input_or_answers_are_lost)
{
    static int peers[READABLE];
    struct rig rig;
    vigil_conn conn;
    char c[4];
    many_descriptors(2 * READABLE);
    uring_needed();
    uring_open_loop(&rig);
    rig.on_data = answer_once;
    rig.on_open = forget_log;
    rig.on_close = forget_log;
    for (int i = 0; i < READABLE; i++) {
        peers[i] = uring_pair(&rig, NULL, &conn);
        REQUIRE(send(peers[i], "?", 1, MSG_NOSIGNAL) == 1);
    }
    RIG_UNTIL(&rig, rig.used_total == READABLE);
    OK(seen.overflows > 0, "it did not overflow: this has shown nothing");
    for (int round = 0; round < 3; round++) {
        rig_settle(&rig);
        int wrong = 0;
        for (int i = 0; i < READABLE; i++) {
            wrong += recv(peers[i], c, sizeof(c), MSG_DONTWAIT) != 1 || c[0] != '!';
            REQUIRE(send(peers[i], "?", 1, MSG_NOSIGNAL) == 1);
        }
        EQ_INT(0, wrong, "in round %d", round);
        RIG_UNTIL(&rig, rig.used_total == (size_t)READABLE * (size_t)(round + 2));
    }
    EQ_INT(0, rig.closed);
    for (int i = 0; i < READABLE; i++)
        close(peers[i]);
    RIG_UNTIL(&rig, rig.closed == READABLE);
    buffers_are_back(&rig);
    EQ_INT(0, seen.twice);
    rig_close(&rig);
    EQ_INT(0, seen.under_way);
}

TEST(many_at_the_door_at_once_and_some_are_lost)
{
    static int clients[READABLE];
    struct rig rig;
    many_descriptors(2 * READABLE);
    uring_needed();
    uring_open(&rig, NULL);
    rig.on_open = forget_log;
    rig.on_close = forget_log;
    for (int i = 0; i < READABLE; i++) {
        clients[i] = rig_client(&rig);
        if (i % 1000 == 999) { /* a backlog holds no more than net.core.somaxconn */
            RIG_UNTIL(&rig, rig.opened == i + 1);
        }
    }
    EQ_INT(READABLE, rig_stats(&rig).accepted);
    EQ_INT(0, rig_stats(&rig).accept_errors);
    for (int i = 0; i < READABLE; i++)
        close(clients[i]);
    RIG_UNTIL(&rig, rig.closed == READABLE);
    rig_close(&rig);
}

/* ---- errors of accept ---- */

TEST(an_error_of_the_newcomer_stops_the_listener)
{
    static const int own[] = { VIGIL_ECONNRESET, VIGIL_EPROTO,       VIGIL_EUNREACH, VIGIL_EACCES,
                               VIGIL_ETIMEDOUT,  VIGIL_ECONNREFUSED, VIGIL_ENOTSUP };
    struct rig rig;
    uring_needed();
    uring_open(&rig, NULL);
    rig_settle(&rig);
    for (size_t i = 0; i < TEST_COUNT(own); i++) {
        seen.accept_error = own[i];
        int lost = rig_client(&rig), fd = rig_client(&rig);
        RIG_UNTIL(&rig, rig.opened == (int)i + 1);
        EQ_INT(0, seen.accept_error);
        EQ_INT(i + 1, rig_stats(&rig).accept_errors, "%s", vigil_err_name(own[i]));
        EQ_INT(0, rig_stats(&rig).accept_rests, "%s", vigil_err_name(own[i]));
        close(lost);
        close(fd);
        RIG_UNTIL(&rig, rig.closed == (int)i + 1);
    }
    rig_close(&rig);
}

TEST(out_of_memory_or_descriptors_the_listener_spins_or_never_comes_back)
{
    static const int lacking[] = { VIGIL_ENOBUFS, VIGIL_ENOMEM, VIGIL_EMFILE };
    struct rig rig;
    uring_needed();
    uring_open(&rig, NULL);
    rig_settle(&rig);
    for (size_t i = 0; i < TEST_COUNT(lacking); i++) {
        vigil_ns before = rig_clock(); /* the rest begins later, whatever the machine does */
        seen.accept_error = lacking[i];
        int lost = rig_client(&rig);
        RIG_UNTIL(&rig, seen.accept_error == 0);
        RIG_UNTIL(&rig, rig_stats(&rig).accept_rests == i + 1);
        int fd = rig_client(&rig);
        uint64_t turns = rig_stats(&rig).turns;
        while (rig.opened == (int)i) {
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_FOREVER) >= 0);
        }
        OK(rig_clock() - before >= VIGIL_MS(100), "%s: it did not rest",
           vigil_err_name(lacking[i]));
        OK(rig_stats(&rig).turns - turns < 20, "%s: it spins", vigil_err_name(lacking[i]));
        close(lost);
        close(fd);
        RIG_UNTIL(&rig, rig.closed == (int)i + 1);
    }
    EQ_INT(0, rig_stats(&rig).accept_errors);
    rig_close(&rig);
}

/* ---- the end is seen ---- */

static ssize_t state_of(int fd)
{
    char c;
    return client_peek(fd, &c, 1);
}

TEST(a_descriptor_closed_after_unregistering_is_held_open_by_its_poll)
{
    static const unsigned asked[] = { VIGIL_IN, VIGIL_OUT | VIGIL_PRI, VIGIL_IN | VIGIL_EDGE,
                                      VIGIL_IN | VIGIL_ONESHOT, VIGIL_RDHUP };
    uring_needed();
    for (size_t i = 0; i < TEST_COUNT(asked); i++) {
        for (int waits = 0; waits < 3; waits++) {
            vigil_poller *poller;
            vigil_reg reg;
            vigil_event event;
            int ends[2];
            REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
            REQUIRE(vigil_poller_open(&poller, "io_uring") == 0);
            REQUIRE(vigil_poller_register(poller, ends[0], asked[i], 0, &reg) == 0);
            for (int j = 0; j < waits; j++)
                REQUIRE(vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT) >= 0);
            EQ_INT(0, vigil_poller_unregister(poller, reg));
            close(ends[0]);
            EQ_INT(0, state_of(ends[1]), "0x%x after %d waits", asked[i], waits);
            close(ends[1]);
            vigil_poller_close(poller);
        }
    }
}

static void watched(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch, (void)events;
    ++*(int *)arg;
}

TEST(a_descriptor_closed_after_its_watch_was_cancelled_is_held_open)
{
    struct rig rig;
    int calls = 0;
    uring_needed();
    uring_open_loop(&rig);
    for (int turns = 0; turns < 4; turns++) {
        vigil_watch watch;
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        REQUIRE(vigil_on_ready(rig.loop, ends[0], VIGIL_IN, watched, &calls, &watch) == 0);
        for (int i = 0; i < turns; i++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        if (turns > 2)
            client_send(ends[1], "x"); /* and it is ready just now */
        EQ_INT(0, vigil_watch_cancel(rig.loop, watch));
        close(ends[0]);
        EQ_INT(turns > 2 ? -2 : 0, state_of(ends[1]), "after %d turns", turns);
        close(ends[1]);
    }
    EQ_INT(0, calls);
    rig_close(&rig);
}

/* Turns that do not wait, until `close` was called; then the descriptor is closed too. */
static void turns_to_close(struct rig *rig, int want)
{
    for (int turns = 0; rig->closed < want && turns < 100; turns++)
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    REQUIRE(rig->closed == want);
}

TEST(the_peer_of_a_connection_that_was_closed_sees_no_end)
{
    struct rig rig;
    uring_needed();
    uring_open(&rig, NULL);
    for (int round = 0; round < 20; round++) {
        int fd = rig_client_opened(&rig);
        for (int turns = 0; turns < round % 4; turns++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        bool aborts = round % 2 == 0;
        EQ_INT(0, aborts ? vigil_abort(rig.loop, rig.conn) : vigil_finish(rig.loop, rig.conn));
        if (!aborts)
            shutdown(fd, SHUT_WR); /* or it would linger for us */
        turns_to_close(&rig, round + 1);
        EQ_INT(aborts ? -2 : 0, state_of(fd), "round %d", round);
        close(fd);
    }
    rig_close(&rig);
}

TEST(a_listener_that_was_closed_still_takes_clients)
{
    struct rig rig;
    uring_needed();
    uring_open_loop(&rig);
    for (int turns = 0; turns < 4; turns++) {
        rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
        for (int i = 0; i < turns; i++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        EQ_INT(0, vigil_listener_close(rig.loop, rig.listener));
        /* The kernel gives back what it has of it in a turn. */
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        int fd = client_socket(AF_INET);
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(rig.addr.port) };
        memcpy(&to.sin_addr, rig.addr.ip, 4);
        EQ_INT(-1, client_connect(fd, &to, sizeof(to)), "after %d turns", turns);
        EQ_INT(ECONNREFUSED, errno, "after %d turns", turns);
        close(fd);
    }
    rig_close(&rig);
}

/* ---- every request ends once ---- */

enum { PROGRAM_SLOTS = 24, PROGRAM_STEPS = 6000 };

static struct {
    vigil_conn conns[PROGRAM_SLOTS];
    int peers[PROGRAM_SLOTS];
    unsigned random;
} program;

static unsigned chance(unsigned below)
{
    program.random = program.random * 1664525u + 1013904223u;
    return (program.random >> 8) % below;
}

static size_t program_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    rig->log[0] = '\0';
    switch (chance(8)) {
    case 0:
        (void)vigil_pause(rig->loop, conn); /* it is there: cannot fail */
        return 0;
    case 1:
        return n / 2;
    case 2:
        (void)vigil_abort(rig->loop, conn); /* likewise */
        return n;
    default:
        return vigil_send(rig->loop, conn, p, n);
    }
}

static void program_step(struct rig *rig)
{
    static char text[30000];
    unsigned i = chance(PROGRAM_SLOTS);
    if (program.peers[i] < 0) {
        program.peers[i] = uring_pair(rig, NULL, &program.conns[i]);
        return;
    }
    switch (chance(9)) {
    case 0:
        close(program.peers[i]);
        program.peers[i] = -1;
        (void)vigil_resume(rig->loop, program.conns[i]); /* gone or not, here and below */
        break;
    case 1:
        (void)vigil_abort(rig->loop, program.conns[i]);
        close(program.peers[i]);
        program.peers[i] = -1;
        break;
    case 2:
        (void)vigil_resume(rig->loop, program.conns[i]);
        break;
    case 3:
        (void)vigil_pause(rig->loop, program.conns[i]);
        break;
    case 4:
        (void)vigil_finish(rig->loop, program.conns[i]);
        break;
    case 5:
        (void)!recv(program.peers[i], text, sizeof(text), MSG_DONTWAIT); /* whatever is there */
        break;
    case 6:
        (void)vigil_send(rig->loop, program.conns[i], text, chance(sizeof(text)));
        break;
    default:
        (void)!send(program.peers[i], text, chance(sizeof(text)) + 1,
                    MSG_NOSIGNAL | MSG_DONTWAIT); /* what fits */
    }
}

TEST(a_request_ends_twice_or_never)
{
    uring_needed();
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct rig rig;
        seen_reset();
        memset(program.peers, -1, sizeof(program.peers));
        program.random = seed;
        uring_open(&rig, NULL);
        rig.on_data = program_data;
        rig.on_open = forget_log;
        rig.on_close = forget_log;
        for (int step = 0; step < PROGRAM_STEPS; step++) {
            program_step(&rig);
            if (chance(3) == 0)
                REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
            if (chance(200) == 0)
                close(rig_client(&rig));
        }
        rig_close(&rig);
        OK(seen.ended > 1000, "seed %u: %lu", seed, seen.ended);
        EQ_INT(0, seen.twice, "seed %u", seed);
        EQ_INT(0, seen.under_way, "seed %u", seed);
        EQ_INT(0, seen.sends_overlapping, "seed %u", seed);
        for (int i = 0; i < PROGRAM_SLOTS; i++)
            if (program.peers[i] >= 0)
                close(program.peers[i]);
    }
}

/* ---- what is never asked for ---- */

TEST(a_thread_of_the_kernel_polls_or_a_wait_is_stretched)
{
    struct rig rig;
    (void)vigil_backend_try("io_uring"); /* such a ring might not pass its trial */
    EQ_INT(0, seen.sqpoll);
    uring_needed();
    uring_open(&rig, NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    for (int i = 0; i < 20; i++) {
        char c;
        client_send(fd, "x");
        rig_client_gets(&rig, fd, &c, 1);
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_US(300)) >= 0);
    }
    OK(seen.setups > 0 && seen.enters > 20, "nothing was seen");
    EQ_INT(0, seen.sqpoll);
    EQ_INT(0, seen.min_waits);
    close(fd);
    rig_close(&rig);
}

enum { ROUNDS = 1000, BESIDE_THE_TURNS = 8 /* the trial, the first and the last */ };

static size_t back_and_forth(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    if (++rig->number == ROUNDS)
        vigil_loop_stop(rig->loop);
    return vigil_send(rig->loop, conn, p, n);
}

/* What was queued is handed over by the wait itself. */
TEST(a_turn_of_a_loop_that_runs_enters_once)
{
    struct rig rig;
    int ends[2];
    vigil_conn conns[2];
    uring_needed();
    uring_open_loop(&rig);
    rig.on_data = back_and_forth;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(rig_adopt(&rig, ends[i], ends[i], &conns[i]) == 0);
    EQ_INT(1, vigil_send(rig.loop, conns[0], "x", 1));
    seen_reset();
    uint64_t turns = rig_stats(&rig).turns;
    EQ_INT(0, vigil_loop_run(rig.loop));
    turns = rig_stats(&rig).turns - turns;
    OK(rig.number >= ROUNDS && turns >= ROUNDS / 2, "%" PRId64 " of %d", rig.number, ROUNDS);
    OK(seen.enters <= turns + BESIDE_THE_TURNS, "%d calls in %" PRIu64 " turns", (int)seen.enters,
       turns);
    rig_close(&rig);
}

/* vigil_loop_turn() does not know when the next one will be: what was queued leaves at its end. */
TEST(a_turn_that_the_caller_makes_enters_again_where_something_is_queued)
{
    struct rig rig;
    int ends[2];
    char c = '-';
    vigil_conn conn;
    uring_needed();
    uring_open_loop(&rig);
    rig.on_data = rig_echo;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    REQUIRE(rig_adopt(&rig, ends[0], ends[0], &conn) == 0);
    rig_settle(&rig);
    seen_reset();
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(1, seen.enters, "nothing is queued");
    client_send(ends[1], "x");
    seen_reset();
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_FOREVER) >= 0);
    EQ_INT(2, seen.enters, "an answer is");
    EQ_INT(1, read(ends[1], &c, 1), "it has left");
    EQ_INT('x', c);
    close(ends[1]);
    rig_close(&rig);
}

/* Threads that the kernel has made for this process, to do what would block. */
static int kernel_workers(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL && fgets(name, sizeof(name), file) != NULL)
            count += strncmp(name, "iou-", 4) == 0;
        if (file != NULL)
            fclose(file);
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

static vigil_ns cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return VIGIL_S(t.tv_sec) + t.tv_nsec;
}

static void blocked_behind_half_close(int fd, struct rig *rig, vigil_conn conn)
{
    static const char text[1 << 20];
    vigil_limits limits = { .out_high = 4 << 20, .out_hard = 4 << 20 };
    EQ_INT(0, vigil_conn_set_limits(rig->loop, conn, &limits));
    shutdown(fd, SHUT_WR);
    while (send(vigil_conn_fd(rig->loop, conn), text, 4096, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        continue; /* there is no room from the start */
    for (int i = 0; i < 4; i++)
        EQ_INT(0, vigil_send_all(rig->loop, conn, text, sizeof(text)));
    rig_settle(rig);
    OK(rig_info(rig, conn).queued > 0, "nothing waits: this has shown nothing");
    vigil_ns cpu = cpu_time(), end = rig_clock() + VIGIL_MS(400);
    while (rig_clock() < end)
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_MS(100)) >= 0);
    cpu = cpu_time() - cpu;
    OK(cpu < VIGIL_MS(100) * test_time_scale(), "%" PRId64 " ns of CPU in 400 ms", cpu);
    EQ_INT(0, kernel_workers());
}

TEST(a_send_that_would_block_behind_a_half_close_burns_a_kernel_thread)
{
    struct rig rig;
    vigil_conn conn;
    uring_needed();
    rig_open(&rig, "io_uring", NULL); /* whose eof does nothing */
    int pair = uring_pair(&rig, NULL, &conn);
    RIG_UNTIL(&rig, rig.opened == 1);
    blocked_behind_half_close(pair, &rig, conn);
    int fd = rig_client_opened(&rig), blocking[2];
    blocked_behind_half_close(fd, &rig, rig.conn);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, blocking) == 0);
    REQUIRE(rig_adopt(&rig, blocking[0], blocking[0], &conn) == 0);
    RIG_UNTIL(&rig, rig.opened == 3);
    blocked_behind_half_close(blocking[1], &rig, conn);
    close(blocking[1]);
    close(pair);
    close(fd);
    rig_settle(&rig);
    rig_close(&rig);
}

/* ---- input sent on ---- */

enum { ON_FIRST = 100 << 10, ON_BUFFER = 65536 };

static struct {
    vigil_conn to;
    size_t n;      /* of a call's input, once */
    size_t growth; /* what sending it on took from the allocator */
} sent_on;

static size_t send_part_on(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn;
    if (sent_on.n == 0)
        return n;
    size_t before = rig->memory.bytes;
    EQ_INT(sent_on.n, vigil_send(rig->loop, sent_on.to, p, sent_on.n));
    sent_on.growth = rig->memory.bytes - before;
    sent_on.n = 0;
    return n;
}

static void nothing_done(void *arg)
{
    (void)arg;
}

/* Of `in` bytes that came together the first `n` are sent on, to one that takes nothing yet. */
static void sends_on(size_t in, size_t n, bool by_reference)
{
    static uint8_t first[ON_FIRST], input[ON_BUFFER], later[512 << 10], got[ON_FIRST + ON_BUFFER];
    struct rig rig;
    int small = 1;
    vigil_limits out = { .out_high = 1 << 20, .out_hard = 1 << 20 };
    vigil_conn from;
    uring_open_loop(&rig);
    int feed = uring_pair(&rig, NULL, &from), drain = uring_pair(&rig, &out, &sent_on.to);
    setsockopt(vigil_conn_fd(rig.loop, sent_on.to), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    pattern_fill(first, sizeof(first), 0, 1);
    pattern_fill(input, sizeof(input), 0, 2);
    EQ_INT(0, vigil_send_owned(rig.loop, sent_on.to, first, sizeof(first), nothing_done, NULL));
    rig_settle(&rig);
    OK(rig_info(&rig, sent_on.to).queued > 0, "the queue stands");
    EQ_INT(ON_BUFFER, view.buf_size);
    sent_on.n = n;
    rig.on_data = send_part_on;
    EQ_INT(in, write(feed, input, in));
    RIG_UNTIL(&rig, rig.used_total == in);
    rig_settle(&rig);
    if (by_reference) {
        OK(sent_on.growth < 1024, "%zu of %zu: took %zu", n, in, sent_on.growth);
        EQ_INT(ON_BUFFER, rig_stats(&rig).memory, "%zu of %zu: counted whole", n, in);
    } else {
        OK(sent_on.growth >= n, "%zu of %zu: took %zu", n, in, sent_on.growth);
    }
    /* All the ring's buffers come round, twice: none of it must come to where the others lie. */
    size_t put = 0, more = 2 * (size_t)view.places_count * view.buf_size;
    memset(later, 'x', sizeof(later));
    for (long turns = 0; rig.used_total < in + more && turns < 20000; turns++) {
        size_t left = more - put < 4000 ? more - put : 4000;
        ssize_t fits = left > 0 ? send(feed, later, left, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        put += fits > 0 ? (size_t)fits : 0;
        rig.log[0] = '\0';
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    }
    EQ_INT(in + more, rig.used_total);
    rig_client_gets(&rig, drain, (char *)got, ON_FIRST + n);
    EQ_INT(0, memcmp(got, first, ON_FIRST));
    OK(memcmp(got + ON_FIRST, input, n) == 0, "%zu of %zu: other bytes", n, in);
    buffers_are_back(&rig);
    close(feed);
    close(drain);
    rig_close(&rig);
}

TEST(input_sent_on_is_overwritten_or_pins_a_buffer_for_few_bytes)
{
    test_needs_incremental("io_uring");
    uring_needed();
    sends_on(ON_BUFFER, ON_BUFFER, true);
    sends_on(ON_BUFFER, ON_BUFFER / 2, true);
    sends_on(ON_BUFFER / 2, ON_BUFFER / 2, true);
    sends_on(ON_BUFFER, ON_BUFFER / 2 - 1, false);
    sends_on(4096, 4096, false);
    sends_on(1, 1, false);
}

/* ---- what is left to the kernel ---- */

TEST(each_newcomer_takes_a_request_of_its_own)
{
    enum { NEWCOMERS = 50 };
    struct rig rig;
    int fds[NEWCOMERS];
    uring_needed();
    uring_open(&rig, NULL);
    for (int i = 0; i < NEWCOMERS; i++)
        fds[i] = rig_client_opened(&rig);
    unsigned requests = seen.submitted[VIGIL__URING_ACCEPT];
    OK(requests >= 1 && requests <= 2, "%u requests for %d newcomers", requests, NEWCOMERS);
    for (int i = 0; i < NEWCOMERS; i++)
        close(fds[i]);
    RIG_UNTIL(&rig, rig.closed == NEWCOMERS);
    rig_close(&rig);
}

TEST(each_close_is_a_system_call_of_its_own)
{
    enum { CLOSED = 20 };
    struct rig rig;
    int fds[CLOSED];
    vigil_conn conns[CLOSED];
    uring_needed();
    uring_open(&rig, NULL);
    for (int i = 0; i < CLOSED; i++) {
        fds[i] = rig_client_opened(&rig);
        conns[i] = rig.conn;
    }
    rig_settle(&rig);
    seen_reset();
    for (int i = 0; i < CLOSED; i++)
        EQ_INT(0, vigil_abort(rig.loop, conns[i]));
    RIG_UNTIL(&rig, rig.closed == CLOSED);
    rig_settle(&rig);
    EQ_INT(CLOSED, seen.submitted[VIGIL__URING_CLOSE]);
    EQ_INT(0, seen.closed_before, "were closed by a call, too");
    OK(seen.enters < CLOSED, "%u calls for %d", seen.enters, CLOSED);
    for (int i = 0; i < CLOSED; i++)
        close(fds[i]);
    rig_close(&rig);
}

TEST(each_piece_of_the_queue_is_a_send_of_its_own)
{
    enum { PIECES = 8, PIECE = 100 };
    static char pieces[PIECES][PIECE], got[PIECES * PIECE];
    struct rig rig;
    vigil_conn conn;
    uring_needed();
    uring_open_loop(&rig);
    int peer = uring_pair(&rig, NULL, &conn);
    rig_settle(&rig);
    seen_reset();
    for (int i = 0; i < PIECES; i++) {
        memset(pieces[i], 'a' + i, PIECE);
        EQ_INT(0, vigil_send_owned(rig.loop, conn, pieces[i], PIECE, nothing_done, NULL));
    }
    rig_client_gets(&rig, peer, got, sizeof(got));
    OK(memcmp(got, pieces, sizeof(pieces)) == 0, "other bytes");
    EQ_INT(1, seen.submitted[VIGIL__URING_SENDMSG], "for %d pieces", PIECES);
    EQ_INT(0, seen.submitted[VIGIL__URING_SEND], "besides it");
    close(peer);
    rig_settle(&rig);
    rig_close(&rig);
}

/* ---- fork ---- */

/* Where the ring of buffers lay there may be memory of the child's own by then. */
static int child_closes_beside(struct rig *rig)
{
    size_t size = view.places_count * sizeof(*view.places);
    char *own = mmap((void *)(uintptr_t)view.places, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (own != (const char *)view.places)
        return 2;
    own[0] = 'k';
    vigil_loop_close(rig->loop);
    unsigned char there;
    if (mincore(own, 1, &there) != 0)
        return 3; /* it was taken away */
    return own[0] == 'k' ? 0 : 4;
}

TEST(a_forked_child_that_closes_its_loop_takes_away_memory_of_its_own)
{
    struct rig rig;
    int state = 0;
    char text[4];
    const char *preload = getenv("LD_PRELOAD");
    if (preload != NULL && strstr(preload, "valgrind") != NULL)
        SKIP("valgrind lets nothing be mapped where the parent alone has something");
    uring_needed();
    uring_open(&rig, NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    client_send(fd, "echo");
    rig_client_gets(&rig, fd, text, 4);
    fflush(stdout); /* or the child's copy would be written too */
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(child_closes_beside(&rig));
    }
    REQUIRE(child > 0);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    OK(WIFEXITED(state) && WEXITSTATUS(state) == 0, "it ended with 0x%x", (unsigned)state);
    client_send(fd, "more");
    rig_client_gets(&rig, fd, text, 4);
    EQ_INT(0, memcmp(text, "more", 4), "the parent goes on");
    close(fd);
    rig_close(&rig);
}
