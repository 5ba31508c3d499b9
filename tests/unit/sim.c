/* SPDX-License-Identifier: MIT
 *
 * sim.c -- what vigil_sim.h says of its calls: what they answer, what they refuse, what is the same
 * the second time, and what becomes of a trace that fails.
 */
#include <string.h>

#include "test.h"
#include "vigil_sim.h"

static vigil_sim *world(const vigil_sim_options *options)
{
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, options) == 0);
    return sim;
}

static void nothing(void *arg)
{
    (void)arg;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

static void set(void *arg)
{
    *(bool *)arg = true;
}

TEST(hosts_have_numeric_addresses_of_their_own)
{
    static const struct {
        const char *address;
        bool good;
    } rows[] = {
        { "10.0.0.1", true }, { "fd00::1", true },   { "10.0.0", false },
        { "", false },        { "somebody", false }, { "10.0.0.2:7", false },
        { "unix:/x", false }, { NULL, false },       { "10.0.0.9", false },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        vigil_sim *sim = world(NULL);
        OK(vigil_sim_host(sim, "10.0.0.9", NULL) != NULL);
        const vigil_host *host = vigil_sim_host(sim, rows[i].address, NULL);
        REQUIRE(host != NULL, "a loop would run on this machine");
        vigil_loop *loop;
        EQ_INT(rows[i].good ? 0 : VIGIL_EINVAL,
               vigil_loop_open(&loop, &(vigil_loop_options){ .host = host }), "%s",
               rows[i].address);
        vigil_loop_close(loop);
        EQ_INT(rows[i].good, vigil_sim_check_balance(sim), "%s", rows[i].address);
        OK(rows[i].good == (vigil_sim_failure(sim) == NULL), "%s", rows[i].address);
        EQ_INT(rows[i].good ? 1 : VIGIL_ECANCELED, vigil_sim_run_for(sim, 1), "%s",
               rows[i].address);
        vigil_sim_close(sim);
    }
}

/* What stands for a host that could not be made takes every call, and does nothing. */
TEST(no_host_of_the_world_is_harmless)
{
    vigil_sim *sim = world(NULL);
    vigil_sim *other = world(NULL);
    const vigil_host *rows[] = { NULL, vigil_sim_host(other, "10.0.0.1", NULL),
                                 vigil_sim_host(sim, "nowhere", NULL) };
    const vigil_host *good = vigil_sim_host(sim, "10.0.0.1", NULL);
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        vigil_fd fds[2];
        vigil_sim_kill(sim, rows[i]);
        vigil_sim_restart(sim, rows[i]);
        vigil_sim_may_kill(sim, rows[i], nothing, NULL);
        vigil_sim_signal(sim, rows[i], 15);
        vigil_sim_close_fd(sim, rows[i], 0);
        OK(!vigil_sim_excused(sim, rows[i], 0));
        EQ_INT(VIGIL_EINVAL, vigil_sim_pair(sim, rows[i], fds), "%zu", i);
        EQ_INT(VIGIL_EINVAL, vigil_sim_pipe(sim, rows[i], fds), "%zu", i);
        EQ_INT(VIGIL_EINVAL, vigil_sim_file(sim, rows[i], "", 0, fds), "%zu", i);
        EQ_INT(VIGIL_EINVAL, vigil_sim_partition(sim, good, rows[i]), "%zu", i);
        EQ_INT(VIGIL_EINVAL, vigil_sim_heal(sim, rows[i], good), "%zu", i);
    }
    vigil_sim_close(other);
    vigil_sim_close(sim);
}

TEST(bad_arguments_are_refused)
{
    vigil_sim *sim = world(NULL);
    vigil_sim *other = world(NULL);
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    const vigil_host *far = vigil_sim_host(other, "10.0.0.1", NULL);
    const vigil_sim_link back = { .latency_ns = -1 };
    const vigil_sim_link slow = { .latency_ns = VIGIL_S(1) };
    EQ_INT(0, vigil_sim_connect_hosts(sim, a, b, &slow));
    EQ_INT(0, vigil_sim_connect_hosts(sim, a, a, &slow));
    EQ_INT(VIGIL_EINVAL, vigil_sim_connect_hosts(sim, a, b, &back));
    EQ_INT(VIGIL_EINVAL, vigil_sim_connect_hosts(sim, a, b, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_sim_connect_hosts(sim, a, far, &slow));
    EQ_INT(VIGIL_EINVAL, vigil_sim_partition(sim, NULL, b));
    EQ_INT(VIGIL_EINVAL, vigil_sim_heal(sim, far, b));
    EQ_INT(VIGIL_EINVAL, vigil_sim_after(sim, -1, nothing, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_sim_after(sim, 0, NULL, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_sim_invariant(sim, "nobody", NULL, NULL));
    vigil_sim_fail_call(sim, a, VIGIL_SIM_CALL_COUNT, 1, VIGIL_ENOMEM, true); /* does nothing */
    EQ_INT(0, vigil_sim_calls(sim, NULL, VIGIL_SIM_CALL_COUNT));
    EQ_INT(0, vigil_sim_hits(sim, VIGIL_SIM_FAULT_COUNT));
    EQ_STR(NULL, vigil_sim_fault_name(VIGIL_SIM_FAULT_COUNT));
    EQ_STR(NULL, vigil_sim_fault_text(VIGIL_SIM_FAULT_COUNT));
    EQ_STR("RESET", vigil_sim_fault_name(VIGIL_SIM_RESET));
    vigil_sim_close(other);
    vigil_sim_close(sim);
    vigil_sim_close(NULL);
}

TEST(running_answers_why_it_ends)
{
    vigil_sim *sim = world(NULL);
    bool there = false;
    EQ_INT(VIGIL_S(1), vigil_sim_now(sim));
    EQ_INT(1, vigil_sim_run(sim, VIGIL_S(60)), "nothing is left");
    EQ_INT(0, vigil_sim_after(sim, VIGIL_S(3600), set, &there));
    EQ_INT(0, vigil_sim_run(sim, VIGIL_S(60)), "the time has come");
    EQ_INT(VIGIL_S(60), vigil_sim_now(sim));
    EQ_INT(0, vigil_sim_run_while(sim, never, NULL, VIGIL_FOREVER), "it is not to go on");
    EQ_INT(0, vigil_sim_eventually(sim, "an hour", is_set, &there, VIGIL_S(3600)));
    EQ_INT(VIGIL_S(3601), vigil_sim_now(sim));
    EQ_INT(0, vigil_sim_after(sim, VIGIL_S(10), set, &there));
    EQ_INT(0, vigil_sim_run_for(sim, VIGIL_S(5)), "the time has passed");
    EQ_INT(VIGIL_S(3606), vigil_sim_now(sim));
    EQ_INT(0, vigil_sim_run_for(sim, -1), "no time is to pass");
    EQ_INT(1, vigil_sim_run_for(sim, VIGIL_FOREVER), "nothing is left");
    EQ_INT(VIGIL_S(3611), vigil_sim_now(sim));
    OK(vigil_sim_check_balance(sim));
    EQ_STR(NULL, vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

TEST(what_fails_first_is_told)
{
    vigil_sim *sim = world(NULL);
    OK(vigil_sim_always(sim, "first", true, "%d", 1));
    EQ_INT(VIGIL_ETIMEDOUT, vigil_sim_eventually(sim, "never", never, NULL, VIGIL_S(1)));
    OK(!vigil_sim_always(sim, "second", false, "%d", 2));
    OK(strncmp(vigil_sim_failure(sim), "never: ", 7) == 0, "%s", vigil_sim_failure(sim));
    EQ_INT(VIGIL_ECANCELED, vigil_sim_run(sim, VIGIL_S(60)));
    OK(!vigil_sim_check_balance(sim));
    vigil_sim_close(sim);

    sim = world(NULL);
    EQ_INT(0, vigil_sim_invariant(sim, "no more", never, NULL));
    EQ_INT(0, vigil_sim_after(sim, 0, nothing, NULL));
    EQ_INT(VIGIL_ECANCELED, vigil_sim_run(sim, VIGIL_S(60)));
    OK(strncmp(vigil_sim_failure(sim), "no more: ", 9) == 0, "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

static void note_line(void *arg, const char *text, size_t len)
{
    char *line = arg;
    REQUIRE(len < 100);
    memcpy(line, text, len);
    line[len] = '\0';
}

TEST(a_line_of_ones_own_stands_in_the_story)
{
    char line[100] = "";
    vigil_sim *sim = world(&(vigil_sim_options){ .story = note_line, .story_arg = line });
    uint64_t hash = vigil_sim_hash(sim);
    vigil_sim_tell(sim, "client %d asks", 3);
    EQ_STR("    0.000000 ms  client 3 asks\n", line);
    EQ_INT(hash, vigil_sim_hash(sim));
    vigil_sim_close(sim);

    sim = world(NULL);
    vigil_sim_tell(sim, "nobody hears %s", "this");
    vigil_sim_close(sim);
}

TEST(choices_given_again_are_the_same_run)
{
    vigil_sim *sim = world(&(vigil_sim_options){ .seed = 7 });
    uint32_t first[100], copy[1000];
    const uint32_t *made;
    for (int i = 0; i < 100; i++)
        first[i] = vigil_sim_choose(sim, "mine", 1000);
    uint64_t hash = vigil_sim_hash(sim);
    size_t count = vigil_sim_choices(sim, &made);
    REQUIRE(count >= 100 && count <= 1000);
    EQ_STR("mine", vigil_sim_choice_label(sim, count - 1));
    EQ_STR(NULL, vigil_sim_choice_label(sim, count));
    memcpy(copy, made, count * sizeof(*copy));
    vigil_sim_close(sim);

    sim = world(&(vigil_sim_options){ .choices = copy, .choice_count = count });
    for (int i = 0; i < 100; i++)
        EQ_INT(first[i], vigil_sim_choose(sim, "mine", 1000), "%d", i);
    EQ_INT(hash, vigil_sim_hash(sim));
    EQ_INT(0, vigil_sim_choose(sim, "behind the last", 1000));
    EQ_INT(0, vigil_sim_choose(sim, "no choice", 1));
    vigil_sim_close(sim);
}

/* A fuzzer's: any will do, and one changed byte reaches every number. */
TEST(bytes_are_choices)
{
    const uint8_t bytes[] = { ' ', 'x', 0, 255, ' ' };
    bool seen[20] = { false };
    const vigil_sim_options options = { .bytes = bytes, .byte_count = sizeof(bytes) };
    const uint32_t *made;
    vigil_sim *sim = world(&options);
    (void)vigil_sim_choose(sim, "mine", 1000);
    size_t count = vigil_sim_choices(sim, &made);
    REQUIRE(count >= 5);
    EQ_INT(0, made[0]);
    EQ_INT(0, made[count - 1], "behind the last byte");
    vigil_sim_close(sim);
    for (int byte = 0; byte < 256; byte++) {
        uint8_t all[1000];
        memset(all, byte, sizeof(all));
        sim = world(&(vigil_sim_options){ .bytes = all, .byte_count = sizeof(all), .calm = true });
        seen[vigil_sim_choose(sim, "mine", 20)] = true;
        vigil_sim_close(sim);
    }
    for (size_t i = 0; i < TEST_COUNT(seen); i++)
        OK(seen[i], "%zu", i);
    const uint32_t numbers[] = { 1 };
    const vigil_sim_options both = { .bytes = bytes, .choices = numbers };
    EQ_INT(VIGIL_EINVAL, vigil_sim_open(&sim, &both));
    OK(sim == NULL);
}

/* A world makes room for more choices than it had any for at first, and reads on. */
TEST(bytes_last_for_thousands_of_choices)
{
    uint8_t bytes[3000];
    memset(bytes, 'x', sizeof(bytes));
    vigil_sim *sim = world(&(vigil_sim_options){ .bytes = bytes, .byte_count = sizeof(bytes) });
    uint32_t first = 0;
    for (int i = 0; i < 2000; i++) {
        uint32_t made = vigil_sim_choose(sim, "mine", 1 << 20);
        first = i == 0 ? made : first;
        EQ_INT(first, made, "%d", i);
    }
    vigil_sim_close(sim);
}

/* Fails when three choices among many are what it takes; `arg` counts the runs. */
static void three_of_many(vigil_sim *sim, void *arg)
{
    int fits = 0;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t value = vigil_sim_choose(sim, i % 2 == 0 ? "even" : "odd", 10);
        fits += (i == 50 || i == 101 || i == 202) && value >= 5;
    }
    vigil_sim_always(sim, "not all three", fits < 3, "%d", fits);
    ++*(unsigned *)arg;
}

static unsigned count_set(const uint32_t *choices, size_t count)
{
    unsigned set = 0;
    for (size_t i = 0; i < count; i++)
        set += choices[i] != 0;
    return set;
}

/* The same, when the first of these choices and one more are what it takes. */
static void two_of_even(vigil_sim *sim, void *arg)
{
    int fits = 0;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t value = vigil_sim_choose(sim, i % 2 == 0 ? "even" : "odd", 10);
        fits += (i == 0 || i == 298) && value >= 5;
    }
    vigil_sim_always(sim, "not both", fits < 2, "%d", fits);
    ++*(unsigned *)arg;
}

TEST(a_trace_gets_as_small_as_the_failure_allows)
{
    uint32_t choices[1000];
    size_t count = 0;
    unsigned runs = 0;
    for (uint64_t seed = 1; count == 0; seed++) { /* one in eight fails */
        vigil_sim *sim = world(&(vigil_sim_options){ .seed = seed });
        const uint32_t *made;
        three_of_many(sim, &runs);
        if (vigil_sim_failure(sim) != NULL) {
            count = vigil_sim_choices(sim, &made);
            REQUIRE(count <= 1000);
            memcpy(choices, made, count * sizeof(*choices));
        }
        vigil_sim_close(sim);
        REQUIRE(seed < 1000);
    }
    runs = 0;
    size_t left = vigil_sim_shrink(three_of_many, &runs, choices, count, 5000);
    EQ_INT(3, count_set(choices, left));
    OK(left < count && runs <= 5000, "%zu of %zu, %u runs", left, count, runs);
    vigil_sim *sim = world(&(vigil_sim_options){ .choices = choices, .choice_count = left });
    three_of_many(sim, &runs);
    EQ_STR("not all three: 3", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

static void first_of_many_labels(vigil_sim *sim, void *arg)
{
    static const char labels[26][2] = { "a", "b", "c", "d", "e", "f", "g", "h", "i",
                                        "j", "k", "l", "m", "n", "o", "p", "q", "r",
                                        "s", "t", "u", "v", "w", "x", "y", "z" };
    bool fits = false;
    (void)arg;
    for (uint32_t i = 0; i < 300; i++)
        fits = (vigil_sim_choose(sim, labels[i % TEST_COUNT(labels)], 10) >= 5 && i == 0) || fits;
    vigil_sim_always(sim, "not the first", !fits, "it is");
}

/* One by one, or in pieces between which others stand, they would take hundreds of runs. */
TEST(choices_of_one_label_are_zeroed_together)
{
    enum { FIRST = VIGIL_SIM_FAULT_COUNT, MADE = FIRST + 300, RUNS = 30 };
    uint32_t choices[MADE] = { 0 };
    unsigned runs = 0;
    for (size_t i = FIRST; i < MADE; i++) /* in front stands which kinds of fault are on */
        choices[i] = 9;
    size_t left = vigil_sim_shrink(two_of_even, &runs, choices, MADE, RUNS);
    OK(runs <= RUNS, "%u", runs);
    for (size_t i = FIRST + 1; i < left; i += 2)
        OK(choices[i] == 0, "%zu", i);
}

/* What stands behind the last that matters goes at once, whatever it is about. */
TEST(the_end_of_a_trace_is_cut_first)
{
    enum { FIRST = VIGIL_SIM_FAULT_COUNT, MADE = FIRST + 300, RUNS = 25 };
    uint32_t choices[MADE] = { 0 };
    for (size_t i = FIRST; i < MADE; i++)
        choices[i] = 9;
    size_t left = vigil_sim_shrink(first_of_many_labels, NULL, choices, MADE, RUNS);
    OK(left <= FIRST + 2, "%zu", left);
}

/* Goes on as long as it is told to; fails when one of the steps is the seventh kind. */
static void step_after_step(vigil_sim *sim, void *arg)
{
    bool fits = false;
    (void)arg;
    for (int i = 0; i < 100 && vigil_sim_choose(sim, "another step", 2) != 0; i++)
        fits = vigil_sim_choose(sim, "kind", 8) == 7 || fits;
    vigil_sim_always(sim, "no seventh", !fits, "one");
}

TEST(what_only_leads_to_the_failure_is_deleted)
{
    enum { FIRST = VIGIL_SIM_FAULT_COUNT, STEPS = 51, MADE = FIRST + 2 * STEPS };
    uint32_t choices[MADE] = { 0 };
    for (size_t i = FIRST; i < MADE; i += 2)
        choices[i] = 1;
    choices[MADE - 1] = 7;
    size_t left = vigil_sim_shrink(step_after_step, NULL, choices, MADE, 5000);
    EQ_INT(FIRST + 2, left);
    EQ_INT(2, count_set(choices, left));
}

static void one_or_the_other(vigil_sim *sim, void *arg)
{
    uint32_t value = vigil_sim_choose(sim, "value", 10);
    (void)arg;
    vigil_sim_always(sim, "below 5", value < 5, "%u", value);
    vigil_sim_always(sim, "above 0", value > 0, "%u", value);
}

TEST(a_trace_that_fails_otherwise_is_not_taken)
{
    uint32_t choices[VIGIL_SIM_FAULT_COUNT + 1] = { 0 };
    choices[VIGIL_SIM_FAULT_COUNT] = 7;
    size_t left = vigil_sim_shrink(one_or_the_other, NULL, choices, TEST_COUNT(choices), 5000);
    EQ_INT(TEST_COUNT(choices), left);
    EQ_INT(7, choices[VIGIL_SIM_FAULT_COUNT]);
}

TEST(a_trace_that_passes_stays_as_it_is)
{
    uint32_t choices[] = { 1, 2, 0 };
    unsigned runs = 0;
    EQ_INT(3, vigil_sim_shrink(three_of_many, &runs, choices, 3, 100));
    EQ_INT(1, runs);
    OK(choices[0] == 1 && choices[1] == 2 && choices[2] == 0);
}
