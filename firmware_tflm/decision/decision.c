/* Decision by averaged scores with hysteresis and refractory time. */
#include "decision.h"

#include <string.h>

static int32_t held(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

void decision_start(decision_t *state, const decision_config_t *config)
{
    memset(state, 0, sizeof *state);
    state->config.classes = held(config->classes, 1, DECISION_MOST_CLASSES);
    state->config.smoothing = held(config->smoothing, 1, DECISION_MOST_SMOOTHING);
    state->config.threshold = held(config->threshold, 1, DECISION_ONE);
    state->config.release = held(config->release, 1, state->config.threshold);
    state->config.refractory = held(config->refractory, 0, INT32_MAX);
    state->config.keywords = config->keywords & ((1u << state->config.classes) - 1u);
    state->ready = state->config.keywords;
}

int32_t decision_score(const decision_t *state, int32_t keyword)
{
    if (keyword < 0 || keyword >= state->config.classes) {
        return 0;
    }
    return state->sums[keyword] * (DECISION_ONE / 256) / state->config.smoothing;
}

int32_t decision_step(decision_t *state, const int8_t *scores)
{
    const decision_config_t *config = &state->config;
    uint8_t *oldest = state->ring[state->slot];
    int32_t best = -1, best_score = 0;

    for (int32_t n = 0; n < config->classes; n++) {
        const uint8_t value = (uint8_t)(scores[n] + 128);
        state->sums[n] += (int32_t)value - (int32_t)oldest[n];
        oldest[n] = value;
        if ((config->keywords >> n & 1u) == 0) {
            continue;
        }
        const int32_t score = decision_score(state, n);
        if (score < config->release) {
            state->ready |= 1u << n;
        }
        if ((state->ready >> n & 1u) != 0 && score >= config->threshold && score > best_score) {
            best = n;
            best_score = score;
        }
    }
    state->slot = state->slot + 1 == config->smoothing ? 0 : state->slot + 1;

    if (state->wait > 0) {
        state->wait--;
        return -1;
    }
    if (best >= 0) {
        state->ready &= ~(1u << best);
        state->wait = config->refractory;
    }
    return best;
}
