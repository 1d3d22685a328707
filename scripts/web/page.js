// The page: what is chosen is looked at, shown, and listed.

import { Gallery } from "./gallery.js";
import { Model } from "./model.js";
import { close, grab, nextFrame, openVideo, openWebcam, readPhoto } from "./sources.js";
import { listFaces, listPeople } from "./lists.js";
import { $, chooseTheme, doing, faceAt, listenForDrops, listenForFiles, note, show } from "./stage.js";
import { thumbnail } from "./thumbnail.js";

const WEIGHTS = "oneshot.onnx";
const FAR = "1e-3"; // one stranger in a thousand passes; the library's own default
const SMOOTHING = 0.8; // of the rate shown, the share of what it was before

let frame = document.createElement("canvas"); // the picture alone; #picture shows it with what was found
let next = document.createElement("canvas"); // the one that the network is looking at
let faces = []; // of the picture shown
let asked = 0;
let model, gallery;
let playing = null; // the video that is shown; null while it is a photo

/** Look at a picture and show it; false if another was asked for meanwhile, whose answer will be shown. */
async function look(source) {
  const ticket = ++asked;
  const image = grab(source, next);
  const start = performance.now();
  const found = await model.look(image, Number($("side").value));
  if (ticket !== asked) return false;
  [frame, next] = [next, frame];
  faces = found;
  $("picture").hidden = false;
  $("time").textContent = `${(performance.now() - start).toFixed(0)} ms`;
  showFaces();
  return true;
}

/** Show who the faces are, by the people and the threshold of now. */
function showFaces() {
  if ($("picture").hidden) return;
  const threshold = Number($("far").value);
  const matches = faces.map((face) => gallery.identify(face.embedding, threshold));
  show(frame, faces, matches);
  listFaces($("faces"), frame, playing ? [] : faces, matches, ask); // a list that changes cannot be clicked
  $("none").textContent = playing ? "Click a face to name it." : "No face found.";
  $("none").hidden = !playing && faces.length > 0;
}

function showPeople() {
  listPeople($("people"), gallery.people, remove);
  $("nobody").hidden = gallery.people.length > 0;
  showFaces();
}

function stop() {
  if (playing) close(playing);
  playing = null;
  $("stop").hidden = $("rate").hidden = true;
  $("fps").textContent = "–";
}

function open() {
  stop();
  asked++;
  note("");
  $("welcome").hidden = true;
}

const openPhoto = doing(async (file) => {
  const photo = await readPhoto(file);
  open();
  await look(photo);
});

const play = doing(async (opening) => {
  const video = await opening;
  open();
  playing = video;
  $("stop").hidden = $("rate").hidden = false;
  let last = performance.now();
  let rate = 0;
  while (playing === video) {
    if (!(await look(video))) return;
    await nextFrame(video);
    const now = performance.now();
    rate = SMOOTHING * (rate || 1000 / (now - last)) + (1 - SMOOTHING) * (1000 / (now - last));
    last = now;
    $("fps").textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} fps`;
  }
});

/** Ask who a face is, and remember the answer. */
function ask(face) {
  const picture = thumbnail(frame, face.box);
  const match = gallery.identify(face.embedding, Number($("far").value));
  $("who").src = picture;
  $("name").value = match.name ?? "";
  $("naming").onclose = doing(async () => {
    if ($("naming").returnValue === "add") await remember($("name").value.trim(), face, picture);
  });
  $("naming").returnValue = "";
  $("naming").showModal();
}

async function remember(person, face, picture) {
  if (!person) throw new Error("A person needs a name.");
  await gallery.add(person, face.embedding, picture);
  showPeople();
}

const remove = doing(async ({ name }) => {
  await gallery.remove(name);
  showPeople();
});

/** Photos of people, one person each, named as the files are: of several faces, the largest. */
const enrol = doing(async (files) => {
  const canvas = document.createElement("canvas");
  for (const file of files) {
    const found = await model.look(grab(await readPhoto(file), canvas), Number($("side").value));
    if (!found.length) throw new Error(`${file.name}: no face found in it; take a photo that shows the face clearly.`);
    const area = ({ box: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
    const face = found.reduce((best, one) => (area(one) > area(best) ? one : best));
    await remember(file.name.replace(/\.[^.]*$/, ""), face, thumbnail(canvas, face.box));
  }
});

function openFile(file) {
  if (file.type.startsWith("video/")) play(openVideo(file));
  else openPhoto(file);
}

function listen() {
  listenForFiles("photo", ([file]) => openPhoto(file));
  listenForFiles("video", ([file]) => play(openVideo(file)));
  listenForFiles("enrol", enrol);
  listenForDrops(openFile);
  $("webcam").onclick = () => play(openWebcam());
  $("stop").onclick = () => {
    asked++;
    stop();
    showFaces();
  };
  $("cancel").onclick = () => $("naming").close();
  $("far").onchange = showFaces;
  $("side").onchange = doing(async () => {
    if (!playing && !$("picture").hidden) await look(frame);
  });
  $("picture").onclick = (event) => {
    const face = faceAt(event, faces);
    if (face) ask(face);
  };
}

function listRates(thresholds) {
  for (const [rate, cosine] of Object.entries(thresholds)) {
    const option = new Option(`1 in ${Math.round(1 / Number(rate)).toLocaleString("en")}`, cosine);
    option.selected = rate === FAR;
    $("far").append(option);
  }
}

const start = doing(async () => {
  chooseTheme();
  for (const control of document.querySelectorAll("nav button, input[type=file]")) control.disabled = true;
  model = await Model.load(new URL(WEIGHTS, document.baseURI).href);
  gallery = await Gallery.open(model.facts.weights_sha256);
  listRates(model.facts.thresholds);
  listen();
  showPeople();
  for (const control of document.querySelectorAll("nav button, input[type=file]")) control.disabled = false;
  note("");
  document.body.dataset.ready = "";
});
start();
