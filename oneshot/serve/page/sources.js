// Where pictures come from: a photo, a video file, the webcam.

/** A photo as it is to be seen, turned upright by its EXIF note, its colours left as they are. */
export async function readPhoto(file) {
  try {
    return await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Error(`${file.name}: not a picture that this browser can read; convert it to JPEG or PNG.`);
  }
}

/** A video file, ready to play. */
export async function openVideo(file) {
  const video = element();
  video.src = URL.createObjectURL(file);
  video.loop = true;
  try {
    await video.play();
  } catch {
    throw new Error(`${file.name}: not a video that this browser can play; convert it to MP4 with H.264, or WebM.`);
  }
  return video;
}

/** The webcam, running. */
export async function openWebcam() {
  const video = element();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
    });
  } catch (error) {
    const denied = error.name === "NotAllowedError";
    throw new Error(denied ? "The webcam was not allowed; allow it beside the address." : "There is no webcam here.");
  }
  await video.play();
  return video;
}

/** Stop a video or the webcam, and let go of it. */
export function close(video) {
  video.pause();
  video.srcObject?.getTracks().forEach((track) => track.stop());
  if (video.src) URL.revokeObjectURL(video.src);
}

/** When the video has a frame that has not been seen yet. */
export function nextFrame(video) {
  return new Promise((resolve) => video.requestVideoFrameCallback(resolve));
}

/** Draw a photo or a video's frame on a canvas of its size, and give its pixels. */
export function grab(source, canvas) {
  canvas.width = source.videoWidth ?? source.width;
  canvas.height = source.videoHeight ?? source.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function element() {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  return video;
}
