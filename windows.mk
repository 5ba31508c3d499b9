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
V       =

# What checks the formats of our own functions knows %zu by its GNU name alone.
STRICT = -std=c11 -Wall -Wextra -Wconversion -Wshadow $(WERROR) -D__USE_MINGW_ANSI_STDIO=1 \
         -D__printf__=gnu_printf
LIB_FLAGS    = $(STRICT) -D_GNU_SOURCE -Iinclude -Isrc
PUBLIC_FLAGS = $(STRICT) -Iinclude
SYSTEM_LIBS  = -lws2_32 -liphlpapi -lntdll

LIB_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard $(addprefix src/,$(addsuffix /*.c, \
            base sys poller loop conn))))
TOOL_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tool/*.c))

Q   = $(if $(V),,@)
say = @$(if $(V),:,echo '  $1  $@')

all: $(B)/libvigil.a $(B)/vigil.exe

$(B)/libvigil.a: $(LIB_OBJ)
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

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

FLAGS = $(CC) $(LIB_FLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(B)/flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@

-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d)

.PHONY: all always
.DELETE_ON_ERROR:
.SUFFIXES:
