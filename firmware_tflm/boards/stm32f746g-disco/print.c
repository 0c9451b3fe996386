/* Small output without printf, one character at a time into uart_write(). */
#include "print.h"

#include "board.h"

void print_text(const char *text)
{
    while (*text != '\0') {
        uart_write(*text++);
    }
}

/* Decimal digits with a point before the last `decimals` of them; at least one digit before the point. */
static void print_digits(uint32_t value, uint32_t decimals)
{
    char digits[10];
    uint32_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0 || n <= decimals);
    while (n > 0) {
        if (n == decimals) {
            uart_write('.');
        }
        uart_write(digits[--n]);
    }
}

void print_unsigned(uint32_t value)
{
    print_digits(value, 0);
}

void print_fixed(int32_t value, uint32_t decimals)
{
    if (value < 0) {
        uart_write('-');
    }
    print_digits(value < 0 ? 0u - (uint32_t)value : (uint32_t)value, decimals);
}

void print_hex(uint32_t value)
{
    print_text("0x");
    for (int shift = 28; shift >= 0; shift -= 4) {
        uart_write("0123456789abcdef"[value >> shift & 0xFu]);
    }
}
