"""The HTTP service, and its keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from oneshot import OneShotError, extras
from oneshot.cli.common import (
    ERR,
    FILE,
    OUT,
    check_kept,
    open_gallery,
    open_model,
    with_gallery,
    with_model,
)

if TYPE_CHECKING:
    from oneshot.serve.settings import Settings

KEYS = "keys.json"
PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "pydantic_settings", "httpx")


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where it listens (127.0.0.1: this machine only).")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="(8000); 0 is any that is free.")
@click.option(
    "--keys",
    type=FILE,
    metavar="FILE",
    help="API keys, as oneshot key makes them. Without, only this machine is answered.",
)
@click.option("--audit", type=FILE, metavar="FILE", help="Where changes of people are logged (audit.jsonl).")
@with_gallery
@with_model
def serve(host: str | None, port: int | None, keys: Path | None, audit: Path | None, **options: Any) -> int:
    """Answer over HTTP who is in a picture, and keep the people: a page at /, the API under /v1.

    The limits on bytes, pixels, rate and time are set by variables such as ONESHOT_SERVE_MAX_BYTES; see
    docs/serving.md. Ctrl-C or SIGTERM ends it once the requests under way are answered.

    \b
    oneshot serve                                      http://127.0.0.1:8000, without a key
    oneshot key door --role read                       then, for other machines:
    oneshot serve --host 0.0.0.0 --keys keys.json
    """
    for module in PACKAGES:
        extras.load(module, "oneshot serve", "serve")
    from oneshot.serve.settings import settings_from

    given = settings_from(host=host, port=port, keys=keys, audit=audit)
    check_kept(options)
    _serve(given, options)
    return 0


def _serve(settings: "Settings", options: dict[str, Any]) -> None:
    from oneshot.serve.app import create_app
    from oneshot.serve.server import check_keys, listening, run

    check_keys(settings)
    sock = listening(settings)  # before anything that takes long
    model = open_model(options)
    app = create_app(model, lambda seen: open_gallery(options, seen, create=True), settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    ERR.print(f"http://{host}:{sock.getsockname()[1]}  (Ctrl-C stops it)")
    run(app, settings, sock)


@click.command()
@click.argument("name", required=False)
@click.option("--role", type=click.Choice(("read", "write")), default="read", help="What it is for (read).")
@click.option("--revoke", is_flag=True, help="Take it away; a running service refuses it at once.")
@click.option("--keys", type=FILE, default=Path(KEYS), metavar="FILE", help=f"The file ({KEYS}).")
def key(name: str | None, role: str, revoke: bool, keys: Path) -> int:
    """Make an API key for oneshot serve, print its secret once, or list the keys.

    The role read asks who somebody is; write also enrolls, changes and forgets people.

    \b
    oneshot key door                     a key for programs that ask
    oneshot key office --role write      one for those who enroll
    oneshot key door --revoke
    oneshot key                          which keys there are
    """
    from oneshot.serve.keys import add_key, read_keys, revoke_key

    if name is None and not revoke:
        table = Table("name", "role", "made")
        for one in read_keys(keys):
            table.add_row(one.name, one.role, one.made)
        OUT.print(table)
    elif name is None:
        raise OneShotError("which key is to be revoked? give its name")
    elif revoke:
        revoke_key(keys, name)
        ERR.print(f"{keys}: {name} is revoked")
    else:
        OUT.print(add_key(keys, name, role), soft_wrap=True)  # type: ignore[arg-type]
        ERR.print(f"{keys}: keep this secret; it is shown once", soft_wrap=True)
    return 0
