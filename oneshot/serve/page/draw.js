// Faces drawn into a picture: box, landmarks, name. The looks are those of oneshot/media/draw.py.

const UNKNOWN = "#b4b8bf";
const INK = "#191919";
const PALETTE = ["#50dc78", "#46beff", "#ffdc5a", "#dc96f0", "#3cdcd2", "#96a0ff", "#ffaa6e", "#b4e6aa"];

/**
 * @param {CanvasRenderingContext2D} context with the picture on it
 * @param {import("./session.js").Face[]} faces
 * @param {{name: ?string, similarity: number}[]} matches one a face
 */
export function draw(context, faces, matches) {
  const { width, height } = context.canvas;
  const unit = Math.max(1, Math.min(width, height) / 400); // the width of a line
  const order = faces.map((_, i) => i).reverse(); // the best face lies on top
  for (const i of order) {
    const colour = colourOf(matches[i].name);
    drawBox(context, faces[i].box, colour, unit);
    drawPoints(context, faces[i], colour, unit);
  }
  for (const i of order) drawLabel(context, faces[i].box, matches[i], unit); // no box crosses a name
}

/** A person's colour, which depends on nothing but the name. */
export function colourOf(name) {
  if (name === null) return UNKNOWN;
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return PALETTE[hash % PALETTE.length];
}

/** A thin frame with strong corners: it marks the face and leaves it visible. */
function drawBox(context, [x0, y0, x1, y1], colour, unit) {
  context.strokeStyle = colour;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.lineWidth = unit;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  context.lineWidth = 3 * unit;
  const reach = 0.22 * Math.min(x1 - x0, y1 - y0);
  for (const [x, dx] of [[x0, reach], [x1, -reach]]) {
    for (const [y, dy] of [[y0, reach], [y1, -reach]]) {
      context.beginPath();
      context.moveTo(x + dx, y);
      context.lineTo(x, y);
      context.lineTo(x, y + dy);
      context.stroke();
    }
  }
}

function drawPoints(context, { box: [x0, y0, x1, y1], landmarks }, colour, unit) {
  const radius = Math.min(2 * unit, 0.03 * Math.sqrt((x1 - x0) * (y1 - y0)));
  if (radius < 0.7) return; // on a tiny face they would hide it
  for (const [x, y] of landmarks) {
    for (const [r, fill] of [[radius + 1, INK], [radius, colour]]) {
      context.fillStyle = fill;
      context.beginPath();
      context.arc(x, y, r, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

/** A filled tag on top of the box; within it where there is no room, and never outside the picture. */
function drawLabel(context, [x0, y0], { name, similarity }, unit) {
  const size = Math.max(12, Math.round(13 * unit));
  const pad = Math.max(3, size / 3);
  const text = name === null ? "unknown" : `${name}  ${similarity.toFixed(2)}`;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const width = context.measureText(text).width + 2 * pad;
  const height = size + 1.4 * pad;
  const x = clamp(x0, 0, context.canvas.width - width);
  const y = clamp(y0 < height + unit ? y0 : y0 - height - 2 * unit, 0, context.canvas.height - height);
  context.fillStyle = colourOf(name);
  context.beginPath();
  context.roundRect(x, y, width, height, height / 4);
  context.fill();
  context.fillStyle = INK;
  context.textBaseline = "middle";
  context.fillText(text, x + pad, y + height / 2 + size / 16);
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(value, high));
}
