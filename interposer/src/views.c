/* What a program is told of the device: the slice, so that it plans with what it may have. */
#include <string.h>

#include "interposer.h"

static uint64_t lesser(uint64_t first, uint64_t second) { return first < second ? first : second; }

static uint64_t left_of(int index, uint64_t *used) {
    uint64_t limit = slice->devices[index].memory_limit;
    *used = memory_used(index);
    return *used < limit ? limit - *used : 0;
}

EXPORT CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
    enum slice_state state = ensure_slice();
    if (state == SLICE_REFUSED) return CUDA_ERROR_NOT_PERMITTED;
    CUresult result = DRIVER(cuMemGetInfo_v2)(available, total);
    int index = result == CUDA_SUCCESS && state == SLICE_ATTACHED ? current_slice_index() : -1;
    if (index < 0) return result;
    uint64_t used;
    *available = lesser(*available, left_of(index, &used));
    *total = lesser(*total, slice->devices[index].memory_limit);
    return result;
}

EXPORT CUresult cuDeviceTotalMem_v2(size_t *total, CUdevice device) {
    enum slice_state state = ensure_slice();
    if (state == SLICE_REFUSED) return CUDA_ERROR_NOT_PERMITTED;
    CUresult result = DRIVER(cuDeviceTotalMem_v2)(total, device);
    int index = result == CUDA_SUCCESS && state == SLICE_ATTACHED ? slice_index_of(device) : -1;
    if (index >= 0) *total = lesser(*total, slice->devices[index].memory_limit);
    return result;
}

static int index_of_handle(void *device) {
    char uuid[96] = "";
    if (ensure_slice() != SLICE_ATTACHED || DRIVER(nvmlDeviceGetUUID)(device, uuid, sizeof uuid) != 0) return -1;
    return slice_index_of_uuid(uuid);
}

EXPORT int nvmlDeviceGetMemoryInfo(void *device, nvmlMemory_t *memory) {
    int result = DRIVER(nvmlDeviceGetMemoryInfo)(device, memory);
    int index = result == 0 ? index_of_handle(device) : -1;
    if (index < 0) return result;
    uint64_t used;
    memory->free = lesser(memory->free, left_of(index, &used));
    memory->used = used;
    memory->total = lesser(memory->total, slice->devices[index].memory_limit);
    return result;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, nvmlMemory_v2_t *memory) {
    int result = DRIVER(nvmlDeviceGetMemoryInfo_v2)(device, memory);
    int index = result == 0 ? index_of_handle(device) : -1;
    if (index < 0) return result;
    uint64_t used;
    memory->free = lesser(memory->free, left_of(index, &used));
    memory->used = used;
    memory->reserved = 0;
    memory->total = lesser(memory->total, slice->devices[index].memory_limit);
    return result;
}
