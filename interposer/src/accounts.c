/* The steps around every allocation and every freeing. */
#include "interposer.h"

CUresult reserve(int index, uint64_t bytes) {
    return index < 0 || charge_memory(index, bytes) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult reserve_here(uint64_t bytes, int *index) {
    enum slice_state state = ensure_slice();
    *index = -1;
    if (state == SLICE_REFUSED) return CUDA_ERROR_NOT_PERMITTED;
    if (state == SLICE_ATTACHED) *index = current_slice_index();
    return reserve(*index, bytes);
}

CUresult reserve_on(CUmemLocation location, uint64_t bytes, int *index) {
    enum slice_state state = ensure_slice();
    *index = -1;
    if (state == SLICE_REFUSED) return CUDA_ERROR_NOT_PERMITTED;
    if (state == SLICE_ATTACHED && location.type == CU_MEM_LOCATION_TYPE_DEVICE) *index = slice_index_of(location.id);
    return reserve(*index, bytes);
}

CUresult settle(CUresult result, struct allocation allocation) {
    if (allocation.index < 0) return result;
    allocation.holds = 1;
    if (result == CUDA_SUCCESS)
        remember(allocation);
    else
        refund_memory(allocation.index, allocation.bytes);
    return result;
}

struct release begin_release(enum kind kind, uint64_t key) {
    struct release release;
    release.last = give_up(kind, key, &release.gone);
    return release;
}

CUresult end_release(struct release *release, CUresult result) {
    if (!release->last) return result;
    if (result != CUDA_SUCCESS) {
        release->gone.holds = 1;
        remember(release->gone);
    } else if (release->gone.index >= 0) {
        refund_memory(release->gone.index, release->gone.bytes);
    }
    return result;
}
