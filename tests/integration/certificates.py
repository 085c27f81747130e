"""Certificates for the tests, made by the openssl command line."""
import os
import subprocess


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder, name):
        folder.mkdir(exist_ok=True)
        self.folder, self.name = folder, name
        self.certificate = folder / f"{name}.pem"
        self._openssl("req", "-x509", "-days", "30", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")

    def _openssl(self, command, *words):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"] if command == "req" else []
        subprocess.run(["openssl", command, *key, *words], cwd=self.folder, check=True, capture_output=True, timeout=30)

    def issue(self, name, days=30):
        """(certificate, key). With days = -1 one that has expired."""
        self._openssl("req", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key",
                      "-CAcreateserial", "-days", str(days), "-extfile", "names", "-out", f"{name}.cert")
        return self.folder / f"{name}.cert", self.folder / f"{name}.key"


def install(pair, folder):
    """Copies certificate and key to where the server reads them, one after the other, each at once."""
    for source, name in zip(pair, ("cert.pem", "key.pem")):
        part = folder / f"{name}.part"
        part.write_bytes(source.read_bytes())
        os.replace(part, folder / name)
    return {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}
