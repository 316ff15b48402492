#ifndef SHARED_FILE_H
#define SHARED_FILE_H

#include "interposer.h"

/* What a file must be. From byte `passing` on it holds what means nothing after a restart of the machine. */
struct file_kind {
    uint64_t magic;
    uint32_t size;
    uint32_t passing;
};

/* NULL, and a line on standard error, when the file cannot be used. */
void *map_shared(const char *path, struct file_kind kind);
void lock_shared(struct head *head);
void unlock_shared(struct head *head);

#endif
