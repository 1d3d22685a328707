// The page: a photo is sent, what the service finds in it is shown, and people are enrolled.

import { listFaces, listPeople } from "./lists.js";
import { ask, form, useKey } from "./service.js";
import { readPhoto } from "./sources.js";
import { $, chooseTheme, doing, faceAt, listenForDrops, listenForFiles, note, show } from "./stage.js";
import { cutOut, thumbnail } from "./thumbnail.js";

const TOP = 4; // people whom a face is most like, offered when it is to be named
const MARGIN = 0.5; // around a face that is enrolled
const MOST = 1000; // people listed

let file = null; // the photo that is shown
let picture = null; // its pixels
let faces = [];
let people = [];
let asked = 0;

/** Send a photo and show who is in it. */
const look = doing(async (photo) => {
  const ticket = ++asked;
  note("Looking …");
  const pixels = await readPhoto(photo);
  const start = performance.now();
  const found = await ask("POST", `identify?top=${TOP}&far=${$("far").value}`, form([photo]));
  if (ticket !== asked) return; // another was asked for meanwhile
  [file, picture, faces] = [photo, pixels, found.pictures[0].faces];
  for (const face of faces) face.similarity ??= -1;
  $("welcome").hidden = true;
  $("time").textContent = `${(performance.now() - start).toFixed(0)} ms`;
  show(picture, faces, faces);
  listFaces($("faces"), picture, faces, faces, name);
  $("none").textContent = "No face found.";
  $("none").hidden = faces.length > 0;
  note("");
});

async function listAll() {
  const answer = await ask("GET", `people?limit=${MOST}`);
  people = answer.people;
  listPeople($("people"), people, remove);
  $("nobody").hidden = people.length > 0;
  $("total").textContent = answer.total;
}

/** People have changed: say so, and look at the photo again. */
async function changed() {
  await listAll();
  if (file) await look(file);
}

/** Ask who a face is, and enroll it as the answer says. */
function name(face) {
  $("who").src = thumbnail(picture, face.box);
  $("name").value = face.name ?? "";
  $("choices").replaceChildren(
    ...face.candidates.map(({ name, similarity }) =>
      Object.assign(document.createElement("button"), {
        type: "button",
        textContent: `${name} ${similarity.toFixed(2)}`,
        onclick: () => ($("name").value = name),
      }),
    ),
  );
  $("naming").onclose = doing(async () => {
    if ($("naming").returnValue === "add") await remember($("name").value.trim(), face);
  });
  $("naming").returnValue = "";
  $("naming").showModal();
}

async function remember(name, face) {
  if (!name) throw new Error("A person needs a name.");
  const canvas = cutOut(picture, face.box, MARGIN);
  const photo = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const known = people.find((person) => person.name === name);
  await (known ? ask("POST", `people/${known.id}/photos`, form([photo])) : enroll(name, photo));
  await changed();
}

function enroll(name, photo) {
  return ask("POST", "people", form([photo], { name }));
}

/** Photos of people, one person each, named as the files are. */
const enrollFiles = doing(async (files) => {
  for (const photo of files) await enroll(photo.name.replace(/\.[^.]*$/, ""), photo);
  await changed();
});

const remove = doing(async ({ id }) => {
  await ask("DELETE", `people/${id}`);
  await changed();
});

function listen() {
  listenForFiles("photo", ([photo]) => look(photo));
  listenForFiles("enrol", enrollFiles);
  listenForDrops(look);
  $("cancel").onclick = () => $("naming").close();
  $("far").onchange = () => file && look(file);
  $("picture").onclick = (event) => {
    const face = faceAt(event, faces);
    if (face) name(face);
  };
}

/** Who is known, as soon as the service answers; it may want a key first. */
const open = doing(async () => {
  try {
    await listAll();
  } catch (error) {
    if (error.status !== 401) throw error;
    $("locked").onclose = () => {
      useKey($("key").value.trim());
      $("key").value = "";
      note("This key is not known here.", true);
      open();
    };
    $("locked").showModal();
    return;
  }
  note("");
  document.body.dataset.ready = "";
});

chooseTheme();
listen();
open();
