/* A management library that says what the file named by FAKE_NVML says: a line a fact, fields parted by |.
   init CODE / driver TEXT / cuda NUMBER / gpu UUID|NAME|MINOR|TOTAL|USED|PERCENT|PCI|MIG / mig GPU|GI|CI|UUID|NAME|TOTAL|USED
   proc UUID|PID|BYTES / sample UUID|PID|PERCENT / refuse INDEX|CODE / opened: a line is added for each nvmlInit */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned int u32;
typedef unsigned long long u64;
#define MOST 16
struct unit { char uuid[96], name[96], pci[32]; u32 minor, percent, mig, gi, ci; u64 total, used; int parent; };
static struct unit units[MOST];
static struct { char uuid[96]; u32 pid; u64 bytes; u32 percent; int sample; } procs[MOST];
static int count_units, count_procs, refuse_index, refuse_code, init_code;
static char driver[96];
static int cuda;

static struct unit *nth(u32 index, int parent) {
    for (int i = 0; i < count_units; i++)
        if (units[i].parent == parent && index-- == 0) return &units[i];
    return NULL;
}

int nvmlInit_v2(void) {
    char line[512];
    FILE *file = fopen(getenv("FAKE_NVML") ? getenv("FAKE_NVML") : "", "r");
    count_units = count_procs = cuda = init_code = 0;
    refuse_index = -1;
    if (!file) return 9;
    while (fgets(line, sizeof line, file)) {
        struct unit *u = &units[count_units];
        line[strcspn(line, "\n")] = 0;
        memset(u, 0, sizeof *u);
        u->parent = -1;
        sscanf(line, "init %d", &init_code);
        sscanf(line, "driver %95s", driver);
        sscanf(line, "cuda %d", &cuda);
        sscanf(line, "refuse %d|%d", &refuse_index, &refuse_code);
        if (sscanf(line, "gpu %95[^|]|%95[^|]|%u|%llu|%llu|%u|%31[^|]|%u", u->uuid, u->name, &u->minor, &u->total,
                   &u->used, &u->percent, u->pci, &u->mig) == 8) count_units++;
        else if (sscanf(line, "mig %d|%u|%u|%95[^|]|%95[^|]|%llu|%llu", &u->parent, &u->gi, &u->ci, u->uuid, u->name,
                        &u->total, &u->used) == 7) count_units++;
        procs[count_procs].sample = !strncmp(line, "sample", 6);
        if (sscanf(line, "proc %95[^|]|%u|%llu", procs[count_procs].uuid, &procs[count_procs].pid,
                   &procs[count_procs].bytes) == 3
            || sscanf(line, "sample %95[^|]|%u|%u", procs[count_procs].uuid, &procs[count_procs].pid,
                      &procs[count_procs].percent) == 3) count_procs++;
    }
    fclose(file);
    return init_code;
}

int nvmlInitWithFlags(u32 flags) { return nvmlInit_v2(); }
int nvmlShutdown(void) { count_units = 0; return 0; }
static int text(char *to, u32 size, const char *from) { snprintf(to, size, "%s", from); return 0; }
int nvmlSystemGetDriverVersion(char *to, u32 size) { return text(to, size, driver); }
int nvmlSystemGetCudaDriverVersion_v2(int *to) { *to = cuda; return 0; }
int nvmlDeviceGetCount_v2(u32 *to) { *to = 0; while (nth(*to, -1)) ++*to; return 0; }
int nvmlDeviceGetHandleByIndex_v2(u32 i, struct unit **to) {
    if ((int)i == refuse_index) return refuse_code;
    return (*to = nth(i, -1)) ? 0 : 6;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, struct unit **to) {
    for (int i = 0; i < count_units; i++)
        if (!strcmp(units[i].uuid, uuid)) { *to = &units[i]; return 0; }
    return 6;
}
int nvmlDeviceGetUUID(struct unit *u, char *to, u32 size) { return text(to, size, u->uuid); }
int nvmlDeviceGetName(struct unit *u, char *to, u32 size) { return text(to, size, u->name); }
int nvmlDeviceGetMinorNumber(struct unit *u, u32 *to) { *to = u->minor; return u->parent < 0 ? 0 : 3; }
int nvmlDeviceGetMemoryInfo(struct unit *u, u64 *to) {
    to[0] = u->total; to[1] = u->total - u->used; to[2] = u->used;
    return u->total ? 0 : 3;
}
int nvmlDeviceGetUtilizationRates(struct unit *u, u32 *to) { to[0] = u->percent; to[1] = 0; return u->mig ? 3 : 0; }
int nvmlDeviceGetPciInfo_v3(struct unit *u, char *to) {
    memset(to, 0, 68);
    return text(to + 36, 32, u->pci);
}
int nvmlDeviceGetMigMode(struct unit *u, u32 *now, u32 *later) { *now = *later = u->mig; return u->mig ? 0 : 3; }
int nvmlDeviceGetMaxMigDeviceCount(struct unit *u, u32 *to) { *to = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(struct unit *u, u32 i, struct unit **to) {
    return (*to = nth(i, (int)(u - units))) ? 0 : 6;
}
int nvmlDeviceGetGpuInstanceId(struct unit *u, u32 *to) { *to = u->gi; return 0; }
int nvmlDeviceGetComputeInstanceId(struct unit *u, u32 *to) { *to = u->ci; return 0; }

struct process { u32 pid; u64 memory; u32 gi, ci; };
int nvmlDeviceGetComputeRunningProcesses_v3(struct unit *u, u32 *count, struct process *to) {
    u32 found = 0, room = *count;
    for (int i = 0; i < count_procs; i++)
        if (!procs[i].sample && !strcmp(procs[i].uuid, u->uuid)) {
            if (found < room && to) to[found] = (struct process){procs[i].pid, procs[i].bytes, 0, 0};
            found++;
        }
    *count = found;
    return found > room ? 7 : 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v2(struct unit *u, u32 *count, struct process *to) { *count = 0; return 0; }

struct sample { u32 pid; u64 time; u32 sm, memory, encoder, decoder; };
int nvmlDeviceGetProcessUtilization(struct unit *u, struct sample *to, u32 *count, u64 since) {
    u32 found = 0, room = *count;
    if (u->parent >= 0 || u->mig) return 3;
    for (int i = 0; i < count_procs; i++)
        if (procs[i].sample && !strcmp(procs[i].uuid, u->uuid)) {
            if (found < room && to) to[found] = (struct sample){procs[i].pid, since + 1, procs[i].percent, 0, 0, 0};
            found++;
        }
    *count = found;
    return !found ? 6 : found > room ? 7 : 0;
}
