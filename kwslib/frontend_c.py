"""Tables of the front end in C (`firmware_tflm/frontend`), made from a `FeatureConfig`.

    python -m kwslib.frontend_c SETTING FOLDER

writes frontend_tables.h and frontend_tables.c into FOLDER. SETTING is "paper", "mfcc" or the .json file of a trained
model, which holds the normalisation that the model was trained with.
"""

import json
import math
import sys
import textwrap
from pathlib import Path

import numpy as np

from kwslib import cache, features
from kwslib.config import MFCC_FEATURES, PAPER_FEATURES, ConfigError, FeatureConfig

_SETTINGS = {"paper": PAPER_FEATURES, "mfcc": MFCC_FEATURES}
_PLACEMENT = """
/* On the microcontroller the tables are variables, so that startup copies them into DTCM: each is read once a hop from
 * end to end, and out of flash every 32 bytes would miss the 4 KB data cache. */
#ifdef __arm__
#define FRONTEND_TABLE
#else
#define FRONTEND_TABLE const
#endif
"""


class FrontendError(ValueError):
    """A setting or a compiler does not do; the message names it and says what is needed."""


def load_setting(name: str | Path) -> FeatureConfig:
    """Settings by name ("paper", "mfcc") or from the .json file of a model.

    A name alone knows no training clips: a setting that is normalised by their mean and std ("per_band") then hands
    on features without normalisation. Raises FrontendError.
    """
    if str(name) in _SETTINGS:
        config = _SETTINGS[str(name)]
        return config.replace(normalisation="none") if config.normalisation == "per_band" else config
    path = Path(name)
    try:
        return FeatureConfig.from_dict(json.loads(path.read_text(encoding="utf-8"))["features"])
    except OSError as error:
        raise FrontendError(
            f"{path}: not readable ({error.strerror}); give 'paper', 'mfcc' or the .json file of a model"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        fault = f"{error}" if isinstance(error, ConfigError) else "it holds no settings under 'features'"
        raise FrontendError(f"{path}: {fault}; give the .json file that belongs to a .tflite file") from None


def tables(config: FeatureConfig) -> dict[str, np.ndarray]:
    """Constant tables of the C code by name, float32 or integers, in the order in which the code reads them.

    - frontend_window: Hann window / 32768 / 2 (see `split` in frontend_fft.c), for blocks of pairs of samples.
    - frontend_fft_order: first sample of each block of the first pass.
    - frontend_fft_twiddles: for each further pass and each k, exp(-2 pi i j k / (8 span)) for j = 1 to 7.
    - frontend_split_twiddles: exp(-2 pi i k / fft_size) for k = 1 to fft_size / 4.
    - frontend_mel_first, frontend_mel_quads, frontend_mel_weights: the bins of each band that have a weight, filled
      up with zero weights to whole groups of four.
    - frontend_dct_weights: orthonormal DCT-II [coefficients, bands]; frontend_mean, frontend_std: normalisation.
    """
    points, radix = config.fft_size // 2, _first_radix(config)
    blocks = points // radix
    order = _digits_reversed(blocks)
    pairs = order[:, None] + blocks * np.arange(radix)
    window = features.window_function(config)[2 * pairs[:, :, None] + np.arange(2)] / np.float32(65536)
    twiddles, span = [], radix
    while span < points:
        twiddles.append(_phasors(np.outer(np.arange(span), np.arange(1, 8)), 8 * span))
        span *= 8
    mel = features.mel_filters(config)
    padded = np.pad(mel, ((0, 0), (0, 4)))
    ranges = [_range(row) for row in mel]
    found = {
        "frontend_window": window,
        "frontend_fft_order": (2 * order).astype(np.uint16),
        "frontend_fft_twiddles": np.concatenate([part.ravel() for part in twiddles]),
        "frontend_split_twiddles": _phasors(np.arange(1, points // 2 + 1), config.fft_size),
        "frontend_mel_first": np.array([first for first, _ in ranges], np.uint16),
        "frontend_mel_quads": np.array([quads for _, quads in ranges], np.uint16),
        "frontend_mel_weights": np.concatenate([r[f : f + 4 * q] for r, (f, q) in zip(padded, ranges, strict=True)]),
    }
    if config.kind == "mfcc":
        dct = features.dct_matrix(config)
        found["frontend_dct_weights"] = np.pad(dct, ((0, 0), (0, padded_bands(config) - config.mel_bands)))
    if config.normalisation == "per_band":
        if not config.mean:
            raise FrontendError(f"features {config.name!r} have no mean and std yet; give the .json file of a model")
        found["frontend_mean"], found["frontend_std"] = np.array(config.mean), np.array(config.std)
    return {
        name: table.ravel() if table.dtype.kind == "u" else table.ravel().astype(np.float32)
        for name, table in found.items()
    }


def write_tables(config: FeatureConfig, folder: str | Path, source: str) -> tuple[Path, Path]:
    """Write frontend_tables.h and frontend_tables.c into `folder`; `source` is named in their first comment."""
    folder = Path(folder)
    paths = folder / "frontend_tables.h", folder / "frontend_tables.c"
    for path, text in zip(paths, texts(config, source), strict=True):
        with cache.replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths


def texts(config: FeatureConfig, source: str) -> tuple[str, str]:
    """Header and source of the tables."""
    found = tables(config)
    settings = json.dumps(config.to_dict(), sort_keys=True)
    comment = textwrap.wrap(
        f"Generated by kwslib.frontend_c from {source}; do not edit. Settings: {settings}", 112, subsequent_indent=" * "
    )
    comment = "/* " + "\n".join(comment) + " */"
    normalisation = {"none": "NONE", "window": "WINDOW", "per_band": "PER_BAND"}[config.normalisation]
    constants = {
        "SAMPLE_RATE_HZ": config.sample_rate_hz,
        "HOP_SAMPLES": config.hop_samples,
        "HOPS_PER_FRAME": hops_per_frame(config),
        "FFT_SIZE": config.fft_size,
        "FIRST_RADIX": _first_radix(config),
        "BINS": bins(config),
        "MEL_BANDS": config.mel_bands,
        "MEL_BANDS_PADDED": padded_bands(config),
        "FLOOR": _number(np.float32(10 ** (config.floor_db / 10))),
        "MFCC": int(config.kind == "mfcc"),
        "BANDS": config.bands,
        "FRAMES": config.frames,
        "NONE": 0,
        "WINDOW": 1,
        "PER_BAND": 2,
        "NORMALISATION": f"FRONTEND_{normalisation}",
    }
    types = {name: "float" if table.dtype == np.float32 else "uint16_t" for name, table in found.items()}
    header = [comment, "#ifndef FRONTEND_TABLES_H_", "#define FRONTEND_TABLES_H_\n", "#include <stdint.h>\n"]
    header += [f"#define FRONTEND_NAME {json.dumps(config.name)}"]
    header += [f"#define FRONTEND_{name} {value}" for name, value in constants.items()]
    header += [_PLACEMENT, *(f"extern FRONTEND_TABLE {types[name]} {name}[{len(t)}];" for name, t in found.items())]
    body = [comment, '#include "frontend_tables.h"']
    for name, table in found.items():
        rows = textwrap.wrap(", ".join(map(_number, table)), 116, initial_indent="    ", subsequent_indent="    ")
        body += [f"\nFRONTEND_TABLE {types[name]} {name}[{len(table)}] = {{", *rows, "};"]
    return "\n".join([*header, "\n#endif\n"]), "\n".join([*body, ""])


def _number(value) -> str:
    if isinstance(value, np.unsignedinteger):
        return str(value)
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _phasors(steps: np.ndarray, circle: int) -> np.ndarray:
    """exp(-2 pi i steps / circle) as [..., 2], cosine and minus sine."""
    angle = 2 * math.pi * (steps % circle) / circle
    return np.stack([np.cos(angle), -np.sin(angle)], axis=-1)


def _digits_reversed(count: int) -> np.ndarray:
    """Numbers below `count`, a power of eight, with their octal digits in reverse."""
    order = np.zeros(1, int)
    while len(order) < count:
        order = (8 * order[None] + np.arange(8)[:, None]).ravel()
    return order


def _range(row: np.ndarray) -> tuple[int, int]:
    """First bin with a weight and the number of groups of four bins; one group of zeros for an empty band."""
    used = np.flatnonzero(row)
    return (int(used[0]), -(-(int(used[-1]) + 1 - int(used[0])) // 4)) if len(used) else (0, 1)


def _first_radix(config: FeatureConfig) -> int:
    """Radix of the first pass, so that all others are eight: 8, 4 or 2."""
    rest = int(math.log2(config.fft_size // 2)) % 3
    return 2**rest if rest else 8


def hops_per_frame(config: FeatureConfig) -> int:
    """Hops that the ring of samples holds: at least one FFT frame."""
    return -(-config.fft_size // config.hop_samples)


def padded_bands(config: FeatureConfig) -> int:
    """Mel bands filled up to a multiple of four, which the logarithm takes at a time."""
    return 4 * -(-config.mel_bands // 4)


def bins(config: FeatureConfig) -> int:
    """Bins from 0 that the mel bands use; never the last one, where the highest triangle ends."""
    used = np.flatnonzero(features.mel_filters(config).any(axis=0))
    if not len(used):
        raise FrontendError(f"features {config.name!r}: no FFT bin lies in a mel band; widen the bands")
    return int(used[-1]) + 1


def main(arguments: list[str]) -> int:
    """`python -m kwslib.frontend_c SETTING FOLDER`."""
    if len(arguments) != 2:
        print("usage: python -m kwslib.frontend_c paper|mfcc|MODEL.json FOLDER", file=sys.stderr)
        return 2
    setting, folder = arguments
    try:
        write_tables(load_setting(setting), folder, Path(setting).name)
    except (FrontendError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
