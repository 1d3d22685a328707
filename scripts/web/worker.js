// The network's own thread, so that the page never waits for it. Asked by model.js.

import { Session } from "./session.js";

let session;

onmessage = async ({ data: { id, url, image, side } }) => {
  try {
    if (url) {
      session = await Session.load(url);
      postMessage({ id, value: session.facts });
    } else {
      postMessage({ id, value: await session.look(image, side) });
    }
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
