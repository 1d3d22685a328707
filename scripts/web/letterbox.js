// Fits a picture to the network's input with the arithmetic of oneshot/media/images.py, so that both see the same pixels.
// A canvas would scale by rules of its own, and the boxes would move.

const STRIDE = 32;
const MIN_SIDE = 256;

/**
 * Scale an RGBA picture down to `side` if its longest side is longer, and up to 256 (or `side`) if it is shorter;
 * black fills it up to multiples of 32.
 *
 * @param {{data: Uint8ClampedArray, width: number, height: number}} image
 * @param {number} side pixels
 * @returns {{pixels: Uint8Array, width: number, height: number, scale: number[]}} RGB rows, their size, and
 *   the scale (x, y) as it came out after rounding: dividing coordinates by it is the exact inverse.
 */
export function letterbox(image, side) {
  const longest = Math.max(image.width, image.height);
  const factor = Math.min(Math.max(longest, Math.min(MIN_SIDE, side)), side) / longest;
  const width = Math.max(1, roundHalfEven(image.width * factor));
  const height = Math.max(1, roundHalfEven(image.height * factor));
  const same = width === image.width && height === image.height;
  const resize = factor < 1 ? shrink : enlarge;
  const { data, step } = same ? { data: image.data, step: 4 } : { data: resize(image, width, height), step: 3 };
  const padded = { width: roundedUp(width), height: roundedUp(height) };
  const pixels = new Uint8Array(padded.width * padded.height * 3);
  for (let y = 0; y < height; y++) {
    let to = y * padded.width * 3;
    for (let from = y * width * step, end = from + width * step; from < end; from += step) {
      pixels[to++] = data[from];
      pixels[to++] = data[from + 1];
      pixels[to++] = data[from + 2];
    }
  }
  return { pixels, ...padded, scale: [width / image.width, height / image.height] };
}

/** The mean of the source's pixels under each new pixel, by the share of each that it covers: cv2.INTER_AREA. */
function shrink({ data, width, height }, newWidth, newHeight) {
  const columns = coverage(width, newWidth);
  const rows = coverage(height, newHeight);
  const row = new Float32Array(newWidth * 3);
  const sum = new Float32Array(newWidth * 3);
  const out = new Uint8ClampedArray(newWidth * newHeight * 3);
  // Halves of a grey value: to even, but up where two by two pixels become one, as cv2 has it.
  const tie = width === 2 * newWidth && height === 2 * newHeight ? 1 / 8 : 0;
  let inRow = -1;
  for (let y = 0; y < newHeight; y++) {
    sum.fill(tie);
    rows[y].shares.forEach((share, i) => {
      if (inRow !== rows[y].first + i) {
        inRow = rows[y].first + i; // neighbours share a row: it is shrunk once
        shrinkRow(data, inRow * width * 4, columns, row);
      }
      for (let k = 0; k < row.length; k++) sum[k] += share * row[k];
    });
    out.set(sum, y * row.length);
  }
  return out;
}

function shrinkRow(data, start, columns, row) {
  for (let x = 0; x < columns.length; x++) {
    const { first, shares } = columns[x];
    let red = 0, green = 0, blue = 0;
    for (let i = 0, from = start + first * 4; i < shares.length; i++, from += 4) {
      red += shares[i] * data[from];
      green += shares[i] * data[from + 1];
      blue += shares[i] * data[from + 2];
    }
    row.set([red, green, blue], x * 3);
  }
}

/** For each of `to` new pixels along one side: the first of `from` old ones that it covers, and their shares. */
function coverage(from, to) {
  const step = from / to;
  const sliver = 1e-6; // of a pixel: what rounding leaves over covers nothing
  return Array.from({ length: to }, (_, i) => {
    const start = i * step;
    const end = Math.min(start + step, from);
    const first = Math.floor(start + sliver);
    const shares = [];
    for (let at = first; at < end - sliver; at++) {
      shares.push((Math.min(at + 1, end) - Math.max(at, start)) / (end - start));
    }
    return { first, shares };
  });
}

/** Between the four nearest pixels, whose colours stand at their middles: cv2.INTER_LINEAR, in its whole numbers. */
function enlarge({ data, width, height }, newWidth, newHeight) {
  const columns = between(width, newWidth);
  const rows = between(height, newHeight);
  const out = new Uint8ClampedArray(newWidth * newHeight * 3);
  let to = 0;
  for (const { places: [top, bottom], shares: [high, low] } of rows) {
    for (const { places: [left, right], shares: [near, far] } of columns) {
      for (let colour = 0; colour < 3; colour++) {
        const row = (y) => (near * data[(y * width + left) * 4 + colour] + far * data[(y * width + right) * 4 + colour]) >> 4;
        out[to++] = (((high * row(top)) >> 16) + ((low * row(bottom)) >> 16) + 2) >> 2;
      }
    }
  }
  return out;
}

/** For each of `to` new pixels along one side: the old ones before and after its middle, and their 2048ths. */
function between(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const at = ((i + 0.5) * from) / to - 0.5;
    const first = Math.floor(at);
    const share = at - first;
    return {
      places: [first, first + 1].map((place) => Math.min(Math.max(place, 0), from - 1)),
      shares: [1 - share, share].map((part) => roundHalfEven(2048 * part)),
    };
  });
}

/** Python's round. */
function roundHalfEven(value) {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

function roundedUp(size) {
  return Math.ceil(size / STRIDE) * STRIDE;
}
