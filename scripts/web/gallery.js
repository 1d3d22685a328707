// The people one knows. They are kept in this browser's IndexedDB and go nowhere else.

const STORE = "photos";

export class Gallery {
  /** @param {string} fingerprint of the weights: another network's embeddings would be noise to this one */
  static async open(fingerprint) {
    const request = indexedDB.open("oneshot", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
    const gallery = new Gallery();
    gallery.database = await settled(request);
    gallery.fingerprint = fingerprint;
    await gallery.read();
    return gallery;
  }

  /**
   * One more photo of a person, who may be new.
   * @param {string} name
   * @param {Float32Array} embedding
   * @param {string} thumbnail a data: URL of the face
   */
  async add(name, embedding, thumbnail) {
    await settled(this.store().add({ name, embedding, thumbnail, fingerprint: this.fingerprint }));
    await this.read();
  }

  /** Forget a person, with all photos, whichever weights they were seen by. */
  async remove(name) {
    const store = this.store();
    const [photos, keys] = await Promise.all([settled(store.getAll()), settled(store.getAllKeys())]);
    await Promise.all(keys.filter((_, i) => photos[i].name === name).map((key) => settled(store.delete(key))));
    await this.read();
  }

  /** Who a face is: the name is null where the best cosine is below the threshold. */
  identify(embedding, threshold) {
    let best = { name: null, similarity: -1 };
    for (const { name, template } of this.people) {
      const similarity = dot(template, embedding);
      if (similarity > best.similarity) best = { name, similarity };
    }
    return best.similarity >= threshold ? best : { ...best, name: null };
  }

  /** Everybody, in the order of enrolment; a template is the mean of the photos' embeddings, normalised again. */
  async read() {
    const photos = await settled(this.store().getAll());
    const people = new Map();
    for (const { name, embedding, thumbnail, fingerprint } of photos) {
      if (fingerprint !== this.fingerprint) continue;
      const person = people.get(name) ?? { name, thumbnail, photos: 0, template: new Float32Array(embedding.length) };
      person.photos++;
      embedding.forEach((value, i) => (person.template[i] += value));
      people.set(name, person);
    }
    for (const { template } of people.values()) {
      const length = Math.max(Math.sqrt(dot(template, template)), 1e-12);
      template.forEach((value, i) => (template[i] = value / length));
    }
    this.people = [...people.values()];
  }

  store() {
    return this.database.transaction(STORE, "readwrite").objectStore(STORE);
  }
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The result of a request to IndexedDB. */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
