/** Sound and vibration, so that nobody has to look at the screen. */

const ACCEPTED = { notes: [880, 1320], type: "sine", vibration: [80] };
const REFUSED = { notes: [220, 165], type: "square", vibration: [200, 100, 200] };
const NOTE_SECONDS = 0.14;

export class Signals {
  isMuted = false;
  /** @type {AudioContext | undefined} */
  #audio;

  /** Browsers allow sound only after a tap: call this from one. */
  unlock() {
    this.#audio ??= new AudioContext();
    this.#audio.resume();
  }

  /** @param {boolean} isAccepted */
  give(isAccepted) {
    const signal = isAccepted ? ACCEPTED : REFUSED;
    navigator.vibrate?.(signal.vibration);
    if (!this.isMuted && this.#audio) play(this.#audio, signal);
  }
}

/** @param {AudioContext} audio @param {{notes: number[], type: string}} signal */
function play(audio, { notes, type }) {
  const volume = new GainNode(audio, { gain: 0.3 });
  volume.connect(audio.destination);
  notes.forEach((frequency, index) => {
    const tone = new OscillatorNode(audio, { frequency, type: /** @type {OscillatorType} */ (type) });
    tone.connect(volume);
    tone.start(audio.currentTime + index * NOTE_SECONDS);
    tone.stop(audio.currentTime + (index + 1) * NOTE_SECONDS);
  });
}
