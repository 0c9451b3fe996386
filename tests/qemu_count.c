/* QEMU TCG plugin (interface version 1, QEMU 7.2) that counts executions of each translated block, exactly.
 * Declares what it uses of the interface itself: Debian's QEMU comes without the header. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
typedef void (*translated_t)(uint64_t id, struct qemu_plugin_tb *tb);
typedef void (*exit_t)(uint64_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_t callback);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int operation, void *counter, uint64_t add);
void qemu_plugin_register_atexit_cb(uint64_t id, exit_t callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

typedef struct block {
    uint64_t address, instructions, count;
    struct block *next;
} block_t;

static block_t *blocks;
static const char *output;

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    block_t *block = calloc(1, sizeof *block);
    if (!block) abort();
    block->address = qemu_plugin_tb_vaddr(tb);
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &block->count, 1);
}

static void finish(uint64_t id, void *data)
{
    (void)id, (void)data;
    FILE *file = fopen(output, "w");
    if (!file) abort();
    for (const block_t *b = blocks; b; b = b->next)
        fprintf(file, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", b->address, b->instructions, b->count);
    fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    output = getenv("QEMU_COUNT_OUTPUT");
    if (!output) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
