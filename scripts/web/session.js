// The network in ONNX Runtime: from a picture to its faces, as oneshot/inference/predictor.py does it.

import { factsIn } from "./facts.js";
import { letterbox } from "./letterbox.js";
import * as ort from "./vendor/ort.mjs";

const QUIET = 3; // errors only: ONNX Runtime's warnings name nodes of the graph

ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort.wasm", import.meta.url).href };
// More than one thread needs a page that shares memory with nobody; scripts/serve_demo.py sends the headers.
ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;

export class Session {
  /** @param {string} url of the weights, an .onnx file */
  static async load(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${url}: the server has no such weights.`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const facts = factsIn(bytes);
    const network = await ort.InferenceSession.create(bytes, {
      executionProviders: ["wasm"],
      logSeverityLevel: QUIET,
    });
    return new Session(network, facts);
  }

  constructor(network, facts) {
    this.network = network;
    this.facts = facts;
  }

  /**
   * @param {{data: Uint8ClampedArray, width: number, height: number}} image RGBA
   * @param {number} side pixels; a picture whose longest side is longer is scaled down to it, a small one up
   * @returns {Promise<Face[]>} best first, in the picture's own pixels
   *
   * @typedef {{box: number[], score: number, landmarks: number[][], embedding: Float32Array}} Face
   *   box: x0 y0 x1 y1; landmarks: five of x y; embedding: 1000 numbers of length one
   */
  async look(image, side) {
    const { pixels, width, height, scale } = letterbox(image, side);
    // The thresholds stay the weights' own: this runtime takes no input that has a default.
    const out = await this.network.run({ image: new ort.Tensor("uint8", pixels, [1, height, width, 3]) });
    const [count, dim] = out.embeddings.dims;
    const size = [image.width, image.height];
    const points = (data, from, n) =>
      Array.from({ length: n }, (_, i) => [0, 1].map((axis) => data[from + 2 * i + axis] / scale[axis]));
    return Array.from({ length: count }, (_, i) => ({
      box: points(out.boxes.data, 4 * i, 2).flatMap((corner) =>
        corner.map((value, axis) => Math.min(Math.max(value, 0), size[axis])),
      ),
      score: out.scores.data[i],
      landmarks: points(out.landmarks.data, 10 * i, 5),
      embedding: out.embeddings.data.slice(dim * i, dim * (i + 1)),
    }));
  }
}
