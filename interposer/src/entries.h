/* Every function of the driver that this library knows.

   HOOK(name, base, per_thread): one that it takes the place of. `base` is the name by which cuGetProcAddress knows it;
   `per_thread` says that this is the form for a default stream of each thread. CALL(name): one that it only calls. */

#define DRIVER_ENTRIES(HOOK, CALL)                                             \
    HOOK(cuInit, cuInit, 0)                                                    \
    HOOK(cuGetProcAddress, -, 0) /* which form is meant depends on the version asked for */ \
    HOOK(cuGetProcAddress_v2, cuGetProcAddress, 0)                             \
    HOOK(cuCtxDestroy_v2, cuCtxDestroy, 0)                                     \
    HOOK(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, 0)                \
    HOOK(cuDevicePrimaryCtxRelease_v2, cuDevicePrimaryCtxRelease, 0)           \
    HOOK(cuDevicePrimaryCtxReset_v2, cuDevicePrimaryCtxReset, 0)               \
    HOOK(cuDeviceTotalMem_v2, cuDeviceTotalMem, 0)                             \
    HOOK(cuMemGetInfo_v2, cuMemGetInfo, 0)                                     \
    HOOK(cuMemAlloc_v2, cuMemAlloc, 0)                                         \
    HOOK(cuMemAllocManaged, cuMemAllocManaged, 0)                              \
    HOOK(cuMemAllocPitch_v2, cuMemAllocPitch, 0)                               \
    HOOK(cuMemFree_v2, cuMemFree, 0)                                           \
    HOOK(cuMemAllocAsync, cuMemAllocAsync, 0)                                  \
    HOOK(cuMemAllocAsync_ptsz, cuMemAllocAsync, 1)                             \
    HOOK(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync, 0)                  \
    HOOK(cuMemAllocFromPoolAsync_ptsz, cuMemAllocFromPoolAsync, 1)             \
    HOOK(cuMemFreeAsync, cuMemFreeAsync, 0)                                    \
    HOOK(cuMemFreeAsync_ptsz, cuMemFreeAsync, 1)                               \
    HOOK(cuMemPoolCreate, cuMemPoolCreate, 0)                                  \
    HOOK(cuMemPoolDestroy, cuMemPoolDestroy, 0)                                \
    HOOK(cuMemCreate, cuMemCreate, 0)                                          \
    HOOK(cuMemRelease, cuMemRelease, 0)                                        \
    HOOK(cuMemMap, cuMemMap, 0)                                                \
    HOOK(cuMemUnmap, cuMemUnmap, 0)                                            \
    HOOK(cuMemRetainAllocationHandle, cuMemRetainAllocationHandle, 0)          \
    HOOK(cuArrayCreate_v2, cuArrayCreate, 0)                                   \
    HOOK(cuArray3DCreate_v2, cuArray3DCreate, 0)                               \
    HOOK(cuArrayDestroy, cuArrayDestroy, 0)                                    \
    HOOK(cuMipmappedArrayCreate, cuMipmappedArrayCreate, 0)                    \
    HOOK(cuMipmappedArrayDestroy, cuMipmappedArrayDestroy, 0)                  \
    HOOK(cuLaunchKernel, cuLaunchKernel, 0)                                    \
    HOOK(cuLaunchKernel_ptsz, cuLaunchKernel, 1)                               \
    HOOK(cuLaunchKernelEx, cuLaunchKernelEx, 0)                                \
    HOOK(cuLaunchKernelEx_ptsz, cuLaunchKernelEx, 1)                           \
    HOOK(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel, 0)              \
    HOOK(cuLaunchCooperativeKernel_ptsz, cuLaunchCooperativeKernel, 1)         \
    HOOK(cuGraphLaunch, cuGraphLaunch, 0)                                      \
    HOOK(cuGraphLaunch_ptsz, cuGraphLaunch, 1)                                 \
    HOOK(cuStreamBeginCapture_v2, cuStreamBeginCapture, 0)                     \
    HOOK(cuStreamBeginCapture_v2_ptsz, cuStreamBeginCapture, 1)                \
    HOOK(cuStreamBeginCaptureToGraph, cuStreamBeginCaptureToGraph, 0)          \
    HOOK(cuStreamBeginCaptureToGraph_ptsz, cuStreamBeginCaptureToGraph, 1)     \
    HOOK(cuStreamDestroy_v2, cuStreamDestroy, 0)                               \
    HOOK(nvmlDeviceGetMemoryInfo, -, 0)                                        \
    HOOK(nvmlDeviceGetMemoryInfo_v2, -, 0)                                     \
    CALL(cuCtxGetCurrent)                                                      \
    CALL(cuCtxGetDevice)                                                       \
    CALL(cuCtxPushCurrent_v2)                                                  \
    CALL(cuCtxPopCurrent_v2)                                                   \
    CALL(cuDeviceGetUuid)                                                      \
    CALL(cuDevicePrimaryCtxGetState)                                           \
    CALL(cuStreamIsCapturing)                                                  \
    CALL(cuThreadExchangeStreamCaptureMode)                                    \
    CALL(cuEventCreate)                                                        \
    CALL(cuEventRecord)                                                        \
    CALL(cuEventQuery)                                                         \
    CALL(cuEventElapsedTime)                                                   \
    CALL(cuEventDestroy_v2)                                                    \
    CALL(nvmlDeviceGetUUID)
