"""Places for the buffers of a network in one block of memory, shared by those that are never needed together."""

from dataclasses import dataclass, replace

BYTES_AROUND = 32  # kernels may read so far before and behind a buffer
ALIGNMENT = 32


@dataclass(frozen=True)
class Buffer:
    """Bytes of the arena that hold something from call `first` to call `last`; -1 is before the first call."""

    n_bytes: int
    alignment: int
    first: int
    last: int
    offset: int = -1


def place(buffers: list[Buffer]) -> tuple[Buffer, ...]:
    """Buffers with offsets: the largest first, each at the lowest place that is free while it holds something."""
    placed: dict[int, Buffer] = {}
    for number in sorted(range(len(buffers)), key=lambda k: (-buffers[k].n_bytes, k)):
        buffer = buffers[number]
        others = [other for other in placed.values() if other.first <= buffer.last and buffer.first <= other.last]
        offset = _aligned(BYTES_AROUND, buffer.alignment)
        for other in sorted(others, key=lambda other: other.offset):
            if other.offset >= offset + buffer.n_bytes:
                break
            offset = max(offset, _aligned(other.offset + other.n_bytes, buffer.alignment))
        placed[number] = replace(buffer, offset=offset)
    return tuple(placed[number] for number in range(len(buffers)))


def size(buffers: tuple[Buffer, ...]) -> int:
    """Bytes of the block, with what the kernels may read around it."""
    return max(buffer.offset + buffer.n_bytes for buffer in buffers) + BYTES_AROUND


def alignment(buffers: tuple[Buffer, ...]) -> int:
    """Of the block, in bytes."""
    return max([ALIGNMENT, *(buffer.alignment for buffer in buffers)])


def _aligned(offset, alignment):
    return -(-offset // alignment) * alignment
