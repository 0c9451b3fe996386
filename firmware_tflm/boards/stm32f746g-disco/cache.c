/* Caches on, and SRAM2 kept out of the D-cache for DMA buffers: PM0253 sections 4.6 and 4.8, ST's AN4838, AN4839. */
#include "board.h"
#include "stm32f746.h"

extern uint32_t __dma_memory_start[];

/* One region over the whole of SRAM2 (16 KB): normal memory, shared, not cacheable (TEX 1, C 0, B 0), read and write,
 * no code. The processor then sees at once what a DMA stream wrote, without cache maintenance. Every other address
 * keeps its attributes of the default map. */
static void mpu_init(void)
{
    MPU->RNR = 0;
    MPU->RBAR = (uint32_t)__dma_memory_start;
    MPU->RASR = FIELD(MPU_RASR_TEX, 1) | MPU_RASR_S | FIELD(MPU_RASR_AP, 3) | MPU_RASR_XN |
                FIELD(MPU_RASR_SIZE, 13) | MPU_RASR_ENABLE; /* 2^(13 + 1) bytes */
    MPU->CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
    __asm volatile("dsb\n isb" ::: "memory");
}

#ifndef BOARD_WITHOUT_CACHES
static void instruction_cache_enable(void)
{
    SCB->ICIALLU = 0;
    __asm volatile("dsb\n isb" ::: "memory");
    SCB->CCR |= SCB_CCR_IC;
    __asm volatile("dsb\n isb" ::: "memory");
}

/* After power-on the tags are random: every line is invalidated by set and way before the cache is used. */
static void data_cache_enable(void)
{
    SCB->CSSELR = 0;
    __asm volatile("dsb" ::: "memory");
    const uint32_t size = SCB->CCSIDR;
    const uint32_t last_way = FIELD_OF(SCB_CCSIDR_ASSOCIATIVITY, size);
    const uint32_t last_set = FIELD_OF(SCB_CCSIDR_NUMSETS, size);
    for (uint32_t set = 0; set <= last_set; set++) {
        for (uint32_t way = 0; way <= last_way; way++) {
            SCB->DCISW = way << 30 | set << 5; /* 4 ways, 32-byte lines */
        }
    }
    __asm volatile("dsb" ::: "memory");
    SCB->CCR |= SCB_CCR_DC;
    __asm volatile("dsb\n isb" ::: "memory");
}
#endif

void cache_init(void)
{
    mpu_init();
#ifndef BOARD_WITHOUT_CACHES
    instruction_cache_enable();
    data_cache_enable();
#endif
}
