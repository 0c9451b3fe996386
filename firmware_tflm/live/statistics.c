/* Sums, and their lines on the serial port: name=value, which a program reads as well (kwslib/listen.py). */
#include "statistics.h"

#include "audio.h"
#include "board.h"
#include "print.h"

void cost_add(cost_t *cost, uint32_t cycles)
{
    cost->last = cycles;
    cost->most = cycles > cost->most ? cycles : cost->most;
    cost->total += cycles;
}

void print_value(const char *name, uint32_t value)
{
    print_text(" ");
    print_text(name);
    print_text("=");
    print_unsigned(value);
}

static void print_cost(const char *name, const cost_t *cost, uint32_t hops)
{
    print_text(" ");
    print_text(name);
    print_value("mean", hops ? (uint32_t)(cost->total / hops) : 0);
    print_value("most", cost->most);
}

void print_load(const statistics_t *statistics)
{
    const uint64_t all_us = statistics->awake_us + statistics->asleep_us;
    print_text(" load=");
    print_fixed(all_us ? (int32_t)(1000 * statistics->awake_us / all_us) : 0, 1);
    print_text("%");
}

void print_statistics(const statistics_t *statistics)
{
    print_text("statistics");
    print_value("hops", statistics->hops);
    print_value("time_ms", statistics->time_ms);
    print_value("detections", statistics->detections);
    print_value("overruns", audio_overruns());
    print_text("\ncycles");
    print_cost("frontend", &statistics->frontend, statistics->hops);
    print_cost("inference", &statistics->inference, statistics->hops);
    print_cost("other", &statistics->other, statistics->hops);
    print_text("\nprocessor");
    print_load(statistics);
    print_value("stack_bytes", stack_used_bytes());
    print_value("dropped_characters", uart_dropped());
    print_text("\n");
}
