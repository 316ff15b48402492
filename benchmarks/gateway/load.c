// The clients: one thread, one epoll, over connections that stay open. Prints one JSON object.
//
//     load plain PORT KEY CONNECTIONS SECONDS BODIES      every connection asks again as soon as it is answered
//     load streams PORT KEY CONNECTIONS ROUNDS BODIES     every connection takes ROUNDS streams, one after the other
//
// BODIES is a file with one body a line, sent in turn. Streams begin spread evenly over half a second, so that they are
// timed separately and end one by one; gaps and chunks are counted while all of them are under way.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_BODIES = 1024, BUFFER = 1 << 18, TAIL = 8, SPREAD_US = 500000 };

typedef struct {
    int fd, rounds, chunks, done, tail_size;
    int64_t began, last;
    char tail[TAIL];
} Client;

typedef struct { int *values; long count, capacity; } Times;

static struct { char *data; size_t size; } requests[MOST_BODIES];
static int bodies, next_body;
static Times firsts, gaps, wholes;
static long chunks, reads, errors;
static int all_under_way;
static char buffer[BUFFER + TAIL + 1];

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void add(Times *times, int64_t us) {
    if (times->count == times->capacity) {
        times->capacity = times->capacity ? 2 * times->capacity : 1 << 16;
        if (!(times->values = realloc(times->values, times->capacity * sizeof(int)))) exit(1);
    }
    times->values[times->count++] = us;
}

static int by_size(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, Times *times) {
    qsort(times->values, times->count, sizeof(int), by_size);
    long last = times->count - 1;
    if (last < 0) { printf(",\"%s\":null", name); return; }
    printf(",\"%s\":{\"p50\":%d,\"p99\":%d,\"max\":%d}", name, times->values[last / 2],
           times->values[(long)(last * 0.99)], times->values[last]);
}

static void read_bodies(const char *path, int port, const char *key) {
    FILE *file = fopen(path, "r");
    char *line = 0;
    size_t capacity = 0;
    ssize_t size;
    if (!file) { perror(path); exit(1); }
    while (bodies < MOST_BODIES && (size = getline(&line, &capacity, file)) > 0) {
        size -= line[size - 1] == '\n';
        requests[bodies].size = asprintf(&requests[bodies].data,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\n"
            "content-type: application/json\r\ncontent-length: %zd\r\n\r\n%.*s", port, key, size, (int)size, line);
        bodies++;
    }
    fclose(file);
}

static int connect_to(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(fd, (void *)&at, sizeof at)) { perror("connect"); exit(1); }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void ask(Client *c) {
    int body = next_body++ % bodies;
    c->chunks = c->done = c->tail_size = 0;
    c->began = now_us();
    if (send(c->fd, requests[body].data, requests[body].size, MSG_NOSIGNAL) != (ssize_t)requests[body].size) errors++;
}

// Whether the answer in `data` is whole; counts what is no 200.
static int whole_answer(const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *length = strcasestr(data, "content-length:");
    if (length && length < end) {
        if (size < (size_t)(end + 4 - data) + strtoul(length + 15, 0, 10)) return 0;
    } else if (!memmem(end, size - (end - data), "\r\n0\r\n\r\n", 7)) {
        return 0;
    }
    if (strncmp(data, "HTTP/1.1 200", 12)) errors++;
    return 1;
}

static void run_plain(Client *clients, int count, int epoll, double seconds) {
    struct epoll_event events[256];
    char *held = calloc(count, 1 << 14);
    size_t *used = calloc(count, sizeof *used);
    int64_t start = now_us(), end = start + (int64_t)(seconds * 1e6), now = start;
    for (int i = 0; i < count; i++) ask(&clients[i]);
    while (now < end) {
        int ready = epoll_wait(epoll, events, 256, (int)((end - now) / 1000) + 1);
        for (int k = 0; k < ready; k++) {
            unsigned i = events[k].data.u32;
            char *data = held + ((size_t)i << 14);
            ssize_t got = recv(clients[i].fd, data + used[i], (1 << 14) - 1 - used[i], 0);
            if (got <= 0) { fprintf(stderr, "a connection ended\n"); exit(1); }
            data[used[i] += got] = 0;
            if (!whole_answer(data, used[i])) continue;
            used[i] = 0;
            add(&wholes, now_us() - clients[i].began);
            ask(&clients[i]);
        }
        now = now_us();
    }
    printf("{\"requests\":%ld,\"errors\":%ld,\"seconds\":%.4f", wholes.count, errors, (now - start) / 1e6);
    print_times("latency_us", &wholes);
    printf("}\n");
}

// Takes what has come of a stream; whether its answer is over.
static int take(Client *c) {
    memcpy(buffer, c->tail, c->tail_size);
    ssize_t got = recv(c->fd, buffer + c->tail_size, BUFFER, 0);
    if (got <= 0) { errors++; return -1; }
    int64_t now = now_us();
    char *at = buffer, *end = buffer + c->tail_size + got, *found;
    int fresh = c->tail_size == 0 && !c->chunks;
    if (fresh && strncmp(buffer, "HTTP/1.1 200", 12)) { errors++; return -1; }
    reads += all_under_way;
    while ((found = memmem(at, end - at, "data: ", 6)) && found + 7 <= end) {
        if (found[6] == '[') {
            c->done = 1;
        } else {
            if (!c->chunks) add(&firsts, now - c->began);
            else if (all_under_way) add(&gaps, now - c->last);
            c->last = now;
            c->chunks++;
            chunks += all_under_way;
        }
        at = found + 7;
    }
    if (c->done && memmem(buffer, end - buffer, "0\r\n\r\n", 5)) return 1;
    c->tail_size = end - at > 6 ? 6 : end - at;
    memcpy(c->tail, end - c->tail_size, c->tail_size);
    return 0;
}

static void run_streams(Client *clients, int count, int epoll, int rounds) {
    struct epoll_event events[256];
    int live = count, started = 0;
    long total = 0;
    int64_t start = now_us(), from = 0, until = 0;
    while (live) {
        for (; started < count && now_us() >= start + (int64_t)started * SPREAD_US / count; started++) {
            ask(&clients[started]);
            if (started == count - 1) { from = now_us(); all_under_way = 1; }
        }
        int ready = epoll_wait(epoll, events, 256, started < count ? 1 : 30000);
        if (!ready && started == count) { fprintf(stderr, "%d streams stand still\n", live); exit(1); }
        for (int k = 0; k < ready; k++) {
            Client *c = &clients[events[k].data.u32];
            int over = take(c);
            if (!over) continue;
            total += c->chunks;
            add(&wholes, now_us() - c->began);
            if (over > 0 && ++c->rounds < rounds) { ask(c); continue; }
            if (all_under_way) { until = now_us(); all_under_way = 0; }
            close(c->fd);
            live--;
        }
    }
    printf("{\"streams\":%ld,\"errors\":%ld,\"all_chunks\":%ld,\"chunks\":%ld,\"reads\":%ld,\"seconds\":%.4f",
           wholes.count, errors, total, chunks, reads, (until - from) / 1e6);
    print_times("ttft_us", &firsts);
    print_times("gap_us", &gaps);
    printf("}\n");
}

int main(int count, char **arguments) {
    if (count != 7) { fprintf(stderr, "load plain|streams PORT KEY CONNECTIONS SECONDS|ROUNDS BODIES\n"); return 2; }
    int port = atoi(arguments[2]), size = atoi(arguments[4]), epoll = epoll_create1(0);
    Client *clients = calloc(size, sizeof *clients);
    read_bodies(arguments[6], port, arguments[3]);
    for (int i = 0; i < size; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        clients[i].fd = connect_to(port);
        epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event);
    }
    if (!strcmp(arguments[1], "plain")) run_plain(clients, size, epoll, atof(arguments[5]));
    else run_streams(clients, size, epoll, atoi(arguments[5]));
    return 0;
}
