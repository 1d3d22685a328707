#!/usr/bin/env python3
"""Show the browser demo: the shipped network on a photo, a video or the webcam, all of it in the browser.

python scripts/serve_demo.py            # then open http://127.0.0.1:8000

The first start fetches onnxruntime-web with npm (once; 14 MB stay). Afterwards nothing but this machine is
asked, and what the browser sees does not leave it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from oneshot import OneShotError
from oneshot.errors import explained
from oneshot.files import replacing
from oneshot.inference.backend import weights_file

WEB = Path(__file__).resolve().parent / "web"
SHARED = WEB.parents[1] / "oneshot" / "serve" / "page"
"""What the page has in common with that of `oneshot serve`."""

VENDOR = WEB / "vendor"
NEEDED = {"ort.mjs": "ort.wasm.bundle.min.mjs", "ort.wasm": "ort-wasm-simd-threaded.wasm"}
"""Of the package's 139 MB, what the page loads: our name, and the name in the package's folder dist."""

HEADERS = {
    # The page may use threads only where no other site can look into its memory.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # The browser itself sees to it that no face goes anywhere.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; "
    "worker-src 'self' blob:; img-src 'self' blob: data:; media-src 'self' blob:",
    "Cache-Control": "no-cache",
}


class Handler(SimpleHTTPRequestHandler):
    """The static files, and the weights under one name of their own."""

    weights: Path
    extensions_map = {  # noqa: RUF012 - as in the base class
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }

    def translate_path(self, path: str) -> str:
        if path.split("?")[0] == "/oneshot.onnx":
            return str(self.weights)
        own = super().translate_path(path)
        shared = SHARED / Path(own).name
        return str(shared) if not Path(own).exists() and shared.is_file() else own

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a list of files served tells nobody anything."""


def fetch_runtime() -> None:
    """Have onnxruntime-web's files in VENDOR, of the version that package-lock.json names.

    Raises:
        OneShotError: npm is missing, or cannot fetch it.
    """
    lock = (WEB / "package-lock.json").read_bytes()
    stamp = VENDOR / "package-lock.json"  # written last: there is no half of a runtime
    if stamp.is_file() and stamp.read_bytes() == lock:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise OneShotError(
            "npm is missing, which fetches the page's runtime once; install Node.js 20 or later"
        )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WEB / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode:
            why = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise OneShotError(f"npm ci in {WEB} failed ({why}); check the network and try again")
        dist = Path(folder) / "node_modules" / "onnxruntime-web" / "dist"
        VENDOR.mkdir(exist_ok=True)
        for ours, theirs in NEEDED.items():
            with replacing(VENDOR / ours) as partial:
                shutil.copy(dist / theirs, partial)
    with replacing(stamp) as partial:
        partial.write_bytes(lock)


def server(port: int, weights: Path | None = None) -> ThreadingHTTPServer:
    """The demo, ready to serve this machine only; port 0 is any that is free.

    Raises:
        OneShotError: the weights or the runtime are missing, or the port is taken.
    """
    path = weights_file(weights)
    if not path.is_file():
        raise OneShotError(
            f"{path}: no such weights file; give one that exists, or none for the shipped ones"
        )
    fetch_runtime()
    handler = type("DemoHandler", (Handler,), {"weights": path})
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), lambda *args: handler(*args, directory=str(WEB)))
    except (OSError, OverflowError) as error:
        raise OneShotError(f"port {port} cannot be used ({error}); give another with --port") from None


@explained
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8000, help="of 127.0.0.1 (8000)")
    parser.add_argument("--weights", type=Path, help="an .onnx file, or a shipped network (oneshot)")
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser")
    args = parser.parse_args()
    demo = server(args.port, args.weights)
    address = f"http://127.0.0.1:{demo.server_port}"
    print(f"{address}  (Ctrl-C stops it)", flush=True)
    if args.open:
        webbrowser.open(address)
    try:
        demo.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        demo.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
