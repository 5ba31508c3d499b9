/* SPDX-License-Identifier: MIT
 *
 * connect.c -- connections that we begin: addresses, refusals, time limits, full backlogs.
 */

#include "conn_rig.h"
#include "sys/host.h"

/* A plain listener on 127.0.0.1 (port 0: a free one); answers its port in *port. */
static int plain_listener(uint16_t *port, int backlog)
{
    int fd = client_socket(AF_INET);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(*port) };
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(addr);
    REQUIRE(bind(fd, (struct sockaddr *)&addr, len) == 0, "bind: %s", strerror(errno));
    REQUIRE(backlog < 0 || listen(fd, backlog) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

/* A port on which nobody listens. */
static uint16_t closed_port(void)
{
    uint16_t port = 0;
    close(plain_listener(&port, -1));
    return port;
}

static const char *tcp_where(const char *host, uint16_t port)
{
    static char text[64];
    snprintf(text, sizeof(text), "%s:%u", host, port);
    return text;
}

static const char *unix_where(void)
{
    static char text[64];
    snprintf(text, sizeof(text), "/tmp/vigil-connect-%ld", (long)getpid());
    return text;
}

static struct sockaddr_un unix_address(socklen_t *len)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    size_t n = strlen(unix_where());
    memcpy(addr.sun_path, unix_where(), n);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return addr;
}

static size_t answer(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    if (n == 4 && memcmp(p, "ping", 4) == 0)
        EQ_INT(0, vigil_send_all(rig->loop, conn, "pong", 4));
    EQ_INT(0, vigil_end(rig->loop, conn));
    return n;
}

/* Listens and connects in one loop: a message each way, both sides end. */
static void ping(const char *backend, const char *listen_where, const char *host)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    vigil_listen_options options = { .ops = &rig.ops, .user = &rig };
    int status = vigil_listen(rig.loop, listen_where, &options, &rig.listener);
    if (status == VIGIL_EADDR && strchr(listen_where, '[') != NULL) {
        rig_close(&rig);
        SKIP("no IPv6 here");
    }
    if (status == VIGIL_ENOTSUP)
        SKIP("no Unix sockets on Windows");
    EQ_INT(0, status);
    EQ_INT(0, vigil_listener_address(rig.loop, rig.listener, &rig.addr));
    rig.on_data = answer;
    const char *where = host != NULL ? tcp_where(host, rig.addr.port) : listen_where;
    vigil_conn conn;
    EQ_INT(0, rig_connect(&rig, where, NULL, &conn));
    EQ_INT(VIGIL_CONNECTING, rig_info(&rig, conn).state);
    EQ_INT(0, vigil_send_all(rig.loop, conn, "ping", 4)); /* before it is open */
    EQ_STR("", rig.log);                                  /* no callback inside a call */
    RIG_UNTIL(&rig, rig.closed == 2);
    EQ_STR("pong", rig.got);
    EQ_INT(VIGIL_OK, rig.why);
    EQ_INT(2, rig.opened);
    vigil_stats stats = rig_stats(&rig);
    EQ_INT(1, stats.connected);
    EQ_INT(1, stats.accepted);
    EQ_INT(2, stats.closed_ok);
    EQ_INT(8, stats.bytes_in);
    EQ_INT(8, stats.bytes_out);
    rig_close(&rig);
}

CONFORM(over_ipv4)
{
    ping(backend, "tcp://127.0.0.1:0", "127.0.0.1");
}

CONFORM(over_ipv6)
{
    ping(backend, "tcp://[::1]:0", "[::1]");
}

CONFORM(over_a_unix_path)
{
    char where[80];
    snprintf(where, sizeof(where), "unix:%s", unix_where());
    ping(backend, where, NULL);
}

CONFORM(over_an_abstract_unix_name)
{
    char where[80];
    snprintf(where, sizeof(where), "unix:@vigil-connect-%ld", (long)getpid());
    ping(backend, where, NULL);
}

CONFORM(localhost_falls_over_from_v6_to_v4)
{
    ping(backend, "tcp://127.0.0.1:0", "localhost");
}

CONFORM(localhost_falls_over_only_when_it_must)
{
    ping(backend, "tcp://[::1]:0", "localhost");
}

CONFORM(refused_is_told_by_close_alone)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    const char *hosts[] = { "127.0.0.1", "localhost" };
    for (int i = 0; i < 2; i++) {
        vigil_conn conn;
        EQ_INT(0, rig_connect(&rig, tcp_where(hosts[i], closed_port()), NULL, &conn));
        EQ_INT(5, vigil_send(rig.loop, conn, "never", 5));
        RIG_UNTIL(&rig, rig.closed == i + 1);
        EQ_STR("close(VIGIL_ECONNREFUSED)", rig_take_log(&rig), "%s", hosts[i]);
        EQ_INT(VIGIL_ESTALE, vigil_end(rig.loop, conn));
    }
    vigil_stats stats = rig_stats(&rig);
    EQ_INT(2, stats.connect_failed);
    EQ_INT(0, stats.connected);
    EQ_INT(2, stats.closed_error);
    EQ_INT(10, stats.dropped_out);
    rig_close(&rig);
}

CONFORM(a_unix_path_without_a_listener)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    char where[80];
    snprintf(where, sizeof(where), "unix:%s-none", unix_where());
    int status = rig_connect(&rig, where, NULL, NULL);
    if (status == VIGIL_ENOTSUP)
        SKIP("no Unix sockets on Windows");
    EQ_INT(0, status);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_ENOENT)", rig_take_log(&rig));
    rig_close(&rig);
}

CONFORM(a_call_that_fails_leaves_ctx_alone)
{
    static const struct {
        const char *where;
        vigil_limits limits;
        int want;
    } rows[] = {
        { "nonsense", { 0 }, VIGIL_EADDR },
        { "", { 0 }, VIGIL_EADDR },
        { "127.0.0.1:70000", { 0 }, VIGIL_EADDR },
        { "127.0.0.1", { 0 }, VIGIL_EADDR },
        { "some.name.invalid:80", { 0 }, VIGIL_ENOENT }, /* vigil_resolve() first */
        { "127.0.0.1:80", { .connect_ns = -1 }, VIGIL_EINVAL },
        { "127.0.0.1:80", { .out_high = 10, .out_low = 11 }, VIGIL_EINVAL },
        { "127.0.0.1:80", { .out_high = 10, .out_hard = 9 }, VIGIL_EINVAL },
    };
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    for (size_t i = 0; i < TEST_COUNT(rows); i++)
        EQ_INT(rows[i].want, rig_connect(&rig, rows[i].where, &rows[i].limits, NULL), "row %zu", i);
    rig_settle(&rig);
    EQ_STR("", rig_take_log(&rig));
    EQ_INT(0, rig_stats(&rig).conns);
    rig_close(&rig);
}

CONFORM(out_of_descriptors_is_told_at_once)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    int status = rig_connect(&rig, rig.where, NULL, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    EQ_INT(VIGIL_EMFILE, status);
    rig_settle(&rig);
    EQ_STR("", rig_take_log(&rig));
    rig_close(&rig);
}

/* A TCP listener whose backlog is full: who comes now hears nothing. */
CONFORM(connecting_ends_at_its_time_limit_and_not_before)
{
    uint16_t port = 0;
    int listener = plain_listener(&port, 0), fillers[4];
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 4; i++) {
        fillers[i] = client_socket(AF_INET);
        fcntl(fillers[i], F_SETFL, O_NONBLOCK);
        (void)!connect(fillers[i], (struct sockaddr *)&addr, sizeof(addr)); /* some stay outside */
    }
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    vigil_conn conn;
    vigil_ns began = rig_clock();
    EQ_INT(0, rig_connect(&rig, tcp_where("127.0.0.1", port),
                          &(vigil_limits){ .connect_ns = VIGIL_MS(80) }, &conn));
    EQ_INT(0, vigil_send_all(rig.loop, conn, "never", 5));
    RIG_UNTIL(&rig, rig.closed == 1);
    OK(rig_clock() - began >= VIGIL_MS(80), "early");
    EQ_STR("close(VIGIL_ETIMEDOUT)", rig_take_log(&rig));
    EQ_INT(1, rig_stats(&rig).connect_failed);
    EQ_INT(1, rig_stats(&rig).closed_timeout);

    /* The same, ended by others. */
    EQ_INT(0, rig_connect(&rig, tcp_where("127.0.0.1", port), NULL, &conn));
    rig_settle(&rig);
    EQ_STR("the connect to end", rig_info(&rig, conn).waiting_for);
    EQ_INT(0, vigil_abort(rig.loop, conn));
    EQ_INT(VIGIL_ESTALE, vigil_abort(rig.loop, conn));
    RIG_UNTIL(&rig, rig.closed == 2);
    EQ_STR("close(VIGIL_ECANCELED)", rig_take_log(&rig));

    EQ_INT(0, rig_connect(&rig, tcp_where("127.0.0.1", port), NULL, &conn));
    EQ_INT(0, vigil_conn_deadline(rig.loop, conn, VIGIL_MS(10)));
    RIG_UNTIL(&rig, rig.closed == 3);
    EQ_STR("close(VIGIL_ETIMEDOUT)", rig_take_log(&rig));

    EQ_INT(0, rig_connect(&rig, tcp_where("127.0.0.1", port), NULL, &conn));
    rig_settle(&rig);
    rig_close(&rig); /* the loop is closed while it connects */
    EQ_STR("close(VIGIL_ECANCELED)", rig_take_log(&rig));
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
    close(listener);
}

/* Nothing tells when a Unix backlog has room again: it is tried until it does. */
CONFORM(a_full_unix_backlog_is_waited_for)
{
    socklen_t len;
    struct sockaddr_un addr = unix_address(&len);
    int listener = client_socket(AF_UNIX), fillers[64], count = 0;
    REQUIRE(bind(listener, (struct sockaddr *)&addr, len) == 0, "%s", strerror(errno));
    REQUIRE(listen(listener, 0) == 0);
    for (bool full = false; !full && count < 64;) {
        int fd = client_socket(AF_UNIX);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        full = connect(fd, (struct sockaddr *)&addr, len) != 0;
        fillers[count++] = fd;
    }
    EQ_INT(EAGAIN, errno);
    char where[80];
    snprintf(where, sizeof(where), "unix:%s", unix_where());
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    vigil_conn conn, late;
    vigil_ns began = rig_clock();
    EQ_INT(0, rig_connect(&rig, where, NULL, &conn));
    EQ_INT(0, rig_connect(&rig, where, &(vigil_limits){ .connect_ns = VIGIL_MS(35) }, &late));
    EQ_INT(0, vigil_send_all(rig.loop, conn, "patient", 7));
    uint64_t turns = rig_stats(&rig).turns;
    RIG_UNTIL(&rig, rig.closed == 1);
    OK(rig_clock() - began >= VIGIL_MS(35), "early");
    OK(rig_stats(&rig).turns - turns < 40, "it spins");
    EQ_STR("close(VIGIL_ETIMEDOUT)", rig_take_log(&rig));
    for (int i = 0; i < count - 1; i++) /* the server wakes up */
        close(accept(listener, NULL, NULL));
    RIG_UNTIL(&rig, rig.opened == 1);
    rig_settle(&rig);
    char text[8] = "";
    int served = accept(listener, NULL, NULL);
    EQ_INT(7, recv(served, text, 7, 0));
    close(served);
    EQ_STR("patient", text);
    for (int i = 0; i < count; i++)
        close(fillers[i]);
    close(listener);
    unlink(unix_where());
    rig_close(&rig);
}

/* A host whose sockets take the very port that is to be connected to. */
static uint16_t own_port;

static int socket_on_own_port(void *self, vigil_family family, vigil_fd *out)
{
    int status = vigil__host_system()->socket(self, family, out);
    if (status != 0 || family != VIGIL_FAMILY_INET)
        return status;
    int one = 1;
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(own_port) };
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(*out, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    REQUIRE(bind(*out, (struct sockaddr *)&addr, sizeof(addr)) == 0, "%s", strerror(errno));
    return 0;
}

CONFORM(nobody_is_connected_to_himself)
{
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.socket = socket_on_own_port;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    own_port = closed_port();
    for (int i = 0; i < 3; i++) { /* the port is free again each time */
        EQ_INT(0, rig_connect(&rig, tcp_where("127.0.0.1", own_port), NULL, NULL));
        RIG_UNTIL(&rig, rig.closed == i + 1);
        EQ_STR("close(VIGIL_ECONNREFUSED)", rig_take_log(&rig));
    }
    EQ_INT(0, rig_stats(&rig).connected);
    rig_close(&rig);
}

static void connect_again(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    rig->number = rig_connect(rig, rig->where, NULL, NULL);
}

CONFORM(draining_begins_no_connection)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(20)));
    EQ_INT(VIGIL_ECANCELED, rig_connect(&rig, rig.where, NULL, NULL));
    close(fd);
    EQ_INT(0, vigil_loop_run(rig.loop));
    rig_close(&rig);
}

/* `close` runs for every call that answered 0: so a loop that ends answers none. */
CONFORM(connecting_in_the_close_of_a_loop_that_ends_is_refused)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    rig.on_close = connect_again;
    rig_close(&rig);
    EQ_INT(VIGIL_ECANCELED, rig.number);
    EQ_STR("close(VIGIL_ECANCELED)", rig_take_log(&rig));
    close(fd);
}

CONFORM(one_that_could_not_connect_may_be_tried_again_in_close)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    snprintf(rig.where, sizeof(rig.where), "%s", tcp_where("127.0.0.1", closed_port()));
    rig.on_close = connect_again;
    EQ_INT(0, rig_connect(&rig, rig.where, NULL, NULL));
    RIG_UNTIL(&rig, rig.closed == 5);
    rig.on_close = NULL;
    RIG_UNTIL(&rig, rig.closed == 6);
    EQ_INT(6, rig_stats(&rig).connect_failed);
    rig_close(&rig);
}
