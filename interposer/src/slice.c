/* The slice of this process: its file, its place in it, and the memory it may still take. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared_file.h"

#define VARIABLE "AICP_SLICE"
enum { MOST_VISIBLE = 64, UNKNOWN_INDEX = 0, INDEX_OFFSET = 2 };

_Atomic int slice_state = SLICE_UNKNOWN;
struct slice_file *slice;

static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;
static struct slice_process *own;
static struct card_file *cards[MOST_DEVICES];
static bool card_refused[MOST_DEVICES];
static _Atomic signed char index_of[MOST_VISIBLE]; /* by device number, plus INDEX_OFFSET */

static void reclaim_dead(void) {
    for (struct slice_process *one = slice->processes; one < slice->processes + MOST_PROCESSES; one++)
        if (one->pid && one != own && !process_lives(one->pid, one->start)) memset(one, 0, sizeof *one);
}

/* A process that replaced its program keeps pid and start time, but holds nothing any more: its old place is taken. */
static struct slice_process *find_place(struct process me) {
    struct slice_process *empty = NULL;
    for (struct slice_process *one = slice->processes; one < slice->processes + MOST_PROCESSES; one++) {
        if (one->pid == me.pid && one->start == me.start) return one;
        if (!one->pid && !empty) empty = one;
    }
    return empty;
}

static enum slice_state attach(const char *path) {
    struct file_kind kind = {SLICE_MAGIC, sizeof(struct slice_file), offsetof(struct slice_file, processes)};
    if (!slice) slice = map_shared(path, kind);
    if (!slice) return SLICE_REFUSED;
    struct process me = this_process();
    lock_shared(&slice->head);
    reclaim_dead();
    own = find_place(me);
    if (own) {
        memset(own, 0, sizeof *own);
        own->start = me.start;
        own->pid = me.pid;
    }
    unlock_shared(&slice->head);
    if (own) return SLICE_ATTACHED;
    fprintf(stderr, "aicp: this process gets no accelerator: %s: %d processes use it already\n", path, MOST_PROCESSES);
    return SLICE_REFUSED;
}

enum slice_state attach_slice(void) {
    pthread_mutex_lock(&attaching);
    int state = atomic_load_explicit(&slice_state, memory_order_acquire);
    if (state == SLICE_UNKNOWN) {
        const char *path = getenv(VARIABLE);
        state = path && *path ? attach(path) : SLICE_NONE;
        atomic_store_explicit(&slice_state, state, memory_order_release);
    }
    pthread_mutex_unlock(&attaching);
    return (enum slice_state)state;
}

/* Mappings are inherited; the place in the slice is not. */
void leave_parent_slice(void) {
    pthread_mutex_init(&attaching, NULL);
    own = NULL;
    if (slice_state == SLICE_ATTACHED) slice_state = SLICE_UNKNOWN;
}

static void __attribute__((destructor)) leave(void) {
    if (slice_state != SLICE_ATTACHED || !own) return;
    lock_shared(&slice->head);
    memset(own, 0, sizeof *own);
    unlock_shared(&slice->head);
}

int slice_index_of_uuid(const char *uuid) {
    for (uint32_t index = 0; index < slice->device_count; index++)
        if (!strncmp(slice->devices[index].uuid, uuid, sizeof slice->devices[index].uuid)) return (int)index;
    return -1;
}

static int ask_index(CUdevice device) {
    CUuuid id;
    if (DRIVER(cuDeviceGetUuid)(&id, device) != CUDA_SUCCESS) return -1;
    char text[64] = "GPU";
    size_t length = 3;
    for (unsigned number = 0; number < sizeof id.bytes; number++) {
        bool new_group = number == 0 || number == 4 || number == 6 || number == 8 || number == 10;
        length += (size_t)snprintf(text + length, sizeof text - length, new_group ? "-%02x" : "%02x", id.bytes[number]);
    }
    return slice_index_of_uuid(text);
}

int slice_index_of(CUdevice device) {
    if (device < 0 || device >= MOST_VISIBLE) return ask_index(device);
    int known = atomic_load_explicit(&index_of[device], memory_order_relaxed);
    if (known == UNKNOWN_INDEX) {
        known = ask_index(device) + INDEX_OFFSET;
        atomic_store_explicit(&index_of[device], (signed char)known, memory_order_relaxed);
    }
    return known - INDEX_OFFSET;
}

int current_slice_index(void) {
    CUdevice device;
    return DRIVER(cuCtxGetDevice)(&device) == CUDA_SUCCESS ? slice_index_of(device) : -1;
}

static uint64_t sum(int index) {
    uint64_t total = 0;
    for (struct slice_process *one = slice->processes; one < slice->processes + MOST_PROCESSES; one++)
        if (one->pid) total += one->used[index];
    return total;
}

static bool fits(int index, uint64_t bytes) {
    uint64_t limit = slice->devices[index].memory_limit, used = sum(index);
    return used <= limit && bytes <= limit - used;
}

bool charge_memory(int index, uint64_t bytes) {
    lock_shared(&slice->head);
    bool allowed = fits(index, bytes);
    if (!allowed) {
        reclaim_dead();
        allowed = fits(index, bytes);
    }
    if (allowed)
        own->used[index] += bytes;
    else
        slice->devices[index].refused++;
    unlock_shared(&slice->head);
    return allowed;
}

void refund_memory(int index, uint64_t bytes) {
    lock_shared(&slice->head);
    own->used[index] -= bytes < own->used[index] ? bytes : own->used[index];
    unlock_shared(&slice->head);
}

uint64_t memory_used(int index) {
    lock_shared(&slice->head);
    reclaim_dead();
    uint64_t used = sum(index);
    unlock_shared(&slice->head);
    return used;
}

struct card_file *card_of(int index) {
    struct file_kind kind = {CARD_MAGIC, sizeof(struct card_file), sizeof(struct head)};
    pthread_mutex_lock(&attaching);
    if (!cards[index] && !card_refused[index]) {
        cards[index] = map_shared(slice->devices[index].card, kind);
        card_refused[index] = !cards[index];
    }
    pthread_mutex_unlock(&attaching);
    return cards[index];
}
