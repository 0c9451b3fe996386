/* Is there a microphone, and is it too loud? */
#ifndef MICROPHONE_H
#define MICROPHONE_H

#include <stdint.h>

/* Look at a hop. Returns NULL, or a warning when its state changes: silent for `silent_hops` (all samples equal), or
 * clipped (an eighth of a hop at full scale). */
const char *microphone_check(const int16_t *samples, uint32_t n_samples, uint32_t silent_hops);

#endif
