/* Small output without printf: no heap, no double, about 300 bytes of code. */
#ifndef PRINT_H
#define PRINT_H

#include <stdint.h>

void print_text(const char *text);
void print_unsigned(uint32_t value);
void print_hex(uint32_t value); /* 0x and eight digits */
/* `value` in units of 10^-decimals (0 to 9): print_fixed(-1500, 3) prints -1.500 */
void print_fixed(int32_t value, uint32_t decimals);

#endif
