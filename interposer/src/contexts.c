/* The ends of contexts, which free all that was allocated in them, and of processes that fork. */
#include "interposer.h"

enum { MOST_VISIBLE = 64 };
static _Atomic(CUcontext) primary[MOST_VISIBLE];

EXPORT CUresult cuCtxDestroy_v2(CUcontext context) {
    if (ensure_slice() == SLICE_ATTACHED) forget_context(context);
    CUresult result = DRIVER(cuCtxDestroy_v2)(context);
    if (result == CUDA_SUCCESS) refund_context(context);
    return result;
}

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    if (ensure_slice() == SLICE_REFUSED) return CUDA_ERROR_NOT_PERMITTED;
    CUresult result = DRIVER(cuDevicePrimaryCtxRetain)(context, device);
    if (result == CUDA_SUCCESS && device >= 0 && device < MOST_VISIBLE) primary[device] = *context;
    return result;
}

static CUcontext primary_of(CUdevice device) {
    return device >= 0 && device < MOST_VISIBLE ? primary[device] : NULL;
}

EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    CUcontext context = primary_of(device);
    if (context && ensure_slice() == SLICE_ATTACHED) forget_context(context);
    CUresult result = DRIVER(cuDevicePrimaryCtxRelease_v2)(device);
    unsigned flags;
    int active = 1;
    if (result == CUDA_SUCCESS && context && DRIVER(cuDevicePrimaryCtxGetState)(device, &flags, &active) == 0 && !active)
        refund_context(context);
    return result;
}

EXPORT CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
    CUcontext context = primary_of(device);
    if (context && ensure_slice() == SLICE_ATTACHED) forget_context(context);
    CUresult result = DRIVER(cuDevicePrimaryCtxReset_v2)(device);
    if (result == CUDA_SUCCESS && context) refund_context(context);
    return result;
}

/* Threads and locks of the parent do not exist in the child, and what the parent holds is not the child's. */
static void begin_anew(void) {
    forget_this_process();
    forget_allocations();
    forget_lanes();
    leave_parent_slice();
}

static void __attribute__((constructor)) watch_forks(void) { pthread_atfork(NULL, NULL, begin_anew); }
