#include "schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "say.h"

enum { FIRST_CAPACITY = 256 };

void schedule_open(struct schedule *schedule, uint64_t delay_ns, unsigned lanes) {
    *schedule = (struct schedule){.delay = delay_ns, .lane_count = lanes};
    schedule->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (schedule->timer < 0)
        fail(EXIT_FAILURE, "cannot make a timer: %s", strerror(errno));
}

static void grow(struct schedule *schedule) {
    size_t capacity = schedule->capacity ? schedule->capacity * 2 : FIRST_CAPACITY;
    struct entry *entries = calloc(capacity, sizeof *entries);
    if (entries == NULL)
        fail(EXIT_FAILURE, "out of memory for %zu delayed answers", capacity);
    for (size_t i = 0; i < schedule->length; i++)
        entries[i] = schedule->entries[(schedule->head + i) & (schedule->capacity - 1)];
    free(schedule->entries);
    schedule->entries = entries;
    schedule->head = 0;
    schedule->capacity = capacity;
}

/* When something that comes now is done. */
static uint64_t due_time(struct schedule *schedule, uint64_t now) {
    if (schedule->lane_count == 0)
        return now + schedule->delay;
    uint64_t *free_at = &schedule->free_at[schedule->next_lane];
    schedule->next_lane = (schedule->next_lane + 1) % schedule->lane_count;
    *free_at = (*free_at > now ? *free_at : now) + schedule->delay;
    return *free_at;
}

void schedule_add(struct schedule *schedule, uint64_t now, void *what) {
    if (schedule->length == schedule->capacity)
        grow(schedule);
    size_t tail = (schedule->head + schedule->length) & (schedule->capacity - 1);
    schedule->entries[tail] = (struct entry){.due = due_time(schedule, now), .what = what};
    schedule->length++;
    if (schedule->length == 1)
        schedule_arm(schedule);
}

void *schedule_next(struct schedule *schedule, uint64_t now) {
    if (schedule->length == 0 || schedule->entries[schedule->head].due > now)
        return NULL;
    void *what = schedule->entries[schedule->head].what;
    schedule->head = (schedule->head + 1) & (schedule->capacity - 1);
    schedule->length--;
    return what;
}

void schedule_arm(struct schedule *schedule) {
    struct itimerspec when = {0}; /* all zero: the timer is off, and no longer readable */
    if (schedule->length > 0) {
        uint64_t due = schedule->entries[schedule->head].due;
        when.it_value.tv_sec = (time_t)(due / SECOND_NS);
        when.it_value.tv_nsec = (long)(due % SECOND_NS);
    }
    if (timerfd_settime(schedule->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        fail(EXIT_FAILURE, "cannot set a timer: %s", strerror(errno));
}

void schedule_close(struct schedule *schedule) {
    close(schedule->timer);
    free(schedule->entries);
}
