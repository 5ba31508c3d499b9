/* SPDX-License-Identifier: MIT
 *
 * calls.c -- how many system calls of each kind an operation takes, exactly: a message of many, a
 * connection that comes and goes, one that is refused, one of our own, newcomers, a watch.
 *
 * What is counted is told as text, so that a call that nobody thought of is seen, too.  Each step
 * of a row waits for one thing that the peer has done, so the waits are counts as well.
 */
#include "conn_rig.h"
#include "counted.h"

/* What each takes, by backend. */
struct stated {
    const char *backend;
    const char *visit;     /* a connection that comes, has its message back, and goes */
    const char *refusal;   /* one that `ctx` refuses */
    const char *call;      /* one of our own: it opens, sends, receives, and goes first */
    const char *newcomers; /* a hundred at once */
    const char *watch;     /* opened, changed, cancelled: a turn behind each */
    const char *changes;   /* a hundred of one watch, and a turn */
    const char *as_before; /* the same, and in the end it is as it was */
};

/* A newcomer costs two accepts because only the second says that nobody else is there; the end of
 * input is a receive.  To know whether a connection met itself both of its addresses are asked for,
 * and without a peer nobody has been reached. */
static const struct stated statements[] = {
    {
        .backend = "epoll",
        .visit = "accept 2, recv 2, send 1, shutdown 1, close 1, change 2, wait 3",
        .refusal = "accept 2, option 1, close 1, wait 1",
        .call = "socket 1, connect 1, error 1, address 3, option 1, recv 2, send 1, shutdown 1, "
                "close 1, change 3, wait 4",
        .newcomers = "accept 101, change 100, wait 3",
        .watch = "change 3, wait 3",
        .changes = "change 1, wait 1",
        .as_before = "wait 1",
    },
    {
        .backend = "poll",
        .visit = "accept 2, recv 2, send 1, shutdown 1, close 1, check 1, wait 3",
        .refusal = "accept 2, option 1, close 1, wait 1",
        .call = "socket 1, connect 1, error 1, address 3, option 1, recv 2, send 1, shutdown 1, "
                "close 1, check 1, wait 4",
        .newcomers = "accept 101, check 100, wait 3",
        .watch = "check 1, wait 3",
        .changes = "wait 1",
        .as_before = "wait 1",
    },
    {
        .backend = "kqueue",
        .visit = "accept 2, recv 2, send 1, shutdown 1, close 1, change 2, wait 3",
        .refusal = "accept 2, option 1, close 1, wait 1",
        .call = "socket 1, connect 1, error 1, address 3, option 1, recv 2, send 1, shutdown 1, "
                "close 1, change 2, wait 4",
        .newcomers = "accept 101, change 100, wait 3",
        .watch = "change 2, wait 3",
        .changes = "wait 1",
        .as_before = "wait 1",
    },
    {
        /* Each turn that has something to hand over ends with an enter of its own.  A visit's
         * requests are its receive, its send and its close. */
        .backend = "io_uring",
        .visit = "shutdown 1, wait 3, enter 6, request 3",
        .refusal = "option 1, close 1, wait 1, enter 1",
        .call = "socket 1, connect 1, error 1, address 3, option 1, shutdown 1, check 1, wait 4, "
                "enter 6, request 5",
        .newcomers = "wait 2, enter 3, request 100",
        .watch = "check 1, wait 1, enter 4, request 4",
        .changes = "enter 1, request 2",
        .as_before = "wait 1, enter 1",
    },
    {
        .backend = "sim-ready",
        .visit = "accept 2, recv 2, send 1, shutdown 1, close 1",
        .refusal = "accept 2, option 1, close 1",
        .call = "socket 1, connect 1, error 1, address 3, option 1, recv 2, send 1, shutdown 1, "
                "close 1",
        .newcomers = "accept 101",
    },
    {
        .backend = "sim-complete",
        .visit = "shutdown 1",
        .refusal = "option 1, close 1",
        .call = "socket 1, connect 1, error 1, address 3, option 1, shutdown 1",
        .newcomers = "",
    },
};

/* Ends a row on a kernel whose io_uring lacks something: it takes other calls. */
static void needs_all_of_uring(void)
{
    vigil_feature found[32];
    int count = vigil_backend_features("io_uring", found, 32);
    for (int i = 0; i < count && i < 32; i++)
        if (!found[i].found)
            SKIP("stated for a kernel that has all that io_uring can do");
}

static const struct stated *stated_for(const char *backend)
{
    if (strcmp(backend, "io_uring") == 0)
        needs_all_of_uring();
    const char *like = strcmp(backend, "select") == 0 ? "poll" : backend; /* they take the same */
    for (size_t i = 0; i < VIGIL_COUNT(statements); i++)
        if (strcmp(statements[i].backend, like) == 0)
            return &statements[i];
    SKIP("nothing is stated for this backend");
    return NULL;
}

/* Each turn waits for as long as it takes: a slow machine makes no more of them. */
#define TURN_UNTIL(rig, condition)                                                       \
    do {                                                                                 \
        for (int turns = 0; !(condition); turns++)                                       \
            REQUIRE(turns < 100 && vigil_loop_turn((rig)->loop, VIGIL_S(50)) >= 0, "%s", \
                    (rig)->log);                                                         \
    } while (0)

/* ---- a message ---- */

enum { TALKERS = 50, ROUNDS = 10 };

static void talkers_open(struct rig *rig, const char *backend, vigil_ns idle, int *theirs)
{
    host_take_counted();
    rig_open_loop(rig, backend, &(vigil_loop_options){ .host = &host });
    rig->on_data = rig_echo;
    for (int i = 0; i < TALKERS; i++) {
        int ends[2];
        vigil_conn_options o = { .ops = &rig->ops, .ctx = rig, .limits.idle_ns = idle };
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        REQUIRE(vigil_adopt(rig->loop, ends[0], ends[0], &o, NULL) == 0);
        theirs[i] = ends[1];
    }
    RIG_UNTIL(rig, rig->opened == TALKERS);
    rig_settle(rig);
}

/* Each says 64 bytes; turns until each has them back. */
static void talkers_talk(struct rig *rig, const int *theirs)
{
    char text[64] = "sixty-four", back[65];
    for (int i = 0; i < TALKERS; i++)
        EQ_INT(sizeof(text), send(theirs[i], text, sizeof(text), MSG_NOSIGNAL));
    for (int i = 0; i < TALKERS; i++) {
        ssize_t got;
        for (int turns = 0; (got = client_peek(theirs[i], back, sizeof(back))) == -1; turns++)
            REQUIRE(turns < 100 && vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
        EQ_INT(sizeof(text), got);
    }
}

/* A kernel of today does twenty pieces of put-off work a call that only looks, older ones do all: a
 * round is two turns at most, and each ends with another call because the next may be far. */
static void talkers_enters(void)
{
    int requests = counted[COUNTED_REQUEST], waits = counted[COUNTED_WAIT];
    OK(counted[COUNTED_ENTER] <= 4 * ROUNDS, "%d enters", counted[COUNTED_ENTER]);
    OK(waits <= 2 * ROUNDS, "%d waits", waits);
    EQ_INT(ROUNDS * TALKERS, requests, "a send each");
    counted[COUNTED_ENTER] = counted[COUNTED_WAIT] = counted[COUNTED_REQUEST] = 0;
    EQ_STR("", counted_told());
}

static void talkers_count(const char *backend, vigil_ns idle)
{
    struct rig rig;
    int theirs[TALKERS];
    bool performs = test_kernel_performs(backend); /* it asks the kernel: before calls count */
    talkers_open(&rig, backend, idle, theirs);
    talkers_talk(&rig, theirs);
    counted_anew();
    for (int i = 0; i < ROUNDS; i++)
        talkers_talk(&rig, theirs);
    if (performs && !TEST_IN_WORLD)
        talkers_enters();
    else if (performs)
        EQ_STR("", counted_told());
    else
        EQ_STR(TEST_IN_WORLD ? "recv 500, send 500" : "recv 500, send 500, wait 10", counted_told(),
               "none to find that there is no more; one wait for all of a round");
    if (!performs)
        EQ_INT(ROUNDS * (idle == VIGIL_FOREVER ? 3 : 4), counted[COUNTED_CLOCK]);
    for (int i = 0; i < TALKERS; i++)
        close(theirs[i]);
    rig_settle(&rig);
    rig_close(&rig);
}

CONFORM(a_message_that_comes_back_takes_a_receive_a_send_and_its_share_of_a_wait)
{
    talkers_count(backend, VIGIL_FOREVER);
}

CONFORM(an_idle_limit_that_each_message_puts_off_takes_no_call)
{
    talkers_count(backend, VIGIL_S(30));
}

/* ---- connections ---- */

static void finish(struct rig *rig, vigil_conn conn)
{
    EQ_INT(0, vigil_finish(rig->loop, conn));
}

static void server_open(struct rig *rig, const char *backend, const char *where,
                        const vigil_listen_options *options)
{
    host_take_counted();
    rig_open_loop(rig, backend, &(vigil_loop_options){ .host = &host });
    rig_listen(rig, where, options);
    rig->on_data = rig_echo;
    rig->on_eof = finish;
}

/* Comes, has one message back, and goes. */
static void visit(struct rig *rig)
{
    char back;
    int opened = rig->opened, closed = rig->closed;
    size_t used = rig->used_total;
    int fd = rig_client(rig);
    TURN_UNTIL(rig, rig->opened > opened);
    client_send(fd, "x");
    TURN_UNTIL(rig, rig->used_total > used);
    EQ_INT(1, recv(fd, &back, 1, 0));
    close(fd);
    TURN_UNTIL(rig, rig->closed > closed);
}

CONFORM(a_connection_that_comes_says_something_and_goes)
{
    struct rig rig;
    const struct stated *stated = stated_for(backend);
    server_open(&rig, backend, "tcp://127.0.0.1:0", NULL);
    visit(&rig);
    rig_settle(&rig);
    counted_anew();
    visit(&rig);
    EQ_STR(stated->visit, counted_told());
    rig_close(&rig);
}

static void *refuse(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)loop, (void)conn, (void)user;
    return NULL;
}

static void be_refused(struct rig *rig)
{
    uint64_t refused = rig_stats(rig).refused;
    int fd = rig_client(rig);
    TURN_UNTIL(rig, rig_stats(rig).refused > refused);
    close(fd);
}

CONFORM(a_connection_that_is_refused)
{
    struct rig rig;
    const struct stated *stated = stated_for(backend);
    server_open(&rig, backend, "tcp://127.0.0.1:0", &(vigil_listen_options){ .ctx = refuse });
    be_refused(&rig);
    rig_settle(&rig);
    counted_anew();
    be_refused(&rig);
    EQ_STR(stated->refusal, counted_told());
    rig_close(&rig);
}

/* ---- a connection of our own ---- */

static void say(struct rig *rig, vigil_conn conn)
{
    EQ_INT(1, vigil_send(rig->loop, conn, "x", 1));
}

static size_t have_it_all(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    finish(rig, conn);
    return n;
}

static int server_socket(char *where, size_t size)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);
    int fd = client_socket(AF_INET);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 5) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(where, size, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

/* Opens, says something, has an answer, and goes first. */
static void call_on(struct rig *rig, int server, const char *where)
{
    char got;
    int opened = rig->opened, closed = rig->closed;
    EQ_INT(0, rig_connect(rig, where, NULL, NULL));
    TURN_UNTIL(rig, rig->opened > opened);
    int fd = accept(server, NULL, NULL);
    EQ_INT(1, recv(fd, &got, 1, 0));
    client_send(fd, "y");
    size_t used = rig->used_total;
    TURN_UNTIL(rig, rig->used_total > used);
    EQ_INT(0, recv(fd, &got, 1, 0));
    close(fd);
    TURN_UNTIL(rig, rig->closed > closed);
}

CONFORM(a_connection_of_our_own_opens_sends_receives_and_closes)
{
    struct rig rig;
    const struct stated *stated = stated_for(backend);
    char where[64];
    int server = server_socket(where, sizeof(where));
    host_take_counted();
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    rig.on_open = say;
    rig.on_data = have_it_all;
    call_on(&rig, server, where);
    rig_settle(&rig);
    counted_anew();
    call_on(&rig, server, where);
    EQ_STR(stated->call, counted_told());
    rig_close(&rig);
    close(server);
}

/* ---- newcomers ---- */

enum { NEWCOMERS = 100 };

/* All stand in the backlog before the first turn, which a Unix socket says as soon as it connects.
 * Those of a turn begin to be waited for with the next one. */
static void newcomers_come(struct rig *rig, const char *path, const char *stated)
{
    int fds[NEWCOMERS], count = test_many(NEWCOMERS, 5), opened = rig->opened, closed = rig->closed;
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    strcpy(to.sun_path, path);
    for (int i = 0; i < count; i++) {
        fds[i] = client_socket(AF_UNIX);
        REQUIRE(client_connect(fds[i], &to, sizeof(to)) == 0, "%s", strerror(errno));
    }
    counted_anew();
    TURN_UNTIL(rig, rig->opened == opened + count);
    REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    if (stated != NULL && count == NEWCOMERS)
        EQ_STR(stated, counted_told());
    for (int i = 0; i < count; i++)
        close(fds[i]);
    TURN_UNTIL(rig, rig->closed == closed + count);
    rig_settle(rig);
}

CONFORM(a_hundred_newcomers_take_an_accept_each_and_one_to_find_no_more)
{
    struct rig rig;
    const struct stated *stated = stated_for(backend);
    char path[100], where[128];
    snprintf(path, sizeof(path), "/tmp/vigil-calls-%d", (int)getpid());
    snprintf(where, sizeof(where), "unix:%s", path);
    server_open(&rig, backend, where, NULL);
    rig_settle(&rig);
    newcomers_come(&rig, path, NULL);
    newcomers_come(&rig, path, stated->newcomers);
    rig_close(&rig);
}

/* ---- a watch ---- */

static void on_ready(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch, (void)events, (void)arg;
}

/* A loop with a watch on one end of a pair, which nothing comes to. */
static vigil_watch watch_open(struct rig *rig, const char *backend, int ends[2])
{
    vigil_watch watch;
    host_take_counted();
    rig_open_loop(rig, backend, &(vigil_loop_options){ .host = &host });
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    EQ_INT(0, vigil_on_ready(rig->loop, ends[0], VIGIL_IN, on_ready, NULL, &watch));
    rig_settle(rig);
    counted_anew();
    return watch;
}

static void watch_close(struct rig *rig, const int ends[2])
{
    rig_close(rig);
    close(ends[0]);
    close(ends[1]);
}

static void glance(struct rig *rig)
{
    EQ_INT(0, vigil_loop_turn(rig->loop, VIGIL_NOWAIT));
}

static const struct stated *stated_of_kernel(const char *backend)
{
    if (TEST_IN_WORLD)
        SKIP("no call of a kernel's waits in a world");
    return stated_for(backend);
}

CONFORM(a_watch_is_opened_changed_and_cancelled)
{
    struct rig rig;
    int ends[2];
    const struct stated *stated = stated_of_kernel(backend);
    vigil_watch watch = watch_open(&rig, backend, ends);
    EQ_INT(0, vigil_watch_cancel(rig.loop, watch));
    rig_settle(&rig);
    counted_anew();
    EQ_INT(0, vigil_on_ready(rig.loop, ends[0], VIGIL_IN, on_ready, NULL, &watch));
    glance(&rig);
    EQ_INT(0, vigil_watch_set(rig.loop, watch, VIGIL_IN | VIGIL_PRI));
    glance(&rig);
    EQ_INT(0, vigil_watch_cancel(rig.loop, watch));
    glance(&rig);
    EQ_STR(stated->watch, counted_told());
    watch_close(&rig, ends);
}

/* The last of them wants the same as the first wanted, or not. */
static const char *change_often(struct rig *rig, vigil_watch watch, unsigned last)
{
    counted_anew();
    for (int i = 0; i < 99; i++)
        EQ_INT(0, vigil_watch_set(rig->loop, watch, i % 2 == 0 ? VIGIL_PRI : VIGIL_IN));
    EQ_INT(0, vigil_watch_set(rig->loop, watch, last));
    glance(rig);
    return counted_told();
}

CONFORM(a_hundred_changes_before_a_wait_are_one)
{
    struct rig rig;
    int ends[2];
    const struct stated *stated = stated_of_kernel(backend);
    vigil_watch watch = watch_open(&rig, backend, ends);
    EQ_STR(stated->changes, change_often(&rig, watch, VIGIL_IN | VIGIL_PRI));
    EQ_STR(stated->as_before, change_often(&rig, watch, VIGIL_IN | VIGIL_PRI));
    watch_close(&rig, ends);
}
