/* The two files that processes share. They are an interface between versions of this library and with the platform,
   which makes them and edits the limits (aicp/enforcers/slice_file.py): whoever changes a structure raises LAYOUT. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define LAYOUT 1u
#define SLICE_MAGIC 0x4543494c53504941ull /* "AIPSLICE" */
#define CARD_MAGIC 0x2044524143504941ull  /* "AIPCARD " */

enum { MOST_DEVICES = 16, MOST_PROCESSES = 256, MOST_SHARES = 128, MOST_WAITERS = 256 };
enum { POLICY_CAP = 0, POLICY_WEIGHT = 1 };

/* Head of both files. `boot` tells in which life of the machine `lock` was made: a lock held when the power went would
   never be let go. The platform writes all but `boot` and `lock`. */
struct head {
    uint64_t magic;
    uint32_t layout;
    uint32_t size;
    uint64_t id;
    uint64_t boot;
    union {
        pthread_mutex_t mutex;
        char room[64];
    } lock;
};

/* One device of the slice. Limits may change at any time; `card` is the path of the device's card file. */
struct slice_device {
    char uuid[64];
    char card[256];
    _Atomic uint64_t memory_limit;
    _Atomic uint32_t percent;
    _Atomic uint32_t policy;
    _Atomic uint64_t refused; /* allocations that did not fit */
};

/* A process by pid and start time, and what it holds of each device, bytes. */
struct slice_process {
    int64_t pid;
    uint64_t start;
    uint64_t used[MOST_DEVICES];
};

/* One replica's slices. */
struct slice_file {
    struct head head;
    uint32_t device_count;
    uint32_t reserved;
    struct slice_device devices[MOST_DEVICES];
    struct slice_process processes[MOST_PROCESSES];
};

/* A slice's account with one device: time it may still use, and its virtual time (time used by its percent). */
struct card_share {
    uint64_t id;
    uint32_t percent;
    uint32_t policy;
    int64_t tokens;
    uint64_t refilled_at;
    uint64_t virtual_time;
    uint64_t used;
    uint64_t seen_at;
};

/* A process that wants the device. `share` is an index; `pid` 0: free. */
struct card_waiter {
    int64_t pid;
    uint64_t start;
    uint64_t since;
    uint64_t seen_at;
    uint32_t share;
    uint32_t reserved;
};

/* One physical device: who has it, and who is next. Times are nanoseconds of CLOCK_MONOTONIC. */
struct card_file {
    struct head head;
    _Atomic uint32_t bell; /* futex; changes when the device becomes free */
    uint32_t holder_share;
    int64_t holder_pid;
    uint64_t holder_start;
    uint64_t holder_serial;
    uint64_t held_since;
    uint64_t held_until;
    uint64_t free_since;
    uint64_t virtual_time;
    struct card_share shares[MOST_SHARES];
    struct card_waiter waiters[MOST_WAITERS];
};

#endif
