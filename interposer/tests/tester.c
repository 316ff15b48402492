/* A CUDA program for tests: reads one command a line, answers one line. Started as `tester MODE [DEVICE]`, where MODE
   is the way by which it finds the driver: `link`, `dlsym`, `address` (cuGetProcAddress) or `thread` (the same, for a
   default stream of each thread). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../src/layout.h"
#include "fake_driver.h"

#define USED(X)                                                                                                  \
    X(cuInit, cuInit) X(cuCtxDestroy_v2, cuCtxDestroy) X(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain)      \
    X(cuDevicePrimaryCtxReset_v2, cuDevicePrimaryCtxReset) X(cuDeviceTotalMem_v2, cuDeviceTotalMem)               \
    X(cuMemGetInfo_v2, cuMemGetInfo) X(cuMemAlloc_v2, cuMemAlloc) X(cuMemAllocManaged, cuMemAllocManaged)         \
    X(cuMemAllocPitch_v2, cuMemAllocPitch) X(cuMemFree_v2, cuMemFree) X(cuMemAllocAsync, cuMemAllocAsync)         \
    X(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync) X(cuMemFreeAsync, cuMemFreeAsync)                         \
    X(cuMemPoolCreate, cuMemPoolCreate) X(cuMemCreate, cuMemCreate) X(cuMemRelease, cuMemRelease)                 \
    X(cuMemMap, cuMemMap) X(cuMemUnmap, cuMemUnmap)                                                               \
    X(cuMemRetainAllocationHandle, cuMemRetainAllocationHandle) X(cuArrayCreate_v2, cuArrayCreate)                \
    X(cuArray3DCreate_v2, cuArray3DCreate) X(cuArrayDestroy, cuArrayDestroy)                                      \
    X(cuMipmappedArrayCreate, cuMipmappedArrayCreate) X(cuMipmappedArrayDestroy, cuMipmappedArrayDestroy)         \
    X(cuLaunchKernel, cuLaunchKernel) X(cuLaunchKernelEx, cuLaunchKernelEx)                                       \
    X(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel) X(cuGraphLaunch, cuGraphLaunch)                       \
    X(cuStreamBeginCapture_v2, cuStreamBeginCapture) X(cuStreamDestroy_v2, cuStreamDestroy)

#define DECLARED(name, base) static __typeof__(name) *p_##name;
USED(DECLARED)

enum { MOST = 4096 };
struct held { char kind[32]; uint64_t key; size_t bytes; };
static struct held held[MOST];
static unsigned held_count;
static CUcontext context;
static CUstream stream;
static int device;

static void find_functions(const char *mode) {
#define BY_LINK(name, base) p_##name = name;
    USED(BY_LINK)
    if (!strcmp(mode, "dlsym")) {
        void *library = dlopen("libcuda.so.1", RTLD_NOW);
#define BY_DLSYM(name, base) p_##name = (__typeof__(name) *)dlsym(library, #name);
        USED(BY_DLSYM)
    } else if (strcmp(mode, "link")) {
        void *library = dlopen("libcuda.so.1", RTLD_NOW);
        uint64_t flags = strcmp(mode, "thread") ? 0 : CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
        __typeof__(cuGetProcAddress_v2) *ask = (void *)dlsym(library, "cuGetProcAddress_v2");
        ask("cuGetProcAddress", (void **)&ask, 12040, flags, NULL); /* as the runtime library does */
#define BY_ADDRESS(name, base) \
    if (ask(#base, (void **)&p_##name, 12040, flags, NULL) != 0) abort();
        USED(BY_ADDRESS)
    }
}

static CUresult allocate(const char *kind, size_t bytes, uint64_t *key) {
    CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    CUDA_ARRAY_DESCRIPTOR flat = {bytes / 4096, 1024, 0x20, 1}; /* four bytes an element */
    CUDA_ARRAY3D_DESCRIPTOR solid = {bytes / 4096, 32, 32, 0x20, 1, 0};
    CUDA_ARRAY3D_DESCRIPTOR steps = {bytes / 8, 0, 0, 0x20, 1, 0}; /* half of it, a quarter, an eighth */
    if (!strcmp(kind, "plain")) return p_cuMemAlloc_v2((CUdeviceptr *)key, bytes);
    if (!strcmp(kind, "managed")) return p_cuMemAllocManaged((CUdeviceptr *)key, bytes, 1);
    if (!strcmp(kind, "async")) return p_cuMemAllocAsync((CUdeviceptr *)key, bytes, stream);
    if (!strcmp(kind, "pitch")) {
        size_t pitch;
        return p_cuMemAllocPitch_v2((CUdeviceptr *)key, &pitch, bytes / 1024 - 500, 1024, 4);
    }
    if (!strcmp(kind, "pool")) {
        CUmemPoolProps properties = {.location = here};
        CUmemoryPool pool;
        p_cuMemPoolCreate(&pool, &properties);
        return p_cuMemAllocFromPoolAsync((CUdeviceptr *)key, bytes, pool, stream);
    }
    if (!strcmp(kind, "create") || !strcmp(kind, "map")) {
        CUmemAllocationProp properties = {.type = 1, .location = here};
        CUresult result = p_cuMemCreate((CUmemGenericAllocationHandle *)key, bytes, &properties, 0);
        if (result || !strcmp(kind, "create")) return result;
        p_cuMemMap(*key + (1ull << 44), bytes, 0, *key, 0);
        return p_cuMemRelease(*key); /* what is mapped stays */
    }
    if (!strcmp(kind, "array")) return p_cuArrayCreate_v2((CUarray *)key, &flat);
    if (!strcmp(kind, "solid")) return p_cuArray3DCreate_v2((CUarray *)key, &solid);
    if (!strcmp(kind, "mipmap")) return p_cuMipmappedArrayCreate((CUmipmappedArray *)key, &steps, 3);
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult release(const struct held *one) {
    void *handle = (void *)(uintptr_t)one->key;
    if (!strcmp(one->kind, "create")) return p_cuMemRelease(one->key);
    if (!strcmp(one->kind, "map")) return p_cuMemUnmap(one->key + (1ull << 44), one->bytes);
    if (!strcmp(one->kind, "array") || !strcmp(one->kind, "solid")) return p_cuArrayDestroy(handle);
    if (!strcmp(one->kind, "mipmap")) return p_cuMipmappedArrayDestroy(handle);
    if (!strcmp(one->kind, "async") || !strcmp(one->kind, "pool")) return p_cuMemFreeAsync(one->key, stream);
    return p_cuMemFree_v2(one->key);
}

static CUresult launch(const char *kind, unsigned grid) {
    static CUgraphExec graph;
    if (!strcmp(kind, "kernel")) return p_cuLaunchKernel(NULL, grid, 1, 1, 1, 1, 1, 0, stream, NULL, NULL);
    if (!strcmp(kind, "cooperative"))
        return p_cuLaunchCooperativeKernel(NULL, grid, 1, 1, 1, 1, 1, 0, stream, NULL);
    if (!strcmp(kind, "extended")) {
        CUlaunchConfig shape = {grid, 1, 1, 1, 1, 1, 0, stream, NULL, 0};
        return p_cuLaunchKernelEx(&shape, NULL, NULL, NULL);
    }
    if (!graph) { /* four kernels */
        CUgraph captured;
        p_cuStreamBeginCapture_v2(stream, 0);
        for (int number = 0; number < 4; number++) launch("kernel", grid);
        cuStreamEndCapture(stream, &captured);
        cuGraphInstantiateWithFlags(&graph, captured, 0);
    }
    return p_cuGraphLaunch(graph, stream);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Device time got, and time passed, both nanoseconds. */
static void spin(const char *kind, unsigned grid, uint64_t until) {
    uint64_t began = now(), busy = fake_busy(device);
    while (now() < until) {
        CUresult result = launch(kind, grid);
        if (result) {
            printf("error %d\n", result);
            return;
        }
    }
    printf("%llu %llu\n", (unsigned long long)(fake_busy(device) - busy), (unsigned long long)(now() - began));
}

/* Launches that give the device nothing to do: what one costs, nanoseconds. */
static void time_launches(unsigned count) {
    uint64_t began = now();
    for (unsigned number = 0; number < count; number++) launch("kernel", 0);
    printf("%.2f\n", (double)(now() - began) / count);
}

static void answer_nvml(void) {
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW), *handle = NULL;
    nvmlMemory_t first;
    nvmlMemory_v2_t second = {.version = 2};
    int (*by_index)(unsigned, void **) = (void *)dlsym(library, "nvmlDeviceGetHandleByIndex_v2");
    __typeof__(nvmlDeviceGetMemoryInfo) *ask = (void *)dlsym(library, "nvmlDeviceGetMemoryInfo");
    __typeof__(nvmlDeviceGetMemoryInfo_v2) *ask_more = (void *)dlsym(library, "nvmlDeviceGetMemoryInfo_v2");
    by_index((unsigned)device, &handle);
    ask(handle, &first);
    ask_more(handle, &second);
    printf("%llu %llu %llu %llu %llu %llu\n", first.total, first.used, first.free, second.total, second.used,
           second.free);
}

/* In the child of a fork: the memory it can have, and whether it can launch. */
static void answer_fork(size_t bytes) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        uint64_t key;
        size_t available = 0, total;
        CUresult made = allocate("plain", bytes, &key), launched = launch("kernel", 10);
        p_cuMemGetInfo_v2(&available, &total);
        printf("%d %d %zu\n", made, launched, available);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void *allocate_and_launch(void *mistakes) {
    cuCtxSetCurrent(context);
    for (int number = 0; number < 100; number++) {
        uint64_t key = 0;
        CUresult made = allocate(number % 2 ? "plain" : "map", 1 << 20, &key);
        if (launch("kernel", 10)) ++*(_Atomic int *)mistakes;
        struct held one = {.key = key, .bytes = 1 << 20};
        snprintf(one.kind, sizeof one.kind, "%s", number % 2 ? "plain" : "map");
        if (made || release(&one)) ++*(_Atomic int *)mistakes;
    }
    return NULL;
}

/* So many threads allocate, launch and free at the same time: how many calls failed. */
static void answer_threads(unsigned count) {
    pthread_t threads[64];
    _Atomic int mistakes = 0;
    for (unsigned number = 0; number < count; number++)
        pthread_create(&threads[number], NULL, allocate_and_launch, &mistakes);
    for (unsigned number = 0; number < count; number++) pthread_join(threads[number], NULL);
    printf("%d\n", mistakes);
}

static void answer_context(size_t bytes) {
    CUcontext other;
    uint64_t key;
    size_t before, after, total;
    p_cuMemGetInfo_v2(&before, &total);
    cuCtxCreate_v2(&other, 0, device);
    allocate("plain", bytes, &key);
    launch("kernel", 10);
    p_cuCtxDestroy_v2(other);
    cuCtxSetCurrent(context);
    p_cuMemGetInfo_v2(&after, &total);
    printf("%zu %zu\n", before, after);
}

static void answer_layout(void) {
    printf("%u %zu %zu %zu %zu %zu %zu %zu %zu %zu %zu %zu\n", LAYOUT, sizeof(struct slice_file),
           sizeof(struct card_file), offsetof(struct slice_file, device_count), offsetof(struct slice_file, devices),
           sizeof(struct slice_device), offsetof(struct slice_device, memory_limit),
           offsetof(struct slice_device, percent), offsetof(struct slice_device, policy),
           offsetof(struct slice_device, refused), offsetof(struct slice_file, processes),
           sizeof(struct slice_process));
}

static void answer_memory(void) {
    size_t available = 0, total = 0, device_total = 0;
    p_cuMemGetInfo_v2(&available, &total);
    p_cuDeviceTotalMem_v2(&device_total, device);
    printf("%zu %zu %zu\n", available, total, device_total);
}

static void answer_allocate(const char *kind, size_t bytes) {
    struct held *one = &held[held_count];
    snprintf(one->kind, sizeof one->kind, "%s", kind);
    one->bytes = bytes;
    CUresult result = allocate(kind, bytes, &one->key);
    printf("%d %u\n", result, result ? 0 : held_count++);
}

static void answer(const char *command, const char *word, unsigned long long first, unsigned long long second) {
    if (!strcmp(command, "allocate")) answer_allocate(word, first);
    else if (!strcmp(command, "release")) printf("%d\n", release(&held[first]));
    else if (!strcmp(command, "memory")) answer_memory();
    else if (!strcmp(command, "nvml")) answer_nvml();
    else if (!strcmp(command, "launch")) printf("%d\n", launch(word, (unsigned)first));
    else if (!strcmp(command, "spin")) spin(word, (unsigned)first, second);
    else if (!strcmp(command, "time")) time_launches((unsigned)first);
    else if (!strcmp(command, "fork")) answer_fork(first);
    else if (!strcmp(command, "context")) answer_context(first);
    else if (!strcmp(command, "threads")) answer_threads((unsigned)first);
    else if (!strcmp(command, "reset")) printf("%d\n", p_cuDevicePrimaryCtxReset_v2(device));
    else if (!strcmp(command, "layout")) answer_layout();
    else if (!strcmp(command, "next")) printf("%d\n", dlsym(RTLD_NEXT, "malloc") == dlsym(RTLD_DEFAULT, "malloc"));
    else printf("what is %s?\n", command);
    fflush(stdout);
}

int main(int count, char **words) {
    char line[256], command[32], word[32];
    device = count > 2 ? atoi(words[2]) : 0;
    find_functions(words[1]);
    CUresult began = p_cuInit(0);
    if (!began) began = p_cuDevicePrimaryCtxRetain(&context, device);
    if (!began) cuCtxSetCurrent(context);
    if (!began && strcmp(words[1], "thread")) cuStreamCreate(&stream, 0);
    printf("%d\n", began);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        unsigned long long first = 0, second = 0;
        sscanf(line, "%31s %31s %llu %llu", command, word, &first, &second);
        answer(command, word, first, second);
    }
    return 0;
}
