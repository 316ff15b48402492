/* Processes by pid and start time: a pid alone may soon be another's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "interposer.h"

static _Atomic int64_t own_pid;
static _Atomic uint64_t own_start;

/* State and start time (fields 3 and 22 of /proc/PID/stat, see proc(5)); false when there is nothing to read. */
static bool read_process(int64_t pid, char *state, uint64_t *start) {
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[length > 0 ? length : 0] = 0;
    char *field = strrchr(text, ')'); /* the name before may hold anything */
    if (!field) return false;
    *state = field[2];
    for (int number = 2; field && number < 22; number++) field = strchr(field + 1, ' ');
    *start = field ? strtoull(field + 1, NULL, 10) : 0;
    return field != NULL;
}

struct process this_process(void) {
    if (!atomic_load_explicit(&own_pid, memory_order_acquire)) {
        char state;
        uint64_t start = 0;
        read_process(getpid(), &state, &start);
        atomic_store_explicit(&own_start, start, memory_order_relaxed);
        atomic_store_explicit(&own_pid, getpid(), memory_order_release);
    }
    return (struct process){own_pid, own_start};
}

void forget_this_process(void) { own_pid = 0; }

bool process_lives(int64_t pid, uint64_t start) {
    char state = 0;
    uint64_t found = 0;
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) return false;
    if (!read_process(pid, &state, &found)) return true; /* hidden from us: in doubt it lives */
    return found == start && state != 'Z' && state != 'X';
}

uint64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
