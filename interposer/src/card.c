/* Who may use a device now. Slices take turns of a few milliseconds: whoever has the lease launches, nobody else.

   The next one is chosen by start-time fair queueing (Goyal, Vin, Cheng 1996): the slice that has used the least time by
   its percent. A slice with policy `cap` also needs time in its bucket, which fills at its percent of the clock; one
   with policy `weight` does not, so it gets what the others leave. What is charged is device time; a holder that died is
   charged for as long as it had the lease. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shared_file.h"

#define MICROSECOND INT64_C(1000)
#define MILLISECOND INT64_C(1000000)

static const int64_t LEAST_TURN = 1 * MILLISECOND, FAIR_TURN = 5 * MILLISECOND;
static const int64_t ROUND = 24 * MILLISECOND;    /* few who wait get longer turns: a change costs the device some time */
static const int64_t BURST = 200 * MILLISECOND;   /* of its share of so long a time a slice may save up */
static const int64_t WORST_DEBT = 10000 * MILLISECOND;
static const int64_t PATIENCE = 2 * MILLISECOND;  /* with the one whose turn it is */
static const int64_t LOST = 200 * MILLISECOND;    /* a waiter so long silent is stopped or dead */
static const int64_t AWAY = 20 * MILLISECOND;
static const int64_t STALE = 3000 * MILLISECOND;  /* a lease so long over is taken from whoever has it */
static const int64_t LONGEST_SLEEP = 50 * MILLISECOND;

static int64_t percent_of(int64_t time, uint32_t percent) { return time * percent / 100; }

static void refill(struct card_share *share, uint64_t now) {
    int64_t most = percent_of(BURST, share->percent);
    if (most < LEAST_TURN) most = LEAST_TURN;
    if (now > share->refilled_at) share->tokens += percent_of((int64_t)(now - share->refilled_at), share->percent);
    if (share->tokens > most) share->tokens = most;
    share->refilled_at = now;
}

static void charge(struct card_share *share, uint64_t time) {
    share->used += time;
    share->virtual_time += time * 100 / (share->percent ? share->percent : 1);
    share->tokens -= (int64_t)time;
    if (share->tokens < -percent_of(WORST_DEBT, share->percent))
        share->tokens = -percent_of(WORST_DEBT, share->percent);
}

static bool may_use(const struct card_share *share) { return share->policy == POLICY_WEIGHT || share->tokens > 0; }

static void read_limits(struct card_share *share, int index) {
    uint32_t percent = slice->devices[index].percent;
    share->percent = percent < 1 ? 1 : percent > 100 ? 100 : percent;
    share->policy = slice->devices[index].policy;
}

static bool is_waited_for(const struct card_file *card, uint32_t share) {
    for (const struct card_waiter *one = card->waiters; one < card->waiters + MOST_WAITERS; one++)
        if (one->pid && one->share == share) return true;
    return card->holder_pid && card->holder_share == share;
}

/* The slice's account; the one that was not seen for the longest time makes room for a new one. */
static uint32_t find_share(struct card_file *card, uint64_t now) {
    uint32_t oldest = 0;
    for (uint32_t number = 0; number < MOST_SHARES; number++) {
        if (card->shares[number].id == slice->head.id) return number;
        bool older = card->shares[number].seen_at < card->shares[oldest].seen_at;
        if (is_waited_for(card, oldest) || (older && !is_waited_for(card, number))) oldest = number;
    }
    card->shares[oldest] = (struct card_share){.id = slice->head.id, .refilled_at = now};
    return oldest;
}

static void drop_dead_waiters(struct card_file *card) {
    for (struct card_waiter *one = card->waiters; one < card->waiters + MOST_WAITERS; one++)
        if (one->pid && !process_lives(one->pid, one->start)) memset(one, 0, sizeof *one);
}

static struct card_waiter *queue_up(struct card_file *card, uint32_t number, uint64_t now) {
    struct process me = this_process();
    struct card_share *share = &card->shares[number];
    /* time that a slice did not ask for is not saved up; between two turns it is away for a moment only */
    bool was_away = now > share->seen_at + (uint64_t)AWAY && !is_waited_for(card, number);
    if (was_away && share->virtual_time < card->virtual_time)
        share->virtual_time = card->virtual_time;
    for (int again = 0; again < 2; again++) {
        for (struct card_waiter *one = card->waiters; one < card->waiters + MOST_WAITERS; one++)
            if (!one->pid) {
                *one = (struct card_waiter){me.pid, me.start, now, now, number, 0};
                return one;
            }
        drop_dead_waiters(card);
    }
    return NULL;
}

static void end_turn(struct card_file *card, uint64_t now, uint64_t used) {
    charge(&card->shares[card->holder_share], used);
    card->shares[card->holder_share].seen_at = now;
    card->holder_pid = 0;
    card->free_since = now;
    card->bell++;
}

/* Takes the lease from a holder that died or that stopped long ago in the middle of its turn. */
static void end_lost_turn(struct card_file *card, uint64_t now) {
    if (!card->holder_pid || now < card->held_until + (uint64_t)PATIENCE) return;
    bool stale = now > card->held_until + (uint64_t)STALE;
    if (stale || !process_lives(card->holder_pid, card->holder_start)) end_turn(card, now, now - card->held_since);
}

static bool goes_before(const struct card_file *card, const struct card_waiter *one, const struct card_waiter *other) {
    uint64_t mine = card->shares[one->share].virtual_time, its = card->shares[other->share].virtual_time;
    return mine != its ? mine < its : one->since < other->since;
}

/* Of those who wait and may use the device, the one whose turn it is; NULL when there is none. */
static struct card_waiter *find_next(struct card_file *card, uint64_t now) {
    struct card_waiter *first = NULL;
    for (struct card_waiter *one = card->waiters; one < card->waiters + MOST_WAITERS; one++) {
        if (!one->pid || now > one->seen_at + (uint64_t)LOST) continue;
        refill(&card->shares[one->share], now);
        if (may_use(&card->shares[one->share]) && (!first || goes_before(card, one, first))) first = one;
    }
    return first;
}

static bool is_next(struct card_file *card, struct card_waiter *me, uint64_t now) {
    if (card->holder_pid || !may_use(&card->shares[me->share])) return false;
    if (find_next(card, now) == me) return true;
    if (now < card->free_since + (uint64_t)PATIENCE) return false;
    drop_dead_waiters(card); /* the first one does not come: it is dead, or has no processor to run on */
    return true;
}

static int64_t turn_of(const struct card_file *card, const struct card_share *share) {
    int64_t users = 1;
    for (const struct card_waiter *one = card->waiters; one < card->waiters + MOST_WAITERS; one++)
        if (one->pid && &card->shares[one->share] != share) users++;
    int64_t turn = ROUND / users > FAIR_TURN ? ROUND / users : FAIR_TURN;
    if (share->policy == POLICY_WEIGHT || share->tokens > turn) return turn;
    return share->tokens < LEAST_TURN ? LEAST_TURN : share->tokens;
}

/* Sleeps until the bell rings or `time` has passed; who cannot be called anyway only waits for the time. */
static void wait_turn(struct card_file *card, struct card_share *share, uint32_t bell) {
    int64_t time = PATIENCE;
    bool listens = may_use(share);
    if (!listens) time = (-share->tokens) * 100 / share->percent + 20 * MICROSECOND;
    if (time > LONGEST_SLEEP) time = LONGEST_SLEEP; /* limits may have changed meanwhile */
    struct timespec timeout = {0, time};
    unlock_shared(&card->head);
    if (listens)
        syscall(SYS_futex, &card->bell, FUTEX_WAIT, bell, &timeout, NULL, 0);
    else
        clock_nanosleep(CLOCK_MONOTONIC, 0, &timeout, NULL);
    lock_shared(&card->head);
}

static struct lease begin_turn(struct card_file *card, struct card_waiter *me, uint64_t now) {
    struct card_share *share = &card->shares[me->share];
    if (card->virtual_time < share->virtual_time) card->virtual_time = share->virtual_time;
    card->holder_pid = me->pid;
    card->holder_start = me->start;
    card->holder_share = me->share;
    card->holder_serial++;
    card->held_since = now;
    card->held_until = now + (uint64_t)turn_of(card, share);
    memset(me, 0, sizeof *me);
    return (struct lease){card->holder_serial, card->held_until};
}

struct lease take_card(struct card_file *card, int index) {
    struct lease lease = {0, 0};
    lock_shared(&card->head);
    uint64_t now = now_nanoseconds();
    uint32_t number = find_share(card, now);
    struct card_share *share = &card->shares[number];
    read_limits(share, index);
    struct card_waiter *me = queue_up(card, number, now);
    while (me && !lease.serial) {
        now = now_nanoseconds();
        read_limits(share, index);
        share->seen_at = me->seen_at = now;
        refill(share, now);
        end_lost_turn(card, now);
        if (is_next(card, me, now))
            lease = begin_turn(card, me, now);
        else
            wait_turn(card, share, card->bell);
    }
    unlock_shared(&card->head);
    return lease;
}

static bool is_held(const struct card_file *card, const struct lease *lease) {
    return card->holder_pid && card->holder_serial == lease->serial;
}

/* A turn goes on while nobody who waits has used less of the device, by its percent. */
bool extend_card(struct card_file *card, struct lease *lease, int index, uint64_t used) {
    bool goes_on = false;
    lock_shared(&card->head);
    if (is_held(card, lease)) {
        uint64_t now = now_nanoseconds();
        struct card_share *share = &card->shares[card->holder_share];
        charge(share, used);
        if (card->virtual_time < share->virtual_time) card->virtual_time = share->virtual_time;
        card->held_since = now;
        read_limits(share, index);
        refill(share, now);
        const struct card_waiter *next = find_next(card, now);
        goes_on = may_use(share) && (!next || share->virtual_time < card->shares[next->share].virtual_time);
        if (goes_on) lease->until = card->held_until = now + (uint64_t)turn_of(card, share);
    }
    unlock_shared(&card->head);
    return goes_on;
}

void return_card(struct card_file *card, const struct lease *lease, uint64_t used) {
    lock_shared(&card->head);
    bool held = is_held(card, lease);
    if (held) end_turn(card, now_nanoseconds(), used);
    unlock_shared(&card->head);
    if (held) syscall(SYS_futex, &card->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
