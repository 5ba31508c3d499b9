# SPDX-License-Identifier: MIT
#
# windows.mk -- builds for Windows with mingw-w64, and tries what it built under Wine.  `make
# windows` and `make test-windows` call it with B, the folder below which everything goes.

MINGW   = x86_64-w64-mingw32-
CC      = $(MINGW)gcc
AR      = $(MINGW)ar
CFLAGS  = -O2 -g
LDFLAGS =
WERROR  = -Werror
B       = build/windows
NATIVE  = build# where the programs for this system are
JOBS    = $(shell nproc 2>/dev/null || echo 2)
V       =

# What checks the formats of our own functions knows %zu by its GNU name alone.
STRICT = -std=c11 -Wall -Wextra -Wconversion -Wshadow $(WERROR) -D__USE_MINGW_ANSI_STDIO=1 \
         -D__printf__=gnu_printf
LIB_FLAGS    = $(STRICT) -D_GNU_SOURCE -Iinclude -Isrc
PUBLIC_FLAGS = $(STRICT) -Iinclude
SYSTEM_LIBS  = -lws2_32 -liphlpapi -lntdll -lpthread

# The tests keep descriptors in ints, as POSIX has them.
TEST_FLAGS   = $(STRICT) -D_GNU_SOURCE -Iinclude -Isrc -Itests -Wno-conversion -Wno-sign-conversion \
               -Wno-sign-compare -Wno-overflow -Wno-missing-braces -Wno-unused-function

LIB_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard $(addprefix src/,$(addsuffix /*.c, \
            base sys poller loop conn))))
LACKING  := $(shell tests/windows/lacking --list)
EXAMPLES := $(patsubst %.c,$(B)/examples/%.exe,$(notdir $(filter-out $(LACKING), \
            $(wildcard examples/*.c examples/tutorial/*.c))))
TOOL_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out %/cmd_torture.c,$(wildcard tool/*.c)))
UNIT     := $(patsubst %.c,$(B)/%.exe,$(filter-out $(LACKING),$(wildcard tests/unit/*.c)))
CONFORM  := $(patsubst %.c,$(B)/%.exe,$(filter-out $(LACKING),$(wildcard tests/conform/*.c)))
REGRESS  := $(patsubst %.c,$(B)/%.exe,$(filter-out $(LACKING),$(wildcard tests/regress/*.c)))
TESTS    := $(UNIT) $(CONFORM) $(REGRESS)

Q   = $(if $(V),,@)
say = @$(if $(V),:,echo '  $1  $@')

all: $(B)/libvigil.a $(B)/vigil.dll $(B)/vigil.exe $(EXAMPLES) $(TESTS)


$(B)/libvigil.a: $(LIB_OBJ)
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# Exported is what vigil.h declares; the rest of the library's names begin with vigil__.
$(B)/vigil.def: include/vigil.h
	@mkdir -p $(@D)
	$(Q)(echo EXPORTS; grep -oE '\bvigil_[a-z0-9_]+\(' $< | tr -d '(' | sort -u | \
	    grep -vE '_fn$$') >$@

$(B)/vigil.dll: $(LIB_OBJ) $(B)/vigil.def
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -static-libgcc -o $@ $^ $(SYSTEM_LIBS) \
	    -Wl,--out-implib,$@.a

$(B)/vigil.exe: $(TOOL_OBJ) $(B)/libvigil.a
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -static -o $@ $^ $(SYSTEM_LIBS)

$(B)/src/%.o: src/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LIB_FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tool/%.o: tool/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(PUBLIC_FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define program
@mkdir -p $(@D)
$(call say,CC)
$(Q)$(CC) $1 $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -MT $@ $(LDFLAGS) -static -o $@ $< \
    $(B)/libvigil.a $(SYSTEM_LIBS)
endef

$(B)/examples/%.exe: examples/%.c $(B)/libvigil.a
	$(call program,$(PUBLIC_FLAGS))

$(B)/examples/echo.exe: PUBLIC_FLAGS += -Wno-unused-parameter# six statements leave one unused

$(B)/examples/%.exe: examples/tutorial/%.c $(B)/libvigil.a
	$(call program,$(PUBLIC_FLAGS))

$(B)/tests/%.exe: tests/%.c $(B)/libvigil.a
	$(call program,$(TEST_FLAGS))

# Programs as the tests in Python start them: the name without .exe runs it under Wine.
UNDER_WINE := $(patsubst %.exe,%,$(B)/vigil.exe $(EXAMPLES))

$(UNDER_WINE): %: %.exe scripts/under-wine
	$(Q)printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' '$(abspath scripts/under-wine)' \
	    '$(abspath $<)' >$@ && chmod +x $@

# The first run makes Wine's prefix; programs that started at once would all wait for it.
prefix:
	@scripts/under-wine

TAP = scripts/run-tap --jobs $(JOBS)

test-conform: prefix $(TESTS)
	@$(TAP) tests/windows/lacking
	@TEST_TIME_SCALE=3 $(TAP) --keep $(B)/ran.tap --under scripts/under-wine $(TESTS)
	@scripts/check-backends --ran $(B)/ran.tap
	@tests/windows/rows.py $(B)/ran.tap

test-battery: prefix $(UNDER_WINE)
	@$(TAP) --verbose 'tests/battery/run --windows --quick --build $(B)'

test-interop: prefix $(B)/vigil
	@$(TAP) 'tests/windows/interop.py $(NATIVE) $(B)'

test-tutorial: prefix $(UNDER_WINE)
	@$(TAP) 'tests/tutorial/run.py $(B)/examples'

FLAGS = $(CC) $(LIB_FLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(B)/flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@

-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(addsuffix .d,$(TESTS) $(EXAMPLES))

.PHONY: all prefix test-conform test-interop test-tutorial test-battery always
.DELETE_ON_ERROR:
.SUFFIXES:
