// The two lists beside the picture: who is known, and who is in it.

import { colourOf } from "./draw.js";
import { thumbnail } from "./thumbnail.js";

/**
 * @param {{name: string, photos: number, thumbnail: ?string}[]} people one without a picture has a letter
 * @param {(person: object) => void} remove called when somebody is to be forgotten
 */
export function listPeople(list, people, remove) {
  list.replaceChildren(
    ...people.map((person) => {
      const { name, thumbnail: picture, photos } = person;
      const detail = photos === 1 ? "1 photo" : `${photos} photos`;
      return row(picture, name, detail, colourOf(name), "Remove", () => remove(person));
    }),
  );
}

/**
 * @param {{name: ?string, similarity: number, reason: ?string}[]} matches one a face; why nobody can tell
 * @param {(face: object) => void} ask called when a face is to be named
 */
export function listFaces(list, picture, faces, matches, ask) {
  list.replaceChildren(
    ...faces.map((face, i) => {
      const { name, similarity, reason } = matches[i];
      const compared = similarity > -1 ? `similarity ${similarity.toFixed(2)}` : `certainty ${face.score.toFixed(2)}`;
      const picked = thumbnail(picture, face.box);
      return row(picked, name ?? "unknown", reason ?? compared, colourOf(name), "Name", () => ask(face));
    }),
  );
}

function row(picture, title, detail, colour, action, act) {
  const item = document.createElement("li");
  item.className = "who";
  item.style.setProperty("--mark", colour);
  const image = picture
    ? Object.assign(new Image(), { src: picture, alt: "" })
    : Object.assign(document.createElement("span"), { textContent: [...title][0], className: "letter" });
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
