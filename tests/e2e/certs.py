"""A certificate authority for one test run, and certificates by it.

Made with certtool (gnutls-bin) or, where that is absent, refused with words.
Keys are ECDSA P-256: making one takes a few milliseconds.
"""

import os
import subprocess

import packages


class Pair:
    """A certificate with its key: the names of two PEM files."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key

    def fingerprint(self):
        """SHA-256 of the certificate, hexadecimal, without colons."""
        return _certtool(["--fingerprint", "--hash", "sha256",
                          "--infile", self.certificate]).strip()

    def public_key_fingerprint(self):
        """SHA-256 of the SubjectPublicKeyInfo, hexadecimal."""
        text = _certtool(["--key-id", "--hash", "sha256",
                          "--infile", self.certificate])
        return text.strip()


def _certtool(arguments):
    try:
        done = subprocess.run(["certtool"] + arguments, text=True,
                              stdin=subprocess.DEVNULL, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise packages.Missing("certtool (package gnutls-bin) is absent")
    if done.returncode != 0:
        raise packages.Missing("certtool %s: %s" % (
            " ".join(arguments), done.stderr.strip()[-400:]))
    return done.stdout


def _validity(valid):
    if not valid:
        return ["expiration_days = 365"]
    return ['activation_date = "%s 00:00:00 UTC"' % valid[0],
            'expiration_date = "%s 00:00:00 UTC"' % valid[1]]


def make_rsa(pair):
    """An RSA key of 2048 bits, and a certificate that it signs itself."""
    template = pair.key + ".template"
    _certtool(["--generate-privkey", "--key-type", "rsa", "--bits", "2048",
               "--no-text", "--outfile", pair.key])
    with open(template, "w") as stream:
        stream.write("cn = app\nexpiration_days = 365\n")
    _certtool(["--generate-self-signed", "--load-privkey", pair.key,
               "--template", template, "--no-text",
               "--outfile", pair.certificate])


class Authority:
    """An authority whose files lie in `directory`, named after `name`."""

    def __init__(self, directory, name):
        self.directory = directory
        self.name = name
        self.pair = self._key(name)
        self.file = self.pair.certificate
        self._sign(name, ["--generate-self-signed"],
                   ["cn = %s" % name, "ca", "cert_signing_key",
                    "expiration_days = 3650"])

    def _path(self, name, ending):
        return os.path.join(self.directory, "%s.%s" % (name, ending))

    def _key(self, name):
        pair = Pair(self._path(name, "pem"), self._path(name, "key"))
        _certtool(["--generate-privkey", "--key-type", "ecdsa", "--curve",
                   "secp256r1", "--no-text", "--outfile", pair.key])
        os.chmod(pair.key, 0o600)
        return pair

    def _sign(self, name, how, template):
        path = self._path(name, "template")
        with open(path, "w") as stream:
            stream.write("\n".join(template) + "\n")
        _certtool(how + ["--load-privkey", self._path(name, "key"),
                         "--template", path, "--no-text",
                         "--outfile", self._path(name, "pem")])

    def server(self, name, names, addresses=(), valid=None):
        """A server's certificate for DNS names and IP addresses; `valid` is
        a pair of dates ("2020-01-01", "2021-01-01") instead of now on."""
        template = ["cn = %s" % names[0], "tls_www_server", "signing_key"]
        template += ["dns_name = %s" % word for word in names]
        template += ["ip_address = %s" % word for word in addresses]
        template += _validity(valid)
        pair = self._key(name)
        self._sign(name, ["--generate-certificate", "--load-ca-certificate",
                          self.pair.certificate, "--load-ca-privkey",
                          self.pair.key], template)
        return pair

    def client(self, name, email, valid=None):
        """A client's certificate for an address; `valid` as server()'s."""
        template = ["cn = %s" % name, "tls_www_client", "signing_key",
                    'email = "%s"' % email] + _validity(valid)
        pair = self._key(name)
        self._sign(name, ["--generate-certificate", "--load-ca-certificate",
                          self.pair.certificate, "--load-ca-privkey",
                          self.pair.key], template)
        return pair
