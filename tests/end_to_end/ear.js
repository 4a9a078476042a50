// What a page really plays, for tests: an ear at each destination of sound in the page. It is put in
// before the page's own scripts, and needs a page whose Content-Security-Policy is bypassed, since
// its recorder is in a blob.
{
  /** How many seconds are remembered. */
  const MEMORY = 30;
  /** What is less is silence: 60 dB below the loudest that there can be. */
  const SILENCE = 0.001;
  /** How long a sound that is looked at is, and a silence, in milliseconds. */
  const SPAN = 150;

  const RECORDER = `registerProcessor("ear", class extends AudioWorkletProcessor {
    #samples = new Float32Array(1024);
    #length = 0;
    process([[left, right]]) {
      const sound = left ?? new Float32Array(128);
      for (let i = 0; i < sound.length; i++)
        this.#samples[this.#length++] = right ? (sound[i] + right[i]) / 2 : sound[i];
      if (this.#length === this.#samples.length) {
        this.port.postMessage({end: currentFrame + 128, samples: this.#samples});
        this.#length = 0;
      }
      return true;
    }
  })`;

  // A page may be told a wrong time, and its ear knows the right one.
  const { timeOrigin } = performance;
  const connect = AudioNode.prototype.connect;
  /** The recordings, the earliest first, and the context that they are of. */
  let blocks = [];
  let context;

  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && target.context instanceof AudioContext) {
      if (context) throw new Error("an ear listens to one source only");
      context = target.context;
      void listen(this);
    }
    return connect.call(this, target, ...rest);
  };

  async function listen(source) {
    const url = URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" }));
    await context.audioWorklet.addModule(url);
    const recorder = new AudioWorkletNode(context, "ear");
    recorder.port.onmessage = ({ data }) => {
      blocks.push(data);
      if (blocks.length <= (MEMORY * context.sampleRate) / 1024) return;
      blocks.shift();
      looked = Math.max(0, looked - 1);
    };
    connect.call(source, recorder);
    // Without an output it might not be asked to process; what it gives is silence.
    connect.call(recorder, context.destination);
  }

  /** The time at which a frame is heard, in milliseconds of Unix time. */
  function timeOf(frame) {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    return timeOrigin + performanceTime + 1000 * (frame / context.sampleRate - contextTime);
  }

  /** So many milliseconds of samples: the last ones, or those up to a block. */
  function samples(milliseconds, upTo = blocks.length) {
    const count = Math.ceil(((milliseconds / 1000) * context.sampleRate) / 1024);
    return upTo < count ? null : blocks.slice(upTo - count, upTo).flatMap(({ samples }) => [...samples]);
  }

  function level(samples) {
    return Math.sqrt(samples.reduce((sum, sample) => sum + sample ** 2, 0) / samples.length);
  }

  /** The pitch in Hertz, by the autocorrelation, and how sure that is: 1 is a perfect period. */
  function pitch(samples) {
    const [shortest, longest] = [Math.floor(context.sampleRate / 1200), context.sampleRate / 60];
    const size = samples.length - Math.ceil(longest);
    const likeness = [];
    for (let lag = 0; lag < longest; lag++) {
      let [product, energy] = [0, 0];
      for (let i = 0; i < size; i += 2) {
        product += samples[i] * samples[i + lag];
        energy += samples[i] ** 2 + samples[i + lag] ** 2;
      }
      likeness.push((2 * product) / energy);
    }
    // The first peak that is nearly the highest: those at its multiples are as high.
    const sure = Math.max(...likeness.slice(shortest));
    for (let lag = shortest; lag < likeness.length - 1; lag++) {
      const [before, here, after] = likeness.slice(lag - 1, lag + 2);
      if (here < 0.9 * sure || here < before || here < after) continue;
      const shift = (before - after) / (2 * (before - 2 * here + after));
      return { hertz: context.sampleRate / (lag + shift), sure };
    }
    return { hertz: 0, sure: 0 };
  }

  /** Up to which block a pitch was looked for. */
  let looked = 0;

  window.ear = {
    /** Whether it hears, and there is nothing to be heard. */
    isSilent() {
      const found = context && samples(SPAN);
      return Boolean(found) && level(found) < SILENCE;
    },

    /** The pitch in Hertz of the next steady sound that was not told of; null if there is none yet. */
    hertz() {
      while (looked < blocks.length) {
        const found = samples(SPAN, ++looked);
        // It is there from the beginning, and does not fade in.
        if (!found || level(found.slice(0, 1024)) < 0.5 * level(found)) continue;
        if (level(found) < 10 * SILENCE) continue;
        const { hertz, sure } = pitch(found);
        if (sure > 0.9) return hertz;
      }
      return null;
    },

    /** When sounds began that came after silence, in milliseconds of Unix time. */
    onsets() {
      const found = [];
      // Frames since it was last loud, and how loud that is.
      let quiet = 0;
      for (const { end, samples } of blocks) {
        for (const [index, sample] of samples.entries()) {
          if (Math.abs(sample) < 20 * SILENCE) quiet++;
          else {
            if (quiet > context.sampleRate / 20) found.push(timeOf(end - samples.length + index));
            quiet = 0;
          }
        }
      }
      return found;
    },

    /** Forget what was heard. */
    forget() {
      blocks = [];
      looked = 0;
    },
  };
}
