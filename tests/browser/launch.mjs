// The machine's own Chromium with one page, watched for errors and for requests that go elsewhere.

import { chromium } from "playwright-core";

const PATIENCE = 240_000; // milliseconds: a busy machine with one slow core

export async function launch(executablePath, address) {
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
  });
  const page = await browser.newPage({ viewport: { width: 1240, height: 800 }, colorScheme: "dark" });
  page.setDefaultTimeout(PATIENCE);
  const errors = [];
  const elsewhere = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(address)) elsewhere.push(request.url());
  });

  /** A list's rows, each as its lines: name, detail, button. */
  const rows = (list) => page.$$eval(`#${list} li`, (items) => items.map((item) => item.innerText.split("\n")));

  return { browser, page, errors, elsewhere, rows };
}
