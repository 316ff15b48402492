/* Memory: reserved in the slice, then asked of the driver, and given back when the driver refuses or frees it.

   What is counted is what was asked for; the driver's own rounding, contexts and pools are not. Requests on a stream
   that is being captured become part of a graph and are not counted, nor is memory imported from another process,
   which that process pays for. */
#include "interposer.h"

static CUcontext current_context(void) {
    CUcontext context = NULL;
    DRIVER(cuCtxGetCurrent)(&context);
    return context;
}

static CUresult settle_pointer(CUresult result, const CUdeviceptr *pointer, uint64_t bytes, int index) {
    struct allocation allocation = {.bytes = bytes, .index = index, .kind = KIND_POINTER};
    if (index >= 0 && result == CUDA_SUCCESS) {
        allocation.key = *pointer;
        allocation.context = current_context();
    }
    return settle(result, allocation);
}

#define RELEASE(kind, key, call)                                                  \
    do {                                                                          \
        struct release release = begin_release(kind, (uint64_t)(uintptr_t)(key)); \
        return end_release(&release, call);                                       \
    } while (0)

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes) {
    int index;
    CUresult refused = reserve_here(bytes, &index);
    if (refused) return refused;
    return settle_pointer(DRIVER(cuMemAlloc_v2)(pointer, bytes), pointer, bytes, index);
}

EXPORT CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned flags) {
    int index;
    CUresult refused = reserve_here(bytes, &index);
    if (refused) return refused;
    return settle_pointer(DRIVER(cuMemAllocManaged)(pointer, bytes, flags), pointer, bytes, index);
}

/* The driver chooses the length of a row, so the rest is reserved once it is known. */
EXPORT CUresult cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t rows, unsigned element) {
    int index;
    CUresult refused = reserve_here((uint64_t)width * rows, &index);
    if (refused) return refused;
    CUresult result = DRIVER(cuMemAllocPitch_v2)(pointer, pitch, width, rows, element);
    uint64_t bytes = (uint64_t)width * rows;
    if (result == CUDA_SUCCESS && index >= 0) {
        uint64_t rest = (uint64_t)(*pitch - width) * rows;
        if (charge_memory(index, rest)) {
            bytes += rest;
        } else {
            DRIVER(cuMemFree_v2)(*pointer);
            result = CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    return settle_pointer(result, pointer, bytes, index);
}

EXPORT CUresult cuMemFree_v2(CUdeviceptr pointer) { RELEASE(KIND_POINTER, pointer, DRIVER(cuMemFree_v2)(pointer)); }

static CUstream own_default(CUstream stream) { return stream ? stream : CU_STREAM_PER_THREAD; }

typedef CUresult (*allocate_async)(CUdeviceptr *, size_t, CUstream);
static CUresult on_stream(allocate_async allocate, CUdeviceptr *pointer, size_t bytes, CUstream given, CUstream stream) {
    int index;
    if (ensure_slice() == SLICE_ATTACHED && is_capturing(stream)) return allocate(pointer, bytes, given);
    CUresult refused = reserve_here(bytes, &index);
    if (refused) return refused;
    return settle_pointer(allocate(pointer, bytes, given), pointer, bytes, index);
}

EXPORT CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream stream) {
    return on_stream(DRIVER(cuMemAllocAsync), pointer, bytes, stream, stream);
}

EXPORT CUresult cuMemAllocAsync_ptsz(CUdeviceptr *pointer, size_t bytes, CUstream stream) {
    return on_stream(DRIVER(cuMemAllocAsync_ptsz), pointer, bytes, stream, own_default(stream));
}

typedef CUresult (*allocate_from_pool)(CUdeviceptr *, size_t, CUmemoryPool, CUstream);
static CUresult from_pool(allocate_from_pool allocate, CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool,
                          CUstream given, CUstream stream) {
    int index;
    struct allocation known;
    if (ensure_slice() == SLICE_ATTACHED && is_capturing(stream)) return allocate(pointer, bytes, pool, given);
    CUresult refused;
    if (recall(KIND_POOL, (uint64_t)(uintptr_t)pool, &known))
        refused = reserve(index = known.index, bytes);
    else /* a device's own pool */
        refused = reserve_here(bytes, &index);
    if (refused) return refused;
    return settle_pointer(allocate(pointer, bytes, pool, given), pointer, bytes, index);
}

EXPORT CUresult cuMemAllocFromPoolAsync(CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream) {
    return from_pool(DRIVER(cuMemAllocFromPoolAsync), pointer, bytes, pool, stream, stream);
}

EXPORT CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream) {
    return from_pool(DRIVER(cuMemAllocFromPoolAsync_ptsz), pointer, bytes, pool, stream, own_default(stream));
}

EXPORT CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream) {
    RELEASE(KIND_POINTER, pointer, DRIVER(cuMemFreeAsync)(pointer, stream));
}

EXPORT CUresult cuMemFreeAsync_ptsz(CUdeviceptr pointer, CUstream stream) {
    RELEASE(KIND_POINTER, pointer, DRIVER(cuMemFreeAsync_ptsz)(pointer, stream));
}

EXPORT CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *properties) {
    CUresult result = DRIVER(cuMemPoolCreate)(pool, properties);
    if (result == CUDA_SUCCESS && ensure_slice() == SLICE_ATTACHED) {
        bool here = properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE;
        int index = here ? slice_index_of(properties->location.id) : -1;
        remember((struct allocation){
            .key = (uint64_t)(uintptr_t)*pool, .index = index, .kind = KIND_POOL, .holds = 1});
    }
    return result;
}

EXPORT CUresult cuMemPoolDestroy(CUmemoryPool pool) { RELEASE(KIND_POOL, pool, DRIVER(cuMemPoolDestroy)(pool)); }

/* Libraries call this before any context exists, so the device is the one that is asked for, never the current one. */
EXPORT CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                            unsigned long long flags) {
    int index = -1;
    CUresult refused = properties ? reserve_on(properties->location, bytes, &index) : CUDA_SUCCESS;
    if (refused) return refused;
    CUresult result = DRIVER(cuMemCreate)(handle, bytes, properties, flags);
    struct allocation made = {.bytes = bytes, .index = index, .kind = KIND_HANDLE};
    if (result == CUDA_SUCCESS) made.key = *handle;
    return settle(result, made);
}

EXPORT CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
    RELEASE(KIND_HANDLE, handle, DRIVER(cuMemRelease)(handle));
}

/* Memory stays as long as it is mapped, also when its handle is released. */
EXPORT CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                         unsigned long long flags) {
    CUresult result = DRIVER(cuMemMap)(pointer, bytes, offset, handle, flags);
    if (result == CUDA_SUCCESS && hold_again(KIND_HANDLE, handle))
        remember((struct allocation){
            .key = pointer, .target = handle, .index = -1, .kind = KIND_MAPPING, .holds = 1});
    return result;
}

EXPORT CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes) {
    CUresult result = DRIVER(cuMemUnmap)(pointer, bytes);
    if (result == CUDA_SUCCESS) let_go_mappings(pointer, bytes);
    return result;
}

EXPORT CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address) {
    CUresult result = DRIVER(cuMemRetainAllocationHandle)(handle, address);
    if (result == CUDA_SUCCESS) hold_again(KIND_HANDLE, *handle);
    return result;
}
