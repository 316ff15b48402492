/* A stand-in for libnvidia-ml.so.1 for tests: it shows the fake device whole, whoever asks. */
#include <stdio.h>
#include <string.h>

#include "fake_driver.h"

int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned number, void **device) { return *device = (void *)(uintptr_t)(number + 1), 0; }
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length) {
    unsigned first = (unsigned)((uintptr_t)device - 1) * 16;
    int end = snprintf(uuid, length, "GPU");
    for (unsigned number = 0; number < 16; number++) {
        int new_group = number == 0 || number == 4 || number == 6 || number == 8 || number == 10;
        end += snprintf(uuid + end, length - (unsigned)end, new_group ? "-%02x" : "%02x", first + number);
    }
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, nvmlMemory_t *memory) {
    (void)device;
    return *memory = (nvmlMemory_t){DEVICE_BYTES, DEVICE_BYTES, 0}, 0;
}
int nvmlDeviceGetMemoryInfo_v2(void *device, nvmlMemory_v2_t *memory) {
    (void)device;
    return *memory = (nvmlMemory_v2_t){memory->version, DEVICE_BYTES, 0, DEVICE_BYTES, 0}, 0;
}
