/* What the parts of the library know of each other. */
#ifndef INTERPOSER_H
#define INTERPOSER_H

#include <stdbool.h>

#include "driver_api.h"
#include "entries.h"
#include "layout.h"

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* symbols.c: the driver's own functions. A function that this driver lacks answers CUDA_ERROR_NOT_FOUND. */
enum entry {
#define NUMBERED_HOOK(name, base, per_thread) ENTRY_##name,
#define NUMBERED_CALL(name) ENTRY_##name,
    DRIVER_ENTRIES(NUMBERED_HOOK, NUMBERED_CALL) ENTRY_COUNT
};
extern _Atomic(void *) driver_functions[ENTRY_COUNT];
void *find_driver_function(enum entry entry);
static inline void *driver_function(enum entry entry) {
    void *found = atomic_load_explicit(&driver_functions[entry], memory_order_acquire);
    return LIKELY(found) ? found : find_driver_function(entry);
}
#define DRIVER(name) ((__typeof__(&name))driver_function(ENTRY_##name))

/* processes.c */
struct process { int64_t pid; uint64_t start; };
struct process this_process(void);
void forget_this_process(void); /* after a fork */
bool process_lives(int64_t pid, uint64_t start);
uint64_t now_nanoseconds(void);

/* slice.c: the slice this process lives in. */
enum slice_state { SLICE_UNKNOWN, SLICE_NONE, SLICE_REFUSED, SLICE_ATTACHED };
extern _Atomic int slice_state;
extern struct slice_file *slice;
enum slice_state attach_slice(void);
static inline enum slice_state ensure_slice(void) {
    int state = atomic_load_explicit(&slice_state, memory_order_acquire);
    return LIKELY(state != SLICE_UNKNOWN) ? (enum slice_state)state : attach_slice();
}
void leave_parent_slice(void); /* in the child of a fork */
int slice_index_of(CUdevice device);      /* -1: not one of the slice's */
int slice_index_of_uuid(const char *uuid);
int current_slice_index(void);            /* of the current context's device */
bool charge_memory(int index, uint64_t bytes); /* false: it does not fit */
void refund_memory(int index, uint64_t bytes);
uint64_t memory_used(int index);          /* by every living process of the slice */
struct card_file *card_of(int index);     /* NULL: it cannot be used */

/* allocations.c: what this process holds, to know what a free gives back. */
enum kind { KIND_POINTER = 1, KIND_HANDLE, KIND_ARRAY, KIND_MIPMAP, KIND_POOL, KIND_MAPPING };
struct allocation {
    uint64_t key;     /* pointer or handle; 0: free */
    uint64_t bytes;
    uint64_t target;  /* a mapping's handle */
    CUcontext context; /* NULL: belongs to no context */
    int index;        /* of the device in the slice */
    enum kind kind;
    unsigned holds;   /* references: the handle itself and its mappings */
};
void remember(struct allocation allocation);
bool recall(enum kind kind, uint64_t key, struct allocation *found);
bool hold_again(enum kind kind, uint64_t key);
/* Gives up one hold; true when it was the last, and then `found` is what is no longer remembered. */
bool give_up(enum kind kind, uint64_t key, struct allocation *found);
void let_go_mappings(CUdeviceptr from, uint64_t bytes);
void refund_context(CUcontext context);
void forget_allocations(void); /* after a fork */

/* accounts.c: reserved in the slice, then asked of the driver, and given back when it refuses or frees.
   `index` -1: nothing is counted. */
CUresult reserve(int index, uint64_t bytes);
CUresult reserve_here(uint64_t bytes, int *index); /* on the current context's device */
CUresult reserve_on(CUmemLocation location, uint64_t bytes, int *index);
CUresult settle(CUresult result, struct allocation allocation); /* after the driver's answer */
/* Around the driver's freeing. What is freed is forgotten first: as soon as the driver has it back, another thread may
   be given the same key. */
struct release { bool last; struct allocation gone; };
struct release begin_release(enum kind kind, uint64_t key);
CUresult end_release(struct release *release, CUresult result);

/* card.c: who may use the device now. */
struct lease { uint64_t serial, until; };
struct lease take_card(struct card_file *card, int index);
/* `used`: device time to charge. False: the turn is over. */
bool extend_card(struct card_file *card, struct lease *lease, int index, uint64_t used);
void return_card(struct card_file *card, const struct lease *lease, uint64_t used);

/* lane.c: the way of this process' launches to one device. */
struct pass { struct lane *lane; CUcontext context; CUstream stream; };
CUresult open_limited_pass(struct pass *pass, CUstream stream);
void close_limited_pass(struct pass *pass);
void settle_stream(CUstream stream);
void forget_context(CUcontext context); /* before it is destroyed */
void forget_lanes(void);                /* after a fork */
bool is_capturing(CUstream stream);
static inline bool is_limited(void) {
    for (uint32_t index = 0; index < slice->device_count; index++)
        if (atomic_load_explicit(&slice->devices[index].percent, memory_order_relaxed) < 100) return true;
    return false;
}

#endif
