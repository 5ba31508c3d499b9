/* SPDX-License-Identifier: MIT
 *
 * world.c -- a world from its making to its end: events, time, and whose turn it is.
 * Floor: sim.
 */
#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const vigil_ns time_start = VIGIL_S(1);

static void event_later(struct sim_event *event);

int vigil_sim_open(vigil_sim **out, const vigil_sim_options *options)
{
    const vigil_allocator memory = vigil__host_system()->allocator;
    *out = NULL;
    if (options != NULL && options->choices != NULL && options->bytes != NULL)
        return VIGIL_EINVAL;
    vigil_sim *sim = vigil__alloc(&memory, sizeof(*sim));
    if (sim == NULL)
        return VIGIL_ENOMEM;
    memset(sim, 0, sizeof(*sim));
    sim->memory = memory;
    if (options != NULL)
        sim->options = *options;
    sim->now = time_start;
    vigil__heap_init(&sim->heap, &sim->memory);
    struct vigil__link *lists[] = { &sim->hosts,      &sim->links,     &sim->turners,
                                    &sim->files,      &sim->listeners, &sim->laters,
                                    &sim->invariants, &sim->oracles,   &sim->freed };
    for (size_t i = 0; i < VIGIL_COUNT(lists); i++)
        vigil__list_init(lists[i]);
    if (vigil__sim_choices_init(sim) < 0) {
        vigil_sim_close(sim);
        return VIGIL_ENOMEM;
    }
    vigil__sim_faults_init(sim);
    *out = sim;
    return 0;
}

static void laters_clear(vigil_sim *sim)
{
    while (!vigil__list_empty(&sim->laters)) {
        struct sim_later *later = VIGIL_OWNER(sim->laters.next, struct sim_later, link);
        vigil__list_remove(&later->link);
        vigil__free(&sim->memory, later, sizeof(*later));
    }
}

void vigil_sim_close(vigil_sim *sim)
{
    if (sim == NULL)
        return;
    vigil__sim_files_clear(sim);
    vigil__sim_memory_clear(sim);
    vigil__sim_hosts_clear(sim);
    vigil__sim_oracles_clear(sim);
    laters_clear(sim);
    vigil__sim_choices_clear(sim);
    vigil__heap_clear(&sim->heap);
    vigil__free(&sim->memory, sim->events, sim->event_room * sizeof(struct sim_event *));
    const vigil_allocator memory = sim->memory;
    vigil__free(&memory, sim, sizeof(*sim));
}

vigil_ns vigil_sim_now(const vigil_sim *sim)
{
    return sim->now;
}

/* ---- events ---- */

/* Gives it a number, by which the heap knows it; 0 is nobody's. */
static bool event_enter(vigil_sim *sim, struct sim_event *event)
{
    uint32_t id = sim->event_free > 0 ? sim->event_free : 1;
    while (id < sim->event_room && sim->events[id] != NULL)
        id++;
    if (id >= sim->event_room) {
        uint32_t room = sim->event_room == 0 ? 64 : sim->event_room * 2;
        struct sim_event **events = vigil__resize(&sim->memory, sim->events,
                                                  sim->event_room * sizeof(struct sim_event *),
                                                  room * sizeof(struct sim_event *));
        if (events == NULL)
            return false;
        memset(events + sim->event_room, 0, (room - sim->event_room) * sizeof(struct sim_event *));
        sim->events = events;
        sim->event_room = room;
    }
    sim->events[id] = event;
    sim->event_free = id + 1;
    event->id = id;
    return true;
}

bool vigil__sim_event_at(vigil_sim *sim, struct sim_event *event, vigil_ns at)
{
    if (event->id == 0 && !event_enter(sim, event))
        return false;
    return vigil__heap_set(&sim->heap, event->id, at > sim->now ? at : sim->now);
}

void vigil__sim_event_cancel(vigil_sim *sim, struct sim_event *event)
{
    if (event->id == 0)
        return;
    vigil__heap_remove(&sim->heap, event->id);
    sim->events[event->id] = NULL;
    if (event->id < sim->event_free)
        sim->event_free = event->id;
    event->id = 0;
}

/* Time passes to `to`, and what happens until then happens. */
static void advance(vigil_sim *sim, vigil_ns to)
{
    while (vigil__heap_due(&sim->heap) <= to) {
        struct sim_event *event = sim->events[sim->heap.entries[0].owner];
        if (sim->heap.entries[0].due > sim->now)
            sim->now = sim->heap.entries[0].due;
        vigil__sim_event_cancel(sim, event);
        event->fn(event);
        vigil__sim_moved(sim);
    }
    if (to > sim->now)
        sim->now = to;
    vigil__sim_moved(sim);
}

int vigil_sim_after(vigil_sim *sim, vigil_ns delay_ns, void (*fn)(void *arg), void *arg)
{
    if (delay_ns < 0 || fn == NULL)
        return VIGIL_EINVAL;
    struct sim_later *later = vigil__alloc(&sim->memory, sizeof(*later));
    if (later == NULL)
        return VIGIL_ENOMEM;
    *later = (struct sim_later){ .event.fn = event_later, .sim = sim, .fn = fn, .arg = arg };
    if (!vigil__sim_event_at(sim, &later->event, vigil__time_add(sim->now, delay_ns))) {
        vigil__free(&sim->memory, later, sizeof(*later));
        return VIGIL_ENOMEM;
    }
    vigil__list_append(&sim->laters, &later->link);
    return 0;
}

static void event_later(struct sim_event *event)
{
    struct sim_later *later = VIGIL_OWNER(event, struct sim_later, event);
    struct sim_later is = *later;
    vigil__list_remove(&later->link);
    vigil__free(&is.sim->memory, later, sizeof(*later));
    is.fn(is.arg);
}

/* ---- whose turn it is ---- */

void vigil__sim_turner_add(struct sim_turner *turner)
{
    turner->epoch = turner->host->epoch;
    vigil__list_append(&turner->host->sim->turners, &turner->link);
}

void vigil__sim_turner_remove(struct sim_turner *turner)
{
    vigil__list_remove(&turner->link);
}

bool vigil__sim_turner_dead(const struct sim_turner *turner)
{
    return turner->host->dead || turner->epoch != turner->host->epoch;
}

/* One that is inside a turn already is not turned: it is `self`, who waits. */
static bool can_turn(const struct sim_turner *turner)
{
    return turner->loop != NULL && !turner->host->sim->by_hand && !vigil__sim_turner_dead(turner) &&
           atomic_load_explicit(&turner->loop->owner, memory_order_relaxed) == NULL;
}

/* Until when it sleeps by itself.  Once per sleep it is decided whether it oversleeps. */
static vigil_ns turner_due(vigil_sim *sim, struct sim_turner *turner)
{
    vigil_ns left = vigil_loop_due(turner->loop);
    if (left > 0) {
        turner->late_asked = false;
        return vigil__time_add(left, sim->now);
    }
    if (!turner->late_asked) {
        turner->late_asked = true;
        turner->late_until = sim->now + vigil__sim_oversleep(turner->host);
    }
    return turner->late_until;
}

/* What does not move and takes no time must come to an end. */
static void check_spin(vigil_sim *sim, const struct sim_host *host, int callbacks)
{
    if (sim->progress != sim->spun_at) {
        sim->spun_at = sim->progress;
        sim->idle_turns = sim->idle_calls = 0;
    }
    if (callbacks > 0)
        sim->idle_calls++;
    else
        sim->idle_turns++;
    if (sim->idle_turns > SIM_SPIN_MAX || sim->idle_calls > SIM_SPIN_CALLS_MAX) {
        char where[VIGIL_ADDR_TEXT_MAX];
        vigil_addr_format(&host->address, where, sizeof(where));
        vigil__sim_fail(sim, "no spinning", "a loop of %s turns and turns, and nothing moves",
                        where);
    }
    vigil__sim_oracle_count(sim, "no spinning");
}

/* Turns the one that waited longest, of those that have something to do.  False: none has, and
 * `*next` is when that changes at the latest. */
static bool turn_one(vigil_sim *sim, const struct sim_turner *self, vigil_ns *next)
{
    *next = VIGIL_FOREVER;
    for (struct vigil__link *at = sim->turners.next; at != &sim->turners; at = at->next) {
        struct sim_turner *turner = VIGIL_OWNER(at, struct sim_turner, link);
        if (turner == self || !can_turn(turner))
            continue;
        vigil_ns due = turner_due(sim, turner);
        if (due > sim->now && !turner->answers(turner)) {
            *next = due < *next ? due : *next;
            continue;
        }
        vigil__list_remove(at);
        vigil__list_append(&sim->turners, at); /* it may be gone behind the turn */
        turner->late_asked = false;
        sim->turns++;
        const struct sim_host *host = turner->host;
        int callbacks = vigil_loop_turn(turner->loop, VIGIL_NOWAIT);
        check_spin(sim, host, callbacks);
        if (sim->turners.prev == at) { /* its loop was not closed in there */
            turner->turns += callbacks >= 0;
            turner->callbacks += callbacks > 0 ? (uint64_t)callbacks : 0;
            vigil__sim_check_fair(turner);
        }
        return true;
    }
    vigil_ns event = vigil__heap_due(&sim->heap); /* an answer may have added one */
    *next = event < *next ? event : *next;
    return false;
}

static bool step(vigil_sim *sim, const struct sim_turner *self, vigil_ns deadline)
{
    vigil_ns next;
    if (!turn_one(sim, self, &next)) {
        next = next < deadline ? next : deadline;
        if (next == VIGIL_FOREVER)
            return false;
        vigil__sim_check_blocked(sim);
        advance(sim, next);
    }
    vigil__sim_invariants_check(sim);
    return true;
}

/* To a loop that waits, all that goes on meanwhile is another thread. */
bool vigil__sim_step(vigil_sim *sim, const struct sim_turner *self, vigil_ns deadline)
{
    if (self == NULL || self->loop == NULL)
        return step(sim, self, deadline);
    const void *owner = atomic_exchange(&self->loop->owner, (const void *)sim);
    vigil__posts_turner(self->loop, sim);
    bool more = step(sim, self, deadline);
    vigil__posts_turner(self->loop, owner);
    atomic_store(&self->loop->owner, owner);
    return more;
}

int vigil_sim_run_while(vigil_sim *sim, bool (*goes_on)(void *arg), void *arg, vigil_ns until_ns)
{
    while (sim->failed_oracle == NULL) {
        if (goes_on != NULL && !goes_on(arg))
            return 0;
        vigil_ns next;
        if (!turn_one(sim, NULL, &next)) {
            vigil__sim_check_blocked(sim);
            if (next == VIGIL_FOREVER)
                return 1;
            advance(sim, next < until_ns ? next : until_ns);
            if (sim->now >= until_ns)
                return 0;
        }
        vigil__sim_invariants_check(sim);
    }
    return VIGIL_ECANCELED;
}

int vigil_sim_run(vigil_sim *sim, vigil_ns until_ns)
{
    return vigil_sim_run_while(sim, NULL, NULL, until_ns);
}

int vigil_sim_run_for(vigil_sim *sim, vigil_ns duration_ns)
{
    return vigil_sim_run(sim, vigil__time_add(duration_ns > 0 ? duration_ns : 0, sim->now));
}

/* ---- the story ---- */

enum { STORY_MAX = 512 };

double vigil__sim_story_ms(vigil_ns at)
{
    return (double)(at - time_start) / (double)VIGIL_MS(1);
}

static void tell(vigil_sim *sim, const char *who, const char *format, va_list args)
{
    char line[STORY_MAX];
    int n = snprintf(line, sizeof(line), "%12.6f ms  %s%s", vigil__sim_story_ms(sim->now), who,
                     who[0] != '\0' ? ": " : "");
    n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
    size_t len = vigil__min((size_t)n, sizeof(line) - 2);
    line[len] = '\n';
    sim->options.story(sim->options.story_arg, line, len + 1);
}

/* An address as a story tells it, cut to `size`. */
static void name_address(const vigil_addr *addr, char *text, size_t size)
{
    if (addr->family == VIGIL_FAMILY_NONE)
        snprintf(text, size, "-");
    else
        vigil_addr_format(addr, text, size);
}

void vigil__sim_story(vigil_sim *sim, const struct sim_host *host, const char *format, ...)
{
    char who[96] = "";
    va_list args;
    if (sim->options.story == NULL)
        return;
    if (host != NULL) {
        name_address(&host->address, who, sizeof(who));
        char *port = strrchr(who, ':'); /* of a host there is none */
        if (port != NULL)
            *port = '\0';
    }
    va_start(args, format);
    tell(sim, who, format, args);
    va_end(args);
}

void vigil_sim_tell(vigil_sim *sim, const char *format, ...)
{
    va_list args;
    if (sim->options.story == NULL)
        return;
    va_start(args, format);
    tell(sim, "", format, args);
    va_end(args);
}

void vigil__sim_story_file(const struct sim_file *file, const char *format, ...)
{
    char local[96], remote[96], who[200];
    va_list args;
    if (file->sim->options.story == NULL)
        return;
    name_address(&file->local, local, sizeof(local));
    name_address(&file->remote, remote, sizeof(remote));
    snprintf(who, sizeof(who), "%s (with %s)", local, remote);
    va_start(args, format);
    tell(file->sim, who, format, args);
    va_end(args);
}
