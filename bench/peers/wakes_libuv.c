/* SPDX-License-Identifier: MIT
 *
 * wakes_libuv.c -- wake-ups of libuv: uv_async_send(), which carries nothing. */
#define _GNU_SOURCE
#include <uv.h>

#include "../wakes.h"

static uv_loop_t *loop;
static uv_async_t async;

static void on_wake(uv_async_t *handle)
{
    wake_served();
    if (wakes_served == ROUND_TRIPS)
        uv_close((uv_handle_t *)handle, NULL);
}

static void loop_open(void)
{
    loop = uv_default_loop();
    if (!loop || uv_async_init(loop, &async, on_wake) < 0)
        exit(1);
}

static void loop_wake(void)
{
    if (uv_async_send(&async) < 0)
        exit(1);
}

static void loop_serve(void)
{
    if (uv_run(loop, UV_RUN_DEFAULT) != 0)
        exit(1);
}

int main(void)
{
    measure_round_trips();
    return 0;
}
