# SPDX-License-Identifier: MIT
#
# Makefile -- builds, tries, measures and installs vigil, a library and a command for waiting on
# I/O.  `make help` lists the targets.
#
# No configure step.  Files are found by wildcards: adding one needs no edit here.  Everything
# built goes below B; a change of compiler or flags rebuilds what it concerns.

CC      = cc
CFLAGS  = -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
LDFLAGS =
STATIC  =# STATIC=-static links programs that need no shared library
WERROR  = -Werror# WERROR= keeps a newer compiler's new warnings from stopping the build
B       = build
JOBS    = $(shell nproc 2>/dev/null || echo 2)
V       =# V=1 shows every command

DESTDIR    =
PREFIX     = /usr/local
BINDIR     = $(PREFIX)/bin
LIBDIR     = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR     = $(PREFIX)/share/man

VERSION := $(shell sed -n 's/^.define VIGIL_VERSION_[A-Z]* *//p' include/vigil.h | paste -sd.)
SONAME  := libvigil.so.$(firstword $(subst ., ,$(VERSION)))

STRICT    = -std=c11 -pthread -Wall -Wextra -Wconversion -Wshadow $(WERROR)
LIB_FLAGS = $(STRICT) -D_GNU_SOURCE -Iinclude -Isrc -fPIC -fvisibility=hidden \
            -ftls-model=initial-exec
PUBLIC_FLAGS = $(STRICT) -Iinclude# what is built on the library: the API is enough
TEST_FLAGS   = $(STRICT) -D_GNU_SOURCE -Iinclude -Isrc -Itests

LIB_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard $(addprefix src/,$(addsuffix /*.c, \
            base sys poller loop conn)))) $(MODEL:%=$(B)/tests/model/%.o) \
            $(if $(MODEL),$(B)/tests/model/knotes.o)
SIM_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard src/sim/*.c))
TOOL_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tool/*.c tool/torture/*.c tool/torture/hazards/*.c))
EXAMPLES := $(patsubst %.c,$(B)/examples/%,$(notdir $(wildcard examples/*.c examples/tutorial/*.c)))
BENCHES  := $(patsubst %.c,$(B)/%,$(wildcard bench/*.c bench/instructions/*.c))
PEERS    := $(patsubst bench/peers/%,$(B)/bench/%,$(basename $(wildcard bench/peers/*.*)))
UNIT     := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*.c))
CALLS    := $(patsubst %.c,$(B)/%.o,$(filter-out %/kernels.c %/kernels_real.c, \
            $(wildcard tests/model/calls/*.c)) tests/model/knotes.c)
KERNELS_OBJ := $(patsubst %,$(B)/tests/model/%.o,kevent calls/kernels calls/kernels_real)
MODELLED := $(patsubst %.c,$(B)/%,$(wildcard tests/model/worlds/*.c))
COMPARED := $(filter %/compare %/compare_uring %/compare_kqueue,$(MODELLED))
ON_KERNELS := $(filter-out %/compare_kqueue,$(COMPARED))# that of kevent() has no kernel here
IN_WORLDS := $(filter-out $(COMPARED),$(MODELLED)) $(B)/tests/model/worlds/sim
SCENES   := $(patsubst %.c,$(B)/%.o,$(filter-out %/main.c,$(wildcard tests/sim/*.c)))
MODELS   := $(patsubst %.c,$(B)/%,$(filter-out \
            %/kevent.c %/knotes.c,$(wildcard tests/model/*.c)))
CONFORM  := $(patsubst %.c,$(B)/%,$(wildcard tests/conform/*.c)) \
            $(B)/tests/conform/select_call_by_poll
REGRESS  := $(patsubst %.c,$(B)/%,$(wildcard tests/regress/*.c))
HELPERS  := $(patsubst %.c,$(B)/%,$(wildcard tests/battery/*.c))
KNOWN    := $(patsubst %.c,$(B)/%,$(filter-out %/server.c,$(wildcard tests/torture/*.c)))
TARGETS  := $(filter-out replay,$(basename $(notdir $(wildcard fuzz/*.c))))
FUZZERS  := $(TARGETS:%=$(B)/fuzz/%)
TESTS    := $(UNIT) $(CONFORM) $(REGRESS)
FAULTS   := $(patsubst %.c,$(B)/%,$(wildcard tests/fault/fail_*.c))
ORDERS   := $(patsubst %.c,$(B)/%,$(wildcard tests/threads/*.c))
THREADED := $(patsubst %.c,$(B)/%,$(shell grep -lsE 'pthread_create|in_thread|write_later' \
            $(TESTS:$(B)/%=%.c) /dev/null))
BY_BACKEND := $(patsubst %.c,$(B)/%,$(shell grep -ls ^CONFORM $(TESTS:$(B)/%=%.c) /dev/null))
LIBS     := $(B)/libvigil.a $(B)/libvigil.so $(B)/libvigil_sim.a

# The conformance suite in virtual time: those of its programs that are about loops.
,          := ,
WRAPPED   := vigil__host_system vigil__call_check_fd# the world answers for the system
WORLD_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/virtual/*.c))
VIRTUAL   := $(patsubst tests/conform/%.c,$(B)/tests/virtual/%,$(filter-out \
             $(addprefix tests/conform/,uring%.c wait_calls.c poll_call.c select_call.c \
             %_windows.c), $(wildcard tests/conform/*.c))) \
             $(patsubst tests/regress/%.c,$(B)/tests/virtual/regress/%,$(filter-out \
             %/large_file.c,$(shell grep -LE 'vigil_sim|sim/|poller/|/uring_' tests/regress/*.c)))

# ---- building --------------------------------------------------------------------------------

Q   = $(if $(V),,@)
say = @$(if $(V),:,echo '  $1  $@')

all: $(LIBS) $(B)/vigil $(EXAMPLES)  ## build the command, the libraries and the examples

everything: all $(TESTS) $(HELPERS) $(BENCHES)  ## all, and the tests' and benchmarks' programs
everything: $(FUZZERS) $(FAULTS) $(ORDERS) $(MODELLED) $(IN_WORLDS) $(B)/tests/sim/sim
everything: $(KNOWN) $(B)/tests/runner/fails

$(B)/libvigil.a: $(LIB_OBJ)
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/libvigil_sim.a: $(SIM_OBJ)
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/libvigil.so.$(VERSION): $(LIB_OBJ)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-soname,$(SONAME) \
	    -Wl,-z,noseparate-code -o $@ $^ # whole pages of padding, else

$(B)/libvigil.so: $(B)/libvigil.so.$(VERSION)
	$(Q)ln -sf $(<F) $(B)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

$(B)/vigil: $(TOOL_OBJ) $(B)/libvigil.a
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(STATIC) -pthread -o $@ $^

# What runs seldom is built to be small, where the rest is built to be quick.
SELDOM = $(addprefix $(B)/src/,base/status.o sys/addr.o sys/signals.o poller/epoll_files.o \
         poller/uring_trial.o loop/signals.o conn/connect.o conn/info.o conn/limits.o conn/memory.o)

$(B)/src/%.o: src/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LIB_FLAGS) $(CPPFLAGS) $(if $(filter $(SELDOM),$@),$(CFLAGS:-O2=-Os),$(CFLAGS)) \
	    -MMD -MP -c -o $@ $<

$(B)/tests/model/%.o: tests/model/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(TEST_FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tool/%.o: tool/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(PUBLIC_FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A client that is hostile to a server asks the system for what no standard has.
$(B)/tool/cmd_torture.o $(B)/tool/torture/%.o: PUBLIC_FLAGS += -D_GNU_SOURCE

# A program of one source file: $(call program,FLAGS).  SIM: the library it needs besides.
define program
@mkdir -p $(@D)
$(call say,CC)
$(Q)$(CC) $1 $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -MT $@ $(LDFLAGS) \
    $(STATIC) -o $@ $< $(SIM) $(B)/libvigil.a
endef

$(B)/examples/%: examples/%.c $(B)/libvigil.a
	$(call program,$(PUBLIC_FLAGS))

$(B)/examples/sim_echo: SIM = $(B)/libvigil_sim.a
$(B)/examples/sim_echo: $(B)/libvigil_sim.a

# Callbacks of few statements leave parameters unused.
$(B)/examples/echo $(B)/examples/sim_echo: PUBLIC_FLAGS += -Wno-unused-parameter

$(B)/examples/%: examples/tutorial/%.c $(B)/libvigil.a
	$(call program,$(PUBLIC_FLAGS))

$(B)/bench/%: bench/%.c $(B)/libvigil.a
	$(call program,$(PUBLIC_FLAGS))

# The same server on the shared library, for what it takes to load that.
$(B)/bench/vigil_shared: bench/vigil.c $(B)/libvigil.so
	$(call say,CC)
	$(Q)$(CC) $(PUBLIC_FLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) '-Wl,-rpath,$$ORIGIN/..' -o $@ $^

# The peers are no part of `everything`: the library and its tests need none of their packages.
$(PEERS): $(wildcard bench/peers/* bench/*.h) $(B)/flags $(B)/bench/packages
	$(call say,PEER)
	$(Q)CC='$(CC)' CFLAGS='$(CFLAGS)' LDFLAGS='$(LDFLAGS)' bench/peers/build $@ \
	    $(wildcard bench/peers/$(@F).*)

# Its functions stand in place of the C library's, whose headers would put checks into them.
$(B)/bench/counts/driven.so: bench/counts/driven.c bench/counts/marks.h $(B)/flags
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(STRICT) $(CFLAGS) -U_FORTIFY_SOURCE -fPIC -shared $(LDFLAGS) -o $@ $< -ldl

$(B)/bench/counts/tracer: bench/counts/tracer.c bench/counts/marks.h $(B)/libvigil.a
	$(call program,$(PUBLIC_FLAGS))

$(B)/bench/packages: always
	@mkdir -p $(@D)
	@CC='$(CC)' bench/peers/build --packages >$@.now
	@cmp -s $@.now $@ && rm $@.now || mv $@.now $@

$(B)/tests/battery/%: tests/battery/%.c $(B)/libvigil.a
	$(call program,$(PUBLIC_FLAGS))

# On models of the calls that wait, and of what a simulated host offers: linked first, so that the
# libraries' own are not taken.
$(MODELLED): SIM = $(CALLS) $(B)/libvigil_sim.a
$(MODELLED): $(CALLS)
$(COMPARED): SIM = $(CALLS) $(KERNELS_OBJ) $(B)/libvigil_sim.a
$(COMPARED): $(KERNELS_OBJ)
$(CALLS) $(KERNELS_OBJ) $(COMPARED): TEST_FLAGS += -DVIGIL_KQUEUE_MODEL -Itests/model/include

$(B)/tests/virtual/%.o: tests/virtual/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(TEST_FLAGS) -DTEST_VIRTUAL $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(VIRTUAL): SIM = $(WORLD_OBJ) $(B)/libvigil_sim.a $(patsubst %,-Wl$(,)--wrap=%,$(WRAPPED))
$(B)/tests/virtual/%: tests/conform/%.c $(WORLD_OBJ) $(B)/libvigil_sim.a $(B)/libvigil.a
	$(call program,$(TEST_FLAGS) -DTEST_VIRTUAL -Wno-unused-function)

$(B)/tests/virtual/regress/%: tests/regress/%.c $(WORLD_OBJ) $(B)/libvigil_sim.a $(B)/libvigil.a
	$(call program,$(TEST_FLAGS) -DTEST_VIRTUAL -Wno-unused-function)

$(B)/tests/%: SIM = $(B)/libvigil_sim.a
$(B)/tests/%: tests/%.c $(B)/libvigil_sim.a $(B)/libvigil.a
	$(call program,$(TEST_FLAGS))

# A world asks the machine for its own memory, which is made to fail.
$(B)/tests/unit/sim_memory: SIM = $(B)/libvigil_sim.a -Wl,--wrap=vigil__host_system

$(B)/tests/sim/%.o: tests/sim/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(TEST_FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/sim/sim: $(B)/tests/sim/main.o $(SCENES) $(B)/libvigil_sim.a $(B)/libvigil.a
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(STATIC) -pthread -o $@ $^

# FUZZ_MAIN is what runs a target: here it only replays files; the fuzzers have one of their own.
FUZZ_MAIN = $(B)/fuzz/replay.o
$(B)/fuzz/%: fuzz/%.c $(B)/fuzz/replay.o $(B)/libvigil.a
	$(call program,$(TEST_FLAGS) $(FUZZ_WITH) $(FUZZ_MAIN))

$(B)/fuzz/replay.o: fuzz/replay.c fuzz/fuzz.h $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(TEST_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(B)/fuzz/args: FUZZ_WITH = $(filter-out %/main.o,$(TOOL_OBJ))# the command line is the tool's
$(B)/fuzz/args: $(TOOL_OBJ)
$(B)/fuzz/worlds: FUZZ_WITH = $(SCENES)
$(B)/fuzz/worlds: SIM = $(B)/libvigil_sim.a
$(B)/fuzz/worlds: $(SCENES) $(B)/libvigil_sim.a

# The same scenarios, with the library's own backends on models of their kernels.
$(B)/tests/model/worlds/sim: $(B)/tests/sim/main.o $(SCENES) $(CALLS) $(B)/libvigil_sim.a \
        $(B)/libvigil.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(STATIC) -pthread -o $@ $^

# vigil_select as it is where select(2) has no sets of any size: its own copy of one_call.c.
$(B)/tests/conform/select_call_by_poll: tests/conform/select_call.c src/poller/one_call.c \
        $(B)/libvigil_sim.a $(B)/libvigil.a
	$(call program,$(TEST_FLAGS) -DVIGIL_SELECT_BY_POLL src/poller/one_call.c)

# Servers of which it is known what is wrong with them, for `vigil torture`.
$(KNOWN): SIM =
$(KNOWN): $(B)/tests/torture/%: tests/torture/%.c tests/torture/server.c tests/torture/server.h \
        $(B)/libvigil.a
	$(call program,$(TEST_FLAGS) tests/torture/server.c)

# What inject.c defines stands between the library and the system.
WRAPS  := $(shell awk -F', *' '/^WRAPPED/ { print "-Wl,--wrap=" $$2 }' tests/fault/inject.c) \
          -Wl,--wrap=vigil__host_system

$(FAULTS): $(B)/tests/fault/%: tests/fault/%.c tests/fault/inject.c $(B)/libvigil_sim.a \
        $(B)/libvigil.a
	$(call program,$(TEST_FLAGS) $(FAULT_NAMES) tests/fault/inject.c $(WRAPS))

FAULT_NAMES = -DTEST_PROGRAM='"$@"' -DTEST_SERVER='"$(B)/tests/fault/vigil"'

$(B)/tests/fault/fail_serve: $(B)/tests/fault/vigil

$(B)/tests/fault/vigil: tests/fault/inject.c tests/fault/inject.h tests/fault/plan.h \
        $(TOOL_OBJ) $(B)/libvigil.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(TEST_FLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(STATIC) -o $@ \
	    $(filter %.c %.o %.a,$^) $(WRAPS)

# The loop's own sources, included; the process's clock, memory and threads are the scheduler's.
ORDERED = -DVIGIL_UNDER_SCHEDULER
$(B)/tests/threads/posts: ORDERED += -Wl,--wrap=vigil__host_system -Wl,--wrap=vigil__thread_yield

$(ORDERS): $(B)/tests/threads/%: tests/threads/%.c $(B)/libvigil_sim.a $(B)/libvigil.a
	$(call program,$(TEST_FLAGS) -DTEST_PROGRAM='"$@"' $(ORDERED))

# Holds the compiler and its flags; written only when they are not those of the last build.
FLAGS = $(CC) $(LIB_FLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(STATIC)
$(B)/flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@

-include $(LIB_OBJ:.o=.d) $(SIM_OBJ:.o=.d) $(TOOL_OBJ:.o=.d)
-include $(addsuffix .d,$(EXAMPLES) $(BENCHES) $(TESTS) $(HELPERS) $(FUZZERS))
-include $(addsuffix .d,$(FAULTS) $(ORDERS))
-include $(CALLS:.o=.d) $(KERNELS_OBJ:.o=.d) $(addsuffix .d,$(MODELLED))
-include $(SCENES:.o=.d) $(B)/tests/sim/main.d
-include $(addsuffix .d,$(VIRTUAL)) $(WORLD_OBJ:.o=.d)

.PHONY: windows test-windows windows-conform windows-interop windows-tutorial windows-battery
WINDOWS = $(MAKE) --no-print-directory $(PARALLEL) -f windows.mk B=$(B)/windows

windows:  ## cross-build vigil.exe, the libraries, examples and tests with mingw-w64
	@scripts/setup windows
	+@$(WINDOWS) all

test-windows: $(B)/vigil  ## what windows builds, under Wine: conform, interop, tutorial, battery
	@scripts/setup windows
	@$(STEPS) windows windows-conform windows-interop windows-tutorial windows-battery

windows-conform windows-interop windows-tutorial windows-battery: windows
	+@$(WINDOWS) NATIVE=$(B) $(@:windows-%=test-%)

# ---- trying ----------------------------------------------------------------------------------

# A step is a target; scripts/run-steps runs them in turn and adds up times and results.
TAP   = scripts/run-tap --jobs $(JOBS)
STEPS = MAKE='$(MAKE)' scripts/run-steps --jobs $(JOBS)
ASAN  = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TSAN  = -O1 -g -fsanitize=thread -fno-omit-frame-pointer
MSAN  = -O1 -g -fsanitize=memory -fsanitize-memory-track-origins -fno-omit-frame-pointer
SANITIZED = $(MAKE) --no-print-directory $(PARALLEL) WERROR= LDFLAGS=

# A make inside this one takes part in its parallel jobs, or starts some where it has none.
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

# TSan and ASan of gcc 12 want the addresses that kernels of their time gave out.
FIXED := $(shell setarch -R true 2>/dev/null && echo setarch -R)

demo:  ## see the tutorial alive: an echo server, its clients, every byte checked
	@scripts/setup build
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@scripts/demo $(B)

test:  ## everything that fits into 8 minutes, with each step's time
	@scripts/setup test
	@$(STEPS) everything check test-unit test-conform test-regress test-fuzz \
	    test-kqueue test-models test-fault test-sim-fault test-orders test-sim-conform \
	    test-sim test-sim-runner test-sim-asan test-tutorial test-examples test-tool \
	    test-package test-battery test-asan

test-long:  ## what takes longer: mutants, coverage, the full battery, valgrind, TSan, MSan, other kernels
	@scripts/setup long
	@scripts/setup portability
	@scripts/setup kernels
	@$(STEPS) everything mutation coverage fail-nth test-sim-fault-asan test-seeds \
	    test-models-long test-models-asan sim-long test-battery-full test-battery-asan \
	    torture-soak test-valgrind test-tsan test-msan $(PORTABILITY) test-kernels test-windows

# Warnings are the front end's, so nothing is optimised there: that takes a third of the time.
test-clang:  ## a build by clang, without a warning
	@$(MAKE) --no-print-directory $(PARALLEL) B=$(B)/clang CC=clang CFLAGS=-O0 everything

test-unit: $(UNIT)  ## single files of the library
	@$(TAP) $(UNIT)

test-conform: $(CONFORM)  ## what every backend must do
	@$(TAP) $(CONFORM)

test-regress: $(REGRESS)  ## what was wrong once
	@$(if $(REGRESS),$(TAP) $(REGRESS),echo '  nothing yet')

# Each backend is a program of its own, so that they share the processors.
FAIL_BACKENDS = epoll io_uring poll select
FAIL_NTH      = $(foreach backend,$(FAIL_BACKENDS), \
                'env VIGIL_TEST_BACKEND=$(backend) VIGIL_FAIL_STEP=$1 $(B)/tests/fault/fail_nth') \
                'env VIGIL_FAIL_STEP=$1 $(B)/tests/fault/fail_serve'

# The rows in virtual time, each call of theirs failed in turn.
FAIL_VIRTUAL = $(VIRTUAL:%='env VIGIL_FAIL_STEP=$1 %')

FAIL_TAP = $(TAP) --sum runs --sum injections

fail-nth: $(FAULTS) $(VIRTUAL)  ## every call failed in turn, on every backend and in virtual time
	@$(FAIL_TAP) --limit 7200 $(call FAIL_NTH,1) $(call FAIL_VIRTUAL,1)

# How many commits there are: what rotates, rotates by that.
COMMITS = $(shell git -c safe.directory='*' rev-list --count HEAD 2>/dev/null || echo 0)

# Which sixteenth: another one with each commit, unless VIGIL_FAIL_OFFSET says.
test-fault test-sim-fault: export VIGIL_FAIL_OFFSET ?= $(COMMITS)
test-fault: $(FAULTS)  ## every 16th of fail-nth's on the real kernel
	@$(FAIL_TAP) $(call FAIL_NTH,16)

test-sim-fault: $(VIRTUAL)  ## every 16th of fail-nth's in virtual time
	@$(FAIL_TAP) $(call FAIL_VIRTUAL,16)

test-sim-fault-asan:  ## test-sim-fault under ASan and UBSan
	+@$(SANITIZED) B=$(B)/asan CFLAGS='$(ASAN)' test-sim-fault

test-orders: $(ORDERS)  ## posts, stops and closes in thousands of orders, under a scheduler
	@$(TAP) $(ORDERS)

SEEDS = 500# random programs per backend

test-seeds: $(addprefix $(B)/tests/conform/,differential order)  ## many random programs
	@VIGIL_SEEDS=$(SEEDS) $(TAP) --limit 3600 $^

sim: $(B)/tests/sim/sim  ## simulated worlds: SEEDS=N seeds [500]
	@$(B)/tests/sim/sim --strict --seeds $(SEEDS)

# The same in TAP, a share of the seeds for each core; and the zero choice, where both backends must
# bring the very same pieces.
SIM_SEEDS = 20000
SIM_TAP   = $(TAP) --limit 7200 $(foreach from,1 2,'tests/sim/run $(B)/tests/sim/sim $(from)/2 $1')

test-sim: $(B)/tests/sim/sim  ## simulated worlds: 20,000 seeds
	@$(call SIM_TAP,$(SIM_SEEDS))

test-sim-runner: $(B)/tests/runner/fails  ## what is printed of simulated worlds that go wrong
	@$(TAP) 'tests/runner/run.py $<'

test-sim-asan:  ## simulated worlds under ASan and UBSan: 1,000 seeds
	+@$(SANITIZED) B=$(B)/asan CFLAGS='$(ASAN)' SIM_SEEDS=1000 test-sim test-sim-runner

sim-long: $(B)/tests/sim/sim  ## simulated worlds: 100,000 seeds, and 10,000 under ASan and UBSan
	@$(call SIM_TAP,100000)
	+@$(SANITIZED) B=$(B)/asan CFLAGS='$(ASAN)' SIM_SEEDS=10000 test-sim

test-tutorial: all  ## the tutorial's five programs against the Python ones
	@$(TAP) 'tests/tutorial/run.py $(B)/examples'

test-examples: all  ## the examples at work
	@$(TAP) 'tests/examples/run.py $(B)/examples'

test-tool: all  ## the command: its manners and its bad input
	@$(TAP) 'tests/tool/run.py $(B)/vigil'

test-package: $(LIBS) $(B)/vigil  ## install, and build outside projects against it
	@$(TAP) 'tests/package/run $(B)'

test-kqueue:  ## kqueue on a modelled kevent(): the model's rows, conform and regress
	+@$(MAKE) --no-print-directory $(PARALLEL) B=$(B)/kqueue MODEL=kevent CFLAGS='-O1 -g' \
	    CPPFLAGS='$(CPPFLAGS) -DVIGIL_KQUEUE_MODEL -Itests/model/include' on-the-model

on-the-model: $(MODELS) $(filter-out $(B)/tests/conform/uring%,$(CONFORM)) $(REGRESS)
	@VIGIL_TEST_BACKEND=kqueue $(TAP) 'tests/bsd/run $(B)' $^ $(foreach program, \
	    $(filter $(B)/tests/conform/uring%,$(CONFORM)), \
	    "echo '1..0 # SKIP $(notdir $(program)): the model of kevent() has no io_uring'")

MODEL_SEEDS = 1500# worlds per backend

test-models: $(MODELLED) $(IN_WORLDS)  ## models of kernels: held to this one, and our backends on them in worlds
	@$(TAP) $(COMPARED) \
	    $(foreach world,$(IN_WORLDS),'tests/model/run $(B) $(MODEL_SEEDS) $(world)')

test-models-long: $(IN_WORLDS)  ## many more worlds
	@$(TAP) --limit 3600 $(foreach world,$(IN_WORLDS),'tests/model/run $(B) 20000 $(world)')

test-models-asan:  ## models, under ASan and UBSan
	+@$(SANITIZED) B=$(B)/asan CFLAGS='$(ASAN)' MODEL_SEEDS=100 test-models

test-sim-conform: $(VIRTUAL)  ## the conformance suite on the simulator, in virtual time
	@$(TAP) $(VIRTUAL)

test-battery: all $(HELPERS)  ## the echo battery, short
	@$(TAP) --verbose 'tests/battery/run --build $(B) --quick'

test-battery-full: all $(HELPERS)  ## the echo battery, with 1 GiB and 64 MiB
	@$(TAP) --verbose --limit 3600 'tests/battery/run --build $(B) --full'

test-battery-asan:  ## the echo battery, short, its servers under ASan and UBSan
	+@$(SANITIZED) B=$(B)/asan CFLAGS='$(ASAN)' under-sanitizer-battery

test-torture: all $(KNOWN)  ## vigil torture on servers that are wrong in one thing, and on ours
	@$(TAP) --verbose 'tests/torture/manners $(B)' 'tests/torture/run --build $(B)'

torture-soak: all $(KNOWN)  ## vigil torture --quick, 200 times on a good server and a busy machine
	@$(TAP) --limit 36000 'tests/torture/run --build $(B) --soak $(SOAK)'

SOAK = 200

torture-peers: all  ## vigil torture on the echo servers of others: writes the table of doc/TORTURE.md
	@scripts/setup peers
	@tests/torture/peers/run --build $(B) --write

mutation:  ## known bugs, each planted in a copy: the suite must catch every one
	@scripts/setup windows || echo '  the mutants for Windows are skipped'
	@$(TAP) --verbose --limit 7200 'tests/mutation/run --jobs $(JOBS) --work $(B)/mutation --write'

mutation-ci:  ## three of them, other ones with every commit
	@scripts/setup windows || echo '  the mutants for Windows are skipped'
	@$(TAP) --verbose 'tests/mutation/run --jobs $(JOBS) --work $(B)/mutation --some 3'

test-asan:  ## unit, conform and regress under ASan and UBSan
	+@$(SANITIZED) B=$(B)/asan CFLAGS='$(ASAN)' under-sanitizer

test-tsan:  ## unit, conform and regress under TSan
	+@$(SANITIZED) B=$(B)/tsan CFLAGS='$(TSAN)' under-sanitizer

test-tsan-core:  ## the programs with threads under TSan
	+@$(SANITIZED) B=$(B)/tsan CFLAGS='$(TSAN)' under-sanitizer-threaded

test-msan:  ## unit, conform and regress under MSan, which clang has
	@scripts/setup long
	+@$(SANITIZED) B=$(B)/msan CC=clang CFLAGS='$(MSAN)' under-sanitizer

test-valgrind:  ## unit, conform and regress under valgrind
	@scripts/setup long
	+@$(SANITIZED) B=$(B)/valgrind CPPFLAGS='$(CPPFLAGS) -DVIGIL_VALGRIND' under-valgrind

# valgrind lets no other thread run, and no signal in, while the call of io_uring waits, which it
# takes for one that does not: programs with threads run on the other backends there.
under-valgrind: $(TESTS)
	@TEST_TIME_SCALE=20 $(TAP) --limit 3600 --under '$(VALGRIND)' $(filter-out $(THREADED),$^)
	@for backend in epoll poll select; do \
	    echo "  the programs with threads, on $$backend:"; \
	    VIGIL_TEST_BACKEND=$$backend TEST_TIME_SCALE=20 $(TAP) --limit 3600 \
	        --under '$(VALGRIND)' $(THREADED) || exit 1; done
	@$(TAP) $(foreach program,$(filter $(BY_BACKEND),$(THREADED)), \
	    "echo '1..0 # SKIP $(program:$(B)/tests/%=%) on io_uring: valgrind blocks in its wait'")

VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full --trace-children=no

under-sanitizer: $(TESTS)
	@TEST_TIME_SCALE=5 $(FIXED) $(TAP) $^

under-sanitizer-threaded: $(THREADED)
	@TEST_TIME_SCALE=5 $(FIXED) $(TAP) $^

under-sanitizer-battery: $(B)/vigil $(B)/examples/echo $(HELPERS)
	@VIGIL_BATTERY_SANITIZER=1 $(FIXED) $(TAP) --verbose 'tests/battery/run --build $(B) --quick'

# ---- fuzzing -----------------------------------------------------------------------------------

.PHONY: fuzz fuzzers fuzz-libfuzzer fuzz-afl fuzz-corpus test-fuzz
# One build directory for each fuzzer: what is in build/fuzz only replays.
FUZZ_SECONDS = 60# of each target, with each fuzzer
FUZZ_FLAGS = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ON_LIBFUZZER = $(SANITIZED) B=$(B)/libfuzzer CC=clang FUZZ_MAIN=-fsanitize=fuzzer \
               CFLAGS='$(FUZZ_FLAGS) -fsanitize=fuzzer-no-link'
ON_AFL = $(SANITIZED) B=$(B)/afl CC=afl-clang-fast FUZZ_MAIN=-fsanitize=fuzzer \
         CFLAGS='$(FUZZ_FLAGS) -fsanitize-trap=undefined'

FUZZ_SEED = $(or $(filter-out 0,$(COMMITS)),1)# libFuzzer's, in test-fuzz: another with each commit
FUZZ_LONG = scripts/fuzz libfuzzer --keep --seed 0 --seconds $(FUZZ_SECONDS)

fuzz:  ## each target of fuzz/ for FUZZ_SECONDS with libFuzzer, and with AFL++
	@scripts/setup fuzz || echo '  what is not there is skipped'
	@$(STEPS) fuzzers fuzz-libfuzzer fuzz-afl

test-fuzz: fuzzers  ## the fuzzers' corpora once more, and a few seconds of libFuzzer each
	+@$(ON_LIBFUZZER) fuzzers
	@$(TAP) $(TARGETS:%='scripts/fuzz replay --build $(B) %') \
	    $(TARGETS:%='scripts/fuzz libfuzzer --seed $(FUZZ_SEED) --build $(B)/libfuzzer %')

fuzz-libfuzzer:
	+@$(ON_LIBFUZZER) fuzzers
	@$(TAP) $(TARGETS:%='$(FUZZ_LONG) --build $(B)/libfuzzer %')

fuzz-afl:
	+@if command -v afl-clang-fast >/dev/null; then $(ON_AFL) fuzzers; fi
	@$(TAP) $(TARGETS:%='scripts/fuzz afl --seconds $(FUZZ_SECONDS) --build $(B)/afl %')

fuzz-corpus:  ## make fuzz/corpus anew of it and what `make fuzz` found
	+@$(ON_LIBFUZZER) fuzzers
	@$(TAP) $(TARGETS:%='scripts/fuzz minimise --build $(B)/libfuzzer %')

fuzzers: $(FUZZERS)

# ---- coverage ----------------------------------------------------------------------------------

.PHONY: coverage under-coverage under-coverage-on-the-model
COVERED = -O1 -g -fPIC -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc
ON_COVERED = $(SANITIZED) B=$(B)/$1 CC=clang-19 CFLAGS='$(COVERED)'
AT_EXIT = LDFLAGS='-Wl,--wrap=_exit $(B)/$1/exit.o'
ON_MODEL = MODEL=kevent CPPFLAGS='$(CPPFLAGS) -DVIGIL_KQUEUE_MODEL -Itests/model/include'

coverage:  ## lines, branches and conditions of src/ that tests reach: fails below 95 % and 90 %
	@scripts/setup coverage
	@rm -rf $(B)/coverage/profiles $(B)/coverage-kqueue/profiles
	+@$(call ON_COVERED,coverage) $(B)/coverage/exit.o
	+@$(call ON_COVERED,coverage-kqueue) $(B)/coverage-kqueue/exit.o
	+@status=0; \
	$(call ON_COVERED,coverage) $(call AT_EXIT,coverage) under-coverage || status=1; \
	$(call ON_COVERED,coverage-kqueue) $(call AT_EXIT,coverage-kqueue) $(ON_MODEL) \
	    under-coverage-on-the-model || status=1; \
	scripts/coverage $(B)/coverage $(B)/coverage-kqueue && exit $$status

# Programs share few files, into which each adds what it ran.
PROFILES = LLVM_PROFILE_FILE=$(CURDIR)/$(B)/profiles/%2m.profraw TEST_TIME_SCALE=5
COVERED_SEEDS = 1000# worlds of each program that has some
under-coverage: everything $(VIRTUAL) $(B)/libvigil_sim.so
	@export $(PROFILES) VIGIL_FAIL_OFFSET=1; status=0; \
	$(TAP) --limit 1200 $(TESTS) $(VIRTUAL) $(ORDERS) $(COMPARED) \
	    'tests/sim/run $(B)/tests/sim/sim 1/1 $(COVERED_SEEDS)' \
	    'tests/runner/run.py $(B)/tests/runner/fails' \
	    $(foreach world,$(IN_WORLDS),'tests/model/run $(B) $(COVERED_SEEDS) $(world)') \
	    'tests/tool/run.py $(B)/vigil' 'tests/tutorial/run.py $(B)/examples' \
	    'tests/examples/run.py $(B)/examples' 'tests/battery/run --build $(B) --quick' \
	    $(TARGETS:%='scripts/fuzz replay --build $(B) %') || status=1; \
	$(TAP) --limit 3600 $(call FAIL_NTH,16) $(call FAIL_VIRTUAL,64) || status=1; \
	exit $$status

under-coverage-on-the-model: $(LIBS) $(MODELS) $(filter-out $(B)/tests/conform/uring%,$(CONFORM))
	@$(PROFILES) VIGIL_TEST_BACKEND=kqueue $(TAP) $(MODELS) $(filter $(B)/tests/conform/%,$^)

# What says which lines there are must be linked.
$(B)/libvigil_sim.so: $(SIM_OBJ)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) -shared -o $@ $^

$(B)/exit.o: tests/coverage/exit.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(STRICT) $(CFLAGS) -fPIC -c -o $@ $<

# ---- other machines ---------------------------------------------------------------------------

# One build directory for each: build/static is this machine's.  glibc says of getaddrinfo() that a
# static program asks other services than files and DNS only where the same glibc is installed.
GLIBC_STATIC = -static -s -Wl,--no-warnings
ELSEWHERE    = $(MAKE) --no-print-directory $(PARALLEL) LDFLAGS=
ON_STATIC    = $(ELSEWHERE) B=$(B)/static STATIC='$(GLIBC_STATIC)'
ON_M32       = $(ELSEWHERE) B=$(B)/m32 CC='gcc-12 -m32 -Wno-psabi -idirafter /usr/include/$(HERE)'
ON_MUSL      = $(ELSEWHERE) B=$(B)/musl CC='musl-gcc $(KERNEL_HEADERS)' STATIC='-static -s'
ON_S390X     = $(ELSEWHERE) B=$(B)/s390x CC=s390x-linux-gnu-gcc STATIC='$(GLIBC_STATIC)'
ON_AARCH64   = $(ELSEWHERE) B=$(B)/aarch64 CC=aarch64-linux-gnu-gcc STATIC='$(GLIBC_STATIC)'
HERE         = $(shell $(CC) -print-multiarch 2>/dev/null)# where gcc-12 -m32 finds asm/*.h
KERNEL_HEADERS = -idirafter /usr/include -idirafter /usr/include/$(HERE)# musl-gcc has none

PORTABILITY = test-m32 test-musl test-s390x test-aarch64

static:  ## build/static/vigil, which needs no shared library
	+@$(ON_STATIC) $(B)/static/vigil

test-portability:  ## 32 bits, musl, big-endian s390x and aarch64
	@scripts/setup portability
	@$(STEPS) $(PORTABILITY)

# Without the fuzzers: one counts with 128 bits, and stands in for what musl calls otherwise.
test-m32:  ## unit, conform and regress as programs of 32 bits
	+@$(ON_M32) all under-nothing

test-musl:  ## unit, conform and regress with musl, static
	+@$(ON_MUSL) all under-nothing

test-s390x:  ## unit, conform and regress for s390x, by qemu-user
	+@$(ON_S390X) everything under-qemu-user QEMU=qemu-s390x

test-aarch64:  ## unit, conform and regress for aarch64, by qemu-user
	+@$(ON_AARCH64) everything under-qemu-user QEMU=qemu-aarch64

under-nothing: $(TESTS)
	@$(TAP) $^

under-qemu-user: $(TESTS)
	@TEST_UNDER=qemu-user TEST_TIME_SCALE=5 $(TAP) --under $(QEMU) $^

KERNELS = tests/kernels/run --build $(B) --programs x86-64=$(B)/static \
          --programs s390x=$(B)/s390x

test-kernels: kernel-programs  ## on Debian's kernels 5.10, 6.1, 6.12, s390x, and a bad network
	@scripts/setup kernels
	@$(TAP) --limit 3600 '$(KERNELS) 5.10' '$(KERNELS) 6.1' '$(KERNELS) 6.12' \
	    '$(KERNELS) s390x' '$(KERNELS) --netem 6.12'; status=$$?; \
	    tests/kernels/table.py $(B) && exit $$status

test-kernels-core: kernel-programs  ## on 6.1 and s390x, the rows of tests/kernels/core
	@scripts/setup kernels
	@$(TAP) '$(KERNELS) --core 6.1' '$(KERNELS) --core s390x'

kernel-programs:
	@scripts/setup kernels
	+@$(ON_STATIC) guest-programs
	+@$(ON_S390X) guest-programs

guest-programs: $(TESTS) $(ON_KERNELS) $(B)/tests/kernels/init $(B)/tests/kernels/features

# ---- measuring and checking ------------------------------------------------------------------

.PHONY: bench-quick bench bench-full bench-steps bench-memory bench-counts bench-lines \
        bench-programs bench-battery bench-crowd bench-start report
bench-programs: $(B)/vigil $(BENCHES) $(PEERS) $(B)/bench/vigil_shared

STEP_ROUNDS = 15# as in bench/run: a median of fewer says less

bench-quick: bench-programs  ## two cells of `make bench`, in under 2 minutes
	@bench/run --build $(B) --cells quick --seconds 0.2

bench: bench-programs  ## vigil beside its peers: ten cells and connecting, in under 20 minutes
	@bench/quiet
	@bench/run --build $(B)

bench-full: bench-programs  ## every contender in every cell: hours
	@bench/run --build $(B) --cells full --contenders all --seconds 1

bench-steps: bench-programs  ## timers, threads that wake each other, idle turns, chained pipes
	@bench/quiet
	@bench/steps --build $(B) --rounds $(STEP_ROUNDS) timers
	@bench/steps --build $(B) --rounds $(STEP_ROUNDS) wakes
	@bench/steps --build $(B) --rounds $(STEP_ROUNDS) turns
	@bench/steps --build $(B) --rounds $(STEP_ROUNDS) pipes

bench-memory: bench-programs  ## what an idle connection costs, and one that was used
	@bench/memory --build $(B)

# What the servers do, counted, not timed: the same on a machine that has other work.
bench-counts: bench-programs $(B)/bench/counts/driven.so $(B)/bench/counts/tracer
bench-counts:  ## instructions and system calls per message, of vigil and its peers
	@scripts/setup counts
	@bench/counts/run --build $(B)

bench-lines: bench-programs $(B)/bench/counts/driven.so
bench-lines:  ## lines and pages of memory that a turn with one message touches: a minute
	@scripts/setup counts
	@bench/counts/lines --build $(B)

bench-start: bench-programs  ## from the start of a server to its first echo
	@bench/quiet
	@bench/steps --build $(B) --rounds $(STEP_ROUNDS) start

CROWD = 100000
bench-crowd: bench-programs  ## CROWD connections to several servers, all at once: a minute
	@bench/crowd --build $(B) --connections $(CROWD)

report: all  ## doc/PERFORMANCE.md and its pictures, of what was measured
	@bench/report --build $(B)

bench-battery: bench-programs  ## that no contender loses a byte, by the echo battery
	@$(TAP) --verbose --limit 3600 'tests/battery/run --build $(B) --server bench' \
	    'tests/battery/run --build $(B) --server alone' 'bench/check-idle $(B)'

bench-instructions: $(B)/vigil $(B)/bench/vigil $(B)/bench/counts/driven.so $(B)/bench/counts/tracer
bench-instructions: $(B)/bench/instructions/cases  ## instructions per operation, against a baseline
	@scripts/setup instructions
	@bench/instructions/run --build $(B)

check: $(LIBS) $(B)/vigil  ## floors, symbols, sizes, comments: what scripts/check-* look at
	@$(TAP) scripts/self-test tests/kernels/self-test tests/mutation/self-test \
	    tests/windows/self-test bench/self-test 'scripts/check $(B)'

tidy:  ## check, and the formatting of every file
	@scripts/setup tidy
	@scripts/check-format
	@$(MAKE) --no-print-directory $(PARALLEL) check

# ---- installing ------------------------------------------------------------------------------

CMAKEDIR = $(LIBDIR)/cmake/vigil
MANS    := $(wildcard man/*.[1-9])
MAN_TO   = $(MANDIR)/man$(patsubst .%,%,$(suffix $1))/$(notdir $1)
FILLED   = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@SONAME@|$(SONAME)|' \
           -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|'
# Every function has a page: those that a section 3 page names besides the one it is called after.
MAN_LINKS := $(shell awk 'FNR == 1 { names = 1 } /^\.Nd/ { names = 0 } \
               names && /^\.Nm/ && FILENAME != "man/" $$2 ".3" { print FILENAME ":" $$2 ".3" }' \
               $(wildcard man/*.3))
MAN_LINK_TO = $(MANDIR)/man3/$(word 2,$(subst :, ,$1))
INSTALLED = $(BINDIR)/vigil $(INCLUDEDIR)/vigil.h $(INCLUDEDIR)/vigil_sim.h \
            $(LIBDIR)/libvigil.a $(LIBDIR)/libvigil_sim.a $(LIBDIR)/libvigil.so \
            $(LIBDIR)/$(SONAME) $(LIBDIR)/libvigil.so.$(VERSION) $(LIBDIR)/pkgconfig/vigil.pc \
            $(LIBDIR)/pkgconfig/vigil_sim.pc \
            $(CMAKEDIR)/vigil-config.cmake $(CMAKEDIR)/vigil-config-version.cmake \
            $(foreach man,$(MANS),$(call MAN_TO,$(man))) \
            $(foreach link,$(MAN_LINKS),$(call MAN_LINK_TO,$(link)))

install: $(LIBS) $(B)/vigil  ## to DESTDIR and PREFIX
	install -d $(sort $(addprefix $(DESTDIR),$(dir $(INSTALLED))))
	install -m 755 $(B)/vigil $(DESTDIR)$(BINDIR)/vigil
	install -m 644 include/vigil.h include/vigil_sim.h $(DESTDIR)$(INCLUDEDIR)
	install -m 644 $(B)/libvigil.a $(B)/libvigil_sim.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(B)/libvigil.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libvigil.so.$(VERSION)
	ln -sf libvigil.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libvigil.so
	$(FILLED) vigil.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/vigil.pc
	$(FILLED) vigil_sim.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/vigil_sim.pc
	$(FILLED) cmake/vigil-config.cmake.in >$(DESTDIR)$(CMAKEDIR)/vigil-config.cmake
	$(FILLED) cmake/vigil-config-version.cmake.in \
	    >$(DESTDIR)$(CMAKEDIR)/vigil-config-version.cmake
	$(foreach man,$(MANS),install -m 644 $(man) $(DESTDIR)$(call MAN_TO,$(man)) &&) true
	$(foreach link,$(MAN_LINKS),ln -sf $(notdir $(firstword $(subst :, ,$(link)))) \
	    $(DESTDIR)$(call MAN_LINK_TO,$(link)) &&) true

uninstall:  ## take away what install put there
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	if [ -d $(DESTDIR)$(CMAKEDIR) ]; then rmdir $(DESTDIR)$(CMAKEDIR); fi

clean:  ## remove everything built
	rm -rf $(B)

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/\1|\2/p' Makefile | \
	    awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

.PHONY: all everything demo test test-long test-clang test-unit test-conform test-regress \
        fail-nth test-fault test-sim-fault test-sim-fault-asan test-sim-conform test-orders \
        test-seeds sim sim-long test-sim test-sim-runner test-sim-asan test-tutorial \
        test-examples test-tool test-package test-battery test-battery-full mutation \
        mutation-ci test-asan test-tsan test-torture torture-soak torture-peers \
        test-msan under-valgrind test-kqueue on-the-model \
        test-models test-models-long test-models-asan \
        test-tsan-core test-valgrind test-battery-asan under-sanitizer under-sanitizer-threaded \
        under-sanitizer-battery static test-portability $(PORTABILITY) under-nothing \
        under-qemu-user test-kernels test-kernels-core kernel-programs guest-programs \
        bench-instructions check tidy install uninstall clean help always
.SECONDARY: $(WORLD_OBJ) $(SCENES)
.DELETE_ON_ERROR:
.SUFFIXES:
