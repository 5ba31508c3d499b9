/* SPDX-License-Identifier: MIT
 *
 * fail_serve.c -- `vigil serve` with its first, its second and every further call of each kind
 * failing, once and from then on.
 *
 * The server is the command's own objects and the library, linked with inject.c, and is started
 * anew for each.  It must not crash, hang or spin, nor end without a word; its clients get a prefix
 * of their echo, and a clean end only behind all of it; SIGTERM ends it.
 */
#include "inject.h"
#include "test.h"
#include "walk.h"

enum {
    CLIENTS = 2,
    SAID = 20000,              /* by each */
    PATIENCE_MS = 300,         /* for the next byte, behind a failure: some 15 s of its time */
    PATIENCE_SOUND_MS = 30000, /* before any */
    END_MS = 30000,            /* for the end that a signal asks for */
    WORDS_MAX = 4096,
    CPU_MAX_MS = 2000, /* more spins: it serves 40 KB */
};

struct server {
    struct inject *shared;
    pid_t pid; /* 0: it has ended, with `state` */
    int state;
    int out, err;
    char where[128];
    char words[WORDS_MAX]; /* on stderr, so far */
};

struct client {
    int fd;
    size_t put, got;
    bool ended, failed, wrong;
};

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * UINT64_C(2654435761) >> 13);
}

/* ---- the server --------------------------------------------------------------------------- */

static void server_exec(const char *backend, const char *plan, int shared, int out, int err)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", shared);
    setenv("VIGIL_FAIL_FD", number, 1);
    if (plan != NULL)
        setenv("VIGIL_FAIL", plan, 1);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    const char *arguments[] = { TEST_SERVER,         "serve",     "--drain-timeout", "300ms",
                                "tcp://127.0.0.1:0", "--backend", backend,           NULL };
    if (strcmp(backend, "any") == 0)
        arguments[5] = NULL;
    execv(TEST_SERVER, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static bool server_start(struct server *server, const char *backend, const struct plan *plan)
{
    int out[2], err[2];
    char text[PLAN_TEXT_MAX];
    *server = (struct server){ .out = -1, .err = -1 };
    int shared = memfd_create("inject", 0);
    if (!OK(shared >= 0 && ftruncate(shared, sizeof(*inject)) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
            pipe2(err, O_CLOEXEC) == 0))
        return false;
    server->shared = mmap(NULL, sizeof(*inject), PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    plan_format(&inject_kinds, plan, text);
    server->pid = fork();
    if (server->pid == 0)
        server_exec(backend, plan->on ? text : NULL, shared, out[1], err[1]);
    close(shared);
    close(out[1]);
    close(err[1]);
    server->out = out[0];
    server->err = err[0];
    fcntl(server->err, F_SETFL, O_NONBLOCK);
    ssize_t n = read(server->out, server->where, sizeof(server->where) - 1); /* or its end */
    server->where[n > 0 ? n - 1 : 0] = '\0';
    return n > 0;
}

static void server_listen_to(struct server *server)
{
    size_t len = strlen(server->words);
    ssize_t n = read(server->err, server->words + len, WORDS_MAX - 1 - len);
    server->words[len + (size_t)(n > 0 ? n : 0)] = '\0';
}

static bool server_over(struct server *server)
{
    struct rusage used;
    if (server->pid != 0 && wait4(server->pid, &server->state, WNOHANG, &used) > 0) {
        server->pid = 0;
        long ms = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                  (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
        OK(ms < CPU_MAX_MS * test_time_scale(), "it spins: %ld ms of processor time", ms);
    }
    return server->pid == 0;
}

static void server_end(struct server *server)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    if (!server_over(server))
        kill(server->pid, SIGTERM);
    for (int i = 0; i < END_MS * test_time_scale() && !server_over(server); i++) {
        server_listen_to(server);
        nanosleep(&moment, NULL);
    }
    if (OK(server->pid == 0, "it does not end"))
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, &server->state, 0);
}

/* It has ended with 0, or with 1 and a reason, and gave back what it had.  One that has said its
 * reason and closes may be hit by our SIGTERM when it does not listen to that any more. */
static void server_check(struct server *server)
{
    server_listen_to(server);
    bool reason = strstr(server->words, "vigil serve: ") != NULL;
    if (WIFSIGNALED(server->state) && WTERMSIG(server->state) == SIGTERM && reason)
        return;
    OK(WIFEXITED(server->state), "it ended with 0x%x", (unsigned)server->state);
    if (!WIFEXITED(server->state))
        return;
    int status = WEXITSTATUS(server->state);
    OK(status == 0 || (status == 1 && reason), "exit status %d, and says: %s", status,
       server->words);
    OK(server->shared->blocks == 0 && server->shared->bytes == 0, "%d blocks of %d bytes are left",
       (int)server->shared->blocks, (int)server->shared->bytes);
}

/* ---- clients ------------------------------------------------------------------------------ */

static void client_connect(struct client *client, const char *where)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const char *port = strrchr(where, ':');
    to.sin_port = htons((uint16_t)atoi(port != NULL ? port + 1 : "0"));
    *client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    client->failed = connect(client->fd, (struct sockaddr *)&to, sizeof(to)) != 0;
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
}

static void client_talk(struct client *client)
{
    uint8_t bytes[4096];
    size_t n = SAID - client->put < sizeof(bytes) ? SAID - client->put : sizeof(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern(client->put + i);
    ssize_t put = n > 0 ? send(client->fd, bytes, n, MSG_NOSIGNAL) : 0;
    client->failed = client->failed || (put < 0 && errno != EAGAIN);
    client->put += put > 0 ? (size_t)put : 0;
    if (put > 0 && client->put == SAID)
        (void)shutdown(client->fd, SHUT_WR); /* fails where it was reset */
    ssize_t got = recv(client->fd, bytes, sizeof(bytes), 0);
    for (ssize_t i = 0; i < got; i++)
        client->wrong = client->wrong || bytes[i] != pattern(client->got + (size_t)i);
    client->got += got > 0 ? (size_t)got : 0;
    client->ended = client->ended || (got == 0 && !client->failed);
    client->failed = client->failed || (got < 0 && errno != EAGAIN) || (got == 0 && !client->ended);
}

/* All talk until they have got all, or nothing comes any more. */
static void clients_talk(struct server *server, struct client *clients)
{
    for (int idle = 0;;) {
        struct pollfd entries[CLIENTS];
        size_t before = 0, after = 0;
        int open = 0;
        for (int i = 0; i < CLIENTS; i++) {
            struct client *client = &clients[i];
            before += client->got + client->put;
            if (!client->ended && !client->failed)
                client_talk(client);
            bool on = !client->ended && !client->failed;
            after += client->got + client->put;
            entries[i] = (struct pollfd){ .fd = on ? client->fd : -1, .events = POLLIN };
            open += on;
        }
        server_listen_to(server);
        int patience = server->shared->fired > 0 ? PATIENCE_MS : PATIENCE_SOUND_MS;
        idle = after != before ? 0 : idle + 1;
        if (open == 0 || idle * 10 > patience || server_over(server))
            return;
        (void)poll(entries, CLIENTS, 10);
    }
}

/* ---- runs --------------------------------------------------------------------------------- */

static void clients_check(struct client *clients, bool untouched)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];
        for (int tries = 0; tries < 1000 && !client->ended && !client->failed; tries++)
            client_talk(client); /* the server has ended: what is left is here */
        OK(!client->wrong, "client %d got other bytes before %zu", i, client->got);
        OK(!client->ended || client->got == SAID || client->put < SAID,
           "client %d got a clean end behind %zu of %d bytes", i, client->got, SAID);
        if (untouched)
            OK(client->ended && client->got == SAID, "client %d got %zu", i, client->got);
        close(client->fd);
    }
}

/* One server, on the backend that `arg` names. */
static bool run_once(struct walk *walk, void *arg)
{
    struct server server;
    struct client clients[CLIENTS];
    int failures = test_state.test_failures;
    bool listens = server_start(&server, arg, &walk->plan);
    if (listens)
        for (int i = 0; i < CLIENTS; i++)
            client_connect(&clients[i], server.where);
    if (listens)
        clients_talk(&server, clients);
    server_end(&server);
    server_check(&server);
    bool fired = server.shared->fired > 0;
    if (listens)
        clients_check(clients, !fired);
    OK(listens || fired, "it does not listen: %s", server.words);
    if (!walk->plan.on)
        walk_begins(walk, server.shared->made);
    close(server.out);
    close(server.err);
    munmap(server.shared, sizeof(*inject));
    walk->failures += test_state.test_failures != failures;
    return fired;
}

static void run_too_long(int signo)
{
    (void)signo;
    _exit(3); /* each wait in here has its own bound */
}

static void serve_nth(const char *backend)
{
    test_limit_time(3600, run_too_long);
    struct walk *walk = walk_new(&inject_kinds, TEST_PROGRAM, test_state.title);
    REQUIRE(walk != NULL);
    char name[16];
    snprintf(name, sizeof(name), "%s", backend);
    (void)walk_run(walk, (struct plan){ 0 }, run_once, name);
    walk_all(walk, run_once, NULL, name);
    EQ_INT(0, walk->failures, "runs that failed");
    walk_sum(walk);
    walk_free(walk);
}

CONFORM(serve)
{
    serve_nth(backend);
}

/* Without a backend by name it takes another when one cannot be had. */
TEST(serve_on_any_backend)
{
    serve_nth("any");
}
