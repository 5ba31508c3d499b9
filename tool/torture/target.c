/* SPDX-License-Identifier: MIT
 *
 * target.c -- finds the server under torture, and makes sockets for it.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define ADDRESSES_MAX 16         /* of one name that are tried, */
#define ANSWER_NS     VIGIL_S(2) /* each for so long */

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* linux/in.h, since 4.2 */
#endif

static bool is_private(const vigil_addr *addr);
static void name_make(struct target *target, const vigil_addr *addr);
static bool answers(const struct target *target);
static bool local_host(const vigil_addr *addr);
static void source_choose(int fd, uint64_t n);

int target_find(struct target *target, const char *where, bool anywhere)
{
    vigil_addr addrs[ADDRESSES_MAX];
    int count = 1;
    int err = vigil_addr_parse(&addrs[0], where);
    if (err == VIGIL_ENOENT)
        err = count = vigil_resolve(where, addrs, ADDRESSES_MAX);
    if (err < 0)
        return err;
    for (int i = 0; i < count; i++) {
        name_make(target, &addrs[i]);
        if (!anywhere && !is_private(&addrs[i]))
            return TARGET_PUBLIC;
    }
    for (int i = 0; i < count; i++) {
        name_make(target, &addrs[i]);
        target->answers = answers(target);
        if (target->answers)
            return 0;
    }
    name_make(target, &addrs[0]);
    return 0;
}

static bool is_private(const vigil_addr *addr)
{
    const uint8_t *ip = addr->ip;
    unsigned family = addr->family;
    if (family == VIGIL_FAMILY_INET6 &&
        IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)ip)) {
        family = VIGIL_FAMILY_INET;
        ip += 12;
    }
    switch (family) {
    case VIGIL_FAMILY_INET:
        return ip[0] == 127 || ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
               (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254) ||
               (ip[0] == 100 && (ip[1] & 0xc0) == 64);
    case VIGIL_FAMILY_INET6:
        return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)ip) ||
               (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
    default:
        return true;
    }
}

int target_socket(const struct target *target, uint64_t n)
{
    int type = SOCK_STREAM;
#ifdef SOCK_CLOEXEC
    type |= SOCK_CLOEXEC;
#endif
    int fd = socket(target->name.ss_family, type, 0);
    if (fd < 0)
        return -1;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* cannot fail for a socket of ours */
    if (local_host(&target->addr))
        source_choose(fd, n);
    return fd;
}

int target_connect(const struct target *target)
{
    int err = 0;
    socklen_t size = sizeof err;
    vigil_pollfd wait = { .fd = target_socket(target, 0), .events = VIGIL_OUT };
    if (wait.fd < 0)
        return -1;
    if (connect(wait.fd, (const struct sockaddr *)&target->name, target->name_len) < 0) {
        err = errno;
        if (err == EINPROGRESS && vigil_poll(&wait, 1, ANSWER_NS) == 1)
            (void)getsockopt(wait.fd, SOL_SOCKET, SO_ERROR, &err, &size); /* cannot fail */
    }
    if (err == 0)
        return wait.fd;
    (void)close(wait.fd);
    return -1;
}

static void name_make(struct target *target, const vigil_addr *addr)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&target->name;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&target->name;
    struct sockaddr_un *un = (struct sockaddr_un *)&target->name;
    target->addr = *addr;
    memset(&target->name, 0, sizeof target->name);
    (void)vigil_addr_format(addr, target->text, sizeof target->text); /* always fits */
    if (addr->family == VIGIL_FAMILY_INET) {
        in->sin_family = AF_INET;
        in->sin_port = htons(addr->port);
        memcpy(&in->sin_addr, addr->ip, sizeof in->sin_addr);
        target->name_len = sizeof *in;
    } else if (addr->family == VIGIL_FAMILY_INET6) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        in6->sin6_scope_id = addr->scope;
        memcpy(&in6->sin6_addr, addr->ip, sizeof in6->sin6_addr);
        target->name_len = sizeof *in6;
    } else {
        /* An abstract name ends where its length says, a path with its 0 (unix(7)). */
        const bool abstract = addr->path[0] == '\0';
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, addr->path, addr->path_len);
        target->name_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + addr->path_len +
                                       !abstract);
    }
}

static bool answers(const struct target *target)
{
    const int fd = target_connect(target);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static bool local_host(const vigil_addr *addr)
{
    return addr->family == VIGIL_FAMILY_INET && addr->ip[0] == 127;
}

/* 64 addresses are enough for what a minute can use up; one that cannot be had does no harm. */
static void source_choose(int fd, uint64_t n)
{
    const int on = 1;
    struct sockaddr_in source = { .sin_family = AF_INET };
    source.sin_addr.s_addr = htonl(0x7f4d0001U + (uint32_t)(n % 64) * 256); /* 127.77.n.1 */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    (void)bind(fd, (const struct sockaddr *)&source, sizeof source);
}
