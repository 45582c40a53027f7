/*
 * What is to happen later, always after the same delay, or once a lane is free and the delay is over.
 *
 * With one fixed delay things become due in the order they were added, so a queue is enough, and one timer
 * (a descriptor for epoll) stands for its head.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_LANES = 64 };

struct schedule {
    int timer; /* readable when the head is due */
    uint64_t delay;
    unsigned lane_count;         /* how many things are under way at once; 0: all */
    uint64_t free_at[MOST_LANES]; /* when each has done what it has; taken in turn, as all take equally long */
    unsigned next_lane;
    struct entry {
        uint64_t due;
        void *what;
    } *entries;
    size_t head, length, capacity; /* a ring; the capacity is a power of two */
};

void schedule_open(struct schedule *schedule, uint64_t delay_ns, unsigned lanes);
void schedule_add(struct schedule *schedule, uint64_t now, void *what);

/* The next thing due by `now`, or NULL. */
void *schedule_next(struct schedule *schedule, uint64_t now);

/* Sets the timer to the head; call it when the readable timer's things were taken, and after adding to an empty one. */
void schedule_arm(struct schedule *schedule);

void schedule_close(struct schedule *schedule);

#endif
