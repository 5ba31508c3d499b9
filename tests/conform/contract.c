/* SPDX-License-Identifier: MIT
 *
 * contract.c -- points of the contract between the floors that no single feature's test shows:
 * waiting calls per wait, threads, budgets, memory, the order of a turn, fork.
 */
#include "conn_rig.h"
#include "counted.h"

/* One end of a socket pair as a connection of the rig; answers the other, which does not block. */
static int adopted_pair(struct rig *rig, const vigil_limits *limits, vigil_conn *conn)
{
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    vigil_conn_options o = { .ops = &rig->ops, .ctx = rig };
    if (limits != NULL)
        o.limits = *limits;
    REQUIRE(vigil_adopt(rig->loop, ends[0], ends[0], &o, conn) == 0);
    return ends[1];
}

/* ---- 2: a wait is one call that waits ---- */

static void on_alarm(int signo)
{
    (void)signo;
}

static int waits_of_turn(struct rig *rig, vigil_ns timeout)
{
    counted_anew();
    REQUIRE(vigil_loop_turn(rig->loop, timeout) >= 0);
    return counted[COUNTED_WAIT];
}

static void soon(vigil_loop *loop, void *arg)
{
    (void)loop, (void)arg;
}

CONFORM(a_turn_makes_one_call_that_waits)
{
    struct rig rig;
    if (TEST_IN_WORLD)
        SKIP("no call of a kernel's waits in a world");
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    rig_settle(&rig);
    EQ_INT(1, waits_of_turn(&rig, VIGIL_NOWAIT), "nothing to do, no time");
    EQ_INT(1, waits_of_turn(&rig, VIGIL_MS(3)), "the time passes");
    client_send(fd, "x");
    EQ_INT(1, waits_of_turn(&rig, VIGIL_FOREVER), "something comes");
    EQ_INT(0, vigil_after(rig.loop, VIGIL_MS(2), soon, NULL, NULL));
    EQ_INT(1, waits_of_turn(&rig, VIGIL_FOREVER), "a timer");
    vigil_loop_stop(rig.loop);
    EQ_INT(1, waits_of_turn(&rig, VIGIL_FOREVER), "woken");
    close(fd);
    rig_close(&rig);
}

CONFORM(a_wait_that_a_signal_interrupts_answers_0_and_makes_no_second_call)
{
    vigil_poller *poller;
    vigil_event event;
    REQUIRE(vigil_poller_open(&poller, backend) == 0);
    struct sigaction sa = { .sa_handler = on_alarm }, before;
    sigaction(SIGALRM, &sa, &before);
    unsigned left = alarm(0);
    struct itimerval soon_and_again = { { 0, 20000 }, { 0, 20000 } }, off = { { 0, 0 }, { 0, 0 } };
    setitimer(ITIMER_REAL, &soon_and_again, NULL);
    counted_anew();
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER));
    EQ_INT(1, counted[COUNTED_WAIT]);
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &before, NULL);
    alarm(left);
    vigil_poller_close(poller);
}

/* ---- 6: calls from the wrong thread ---- */

struct stranger {
    struct rig *rig;
    vigil_conn other;
    int file;
    int wrong; /* line of the first call that answered wrongly */
};

static void unwanted(void *arg)
{
    *(bool *)arg = true;
}

static void unwanted_text(void *arg, const char *text, size_t len)
{
    (void)text, (void)len;
    *(bool *)arg = true;
}

#define WRONG_UNLESS(s, want, call)        \
    do {                                   \
        if ((call) != (want) && !s->wrong) \
            s->wrong = __LINE__;           \
    } while (0)

#define REFUSED(s, call) WRONG_UNLESS(s, VIGIL_ETHREAD, call)

static void stranger_makes(struct stranger *s)
{
    struct rig *rig = s->rig;
    vigil_listener listener;
    vigil_conn conn;
    vigil_addr addr;
    vigil_listen_options listen = { .ops = &rig->ops, .user = rig };
    REFUSED(s, vigil_listen(rig->loop, "127.0.0.1:0", &listen, &listener));
    REFUSED(s, vigil_listen_fd(rig->loop, s->file, &listen, &listener));
    REFUSED(s, vigil_listener_pause(rig->loop, rig->listener));
    REFUSED(s, vigil_listener_resume(rig->loop, rig->listener));
    REFUSED(s, vigil_listener_address(rig->loop, rig->listener, &addr));
    REFUSED(s, vigil_listener_close(rig->loop, rig->listener));
    REFUSED(s, rig_connect(rig, rig->where, NULL, &conn));
    REFUSED(s, rig_adopt(rig, s->file, VIGIL_FD_NONE, &conn));
}

static void stranger_sends(struct stranger *s)
{
    vigil_loop *loop = s->rig->loop;
    vigil_conn conn = s->rig->conn;
    bool *done = &(bool){ false };
    WRONG_UNLESS(s, 0, vigil_send(loop, conn, "no", 2));
    REFUSED(s, vigil_send_all(loop, conn, "no", 2));
    REFUSED(s, vigil_sendv(loop, conn, &(vigil_iov){ "no", 2 }, 1));
    REFUSED(s, vigil_send_owned(loop, conn, "no", 2, unwanted, done));
    REFUSED(s, vigil_send_file(loop, conn, s->file, 0, -1, unwanted, done));
    REFUSED(s, vigil_couple(loop, conn, s->other));
    REFUSED(s, vigil_pause(loop, conn));
    REFUSED(s, vigil_resume(loop, conn));
    REFUSED(s, vigil_end(loop, conn));
    REFUSED(s, vigil_finish(loop, conn));
    REFUSED(s, vigil_abort(loop, conn));
    WRONG_UNLESS(s, false, *done);
}

static void stranger_looks(struct stranger *s)
{
    static const vigil_conn_ops none;
    vigil_loop *loop = s->rig->loop;
    vigil_conn conn = s->rig->conn;
    vigil_addr addr;
    const void *p;
    size_t n;
    vigil_conn_info info;
    bool *written = &(bool){ false };
    REFUSED(s, vigil_conn_peer(loop, conn, &addr));
    REFUSED(s, vigil_conn_local(loop, conn, &addr));
    WRONG_UNLESS(s, NULL, vigil_conn_ctx(loop, conn));
    REFUSED(s, vigil_conn_set_ctx(loop, conn, NULL));
    REFUSED(s, vigil_conn_set_ops(loop, conn, &none));
    REFUSED(s, vigil_conn_set_limits(loop, conn, &(vigil_limits){ .idle_ns = 1 }));
    WRONG_UNLESS(s, VIGIL_FD_NONE, vigil_conn_fd(loop, conn));
    REFUSED(s, vigil_conn_held(loop, conn, &p, &n));
    REFUSED(s, vigil_conn_deadline(loop, conn, 0));
    REFUSED(s, vigil_conn_option(loop, conn, VIGIL_NODELAY, 0));
    REFUSED(s, vigil_conn_info_get(loop, conn, &info));
    WRONG_UNLESS(s, 0, vigil_conn_next(loop, (vigil_conn){ 0 }).v);
    REFUSED(s, vigil_dump(loop, unwanted_text, written));
    WRONG_UNLESS(s, false, *written);
}

static void *stranger_runs(void *arg)
{
    stranger_makes(arg);
    stranger_sends(arg);
    stranger_looks(arg);
    return NULL;
}

/* Inside a turn: the loop runs. */
static void let_the_stranger_in(vigil_loop *loop, void *arg)
{
    (void)loop;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, stranger_runs, arg) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

CONFORM(connections_are_no_other_thread_s_and_its_calls_change_nothing)
{
    struct rig rig;
    char text[4];
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    struct stranger s = { .rig = &rig, .file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC) };
    int other = rig_client_opened(&rig);
    s.other = rig.conn;
    int fd = rig_client_opened(&rig);
    vigil_stats before = rig_stats(&rig);
    EQ_INT(0, vigil_turn_soon(rig.loop, let_the_stranger_in, &s));
    RIG_UNTIL(&rig, rig_stats(&rig).timers_fired > before.timers_fired);
    EQ_INT(0, s.wrong, "the line of the call that answered wrongly");
    rig_settle(&rig);
    vigil_stats after = rig_stats(&rig);
    EQ_INT(before.conns, after.conns);
    EQ_INT(before.listeners, after.listeners);
    EQ_INT(before.bytes_out, after.bytes_out);
    EQ_INT(VIGIL_OPEN, rig_info(&rig, rig.conn).state);
    EQ_PTR(&rig, vigil_conn_ctx(rig.loop, rig.conn));
    EQ_STR("", rig.log);
    OK(fcntl(s.file, F_GETFD) >= 0, "the descriptor stays the caller's");
    client_send(fd, "echo");
    rig_client_gets(&rig, fd, text, sizeof(text));
    EQ_INT(0, memcmp(text, "echo", 4));
    EQ_INT(-1, client_peek(other, text, 1), "nobody coupled them");
    close(rig_client_opened(&rig));
    close(s.file);
    close(other);
    close(fd);
    rig_close(&rig);
}

/* ---- 8: input sent on ---- */

enum { ON_FIRST = 100 << 10 };

static struct {
    vigil_conn to;
    size_t at, n;  /* of a call's input, once */
    size_t growth; /* what sending it on took from the allocator */
} sent_on;

static size_t send_part_on(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn;
    if (sent_on.n == 0)
        return n;
    size_t before = rig->memory.bytes;
    EQ_INT(sent_on.n, vigil_send(rig->loop, sent_on.to, (const char *)p + sent_on.at, sent_on.n));
    sent_on.growth = rig->memory.bytes - before;
    sent_on.n = 0;
    return n;
}

/* Few bytes that stay are moved into a buffer of their size. */
static size_t leave_all(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p, (void)n;
    EQ_INT(0, vigil_pause(rig->loop, conn));
    return 0;
}

static void nothing_done(void *arg)
{
    (void)arg;
}

static void fill(uint8_t *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((i + seed) * 2654435761u >> 13);
}

/* Reads what the loop sends to the end of `n` bytes. */
static void pair_gets(struct rig *rig, int fd, uint8_t *p, size_t n)
{
    rig_client_gets(rig, fd, (char *)p, n);
}

/* `cap` is the buffer that a receive takes, or `held` input is moved to; of as much input `n` bytes
 * from `at` are sent on, to one that takes nothing yet. */
static void sends_on(const char *backend, size_t cap, bool held, size_t at, size_t n,
                     bool by_reference)
{
    static uint8_t first[ON_FIRST], input[65536], later[65536], got[ON_FIRST + 65536];
    struct rig rig;
    int small = 1;
    vigil_limits in = { .in_max = cap }, out = { .out_high = 1 << 20, .out_hard = 1 << 20 };
    vigil_conn from;
    rig_open_loop(&rig, backend, NULL);
    int feed = adopted_pair(&rig, &in, &from), drain = adopted_pair(&rig, &out, &sent_on.to);
    setsockopt(vigil_conn_fd(rig.loop, sent_on.to), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    fill(first, sizeof(first), 1);
    fill(input, sizeof(input), 2);
    EQ_INT(0, vigil_send_owned(rig.loop, sent_on.to, first, sizeof(first), nothing_done, NULL));
    rig_settle(&rig);
    EQ_INT(0, rig_stats(&rig).memory, "the first bytes are the caller's");
    OK(rig_info(&rig, sent_on.to).queued > 0, "the queue stands");
    sent_on.at = at;
    sent_on.n = n;
    rig.on_data = held ? leave_all : send_part_on;
    EQ_INT(cap, write(feed, input, cap));
    if (held) {
        RIG_UNTIL(&rig, rig_info(&rig, from).held == cap);
        rig_settle(&rig);
        rig.on_data = send_part_on;
        EQ_INT(0, vigil_resume(rig.loop, from));
    }
    RIG_UNTIL(&rig, rig.used_total == cap);
    vigil_stats stats = rig_stats(&rig);
    if (by_reference) {
        OK(sent_on.growth < 1024, "%zu of %zu: took %zu", n, cap, sent_on.growth);
        EQ_INT(cap, stats.memory, "%zu of %zu: counted whole", n, cap);
    } else {
        OK(held || sent_on.growth >= n, "%zu of %zu: took %zu", n, cap, sent_on.growth);
        /* A copy goes into a buffer as large as half of the queue. */
        OK(stats.memory >= (held ? ON_FIRST / 2 : n), "%zu of %zu: %" PRIu64 " in use", n, cap,
           stats.memory);
    }
    EQ_INT(cap, write(feed, later, cap)); /* must not come to where the others lie */
    RIG_UNTIL(&rig, rig.used_total == 2 * cap);
    pair_gets(&rig, drain, got, ON_FIRST + n);
    EQ_INT(0, memcmp(got, first, ON_FIRST));
    OK(memcmp(got + ON_FIRST, input + at, n) == 0, "%zu of %zu: other bytes", n, cap);
    rig_settle(&rig);
    EQ_INT(0, rig_stats(&rig).memory);
    close(feed);
    close(drain);
    rig_close(&rig);
}

CONFORM(input_sent_on_is_kept_when_it_is_half_of_its_buffer_and_4_KiB_else_copied)
{
    if (test_kernel_performs(backend))
        SKIP("the buffers are of another size there: see uring.c");
    sends_on(backend, 65536, false, 0, 65536, true);
    sends_on(backend, 65536, false, 0, 32768, true);
    sends_on(backend, 65536, false, 1000, 32768, true);
    sends_on(backend, 65536, false, 0, 32767, false);
    sends_on(backend, 65536, false, 0, 4096, false);
    sends_on(backend, 4096, true, 0, 4096, true);
    sends_on(backend, 4096, true, 0, 4095, false);
    sends_on(backend, 4096, true, 2048, 2048, false);
}

/* An echo of `n` bytes, all of them sent on, where the system takes none at first if `full`;
 * answers the memory that this held. */
static uint64_t passes(const char *backend, size_t n, bool full)
{
    static uint8_t input[65536], got[1 << 20];
    struct rig rig;
    vigil_conn conn;
    size_t before = 0;
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = rig_echo;
    int fd = adopted_pair(&rig, NULL, &conn);
    RIG_UNTIL(&rig, rig.opened == 1);
    while (full && send(vigil_conn_fd(rig.loop, conn), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
        before++;
    fill(input, n, 3);
    EQ_INT(n, write(fd, input, n));
    RIG_UNTIL(&rig, rig.used_total == n);
    uint64_t memory = full ? rig_stats(&rig).memory : rig_stats(&rig).memory_max;
    pair_gets(&rig, fd, got, before + n);
    EQ_INT(0, memcmp(got + before, input, n));
    rig_settle(&rig);
    EQ_INT(0, rig_stats(&rig).memory);
    close(fd);
    rig_settle(&rig);
    rig_close(&rig);
    return memory;
}

CONFORM(input_sent_on_whole_is_copied_only_when_the_system_leaves_some)
{
    if (test_kernel_performs(backend) || TEST_IN_WORLD)
        SKIP("there a receive takes a buffer of another size, or sockets are not so full");
    EQ_INT(65536, passes(backend, 64, false), "the buffer of the receive alone");
    EQ_INT(65536, passes(backend, 20000, false));
    EQ_INT(256, passes(backend, 64, true), "few bytes do not pin it");
    EQ_INT(65536, passes(backend, 20000, true), "a copy, as large as buffers are");
    EQ_INT(16384, passes(backend, 4097, true));
    EQ_INT(65536, passes(backend, 40000, true), "most of it is kept as it is");
}

/* What is to arrive, and the input that it is made of. */
static struct {
    uint8_t input[65536], bytes[3 * 65536];
    size_t at, n; /* in them */
} mixed;

static void mix(struct rig *rig, const void *p, const void *as_it_was, size_t n)
{
    memcpy(mixed.bytes + mixed.n, as_it_was, n);
    mixed.n += n;
    EQ_INT(n, vigil_send(rig->loop, sent_on.to, p, n));
}

/* The first part is worth keeping its buffer for; behind it comes what is copied. */
static size_t send_with_words_between(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn;
    static const char words[] = "words between";
    size_t most = n - n / 4;
    mix(rig, p, mixed.input + mixed.at, most);
    mix(rig, words, words, sizeof(words));
    mix(rig, (const uint8_t *)p + most, mixed.input + mixed.at + most, n - most);
    mixed.at += n;
    return n;
}

CONFORM(output_behind_a_reference_leaves_the_input_as_it_is)
{
    static uint8_t got[sizeof(mixed.bytes)];
    vigil_limits in = { .in_max = 65536 }, out = { .out_high = 1 << 20, .out_hard = 1 << 20 };
    vigil_conn from;
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int feed = adopted_pair(&rig, &in, &from), drain = adopted_pair(&rig, &out, &sent_on.to);
    mixed.at = mixed.n = 0;
    fill(mixed.input, sizeof(mixed.input), 3);
    rig.on_data = send_with_words_between;
    EQ_INT(sizeof(mixed.input), write(feed, mixed.input, sizeof(mixed.input)));
    RIG_UNTIL(&rig, rig.used_total == sizeof(mixed.input));
    pair_gets(&rig, drain, got, mixed.n);
    size_t same = 0;
    while (same < mixed.n && got[same] == mixed.bytes[same])
        same++;
    EQ_INT(mixed.n, same, "the first byte that is another");
    close(feed);
    close(drain);
    rig_close(&rig);
}

/* ---- 9: the mark above half of the memory ---- */

enum { MARK_CONNS = 80 };

/* Opens `count` connections with a mark far above the memory, each holding one byte. */
static void holders_open(struct rig *rig, int count, size_t high, vigil_conn conns[], int fds[])
{
    vigil_limits limits = { .out_high = high, .out_hard = high };
    for (int i = 0; i < count; i++)
        fds[i] = adopted_pair(rig, &limits, &conns[i]);
}

static void marks(const char *backend, size_t limit, int holders, size_t first)
{
    struct rig rig;
    vigil_conn conns[MARK_CONNS];
    int fds[MARK_CONNS];
    uint8_t *p = calloc(1, limit);
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .memory_limit = limit });
    holders_open(&rig, holders + 4, limit, conns, fds);
    rig_settle(&rig); /* all are open; nothing is sent below, as no turn runs */
    for (int i = 0; i < holders - 1; i++)
        EQ_INT(1, vigil_send(rig.loop, conns[i], p, 1));
    EQ_INT(first, vigil_send(rig.loop, conns[holders - 1], p, first), "below half: all of it");
    for (int i = holders; i < holders + 4; i++) {
        size_t share = limit / (2 * (size_t)i);
        size_t mark = share > 4096 ? share : 4096;
        EQ_INT(mark, vigil_send(rig.loop, conns[i], p, limit), "%d hold output", i);
        EQ_INT(0, vigil_send(rig.loop, conns[i], p, 1), "at its mark");
    }
    EQ_INT(0, vigil_send(rig.loop, conns[holders - 1], p, 1), "far above its mark");
    EQ_INT(0, vigil_abort(rig.loop, conns[holders - 1]));
    rig_settle(&rig);
    EQ_INT(100000, vigil_send(rig.loop, conns[0], p, 100000), "below half again");
    for (int i = 0; i < holders + 4; i++)
        close(fds[i]);
    free(p);
    rig_close(&rig);
}

CONFORM(above_half_of_the_memory_the_mark_is_each_holder_s_share)
{
    size_t part = (size_t)test_many(1 << 20, 1 << 16);
    marks(backend, 16 * part, 9, 9 * part);
    marks(backend, 256 << 10, test_many(70, 36), 140 << 10);
}

/* ---- 11: errors of accept ---- */

static struct {
    int error; /* answered once */
    int calls;
} accepting;

static int failing_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    int error = accepting.error;
    accepting.error = 0;
    accepting.calls++;
    return error != 0 ? error : vigil__host_system()->accept(self, listener, out);
}

static void rig_failing_accept(struct rig *rig, const char *backend)
{
    if (test_kernel_performs(backend))
        SKIP("the kernel accepts, not the host: uring.c has its errors");
    host_take();
    host.accept = failing_accept;
    rig_open_loop(rig, backend, &(vigil_loop_options){ .host = &host });
    rig_listen(rig, "127.0.0.1:0", NULL);
}

CONFORM(an_error_of_the_newcomer_is_counted_and_the_next_is_taken_in_the_same_turn)
{
    static const int own[] = { VIGIL_ECONNRESET, VIGIL_EPROTO,       VIGIL_EUNREACH, VIGIL_EACCES,
                               VIGIL_ETIMEDOUT,  VIGIL_ECONNREFUSED, VIGIL_ENOTSUP };
    struct rig rig;
    rig_failing_accept(&rig, backend);
    for (size_t i = 0; i < TEST_COUNT(own); i++) {
        accepting.error = own[i];
        int fd = rig_client(&rig);
        RIG_UNTIL(&rig, accepting.error == 0);
        EQ_INT(i + 1, rig_stats(&rig).accept_errors, "%s", vigil_err_name(own[i]));
        EQ_INT(i + 1, rig_stats(&rig).accepted, "%s", vigil_err_name(own[i]));
        EQ_INT(0, rig_stats(&rig).accept_rests, "%s", vigil_err_name(own[i]));
        RIG_UNTIL(&rig, rig.opened == (int)i + 1);
        close(fd);
    }
    rig_close(&rig);
}

CONFORM(out_of_buffers_or_memory_the_listener_rests_100_ms_and_serves_later)
{
    static const int lacking[] = { VIGIL_ENOBUFS, VIGIL_ENOMEM, VIGIL_EMFILE };
    struct rig rig;
    rig_failing_accept(&rig, backend);
    for (size_t i = 0; i < TEST_COUNT(lacking); i++) {
        accepting.error = lacking[i];
        int fd = rig_client(&rig);
        RIG_UNTIL(&rig, accepting.error == 0);
        int calls = accepting.calls;
        EQ_INT(i + 1, rig_stats(&rig).accept_rests);
        moved_clock += VIGIL_MS(100) - 1;
        for (int turns = 0; turns < 10; turns++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        EQ_INT(calls, accepting.calls, "%s: it rests", vigil_err_name(lacking[i]));
        EQ_INT(i, rig.opened);
        moved_clock += 1;
        RIG_UNTIL(&rig, rig.opened == (int)i + 1);
        close(fd);
    }
    EQ_INT(0, rig_stats(&rig).accept_errors);
    rig_close(&rig);
}

/* ---- 12: reads of one connection in a turn ---- */

enum { FLOOD = 8 << 20 };

static struct {
    vigil_fd fd;
    size_t left;
    bool served[2]; /* the other two, while it was not read empty */
    vigil_conn others[2];
} flood;

/* Behind the byte that really waits there are 8 MiB. */
static int flooding_recv(void *self, vigil_fd fd, void *p, size_t n)
{
    if (fd != flood.fd || flood.left == 0)
        return vigil__host_system()->recv(self, fd, p, n);
    size_t got = n < flood.left ? n : flood.left;
    memset(p, 'f', got);
    flood.left -= got;
    return (int)got;
}

static size_t note_served(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig, (void)p;
    for (int i = 0; i < 2; i++)
        if (conn.v == flood.others[i].v)
            flood.served[i] = flood.left > 0;
    return n;
}

CONFORM(one_connection_with_8_MiB_waiting_does_not_keep_others_waiting)
{
    if (test_kernel_performs(backend))
        SKIP("the kernel receives, not the host: uring.c floods it");
    struct rig rig;
    vigil_conn big;
    host_take();
    host.recv = flooding_recv;
    memset(&flood, 0, sizeof(flood));
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    rig.on_data = note_served;
    int before = adopted_pair(&rig, NULL, &flood.others[0]); /* whatever the order, one is behind */
    int fd = adopted_pair(&rig, NULL, &big);
    int behind = adopted_pair(&rig, NULL, &flood.others[1]);
    rig_settle(&rig);
    flood.fd = vigil_conn_fd(rig.loop, big);
    flood.left = FLOOD;
    EQ_INT(1, write(before, "x", 1));
    EQ_INT(1, write(fd, "x", 1));
    EQ_INT(1, write(behind, "x", 1));
    for (size_t left = FLOOD, turns = 0; left > 0 && turns < 2000; left = flood.left, turns++) {
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(10)) >= 0);
        OK(left - flood.left <= 1 << 20, "%zu bytes in one turn", left - flood.left);
    }
    OK(flood.served[0] && flood.served[1], "before it was read empty");
    RIG_UNTIL(&rig, rig.used_total == FLOOD + 3);
    close(before);
    close(fd);
    close(behind);
    rig_close(&rig);
}

/* ---- 13: close-on-exec ---- */

static void ready_file(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch, (void)events, (void)arg;
}

static void on_usr1(vigil_loop *loop, int signo, void *arg)
{
    (void)loop, (void)signo;
    rig_log(arg, "signal");
}

/* How many descriptors there are; each that is not close-on-exec and not in `before` fails. */
static int check_close_on_exec(const unsigned char *before)
{
    static unsigned char now[TEST_FDS_MAX];
    int fresh = 0;
    test_note_fds(now);
    for (int fd = 0; fd < TEST_FDS_MAX; fd++) {
        if (!now[fd] || before[fd])
            continue;
        fresh++;
        OK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "%d is not", fd);
    }
    return fresh;
}

CONFORM(every_descriptor_made_is_close_on_exec)
{
    static unsigned char before[TEST_FDS_MAX];
    struct rig rig;
    char path[128];
    vigil_conn conn;
    vigil_poller *poller;
    vigil_remote *remote;
    vigil_listener listener;
    snprintf(path, sizeof(path), "unix:/tmp/vigil-contract-%d", (int)getpid());
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    test_note_fds(before);
    rig_open(&rig, backend, &(vigil_listen_options){ .shed = true });
    vigil_listen_options o = { .ops = &rig.ops, .user = &rig };
    EQ_INT(0, vigil_listen(rig.loop, path, &o, &listener));
    EQ_INT(0, rig_connect(&rig, rig.where, NULL, &conn));
    EQ_INT(0, rig_connect(&rig, path, NULL, &conn));
    RIG_UNTIL(&rig, rig.opened == 4);
    EQ_INT(0, vigil_on_ready(rig.loop, file, VIGIL_IN, ready_file, NULL, NULL));
    EQ_INT(0, vigil_on_signal(rig.loop, SIGUSR1, on_usr1, &rig, NULL));
    EQ_INT(0, vigil_remote_open(rig.loop, &remote));
    EQ_INT(0, vigil_poller_open(&poller, backend));
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    int fresh = check_close_on_exec(before);
    OK(fresh >= 8, "two listeners, a spare, four connections, wakers: %d", fresh);
    vigil_remote_drop(remote);
    vigil_poller_close(poller);
    rig_close(&rig);
    close(file);
}

/* ---- 14: the order of a turn ---- */

static vigil_conn late; /* the one whose deadline comes */

static const char *late_is(struct rig *rig)
{
    return rig_info(rig, late).state == VIGIL_CLOSING ? "past" : "ahead";
}

static void order_timer(vigil_loop *loop, void *arg)
{
    (void)loop;
    rig_log(arg, "timer");
}

static void order_post(vigil_loop *loop, void *arg, int status)
{
    (void)loop;
    if (status == 0)
        rig_log(arg, "post,deadline-%s", late_is(arg));
}

static size_t order_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn, (void)p;
    rig_log(rig, "deadline-%s", late_is(rig));
    return n;
}

CONFORM(a_turn_is_timers_signals_input_deadlines_posts_closes)
{
    struct rig rig;
    vigil_conn conn;
    vigil_remote *remote;
    host_take();
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    rig.on_data = order_data;
    int fd = adopted_pair(&rig, NULL, &conn), late_fd = adopted_pair(&rig, NULL, &late);
    EQ_INT(0, vigil_remote_open(rig.loop, &remote));
    EQ_INT(0, vigil_on_signal(rig.loop, SIGUSR1, on_usr1, &rig, NULL));
    rig_settle(&rig);
    EQ_INT(0, vigil_conn_deadline(rig.loop, late, VIGIL_MS(10)));
    moved_clock += VIGIL_MS(10);
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0); /* hears first who may have spoken */
    rig_take_log(&rig);
    /* Asked for in the order opposite to that of the turn. */
    EQ_INT(0, vigil_post(remote, order_post, &rig));
    EQ_INT(1, write(fd, "x", 1));
    raise(SIGUSR1);
    EQ_INT(0, vigil_after(rig.loop, 0, order_timer, &rig, NULL));
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    if (test_kernel_performs(backend)) /* it closes when the kernel has given back its receive */
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    EQ_STR("timer signal data(1) deadline-ahead post,deadline-past close(VIGIL_ETIMEDOUT)",
           rig_take_log(&rig));
    vigil_remote_drop(remote);
    close(fd);
    close(late_fd);
    rig_close(&rig);
}

/* ---- 15: fork ---- */

static int child_closes(struct rig *rig, const bool *done)
{
    rig->log[0] = '\0';
    if (vigil_loop_turn(rig->loop, VIGIL_NOWAIT) != VIGIL_EFORK)
        return 1;
    if (vigil_loop_run(rig->loop) != VIGIL_EFORK)
        return 2;
    vigil_loop_close(rig->loop);
    if (rig->log[0] != '\0' || *done)
        return 3; /* a callback ran */
    return rig->memory.blocks == 0 ? 0 : 4;
}

static void in_a_child(struct rig *rig, const bool *done)
{
    int state = 0;
    fflush(stdout); /* or the child's copy would be written too */
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(child_closes(rig, done));
    }
    REQUIRE(child > 0 && waitpid(child, &state, 0) == child);
    OK(WIFEXITED(state) && WEXITSTATUS(state) == 0, "it ended with 0x%x", (unsigned)state);
}

static int unix_client_of(const char *path)
{
    int fd = client_socket(AF_UNIX);
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    strcpy(to.sun_path, path);
    REQUIRE(client_connect(fd, &to, sizeof(to)) == 0, "%s", strerror(errno));
    return fd;
}

CONFORM(a_child_that_closes_the_loop_is_seen_by_no_peer_and_the_parent_serves_on)
{
    struct rig rig;
    char path[100], where[128], text[5];
    bool done = false;
    struct stat st;
    vigil_listener listener;
    snprintf(path, sizeof(path), "/tmp/vigil-fork-%d", (int)getpid());
    snprintf(where, sizeof(where), "unix:%s", path);
    rig_open(&rig, backend, NULL);
    vigil_listen_options o = { .ops = &rig.ops, .user = &rig };
    EQ_INT(0, vigil_listen(rig.loop, where, &o, &listener));
    rig.on_data = rig_echo;
    int fds[2] = { rig_client_opened(&rig), unix_client_of(path) };
    RIG_UNTIL(&rig, rig.opened == 2);
    rig_settle(&rig);
    EQ_INT(0, vigil_send_owned(rig.loop, rig.conn, "kept ", 5, unwanted, &done));
    in_a_child(&rig, &done);
    EQ_INT(0, stat(path, &st), "the socket's file is there");
    EQ_INT(-1, client_peek(fds[0], text, 1), "no end, no reset, no byte");
    EQ_INT(-1, client_peek(fds[1], text, 1), "no end, no reset, no byte");
    rig_client_gets(&rig, fds[1], text, 5);
    rig_settle(&rig);
    OK(done && memcmp(text, "kept ", 5) == 0, "the parent sends it");
    for (int i = 0; i < 2; i++) {
        client_send(fds[i], "echo");
        rig_client_gets(&rig, fds[i], text, 4);
        EQ_INT(0, memcmp(text, "echo", 4));
    }
    close(rig_client_opened(&rig));
    int opened = rig.opened, newcomer = unix_client_of(path);
    RIG_UNTIL(&rig, rig.opened > opened);
    close(newcomer);
    close(fds[0]);
    close(fds[1]);
    rig_close(&rig);
    EQ_INT(-1, stat(path, &st), "and removes the file");
}

/* ---- the answer of `data` ---- */

static size_t claim_too_much(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn, (void)p, (void)n;
    return rig->number++ % 2 == 0 ? SIZE_MAX : n + 1;
}

CONFORM(an_answer_of_data_above_n_counts_as_n)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = claim_too_much;
    int fd = rig_client_opened(&rig);
    for (int i = 1; i <= 4; i++) {
        client_send(fd, "four");
        RIG_UNTIL(&rig, rig.number == i);
        EQ_INT(0, rig_info(&rig, rig.conn).held);
        EQ_STR("data(4)", rig_take_log(&rig));
    }
    EQ_INT(16, rig_stats(&rig).bytes_in);
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, strcmp(rig.log, "eof") == 0);
    close(fd);
    rig_close(&rig);
}
