/* A STAND-IN for NVIDIA's management library: the functions that the exporter calls, on a machine without a GPU. It
 * answers for two devices, of which the second is divided, and hangs once the file named by NVML_HANGS is there.
 * The layout of what is filled in is that of nvml.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_t;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } process_t;
typedef struct { unsigned pid; unsigned long long at; unsigned sm, mem, enc, dec; } sample_t;

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
static char devices[3]; /* 0, 1, and the slice 1/0 */
#define INDEX(handle) ((long)((char *)(handle) - devices))
#define GIB (1ULL << 30)

static unsigned worker(void) { return (unsigned)atoi(getenv("NVML_PID")); }

static void hang(void) {
  const char *file = getenv("NVML_HANGS");
  while (file && access(file, F_OK) == 0) usleep(50000);
}

int nvmlInit_v2(void) { return OK; }
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.82.07"); return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { hang(); *count = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = &devices[index]; return OK; }
int nvmlDeviceGetName(void *device, char *text, unsigned size) { snprintf(text, size, "Stand-in %ld", INDEX(device)); return OK; }

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
  if (INDEX(device) == 0) return NOT_SUPPORTED;
  *current = *pending = 1;
  return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) { (void)device; *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **slice) {
  (void)device;
  if (index > 0) return NOT_FOUND;
  *slice = &devices[2];
  return OK;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
  if (INDEX(device) != 0) return NOT_SUPPORTED;
  rates->gpu = 60;
  rates->memory = 10;
  return OK;
}
int nvmlDeviceGetMemoryInfo_v2(void *device, memory_t *memory) {
  memory->total = INDEX(device) == 2 ? 10 * GIB : 80 * GIB;
  memory->used = INDEX(device) == 2 ? 8 * GIB : 20 * GIB;
  memory->free = memory->total - memory->used;
  memory->reserved = 0;
  return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process_t *processes) {
  (void)device;
  if (*count < 1) { *count = 1; return INSUFFICIENT_SIZE; }
  *count = 1;
  memset(processes, 0, sizeof *processes);
  processes->pid = worker();
  processes->used = 2 * GIB;
  processes->instance = processes->compute = 0xFFFFFFFFu;
  return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, process_t *processes) {
  (void)device; (void)processes;
  *count = 0;
  return OK;
}
int nvmlDeviceGetProcessUtilization(void *device, sample_t *samples, unsigned *count, unsigned long long since) {
  static unsigned long long now = 1000000;
  (void)since;
  if (INDEX(device) != 0) return NOT_SUPPORTED;
  if (samples == NULL || *count < 1) { *count = 1; return INSUFFICIENT_SIZE; }
  *count = 1;
  memset(samples, 0, sizeof *samples);
  samples->pid = worker();
  samples->at = now += 1000000;
  samples->sm = 25;
  return OK;
}
