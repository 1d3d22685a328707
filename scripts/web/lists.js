// The two lists beside the picture: who is known, and who is in it.

import { colourOf } from "./draw.js";
import { thumbnail } from "./thumbnail.js";

/** @param {(name: string) => void} remove called when somebody is to be forgotten */
export function listPeople(list, people, remove) {
  list.replaceChildren(
    ...people.map(({ name, thumbnail: picture, photos }) =>
      row(picture, name, photos === 1 ? "1 photo" : `${photos} photos`, colourOf(name), "Remove", () => remove(name)),
    ),
  );
}

/** @param {(face: object) => void} ask called when a face is to be named */
export function listFaces(list, picture, faces, matches, ask) {
  list.replaceChildren(
    ...faces.map((face, i) => {
      const { name, similarity } = matches[i];
      const detail = similarity > -1 ? `similarity ${similarity.toFixed(2)}` : `certainty ${face.score.toFixed(2)}`;
      return row(thumbnail(picture, face.box), name ?? "unknown", detail, colourOf(name), "Name", () => ask(face));
    }),
  );
}

function row(picture, title, detail, colour, action, act) {
  const item = document.createElement("li");
  item.className = "who";
  item.style.setProperty("--mark", colour);
  const image = new Image();
  image.src = picture;
  image.alt = "";
  const text = document.createElement("div");
  text.append(
    Object.assign(document.createElement("b"), { textContent: title }),
    Object.assign(document.createElement("small"), { textContent: detail }),
  );
  const button = Object.assign(document.createElement("button"), { textContent: action, className: "quiet", onclick: act });
  button.setAttribute("aria-label", `${action} ${title}`);
  item.append(image, text, button);
  return item;
}
