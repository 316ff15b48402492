/* Work for a device: kernels and graphs need a pass, one for each launch. What is launched into a capture does not. */
#include "interposer.h"

/* Whether nothing holds launches back; asked for every one, so it is a few reads of memory. */
static inline bool is_free(void) {
    enum slice_state state = ensure_slice();
    return state == SLICE_NONE || (state == SLICE_ATTACHED && !is_limited());
}

static CUresult open_pass(struct pass *pass, CUstream stream) {
    return ensure_slice() == SLICE_REFUSED ? CUDA_ERROR_NOT_PERMITTED : open_limited_pass(pass, stream);
}

#define LAUNCH(stream, call)                         \
    do {                                             \
        if (LIKELY(is_free())) return call;          \
        struct pass pass;                            \
        CUresult refused = open_pass(&pass, stream); \
        if (refused) return refused;                 \
        CUresult result = call;                      \
        if (pass.lane) close_limited_pass(&pass);    \
        return result;                               \
    } while (0)

static CUstream own_default(CUstream stream) { return stream ? stream : CU_STREAM_PER_THREAD; }

EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                               unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream,
                               void **parameters, void **extra) {
    LAUNCH(stream, DRIVER(cuLaunchKernel)(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes,
                                          stream, parameters, extra));
}

EXPORT CUresult cuLaunchKernel_ptsz(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                    unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                    CUstream stream, void **parameters, void **extra) {
    LAUNCH(own_default(stream), DRIVER(cuLaunchKernel_ptsz)(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                                                            shared_bytes, stream, parameters, extra));
}

EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig *shape, CUfunction function, void **parameters, void **extra) {
    CUstream stream = shape ? shape->hStream : NULL;
    LAUNCH(stream, DRIVER(cuLaunchKernelEx)(shape, function, parameters, extra));
}

EXPORT CUresult cuLaunchKernelEx_ptsz(const CUlaunchConfig *shape, CUfunction function, void **parameters,
                                      void **extra) {
    CUstream stream = own_default(shape ? shape->hStream : NULL);
    LAUNCH(stream, DRIVER(cuLaunchKernelEx_ptsz)(shape, function, parameters, extra));
}

EXPORT CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                          unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                          CUstream stream, void **parameters) {
    LAUNCH(stream, DRIVER(cuLaunchCooperativeKernel)(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                                                     shared_bytes, stream, parameters));
}

EXPORT CUresult cuLaunchCooperativeKernel_ptsz(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                               unsigned block_x, unsigned block_y, unsigned block_z,
                                               unsigned shared_bytes, CUstream stream, void **parameters) {
    LAUNCH(own_default(stream),
           DRIVER(cuLaunchCooperativeKernel_ptsz)(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                                                  shared_bytes, stream, parameters));
}

EXPORT CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) {
    LAUNCH(stream, DRIVER(cuGraphLaunch)(graph, stream));
}

EXPORT CUresult cuGraphLaunch_ptsz(CUgraphExec graph, CUstream stream) {
    LAUNCH(own_default(stream), DRIVER(cuGraphLaunch_ptsz)(graph, stream));
}

static void before_change(CUstream stream) {
    if (ensure_slice() == SLICE_ATTACHED) settle_stream(stream);
}

EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
    before_change(stream);
    return DRIVER(cuStreamBeginCapture_v2)(stream, mode);
}

EXPORT CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, int mode) {
    before_change(own_default(stream));
    return DRIVER(cuStreamBeginCapture_v2_ptsz)(stream, mode);
}

EXPORT CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const void *dependencies, const void *data,
                                            size_t count, int mode) {
    before_change(stream);
    return DRIVER(cuStreamBeginCaptureToGraph)(stream, graph, dependencies, data, count, mode);
}

EXPORT CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph, const void *dependencies,
                                                 const void *data, size_t count, int mode) {
    before_change(own_default(stream));
    return DRIVER(cuStreamBeginCaptureToGraph_ptsz)(stream, graph, dependencies, data, count, mode);
}

EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
    before_change(stream);
    return DRIVER(cuStreamDestroy_v2)(stream);
}
