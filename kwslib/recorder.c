/* Hooks for Unicorn: counts blocks, edges, branches and cache misses, and keeps the estimated time.
 * Built and driven by recorder.py; recorder_python.py does the same in Python. Needs no header of Unicorn. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BITS 5u /* caches of the Cortex-M7 and the ART accelerator: 32 bytes a line */
#define ICACHE_SETS 64u /* 4 KB (STM32F746 datasheet) in two ways (Cortex-M7 Technical Reference Manual) */
#define ICACHE_WAYS 2u
#define DCACHE_SETS 32u /* 4 KB in four ways, likewise */
#define DCACHE_WAYS 4u
#define ART_SETS 16u /* 64 lines (RM0385, ART Accelerator); four ways assumed */
#define ART_WAYS 4u
#define RETURN_STACK 16u
#define MAX_UNCACHED 16u
#define GRANULE_BITS 6u /* writes to code are noticed by 64 bytes */
#define IT_BITS 0x0600fc00u
#define NONE UINT32_MAX

enum kind { K_NONE, K_CONDITIONAL, K_DIRECT, K_CALL, K_RETURN, K_INDIRECT, K_INDIRECT_CALL };
enum penalty { P_ICACHE, P_FLASH, P_RAM, P_ART, P_FETCH, P_UNCACHED_FLASH, P_UNCACHED_RAM, P_UNALIGNED, P_COUNT };

/* Same order as BLOCK_FIELDS in recorder.py; `events` as PENALTIES in timing.py. Cycles are in 1/256. */
typedef struct {
    uint64_t address, size, instructions, kind, has_it, last, mispredict_cost, version, stale;
    uint64_t count, taken, mispredicts, events[P_COUNT];
    uint64_t calls, active, total_instructions, total_cost;
} block_t;

typedef struct { uint64_t previous, block, before, count, cost; } edge_t;
typedef struct { uint64_t block, ret, instructions, cost, exception; } frame_t;
typedef struct { uint32_t tag, target, counter; } target_t;
typedef struct { uint32_t *tags; uint8_t *next; uint32_t sets, ways; } cache_t;

/* Filled by the callback for a new block. */
typedef struct { uint32_t address, size, instructions, kind, has_it, last, mispredict_cost; } block_info_t;

/* Head of the recorder: the part that Python reads and writes. Cycles are in 1/256. */
typedef struct {
    uint64_t instructions, cost, waited, stop, penalties[P_COUNT];
    uint64_t n_blocks, n_edges, n_frames;
    uint32_t due, failed, icache, dcache, art, n_uncached, uncached[2 * MAX_UNCACHED];
} head_t;

typedef struct {
    head_t head;
    block_t *blocks;
    edge_t *edges;
    frame_t *frames;
    uint32_t blocks_room, edges_room, frames_room, block_slots, edge_slots;
    uint32_t *block_table, *edge_table; /* index + 1 into blocks and edges, 0 for a free slot */
    uint32_t previous, before, cut, resume, target_slots, return_top;
    uint32_t returns[RETURN_STACK];
    target_t *targets;
    cache_t icache, dcache, art;
    uint32_t *versions; /* of each granule of RAM: 0 without code, else 1 + how often it has been written since */
    void (*describe)(uint32_t, block_info_t *);
    uint32_t (*edge_cost)(uint32_t, uint32_t, uint32_t);
    int (*changed)(uint32_t);
    int (*emu_stop)(void *);
    int (*reg_read)(void *, int, void *);
    int (*reg_write)(void *, int, const void *);
    int cpsr;
} recorder_t;

static void fail(recorder_t *r, void *uc)
{
    r->head.failed = 1;
    r->emu_stop(uc);
}

/* ---- memory map */

/* Granule of an address in memory that can be written and executed; NONE elsewhere. */
static uint32_t granule(uint32_t address)
{
    if (address < 0x4000u) return address >> GRANULE_BITS; /* ITCM RAM */
    uint32_t offset = address - 0x20000000u; /* DTCM, SRAM1, SRAM2 */
    if (offset < 0x50000u) return (0x4000u + offset) >> GRANULE_BITS;
    offset = address - 0xc0000000u; /* SDRAM */
    if (offset < 0x800000u) return (0x54000u + offset) >> GRANULE_BITS;
    return NONE;
}
#define GRANULES (0x854000u >> GRANULE_BITS)

static uint64_t version(const recorder_t *r, uint32_t address, uint32_t size)
{
    uint64_t sum = 0;
    if (granule(address) == NONE) return 0;
    for (uint32_t a = address & ~63u; a < address + size; a += 64u) {
        uint32_t g = granule(a);
        if (g != NONE) sum += r->versions[g];
    }
    return sum;
}

static int is_flash(uint32_t a) { return a >> 24 == 0x08u; }
static int is_art_flash(uint32_t a) { return a - 0x200000u < 0x100000u; }
static int is_axi_ram(uint32_t a) { return a - 0x20010000u < 0x40000u || (a >= 0x60000000u && a < 0xe0000000u); }

static int is_uncached(const recorder_t *r, uint32_t a)
{
    for (uint32_t i = 0; i < r->head.n_uncached; i++)
        if (a >= r->head.uncached[2 * i] && a < r->head.uncached[2 * i + 1]) return 1;
    return 0;
}

/* Whether the line of an address misses; it is loaded then. Replacement is round robin. */
static int misses(cache_t *c, uint32_t address)
{
    uint32_t line = address >> LINE_BITS, set = line & (c->sets - 1), *tags = c->tags + set * c->ways;
    for (uint32_t way = 0; way < c->ways; way++)
        if (tags[way] == line + 1) return 0;
    tags[c->next[set]++ % c->ways] = line + 1;
    return 1;
}

static void event(recorder_t *r, block_t *b, enum penalty what, uint64_t times)
{
    b->events[what] += times;
    r->head.cost += times * r->head.penalties[what];
}

/* ---- tables */

static uint32_t hash_block(uint64_t address, uint64_t size)
{
    return (uint32_t)(((address << 16) ^ size) * 0x9e3779b97f4a7c15ull >> 32);
}

static uint32_t hash_edge(uint64_t previous, uint64_t block)
{
    return (uint32_t)((previous << 32 | block) * 0x9e3779b97f4a7c15ull >> 32);
}

/* Make room for one more element; the hash table is kept at most half full. */
static int grow(void **items, size_t item, uint64_t n, uint32_t *room)
{
    if (n < *room) return 1;
    void *larger = realloc(*items, item * *room * 2);
    if (!larger) return 0;
    *items = larger;
    *room *= 2;
    return 1;
}

static int new_table(uint32_t **table, uint32_t *slots, uint32_t wanted)
{
    uint32_t *larger = calloc(wanted, sizeof *larger);
    if (!larger) return 0;
    free(*table);
    *table = larger;
    *slots = wanted;
    return 1;
}

static void put(uint32_t *table, uint32_t slots, uint32_t hash, uint32_t index)
{
    while (table[hash &= slots - 1]) hash++;
    table[hash] = index + 1;
}

static uint32_t add_block(recorder_t *r, uint32_t address, uint32_t size)
{
    head_t *h = &r->head;
    if (!grow((void **)&r->blocks, sizeof(block_t), h->n_blocks, &r->blocks_room)) return NONE;
    if (2 * h->n_blocks >= r->block_slots) {
        if (!new_table(&r->block_table, &r->block_slots, 2 * r->block_slots)) return NONE;
        for (uint32_t i = 0; i < h->n_blocks; i++)
            put(r->block_table, r->block_slots, hash_block(r->blocks[i].address, r->blocks[i].size), i);
    }
    uint32_t index = (uint32_t)h->n_blocks++;
    block_info_t info = { .address = address, .size = size };
    r->describe(index, &info);
    for (uint32_t a = address & ~63u; a < address + size; a += 64u) {
        uint32_t g = granule(a);
        if (g != NONE && !r->versions[g]) r->versions[g] = 1;
    }
    block_t *b = &r->blocks[index];
    memset(b, 0, sizeof *b);
    b->address = address, b->size = size, b->instructions = info.instructions, b->kind = info.kind;
    b->has_it = info.has_it, b->last = info.last, b->mispredict_cost = info.mispredict_cost;
    b->version = version(r, address, size);
    put(r->block_table, r->block_slots, hash_block(address, size), index);
    return index;
}

static uint32_t find_block(recorder_t *r, uint32_t address, uint32_t size)
{
    for (uint32_t h = hash_block(address, size);; h++) {
        uint32_t index = r->block_table[h & (r->block_slots - 1)];
        if (!index) return add_block(r, address, size);
        block_t *b = &r->blocks[--index];
        if (b->address != address || b->size != size || b->stale) continue;
        if (granule(address) != NONE) {
            uint64_t now = version(r, address, size);
            if (b->version != now && r->changed(index)) {
                b->stale = 1;
                continue;
            }
            b->version = now;
        }
        return index;
    }
}

/* Count the edge and return its cost; a new one is costed in Python. */
static uint64_t follow_edge(recorder_t *r, uint32_t previous, uint32_t block)
{
    uint32_t hash = hash_edge(previous, block);
    for (;; hash++) {
        uint32_t index = r->edge_table[hash & (r->edge_slots - 1)];
        if (!index) break;
        edge_t *e = &r->edges[index - 1];
        if (e->previous == previous && e->block == block) {
            e->count++;
            return e->cost;
        }
    }
    head_t *h = &r->head;
    if (!grow((void **)&r->edges, sizeof(edge_t), h->n_edges, &r->edges_room)) return UINT64_MAX;
    if (2 * h->n_edges >= r->edge_slots) {
        if (!new_table(&r->edge_table, &r->edge_slots, 2 * r->edge_slots)) return UINT64_MAX;
        for (uint32_t i = 0; i < h->n_edges; i++)
            put(r->edge_table, r->edge_slots, hash_edge(r->edges[i].previous, r->edges[i].block), i);
    }
    uint32_t index = (uint32_t)h->n_edges++;
    uint64_t cost = r->edge_cost(r->before, previous, block);
    r->edges[index] = (edge_t){ .previous = previous, .block = block, .before = r->before, .count = 1, .cost = cost };
    put(r->edge_table, r->edge_slots, hash, index);
    return cost;
}

/* ---- calls: totals of a function with all that it calls */

static int push(recorder_t *r, uint32_t block, uint32_t ret, int exception)
{
    head_t *h = &r->head;
    if (!grow((void **)&r->frames, sizeof(frame_t), h->n_frames, &r->frames_room)) return 0;
    r->frames[h->n_frames++] = (frame_t){ .block = block, .ret = ret, .instructions = h->instructions, .cost = h->cost,
                                          .exception = (uint64_t)exception };
    r->blocks[block].calls++;
    r->blocks[block].active++;
    return 1;
}

static void pop(recorder_t *r)
{
    head_t *h = &r->head;
    frame_t *f = &r->frames[--h->n_frames];
    block_t *b = &r->blocks[f->block];
    if (--b->active) return; /* a recursion counts once, with its outermost call */
    b->total_instructions += h->instructions - f->instructions;
    b->total_cost += h->cost - f->cost;
}

/* After a return: leave the innermost frame with this return address, and those inside it. */
static void pop_to(recorder_t *r, uint32_t address)
{
    uint64_t n = r->head.n_frames;
    while (n && r->frames[n - 1].ret != address) n--;
    if (n)
        while (r->head.n_frames >= n) pop(r);
}

/* ---- branches */

/* Whether the branch at the end of `q`, which went to `address`, was mispredicted. Branch targets: direct mapped, with
 * a two-bit counter each (assumed: Arm does not publish it); returns: a stack. */
static int mispredicted(recorder_t *r, const block_t *q, uint32_t address, int taken)
{
    uint32_t next = (uint32_t)(q->address + q->size), last = (uint32_t)q->last;
    if (q->kind == K_CALL || q->kind == K_INDIRECT_CALL) r->returns[r->return_top++ % RETURN_STACK] = next;
    if (q->kind == K_NONE || q->kind == K_DIRECT || q->kind == K_CALL) return 0;
    if (q->kind == K_RETURN && taken) return r->returns[--r->return_top % RETURN_STACK] != address;
    target_t *t = &r->targets[(last >> 1) & (r->target_slots - 1)];
    int known = t->tag == last, predicted = known && t->counter >= 2;
    int miss = q->kind == K_CONDITIONAL ? predicted != taken : !(predicted && t->target == address);
    if (known && taken) {
        if (t->counter < 3) t->counter++;
        t->target = address;
    } else if (known && t->counter) {
        t->counter--;
    } else if (!known && taken) {
        *t = (target_t){ .tag = last, .target = address, .counter = 2 };
    }
    return miss;
}

static void fetch(recorder_t *r, block_t *b, uint32_t address, uint32_t size)
{
    if (is_flash(address) && (!r->head.icache || is_uncached(r, address))) {
        event(r, b, P_FETCH, ((address & 7) + size + 7) >> 3);
        return;
    }
    int art = is_art_flash(address);
    if (!art && !is_flash(address)) return;
    for (uint32_t a = address & ~31u; a < address + size; a += 32u) {
        if (art && (!r->head.art || misses(&r->art, a))) event(r, b, P_ART, 1);
        if (!art && misses(&r->icache, a)) event(r, b, P_ICACHE, 1);
    }
}

/* ---- hooks */

void recorder_block(void *uc, uint64_t address64, uint32_t size, recorder_t *r)
{
    head_t *h = &r->head;
    uint32_t address = (uint32_t)address64, previous = r->previous;
    if (size == 0 || h->failed) return;
    if (h->cost + h->waited >= h->stop) { /* Unicorn has not executed the block yet, and calls again when it goes on */
        h->stop = UINT64_MAX;
        h->due = 1;
        r->resume = address;
        r->emu_stop(uc);
        return;
    }
    uint32_t index = find_block(r, address, size);
    if (index == NONE) { fail(r, uc); return; }
    uint64_t cost = follow_edge(r, r->cut ? NONE : previous, index);
    if (cost == UINT64_MAX) { fail(r, uc); return; }
    int pushed = 1;
    if (previous == NONE) {
        pushed = push(r, index, NONE, 0); /* the entry of the program */
    } else if (r->cut) { /* entry to or return from an exception, or the end of a sleep */
        frame_t *top = h->n_frames ? &r->frames[h->n_frames - 1] : NULL;
        uint64_t kind = r->blocks[previous].kind;
        if ((kind == K_RETURN || kind == K_INDIRECT) && top && top->exception) {
            uint32_t ret = (uint32_t)top->ret;
            pop(r);
            if (ret != address) pushed = push(r, index, ret, 1); /* the next exception follows at once */
            else while (h->n_frames && r->frames[h->n_frames - 1].ret == address) pop(r); /* it came with a return */
        } else if (address != r->resume) {
            pushed = push(r, index, r->resume, 1);
        }
    } else {
        block_t *q = &r->blocks[previous];
        uint32_t next = (uint32_t)(q->address + q->size);
        int taken = address != next;
        if (q->kind == K_RETURN || q->kind == K_INDIRECT) pop_to(r, address);
        if (q->kind == K_CALL || q->kind == K_INDIRECT_CALL) pushed = push(r, index, next, 0);
        q->taken += (uint64_t)taken;
        if (mispredicted(r, q, address, taken)) {
            q->mispredicts++;
            h->cost += q->mispredict_cost;
        }
    }
    if (!pushed) { fail(r, uc); return; }
    block_t *b = &r->blocks[index];
    h->cost += cost;
    h->instructions += b->instructions;
    b->count++;
    r->before = r->cut ? NONE : previous;
    r->previous = index;
    r->cut = 0;
    h->due = 0;
    r->resume = address + size;
    fetch(r, b, address, size);
}

/* Unicorn 2.1.4 (issue 2309): a memory hook inside an IT block leaves IT bits that corrupt the next block. */
static void clear_it(recorder_t *r, void *uc)
{
    uint32_t value = 0;
    r->reg_read(uc, r->cpsr, &value);
    if (value & IT_BITS) {
        value &= ~IT_BITS;
        r->reg_write(uc, r->cpsr, &value);
    }
}

/* type: UC_MEM_READ 16, UC_MEM_WRITE 17 */
void recorder_memory(void *uc, int type, uint64_t address64, int size, int64_t value, recorder_t *r)
{
    uint32_t address = (uint32_t)address64;
    int written = type == 17;
    (void)value;
    if (r->previous == NONE || r->head.failed) return;
    block_t *b = &r->blocks[r->previous];
    if (b->has_it) clear_it(r, uc);
    if (written) {
        for (uint32_t a = address; a < address + (uint32_t)size; a += 4) {
            uint32_t g = granule(a);
            if (g != NONE && r->versions[g]) r->versions[g]++;
        }
    } else if (address & ((size > 4 ? 4u : (uint32_t)size) - 1)) {
        event(r, b, P_UNALIGNED, 1);
    }
    if (is_art_flash(address)) {
        if (!written && (!r->head.art || misses(&r->art, address))) event(r, b, P_ART, 1);
        return;
    }
    int flash = is_flash(address);
    if (!flash && !is_axi_ram(address)) return;
    if (!r->head.dcache || is_uncached(r, address))
        event(r, b, flash ? P_UNCACHED_FLASH : P_UNCACHED_RAM, 1);
    else if (misses(&r->dcache, address)) /* write-back, a write allocates */
        event(r, b, flash ? P_FLASH : P_RAM, 1);
}

/* ---- interface to Python */

/* Time without instructions: the pipeline is empty after it. */
void recorder_wait(recorder_t *r, uint64_t cost)
{
    r->head.waited += cost;
    r->cut = 1;
}

static void clear_cache(cache_t *c)
{
    memset(c->tags, 0, c->sets * c->ways * sizeof *c->tags);
    memset(c->next, 0, c->sets);
}

void recorder_clear_caches(recorder_t *r, int icache, int dcache, int art)
{
    if (icache) clear_cache(&r->icache);
    if (dcache) clear_cache(&r->dcache);
    if (art) clear_cache(&r->art);
}

static int make_cache(cache_t *c, uint32_t sets, uint32_t ways)
{
    *c = (cache_t){ .tags = calloc(sets * ways, sizeof *c->tags), .next = calloc(sets, 1) };
    c->sets = sets, c->ways = ways;
    return c->tags && c->next;
}

static void free_cache(cache_t *c)
{
    free(c->tags);
    free(c->next);
}

void recorder_free(recorder_t *r)
{
    free_cache(&r->icache);
    free_cache(&r->dcache);
    free_cache(&r->art);
    free(r->blocks);
    free(r->edges);
    free(r->frames);
    free(r->block_table);
    free(r->edge_table);
    free(r->targets);
    free(r->versions);
    free(r);
}

recorder_t *recorder_new(uint32_t target_slots, void *describe, void *edge_cost, void *changed, void *emu_stop,
                         void *reg_read, void *reg_write, int cpsr)
{
    recorder_t *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->describe = (void (*)(uint32_t, block_info_t *))describe;
    r->edge_cost = (uint32_t(*)(uint32_t, uint32_t, uint32_t))edge_cost;
    r->changed = (int (*)(uint32_t))changed;
    r->emu_stop = (int (*)(void *))emu_stop;
    r->reg_read = (int (*)(void *, int, void *))reg_read;
    r->reg_write = (int (*)(void *, int, const void *))reg_write;
    r->cpsr = cpsr;
    r->head.stop = UINT64_MAX;
    r->previous = r->before = r->resume = NONE;
    r->target_slots = target_slots;
    r->blocks_room = r->edges_room = 1024, r->frames_room = 16;
    r->blocks = malloc(r->blocks_room * sizeof *r->blocks);
    r->edges = malloc(r->edges_room * sizeof *r->edges);
    r->frames = malloc(r->frames_room * sizeof *r->frames);
    r->targets = calloc(target_slots, sizeof *r->targets);
    r->versions = calloc(GRANULES, sizeof *r->versions);
    int ready = r->blocks && r->edges && r->frames && r->targets && r->versions;
    ready = ready && new_table(&r->block_table, &r->block_slots, 4096);
    ready = ready && new_table(&r->edge_table, &r->edge_slots, 4096);
    ready = make_cache(&r->icache, ICACHE_SETS, ICACHE_WAYS) && ready;
    ready = make_cache(&r->dcache, DCACHE_SETS, DCACHE_WAYS) && ready;
    ready = make_cache(&r->art, ART_SETS, ART_WAYS) && ready;
    if (ready) return r;
    recorder_free(r);
    return NULL;
}

const block_t *recorder_blocks(const recorder_t *r) { return r->blocks; }
const edge_t *recorder_edges(const recorder_t *r) { return r->edges; }
const frame_t *recorder_frames(const recorder_t *r) { return r->frames; }
