/* uart_write() that does not wait: a ring, which the interrupt of USART1 empties. */
#include "board.h"
#include "stm32f746.h"

#define RING_BYTES 2048u /* a power of two; 0.18 s at 115200 baud */
#define USART1_IRQ 37u
#define END_OF_LINE 2u /* characters, for which there is room where a line is cut */

static volatile char ring[RING_BYTES];
static volatile uint32_t written, sent; /* characters since start */
static uint32_t dropped;
static bool cut; /* this line lost a character, so the rest of it goes as well, up to its end */

static uint32_t exception_number(void)
{
    uint32_t number;
    __asm volatile("mrs %0, ipsr" : "=r"(number));
    return number;
}

/* In a fault no interrupt comes any more: what waits goes out first, then the character. */
static void send_at_once(char character)
{
    USART1->CR1 &= ~USART_CR1_TXEIE;
    for (;;) {
        while (!(USART1->ISR & USART_ISR_TXE)) {
        }
        if (sent == written) {
            USART1->TDR = (uint8_t)character;
            return;
        }
        USART1->TDR = (uint8_t)ring[sent++ % RING_BYTES];
    }
}

static void send(char character)
{
    const bool is_end = character == '\r' || character == '\n';
    if (exception_number() != 0) {
        send_at_once(character);
    } else if (is_end ? uart_room() == 0 : cut || uart_room() <= END_OF_LINE) {
        dropped++;
        cut = true;
    } else {
        cut = cut && character != '\n';
        ring[written % RING_BYTES] = character;
        written++;
        NVIC->ISER1 = 1u << (USART1_IRQ - 32);
        USART1->CR1 |= USART_CR1_TXEIE;
    }
}

void uart_write(char character)
{
    if (character == '\n') {
        send('\r');
    }
    send(character);
}

uint32_t uart_room(void)
{
    return RING_BYTES - (written - sent);
}

uint32_t uart_dropped(void)
{
    return dropped;
}

void usart1_handler(void);
void usart1_handler(void)
{
    /* The write may come to the port after the handler's end, and so the handler once too often. */
    if (sent != written && USART1->ISR & USART_ISR_TXE) {
        USART1->TDR = (uint8_t)ring[sent++ % RING_BYTES];
    }
    if (sent == written) {
        USART1->CR1 &= ~USART_CR1_TXEIE;
    }
}
