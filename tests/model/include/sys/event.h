/* SPDX-License-Identifier: MIT
 *
 * event.h -- <sys/event.h> for the modelled kevent(): the names of kqueue(2) that our backend uses,
 * written from FreeBSD's manual page of that name (May 1, 2020), for a system that has none.
 *
 * The numbers are FreeBSD's.  EVFILT_EXCEPT is macOS's; it is there when KEVENT_MODEL_MACOS is
 * defined, and the model knows it always.
 */
#ifndef MODEL_SYS_EVENT_H
#define MODEL_SYS_EVENT_H

#include <stdint.h>
#include <time.h>

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    int64_t data;
    void *udata;
    uint64_t ext[4];
};

#define EV_SET(kev, ident_, filter_, flags_, fflags_, data_, udata_) \
    (*(kev) = (struct kevent){ .ident = (uintptr_t)(ident_),         \
                               .filter = (filter_),                  \
                               .flags = (unsigned short)(flags_),    \
                               .fflags = (fflags_),                  \
                               .data = (data_),                      \
                               .udata = (udata_) })

#define EVFILT_READ  (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER  (-11)
#ifdef KEVENT_MODEL_MACOS
#define EVFILT_EXCEPT (-15)
#define NOTE_OOB      0x00000002
#endif

#define EV_ADD      0x0001
#define EV_DELETE   0x0002
#define EV_ENABLE   0x0004
#define EV_DISABLE  0x0008
#define EV_ONESHOT  0x0010
#define EV_CLEAR    0x0020
#define EV_RECEIPT  0x0040
#define EV_DISPATCH 0x0080
#define EV_ERROR    0x4000
#define EV_EOF      0x8000

#define NOTE_LOWAT      0x00000001
#define NOTE_FILE_POLL  0x00000002
#define NOTE_FFNOP      0x00000000
#define NOTE_FFAND      0x40000000
#define NOTE_FFOR       0x80000000
#define NOTE_FFCOPY     0xc0000000
#define NOTE_FFCTRLMASK 0xc0000000
#define NOTE_FFLAGSMASK 0x00ffffff
#define NOTE_TRIGGER    0x01000000

int kqueue(void);
int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist,
           int nevents, const struct timespec *timeout);

#endif
