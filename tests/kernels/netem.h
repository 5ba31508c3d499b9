/* SPDX-License-Identifier: MIT
 *
 * netem.h -- loopback as a bad network: what `tc qdisc add dev lo root netem` asks of the kernel,
 * asked by netlink (rtnetlink(7)).
 */
#ifndef VIGIL_TEST_NETEM_H
#define VIGIL_TEST_NETEM_H

#include <errno.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct netem_request {
    struct nlmsghdr head;
    struct tcmsg queue;
    char attributes[256];
};

static void netem_attribute(struct netem_request *request, unsigned short type, const void *p,
                            size_t n)
{
    struct rtattr *attribute = (struct rtattr *)(void *)((char *)request +
                                                         NLMSG_ALIGN(request->head.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(n);
    memcpy(RTA_DATA(attribute), p, n);
    request->head.nlmsg_len = NLMSG_ALIGN(request->head.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

/* Sends the request; the kernel's answer is 0, or -1 with errno. */
static int netem_ask(const struct netem_request *request)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char rest[512];
    } answer = { 0 };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -1;
    ssize_t n = send(fd, request, request->head.nlmsg_len, 0);
    if (n >= 0)
        n = recv(fd, &answer, sizeof(answer), 0);
    close(fd);
    if (n < 0)
        return -1;
    errno = -answer.error.error;
    return answer.error.error == 0 ? 0 : -1;
}

/* Packets on loopback take so long, and so many of a thousand are lost. */
static int netem_on_loopback(long microseconds, long permille)
{
    enum { NS_PER_TICK = 64 }; /* of the kernel's packet schedulers */
    struct tc_netem_qopt options = { .latency = (uint32_t)(microseconds * 1000 / NS_PER_TICK),
                                     .limit = 10000,
                                     .loss = UINT32_MAX / 1000 * (uint32_t)permille };
    struct netem_request request = {
        .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg)),
                  .nlmsg_type = RTM_NEWQDISC,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE },
        .queue = { .tcm_family = AF_UNSPEC,
                   .tcm_ifindex = (int)if_nametoindex("lo"),
                   .tcm_parent = TC_H_ROOT },
    };
    netem_attribute(&request, TCA_KIND, "netem", sizeof("netem"));
    netem_attribute(&request, TCA_OPTIONS, &options, sizeof(options));
    return netem_ask(&request);
}

#endif
