/* What the program counts about itself, and the load of the processor. */
#ifndef STATISTICS_H
#define STATISTICS_H

#include <stdint.h>

typedef struct {
    uint32_t last; /* cycles of the last hop */
    uint32_t most;
    uint64_t total;
} cost_t;

typedef struct {
    uint32_t hops;       /* that were processed */
    uint32_t detections;
    uint32_t time_ms;    /* of sound, up to the end of the last hop; lost hops count */
    cost_t frontend;     /* fetching the hop, new column, input of the network */
    cost_t inference;
    cost_t other;        /* decision, checks, output */
    uint64_t awake_us;
    uint64_t asleep_us;
} statistics_t;

void cost_add(cost_t *cost, uint32_t cycles);
void print_load(const statistics_t *statistics); /* share of the time awake: " load=6.1%" */
void print_statistics(const statistics_t *statistics);
void print_value(const char *name, uint32_t value); /* " name=value" */

#endif
