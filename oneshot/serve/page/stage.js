// What a page with a picture in the middle does, wherever its faces come from.

import { draw } from "./draw.js";

export const $ = (id) => document.getElementById(id);

export function note(text, bad = false) {
  $("note").textContent = text;
  $("note").classList.toggle("bad", bad);
}

/** Run what a person asked for; whatever goes wrong is said on the page. */
export function doing(task) {
  return async (...args) => {
    try {
      await task(...args);
    } catch (error) {
      note(error.message, true);
    }
  };
}

/** Show a picture, and on it its faces and who they are. */
export function show(picture, faces, matches) {
  const canvas = $("picture");
  canvas.hidden = false;
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  draw(context, faces, matches);
  $("count").textContent = faces.length;
}

/** Call `use` with the files that are chosen in an input. */
export function listenForFiles(id, use) {
  $(id).addEventListener("change", () => {
    use([...$(id).files]);
    $(id).value = ""; // the same file may be chosen again
  });
}

/** Call `use` with a file that is dropped on the picture. */
export function listenForDrops(use) {
  $("stage").ondragover = (event) => {
    event.preventDefault();
    $("stage").classList.add("over");
  };
  $("stage").ondragleave = () => $("stage").classList.remove("over");
  $("stage").ondrop = (event) => {
    event.preventDefault();
    $("stage").classList.remove("over");
    if (event.dataTransfer.files.length) use(event.dataTransfer.files[0]);
  };
}

/** The face that a click on the picture means. */
export function faceAt({ offsetX, offsetY }, faces) {
  const canvas = $("picture");
  const x = (offsetX * canvas.width) / canvas.clientWidth;
  const y = (offsetY * canvas.height) / canvas.clientHeight;
  return faces.find(({ box: [x0, y0, x1, y1] }) => x0 <= x && x <= x1 && y0 <= y && y <= y1);
}

export function chooseTheme() {
  const root = document.documentElement.style;
  root.colorScheme = localStorage.getItem("theme") ?? "";
  $("theme").onclick = () => {
    const dark = root.colorScheme ? root.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.colorScheme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.colorScheme);
  };
}
