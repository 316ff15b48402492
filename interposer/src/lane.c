/* The way of this process' launches to one device: open while the process has the device's lease.

   Launches go in batches, each on one stream and of about a millisecond, between two events: their distance is the
   device time that is charged, so a program that gets no processor pays for nothing. No more is under way than fits
   into the rest of the turn, so that little is left to wait for when it is over. Everything asked of the driver here is
   harmless to a capture that goes on: the thread's capture mode is relaxed for the moment, and nothing is asked of a
   stream that is being captured. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <time.h>

#include "interposer.h"

#define MICROSECOND UINT64_C(1000)
#define MILLISECOND UINT64_C(1000000)

enum { MOST_MARKS = 16, MOST_IN_BATCH = 16, MOST_UNDER_WAY = 64 };
static const uint64_t IDLE = 300 * MICROSECOND;       /* without a launch for so long the lease is returned early */
static const uint64_t BATCH_TIME = 1 * MILLISECOND;
static const uint64_t LONGEST_DRAIN = 2000 * MILLISECOND; /* then another must go on: this one may wait for it */

/* A batch: `launches` between two events of `context`. */
struct mark {
    CUcontext context;
    CUstream stream;
    CUevent begin, end;
    unsigned launches;
};

struct lane {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct card_file *card;
    struct lease lease;
    bool held, closing, kept;
    bool open;             /* the newest mark has begun and not ended */
    unsigned inside;       /* launches that have a pass and are not back yet */
    unsigned batch;        /* how many launches make a full one */
    uint64_t each;         /* device time of a launch, as far as known */
    unsigned oldest, count; /* of the marks that are under way, the open one among them */
    struct mark marks[MOST_MARKS];
    uint64_t last_launch;
    uint64_t turn_began, used, paid; /* of this turn: when, device time, and what of it was charged */
};

static struct lane lanes[MOST_DEVICES];
static pthread_mutex_t preparing = PTHREAD_MUTEX_INITIALIZER;

bool is_capturing(CUstream stream) {
    int status = 0;
    return DRIVER(cuStreamIsCapturing)(stream, &status) != CUDA_SUCCESS || status != 0;
}

static int relax(void) {
    int mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    DRIVER(cuThreadExchangeStreamCaptureMode)(&mode);
    return mode;
}

static void unrelax(int mode) { DRIVER(cuThreadExchangeStreamCaptureMode)(&mode); }

static bool make_current(CUcontext context) {
    CUcontext current = NULL;
    DRIVER(cuCtxGetCurrent)(&current);
    return current != context && DRIVER(cuCtxPushCurrent_v2)(context) == CUDA_SUCCESS;
}

static void make_uncurrent(bool pushed) {
    CUcontext gone;
    if (pushed) DRIVER(cuCtxPopCurrent_v2)(&gone);
}

static struct mark *newest(struct lane *lane) { return &lane->marks[(lane->oldest + lane->count - 1) % MOST_MARKS]; }

static void drop_events(struct mark *mark) {
    if (mark->begin) DRIVER(cuEventDestroy_v2)(mark->begin);
    if (mark->end) DRIVER(cuEventDestroy_v2)(mark->end);
    memset(mark, 0, sizeof *mark);
}

static bool make_events(struct mark *mark, CUcontext context) {
    if (mark->context == context) return true;
    drop_events(mark);
    if (DRIVER(cuEventCreate)(&mark->begin, 0) != CUDA_SUCCESS) return false;
    if (DRIVER(cuEventCreate)(&mark->end, 0) != CUDA_SUCCESS) {
        DRIVER(cuEventDestroy_v2)(mark->begin);
        mark->begin = NULL;
        return false;
    }
    mark->context = context;
    return true;
}

/* By asking, not by cuEventSynchronize: kernels that wait for each other over several devices would wait for ever. */
static void await_event(CUevent event) {
    uint64_t began = now_nanoseconds(), waited = 0;
    while (DRIVER(cuEventQuery)(event) == CUDA_ERROR_NOT_READY && waited < LONGEST_DRAIN) {
        uint64_t pause = waited / 8;
        pause = pause < 20 * MICROSECOND ? 20 * MICROSECOND : pause > 200 * MICROSECOND ? 200 * MICROSECOND : pause;
        struct timespec time = {0, (long)pause};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
        waited = now_nanoseconds() - began;
    }
}

static unsigned fitting(const struct lane *lane, uint64_t time, unsigned most) {
    uint64_t count = lane->each ? time / lane->each : most;
    return count < 1 ? 1 : count > most ? most : (unsigned)count;
}

/* Waits for the oldest batch and counts its time. How many launches make a batch follows from how long they took. */
static void finish_oldest(struct lane *lane) {
    struct mark *mark = &lane->marks[lane->oldest];
    float milliseconds = 0;
    bool pushed = make_current(mark->context); /* the keeper's thread has none of its own */
    await_event(mark->end);
    if (DRIVER(cuEventElapsedTime)(&milliseconds, mark->begin, mark->end) == CUDA_SUCCESS) {
        uint64_t time = (uint64_t)((double)milliseconds * (double)MILLISECOND);
        lane->each = time / (mark->launches ? mark->launches : 1);
        lane->batch = fitting(lane, BATCH_TIME, MOST_IN_BATCH);
        lane->used += time;
    } else {
        lane->used = now_nanoseconds() - lane->turn_began;
    }
    make_uncurrent(pushed);
    lane->oldest = (lane->oldest + 1) % MOST_MARKS;
    lane->count--;
}

/* Between a batch's end and the next one's beginning no event is needed on a stream that has begun to be captured: what
   it was given before is then not charged, and not waited for. */
static void end_batch(struct lane *lane) {
    if (!lane->open) return;
    struct mark *mark = newest(lane);
    bool pushed = make_current(mark->context);
    lane->open = false;
    if (is_capturing(mark->stream) || DRIVER(cuEventRecord)(mark->end, mark->stream) != CUDA_SUCCESS) lane->count--;
    make_uncurrent(pushed);
}

static unsigned launches_under_way(const struct lane *lane) {
    unsigned launches = 0;
    for (unsigned number = 0; number < lane->count; number++)
        launches += lane->marks[(lane->oldest + number) % MOST_MARKS].launches;
    return launches;
}

/* One launch more than fits keeps the device busy when the turn goes on. Nothing is known before the first is done. */
static unsigned most_under_way(const struct lane *lane) {
    uint64_t now = now_nanoseconds(), rest = lane->lease.until > now ? lane->lease.until - now : 0;
    return lane->each ? fitting(lane, rest, MOST_UNDER_WAY) + 1 : 2;
}

static void begin_batch(struct lane *lane, CUcontext context, CUstream stream) {
    while (lane->count == MOST_MARKS || (lane->count && launches_under_way(lane) >= most_under_way(lane)))
        finish_oldest(lane);
    lane->count++;
    struct mark *mark = newest(lane);
    lane->open = make_events(mark, context) && DRIVER(cuEventRecord)(mark->begin, stream) == CUDA_SUCCESS;
    mark->stream = stream;
    mark->launches = 0;
    if (!lane->open) lane->count--;
}

/* A pass belongs to the open batch when it is for the same stream; else that one ends. */
static void join_batch(struct lane *lane, CUcontext context, CUstream stream) {
    if (lane->open && newest(lane)->context == context && newest(lane)->stream == stream) return;
    int mode = relax();
    end_batch(lane);
    begin_batch(lane, context, stream);
    unrelax(mode);
}

static void drain(struct lane *lane) {
    int mode = relax();
    end_batch(lane);
    while (lane->count) finish_oldest(lane);
    unrelax(mode);
}

/* Device time that was not charged yet. Streams may overlap, but more than all of the time nobody can use. */
static uint64_t unpaid(struct lane *lane) {
    uint64_t passed = now_nanoseconds() - lane->turn_began;
    uint64_t used = lane->used < passed ? lane->used : passed;
    uint64_t due = used > lane->paid ? used - lane->paid : 0;
    lane->paid += due;
    return due;
}

/* With the lane's lock. Others that want to launch wait for the end of it. */
static void close_lane(struct lane *lane) {
    if (!lane->held || lane->closing) return;
    lane->closing = true;
    while (lane->inside) pthread_cond_wait(&lane->changed, &lane->lock);
    drain(lane);
    return_card(lane->card, &lane->lease, unpaid(lane));
    lane->held = lane->closing = false;
    pthread_cond_broadcast(&lane->changed);
}

static void sleep_in(struct lane *lane, uint64_t time) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t end = (uint64_t)until.tv_nsec + time;
    until.tv_sec += (time_t)(end / 1000000000u);
    until.tv_nsec = (long)(end % 1000000000u);
    pthread_cond_timedwait(&lane->changed, &lane->lock, &until);
}

/* Returns the lease of a process that launches nothing any more. */
static void *keep(void *argument) {
    struct lane *lane = argument;
    pthread_mutex_lock(&lane->lock);
    for (;;) {
        while (!lane->held || lane->closing) pthread_cond_wait(&lane->changed, &lane->lock);
        uint64_t idle = now_nanoseconds() - lane->last_launch;
        if (!lane->inside && idle >= IDLE)
            close_lane(lane);
        else
            sleep_in(lane, idle < IDLE ? IDLE - idle : IDLE);
    }
    return NULL;
}

static void start_keeper(struct lane *lane) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all); /* signals are the program's own */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    lane->kept = pthread_create(&thread, NULL, keep, lane) == 0;
    if (lane->kept) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static struct lane *prepare(int index) {
    struct lane *lane = &lanes[index];
    if (__atomic_load_n(&lane->card, __ATOMIC_ACQUIRE)) return lane;
    struct card_file *card = card_of(index);
    if (!card) return NULL;
    pthread_mutex_lock(&preparing);
    if (!lane->card) {
        pthread_condattr_t attributes;
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_mutex_init(&lane->lock, NULL);
        pthread_cond_init(&lane->changed, &attributes);
        pthread_condattr_destroy(&attributes);
        lane->batch = 1;
        __atomic_store_n(&lane->card, card, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&preparing);
    return lane;
}

/* With the lane's lock: returns with a lease that is not over yet. */
static void hold_lease(struct lane *lane, int index) {
    for (;;) {
        if (lane->closing) {
            pthread_cond_wait(&lane->changed, &lane->lock);
        } else if (!lane->held) {
            lane->lease = take_card(lane->card, index);
            lane->held = true;
            lane->last_launch = lane->turn_began = now_nanoseconds();
            lane->used = lane->paid = 0;
            pthread_cond_broadcast(&lane->changed);
        } else if (now_nanoseconds() < lane->lease.until) {
            return;
        } else if (extend_card(lane->card, &lane->lease, index, unpaid(lane))) {
            return;
        } else {
            close_lane(lane);
        }
    }
}

CUresult open_limited_pass(struct pass *pass, CUstream stream) {
    int index = current_slice_index();
    pass->lane = NULL;
    if (index < 0 || slice->devices[index].percent >= 100 || is_capturing(stream)) return CUDA_SUCCESS;
    struct lane *lane = prepare(index);
    if (!lane) return CUDA_ERROR_NOT_PERMITTED;
    pass->lane = lane;
    pass->stream = stream;
    DRIVER(cuCtxGetCurrent)(&pass->context);
    pthread_mutex_lock(&lane->lock);
    if (!lane->kept) start_keeper(lane);
    hold_lease(lane, index);
    join_batch(lane, pass->context, stream);
    lane->inside++;
    pthread_mutex_unlock(&lane->lock);
    return CUDA_SUCCESS;
}

void close_limited_pass(struct pass *pass) {
    struct lane *lane = pass->lane;
    pthread_mutex_lock(&lane->lock);
    lane->last_launch = now_nanoseconds();
    /* only this thread can mark its own default stream */
    if (lane->open && (++newest(lane)->launches >= lane->batch || pass->stream == CU_STREAM_PER_THREAD)) {
        int mode = relax();
        end_batch(lane);
        unrelax(mode);
    }
    if (--lane->inside == 0 && lane->closing) pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
}

/* Before a stream is captured or destroyed its batch ends: afterwards that can no longer be marked. */
void settle_stream(CUstream stream) {
    int index = current_slice_index();
    CUcontext context = NULL;
    if (index < 0 || !__atomic_load_n(&lanes[index].card, __ATOMIC_ACQUIRE)) return;
    struct lane *lane = &lanes[index];
    DRIVER(cuCtxGetCurrent)(&context);
    pthread_mutex_lock(&lane->lock);
    if (lane->open && newest(lane)->context == context && newest(lane)->stream == stream) {
        int mode = relax();
        end_batch(lane);
        unrelax(mode);
    }
    pthread_mutex_unlock(&lane->lock);
}

void forget_context(CUcontext context) {
    for (struct lane *lane = lanes; lane < lanes + MOST_DEVICES; lane++) {
        if (!__atomic_load_n(&lane->card, __ATOMIC_ACQUIRE)) continue;
        pthread_mutex_lock(&lane->lock);
        close_lane(lane);
        for (struct mark *mark = lane->marks; mark < lane->marks + MOST_MARKS && !lane->count; mark++)
            if (mark->context == context) drop_events(mark);
        pthread_mutex_unlock(&lane->lock);
    }
}

void forget_lanes(void) {
    memset(lanes, 0, sizeof lanes);
    pthread_mutex_init(&preparing, NULL);
}

static void __attribute__((destructor)) return_leases(void) {
    for (struct lane *lane = lanes; lane < lanes + MOST_DEVICES; lane++)
        if (lane->card && lane->held) return_card(lane->card, &lane->lease, unpaid(lane));
}
