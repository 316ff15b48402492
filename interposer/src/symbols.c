/* The three ways by which a program finds the driver's functions: linked directly (this library comes first, for it is
   preloaded), dlsym, and cuGetProcAddress. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "interposer.h"

#define CUDA_LIBRARY "libcuda.so.1"
#define NVML_LIBRARY "libnvidia-ml.so.1"

struct known {
    const char *name, *base;
    void *replacement; /* NULL: only called */
    int per_thread;
};
static const struct known known[ENTRY_COUNT] = {
#define KNOWN_HOOK(name, base, per_thread) {#name, #base, (void *)name, per_thread},
#define KNOWN_CALL(name) {#name, "", NULL, 0},
    DRIVER_ENTRIES(KNOWN_HOOK, KNOWN_CALL)};

_Atomic(void *) driver_functions[ENTRY_COUNT];

typedef void *(*lookup)(void *, const char *);
static _Atomic(lookup) loader_dlsym;

/* glibc gave its dlsym a new version when it moved it into libc.so (2.34); before, each architecture has its own. */
static lookup find_loader_dlsym(void) {
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5"};
    lookup found = atomic_load_explicit(&loader_dlsym, memory_order_relaxed);
    for (unsigned number = 0; !found && number < sizeof versions / sizeof *versions; number++)
        found = (lookup)dlvsym(RTLD_NEXT, "dlsym", versions[number]);
    atomic_store_explicit(&loader_dlsym, found, memory_order_relaxed);
    return found;
}

static int absent_in_cuda(void) { return CUDA_ERROR_NOT_FOUND; }
static int absent_in_nvml(void) { return 13; /* NVML_ERROR_FUNCTION_NOT_FOUND */ }

void *find_driver_function(enum entry entry) {
    const char *name = known[entry].name;
    bool nvml = !strncmp(name, "nvml", 4);
    void *absent = nvml ? (void *)absent_in_nvml : (void *)absent_in_cuda;
    void *library = dlopen(nvml ? NVML_LIBRARY : CUDA_LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    if (!library) return absent;
    void *found = find_loader_dlsym()(library, name);
    if (!found) found = absent;
    atomic_store_explicit(&driver_functions[entry], found, memory_order_release);
    return found;
}

static const struct known *find_by_name(const char *name) {
    for (unsigned entry = 0; entry < ENTRY_COUNT; entry++)
        if (known[entry].replacement && !strcmp(known[entry].name, name)) return &known[entry];
    return NULL;
}

/* The last line must stay a jump (`-O2` makes it one; a test watches it): RTLD_NEXT means the library after the one
   that the call comes from, and that is told by the address the call returns to. */
EXPORT void *dlsym(void *restrict handle, const char *restrict name) {
    lookup loader = find_loader_dlsym();
    if (!strncmp(name, "cu", 2) || !strncmp(name, "nvml", 4)) {
        const struct known *found = find_by_name(name);
        if (found) return loader(handle, name) ? found->replacement : NULL;
    }
    return loader(handle, name);
}

static void *replacement(const char *base, int version, uint64_t flags) {
    int per_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0;
    if (!strcmp(base, "cuGetProcAddress"))
        return version >= 12000 ? (void *)cuGetProcAddress_v2 : (void *)cuGetProcAddress;
    const struct known *found = NULL;
    for (unsigned entry = 0; entry < ENTRY_COUNT; entry++) {
        const struct known *one = &known[entry];
        if (!one->replacement || strcmp(one->base, base)) continue;
        if (one->per_thread == per_thread || (!found && !one->per_thread)) found = one;
    }
    if (!found) found = find_by_name(base);
    return found ? found->replacement : NULL;
}

static void replace(const char *base, void **function, int version, uint64_t flags) {
    void *ours = function && *function ? replacement(base, version, flags) : NULL;
    if (ours) *function = ours;
}

EXPORT CUresult cuGetProcAddress(const char *base, void **function, int version, uint64_t flags) {
    CUresult result = DRIVER(cuGetProcAddress)(base, function, version, flags);
    if (result == CUDA_SUCCESS) replace(base, function, version, flags);
    return result;
}

EXPORT CUresult cuGetProcAddress_v2(const char *base, void **function, int version, uint64_t flags, int *status) {
    CUresult result = DRIVER(cuGetProcAddress_v2)(base, function, version, flags, status);
    if (result == CUDA_SUCCESS) replace(base, function, version, flags);
    return result;
}

EXPORT CUresult cuInit(unsigned flags) {
    if (ensure_slice() == SLICE_REFUSED) return CUDA_ERROR_NOT_PERMITTED;
    return DRIVER(cuInit)(flags);
}
