/* SPDX-License-Identifier: MIT
 *
 * handles_windows.c -- what cannot be waited for on Windows: handles that are no sockets, Unix
 * sockets, a port that is shared.  Every layer refuses them, keeps nothing of them, and leaves them
 * as they were.
 */
#include "loop_rig.h"

#ifdef _WIN32

enum { READ_END, WRITE_END, A_FILE, THE_NULL_DEVICE, AN_EVENT, HANDLES };

static const char *const names[HANDLES] = { "a pipe with data", "a pipe with room", "a file", "NUL",
                                            "an event that is set" };

/* All of them would be ready at once, if they could be waited for. */
struct handles {
    HANDLE of[HANDLES];
};

static vigil_fd fd_of(HANDLE handle)
{
    return (vigil_fd)(uintptr_t)handle;
}

static HANDLE open_file(const char *path, DWORD how, DWORD flags)
{
    return CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, how, flags, NULL);
}

static struct handles handles_open(void)
{
    struct handles handles;
    char folder[MAX_PATH], path[MAX_PATH];
    DWORD written = 0;
    REQUIRE(CreatePipe(&handles.of[READ_END], &handles.of[WRITE_END], NULL, 0));
    OK(WriteFile(handles.of[WRITE_END], "unread", 6, &written, NULL) && written == 6);
    REQUIRE(GetTempPathA(sizeof(folder), folder) > 0);
    REQUIRE(GetTempFileNameA(folder, "vig", 0, path) != 0);
    handles.of[A_FILE] = open_file(path, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE);
    handles.of[THE_NULL_DEVICE] = open_file("NUL", OPEN_EXISTING, 0);
    handles.of[AN_EVENT] = CreateEventW(NULL, TRUE, TRUE, NULL);
    for (int i = 0; i < HANDLES; i++)
        REQUIRE(handles.of[i] != NULL && handles.of[i] != INVALID_HANDLE_VALUE, "%s", names[i]);
    return handles;
}

/* They are the caller's still, and what was in them is there. */
static void handles_close(const struct handles *handles)
{
    char text[8] = "";
    DWORD got = 0;
    OK(ReadFile(handles->of[READ_END], text, sizeof(text), &got, NULL) && got == 6, "%lu", got);
    EQ_STR("unread", text);
    for (int i = 0; i < HANDLES; i++)
        OK(CloseHandle(handles->of[i]), "%s was closed", names[i]);
}

CONFORM(what_is_no_socket_is_not_registered)
{
    struct handles handles = handles_open();
    int fds[2];
    vigil_poller *poller;
    vigil_reg reg, wanted;
    vigil_event event;
    REQUIRE(vigil_poller_open(&poller, backend) == 0);
    for (int i = 0; i < 2 * HANDLES; i++) { /* the second time, too: nothing was kept */
        vigil_fd fd = fd_of(handles.of[i % HANDLES]);
        EQ_INT(VIGIL_ENOTSUP, vigil_poller_register(poller, fd, VIGIL_IN | VIGIL_OUT, 1, &reg),
               "%s", names[i % HANDLES]);
    }
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    EQ_INT(0, vigil_poller_register(poller, fds[0], VIGIL_OUT, 7, &wanted));
    EQ_INT(1, vigil_poller_wait(poller, &event, 1, VIGIL_S(30)), "the wait has not heard of them");
    EQ_INT(7, (int)event.tag);
    vigil_poller_close(poller);
    close(fds[0]);
    close(fds[1]);
    handles_close(&handles);
}

CONFORM(what_is_no_socket_is_not_watched)
{
    struct handles handles = handles_open();
    struct rig rig;
    int told = 0;
    vigil_loop *loop = rig_open(&rig, backend);
    for (int i = 0; i < HANDLES; i++)
        EQ_INT(VIGIL_ENOTSUP,
               vigil_on_ready(loop, fd_of(handles.of[i]), VIGIL_IN, count_watch, &told, NULL), "%s",
               names[i]);
    turns_now(loop, 3);
    EQ_INT(0, told);
    EQ_INT(0, vigil_loop_run(loop), "it has nothing to wait for");
    rig_close(&rig);
    handles_close(&handles);
}

static const vigil_conn_ops ops = { 0 };

CONFORM(what_is_no_socket_is_not_adopted)
{
    const vigil_conn_options options = { .ops = &ops };
    const vigil_listen_options listen_options = { .ops = &ops };
    struct handles handles = handles_open();
    struct rig rig;
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    vigil_loop *loop = rig_open(&rig, backend);
    for (int i = 0; i < HANDLES; i++) {
        vigil_fd fd = fd_of(handles.of[i]);
        const vigil_fd pairs[][2] = {
            { fd, fd }, { fd, VIGIL_FD_NONE }, { VIGIL_FD_NONE, fd }, { fds[0], fd }, { fd, fds[0] }
        };
        for (size_t j = 0; j < TEST_COUNT(pairs); j++)
            EQ_INT(VIGIL_ENOTSUP, vigil_adopt(loop, pairs[j][0], pairs[j][1], &options, NULL),
                   "%s, pair %zu", names[i], j);
        EQ_INT(VIGIL_ENOTSUP, vigil_listen_fd(loop, fd, &listen_options, NULL), "%s", names[i]);
    }
    EQ_INT(0, vigil_loop_run(loop), "it has no connection and no listener");
    rig_close(&rig);
    close(fds[0]);
    close(fds[1]);
    handles_close(&handles);
}

CONFORM(unix_sockets_and_shared_ports_are_refused)
{
    const vigil_listen_options alone = { .ops = &ops },
                               shared = { .ops = &ops, .reuse_port = true };
    const vigil_conn_options options = { .ops = &ops };
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    EQ_INT(VIGIL_ENOTSUP, vigil_listen(loop, "unix:vigil-test", &alone, NULL));
    EQ_INT(VIGIL_ENOTSUP, vigil_connect(loop, "unix:vigil-test", &options, NULL));
    EQ_INT(VIGIL_ENOTSUP, vigil_listen(loop, "127.0.0.1:0", &shared, NULL));
    EQ_INT(0, vigil_loop_run(loop), "it has no connection and no listener");
    rig_close(&rig);
}

TEST(one_call_tells_of_what_is_no_socket)
{
    struct handles handles = handles_open();
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    for (int i = 0; i < HANDLES; i++) {
        vigil_pollfd asked[] = { { .fd = fds[0], .events = VIGIL_OUT },
                                 { .fd = fd_of(handles.of[i]), .events = VIGIL_IN | VIGIL_OUT } };
        vigil_fd both[] = { fd_of(handles.of[i]), fds[0] }, ready[2];
        vigil_set set = { .fds = both, .ready = ready, .count = 2 };
        EQ_INT(2, vigil_poll(asked, 2, VIGIL_FOREVER), "%s", names[i]);
        EQ_INT(VIGIL_OUT, asked[0].revents, "%s", names[i]);
        EQ_INT(VIGIL_NVAL, asked[1].revents, "%s", names[i]);
        EQ_INT(VIGIL_ENOTSUP, vigil_select(NULL, &set, NULL, VIGIL_FOREVER), "%s", names[i]);
        EQ_INT(0, (int)set.ready_count, "%s", names[i]);
    }
    close(fds[0]);
    close(fds[1]);
    handles_close(&handles);
}

#else

TEST(handles_of_windows)
{
    SKIP("not Windows: what is no socket can be waited for here");
}

#endif
