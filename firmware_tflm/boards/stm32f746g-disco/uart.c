/* USART1 by polling: TX on PA9, RX on PB7 (UM1907, ST-LINK's virtual serial port), RM0385, chapter USART. */
#include "board.h"
#include "stm32f746.h"

#define BAUD 115200u
#define ALTERNATE 2u  /* MODER */
#define AF7_USART1 7u /* datasheet, table 12 */

void uart_init(uint32_t clock_hz)
{
    RCC->AHB1ENR |= RCC_AHB1ENR_GPIOAEN | RCC_AHB1ENR_GPIOBEN;
    RCC->APB2ENR |= RCC_APB2ENR_USART1EN;
    (void)RCC->APB2ENR; /* the clock needs two cycles before the first access */
    GPIOA->AFRH = (GPIOA->AFRH & ~(0xFu << 4)) | AF7_USART1 << 4;
    GPIOA->MODER = (GPIOA->MODER & ~(3u << 18)) | ALTERNATE << 18;
    GPIOB->AFRL = (GPIOB->AFRL & ~(0xFu << 28)) | AF7_USART1 << 28;
    GPIOB->MODER = (GPIOB->MODER & ~(3u << 14)) | ALTERNATE << 14;
    USART1->CR1 = 0;
    USART1->BRR = (clock_hz + BAUD / 2) / BAUD;
    USART1->CR1 = USART_CR1_TE | USART_CR1_RE | USART_CR1_UE;
}

static void send(uint32_t byte)
{
    while (!(USART1->ISR & USART_ISR_TXE)) {
    }
    USART1->TDR = byte;
}

/* uart_buffer.c has another one, which does not wait. */
__attribute__((weak)) void uart_write(char character)
{
    if (character == '\n') {
        send('\r');
    }
    send((uint8_t)character);
}

int uart_read(void)
{
    const uint32_t status = USART1->ISR;
    if (status & USART_ISR_ORE) {
        USART1->ICR = USART_ICR_ORECF; /* an overrun blocks the receiver until it is cleared */
    }
    return status & USART_ISR_RXNE ? (int)(USART1->RDR & 0xFFu) : -1;
}
