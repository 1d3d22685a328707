// A face cut out of a picture, small and square.

const SIDE = 112; // pixels
const MARGIN = 0.2; // of the box's longer side, around it

/**
 * @param {CanvasImageSource} picture
 * @param {number[]} box x0 y0 x1 y1 in its pixels
 * @returns {string} a data: URL
 */
export function thumbnail(picture, [x0, y0, x1, y1]) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const side = Math.max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, side, 0, 0, SIDE, SIDE);
  return canvas.toDataURL("image/jpeg", 0.85);
}
