"""An SMTP server (aiosmtpd) that keeps every message as a file, for tests.

Arguments: port, folder. The folder has `cert.pem` and `key.pem` for STARTTLS; messages are written to `messages/NNNN.json`:
`{"from", "to", "user", "tls", "data"}`, `data` being the message as it came, one character per byte.
SMTP_SINK_LOGIN is `user:password`; with it a message is taken only after STARTTLS and AUTH.

Recipients decide what is refused: `nobody@…` 550, `greylisted@…` 451 the first time, `full@…` 452 every time.
"""

import asyncio
import json
import os
import pathlib
import signal
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Sink:
    def __init__(self, folder):
        self.folder = folder / "messages"
        self.folder.mkdir(exist_ok=True)
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        who = address.split("@")[0]
        if who == "nobody":
            return "550 5.1.1 no such mailbox"
        if who == "full":
            return "452 4.2.2 mailbox full"
        if who == "greylisted" and address not in self.seen:
            self.seen.add(address)
            return "451 4.7.1 greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        number = len(list(self.folder.glob("*.json"))) + 1
        message = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data,
            "tls": session.ssl is not None,
            "data": envelope.content.decode("latin-1"),
        }
        part = self.folder / "part"
        part.write_text(json.dumps(message))
        part.rename(self.folder / f"{number:04}.json")
        return "250 OK"


async def main():
    port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    login = os.environ.get("SMTP_SINK_LOGIN")
    sink = Sink(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    def authenticate(server, session, envelope, mechanism, data):
        given = f"{data.login.decode()}:{data.password.decode()}"
        return AuthResult(success=given == login, handled=False, auth_data=data.login.decode())

    def session():
        return SMTP(
            sink,
            hostname="sink.test",
            tls_context=tls,
            require_starttls=login is not None,
            auth_required=login is not None,
            authenticator=authenticate,
            enable_SMTPUTF8=True,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", port)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


asyncio.run(main())
