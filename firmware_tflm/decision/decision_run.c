/* Decisions over stored scores. */
#include "decision.h"

void decision_run(const decision_config_t *config, const int8_t *scores, int32_t hops, int32_t *detected)
{
    decision_t state;
    decision_start(&state, config);
    for (int32_t hop = 0; hop < hops; hop++) {
        detected[hop] = decision_step(&state, scores + (uint32_t)hop * (uint32_t)state.config.classes);
    }
}
