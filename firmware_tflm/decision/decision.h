/* From the scores of every hop to keywords: average over some hops, threshold, hysteresis, refractory time.
 *
 * The same code runs on the board and, through kwslib/decision.py, in the evaluation that chooses its threshold. */
#ifndef DECISION_H_
#define DECISION_H_

#include <stdint.h>

#define DECISION_MOST_SMOOTHING 64 /* hops */
#define DECISION_MOST_CLASSES 16
#define DECISION_ONE 65536 /* a probability of 1: averaged scores, threshold and release are in 1/65536 */

/* What lies outside its range is held inside it. */
typedef struct {
    int32_t classes;    /* scores of a hop, 1 to DECISION_MOST_CLASSES */
    int32_t smoothing;  /* hops that are averaged, 1 to DECISION_MOST_SMOOTHING */
    int32_t threshold;  /* averaged score from which a keyword is detected, 1 to DECISION_ONE */
    int32_t release;    /* a detected keyword is ready again once its averaged score is under this; 1 to threshold */
    int32_t refractory; /* hops after a detection in which there is no other one, from 0 */
    uint32_t keywords;  /* bit n: class n is a keyword */
} decision_config_t;

/* All memory of the decision; there is no heap. */
typedef struct {
    decision_config_t config;
    int32_t sums[DECISION_MOST_CLASSES]; /* of the newest `smoothing` hops, each 0 to 255 */
    int32_t slot;                        /* hop of the ring that the next one replaces */
    int32_t wait;                        /* hops of the refractory time that are left */
    uint32_t ready;                      /* bit n: keyword n may be detected */
    uint8_t ring[DECISION_MOST_SMOOTHING][DECISION_MOST_CLASSES];
} decision_t;

/* Start as if every score had been zero for ever. */
void decision_start(decision_t *state, const decision_config_t *config);

/* Take the scores of a hop [classes], a softmax in int8 (scale 1/256, zero point -128): the class detected with this
 * hop, or -1. Of several keywords over the threshold the highest is detected, of equal ones the first. */
int32_t decision_step(decision_t *state, const int8_t *scores);

/* Averaged score of a class after the last hop, 0 to DECISION_ONE, rounded down. */
int32_t decision_score(const decision_t *state, int32_t keyword);

/* The class detected with each of `hops` hops, or -1: scores [hops][classes], detected [hops]. */
void decision_run(const decision_config_t *config, const int8_t *scores, int32_t hops, int32_t *detected);

#endif
