/* SPDX-License-Identifier: MIT
 *
 * listen.c -- listeners: addresses, limits, running out of descriptors, Unix sockets.
 */

#include "conn_rig.h"
#include "sys/host.h"

static size_t echo(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    return vigil_send(rig->loop, conn, p, n);
}

static int connect_to(const vigil_addr *addr)
{
    struct sockaddr_storage to;
    socklen_t len;
    memset(&to, 0, sizeof(to));
    if (addr->family == VIGIL_FAMILY_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        memcpy(&in6->sin6_addr, addr->ip, 16);
        len = sizeof(*in6);
    } else if (addr->family == VIGIL_FAMILY_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&to;
        in->sin_family = AF_INET;
        in->sin_port = htons(addr->port);
        memcpy(&in->sin_addr, addr->ip, 4);
        len = sizeof(*in);
    } else {
        struct sockaddr_un *un = (struct sockaddr_un *)&to;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, addr->path, addr->path_len);
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + addr->path_len);
    }
    int fd = client_socket(to.ss_family);
    if (client_connect(fd, &to, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static vigil_addr loopback(bool v6, uint16_t port)
{
    vigil_addr addr = { .family = v6 ? VIGIL_FAMILY_INET6 : VIGIL_FAMILY_INET, .port = port };
    if (v6)
        addr.ip[15] = 1;
    else
        memcpy(addr.ip, (uint8_t[]){ 127, 0, 0, 1 }, 4);
    return addr;
}

static bool has_v6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    close(fd);
    return has;
}

CONFORM(localhost_is_both_families_on_one_port)
{
    if (!has_v6())
        SKIP("no IPv6 here");
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig_listen(&rig, "localhost:0", NULL);
    for (int v6 = 0; v6 < 2; v6++) {
        vigil_addr addr = loopback(v6, rig.addr.port);
        int fd = connect_to(&addr);
        OK(fd >= 0, "family %d", v6);
        RIG_UNTIL(&rig, rig.opened == v6 + 1);
        close(fd);
    }
    rig_close(&rig);
}

CONFORM(any_v6_takes_v4_too_unless_v6_only)
{
    if (!has_v6())
        SKIP("no IPv6 here");
    for (int only = 0; only < 2; only++) {
        struct rig rig;
        rig_open_loop(&rig, backend, NULL);
        rig_listen(&rig, "[::]:0", &(vigil_listen_options){ .v6_only = only });
        vigil_addr v6 = loopback(true, rig.addr.port), v4 = loopback(false, rig.addr.port);
        int first = connect_to(&v6), second = connect_to(&v4);
        OK(first >= 0);
        EQ_INT(only, second < 0, "v6_only %d", only);
        RIG_UNTIL(&rig, rig.opened == 2 - only);
        close(first);
        if (second >= 0)
            close(second);
        rig_close(&rig);
    }
}

static int socket_without_v6(void *self, vigil_family family, vigil_fd *out)
{
    if (family == VIGIL_FAMILY_INET6)
        return VIGIL_EADDR; /* as EAFNOSUPPORT of a kernel without it */
    return vigil__host_system()->socket(self, family, out);
}

/* What stands for both families is the one that is there; what names IPv6 is refused. */
CONFORM(without_v6_both_families_are_v4)
{
    static const struct {
        const char *where;
        bool v6_only;
        int want;
    } rows[] = {
        { "localhost:0", false, 0 },  { "*:0", false, 0 },
        { "[::]:0", false, 0 },       { "[::]:0", true, VIGIL_EADDR },
        { "*:0", true, VIGIL_EADDR }, { "[::1]:0", false, VIGIL_EADDR },
    };
    vigil_host host = *vigil__host_system();
    host.socket = socket_without_v6;
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct rig rig;
        rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
        vigil_listen_options options = { .v6_only = rows[i].v6_only };
        if (rows[i].want != 0) {
            EQ_INT(rows[i].want, vigil_listen(rig.loop, rows[i].where, &options, &rig.listener),
                   "row %zu", i);
            EQ_INT(0, rig_stats(&rig).listeners, "row %zu", i);
        } else {
            rig_listen(&rig, rows[i].where, &options);
            EQ_INT(VIGIL_FAMILY_INET, rig.addr.family, "row %zu", i);
            vigil_addr v4 = loopback(false, rig.addr.port);
            int fd = connect_to(&v4);
            OK(fd >= 0, "row %zu", i);
            RIG_UNTIL(&rig, rig.opened == 1);
            close(fd);
        }
        rig_close(&rig);
    }
}

static void ask_addresses(struct rig *rig, vigil_conn conn)
{
    vigil_addr peer, local;
    EQ_INT(0, vigil_conn_peer(rig->loop, conn, &peer));
    EQ_INT(0, vigil_conn_local(rig->loop, conn, &local));
    EQ_INT(rig->addr.port, local.port);
    rig->number = peer.port;
}

CONFORM(peer_and_local_address_and_nodelay)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_open = ask_addresses;
    int fd = rig_client_opened(&rig);
    struct sockaddr_in me;
    socklen_t len = sizeof(me);
    REQUIRE(getsockname(fd, (struct sockaddr *)&me, &len) == 0);
    EQ_INT(ntohs(me.sin_port), rig.number);
    int nodelay = 0;
    len = sizeof(nodelay);
    getsockopt(vigil_conn_fd(rig.loop, rig.conn), IPPROTO_TCP, TCP_NODELAY, &nodelay, &len);
    EQ_INT(1, nodelay != 0);
    EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_NODELAY, 0));
    EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_KEEPALIVE, 30));
    EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_SNDBUF, 65536));
    EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_RCVBUF, 65536));
    EQ_INT(VIGIL_EINVAL, vigil_conn_option(rig.loop, rig.conn, (vigil_option)99, 1));
    getsockopt(vigil_conn_fd(rig.loop, rig.conn), IPPROTO_TCP, TCP_NODELAY, &nodelay, &len);
    EQ_INT(0, nodelay);
    close(fd);
    rig_close(&rig);
}

/* The peer has reset before anybody asked who it is: the connection lives its short life. */
CONFORM(a_peer_that_is_gone_already_does_no_harm)
{
    needs_resets();
    struct rig rig;
    rig_open(&rig, backend, NULL);
    struct linger reset = { 1, 0 };
    for (int i = 0; i < 20; i++) {
        int fd = rig_client(&rig);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
    }
    int fd = rig_client(&rig);
    client_send(fd, "x");
    RIG_UNTIL(&rig, rig.used_total == 1 && rig.closed == rig.opened - 1);
    EQ_INT(21, (uint64_t)rig.opened + rig_stats(&rig).accept_errors); /* as the system tells */
    close(fd);
    rig_close(&rig);
}

CONFORM(pause_leaves_clients_in_the_backlog_and_resume_takes_them)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    EQ_INT(0, vigil_listener_pause(rig.loop, rig.listener));
    int fd = rig_client(&rig);
    rig_settle(&rig);
    EQ_INT(0, rig.opened);
    EQ_INT(0, vigil_listener_resume(rig.loop, rig.listener));
    RIG_UNTIL(&rig, rig.opened == 1);
    close(fd);
    rig_close(&rig);
}

CONFORM(max_conns_lets_the_rest_wait_and_serves_them_later)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .max_conns = 2 });
    rig.ops.eof = NULL;
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = rig_client(&rig);
    RIG_UNTIL(&rig, rig.opened == 2);
    rig_settle(&rig);
    EQ_INT(2, rig.opened);
    for (int i = 0; i < 5; i++) {
        close(fds[i]);
        RIG_UNTIL(&rig, rig.closed == i + 1);
    }
    EQ_INT(5, rig.opened);
    rig_close(&rig);
}

static void *refuse(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)loop, (void)conn;
    rig_log(user, "refused");
    return NULL;
}

CONFORM(ctx_that_answers_NULL_refuses_without_open_or_close)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .ctx = refuse });
    int fd = rig_client(&rig);
    EQ_INT(reset_seen(), rig_client_end(&rig, fd));
    EQ_STR("refused", rig_take_log(&rig));
    vigil_stats stats;
    vigil_stats_get(rig.loop, &stats);
    EQ_INT(1, stats.refused);
    EQ_INT(0, stats.conns);
    close(fd);
    rig_close(&rig);
}

/* Takes every descriptor but `left`; answers how many were taken. */
static int take_descriptors(int *taken, int room, int left, struct rlimit *before)
{
    getrlimit(RLIMIT_NOFILE, before);
    struct rlimit limit = { 64, before->rlim_max };
    setrlimit(RLIMIT_NOFILE, &limit);
    int n = 0;
    while (n < room) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            break;
        taken[n++] = fd;
    }
    while (left-- > 0 && n > 0)
        close(taken[--n]);
    return n;
}

static bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "valgrind") != NULL;
}

static void starve(const char *backend, bool shed)
{
    if (under_valgrind())
        SKIP("valgrind keeps descriptors of its own, so they do not run out where the limit says");
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .shed = shed });
    rig.on_data = echo;
    rig.ops.eof = NULL;
    int clients[6], taken[64];
    for (int i = 0; i < 6; i++)
        clients[i] = rig_client(&rig);
    struct rlimit before;
    int count = take_descriptors(taken, 64, 2, &before); /* room for two connections */
    RIG_UNTIL(&rig, rig.opened == 2);
    int short_turns = 0; /* nothing spins: a turn that has nothing to do waits */
    for (int i = 0; i < 20; i++) {
        vigil_ns began = rig_clock();
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(10)) >= 0);
        short_turns += rig_clock() - began < VIGIL_MS(10);
    }
    OK(short_turns <= 10, "%d of 20 turns did not wait", short_turns);
    vigil_stats stats;
    vigil_stats_get(rig.loop, &stats);
    EQ_INT(2, rig.opened);
    if (shed) {
        EQ_INT(4, stats.accept_shed);
        for (int i = 2; i < 6; i++)
            OK(rig_client_end(&rig, clients[i]) != -1);
    } else {
        OK(stats.accept_rests >= 1);
        for (int i = 0; i < 6; i++) { /* each that leaves makes room for one */
            close(clients[i]);
            RIG_UNTIL(&rig, rig.closed == i + 1);
        }
        EQ_INT(6, rig.opened);
    }
    for (int i = 0; i < count; i++)
        close(taken[i]);
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = shed ? 0 : 6; i < 6; i++)
        close(clients[i]);
    rig_close(&rig);
}

CONFORM(out_of_descriptors_it_rests_and_serves_everybody_later)
{
    starve(backend, false);
}

CONFORM(out_of_descriptors_it_sheds_when_asked_to)
{
    starve(backend, true);
}

CONFORM(a_burst_of_accepts_is_taken_in_turns_beside_others)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = echo;
    int served = rig_client_opened(&rig);
    int fds[300];
    for (int i = 0; i < 300; i++)
        fds[i] = rig_client(&rig);
    client_send(served, "x");
    RIG_UNTIL(&rig, rig.used_total == 1);
    if (!test_kernel_performs(backend)) /* which takes in all who wait, in one go */
        OK(rig.opened < 300, "%d had to be taken first", rig.opened); /* the budget */
    RIG_UNTIL(&rig, rig.opened == 301);
    for (int i = 0; i < 300; i++)
        close(fds[i]);
    close(served);
    rig_close(&rig);
}

CONFORM(bad_addresses_and_options_are_refused)
{
    static const struct {
        const char *where;
        int want;
    } rows[] = {
        { "", VIGIL_EADDR },
        { "127.0.0.1", VIGIL_EADDR },
        { "127.0.0.1:99999", VIGIL_EADDR },
        { "tcp://127.0.0.1:x", VIGIL_EADDR },
        { "unix:", VIGIL_EADDR },
        { "192.0.2.1:0", VIGIL_EADDR }, /* RFC 5737: nobody's */
#ifndef _WIN32                          /* no Unix sockets there */
        { "unix:/nonexistent/directory/socket", VIGIL_ENOENT },
#endif
    };
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    for (size_t i = 0; i < TEST_COUNT(rows); i++)
        EQ_INT(rows[i].want, vigil_listen(rig.loop, rows[i].where, NULL, NULL), "%s",
               rows[i].where);
    vigil_listen_options bad = { .limits = { .out_high = 10, .out_low = 11 } };
    EQ_INT(VIGIL_EINVAL, vigil_listen(rig.loop, "127.0.0.1:0", &bad, NULL));
    bad = (vigil_listen_options){ .limits = { .idle_ns = -1 } };
    EQ_INT(VIGIL_EINVAL, vigil_listen(rig.loop, "127.0.0.1:0", &bad, NULL));
    rig_listen(&rig, "127.0.0.1:0", NULL);
    EQ_INT(VIGIL_EADDRINUSE, vigil_listen(rig.loop, rig.where, NULL, NULL));
    EQ_INT(0, vigil_listener_close(rig.loop, rig.listener));
    EQ_INT(VIGIL_ESTALE, vigil_listener_close(rig.loop, rig.listener));
    EQ_INT(VIGIL_ESTALE, vigil_listener_pause(rig.loop, rig.listener));
    rig_close(&rig);
}

CONFORM(a_given_descriptor_is_listened_on_and_owned)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* blocking, as some do */
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    REQUIRE(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0);
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    EQ_INT(VIGIL_EINVAL, vigil_listen_fd(rig.loop, fd, NULL, NULL)); /* does not listen yet */
    EQ_INT(VIGIL_EBADF, vigil_listen_fd(rig.loop, -1, NULL, NULL));
    REQUIRE(listen(fd, 10) == 0);
    vigil_listen_options options = { .ops = &rig.ops, .user = &rig };
    EQ_INT(0, vigil_listen_fd(rig.loop, fd, &options, &rig.listener));
    EQ_INT(0, vigil_listener_address(rig.loop, rig.listener, &rig.addr));
    int one = rig_client(&rig), two = rig_client(&rig);
    RIG_UNTIL(&rig, rig.opened == 2);
    EQ_INT(0, fcntl(fd, F_GETFL) & O_NONBLOCK); /* its flags are its holders' */
    close(one);
    close(two);
    rig_close(&rig);
    EQ_INT(-1, fcntl(fd, F_GETFD));
}

/* ---- Unix sockets ---- */

static const char *unix_where(char *where, size_t size)
{
    static int number;
    snprintf(where, size, "unix:/tmp/vigil-test-%d-%d", (int)getpid(), number++);
    return where;
}

CONFORM(a_unix_socket_is_served_with_its_mode_and_removed)
{
    char where[64];
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig_listen(&rig, unix_where(where, sizeof(where)),
               &(vigil_listen_options){ .unix_mode = 0600 });
    rig.on_data = echo;
    struct stat info;
    REQUIRE(stat(where + 5, &info) == 0);
    EQ_INT(0600, info.st_mode & 0777);
    int fd = connect_to(&rig.addr);
    client_send(fd, "hello");
    char text[6] = "";
    rig_client_gets(&rig, fd, text, 5);
    EQ_STR("hello", text);
    EQ_INT(VIGIL_EADDRINUSE, vigil_listen(rig.loop, where, NULL, NULL)); /* a live one */
    close(fd);
    rig_close(&rig);
    EQ_INT(-1, stat(where + 5, &info));
}

CONFORM(a_stale_unix_socket_is_replaced_and_others_files_are_not)
{
    char where[64];
    unix_where(where, sizeof(where));
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    strcpy(un.sun_path, where + 5);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(dead, (struct sockaddr *)&un, sizeof(un)) == 0);
    close(dead); /* the file stays */
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig_listen(&rig, where, NULL);
    /* Somebody moves ours away and puts another there: it is not ours to remove. */
    REQUIRE(unlink(where + 5) == 0);
    int file = open(where + 5, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    EQ_INT(VIGIL_EADDRINUSE, vigil_listen(rig.loop, where, NULL, NULL)); /* a plain file */
    rig_close(&rig);
    OK(access(where + 5, F_OK) == 0, "another's file was removed");
    unlink(where + 5);
    close(file);
}

CONFORM(another_s_unix_socket_in_its_place_is_not_removed)
{
    char where[64];
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig_listen(&rig, unix_where(where, sizeof(where)), NULL);
    REQUIRE(unlink(where + 5) == 0);
    vigil_loop *other; /* a server that was started when the file was gone */
    REQUIRE(vigil_loop_open(&other, &(vigil_loop_options){ .backend = backend }) == 0);
    EQ_INT(0, vigil_listen(other, where, NULL, NULL));
    rig_close(&rig);
    OK(access(where + 5, F_OK) == 0, "the other server's socket was removed");
    vigil_loop_close(other);
    OK(access(where + 5, F_OK) != 0, "it does remove its own");
}

CONFORM(an_abstract_unix_socket_is_served)
{
    char where[64];
    snprintf(where, sizeof(where), "unix:@vigil-test-%d", (int)getpid());
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig_listen(&rig, where, NULL);
    EQ_STR(where, rig.where);
    int fd = connect_to(&rig.addr);
    OK(fd >= 0);
    RIG_UNTIL(&rig, rig.opened == 1);
    close(fd);
    rig_close(&rig);
}
