/* What a character on the serial port asks for, and the dump of the last second of sound. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdint.h>

#include "statistics.h"

/* Keep a hop for a dump; not while one runs. */
void recording_add(const int16_t *hop);
/* Look for a command, and go on with a dump as far as the serial port has room. */
void commands_serve(const statistics_t *statistics);
void print_model(void);

#endif
