/* SPDX-License-Identifier: MIT
 *
 * listener.c -- finds the other end of a connection of ours in proc(5), as the process's own
 * namespace has it, then the socket that listens where that end is, then whose descriptor it is.
 * So an address that was translated on the way is no matter, nor is a server elsewhere that has
 * the same port as one here.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "listener.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTENS  0x0a    /* net/tcp: TCP_LISTEN, */
#define ACCEPTS  0x10000 /* and net/unix: SO_ACCEPTCON */
#define LINE_LEN 512
#define PROC_LEN 160 /* room for the longest name of a Unix socket */
#define AGAIN_NS VIGIL_MS(50)

/* An end of a connection; IPv4 as IPv6 has it (RFC 4291, 2.5.5.2), for so has a server that
 * listens for both. */
struct end {
    uint8_t ip[16];
    unsigned port;
};

/* A line of net/tcp or net/tcp6. */
struct row {
    struct end here;
    struct end there;
    unsigned state;
    uint64_t inode;
};

static bool tcp_find(struct process *process, int fd);
static bool tcp_listener(struct process *process, const struct end *server);
static bool unix_find(struct process *process, const vigil_addr *addr);
static bool unix_is(const struct process *process, const char *shown, const vigil_addr *addr);
static bool holds(struct process *process, uint64_t inode);
static FILE *table_open(const struct process *process, const char *name);
static bool row_read(FILE *file, struct row *row);
static void end_read(struct end *end, const char *hex);
static bool end_of(struct end *end, int fd);
static bool end_covers(const struct end *listener, const struct end *end);

const char *listener_look(struct process *process, const struct target *target)
{
    bool found = false;
    process->accepts = false;
    if (target->addr.family == VIGIL_FAMILY_UNIX) {
        found = unix_find(process, &target->addr);
    } else {
        const int fd = target_connect(target);
        found = fd >= 0 && tcp_find(process, fd);
        if (fd >= 0 && !found) {                 /* its side may not have been ready */
            (void)vigil_poll(NULL, 0, AGAIN_NS); /* of nothing: it only waits */
            found = tcp_find(process, fd);
        }
        if (fd >= 0)
            (void)close(fd);
    }
    return found ? NULL : "neither it nor a child of it is who accepts there";
}

static bool tcp_find(struct process *process, int fd)
{
    static const char *const tables[] = { "tcp", "tcp6" };
    struct end client;
    struct row row;
    bool found = false;
    if (!end_of(&client, fd))
        return false;
    for (size_t i = 0; i < 2 && !found; i++) {
        FILE *file = table_open(process, tables[i]);
        while (file && !found && row_read(file, &row))
            found = row.there.port == client.port &&
                    memcmp(row.there.ip, client.ip, sizeof client.ip) == 0 &&
                    tcp_listener(process, &row.here);
        if (file)
            (void)fclose(file);
    }
    return found;
}

static bool tcp_listener(struct process *process, const struct end *server)
{
    static const char *const tables[] = { "tcp", "tcp6" };
    struct row row;
    bool found = false;
    for (size_t i = 0; i < 2; i++) { /* all of them: several may listen at one port */
        FILE *file = table_open(process, tables[i]);
        while (file && row_read(file, &row)) {
            if (row.state == LISTENS && end_covers(&row.here, server) && holds(process, row.inode))
                found = true;
        }
        if (file)
            (void)fclose(file);
    }
    return found;
}

static bool unix_find(struct process *process, const vigil_addr *addr)
{
    char line[LINE_LEN];
    unsigned flags = 0;
    uint64_t inode = 0;
    bool found = false;
    FILE *file = table_open(process, "unix");
    while (file && fgets(line, sizeof line, file)) {
        int name = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %" SCNu64 "%n", &flags, &inode, &name) == 2 &&
            flags & ACCEPTS && line[name] == ' ' && unix_is(process, line + name + 1, addr) &&
            holds(process, inode))
            found = true;
    }
    if (file)
        (void)fclose(file);
    return found;
}

/* The table has a name as it was bound, which may be relative to a directory that the process has
 * left since: then the last part of it must do. */
static bool unix_is(const struct process *process, const char *shown, const vigil_addr *addr)
{
    char path[PROC_LEN];
    struct stat here;
    struct stat there;
    if (addr->path[0] == '\0') {
        size_t i = 0;
        while (i < addr->path_len && shown[i] == (addr->path[i] ? addr->path[i] : '@'))
            i++;
        return i == addr->path_len && shown[i] == '\0';
    }
    if (shown[0] != '/') {
        const char *shown_last = strrchr(shown, '/');
        const char *last = strrchr(addr->path, '/');
        return strcmp(shown_last ? shown_last + 1 : shown, last ? last + 1 : addr->path) == 0;
    }
    (void)snprintf(path, sizeof path, "/proc/%d/root%s", (int)process->pid, shown); /* fits */
    return stat(path, &there) == 0 && stat(addr->path, &here) == 0 && here.st_dev == there.st_dev &&
           here.st_ino == there.st_ino;
}

static bool holds(struct process *process, uint64_t inode)
{
    const bool itself = process_has_socket(process, inode);
    process->accepts = process->accepts || itself;
    return itself || process_family_has_socket(process, inode);
}

static FILE *table_open(const struct process *process, const char *name)
{
    char path[PROC_LEN];
    (void)snprintf(path, sizeof path, "/proc/%d/net/%s", (int)process->pid, name); /* fits */
    return fopen(path, "re");
}

/* The next line that is one. */
static bool row_read(FILE *file, struct row *row)
{
    char line[LINE_LEN];
    char here[33];
    char there[33];
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, " %*[0-9]: %32[0-9A-F]:%x %32[0-9A-F]:%x %x %*s %*s %*s %*s %*s %" SCNu64,
                   here, &row->here.port, there, &row->there.port, &row->state, &row->inode) != 6)
            continue;
        end_read(&row->here, here);
        end_read(&row->there, there);
        return true;
    }
    return false;
}

/* Each 32 bits of an address are shown as a number of this machine. */
static void end_read(struct end *end, const char *hex)
{
    const size_t words = strlen(hex) / 8;
    memset(end->ip, 0, 10);
    memset(end->ip + 10, 0xff, 2);
    for (size_t i = 0; i < words && i < 4; i++) {
        uint32_t word = 0;
        (void)sscanf(hex + 8 * i, "%8" SCNx32, &word); /* they are digits */
        memcpy(end->ip + (words == 1 ? 12 : 4 * i), &word, sizeof word);
    }
}

static bool end_of(struct end *end, int fd)
{
    struct sockaddr_storage name = { 0 };
    socklen_t len = sizeof name;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&name;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&name;
    if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
        return false;
    memset(end->ip, 0, 10);
    memset(end->ip + 10, 0xff, 2);
    if (name.ss_family == AF_INET)
        memcpy(end->ip + 12, &in->sin_addr, 4);
    else
        memcpy(end->ip, &in6->sin6_addr, sizeof end->ip);
    end->port = ntohs(name.ss_family == AF_INET ? in->sin_port : in6->sin6_port);
    return true;
}

static bool end_covers(const struct end *listener, const struct end *end)
{
    static const uint8_t any[16] = { 0 };
    static const uint8_t any_v4[16] = { [10] = 0xff, [11] = 0xff };
    return listener->port == end->port && (memcmp(listener->ip, any, sizeof any) == 0 ||
                                           memcmp(listener->ip, any_v4, sizeof any_v4) == 0 ||
                                           memcmp(listener->ip, end->ip, sizeof any) == 0);
}
