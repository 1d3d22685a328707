// The page's side of the network: questions to worker.js, and its answers as promises.

export class Model {
  /** @param {string} url of the weights */
  static async load(url) {
    const model = new Model();
    model.facts = await model.ask({ url });
    return model;
  }

  constructor() {
    this.waiting = new Map();
    this.asked = 0;
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, value, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(value);
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "The network did not start."));
      this.waiting.clear();
    };
  }

  /** The faces of a picture (ImageData), whose pixels are handed over and gone afterwards; see Session.look. */
  look({ data, width, height }, side) {
    return this.ask({ image: { data, width, height }, side }, [data.buffer]);
  }

  ask(question, handOver = []) {
    return new Promise((resolve, reject) => {
      const id = this.asked++;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...question }, handOver);
    });
  }
}
