/* How the fake driver answers when it is asked for a function by its name, as the real one does since CUDA 11.3.

   Linked with -Bsymbolic: the addresses here are the fake driver's own, whatever a preloaded library puts before them. */
#include <string.h>

#include "fake_driver.h"

struct form { const char *base; void *function; int since, per_thread; };
static const struct form forms[] = {
    {"cuInit", (void *)cuInit, 2000, 0},
    {"cuGetProcAddress", (void *)cuGetProcAddress, 11030, 0},
    {"cuGetProcAddress", (void *)cuGetProcAddress_v2, 12000, 0},
    {"cuCtxDestroy", (void *)cuCtxDestroy_v2, 4000, 0},
    {"cuDevicePrimaryCtxRetain", (void *)cuDevicePrimaryCtxRetain, 7000, 0},
    {"cuDevicePrimaryCtxRelease", (void *)cuDevicePrimaryCtxRelease_v2, 11000, 0},
    {"cuDevicePrimaryCtxReset", (void *)cuDevicePrimaryCtxReset_v2, 11000, 0},
    {"cuDeviceTotalMem", (void *)cuDeviceTotalMem_v2, 3020, 0},
    {"cuMemGetInfo", (void *)cuMemGetInfo_v2, 3020, 0},
    {"cuMemAlloc", (void *)cuMemAlloc_v2, 3020, 0},
    {"cuMemAllocManaged", (void *)cuMemAllocManaged, 6000, 0},
    {"cuMemAllocPitch", (void *)cuMemAllocPitch_v2, 3020, 0},
    {"cuMemFree", (void *)cuMemFree_v2, 3020, 0},
    {"cuMemAllocAsync", (void *)cuMemAllocAsync, 11020, 0},
    {"cuMemAllocAsync", (void *)cuMemAllocAsync_ptsz, 11020, 1},
    {"cuMemAllocFromPoolAsync", (void *)cuMemAllocFromPoolAsync, 11020, 0},
    {"cuMemAllocFromPoolAsync", (void *)cuMemAllocFromPoolAsync_ptsz, 11020, 1},
    {"cuMemFreeAsync", (void *)cuMemFreeAsync, 11020, 0},
    {"cuMemFreeAsync", (void *)cuMemFreeAsync_ptsz, 11020, 1},
    {"cuMemPoolCreate", (void *)cuMemPoolCreate, 11020, 0},
    {"cuMemPoolDestroy", (void *)cuMemPoolDestroy, 11020, 0},
    {"cuMemCreate", (void *)cuMemCreate, 10020, 0},
    {"cuMemRelease", (void *)cuMemRelease, 10020, 0},
    {"cuMemMap", (void *)cuMemMap, 10020, 0},
    {"cuMemUnmap", (void *)cuMemUnmap, 10020, 0},
    {"cuMemRetainAllocationHandle", (void *)cuMemRetainAllocationHandle, 11000, 0},
    {"cuArrayCreate", (void *)cuArrayCreate_v2, 3020, 0},
    {"cuArray3DCreate", (void *)cuArray3DCreate_v2, 3020, 0},
    {"cuArrayDestroy", (void *)cuArrayDestroy, 2000, 0},
    {"cuMipmappedArrayCreate", (void *)cuMipmappedArrayCreate, 5000, 0},
    {"cuMipmappedArrayDestroy", (void *)cuMipmappedArrayDestroy, 5000, 0},
    {"cuLaunchKernel", (void *)cuLaunchKernel, 4000, 0},
    {"cuLaunchKernel", (void *)cuLaunchKernel_ptsz, 7000, 1},
    {"cuLaunchKernelEx", (void *)cuLaunchKernelEx, 11060, 0},
    {"cuLaunchKernelEx", (void *)cuLaunchKernelEx_ptsz, 11060, 1},
    {"cuLaunchCooperativeKernel", (void *)cuLaunchCooperativeKernel, 9000, 0},
    {"cuLaunchCooperativeKernel", (void *)cuLaunchCooperativeKernel_ptsz, 9000, 1},
    {"cuGraphLaunch", (void *)cuGraphLaunch, 10000, 0},
    {"cuGraphLaunch", (void *)cuGraphLaunch_ptsz, 10000, 1},
    {"cuStreamBeginCapture", (void *)cuStreamBeginCapture_v2, 10010, 0},
    {"cuStreamBeginCapture", (void *)cuStreamBeginCapture_v2_ptsz, 10010, 1},
    {"cuStreamDestroy", (void *)cuStreamDestroy_v2, 4000, 0},
};

/* The newest form that is not newer than `version`; the one for a default stream of each thread where asked and there. */
CUresult cuGetProcAddress_v2(const char *base, void **function, int version, uint64_t flags, int *status) {
    int wanted = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0;
    const struct form *best = NULL;
    for (const struct form *one = forms; one < forms + sizeof forms / sizeof *forms; one++)
        if (!strcmp(one->base, base) && one->since <= version && one->per_thread <= wanted &&
            (!best || one->per_thread > best->per_thread || one->since > best->since))
            best = one;
    *function = best ? best->function : NULL;
    if (status) *status = best ? 0 : 1;
    return best ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char *base, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(base, function, version, flags, NULL);
}
