/* Sound of the board's two microphones at 16 kHz, in hops: WM8994 codec, SAI2, DMA2 stream 7. */
#ifndef AUDIO_H
#define AUDIO_H

#include <stdbool.h>
#include <stdint.h>

#define AUDIO_RATE_HZ 16000u
#define AUDIO_MOST_HOP_SAMPLES 1024u

/* Start recording in hops of `hop_samples` (even, at most AUDIO_MOST_HOP_SAMPLES), microphones at `volume` (codec.h);
 * microseconds_start (board.h) once before. Returns NULL, or what went wrong. */
const char *audio_start(uint32_t hop_samples, uint32_t volume);
bool audio_ready(void); /* a hop waits; an interrupt comes with each */
/* Copy the newest whole hop, the mean of both microphones, to samples [hop_samples]; return its number, counted from 0.
 * Numbers that are left out were lost: the DMA overwrites a hop after another one. */
uint32_t audio_read(int16_t *samples);
uint32_t audio_overruns(void); /* hops lost, or with samples missing, so far */

#endif
