"""Alarms by mail, to a real SMTP server: aiosmtpd with TLS and passwords, one that refuses and one that hangs."""
import email
import email.policy
import json
import socket
import ssl

import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from certificates import Authority
from conftest import wait_for
from test_alarms import Monitor

USER, PASSWORD = "leadsman", "a pass word"


class Post:
    """Takes mail for all but `refuses`, and none while it is `full`."""

    def __init__(self):
        self.mails, self.refuses, self.full, self.tls = [], set(), False, []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.refuses:
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.full:
            return "452 no room"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, message))
        self.tls.append(session.ssl is not None)
        return "250 taken"

    def authenticate(self, server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=False)


@pytest.fixture
def post(tmp_path):
    """A mail server that asks for STARTTLS and a password."""
    authority = Authority(tmp_path / "ca", "ca")
    cert, key = authority.issue("mail")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    handler = Post()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True,
                            authenticator=handler.authenticate, auth_required=True)
    controller.start()
    handler.port, handler.ca = controller.port, authority.certificate
    yield handler
    controller.stop()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def monitor(tmp_path):
    made = []

    def start(emails):
        made.append(Monitor(tmp_path, {"emails": emails, "external_url": "https://leadsman.example.org"}).start())
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            assert one.stop() == 0, one.out.read_text()


def to(port, **more):
    return {"server": "localhost", "port": port, "from": "leadsman@example.org", "to": ["ops@example.org", "gone@example.org"],
            "min_interval": "0s", **more}


def test_alarms_are_mailed_by_tls_and_password_and_joined(tmp_path, monitor, post):
    password = tmp_path / "password"
    password.write_text("wrong\n")
    post.refuses.add("gone@example.org")
    watched = monitor([to(post.port, ca_file=str(post.ca), username=USER, password_file=str(password))])
    watched.write(500, 50)
    said = wait_for("the wrong password in the log", lambda: [
        line for line in map(json.loads, watched.out.read_text().splitlines()) if "535" in line.get("reason", "")])
    assert "username and password_file" in said[0]["reason"] and "wrong" not in said[0]["reason"]
    assert post.mails == []

    watched.write(200, 10_000)
    wait_for("its end", lambda: watched.states() == ["resolved"])
    password.write_text(PASSWORD + "\n")
    # It began and ended while no mail was taken: one mail says both.
    wait_for("the mail", lambda: post.mails)
    assert all(post.tls)
    sender, receivers, mail = post.mails[0]
    assert sender == "leadsman@example.org" and receivers == ["ops@example.org"]
    assert mail["Subject"].startswith("[Leadsman] ") and mail["To"] == "ops@example.org, gone@example.org"
    text = mail.get_content()
    alarm = watched.alarms()[0]
    assert "50 of 50 answers failed" in text and "What to do: " in text and "RESOLVED" in text
    assert f"https://leadsman.example.org/api/v1/alarms/{alarm['id']}" in text
    wait_for("the refused address in the log", lambda: "gone@example.org (550 no such user here)" in watched.out.read_text())
    metrics = requests.get(watched.admin + "/metrics", timeout=5).text
    assert 'leadsman_alarm_notifications_total{sender="emails[0]",result="dropped"} 0' in metrics


def test_a_mail_server_that_hangs_or_refuses_keeps_nobody(monitor):
    """One that never greets, one that offers no TLS where it is asked for, and one that is full for a while."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        plain = Controller(Post(), hostname="127.0.0.1", port=free_port())
        plain.handler.full = True
        plain.start()
        try:
            watched = monitor([to(silent.getsockname()[1], timeout="5m"), to(plain.port), to(plain.port, tls="none")])
            watched.write(500, 200)
            wait_for("no TLS in the log", lambda: "STARTTLS" in watched.out.read_text())
            wait_for("no room in the log", lambda: "452 no room" in watched.out.read_text())
            assert plain.handler.mails == []
            plain.handler.full = False
            wait_for("the mail", lambda: plain.handler.mails)
            assert "FIRING" in plain.handler.mails[0][2]["Subject"] and plain.handler.tls == [False]
            assert watched.stop() == 0
        finally:
            plain.stop()
