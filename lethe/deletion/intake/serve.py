"""Runs the service: policy, ledger, application, uvicorn, and the way out.

SIGTERM and Ctrl-C end it in order: no new connections, answers for what was sent, a last commit,
the ledger closed. SIGKILL at any moment loses nothing that was answered with 202.
"""

import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any

from lethe.deletion.intake.app import create_app
from lethe.deletion.intake.reload import LivePolicy
from lethe.deletion.policy.model import Policy
from lethe.deletion.tickets.secrets import problems
from lethe.errors import SettingsError
from lethe.settings import Settings

# Longest that the end waits for answers under way.
_GOODBYE_SECONDS = 10
_BACKLOG = 2048  # as uvicorn's own
_PATHS = {"plain": "/api/v1/requests, token of {}", "opendsr": "/opendsr/{}/requests"}


def serve(
    settings: Settings,
    *,
    senders: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve until a signal ends it.

    Args:
        settings: all of them; `intake` says where to listen.
        senders: of letters beside those that Lethe has, by kind; "trigger" starts a run.
        tell: says what is served, one line at a time.

    Raises:
        PolicyError: if the policy file is wrong; nothing was opened.
        SettingsError: if the address cannot be listened on.
    """
    import uvicorn

    from lethe.deletion.ledger.ledger import open_ledger
    from lethe.keys import record_key

    _check_tls(settings)
    policy = LivePolicy(settings)
    listener = _bind(settings.intake.host, settings.intake.port)
    closing = Event()
    worker = f"intake:{socket.gethostname()}"
    with (
        listener,
        open_ledger(
            settings.ledger_url,
            key=record_key(settings.record_key_file),
            announce=partial(_announce, policy, settings),
        ) as ledger,
    ):
        from lethe.deletion.answers.deliver import deliver

        def send() -> None:
            deliver(ledger, policy(), settings, worker=worker, senders=senders, closing=closing)

        app = create_app(ledger, policy, settings, deliver=send, closing=closing)
        # Whoever reads the address may connect: what comes before uvicorn is there waits for it.
        _listen(listener, settings)
        tls = settings.intake.tls_certificate is not None
        for line in introduction(policy(), listener.getsockname(), datetime.now(UTC), tls=tls):
            tell(line)
        config = uvicorn.Config(
            app,
            access_log=False,  # Lethe's own has no addresses and no queries
            log_config=None,
            server_header=False,
            proxy_headers=False,
            ws="none",
            ssl_certfile=settings.intake.tls_certificate,
            ssl_keyfile=settings.intake.tls_key,
            lifespan="on",
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
        )
        with contextlib.suppress(_Ended, KeyboardInterrupt):
            signal.signal(signal.SIGTERM, _end)
            uvicorn.Server(config).run(sockets=[listener])


class _Ended(Exception):  # noqa: N818 (no error)
    """The service was asked to end, and has."""


def _end(_signal: int, _frame: object) -> None:
    # Uvicorn ends in order and then raises the signal again, which would leave the ledger open.
    raise _Ended


def _check_tls(settings: Settings) -> None:
    """Refuse a certificate without its key, or one of them that cannot be read."""
    pair = (settings.intake.tls_certificate, settings.intake.tls_key)
    if pair == (None, None):
        return
    problem = "one is set without the other"
    if None not in pair:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*map(str, pair))
        except OSError as error:  # an SSLError is one
            problem = str(error)
        else:
            return
    raise SettingsError(
        f"intake.tls_certificate and intake.tls_key cannot be used: {problem}. Nothing was "
        f"started. Name both files, in PEM, or none."
    )


def introduction(
    policy: Policy, address: tuple[Any, ...], now: datetime, *, tls: bool = False
) -> list[str]:
    """What the service says when it starts: where it listens, what from, and what cannot work."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    lines = [
        f"Lethe intake: {'https' if tls else 'http'}://{host}:{address[1]}, policy {policy.label}"
    ]
    lines += [
        f"  POST {_PATHS.get(source.kind, '/webhooks/{}').format(name)} ({source.kind})"
        for name, source in sorted(policy.sources.items())
        if source.kind != "cli"
    ]
    if len(lines) == 1:
        lines.append("  no source: write some into the policy, see docs/policy.md")
    return lines + [f"  WARNING {text}" for text in lacking(policy, now)]


def lacking(policy: Policy, now: datetime) -> list[str]:
    """Sources and tokens from which nothing can be believed, for their secret is not set."""
    found = []
    for name, source in sorted(policy.sources.items()):
        if source.kind == "cli":
            continue  # people with a shell need no secret
        tokens = [t.secret for t in policy.tokens if t.source == name and "submit" in t.may]
        wrong = problems([*source.secrets, *tokens], now)
        if wrong:
            found.append(f"source {name}: {'; '.join(wrong)}")
        if source.kind == "opendsr" and (source.answer.key is None or source.answer.domain is None):
            found.append(f"source {name}: answer.key and answer.domain are needed to sign answers")
    found.extend(
        f"token {token.name}: {'; '.join(wrong)}"
        for token in policy.tokens
        if token.source is None and (wrong := problems([token.secret], now))
    )
    return found


def _announce(policy: Callable[[], Policy], settings: Settings, *move: Any) -> Any:
    from lethe.deletion.answers.announce import announcer

    return announcer(policy(), settings)(*move)


def _bind(host: str, port: int) -> socket.socket:
    """A socket that has the address before anything else is opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends answers at once (TCP_NODELAY), not 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _occupied(host, port, error) from None
    return listener


def _listen(listener: socket.socket, settings: Settings) -> None:
    """Let connections queue."""
    try:
        listener.listen(_BACKLOG)
    except OSError as error:  # another process had bound it as well, and listens since
        raise _occupied(settings.intake.host, settings.intake.port, error) from None


def _occupied(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(
        f"Nobody can listen on {host}, port {port}: {error.strerror}. Nothing was started. "
        f"Choose another with `lethe intake --port NUMBER`, or the setting intake.port."
    )
