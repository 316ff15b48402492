/* Files that several processes map, with a lock that outlives whoever holds it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared_file.h"

static uint64_t this_boot(void) {
    char text[64] = "";
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
        close(file);
    }
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (const char *letter = text; *letter; letter++) hash = (hash ^ (unsigned char)*letter) * 1099511628211u;
    return hash ? hash : 1;
}

static void make_lock(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static void *refuse(const char *path, const char *reason) {
    fprintf(stderr, "aicp: this process gets no accelerator: %s: %s\n", path, reason);
    return NULL;
}

static const char *misfit(const struct head *head, struct file_kind kind) {
    if (head->magic != kind.magic) return "it is no file of the slices";
    if (head->layout != LAYOUT || head->size != kind.size)
        return "it has the layout of another version of the slice library; start the replica anew";
    return NULL;
}

static void *open_locked(const char *path, int file, struct file_kind kind) {
    struct stat status;
    if (fstat(file, &status) != 0) return refuse(path, strerror(errno));
    if ((uint64_t)status.st_size < sizeof(struct head)) return refuse(path, "it is too short");
    uint64_t length = (uint64_t)status.st_size < kind.size ? sizeof(struct head) : kind.size;
    struct head *head = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (head == MAP_FAILED) return refuse(path, strerror(errno));
    const char *reason = misfit(head, kind);
    if (!reason && length != kind.size) reason = "it is too short";
    if (reason) {
        munmap(head, length);
        return refuse(path, reason);
    }
    uint64_t boot = this_boot();
    if (head->boot != boot) {
        memset((char *)head + kind.passing, 0, kind.size - kind.passing);
        make_lock(&head->lock.mutex);
        head->boot = boot;
    }
    return head;
}

void *map_shared(const char *path, struct file_kind kind) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return refuse(path, strerror(errno));
    while (flock(file, LOCK_EX) != 0 && errno == EINTR) continue;
    void *mapped = open_locked(path, file, kind);
    flock(file, LOCK_UN); /* the mapping keeps the open file, and with it its lock, beyond the close */
    close(file);
    return mapped;
}

/* Every field can be read by itself, so what a process leaves behind that dies inside the lock is never nonsense. */
void lock_shared(struct head *head) {
    if (pthread_mutex_lock(&head->lock.mutex) == EOWNERDEAD) pthread_mutex_consistent(&head->lock.mutex);
}

void unlock_shared(struct head *head) { pthread_mutex_unlock(&head->lock.mutex); }
