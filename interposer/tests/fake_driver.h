/* The state that all processes of one test share: a file named by FAKE_CUDA_STATE, all zeros at first. */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include <pthread.h>
#include <stdint.h>

#include "../src/driver_api.h"

enum { DEVICES = 2, CLIENTS = 128 };
#define DEVICE_BYTES (4096ull << 20)

struct client {
    int pid;
    uint64_t used[DEVICES];
    uint64_t busy[DEVICES]; /* nanoseconds of device time */
};
struct device {
    uint64_t busy_until; /* the device does one thing after the other, in the order of their coming */
};
struct state {
    int ready;
    pthread_mutex_t lock;
    struct device devices[DEVICES];
    struct client clients[CLIENTS];
};

/* For the tester: device time of this process so far, nanoseconds. */
uint64_t fake_busy(int device);
/* For the tester, which links against it: what the driver itself would do for a context that is made current. */
CUresult cuDeviceGet(CUdevice *, int);
CUresult cuCtxCreate_v2(CUcontext *, unsigned, CUdevice);
CUresult cuCtxSetCurrent(CUcontext);
CUresult cuStreamCreate(CUstream *, unsigned);
CUresult cuStreamSynchronize(CUstream);
CUresult cuCtxSynchronize(void);
CUresult cuStreamEndCapture(CUstream, CUgraph *);
CUresult cuGraphInstantiateWithFlags(CUgraphExec *, CUgraph, unsigned long long);

#endif
