/* Arrays and mipmapped arrays. Their size follows from their descriptor; the driver's padding is not counted. */
#include "interposer.h"

static uint64_t element_bytes(int format, unsigned channels) {
    switch (format) {
        case 0x01: case 0x08: return channels;                /* 8 bits */
        case 0x02: case 0x09: case 0x10: return 2 * channels; /* 16 bits */
        default: return 4 * channels;                         /* 32 bits; the most, for formats not known here */
    }
}

static uint64_t or_one(size_t count) { return count ? count : 1; }

static uint64_t array_bytes(const CUDA_ARRAY3D_DESCRIPTOR *shape) {
    if (shape->Flags & (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING)) return 0; /* mapped later, by cuMemCreate */
    return or_one(shape->Width) * or_one(shape->Height) * or_one(shape->Depth) *
           element_bytes(shape->Format, shape->NumChannels);
}

static uint64_t mipmap_bytes(const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned levels) {
    CUDA_ARRAY3D_DESCRIPTOR level = *shape;
    uint64_t bytes = 0;
    for (unsigned number = 0; number < (levels ? levels : 1); number++) {
        bytes += array_bytes(&level);
        level.Width = or_one(level.Width / 2);
        level.Height = level.Height ? or_one(level.Height / 2) : 0;
        level.Depth = level.Depth ? or_one(level.Depth / 2) : 0;
    }
    return bytes;
}

static CUresult settle_array(CUresult result, enum kind kind, void *const *handle, uint64_t bytes, int index) {
    struct allocation made = {.bytes = bytes, .index = index, .kind = kind};
    if (index >= 0 && result == CUDA_SUCCESS) {
        made.key = (uint64_t)(uintptr_t)*handle;
        DRIVER(cuCtxGetCurrent)(&made.context);
    }
    return settle(result, made);
}

static CUresult release_array(CUresult (*destroy)(void *), enum kind kind, void *handle) {
    struct release release = begin_release(kind, (uint64_t)(uintptr_t)handle);
    return end_release(&release, destroy(handle));
}

EXPORT CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *shape) {
    int index = -1;
    uint64_t bytes = 0;
    if (shape) bytes = or_one(shape->Width) * or_one(shape->Height) * element_bytes(shape->Format, shape->NumChannels);
    CUresult refused = reserve_here(bytes, &index);
    if (refused) return refused;
    return settle_array(DRIVER(cuArrayCreate_v2)(array, shape), KIND_ARRAY, array, bytes, index);
}

EXPORT CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape) {
    int index = -1;
    uint64_t bytes = shape ? array_bytes(shape) : 0;
    CUresult refused = reserve_here(bytes, &index);
    if (refused) return refused;
    return settle_array(DRIVER(cuArray3DCreate_v2)(array, shape), KIND_ARRAY, array, bytes, index);
}

EXPORT CUresult cuArrayDestroy(CUarray array) { return release_array(DRIVER(cuArrayDestroy), KIND_ARRAY, array); }

EXPORT CUresult cuMipmappedArrayCreate(CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned levels) {
    int index = -1;
    uint64_t bytes = shape ? mipmap_bytes(shape, levels) : 0;
    CUresult refused = reserve_here(bytes, &index);
    if (refused) return refused;
    return settle_array(DRIVER(cuMipmappedArrayCreate)(array, shape, levels), KIND_MIPMAP, array, bytes, index);
}

EXPORT CUresult cuMipmappedArrayDestroy(CUmipmappedArray array) {
    return release_array(DRIVER(cuMipmappedArrayDestroy), KIND_MIPMAP, array);
}
