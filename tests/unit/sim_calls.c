/* SPDX-License-Identifier: MIT
 *
 * sim_calls.c -- the calls of a simulated host answer what this machine's do: the same script of
 * right and wrong calls on both, line by line.  Its memory, and what only a world has, is asked
 * besides.
 */
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "sys/host.h"
#include "test.h"
#include "vigil_sim.h"

#ifdef __has_feature /* clang says so, gcc by a macro */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

enum { LINES_MAX = 200, LINE_MAX = 80 };

/* Whose calls they are, and what they answered. */
struct side {
    const vigil_host *host;
    vigil_sim *sim; /* NULL: this machine's */
    char dir[64];   /* for names of sockets */
    char lines[LINES_MAX][LINE_MAX];
    size_t count;
};

static int say(struct side *s, const char *what, int status)
{
    REQUIRE(s->count < LINES_MAX);
    snprintf(s->lines[s->count++], LINE_MAX, "%s: %s", what,
             status > 0                ? "some"
             : status == VIGIL__EAGAIN ? "not now"
                                       : vigil_err_name(status));
    return status;
}

/* ---- what each side has in a way of its own ---- */

static void make_pipe(const struct side *s, vigil_fd out[2])
{
    REQUIRE((s->sim != NULL ? vigil_sim_pipe(s->sim, s->host, out) : pipe2(out, O_CLOEXEC)) == 0);
}

static vigil_fd make_file(const struct side *s)
{
    vigil_fd fd = -1;
    if (s->sim != NULL) {
        REQUIRE(vigil_sim_file(s->sim, s->host, "content", 7, &fd) == 0);
        return fd;
    }
    char path[] = "/tmp/vigil-sim-calls-XXXXXX";
    fd = mkstemp(path);
    REQUIRE(fd >= 0 && unlink(path) == 0 && write(fd, "content", 7) == 7);
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* Lets what was sent arrive. */
static void settle(const struct side *s, vigil_fd fd)
{
    if (s->sim != NULL)
        (void)vigil_sim_run(s->sim, vigil_sim_now(s->sim) + VIGIL_MS(10));
    else
        (void)poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 5000);
}

static vigil_addr address(const char *where, ...)
{
    char text[120];
    va_list args;
    vigil_addr addr;
    va_start(args, where);
    int n = vsnprintf(text, sizeof(text), where, args);
    va_end(args);
    REQUIRE(n > 0 && vigil_addr_parse(&addr, text) == 0, "%s", text);
    return addr;
}

static vigil_fd make_socket(struct side *s, vigil_family family)
{
    vigil_fd fd = -1;
    REQUIRE(s->host->socket(s->host->self, family, &fd) == 0);
    return fd;
}

static int bind_to(struct side *s, vigil_fd fd, vigil_addr addr)
{
    return s->host->bind(s->host->self, fd, &addr);
}

static uint16_t port_of(struct side *s, vigil_fd fd)
{
    vigil_addr addr;
    REQUIRE(s->host->local(s->host->self, fd, &addr) == 0);
    return addr.port;
}

static void shut(struct side *s, vigil_fd fd)
{
    EQ_INT(0, s->host->close(s->host->self, fd));
}

/* ---- the script ---- */

static void script_fresh(struct side *s)
{
    const vigil_host *h = s->host;
    vigil_fd fd = make_socket(s, VIGIL_FAMILY_INET), other;
    char byte = 'x';
    const vigil_iov iov = { &byte, 1 };
    vigil_addr addr;
    say(s, "receive, not connected", h->recv(h->self, fd, &byte, 1));
    say(s, "send, not connected", h->sendv(h->self, fd, &iov, 1) < 0 ? VIGIL_ENOTCONN : 0);
    say(s, "peer, not connected", h->peer(h->self, fd, &addr));
    say(s, "shutdown, not connected", h->shutdown(h->self, fd));
    say(s, "accept, not listening", h->accept(h->self, fd, &other));
    say(s, "error of a fresh one", h->socket_error(h->self, fd));
    say(s, "size of a socket", h->file_size(h->self, fd, &(int64_t){ 0 }));
    say(s, "reopen a socket", h->reopen(h->self, fd));
    say(s, "not delayed", h->option(h->self, fd, VIGIL__SO_NODELAY, 1));
    say(s, "kept alive", h->option(h->self, fd, VIGIL__SO_KEEPALIVE, 1));
    say(s, "address again", h->option(h->self, fd, VIGIL__SO_REUSEADDR, 1));
    say(s, "buffer out", h->option(h->self, fd, VIGIL__SO_SNDBUF, 1));
    say(s, "buffer in", h->option(h->self, fd, VIGIL__SO_RCVBUF, 0));
    say(s, "listen without an address", h->listen(h->self, fd, 5));
    OK(port_of(s, fd) != 0);
    EQ_INT(0, h->local(h->self, fd, &addr));
    say(s, "bind one that listens", bind_to(s, fd, address("127.0.0.1:0")));
    say(s, "connect one that listens",
        h->connect(h->self, fd, &addr) < 0 ? VIGIL_EEXIST : 0); /* whichever of them it says */
    say(s, "receive from one that listens", h->recv(h->self, fd, &byte, 1));
    say(s, "send to one that listens", h->sendv(h->self, fd, &iov, 1) < 0 ? VIGIL_ENOTCONN : 0);
    say(s, "accept, nobody there", h->accept(h->self, fd, &other));
    shut(s, fd);
}

static void script_closed(struct side *s)
{
    const vigil_host *h = s->host;
    vigil_fd fd = make_socket(s, VIGIL_FAMILY_INET), other;
    char byte = 'x';
    const vigil_iov iov = { &byte, 1 };
    struct vigil__fd_info info;
    shut(s, fd);
    say(s, "closed: close", h->close(h->self, fd));
    say(s, "closed: describe", h->describe(h->self, fd, &info));
    say(s, "closed: bind", bind_to(s, fd, address("127.0.0.1:0")));
    say(s, "closed: listen", h->listen(h->self, fd, 5));
    say(s, "closed: accept", h->accept(h->self, fd, &other));
    say(s, "closed: receive", h->recv(h->self, fd, &byte, 1));
    say(s, "closed: send", h->sendv(h->self, fd, &iov, 1));
    say(s, "closed: read", h->read(h->self, fd, &byte, 1));
    say(s, "closed: write", h->writev(h->self, fd, &iov, 1));
    say(s, "closed: read at", h->pread(h->self, fd, &byte, 1, 0));
    say(s, "closed: shutdown", h->shutdown(h->self, fd));
    say(s, "closed: error", h->socket_error(h->self, fd));
    say(s, "closed: option", h->option(h->self, fd, VIGIL__SO_NODELAY, 1));
    say(s, "closed: local", h->local(h->self, fd, &(vigil_addr){ 0 }));
    say(s, "closed: peer", h->peer(h->self, fd, &(vigil_addr){ 0 }));
    say(s, "closed: size", h->file_size(h->self, fd, &(int64_t){ 0 }));
    say(s, "closed: reopen", h->reopen(h->self, fd));
}

static bool has_inet6(void);

/* Whether a second socket may have the address of a first, whose options may be others. */
static void script_shared(struct side *s)
{
    static const struct {
        const char *name, *first, *second; /* with the port of the first */
        bool share_1, share_2, v6_only;
    } rows[] = {
        { "the same", "127.0.0.1:0", "127.0.0.1:%u", false, false, false },
        { "any behind one", "127.0.0.1:0", "0.0.0.0:%u", false, false, false },
        { "one behind any", "0.0.0.0:0", "127.0.0.1:%u", false, false, false },
        { "shared by both", "127.0.0.1:0", "127.0.0.1:%u", true, true, false },
        { "shared by the second alone", "127.0.0.1:0", "127.0.0.1:%u", false, true, false },
        { "another loopback", "127.0.0.1:0", "127.0.0.2:%u", false, false, false },
        { "any of 4 behind any of 6", "[::]:0", "0.0.0.0:%u", false, false, false },
        { "any of 4 behind any of 6 alone", "[::]:0", "0.0.0.0:%u", false, false, true },
        { "any of 6 behind any of 4", "0.0.0.0:0", "[::]:%u", false, false, false },
        { "any of 6 alone behind any of 4", "0.0.0.0:0", "[::]:%u", false, false, true },
        { "any of 6 behind one of 4", "127.0.0.1:0", "[::]:%u", false, false, false },
        { "one of 6 behind one of 4", "127.0.0.1:0", "[::1]:%u", false, false, false },
    };
    const vigil_host *h = s->host;
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        if ((rows[i].first[0] == '[' || rows[i].second[0] == '[') && !has_inet6())
            continue;
        vigil_addr first = address("%s", rows[i].first);
        vigil_fd a = make_socket(s, first.family);
        (void)h->option(h->self, a, VIGIL__SO_REUSEPORT, rows[i].share_1);
        if (first.family == VIGIL_FAMILY_INET6)
            (void)h->option(h->self, a, VIGIL__SO_V6ONLY, rows[i].v6_only);
        EQ_INT(0, bind_to(s, a, first), "%s", rows[i].name);
        EQ_INT(0, h->listen(h->self, a, 5));
        EQ_INT(VIGIL_EINVAL, bind_to(s, a, first), "twice");
        vigil_addr second = address(rows[i].second, port_of(s, a));
        vigil_fd b = make_socket(s, second.family);
        (void)h->option(h->self, b, VIGIL__SO_REUSEPORT, rows[i].share_2);
        if (second.family == VIGIL_FAMILY_INET6)
            (void)h->option(h->self, b, VIGIL__SO_V6ONLY, rows[i].v6_only);
        say(s, rows[i].name, bind_to(s, b, second));
        shut(s, b);
        shut(s, a);
    }
    vigil_fd fd = make_socket(s, VIGIL_FAMILY_INET);
    say(s, "bind to a stranger's address", bind_to(s, fd, address("192.0.2.1:0")));
    shut(s, fd);
}

/* A name, and what becomes of it. */
static void script_unix(struct side *s)
{
    const vigil_host *h = s->host;
    vigil_addr name = address("unix:%s/name", s->dir);
    vigil_addr none = address("unix:%s/none", s->dir);
    vigil_fd a = make_socket(s, VIGIL_FAMILY_UNIX), b = make_socket(s, VIGIL_FAMILY_UNIX), c;
    uint64_t identity[2];
    say(s, "unix: connect to no name", h->connect(h->self, b, &none));
    say(s, "unix: identity of no name", h->path_identity(h->self, none.path, identity));
    say(s, "unix: mode of no name", h->path_mode(h->self, none.path, 0600));
    say(s, "unix: unlink no name", h->unlink(h->self, none.path));
    say(s, "unix: bind", bind_to(s, a, name));
    say(s, "unix: bind to a name in use", bind_to(s, b, name));
    say(s, "unix: identity", h->path_identity(h->self, name.path, identity));
    say(s, "unix: mode", h->path_mode(h->self, name.path, 0600));
    say(s, "unix: connect before it listens", h->connect(h->self, b, &name));
    say(s, "unix: listen", h->listen(h->self, a, 1));
    say(s, "unix: connect", h->connect(h->self, b, &name));
    say(s, "unix: shutdown", h->shutdown(h->self, b));
    say(s, "unix: accept", h->accept(h->self, a, &c));
    shut(s, c);
    shut(s, b);
    shut(s, a);
    b = make_socket(s, VIGIL_FAMILY_UNIX);
    say(s, "unix: connect to a stale name", h->connect(h->self, b, &name));
    say(s, "unix: bind to a stale name", bind_to(s, b, name));
    say(s, "unix: unlink", h->unlink(h->self, name.path));
    say(s, "unix: bind behind it", bind_to(s, b, name));
    say(s, "unix: unlink again", h->unlink(h->self, name.path));
    shut(s, b);
}

/* One client may wait; the next is told so. */
static void script_unix_backlog(struct side *s)
{
    enum { CLIENTS = 8 };
    const vigil_host *h = s->host;
    vigil_addr name = address("unix:@vigil-sim-calls-%d", (int)getpid());
    vigil_fd listener = make_socket(s, VIGIL_FAMILY_UNIX), clients[CLIENTS], c;
    say(s, "abstract: bind", bind_to(s, listener, name));
    say(s, "abstract: listen", h->listen(h->self, listener, 1));
    int last = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = make_socket(s, VIGIL_FAMILY_UNIX);
        last = h->connect(h->self, clients[i], &name);
    }
    say(s, "abstract: one too many", last);
    say(s, "abstract: accept", h->accept(h->self, listener, &c));
    shut(s, c);
    shut(s, listener);
    for (int i = 0; i < CLIENTS; i++)
        shut(s, clients[i]);
    c = make_socket(s, VIGIL_FAMILY_UNIX);
    say(s, "abstract: nobody any more", h->connect(h->self, c, &name));
    shut(s, c);
}

static void script_pipes(struct side *s)
{
    const vigil_host *h = s->host;
    char bytes[16] = "some";
    const vigil_iov iov = { bytes, 4 };
    vigil_fd pipe[2];
    make_pipe(s, pipe);
    say(s, "pipe: read the end that is written", h->read(h->self, pipe[1], bytes, 4));
    say(s, "pipe: write the end that is read", h->writev(h->self, pipe[0], &iov, 1));
    say(s, "pipe: write", h->writev(h->self, pipe[1], &iov, 1));
    say(s, "pipe: readable", h->readable(h->self, pipe[0]));
    say(s, "pipe: read", h->read(h->self, pipe[0], bytes, 16));
    say(s, "pipe: readable no more", h->readable(h->self, pipe[0]));
    say(s, "pipe: reopen", h->reopen(h->self, pipe[0]));
    say(s, "pipe: read nothing", h->read(h->self, pipe[0], bytes, 4));
    say(s, "pipe: size", h->file_size(h->self, pipe[0], &(int64_t){ 0 }));
    shut(s, pipe[1]);
    say(s, "pipe: read its end", h->read(h->self, pipe[0], bytes, 4));
    shut(s, pipe[0]);
    make_pipe(s, pipe);
    shut(s, pipe[0]);
    say(s, "pipe: write for nobody", h->writev(h->self, pipe[1], &iov, 1));
    shut(s, pipe[1]);
}

static void script_files(struct side *s)
{
    const vigil_host *h = s->host;
    char bytes[16] = "more";
    const vigil_iov iov[] = { { bytes, 4 }, { bytes, 0 }, { bytes, 2 } };
    int64_t size = 0;
    vigil_fd fd = make_file(s);
    struct vigil__fd_info info;
    EQ_INT(0, h->describe(h->self, fd, &info));
    EQ_INT(VIGIL__FD_FILE, info.kind);
    say(s, "file: size", h->file_size(h->self, fd, &size));
    EQ_INT(7, (int)size);
    EQ_INT(3, h->pread(h->self, fd, bytes, 16, 4));
    EQ_INT(0, h->pread(h->self, fd, bytes, 16, 7));
    EQ_INT(0, h->pread(h->self, fd, bytes, 16, 700));
    say(s, "file: before its beginning", h->pread(h->self, fd, bytes, 1, -1));
    EQ_INT(7, h->read(h->self, fd, bytes, 16));
    EQ_INT(0, h->read(h->self, fd, bytes, 16));
    EQ_INT(6, h->writev(h->self, fd, iov, 3));
    EQ_INT(0, h->file_size(h->self, fd, &size));
    EQ_INT(13, (int)size);
    shut(s, fd);
}

/* Two ends of TCP on this host, by way of its loopback address. */
static void script_tcp(struct side *s, const char *where)
{
    const vigil_host *h = s->host;
    vigil_addr addr = address("%s", where);
    vigil_fd listener = make_socket(s, addr.family), client = make_socket(s, addr.family), server;
    char bytes[16] = "word";
    const vigil_iov iov[] = { { bytes, 2 }, { bytes, 2 } };
    EQ_INT(0, bind_to(s, listener, addr));
    EQ_INT(0, h->listen(h->self, listener, 5));
    addr.port = port_of(s, listener);
    (void)h->connect(h->self, client, &addr);
    settle(s, listener);
    say(s, "tcp: error behind connecting", h->socket_error(h->self, client));
    say(s, "tcp: accept", h->accept(h->self, listener, &server));
    say(s, "tcp: bind one that is connected", bind_to(s, client, address("127.0.0.1:0")));
    say(s, "tcp: listen with one that is connected", h->listen(h->self, client, 5));
    say(s, "tcp: send nothing", h->sendv(h->self, client, iov, 0));
    say(s, "tcp: receive nothing", h->recv(h->self, server, bytes, 16));
    say(s, "tcp: send", h->sendv(h->self, client, iov, 2));
    settle(s, server);
    EQ_INT(4, h->recv(h->self, server, bytes, 16));
    say(s, "tcp: shutdown", h->shutdown(h->self, client));
    say(s, "tcp: shutdown again", h->shutdown(h->self, client));
    say(s, "tcp: send behind it", h->sendv(h->self, client, iov, 2) < 0 ? VIGIL_ECLOSED : 0);
    settle(s, server);
    say(s, "tcp: receive the end", h->recv(h->self, server, bytes, 16));
    EQ_INT(0, h->option(h->self, server, VIGIL__SO_RESET, 1));
    shut(s, server);
    settle(s, client);
    say(s, "tcp: receive the reset", h->recv(h->self, client, bytes, 16));
    say(s, "tcp: peer behind a reset", h->peer(h->self, client, &(vigil_addr){ 0 }));
    say(s, "tcp: shutdown behind a reset", h->shutdown(h->self, client));
    shut(s, client);
    shut(s, listener);
}

static void script_signals(struct side *s)
{
    const vigil_host *h = s->host;
    struct vigil__signal_sink sink = { 0 };
    say(s, "signal 0", h->signal_add(h->self, 0, &sink));
    say(s, "signal 65", h->signal_add(h->self, VIGIL__SIGNAL_MAX + 1, &sink));
    say(s, "SIGKILL", h->signal_add(h->self, SIGKILL, &sink));
    say(s, "SIGSTOP", h->signal_add(h->self, SIGSTOP, &sink));
    say(s, "a name", h->resolve(h->self, "", 1, &(vigil_addr){ 0 }, 1) < 0 ? VIGIL_ENOENT : 0);
}

static bool has_inet6(void)
{
    vigil_fd fd;
    const vigil_host *h = vigil__host_system();
    if (h->socket(h->self, VIGIL_FAMILY_INET6, &fd) != 0)
        return false;
    vigil_addr addr = address("[::1]:0");
    bool has = h->bind(h->self, fd, &addr) == 0;
    (void)h->close(h->self, fd); /* it is open */
    return has;
}

static void script(struct side *s)
{
    script_fresh(s);
    script_closed(s);
    script_shared(s);
    script_unix(s);
    script_unix_backlog(s);
    script_pipes(s);
    script_files(s);
    script_tcp(s, "127.0.0.1:0");
    if (has_inet6())
        script_tcp(s, "[::1]:0");
    script_signals(s);
}

TEST(a_simulated_host_answers_what_this_machine_does)
{
    static struct side real, simulated;
    signal(SIGPIPE, SIG_IGN);
    real.host = vigil__host_system();
    snprintf(real.dir, sizeof(real.dir), "/tmp/vigil-sim-calls-XXXXXX");
    REQUIRE(mkdtemp(real.dir) != NULL);
    script(&real);
    (void)rmdir(real.dir);
    REQUIRE(vigil_sim_open(&simulated.sim, NULL) == 0);
    simulated.host = vigil_sim_host(simulated.sim, "10.0.0.1", NULL);
    snprintf(simulated.dir, sizeof(simulated.dir), "/dir");
    script(&simulated);
    EQ_INT((int)real.count, (int)simulated.count);
    for (size_t i = 0; i < real.count && i < simulated.count; i++)
        EQ_STR(real.lines[i], simulated.lines[i]);
    OK(vigil_sim_check_balance(simulated.sim), "%s", vigil_sim_failure(simulated.sim));
    vigil_sim_close(simulated.sim);
}

/* Each host notes so many, and no more. */
TEST(a_host_has_room_for_so_many_who_ask_for_signals)
{
    static struct vigil__signal_sink sink;
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *h = vigil_sim_host(sim, "10.0.0.1", NULL);
    int n = 0, status = 0;
    while (n < 10000 && (status = h->signal_add(h->self, SIGTERM, &sink)) == 0)
        n++;
    EQ_INT(VIGIL_EFULL, status);
    for (; n > 0; n--)
        h->signal_remove(h->self, SIGTERM, &sink);
    EQ_INT(0, h->signal_add(h->self, SIGTERM, &sink));
    h->signal_remove(h->self, SIGTERM, &sink);
    vigil_sim_close(sim);
}

/* What has no power does nothing, and has nothing. */
TEST(a_host_without_power_opens_nothing)
{
    vigil_sim *sim;
    vigil_fd fd, pair[2];
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *h = vigil_sim_host(sim, "10.0.0.1", NULL);
    EQ_INT(0, vigil_sim_file(sim, h, "x", 1, &fd));
    vigil_sim_kill(sim, h);
    vigil_sim_kill(sim, h);
    EQ_INT(VIGIL_EBADF, h->close(h->self, fd));
    EQ_INT(VIGIL_EMFILE, h->socket(h->self, VIGIL_FAMILY_INET, &fd));
    EQ_INT(VIGIL_EMFILE, vigil_sim_pair(sim, h, pair));
    EQ_INT(VIGIL_EMFILE, vigil_sim_file(sim, h, "x", 1, &fd));
    vigil_sim_restart(sim, h);
    EQ_INT(0, vigil_sim_pair(sim, h, pair));
    vigil_sim_close_fd(sim, h, pair[0]);
    vigil_sim_close_fd(sim, h, pair[1]);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

/* The second of two finds no room, and the first is given back. */
TEST(half_a_pair_is_none)
{
    vigil_sim *sim;
    vigil_fd fds[3], pair[2];
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *h = vigil_sim_host(sim, "10.0.0.1",
                                         &(vigil_sim_host_options){ .fd_limit = 3 });
    EQ_INT(0, vigil_sim_file(sim, h, "", 0, &fds[0]));
    EQ_INT(0, vigil_sim_file(sim, h, "", 0, &fds[1]));
    EQ_INT(VIGIL_EMFILE, vigil_sim_pair(sim, h, pair));
    EQ_INT(VIGIL_EMFILE, vigil_sim_pipe(sim, h, pair));
    EQ_INT(0, vigil_sim_file(sim, h, "", 0, &fds[2]));
    EQ_INT(VIGIL_EMFILE, vigil_sim_file(sim, h, "x", 1, &pair[0]));
    for (int i = 0; i < 3; i++)
        vigil_sim_close_fd(sim, h, fds[i]);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

static void *allocate(const vigil_host *h, void *old, size_t was, size_t n)
{
    return h->allocator.resize(h->allocator.ctx, old, was, n);
}

/* What its loops leave behind, and what they do to what they gave back, is told. */
TEST(memory_is_counted_limited_and_watched)
{
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *h = vigil_sim_host(sim, "10.0.0.1",
                                         &(vigil_sim_host_options){ .memory_limit = 1000 });
    char *block = allocate(h, NULL, 0, 600);
    REQUIRE(block != NULL);
    OK(!vigil_sim_excused(sim, h, VIGIL_FD_NONE));
    OK(allocate(h, NULL, 0, 600) == NULL, "above the limit");
    OK(vigil_sim_excused(sim, h, VIGIL_FD_NONE), "which may end connections");
    OK(allocate(h, block, 600, 0) == NULL);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
    block = allocate(h, NULL, 0, 10);
    OK(!vigil_sim_check_balance(sim));
    EQ_STR("everything is given back: 0 descriptors are open, 10 bytes in use",
           vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

TEST(a_block_is_given_back_by_its_size)
{
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *h = vigil_sim_host(sim, "10.0.0.1", NULL);
    (void)allocate(h, allocate(h, NULL, 0, 10), 11, 0); /* NULL: it is gone */
    EQ_STR("sizes of blocks: a block of 10 bytes is called one of 11", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

TEST(what_is_written_to_a_block_that_was_freed_is_seen)
{
#ifdef __SANITIZE_ADDRESS__
    SKIP("ASan sees it first");
#endif
    for (int at = 0; at < 100; at += 99) {
        vigil_sim *sim;
        REQUIRE(vigil_sim_open(&sim, NULL) == 0);
        const vigil_host *h = vigil_sim_host(sim, "10.0.0.1", NULL);
        char *volatile block = allocate(h, NULL, 0, 100);
        (void)allocate(h, block, 100, 0);
        block[at] = 1;
        OK(!vigil_sim_check_balance(sim));
        EQ_STR("freed memory is left alone: a block was written to after it was freed",
               vigil_sim_failure(sim));
        vigil_sim_close(sim);
    }
}

/* Which is found while the world runs, too, when so much was freed that it forgets the oldest. */
TEST(what_was_freed_long_ago_is_looked_at_once_more)
{
    enum { SIZE = 1 << 20 };
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *h = vigil_sim_host(sim, "10.0.0.1", NULL);
    for (int i = 0; i < 10; i++)
        (void)allocate(h, allocate(h, NULL, 0, SIZE), SIZE, 0);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
#ifndef __SANITIZE_ADDRESS__ /* which would see it first */
    char *volatile block = allocate(h, NULL, 0, 100);
    (void)allocate(h, block, 100, 0);
    block[0] = 1;
    for (int i = 0; i < 10; i++)
        (void)allocate(h, allocate(h, NULL, 0, SIZE), SIZE, 0);
    EQ_STR("freed memory is left alone: a block was written to after it was freed",
           vigil_sim_failure(sim));
#endif
    vigil_sim_close(sim);
}
