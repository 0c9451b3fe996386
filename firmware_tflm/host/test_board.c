/* Output without printf, and the clock tree from register values. */
#include <string.h>

#include "board.h"
#include "check.h"
#include "print.h"

static char written[64];
static size_t n_written;

void uart_write(char character)
{
    written[n_written++] = character;
    written[n_written] = '\0';
}

static int wrote(const char *expected)
{
    n_written = 0;
    return strcmp(written, expected) == 0;
}

static void test_print(void)
{
    print_text("a b");
    CHECK(wrote("a b"));
    print_unsigned(0);
    CHECK(wrote("0"));
    print_unsigned(UINT32_MAX);
    CHECK(wrote("4294967295"));
    print_hex(0x8000F0u);
    CHECK(wrote("0x008000f0"));
    print_fixed(1500, 3);
    CHECK(wrote("1.500"));
    print_fixed(-7, 3);
    CHECK(wrote("-0.007"));
    print_fixed(0, 2);
    CHECK(wrote("0.00"));
    print_fixed(-42, 0);
    CHECK(wrote("-42"));
    print_fixed(INT32_MIN, 9);
    CHECK(wrote("-2.147483648"));
}

/* Register values by hand from RM0385 sections 5.3.2 and 5.3.3. */
static void test_clocks(void)
{
    clocks_t clocks = clock_decode(0, 0x24003010u); /* after reset: internal oscillator */
    CHECK(clocks.core_hz == 16000000 && clocks.apb1_hz == 16000000 && clocks.apb2_hz == 16000000);
    clocks = clock_decode(0x00009400u | 0x8u | 0x2u, 0x29406C19u); /* 25 MHz / 25 * 432 / 2, APB1 / 4, APB2 / 2 */
    CHECK(clocks.core_hz == 216000000 && clocks.apb1_hz == 54000000 && clocks.apb2_hz == 108000000);
    clocks = clock_decode(0x00009400u | 0x2u, 0x29406C19u); /* PLL asked for, not yet in use */
    CHECK(clocks.core_hz == 16000000);
    clocks = clock_decode(0x4u | 0x80u, 0); /* crystal, AHB / 2 */
    CHECK(clocks.core_hz == 12500000 && clocks.apb2_hz == 12500000);
    /* 16 MHz / 8 * 100 / 4, AHB / 16, APB1 / 16 */
    clocks = clock_decode(0x8u | 0x1C00u | 0xB0u, 8u | 100u << 6 | 1u << 16);
    CHECK(clocks.core_hz == 50000000 / 16 && clocks.apb1_hz == 50000000 / 256);
}

int main(void)
{
    test_print();
    test_clocks();
    return 0;
}
