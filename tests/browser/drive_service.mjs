// Opens the page of `oneshot serve`, does what a person would, and prints what came of it as JSON.
// node drive_service.mjs CHROMIUM ADDRESS JOB.json; see tests/serve/test_page.py for the job and the answer.

import { readFile } from "node:fs/promises";
import { launch } from "./launch.mjs";

const [executablePath, address, job] = process.argv.slice(2);
const { key, people, both, nobody, screenshot } = JSON.parse(await readFile(job, "utf8"));
const { browser, page, errors, elsewhere, rows } = await launch(executablePath, address);

const listed = (list, count) =>
  page.waitForFunction(([list, n]) => document.querySelectorAll(`#${list} li`).length === n, [list, count]);

/** Do something after which the page looks at its photo again, and wait for the answer. */
async function looked(act) {
  await page.evaluate(() => (document.getElementById("time").textContent = "waiting"));
  await act();
  await page.waitForFunction(() => document.getElementById("time").textContent !== "waiting");
  return rows("faces");
}

async function unlock(secret) {
  await page.waitForSelector("#locked[open]");
  await page.fill("#key", secret);
  await page.click("#locked button");
}

try {
  const result = { elsewhere };
  await page.goto(address);
  await unlock("wrong");
  await page.waitForSelector("#note.bad");
  result.refused = await page.textContent("#note");
  await unlock(key);
  await page.waitForSelector("body[data-ready]");
  result.refusals = errors.splice(0); // the browser counts an answer of 401 as an error

  result.nobody = await looked(() => page.setInputFiles("#photo", nobody));
  await page.setInputFiles("#enrol", people);
  await listed("people", people.length);
  result.people = await rows("people");
  result.both = await looked(() => page.setInputFiles("#photo", both));
  if (screenshot) await page.screenshot({ path: `${screenshot}-service.png` });

  result.left = await looked(() => page.click("#people li:first-child button"));
  await page.click("#faces li:has-text('unknown') button");
  result.offered = await page.$$eval("#choices button", (buttons) => buttons.map((button) => button.textContent));
  await page.fill("#name", "Ada <b>");
  result.named = await looked(() => page.click("#naming button[value=add]"));

  const kept = () => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]);
  result.kept = await page.evaluate(kept);
  result.errors = [...errors];
  await page.reload();
  await page.waitForSelector("#locked[open]"); // the key is asked for again
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
