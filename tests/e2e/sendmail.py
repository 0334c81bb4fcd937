"""Sendmail in a jail: STARTTLS and implicit TLS, Cyrus SASL's mechanisms, in
clear as well; mail is delivered at once to Maildirs."""

import jailed

HOST_NAME = "sendmail.rig.example"
MECHANISMS = ["plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"]

_CONFIGURATION = """\
divert(0)dnl
OSTYPE(`debian')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
define(`confDOMAIN_NAME', `{host}')dnl
define(`QUEUE_DIR', `{home}/queue')dnl
define(`confPID_FILE', `{home}/pid')dnl
define(`STATUS_FILE', `{home}/statistics')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confTO_IDENT', `0')dnl
define(`confDELIVERY_MODE', `interactive')dnl
define(`confMAX_MESSAGE_SIZE', `104857600')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confSERVICE_SWITCH_FILE', `{home}/switch')dnl
define(`confTRUSTED_USER', `root')dnl
define(`confDONT_BLAME_SENDMAIL', `Safe')dnl
define(`confCACERT', `{home}/authority')dnl
define(`confCACERT_PATH', `{home}')dnl
define(`confSERVER_CERT', `{home}/certificate')dnl
define(`confSERVER_KEY', `{home}/key')dnl
define(`confTLS_SRV_OPTIONS', `V')dnl
define(`confAUTH_OPTIONS', `A')dnl
define(`confAUTH_MECHANISMS', `{mechanisms}')dnl
TRUST_AUTH_MECH(`{mechanisms}')dnl
define(`confRECEIVED_HEADER', `from $s by $j ($v) with $r$?{{auth_type}} (authenticated ${{auth_type}} ${{auth_authen}})$. id $i; $b')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`access_db', `hash -o {home}/access.db')dnl
FEATURE(`blocklist_recipients')dnl
FEATURE(`mailertable', `hash -o {home}/mailers.db')dnl
DAEMON_OPTIONS(`Name=starttls, Addr=127.0.0.1, Family=inet, Port={starttls}, M=aE')dnl
DAEMON_OPTIONS(`Name=implicit, Addr=127.0.0.1, Family=inet, Port={implicit}, M=aEs')dnl
MAILER(`smtp')dnl
MAILER_DEFINITIONS
Mmaildir, P=/usr/libexec/opensmtpd/mail.maildir, F=lsDFMnP9, U={uid}:{uid},
	S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP/HdrFromSMTP, T=DNS/RFC822/X-Unix,
	A=mail.maildir {mail}/$u
"""


# Seen in the jail only.  Sendmail wants no writable directory above its files,
# as that of temporary files is.
_HOME = "/etc/mail/rig"

_SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {home}/sasldb2
mech_list: {mechanisms}
"""


class Sendmail(jailed.Server):
    NAME = "sendmail"

    def __init__(self, *arguments, authority):
        super().__init__(*arguments)
        jail = self.jail
        self.authority = authority
        self.mechanisms = " ".join(MECHANISMS).upper()
        jail.directory(_HOME + "/queue", 0o700)
        self._file("switch", "hosts files\naliases files\n")
        self._file("mailers", "".join(
            "%s\tmaildir:%s\n" % (d, d) for d in self.domains))
        self._file("access", "".join(
            ["To:%s\tRELAY\n" % address for address in self.addresses] +
            ["To:%s\tERROR:5.1.1:550 unknown user\n" % domain
             for domain in self.domains]))
        jail.write("/etc/sasl2/Sendmail.conf", _SASL.format(
            home=_HOME, mechanisms=self.mechanisms))
        for user, password in self.accounts.items():
            self._file("secret", password)
            name, realm = user.split("@")
            self._shell("saslpasswd2 -p -c -f {0}/sasldb2 -u %s %s "
                        "<{0}/secret" % (realm, name))
        jail.mode(_HOME + "/sasldb2", 0o600)

    def _file(self, name, content):
        self.jail.write("%s/%s" % (_HOME, name), content, 0o600)

    def _shell(self, command):
        self.tool(["/bin/sh", "-c", command.format(_HOME)])

    def configure(self):
        for name, path in (("certificate", self.certificate.certificate),
                           ("key", self.certificate.key),
                           ("authority", self.authority)):
            with open(path) as stream:
                self._file(name, stream.read())
        self._file("sendmail.mc", _CONFIGURATION.format(
            home=_HOME, mail=self.mail, host=HOST_NAME, uid=self.jail.mail_uid, mechanisms=self.mechanisms, **self.ports))
        self._shell("m4 -D_CF_DIR_=/usr/share/sendmail/cf/ "
                    "/usr/share/sendmail/cf/m4/cf.m4 {0}/sendmail.mc "
                    ">{0}/sendmail.cf")
        for name in ("access", "mailers"):
            self._shell("/usr/libexec/sendmail/makemap -C {0}/sendmail.cf "
                        "hash {0}/%s.db <{0}/%s" % (name, name))

    def argv(self):
        return ["/usr/libexec/sendmail/sendmail", "-bD", "-q10s", "-C",
                _HOME + "/sendmail.cf", "-X", self.work + "/traffic"]
