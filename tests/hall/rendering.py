"""What the hall's instruments sound like: rendered in a page, and looked at as numbers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

RATE = 44_100
"""Samples a second."""

Samples = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

RENDER = """async given => {
  const { play } = await import("/hall/x/instruments.js");
  const { Sound } = await import("/hall/x/sound.js");
  const base64 = samples => {
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) {
      text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    }
    return btoa(text);
  };
  const rendered = [];
  for (const { seconds, body } of given.renderings) {
    const context = new OfflineAudioContext(2, Math.ceil(seconds * given.rate), given.rate);
    const ended = [];
    const note = (instrument, name, when, loud = 0.8) => {
      const voice = play(context, context.destination, instrument, name, when, loud);
      voice.ended.then(() => ended.push(name));
      return voice;
    };
    // For sounds of a hall, moments count from the beginning, in milliseconds.
    const start = performance.timeOrigin + 1000;
    performance.now = () => 1000;
    const hall = () => {
      const sound = new Sound(context);
      sound.volume = 1;
      return sound;
    };
    new Function("note", "hall", "start", body)(note, hall, start);
    const buffer = await context.startRendering();
    await new Promise(resolve => setTimeout(resolve, 0));
    rendered.push([base64(buffer.getChannelData(0)), base64(buffer.getChannelData(1)), ended]);
  }
  return rendered;
}"""


class Sounds:
    """What was rendered: both channels, and the notes that have ended."""

    def __init__(self, left: str, right: str, ended: list[str]) -> None:
        self.left, self.right = (
            np.frombuffer(base64.b64decode(side), dtype="<f4").astype(float)
            for side in (left, right)
        )
        self.ended = ended

    @property
    def peak(self) -> float:
        return float(max(np.abs(self.left).max(), np.abs(self.right).max()))

    def between(self, start: float, end: float) -> Samples:
        """The left channel from ``start`` to ``end``, in seconds."""
        return self.left[round(start * RATE) : round(end * RATE)]

    def level(self, start: float, end: float) -> float:
        """How loud it is between two times, in decibels."""
        return decibels(float(np.sqrt(np.mean(self.between(start, end) ** 2))))

    def onset(self) -> float:
        """When there is something to be heard, in seconds."""
        envelope = np.abs(self.left)
        return float(np.argmax(envelope > 0.02 * envelope.max())) / RATE


def decibels(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-12)))


def render(page: Page, *bodies: str, seconds: float = 1.0) -> list[Sounds]:
    """Render what each body plays, by ``note(…)`` or with a ``hall()``."""
    renderings: list[dict[str, Any]] = [{"seconds": seconds, "body": body} for body in bodies]
    found = page.evaluate(RENDER, {"renderings": renderings, "rate": RATE})
    return [Sounds(*one) for one in found]


def spectrum(samples: Samples, size: int = 1 << 17) -> tuple[Samples, Samples]:
    """Frequencies in Hertz, and how loud each is."""
    window = np.hanning(len(samples))
    return np.fft.rfftfreq(size, 1 / RATE), np.abs(np.fft.rfft(samples * window, size))


def pitch(samples: Samples) -> float:
    """How high the note is that is heard, in Hertz, or 0 if there is none.

    The first of the lags after which the sound is as before tells it to a few percent; the partial
    that is there tells it exactly.
    """
    power = np.abs(np.fft.rfft(samples, 2 * len(samples))) ** 2
    alike = np.fft.irfft(power)[: len(samples) // 2]
    alike /= alike[0]
    shortest = RATE // 5000
    # Until it is unlike itself for the first time, it is just the same moment.
    first = max(shortest, int(np.argmax(alike < 0.3)))
    best = alike[first:].max()
    if best < 0.5:
        return 0.0
    lags = np.flatnonzero(
        (alike[1:-1] > 0.9 * best) & (alike[1:-1] >= alike[:-2]) & (alike[1:-1] >= alike[2:])
    )
    coarse = RATE / float(lags[lags >= first - 1][0] + 1)
    frequencies, loud = spectrum(samples)
    near = (frequencies > 0.96 * coarse) & (frequencies < 1.04 * coarse)
    return float(frequencies[near][np.argmax(loud[near])])


def centroid(samples: Samples) -> float:
    """How bright it is: the middle of its spectrum, in Hertz."""
    frequencies, loud = spectrum(samples)
    return float((frequencies * loud**2).sum() / (loud**2).sum())


def loudness(samples: Samples) -> float:
    """How loud it is to the ear, in decibels: the loudest 100 ms, weighted by A (IEC 61672)."""
    power = np.fft.rfft(samples)
    f2 = np.fft.rfftfreq(len(samples), 1 / RATE) ** 2
    weight = 12194**2 * f2**2 / ((f2 + 20.6**2) * (f2 + 12194**2))
    weight /= np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2))
    heard = np.fft.irfft(1.2589 * weight * power)
    window = RATE // 10
    means = np.convolve(heard**2, np.ones(window) / window, "valid")
    return decibels(float(np.sqrt(means.max())))


def timbre(samples: Samples, hertz: float) -> Samples:
    """How loud the first 10 partials of a note are, in decibels, of all together."""
    frequencies, loud = spectrum(samples)
    partials = [
        loud[(frequencies > 0.97 * n * hertz) & (frequencies < 1.03 * n * hertz)].max()
        for n in range(1, 11)
    ]
    heard = 20 * np.log10(np.array(partials) / np.linalg.norm(partials))
    return np.maximum(heard, -70)
