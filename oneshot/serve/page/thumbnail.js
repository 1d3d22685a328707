// A face cut out of a picture, small and square.

const SIDE = 112; // pixels
const MARGIN = 0.2; // of the box's longer side, around it

/**
 * @param {CanvasImageSource} picture
 * @param {number[]} box x0 y0 x1 y1 in its pixels
 * @returns {string} a data: URL
 */
export function thumbnail(picture, box) {
  return cutOut(picture, box, MARGIN, SIDE).toDataURL("image/jpeg", 0.85);
}

/**
 * @param {number} margin of the box's longer side, around it
 * @param {number} [pixels] a side of the canvas; as many as there are in the picture
 * @returns {HTMLCanvasElement} black where the picture ends
 */
export function cutOut(picture, [x0, y0, x1, y1], margin, pixels) {
  const side = Math.max(x1 - x0, y1 - y0) * (1 + 2 * margin);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = pixels ?? Math.round(side);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(
    picture, (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, side, 0, 0, canvas.width, canvas.height,
  );
  return canvas;
}
