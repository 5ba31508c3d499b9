/* SPDX-License-Identifier: MIT
 *
 * two_hosts.h -- a world in which nothing is left to chance, with a server's loop on one host and
 * its clients' on another: for what went wrong in simulated worlds.
 */
#ifndef TWO_HOSTS_H
#define TWO_HOSTS_H

#include "test.h"
#include "vigil_sim.h"

struct two_hosts {
    vigil_sim *sim;
    const vigil_host *server_host, *client_host;
    vigil_loop *server, *clients;
};

/* For a row that ends in its midst. */
static void two_hosts_leave(void *arg)
{
    struct two_hosts *two = arg;
    vigil_loop_close(two->clients);
    vigil_loop_close(two->server);
    vigil_sim_close(two->sim);
}

/* The backends by name, or NULL for the world's choice; `link` lies between, NULL is the usual. */
static void two_hosts_open(struct two_hosts *two, const char *server_backend,
                           const char *client_backend, const vigil_sim_link *link)
{
    *two = (struct two_hosts){ 0 };
    REQUIRE(vigil_sim_open(&two->sim, NULL) == 0);
    test_on_leave(two_hosts_leave, two);
    two->server_host = vigil_sim_host(two->sim, "10.0.0.1", NULL);
    two->client_host = vigil_sim_host(two->sim, "10.0.0.2", NULL);
    if (link != NULL)
        EQ_INT(0, vigil_sim_connect_hosts(two->sim, two->server_host, two->client_host, link));
    const vigil_loop_options server = { .host = two->server_host, .backend = server_backend };
    const vigil_loop_options clients = { .host = two->client_host, .backend = client_backend };
    REQUIRE(vigil_loop_open(&two->server, &server) == 0);
    REQUIRE(vigil_loop_open(&two->clients, &clients) == 0);
}

static void two_hosts_run(struct two_hosts *two, vigil_ns for_ns)
{
    REQUIRE(vigil_sim_run_for(two->sim, for_ns) >= 0);
}

/* Everything must have been given back. */
static void two_hosts_close(struct two_hosts *two)
{
    test_on_leave(NULL, NULL);
    vigil_loop_close(two->clients);
    vigil_loop_close(two->server);
    OK(vigil_sim_check_balance(two->sim), "%s", vigil_sim_failure(two->sim));
    vigil_sim_close(two->sim);
}

#endif
