"""The counters of `recorder.c` in Python, for a computer without a C compiler, and as a check of recorder.c.

A test holds both to the same counts, of every block and edge: a mistake in one of them shows. See recorder.c for the
reasons; names and order of steps are the same.
"""

from types import SimpleNamespace

import numpy as np
from unicorn import UC_HOOK_BLOCK, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, UC_MEM_WRITE, arm_const

from kwslib.recorder import BLOCK_FIELDS, BTB_ENTRIES, EDGE_FIELDS, EVENTS, FRAME_FIELDS, KINDS, NEVER, NONE

_IT_BITS = 0x0600FC00
_RETURN_STACK = 16
_GRANULE_BITS = 6


class PythonCounters:
    """What `Recorder` needs of its counters; costs are cycles in 1/256."""

    def __init__(self, uc, recorder):
        self.head = SimpleNamespace(
            instructions=0, cost=0, waited=0, stop=NEVER, due=0, failed=0, icache=0, dcache=0, art=0
        )
        self._uc, self._recorder = uc, recorder
        self._blocks, self._edges, self._frames = [], [], []
        self._block_table, self._edge_table = {}, {}
        self._previous = self._before = self._resume = NONE
        self._cut = False
        self._returns, self._return_top = [0] * _RETURN_STACK, 0
        self._targets = [[0, 0, 0] for _ in range(BTB_ENTRIES)]  # tag, target, counter
        self._caches = {"icache": _Cache(64, 2), "dcache": _Cache(32, 4), "art": _Cache(16, 4)}
        self._versions: dict[int, int] = {}  # granules of RAM with code: how often written
        self._uncached: list[tuple[int, int]] = []
        uc.hook_add(UC_HOOK_BLOCK, self._block)
        uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, self._memory)

    def set_penalties(self, costs):
        self._penalties = dict(zip(EVENTS, costs, strict=True))

    def set_uncached(self, bounds):
        self._uncached = list(zip(bounds[::2], bounds[1::2], strict=True))

    def wait(self, cost):
        self.head.waited += cost
        self._cut = True

    def clear_caches(self, *wanted):
        for cache, clear in zip(self._caches.values(), wanted, strict=True):
            if clear:
                cache.clear()

    def table(self, which):
        tables = {"block": (BLOCK_FIELDS, self._blocks), "edge": (EDGE_FIELDS, self._edges)}
        names, rows = tables.get(which, (FRAME_FIELDS, self._frames))
        table = np.zeros(len(rows), [(name, "<u8") for name in names])
        for name in names:
            table[name] = [row[name] for row in rows]
        return table

    def _block(self, uc, address, size, _):
        head, previous = self.head, self._previous
        if size == 0:
            return
        if head.cost + head.waited >= head.stop:
            head.stop, head.due, self._resume = NEVER, 1, address
            uc.emu_stop()
            return
        index = self._find(address, size)
        cost = self._follow(NONE if self._cut else previous, index)
        if previous == NONE:
            self._push(index, NONE, 0)
        elif self._cut:
            self._cross(index, address)
        else:
            self._branch(self._blocks[previous], index, address)
        block = self._blocks[index]
        head.cost += cost
        head.instructions += block["instructions"]
        block["count"] += 1
        self._before = NONE if self._cut else previous
        self._previous, self._cut, head.due, self._resume = index, False, 0, address + size
        self._fetch(block, address, size)

    def _find(self, address, size):
        index = self._block_table.get((address, size))
        if index is not None:
            block = self._blocks[index]
            version = self._version(address, size)
            if block["version"] == version or not self._recorder.changed(index):
                block["version"] = version
                return index
            block["stale"] = 1
        index = len(self._blocks)
        names = ("instructions", "kind", "has_it", "last", "mispredict_cost")
        description = dict(zip(names, self._recorder.describe(index, address, size), strict=True))
        if _is_ram(address):
            for granule in _granules(address, size):
                self._versions.setdefault(granule, 1)
        block = dict.fromkeys(BLOCK_FIELDS, 0) | {"address": address, "size": size} | description
        block["version"] = self._version(address, size)
        self._blocks.append(block)
        self._block_table[address, size] = index
        return index

    def _version(self, address, size):
        return sum(self._versions.get(g, 0) for g in _granules(address, size)) if _is_ram(address) else 0

    def _follow(self, previous, index):
        edge = self._edge_table.get((previous, index))
        if edge is not None:
            edge["count"] += 1
            return edge["cost"]
        cost = self._recorder.edge_cost(self._before, previous, index)
        edge = {"previous": previous, "block": index, "before": self._before, "count": 1, "cost": cost}
        self._edge_table[previous, index] = edge
        self._edges.append(edge)
        return cost

    def _push(self, index, ret, exception):
        head = self.head
        frame = {"block": index, "ret": ret, "instructions": head.instructions, "cost": head.cost}
        self._frames.append(frame | {"exception": exception})
        self._blocks[index]["calls"] += 1
        self._blocks[index]["active"] += 1

    def _pop(self):
        frame = self._frames.pop()
        block = self._blocks[frame["block"]]
        block["active"] -= 1
        if not block["active"]:
            block["total_instructions"] += self.head.instructions - frame["instructions"]
            block["total_cost"] += self.head.cost - frame["cost"]

    def _cross(self, index, address):
        """Entry to or return from an exception, or the end of a sleep."""
        kind = KINDS[self._blocks[self._previous]["kind"]]
        if kind in ("return", "indirect") and self._frames and self._frames[-1]["exception"]:
            ret = self._frames[-1]["ret"]
            self._pop()
            if ret != address:
                self._push(index, ret, 1)
            else:
                while self._frames and self._frames[-1]["ret"] == address:
                    self._pop()
        elif address != self._resume:
            self._push(index, self._resume, 1)

    def _branch(self, block, index, address):
        following = block["address"] + block["size"]
        kind, taken = KINDS[block["kind"]], address != following
        if kind in ("return", "indirect") and any(frame["ret"] == address for frame in self._frames):
            while self._frames[-1]["ret"] != address:
                self._pop()
            self._pop()
        if kind in ("call", "indirect call"):
            self._push(index, following, 0)
        block["taken"] += taken
        if self._mispredicted(block, kind, address, taken):
            block["mispredicts"] += 1
            self.head.cost += block["mispredict_cost"]

    def _mispredicted(self, block, kind, address, taken):
        if kind in ("call", "indirect call"):
            self._returns[self._return_top % _RETURN_STACK] = block["address"] + block["size"]
            self._return_top += 1
        if kind in ("", "direct", "call"):
            return False
        if kind == "return" and taken:
            self._return_top -= 1
            return self._returns[self._return_top % _RETURN_STACK] != address
        last = block["last"]
        target = self._targets[(last >> 1) % len(self._targets)]
        known = target[0] == last
        predicted = known and target[2] >= 2
        miss = predicted != taken if kind == "conditional" else not (predicted and target[1] == address)
        if known and taken:
            target[1:] = address, min(3, target[2] + 1)
        elif known:
            target[2] = max(0, target[2] - 1)
        elif taken:
            target[:] = last, address, 2
        return miss

    def _event(self, block, what, times=1):
        block[what] += times
        self.head.cost += times * self._penalties[what]

    def _fetch(self, block, address, size):
        if _is_flash(address) and (not self.head.icache or self._is_uncached(address)):
            self._event(block, "uncached_fetches", ((address & 7) + size + 7) >> 3)
            return
        art = _is_art_flash(address)
        if not art and not _is_flash(address):
            return
        for line in range(address & ~31, address + size, 32):
            if art and (not self.head.art or self._caches["art"].misses(line)):
                self._event(block, "art_misses")
            if not art and self._caches["icache"].misses(line):
                self._event(block, "icache_misses")

    def _memory(self, uc, kind, address, size, value, _):
        if self._previous == NONE:
            return
        block, written = self._blocks[self._previous], kind == UC_MEM_WRITE
        if block["has_it"]:
            flags = uc.reg_read(arm_const.UC_ARM_REG_CPSR)
            if flags & _IT_BITS:
                uc.reg_write(arm_const.UC_ARM_REG_CPSR, flags & ~_IT_BITS)
        if written:
            for part in range(address, address + size, 4):
                if part >> _GRANULE_BITS in self._versions:
                    self._versions[part >> _GRANULE_BITS] += 1
        elif address & (min(size, 4) - 1):
            self._event(block, "unaligned")
        flash = _is_flash(address)
        if _is_art_flash(address):
            if not written and (not self.head.art or self._caches["art"].misses(address)):
                self._event(block, "art_misses")
        elif flash or _is_axi_ram(address):
            if not self.head.dcache or self._is_uncached(address):
                self._event(block, "uncached_flash" if flash else "uncached_ram")
            elif self._caches["dcache"].misses(address):
                self._event(block, "flash_misses" if flash else "ram_misses")

    def _is_uncached(self, address):
        return any(start <= address < end for start, end in self._uncached)


class _Cache:
    """Lines of 32 bytes, replaced round robin."""

    def __init__(self, sets, ways):
        self._sets, self._ways = sets, ways
        self.clear()

    def clear(self):
        self._tags = [[-1] * self._ways for _ in range(self._sets)]
        self._next = [0] * self._sets

    def misses(self, address):
        line = address >> 5
        number = line % self._sets
        if line in self._tags[number]:
            return False
        self._tags[number][self._next[number] % self._ways] = line
        self._next[number] += 1
        return True


def _granules(address, size):
    return range(address >> _GRANULE_BITS, (address + size - 1 >> _GRANULE_BITS) + 1)


def _is_ram(address):
    return address < 0x4000 or 0x20000000 <= address < 0x20050000 or 0xC0000000 <= address < 0xC0800000


def _is_flash(address):
    return address >> 24 == 0x08


def _is_art_flash(address):
    return 0x200000 <= address < 0x300000


def _is_axi_ram(address):
    return 0x20010000 <= address < 0x20050000 or 0x60000000 <= address < 0xE0000000
