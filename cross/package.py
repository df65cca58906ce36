#!/usr/bin/env python3
"""Builds an OpenWrt package around a static binary, without the SDK.

    package.py ipk|apk lite|full ARCH BINARY OUT_DIR

ipk: opkg, OpenWrt up to 24.10. apk: apk-tools, newer releases (format v2,
unsigned: install with --allow-untrusted). Same input, same bytes out.
"""

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = 1
USER = "smol-mtproxy:smol-mtproxy"
CONFFILES = ["/etc/config/smol-mtproxy"]
SUMMARY = "A small Telegram MTProto proxy"


def main():
    if len(sys.argv) != 6 or sys.argv[1] not in ("ipk", "apk") or sys.argv[2] not in ("lite", "full"):
        sys.exit(__doc__)
    kind, features, arch, binary, out = sys.argv[1:]
    package = Package(features, arch, Path(binary))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    path = write_ipk(package, out) if kind == "ipk" else write_apk(package, out)
    print(f"{path} {path.stat().st_size} bytes")


class Package:
    """Name, version and files: path on the router -> (mode, bytes)."""

    def __init__(self, features, arch, binary):
        self.name = "smol-mtproxy" if features == "full" else "smol-mtproxy-lite"
        self.other = "smol-mtproxy-lite" if features == "full" else "smol-mtproxy"
        self.version = f"{crate_version()}-r{RELEASE}"
        self.arch = arch
        self.time = source_time()
        config = ROOT / "config/openwrt"
        self.files = {
            "/usr/bin/smol-mtproxy": (0o755, binary.read_bytes()),
            "/usr/lib/smol-mtproxy/render.sh": (0o644, (config / "render.sh").read_bytes()),
            "/usr/lib/smol-mtproxy/paths.sh": (0o644, (config / "paths.sh").read_bytes()),
            "/usr/lib/smol-mtproxy/place.sh": (0o644, (config / "place.sh").read_bytes()),
            "/usr/lib/smol-mtproxy/ask.sh": (0o644, (config / "ask.sh").read_bytes()),
            "/etc/init.d/smol-mtproxy": (0o755, (config / "smol-mtproxy.init").read_bytes()),
            "/etc/config/smol-mtproxy": (0o600, (config / "smol-mtproxy.config").read_bytes()),
            "/etc/uci-defaults/90-smol-mtproxy": (0o755, (config / "smol-mtproxy.defaults").read_bytes()),
            "/etc/capabilities/smol-mtproxy.json": (
                0o644,
                (config / "smol-mtproxy.capabilities.json").read_bytes(),
            ),
            "/lib/upgrade/keep.d/smol-mtproxy": (0o644, (config / "smol-mtproxy.keep").read_bytes()),
        }

    def size(self):
        return sum(len(data) for _, data in self.files.values())


def crate_version():
    return re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)


def source_time():
    """SOURCE_DATE_EPOCH, else the last commit's time: no clock in the package."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    log = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    )
    return int(log.stdout.strip() or 0)


# --- opkg: a gzipped tar of debian-binary, data.tar.gz and control.tar.gz


def write_ipk(package, out):
    control = {
        "control": (0o644, ipk_control(package).encode()),
        "conffiles": (0o644, "".join(f"{path}\n" for path in CONFFILES).encode()),
        "postinst": (0o755, IPK_POSTINST.encode()),
        "prerm": (0o755, IPK_PRERM.encode()),
        "postrm": (0o755, POSTRM.encode()),
    }
    members = {
        "debian-binary": (0o644, b"2.0\n"),
        "data.tar.gz": (0o644, compress(tar(package.files, package.time, prefix="./"))),
        "control.tar.gz": (0o644, compress(tar(control, package.time, prefix="./"))),
    }
    path = out / f"{package.name}_{package.version}_{package.arch}.ipk"
    path.write_bytes(compress(tar(members, package.time, prefix="./", directories=False)))
    return path


def ipk_control(package):
    return f"""Package: {package.name}
Version: {package.version}
Provides: smol-mtproxy
Conflicts: {package.other}
License: MIT
Section: net
Require-User: {USER}
Architecture: {package.arch}
Installed-Size: {package.size()}
Description: {SUMMARY}
"""


# OpenWrt's own helpers create the user, run the first-boot script and enable
# the service.
IPK_POSTINST = """#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = 1 ] && exit 0
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
default_postinst "$0" "$@"
"""
IPK_PRERM = """#!/bin/sh
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
default_prerm "$0" "$@"
"""

# What the package managers leave: the template beside a changed configuration,
# directories, what the service had in memory. The service ends in its own time.
# rm -r would follow a link that another process of its user puts in the place of a
# directory: each becomes root's, and gives its own directories up, before it is
# removed. opkg calls this at upgrades too.
POSTRM = """#!/bin/sh
[ -z "${IPKG_INSTROOT}" ] || exit 0
[ "${PKG_UPGRADE}" != 1 ] || exit 0
for _ in 1 2 3 4 5; do
	pidof smol-mtproxy >/dev/null || break
	sleep 1
done
rm -f /etc/config/smol-mtproxy-opkg /etc/config/smol-mtproxy.apk-new
rmdir /usr/lib/smol-mtproxy /etc/capabilities 2>/dev/null
rm -f /var/run/smol-mtproxy.first
bin=$(mktemp -d /var/run/smol-mtproxy.XXXXXX) || exit 0
mv /var/run/smol-mtproxy "$bin/0" 2>/dev/null
seen=0 last=0
while [ -d "$bin/$seen" ] && [ ! -L "$bin/$seen" ] && [ "$seen" -lt 1000 ]; do
	dir=$bin/$seen
	chown -h root:root "$dir" && chmod 0700 "$dir" || exit 0
	for path in "$dir"/*/ "$dir"/.*/; do
		path=${path%/}
		case "$path" in */. | */..) continue ;; esac
		[ -d "$path" ] || continue
		[ ! -L "$path" ] || continue
		last=$((last + 1))
		mv "$path" "$bin/$last" || exit 0
	done
	rm -rf "$dir"
	seen=$((seen + 1))
done
rm -f "$bin/0"
rmdir "$bin"
exit 0
"""


# --- apk v2: two gzip streams in a row, control and data, each a tar


def write_apk(package, out):
    files = dict(package.files)
    lists = f"/lib/apk/packages/{package.name}"
    files[f"{lists}.rusers"] = (0o644, f"{USER}\n".encode())
    files[f"{lists}.conffiles"] = (0o644, "".join(f"{path}\n" for path in CONFFILES).encode())
    files[f"{lists}.conffiles_static"] = (
        0o644,
        "".join(f"{path} {sha256(files[path][1])}\n" for path in CONFFILES).encode(),
    )
    files[f"{lists}.list"] = (0o644, "".join(f"{path}\n" for path in sorted(files)).encode())

    data = compress(tar(files, package.time, checksums=True))
    scripts = {
        ".PKGINFO": (0o644, pkginfo(package, data).encode()),
        ".post-install": (0o755, apk_script(package, "add_group_and_user\ndefault_postinst").encode()),
        ".post-upgrade": (0o755, apk_script(package, APK_POST_UPGRADE).encode()),
        ".pre-deinstall": (0o755, apk_script(package, "default_prerm").encode()),
        ".post-deinstall": (0o755, POSTRM.encode()),
    }
    # The control tar has no end marker: to a plain reader the streams are one tar.
    control = compress(tar(scripts, package.time, directories=False, end=False))
    path = out / f"{package.name}-{package.version}.{package.arch}.apk"
    path.write_bytes(control + data)
    return path


# opkg stops the service before an upgrade. apk runs this alone, and to procd a
# start is no change: the old program would run on.
APK_POST_UPGRADE = """export PKG_UPGRADE=1
add_group_and_user
default_postinst
status=$?
[ -n "${IPKG_INSTROOT}" ] || /etc/init.d/smol-mtproxy restart
exit $status"""


def pkginfo(package, data):
    return f"""pkgname = {package.name}
pkgver = {package.version}
pkgdesc = {SUMMARY}
builddate = {package.time}
size = {package.size()}
arch = {package.arch}
license = MIT
origin = smol-mtproxy
provides = smol-mtproxy-any
depend = !{package.other}
datahash = {sha256(data)}
"""


def apk_script(package, action):
    return f"""#!/bin/sh
[ "${{IPKG_NO_SCRIPT}}" = 1 ] && exit 0
[ -s "${{IPKG_INSTROOT}}/lib/functions.sh" ] || exit 0
. "${{IPKG_INSTROOT}}/lib/functions.sh"
export root="${{IPKG_INSTROOT}}"
export pkgname={package.name}
{action}
"""


# --- tar, gzip


def tar(files, time, prefix="", directories=True, checksums=False, end=True):
    raw = io.BytesIO()
    form = tarfile.PAX_FORMAT if checksums else tarfile.GNU_FORMAT
    archive = tarfile.open(fileobj=raw, mode="w", format=form)
    names = {path.lstrip("/"): content for path, content in files.items()}
    if directories:
        for directory in sorted({str(p) for name in names for p in Path(name).parents} - {"."}):
            archive.addfile(entry(prefix + directory, time, 0o755, tarfile.DIRTYPE))
    for name in names if not directories else sorted(names):
        mode, data = names[name]
        info = entry(prefix + name, time, mode, tarfile.REGTYPE)
        info.size = len(data)
        if checksums:
            info.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(data).hexdigest()}
        archive.addfile(info, io.BytesIO(data))
    if not end:
        return raw.getvalue()
    archive.close()
    return raw.getvalue()


def entry(name, time, mode, kind):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, time
    info.uname = info.gname = "root"
    return info


def compress(data):
    return gzip.compress(data, 9, mtime=0)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


main()
