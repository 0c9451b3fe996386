"""Tables of what an emulated run executed: exact instructions and estimated cycles of each function."""

import bisect

import numpy as np
import pandas as pd

from kwslib import timing
from kwslib.recorder import COST, EVENTS, NONE, Recorder, Snapshot

CODE_EVENTS = ("icache_misses", "uncached_fetches")
DATA_EVENTS = ("flash_misses", "ram_misses", "uncached_flash", "uncached_ram")
COLUMNS = ("instructions", "cycles", "low", "high", "mispredicts", "icache_misses", "dcache_misses", "calls")
COLUMNS += ("total_instructions", "total_cycles", "cycles_per_instruction")
_SHARE_WORTH_A_NOTE = 0.02


def table(after: Recorder | Snapshot, firmware, before: Snapshot | None = None) -> pd.DataFrame:
    """Profile by function, the most expensive first: of the whole run, or from snapshot `before` on.

    Columns: instructions (exact); cycles, low, high (estimates; low to high sweeps the parameters of the model and is
    no confidence interval); mispredicts, icache_misses, dcache_misses (simulated; accesses to flash or SRAM with the
    cache off count as well, and those past the ART accelerator with icache_misses); calls; total_instructions and
    total_cycles with all functions that it called, a recursion once; cycles_per_instruction.

    The totals of `Reset_Handler` and of an interrupt handler are those of the call trees that begin there; the function
    that an interrupt stops has the handler in its totals. A function that is entered by a tail call counts in the
    totals of its caller only. Sleep is in no row. Code without a symbol is listed by the address of the nearest call
    target, such as "sub_08001a2c".
    """
    blocks = _blocks(after, before)
    functions = _functions(blocks, firmware)
    rows = blocks.groupby(functions, sort=False)[[*COLUMNS[:-1]]].sum()
    rows = rows[rows.instructions > 0].round(0).astype(np.int64)
    rows["cycles_per_instruction"] = (rows.cycles / rows.instructions).round(3)
    return rows.sort_values("cycles", ascending=False, kind="stable").rename_axis("function")


def totals(after: Recorder | Snapshot, before: Snapshot | None = None) -> dict[str, int]:
    """Sums over all functions, named as in `table`, and waiting_cycles: sleep, entry to and return from interrupts.

    Further keys are the events of `kwslib.timing.PENALTIES`; icache_misses here is without accesses past the cache.
    """
    after = _snapshot(after)
    blocks = _blocks(after, before)
    sums = {name: round(blocks[name].sum()) for name in ("instructions", "cycles", "low", "high", "mispredicts")}
    sums |= {name: int(blocks[f"event_{name}"].sum()) for name in EVENTS}
    return sums | {"waiting_cycles": after.waited - (before.waited if before else 0)}


def notes(after: Recorder | Snapshot, before: Snapshot | None = None) -> list[str]:
    """What a reader of the estimates has to know about this run: caches that were off, unknown instructions."""
    after = _snapshot(after)
    sums, found = totals(after, before), []
    nominal = {name: cycles for name, (_, cycles, _) in timing.PENALTIES.items()}
    remedies = {
        "I-cache is off": (("uncached_fetches",), "call SCB_EnableICache after SCB_InvalidateICache"),
        "D-cache is off": (("uncached_flash", "uncached_ram"), "call SCB_EnableDCache, or keep data in DTCM"),
    }
    if not after.art:
        remedies["ART is off"] = (("art_misses",), "set ARTEN and PRFTEN in FLASH_ACR")
    for what, (events, remedy) in remedies.items():
        share = sum(sums[name] * nominal[name] for name in events) / max(1, sums["cycles"])
        if share > _SHARE_WORTH_A_NOTE:
            found.append(
                f"{what} for {share:.0%} of the estimated cycles: {remedy}; until then estimates are only within a "
                "factor of 2"
            )
    unknown: dict[str, int] = {}
    counts = _difference(after, before)["count"]
    for block, count in zip(after.code if after.unknown else (), counts, strict=False):
        for instruction in block:
            if instruction.name in after.unknown:
                unknown[instruction.name] = unknown.get(instruction.name, 0) + int(count)
    executed = {name: count for name, count in sorted(unknown.items()) if count}
    if executed:
        listed = ", ".join(f"{name} ({count} times)" for name, count in executed.items())
        found.append(f"instructions that the cycle model does not know, taken as one ALU cycle each: {listed}")
    return found


def _snapshot(source) -> Snapshot:
    return source.snapshot() if isinstance(source, Recorder) else source


def _difference(after, before, which="blocks"):
    """Counts of a section: entries are only ever appended, so those of `before` come first."""
    now = getattr(after, which)
    counted = {name: now[name].astype(np.int64) for name in now.dtype.names}
    constant = ("address", "size", "instructions", "kind", "last", "mispredict_cost", "previous", "block", "cost")
    if before is not None:
        past = getattr(before, which)
        for name in counted:
            if name not in (*constant, "before"):
                counted[name][: len(past)] -= past[name].astype(np.int64)
    return counted


def _blocks(after, before) -> pd.DataFrame:
    """Row for each block with the columns of `table` (but the ratio) and event_NAME for each event."""
    after = _snapshot(after)
    counts, edges = _difference(after, before), _difference(after, before, "edges")
    rows = pd.DataFrame({"address": counts["address"], "instructions": counts["count"] * counts["instructions"]})
    for column, values in zip(("cycles", "low", "high"), _issue_cycles(after, edges), strict=True):
        rows[column] = np.bincount(edges["block"], weights=edges["count"] * values, minlength=len(rows))
    mispredicts, penalty = counts["mispredicts"], counts["mispredict_cost"] / COST
    for number, column in enumerate(("low", "cycles", "high")):
        factor, extra = (bounds[number] for bounds in timing.MISPREDICT_RANGE)
        rows[column] += mispredicts * (penalty * factor + extra)
        for name in EVENTS:
            rows[column] += counts[name] * timing.PENALTIES[name][number]
    rows["mispredicts"] = mispredicts
    for name in EVENTS:
        rows[f"event_{name}"] = counts[name]
    rows["icache_misses"] = counts["art_misses"] + sum(counts[name] for name in CODE_EVENTS)
    rows["dcache_misses"] = sum(counts[name] for name in DATA_EVENTS)
    rows["calls"] = counts["calls"]
    rows["total_instructions"] = counts["total_instructions"]
    rows["total_cycles"] = counts["total_cost"] / COST
    return rows


def _issue_cycles(snapshot, edges):
    """Nominal, low and high cycles of each edge, in the context in which it was first met."""
    known, low, high = snapshot.bounds, [], []
    for before, previous, block in zip(edges["before"], edges["previous"], edges["block"], strict=True):
        key = (int(before), int(previous), int(block))
        if key not in known:
            chain = [None if index == NONE else snapshot.code[index] for index in key]
            known[key] = tuple(timing.edge_cycles(*chain, variant) for variant in ("low", "high"))
        low.append(known[key][0])
        high.append(known[key][1])
    return edges["cost"] / COST, np.array(low, float), np.array(high, float)


def _functions(blocks, firmware) -> list[str]:
    """Name of the function of each block."""
    called = sorted(blocks.address[blocks.calls > 0])
    names = []
    for address in blocks.address:
        alias = 0x7E00000 if 0x200000 <= address < 0x300000 else 0  # flash on the ITCM bus
        name = firmware.function(address + alias)
        if name == "?":
            nearest = bisect.bisect_right(called, address) - 1
            name = f"sub_{called[nearest] if nearest >= 0 else address:08x}"
        names.append(name)
    return names
