"""The espeak-ng speech synthesiser through the wheel `espeakng-loader` (a library and its data; no program needed).

The engine keeps state, so equal bytes need a fresh process and a fixed order: `synthetic` runs
`python -m kwslib.synthetic` for a chunk of work.
"""

import ctypes
import os

import numpy as np

ENGLISH = ("en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
# Voices that read English by the rules of another language: an accent for other words, wrong for the commands.
FOREIGN = ("de", "nl", "sv", "nb", "da", "fr", "es", "it", "pt", "pl", "fi", "hu", "tr", "id", "hi", "cs")
# Timbres of espeak-ng. Those that differ by a number only (but f1 to m8) sound alike: one family.
_VARIANTS = """f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo
Jacky Lee Marco Mario Michael Mike Reed adam anika announcer antonio aunty belinda benjamin boris caleb croak david ed
edward edward2 grandma grandpa gustave ian iven iven2 iven3 iven4 john kaukovalta klatt klatt2 klatt3 klatt4 klatt5
linda marcelo max michel miguel mike2 norbert pablo paul pedro quincy rob robert sandro shelby steph steph2 steph3
travis victor whisperf zac"""
RATE_WPM, PITCH, PITCH_RANGE = 1, 3, 4  # espeak_PARAMETER in espeak-ng/speak_lib.h
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when the callback has had all samples
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT
_UTF8 = 1  # espeakCHARS_UTF8
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SpeechError(RuntimeError):
    """Speech cannot be made; the message names the voice or the package and the remedy."""


def timbres() -> dict[str, list[str]]:
    """Families of timbres (variants of a voice) that may count as one speaker: name to variants."""
    families = {}
    for variant in _VARIANTS.split():
        families.setdefault(variant if len(variant) == 2 else variant.rstrip("0123456789").lower(), []).append(variant)
    return families


class Engine:
    """One loaded synthesiser; `rate_hz` is the rate of its samples (22,050)."""

    def __init__(self):
        try:
            import espeakng_loader

            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = os.fspath(espeakng_loader.get_data_path())
        except (ImportError, OSError) as error:
            raise SpeechError(f"no speech synthesiser ({error}); remedy: pip install espeakng-loader") from None
        self.rate_hz = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
        if self.rate_hz <= 0:
            raise SpeechError(f"espeak-ng does not start with the data in {data}; reinstall espeakng-loader")
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self._library.espeak_ng_SetRandSeed(1)  # the breath of some voices; seeded by the clock otherwise
        self._pieces = []
        self._callback = _CALLBACK(self._collect)  # kept, or Python frees what the library still calls
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, _events):
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def set_voice(self, voice: str, *, speed_wpm: int, pitch: int, pitch_range: int):
        """Choose a voice (such as "en-us+f2"), speed in words a minute, pitch and pitch range (0 to 100).

        Raises SpeechError if the voice is refused; the engine itself would silently keep the last one.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeechError(f"voice {voice!r} is refused by espeak-ng; choose another accent or variant")
        for parameter, value in ((RATE_WPM, speed_wpm), (PITCH, pitch), (PITCH_RANGE, pitch_range)):
            if self._library.espeak_SetParameter(parameter, int(value), 0) != 0:
                raise SpeechError(f"voice {voice!r}: parameter {parameter} = {value} is refused by espeak-ng")

    def say(self, text: str) -> np.ndarray:
        """Speak a text: float32 [samples] in -1..1 at `rate_hz`."""
        self._pieces.clear()
        code = text.encode()
        if self._library.espeak_Synth(code, len(code) + 1, 0, 1, 0, _UTF8, None, None) != 0 or not self._pieces:
            raise SpeechError(f"espeak-ng makes no sound of {text!r}")
        return np.concatenate(self._pieces).astype(np.float32) / 32768
