// The facts that a weights file carries about itself: thresholds, licence, fingerprint. ONNX Runtime's JavaScript
// does not hand them out, so they are read from the file, which is a protocol buffer.

const METADATA = 14; // ModelProto.metadata_props: pairs of a key (1) and a value (2)

/**
 * @param {Uint8Array} bytes an .onnx file of oneshot
 * @returns {object} what scripts/export_onnx.py wrote into it
 */
export function factsIn(bytes) {
  for (const [field, entry] of fields(bytes)) {
    if (field !== METADATA) continue;
    const pair = Object.fromEntries([...fields(entry)].map(([key, text]) => [key, new TextDecoder().decode(text)]));
    if (pair[1] === "oneshot") return JSON.parse(pair[2]);
  }
  throw new Error("The weights are not a network of oneshot; use what scripts/export_onnx.py wrote.");
}

/** The fields of one message, each as [number, bytes]; numbers, which nobody here asks for, as no bytes. */
function* fields(bytes) {
  let at = 0;
  const number = () => {
    for (let value = 0, unit = 1; ; unit *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * unit; // not shifted: lengths may pass 2^31
      if (!(byte & 128)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    let content = bytes.subarray(0, 0);
    if (tag % 8 === 0) number();
    else if (tag % 8 === 1) at += 8;
    else if (tag % 8 === 5) at += 4;
    else {
      const length = number();
      content = bytes.subarray(at, at + length);
      at += length;
    }
    yield [Math.floor(tag / 8), content];
  }
}
