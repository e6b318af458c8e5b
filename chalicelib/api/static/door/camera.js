/** Reads QR codes from the camera. */

/** Milliseconds between two readings. */
const INTERVAL = 120;
/** Milliseconds after which a code that left the view is read again. */
const FORGET_AFTER = 3_000;
/** Pixels of the longer side, to which jsQR gets frames reduced. */
const MAX_SIDE = 800;

/** @typedef {(video: HTMLVideoElement) => Promise<string | undefined>} Read */

export class Camera {
  #last = { text: "", seenAt: 0 };
  /** @type {MediaStream | undefined} */
  #stream;

  /**
   * @param {HTMLVideoElement} video
   * @param {(text: string) => void} onCode
   */
  constructor(video, onCode) {
    this.video = video;
    this.onCode = onCode;
    /** Whether new codes are ignored. */
    this.isPaused = false;
  }

  get isOn() {
    return this.#stream !== undefined;
  }

  /** @throws {DOMException} there is no camera, or it may not be used */
  async start() {
    const read = await reader();
    const video = { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 720 } };
    this.#stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    this.video.srcObject = this.#stream;
    await this.video.play();
    this.#readOn(this.#stream, read);
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.video.srcObject = null;
  }

  get hasTorch() {
    const track = this.#stream?.getVideoTracks()[0];
    return Boolean(/** @type {any} */ (track?.getCapabilities?.())?.torch);
  }

  /** @param {boolean} torch */
  async setTorch(torch) {
    const track = this.#stream?.getVideoTracks()[0];
    await track?.applyConstraints({ advanced: [/** @type {any} */ ({ torch })] });
  }

  /** @param {MediaStream} stream @param {Read} read */
  async #readOn(stream, read) {
    while (this.#stream === stream) {
      if (this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
        const text = await read(this.video).catch(() => undefined); // a frame may be lost
        if (text && this.#stream === stream) this.#seen(text);
      }
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
  }

  /** @param {string} text */
  #seen(text) {
    const now = performance.now();
    const isSame = text === this.#last.text && now - this.#last.seenAt <= FORGET_AFTER;
    if (!isSame && this.isPaused) return;
    this.#last = { text, seenAt: now };
    if (!isSame) this.onCode(text);
  }
}

/** Return the browser's own reader of QR codes if it has one, else jsQR. @returns {Promise<Read>} */
async function reader() {
  const { BarcodeDetector } = /** @type {any} */ (self);
  const formats = BarcodeDetector ? await BarcodeDetector.getSupportedFormats() : [];
  if (formats.includes("qr_code")) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    return async (video) => (await detector.detect(video))[0]?.rawValue;
  }
  // @ts-ignore (not a module: it sets self.jsQR)
  await import("./jsQR.js");
  const canvas = document.createElement("canvas");
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  return async (video) => {
    const scale = Math.min(1, MAX_SIDE / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
    const { jsQR } = /** @type {any} */ (self);
    return jsQR(data, width, height, { inversionAttempts: "dontInvert" })?.data;
  };
}
