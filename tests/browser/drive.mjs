// Opens the demo page in the machine's own Chromium, does what a person would, and prints what came of it as JSON.
// node drive.mjs CHROMIUM ADDRESS JOB.json; see tests/scripts/test_browser.py for the job and the answer.

import { readFile } from "node:fs/promises";
import { launch } from "./launch.mjs";

const [executablePath, address, job] = process.argv.slice(2);
const { photos, grids, people, looks, video, screenshot } = JSON.parse(await readFile(job, "utf8"));
const { browser, page, errors, elsewhere, rows } = await launch(executablePath, address);

const says = async (pattern) => {
  await page.waitForFunction((text) => new RegExp(text).test(document.body.innerText), pattern);
};

/** Choose a photo, and wait until the page shows another picture than before. */
async function open(path) {
  await page.evaluate(() => (document.getElementById("time").textContent = "waiting"));
  await page.setInputFiles("#photo", path);
  await page.waitForFunction(() => document.getElementById("time").textContent !== "waiting");
  return { faces: await rows("faces"), count: await page.textContent("#count") };
}

try {
  await page.goto(address);
  await page.waitForSelector("body[data-ready]");
  const result = { errors, elsewhere };
  result.isolated = await page.evaluate(() => crossOriginIsolated);

  // The page's own modules, on files that the test serves beside it: every number, not only what is drawn.
  result.facts = await page.evaluate(async () => {
    globalThis.model = await (await import("/model.js")).Model.load("/oneshot.onnx");
    return model.facts;
  });
  result.letterboxed = await page.evaluate(async (grids) => {
    const { letterbox } = await import("/letterbox.js");
    return grids.map(({ data, width, height, side }) => {
      const { pixels, ...rest } = letterbox({ data: Uint8ClampedArray.from(data), width, height }, side);
      return { ...rest, pixels: [...pixels] };
    });
  }, grids);
  result.faces = [];
  for (const { path, side } of photos) {
    const file = (await readFile(path)).toString("base64");
    result.faces.push(
      await page.evaluate(
        async ({ file, side }) => {
          const { grab, readPhoto } = await import("/sources.js");
          const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
          const photo = await readPhoto(new Blob([bytes]));
          const faces = await model.look(grab(photo, document.createElement("canvas")), side);
          return faces.map((face) => ({ ...face, embedding: [...face.embedding] }));
        },
        { file, side },
      ),
    );
  }

  // The page, by hand.
  for (const path of people) await page.setInputFiles("#enrol", path);
  await page.waitForFunction((n) => document.querySelectorAll("#people li").length === n, people.length);
  await page.reload(); // the people must still be there
  await page.waitForSelector("body[data-ready]");
  result.people = await rows("people");
  result.looks = [];
  for (const path of looks) result.looks.push(await open(path));
  if (screenshot) {
    await page.$eval("nav dl", (figures) => (figures.style.visibility = "hidden")); // a test's times mean nothing
    await page.screenshot({ path: `${screenshot}-dark.png` });
    await page.emulateMedia({ colorScheme: "light" });
    await page.screenshot({ path: `${screenshot}-light.png` });
    await page.setViewportSize({ width: 420, height: 860 });
    await page.screenshot({ path: `${screenshot}-phone.png`, fullPage: true });
    await page.setViewportSize({ width: 1240, height: 800 });
    await page.$eval("nav dl", (figures) => (figures.style.visibility = ""));
  }
  for (const [name, start] of [
    ["video", () => page.setInputFiles("#video", video)],
    ["webcam", () => page.click("#webcam")],
  ]) {
    await start();
    await says("[0-9] fps");
    result[name] = { fps: await page.textContent("#fps"), count: await page.textContent("#count") };
    await page.click("#stop");
  }
  await page.click("#people li:first-child button");
  await page.waitForFunction((n) => document.querySelectorAll("#people li").length === n, people.length - 1);
  result.left = await rows("people");
  result.after = await open(looks.at(-1));
  await page.click("#faces li:has-text('unknown') button"); // name a face by hand
  await page.fill("#name", "Ada");
  await page.click("#naming button[value=add]");
  await page.waitForFunction((n) => document.querySelectorAll("#people li").length === n, people.length);
  result.named = await rows("faces");
  await page.setInputFiles("#photo", job); // not a picture
  await says("not a picture");
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
