/* WM8994: registers of its datasheet (rev 4.6), the order of ST's driver for this board. */
#include "codec.h"

#include <stddef.h>

#include "board.h"
#include "i2c.h"

#define ADDRESS (0x34u >> 1)
#define DEVICE_ID 0x8994u
#define VMID_RISE_MS 50u

typedef struct {
    uint16_t address;
    uint16_t value;
} setting_t;

static const setting_t bias[] = {
    {0x0102, 0x0003}, /* the chip's errata: three writes to hidden registers */
    {0x0817, 0x0000},
    {0x0102, 0x0000},
    {0x0039, 0x006C}, /* VMID rises fast, start-up bias */
    {0x0001, 0x0013}, /* bias generator, VMID, and MICBIAS1, which feeds the microphones */
};

/* The microphones share the data line DMICDAT2; their path ends in time slot 1 of AIF1. */
static const setting_t path[] = {
    {0x0004, 0x0C30}, /* AIF1ADC2 and DMIC2, left and right */
    {0x0606, 0x0002}, /* DMIC2L to AIF1ADC2L */
    {0x0607, 0x0002}, /* DMIC2R to AIF1ADC2R */
    {0x0210, 0x0033}, /* AIF1: 16 kHz, clock of 256 times the sample rate */
    {0x0300, 0x4010}, /* AIF1: words of 16 bits, I2S */
    {0x0302, 0x0000}, /* AIF1 is slave */
    {0x0208, 0x000A}, /* SYSCLK from AIF1CLK; DSP clocks of AIF1 and of the core */
    {0x0200, 0x0001}, /* AIF1CLK on, from MCLK1 */
    {0x0620, 0x0002}, /* ADC oversampling 128 */
    {0x0411, 0x1800}, /* high-pass of AIF1ADC2, left and right, at its lowest: takes the offset away, not the speech */
};

static bool write_register(uint32_t address, uint32_t value)
{
    const uint8_t bytes[] = {(uint8_t)(address >> 8), (uint8_t)address, (uint8_t)(value >> 8), (uint8_t)value};
    return i2c_transfer(ADDRESS, bytes, sizeof bytes, NULL, 0);
}

static bool write_all(const setting_t *settings, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        if (!write_register(settings[n].address, settings[n].value)) {
            return false;
        }
    }
    return true;
}

const char *codec_start(uint32_t volume)
{
    static const uint8_t id_register[2] = {0, 0};
    uint8_t id[2] = {0, 0};
    i2c_init();
    if (!i2c_transfer(ADDRESS, id_register, sizeof id_register, id, sizeof id)) {
        return "the codec does not answer on I2C3";
    }
    if (((uint32_t)id[0] << 8 | id[1]) != DEVICE_ID) {
        return "the codec is no WM8994";
    }
    bool done = write_register(0, 0) && write_all(bias, sizeof bias / sizeof bias[0]); /* 0: reset */
    wait_ms(VMID_RISE_MS);
    done = done && write_all(path, sizeof path / sizeof path[0]);
    done = done && write_register(0x0404, volume) && write_register(0x0405, volume | 0x100u); /* VU: both from now on */
    return done ? NULL : "the codec stopped answering on I2C3";
}
