// A stand-in for inference engines: one thread, one epoll, OpenAI's chat schema, an answer that costs next to nothing.
//
//     engine PORT...
//
// Listens on every PORT of loopback. What an answer is like is said within the request's text, so that it reaches the
// engine through gateways that re-write bodies: `chunks=N` and `pace=US` of a stream, `wait=US` before any answer.
// Tells on standard output `ready`, and `closed US` (CLOCK_MONOTONIC) when a client leaves in the middle of an answer.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FDS = 1 << 16, MOST_BODY = 1 << 22, EVENTS = 512 };
enum work { NOTHING, PLAIN, STREAM };

typedef struct {
    char *buffer;
    size_t used, capacity;
    enum work work;
    int listener, usage;
    long chunk, chunks, pace;
    int64_t due;
} Connection;

static Connection connections[MOST_FDS];
static int active[MOST_FDS], actives, epoll;

static const char ANSWER[] =
    "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"mock\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"The quick brown fox jumps over the lazy "
    "dog, and then it sits down.\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":16,\"total_tokens\":37}}";

// What gateways ask of a worker before they use it.
static const struct { const char *path, *answer; } KNOWN[] = {
    {"/health", "{}"},
    {"/v1/models", "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":1,"
                   "\"owned_by\":\"mock\",\"max_model_len\":32768}]}"},
    {"/get_model_info", "{\"model_path\":\"mock\",\"tokenizer_path\":\"mock\",\"is_generation\":true}"},
    {"/model_info", "{\"model_path\":\"mock\",\"tokenizer_path\":\"mock\",\"is_generation\":true}"},
    {"/get_server_info", "{\"model_id\":\"mock\",\"model_path\":\"mock\",\"served_model_name\":\"mock\",\"tp_size\":1,"
                         "\"dp_size\":1,\"version\":\"0.5.6\",\"internal_states\":[{}]}"},
    {"/server_info", "{\"model_id\":\"mock\",\"model_path\":\"mock\",\"served_model_name\":\"mock\",\"tp_size\":1,"
                     "\"dp_size\":1,\"version\":\"0.5.6\",\"internal_states\":[{}]}"},
    {"/get_load", "[{\"dp_rank\":0,\"num_reqs\":0,\"num_waiting_reqs\":0,\"num_tokens\":0}]"},
    {"/v1/loads", "[{\"dp_rank\":0,\"num_reqs\":0,\"num_waiting_reqs\":0,\"num_tokens\":0}]"},
};

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) { usleep(50); continue; }
        if (sent < 0) return;
        data += sent;
        size -= sent;
    }
}

static void send_json(int fd, int status, const char *body) {
    char out[4096];
    int size = snprintf(out, sizeof out, "HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                        status, strlen(body), body);
    send_all(fd, out, size);
}

static void send_event(int fd, const char *data, const char *ending) {
    char out[1024];
    int size = snprintf(out, sizeof out, "%zx\r\ndata: %s\n\n\r\n%s", strlen(data) + 8, data, ending);
    send_all(fd, out, size);
}

static void send_chunk(int fd) {
    Connection *c = &connections[fd];
    char data[512];
    snprintf(data, sizeof data,
             "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"
             "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\" tok%ld\"},\"logprobs\":null,"
             "\"finish_reason\":%s}]}",
             c->chunk ? "" : "\"role\":\"assistant\",", c->chunk, c->chunk == c->chunks - 1 ? "\"stop\"" : "null");
    send_event(fd, data, "");
    c->chunk++;
    c->due += c->pace;
}

static void end_stream(int fd) {
    Connection *c = &connections[fd];
    char data[512];
    if (c->usage) {
        snprintf(data, sizeof data,
                 "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"
                 "\"model\":\"mock\",\"choices\":[],\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":%ld,"
                 "\"total_tokens\":%ld}}", c->chunks, c->chunks + 21);
        send_event(fd, data, "");
    }
    send_event(fd, "[DONE]", "0\r\n\r\n");
}

static void leave(int fd) {
    if (connections[fd].work != NOTHING) {
        printf("closed %lld\n", (long long)now_us());
        fflush(stdout);
        for (int i = 0; i < actives; i++)
            if (active[i] == fd) { active[i] = active[--actives]; break; }
    }
    connections[fd].work = NOTHING;
    connections[fd].used = 0;
    close(fd);
}

static long number_after(const char *body, size_t size, const char *name, long otherwise) {
    char *found = memmem(body, size, name, strlen(name));
    return found ? atol(found + strlen(name)) : otherwise;
}

static void begin(int fd, const char *body, size_t size) {
    static const char HEAD[] =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    Connection *c = &connections[fd];
    long wait = number_after(body, size, "wait=", 0);
    char *flag = memmem(body, size, "\"stream\":", 9);
    c->work = flag && !strncmp(flag + 9 + strspn(flag + 9, " "), "true", 4) ? STREAM : PLAIN;
    if (c->work == PLAIN && !wait) {
        c->work = NOTHING;
        send_json(fd, 200, ANSWER);
        return;
    }
    c->due = now_us() + wait;
    active[actives++] = fd;
    if (c->work == STREAM) {
        c->chunk = 0;
        c->chunks = number_after(body, size, "chunks=", 200);
        c->pace = number_after(body, size, "pace=", 2000);
        c->usage = memmem(body, size, "include_usage", 13) != 0;
        send_all(fd, HEAD, sizeof HEAD - 1);
    }
}

static void answer(int fd, char *head, const char *body, size_t size) {
    char method[8], path[256];
    if (sscanf(head, "%7s %255s", method, path) != 2) { leave(fd); return; }
    if (!strncmp(path, "/v1/chat/completions", 20)) { begin(fd, body, size); return; }
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (!strncmp(path, KNOWN[i].path, strlen(KNOWN[i].path))) { send_json(fd, 200, KNOWN[i].answer); return; }
    send_json(fd, 404, "{\"error\":\"no such path\"}");
}

// The size of the request at the buffer's beginning, 0 when it is not whole yet; `head` is the size of its head.
static size_t whole_request(Connection *c, size_t *head) {
    char *end = memmem(c->buffer, c->used, "\r\n\r\n", 4);
    if (!end) return 0;
    *head = end - c->buffer + 4;
    size_t length = 0;
    for (char *line = c->buffer; line < end; line = (char *)memmem(line, end + 2 - line, "\r\n", 2) + 2) {
        if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, 0, 10);
        if (!strncasecmp(line, "transfer-encoding:", 18)) {
            char *last = memmem(end + 4, c->used - *head, "0\r\n\r\n", 5);
            return last ? (size_t)(last + 5 - c->buffer) : 0;
        }
    }
    return c->used < *head + length ? 0 : *head + length;
}

static void serve(int fd) {
    Connection *c = &connections[fd];
    size_t head, size;
    while (c->used && c->work == NOTHING) {
        c->buffer[c->used] = 0;
        if (!(size = whole_request(c, &head))) return;
        answer(fd, c->buffer, c->buffer + head, size - head);
        if (c->used < size) return;  // it has left
        memmove(c->buffer, c->buffer + size, c->used - size);
        c->used -= size;
    }
}

static void read_from(int fd) {
    Connection *c = &connections[fd];
    if (c->capacity - c->used < 2048) {
        c->capacity = c->capacity ? 2 * c->capacity : 4096;
        if (c->capacity > MOST_BODY || !(c->buffer = realloc(c->buffer, c->capacity))) exit(1);
    }
    ssize_t got = recv(fd, c->buffer + c->used, c->capacity - c->used - 1, 0);
    if (got > 0) {
        c->used += got;
        serve(fd);
    } else if (got == 0 || errno != EAGAIN) {
        leave(fd);
    }
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void accept_from(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST_FDS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connections[fd].listener = 0;
        watch(fd);
    }
}

static void listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&at, sizeof at) || listen(fd, 4096)) { perror("listen"); exit(1); }
    connections[fd].listener = 1;
    watch(fd);
}

// Does what is due of every answer under way; the time at which the next is.
static int64_t work_on(void) {
    int64_t now = now_us(), next = INT64_MAX;
    for (int i = 0; i < actives;) {
        int fd = active[i];
        Connection *c = &connections[fd];
        if (c->due <= now) {
            if (c->work == STREAM) send_chunk(fd);
            if (c->work == PLAIN || c->chunk == c->chunks) {
                if (c->work == STREAM) end_stream(fd); else send_json(fd, 200, ANSWER);
                c->work = NOTHING;
                active[i] = active[--actives];
                serve(fd);
                continue;
            }
        }
        if (c->due < next) next = c->due;
        i++;
    }
    return next;
}

int main(int count, char **arguments) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event events[EVENTS];
    epoll = epoll_create1(0);
    watch(timer);
    for (int i = 1; i < count; i++) listen_on(atoi(arguments[i]));
    printf("ready\n");
    fflush(stdout);
    for (int64_t armed = 0;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            uint64_t expired;
            if (fd == timer) armed = read(timer, &expired, 8) == 8 ? 0 : armed;
            else if (connections[fd].listener) accept_from(fd);
            else read_from(fd);
        }
        int64_t next = actives ? work_on() : INT64_MAX;
        if (next != INT64_MAX && (!armed || next < armed)) {
            struct itimerspec at = {.it_value = {next / 1000000, next % 1000000 * 1000}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, 0);
            armed = next;
        }
    }
}
