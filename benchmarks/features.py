"""Batched features beside plain librosa, clip by clip, in one run; then a whole folder with two processes.

    python benchmarks/features.py [FOLDER]

FOLDER is in the Speech Commands layout; without it the synthetic set is used.
"""

import sys
import time

from kwslib import config, dataset, features


def main() -> None:
    """Print both comparisons."""
    source = sys.argv[1] if len(sys.argv) > 1 else "synthetic"
    index = dataset.load_index(source, config.KWS10, config.PAPER_FEATURES)
    recorded = index[index.start == 0]
    clips, _, _ = dataset.load_clips(recorded[:: max(1, len(recorded) // 500)][:500], config.PAPER_FEATURES)
    for settings in (config.PAPER_FEATURES, config.MFCC_FEATURES):
        row = features.compare_with_librosa(clips, settings.replace(normalisation="none")).iloc[0]
        print(
            f"{settings.name}: librosa {row.librosa_ms:.2f} ms a clip, batched {row.batched_ms:.3f} ms, "
            f"ratio {row.ratio:.1f}, largest difference {row.max_difference:.1e}"
        )
        for source, refresh in (("files", True), ("cache", False)):
            started = time.perf_counter()
            values, _, _ = features.dataset_features(recorded, settings, refresh=refresh)
            seconds = time.perf_counter() - started
            print(f"{settings.name}: {len(values):,} clips from {source} in {seconds:.1f} s (2 processes)")


if __name__ == "__main__":
    main()
