/* SPDX-License-Identifier: MIT
 *
 * backends.c -- which backends there are, and how one is chosen.  Floor: poller.
 */
#include "poller/backend.h"
#include "sys/wait_calls.h"

#include <stdlib.h>
#include <string.h>

const struct vigil__backend *const vigil__backends[] = {
#ifdef VIGIL_KQUEUE
    &vigil__backend_kqueue,
#endif
#ifdef __linux__
    &vigil__backend_io_uring,
    &vigil__backend_epoll,
#endif
#ifdef _WIN32
    &vigil__backend_afd,
#else
    &vigil__backend_poll,
#endif
    &vigil__backend_select, /* this one is everywhere */
    NULL,
};

static int open_first(const struct vigil__backend_config *config,
                      const struct vigil__backend **backend, void **self,
                      struct vigil__backend_caps *found);

VIGIL_COLD int vigil__backend_open(const char *name, const struct vigil__backend_config *config,
                                   const struct vigil__backend **backend, void **self,
                                   struct vigil__backend_caps *found)
{
    if (name == NULL && config->host == vigil__host_system())
        name = getenv("VIGIL_BACKEND"); /* which is about this machine */
    if (name == NULL || name[0] == '\0')
        return open_first(config, backend, self, found);
    for (size_t i = 0; config->host->backends[i] != NULL; i++) {
        *backend = config->host->backends[i];
        if (strcmp((*backend)->name, name) == 0)
            return (*backend)->open(self, config, found);
    }
    return VIGIL_EINVAL;
}

const char *vigil_backend_name(size_t i)
{
    return i < VIGIL_COUNT(vigil__backends) - 1 ? vigil__backends[i]->name : NULL;
}

int vigil_backend_try(const char *name)
{
    if (name == NULL || name[0] == '\0')
        return VIGIL_EINVAL;
    const vigil_host *host = vigil__host_system();
    struct vigil__backend_config config = { .host = host, .allocator = &host->allocator };
    const struct vigil__backend *backend;
    struct vigil__backend_caps found = { 0 };
    void *self;
    int err = vigil__backend_open(name, &config, &backend, &self, &found);
    if (err == 0)
        backend->close(self);
    return err;
}

int vigil_backend_features(const char *name, vigil_feature *out, int max)
{
    if (name == NULL || max < 0 || (max > 0 && out == NULL))
        return VIGIL_EINVAL;
    for (size_t i = 0; vigil__backends[i] != NULL; i++)
        if (strcmp(vigil__backends[i]->name, name) == 0)
            return vigil__backends[i]->features != NULL ? vigil__backends[i]->features(out, max)
                                                        : 0;
    return VIGIL_EINVAL;
}

/* Opens one that nobody asked for by name.  A backend for operations is taken only where it can
 * perform some, and for somebody who has some: by mere readiness it is no better than the next. */
static int open_unasked(const struct vigil__backend *backend, void **self,
                        const struct vigil__backend_config *config,
                        struct vigil__backend_caps *found)
{
    if (backend->submit != NULL && config->pool == NULL)
        return VIGIL_ENOTSUP;
    int err = backend->open(self, config, found);
    if (err < 0 || backend->submit == NULL || found->op_kinds != 0)
        return err;
    backend->close(*self);
    *self = NULL; /* the next one may not open */
    return VIGIL_ENOTSUP;
}

/* Goes on to the next only where one is not to be had here: being out of memory or descriptors is
 * not a reason to take a lesser one for good. */
static int open_first(const struct vigil__backend_config *config,
                      const struct vigil__backend **backend, void **self,
                      struct vigil__backend_caps *found)
{
    int err = VIGIL_ENOTSUP;
    for (size_t i = 0; err == VIGIL_ENOTSUP && config->host->backends[i] != NULL; i++) {
        *backend = config->host->backends[i];
        err = open_unasked(*backend, self, config, found);
    }
    return err;
}
