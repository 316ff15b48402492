/* A stand-in for libcuda.so.1 for tests: a device that takes as many microseconds for a kernel as its grid is wide.

   Kernels take no processor time: the device's clock is a number in shared memory up to which it is busy. Never to be
   installed outside a test's directory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fake_driver.h"

#define MICROSECOND 1000ull
static const uint64_t LONGEST_QUEUE = 50000 * MICROSECOND;

struct context { int device; };
struct graph { uint64_t work; };
struct stream { struct context *context; uint64_t done_at; struct graph *capture; };
struct event { uint64_t done_at; };
struct piece { uint64_t key, bytes; int device, references, owner; struct context *context; };
struct pool { int device; };

enum { PIECES = 65536 };
static struct state *state;
static struct context primaries[DEVICES] = {{0}, {1}};
static struct stream default_streams[DEVICES] = {{&primaries[0], 0, NULL}, {&primaries[1], 0, NULL}};
static int primary_references[DEVICES];
static __thread struct context *current;
static struct piece pieces[PIECES];
static struct piece mappings[PIECES];
static uint64_t next_key = 1ull << 32;
static pthread_mutex_t local = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void sleep_until(uint64_t end) {
    struct timespec time = {(time_t)(end / 1000000000u), (long)(end % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) continue;
}

static void lock_state(void) {
    if (pthread_mutex_lock(&state->lock) == EOWNERDEAD) pthread_mutex_consistent(&state->lock);
}

static void unlock_state(void) { pthread_mutex_unlock(&state->lock); }

static struct client *client_of(int pid) {
    struct client *empty = NULL;
    for (struct client *one = state->clients; one < state->clients + CLIENTS; one++) {
        if (one->pid == pid) return one;
        if (!one->pid && !empty) empty = one;
    }
    if (!empty) abort();
    empty->pid = pid;
    return empty;
}

/* As a driver does when a process ends, however it ends. */
static uint64_t used_now(int device) {
    uint64_t used = 0;
    for (struct client *one = state->clients; one < state->clients + CLIENTS; one++) {
        if (one->pid && kill(one->pid, 0) != 0) memset(one->used, 0, sizeof one->used);
        used += one->used[device];
    }
    return used;
}

static CUresult take(uint64_t bytes, int device, uint64_t *key) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    lock_state();
    CUresult result = used_now(device) + bytes > DEVICE_BYTES ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
    if (!result) client_of(getpid())->used[device] += bytes;
    unlock_state();
    if (result) return result;
    pthread_mutex_lock(&local);
    struct piece *piece = pieces;
    while (piece->key) piece++;
    *key = next_key;
    next_key += (bytes + 511) / 512 * 512;
    *piece = (struct piece){*key, bytes, device, 1, getpid(), current};
    pthread_mutex_unlock(&local);
    return CUDA_SUCCESS;
}

static CUresult drop(struct piece *piece) {
    if (--piece->references) return CUDA_SUCCESS;
    lock_state();
    if (piece->owner == getpid()) client_of(getpid())->used[piece->device] -= piece->bytes;
    unlock_state();
    piece->key = 0;
    return CUDA_SUCCESS;
}

static struct piece *find_piece(uint64_t key) {
    for (struct piece *one = pieces; key && one < pieces + PIECES; one++)
        if (one->key == key) return one;
    return NULL;
}

static CUresult give_back(uint64_t key) {
    pthread_mutex_lock(&local);
    struct piece *piece = find_piece(key);
    CUresult result = piece ? drop(piece) : CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_unlock(&local);
    return result;
}

static struct stream *real_stream(CUstream stream) {
    return stream && stream != CU_STREAM_PER_THREAD ? stream : &default_streams[current->device];
}

static CUresult work(CUstream handle, uint64_t time) {
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    struct stream *stream = real_stream(handle);
    if (stream->capture) {
        stream->capture->work += time;
        return CUDA_SUCCESS;
    }
    struct device *device = &state->devices[current->device];
    uint64_t begin = now();
    if (stream->done_at > begin + LONGEST_QUEUE) sleep_until(stream->done_at - LONGEST_QUEUE);
    if (!time) return CUDA_SUCCESS;
    lock_state();
    begin = now();
    if (device->busy_until > begin) begin = device->busy_until;
    stream->done_at = device->busy_until = begin + time;
    client_of(getpid())->busy[current->device] += time;
    unlock_state();
    return CUDA_SUCCESS;
}

uint64_t fake_busy(int device) {
    lock_state();
    uint64_t busy = client_of(getpid())->busy[device];
    unlock_state();
    return busy;
}

CUresult cuInit(unsigned flags) {
    const char *path = getenv("FAKE_CUDA_STATE");
    (void)flags;
    if (state) return CUDA_SUCCESS;
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0) return CUDA_ERROR_NOT_FOUND;
    flock(file, LOCK_EX);
    if (ftruncate(file, sizeof *state) != 0) return CUDA_ERROR_NOT_FOUND;
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (!state->ready) {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&state->lock, &attributes);
        state->ready = 1;
    }
    flock(file, LOCK_UN);
    close(file);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int number) { return number < DEVICES ? (*device = number, 0) : 101; }
CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
    for (unsigned number = 0; number < 16; number++) uuid->bytes[number] = (unsigned char)(device * 16 + number);
    return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) { return (void)device, *bytes = DEVICE_BYTES, 0; }

CUresult cuCtxGetCurrent(CUcontext *context) { return *context = current, 0; }
CUresult cuCtxSetCurrent(CUcontext context) { return current = context, 0; }
CUresult cuCtxGetDevice(CUdevice *device) {
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    return *device = current->device, 0;
}
static __thread struct context *pushed_over[16];
static __thread unsigned pushed;
CUresult cuCtxPushCurrent_v2(CUcontext context) { return pushed_over[pushed++] = current, current = context, 0; }
CUresult cuCtxPopCurrent_v2(CUcontext *context) { return *context = current, current = pushed_over[--pushed], 0; }
CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) {
    (void)flags;
    current = malloc(sizeof *current);
    current->device = device;
    return *context = current, 0;
}
static void free_all_of(struct context *context) {
    pthread_mutex_lock(&local);
    for (struct piece *one = pieces; one < pieces + PIECES; one++)
        if (one->key && one->context == context) one->references = 1, drop(one);
    pthread_mutex_unlock(&local);
}
CUresult cuCtxDestroy_v2(CUcontext context) {
    free_all_of(context);
    if (current == context) current = NULL;
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    primary_references[device]++;
    return *context = &primaries[device], 0;
}
CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) { return free_all_of(&primaries[device]), 0; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    return --primary_references[device] ? 0 : cuDevicePrimaryCtxReset_v2(device);
}
CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    return *flags = 0, *active = primary_references[device] > 0, 0;
}

CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    lock_state();
    *total = DEVICE_BYTES;
    *available = DEVICE_BYTES - used_now(current->device);
    unlock_state();
    return CUDA_SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr *key, size_t bytes) {
    uint64_t made;
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = take(bytes, current->device, &made);
    if (!result) *key = made;
    return result;
}
CUresult cuMemAllocManaged(CUdeviceptr *key, size_t bytes, unsigned flags) { return (void)flags, cuMemAlloc_v2(key, bytes); }
CUresult cuMemAllocPitch_v2(CUdeviceptr *key, size_t *pitch, size_t width, size_t rows, unsigned element) {
    (void)element;
    *pitch = (width + 511) / 512 * 512;
    return cuMemAlloc_v2(key, *pitch * rows);
}
CUresult cuMemFree_v2(CUdeviceptr key) { return give_back(key); }
CUresult cuMemAllocAsync(CUdeviceptr *key, size_t bytes, CUstream stream) { return (void)stream, cuMemAlloc_v2(key, bytes); }
CUresult cuMemAllocAsync_ptsz(CUdeviceptr *key, size_t bytes, CUstream stream) { return cuMemAllocAsync(key, bytes, stream); }
CUresult cuMemAllocFromPoolAsync(CUdeviceptr *key, size_t bytes, CUmemoryPool pool, CUstream stream) {
    uint64_t made;
    (void)stream;
    CUresult result = take(bytes, ((struct pool *)pool)->device, &made);
    if (!result) *key = made;
    return result;
}
CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *key, size_t bytes, CUmemoryPool pool, CUstream stream) {
    return cuMemAllocFromPoolAsync(key, bytes, pool, stream);
}
CUresult cuMemFreeAsync(CUdeviceptr key, CUstream stream) { return (void)stream, give_back(key); }
CUresult cuMemFreeAsync_ptsz(CUdeviceptr key, CUstream stream) { return cuMemFreeAsync(key, stream); }
CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *properties) {
    struct pool *made = malloc(sizeof *made);
    made->device = properties->location.id;
    return *pool = made, 0;
}
CUresult cuMemPoolDestroy(CUmemoryPool pool) { return free(pool), 0; }
CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                     unsigned long long flags) {
    uint64_t made;
    (void)flags;
    CUresult result = take(bytes, properties->location.id, &made);
    if (!result) *handle = made;
    return result;
}
CUresult cuMemRelease(CUmemGenericAllocationHandle handle) { return give_back(handle); }
CUresult cuMemMap(CUdeviceptr key, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
    (void)offset, (void)flags;
    pthread_mutex_lock(&local);
    struct piece *piece = find_piece(handle), *mapping = mappings;
    while (mapping->key) mapping++;
    if (piece) piece->references++, *mapping = (struct piece){.key = key, .bytes = handle};
    pthread_mutex_unlock(&local);
    (void)bytes;
    return piece ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemUnmap(CUdeviceptr key, size_t bytes) {
    pthread_mutex_lock(&local);
    for (struct piece *one = mappings; one < mappings + PIECES; one++)
        if (one->key >= key && one->key < key + bytes) drop(find_piece(one->bytes)), one->key = 0;
    pthread_mutex_unlock(&local);
    return CUDA_SUCCESS;
}
CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address) {
    for (struct piece *one = mappings; one < mappings + PIECES; one++)
        if (one->key && one->key == (uint64_t)(uintptr_t)address) {
            find_piece(one->bytes)->references++;
            return *handle = one->bytes, 0;
        }
    return CUDA_ERROR_INVALID_VALUE;
}

static uint64_t area(size_t width, size_t height, size_t depth, unsigned channels) {
    return width * (height ? height : 1) * (depth ? depth : 1) * channels * 4; /* every format is float here */
}
static CUresult make_array(void **array, uint64_t bytes) {
    CUdeviceptr key;
    CUresult result = cuMemAlloc_v2(&key, bytes);
    if (!result) *array = (void *)(uintptr_t)key;
    return result;
}
CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *shape) {
    return make_array(array, area(shape->Width, shape->Height, 0, shape->NumChannels));
}
CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape) {
    return make_array(array, area(shape->Width, shape->Height, shape->Depth, shape->NumChannels));
}
CUresult cuArrayDestroy(CUarray array) { return give_back((uintptr_t)array); }
CUresult cuMipmappedArrayCreate(CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned levels) {
    uint64_t bytes = 0;
    for (unsigned level = 0; level < levels; level++)
        bytes += area(shape->Width >> level, shape->Height >> level, shape->Depth >> level, shape->NumChannels);
    return make_array(array, bytes);
}
CUresult cuMipmappedArrayDestroy(CUmipmappedArray array) { return give_back((uintptr_t)array); }

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    (void)flags;
    struct stream *made = calloc(1, sizeof *made);
    made->context = current;
    return *stream = made, 0;
}
CUresult cuStreamDestroy_v2(CUstream stream) { return free(stream), 0; }
CUresult cuStreamSynchronize(CUstream stream) { return sleep_until(real_stream(stream)->done_at), 0; }
CUresult cuCtxSynchronize(void) { return sleep_until(state->devices[current->device].busy_until), 0; }
CUresult cuStreamIsCapturing(CUstream stream, int *status) { return *status = real_stream(stream)->capture != NULL, 0; }
CUresult cuThreadExchangeStreamCaptureMode(int *mode) {
    static __thread int own;
    int before = own;
    return own = *mode, *mode = before, 0;
}
CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
    return (void)mode, real_stream(stream)->capture = calloc(1, sizeof(struct graph)), 0;
}
CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, int mode) { return cuStreamBeginCapture_v2(stream, mode); }
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    return *graph = real_stream(stream)->capture, real_stream(stream)->capture = NULL, 0;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *made, CUgraph graph, unsigned long long flags) {
    return (void)flags, *made = graph, 0;
}
CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) { return work(stream, ((struct graph *)graph)->work); }
CUresult cuGraphLaunch_ptsz(CUgraphExec graph, CUstream stream) { return cuGraphLaunch(graph, stream); }
/* Asking for the state of a stream by way of an event is an error while the stream is captured, as with the real one. */
CUresult cuEventCreate(CUevent *event, unsigned flags) {
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    return (void)flags, *event = calloc(1, sizeof(struct event)), 0;
}
CUresult cuEventRecord(CUevent event, CUstream stream) {
    if (!current || real_stream(stream)->capture) abort();
    uint64_t done_at = real_stream(stream)->done_at, present = now();
    return ((struct event *)event)->done_at = done_at > present ? done_at : present, 0;
}
CUresult cuEventElapsedTime(float *milliseconds, CUevent begin, CUevent end) {
    if (!current) abort();
    uint64_t from = ((struct event *)begin)->done_at, to = ((struct event *)end)->done_at;
    return *milliseconds = (float)((double)(to - from) / 1e6), 0;
}
CUresult cuEventQuery(CUevent event) {
    if (!current) abort();
    return ((struct event *)event)->done_at > now() ? CUDA_ERROR_NOT_READY : 0;
}
CUresult cuEventDestroy_v2(CUevent event) { return free(event), 0; }

#define GRID unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz, unsigned shared
#define UNUSED (void)f, (void)y, (void)z, (void)bx, (void)by, (void)bz, (void)shared, (void)p
CUresult cuLaunchKernel(CUfunction f, GRID, CUstream stream, void **p, void **e) {
    return UNUSED, (void)e, work(stream, x * MICROSECOND);
}
CUresult cuLaunchKernel_ptsz(CUfunction f, GRID, CUstream stream, void **p, void **e) {
    return UNUSED, (void)e, work(stream, x * MICROSECOND);
}
CUresult cuLaunchCooperativeKernel(CUfunction f, GRID, CUstream stream, void **p) {
    return UNUSED, work(stream, x * MICROSECOND);
}
CUresult cuLaunchCooperativeKernel_ptsz(CUfunction f, GRID, CUstream stream, void **p) {
    return UNUSED, work(stream, x * MICROSECOND);
}
CUresult cuLaunchKernelEx(const CUlaunchConfig *shape, CUfunction f, void **p, void **e) {
    return (void)f, (void)p, (void)e, work(shape->hStream, shape->gridDimX * MICROSECOND);
}
CUresult cuLaunchKernelEx_ptsz(const CUlaunchConfig *shape, CUfunction f, void **p, void **e) {
    return cuLaunchKernelEx(shape, f, p, e);
}
