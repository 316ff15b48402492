/* What this process holds. The driver does not tell the size of what is freed, so it is kept here. */
#include <stdlib.h>

#include "interposer.h"

enum { BUCKETS = 4096 };

struct node {
    struct allocation allocation;
    struct node *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *buckets[BUCKETS];

static struct node **find(enum kind kind, uint64_t key) {
    uint64_t mixed = (key ^ (uint64_t)kind << 56) * 0x9E3779B97F4A7C15u; /* Fibonacci hashing (Knuth, TAOCP 6.4) */
    struct node **place = &buckets[mixed >> 52];
    while (*place && ((*place)->allocation.kind != kind || (*place)->allocation.key != key)) place = &(*place)->next;
    return place;
}

static struct allocation unlink_node(struct node **place) {
    struct node *gone = *place;
    struct allocation allocation = gone->allocation;
    *place = gone->next;
    free(gone);
    return allocation;
}

static void refund(const struct allocation *allocation) {
    if (allocation->index >= 0 && allocation->bytes) refund_memory(allocation->index, allocation->bytes);
}

void remember(struct allocation allocation) {
    struct allocation stale = {.index = -1};
    pthread_mutex_lock(&lock);
    struct node **place = find(allocation.kind, allocation.key);
    if (*place) { /* the driver gives this key anew: what had it was freed in a way that nobody saw */
        stale = (*place)->allocation;
        (*place)->allocation = allocation;
    } else {
        struct node *node = malloc(sizeof *node);
        if (node) {
            *node = (struct node){allocation, NULL};
            *place = node;
        }
    }
    pthread_mutex_unlock(&lock);
    refund(&stale);
}

bool recall(enum kind kind, uint64_t key, struct allocation *found) {
    pthread_mutex_lock(&lock);
    struct node *node = *find(kind, key);
    if (node) *found = node->allocation;
    pthread_mutex_unlock(&lock);
    return node != NULL;
}

bool hold_again(enum kind kind, uint64_t key) {
    pthread_mutex_lock(&lock);
    struct node *node = *find(kind, key);
    if (node) node->allocation.holds++;
    pthread_mutex_unlock(&lock);
    return node != NULL;
}

bool give_up(enum kind kind, uint64_t key, struct allocation *found) {
    pthread_mutex_lock(&lock);
    struct node **place = find(kind, key);
    bool last = *place && --(*place)->allocation.holds == 0;
    if (last) *found = unlink_node(place);
    pthread_mutex_unlock(&lock);
    return last;
}

/* Takes out one allocation after the other for which `wanted` says so. */
static bool take_one(bool (*wanted)(const struct allocation *, uint64_t, uint64_t), uint64_t first, uint64_t second,
                     struct allocation *found) {
    bool taken = false;
    pthread_mutex_lock(&lock);
    for (unsigned bucket = 0; bucket < BUCKETS && !taken; bucket++)
        for (struct node **place = &buckets[bucket]; *place && !taken;) {
            if (wanted(&(*place)->allocation, first, second)) {
                *found = unlink_node(place);
                taken = true;
            } else {
                place = &(*place)->next;
            }
        }
    pthread_mutex_unlock(&lock);
    return taken;
}

static bool is_mapping_within(const struct allocation *one, uint64_t from, uint64_t bytes) {
    return one->kind == KIND_MAPPING && one->key >= from && one->key - from < bytes;
}

static bool is_of_context(const struct allocation *one, uint64_t context, uint64_t unused) {
    (void)unused;
    return one->context && (uint64_t)(uintptr_t)one->context == context;
}

void let_go_mappings(CUdeviceptr from, uint64_t bytes) {
    struct allocation mapping, handle;
    while (take_one(is_mapping_within, from, bytes, &mapping))
        if (give_up(KIND_HANDLE, mapping.target, &handle)) refund(&handle);
}

void refund_context(CUcontext context) {
    struct allocation gone;
    while (take_one(is_of_context, (uint64_t)(uintptr_t)context, 0, &gone)) refund(&gone);
}

/* In the child of a fork another thread of the parent may have been in the middle of a change: begin anew. */
void forget_allocations(void) {
    pthread_mutex_init(&lock, NULL);
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) buckets[bucket] = NULL;
}
