#!/bin/sh
# Make a Debian package of what `make setup` built: deploy/debian/build.sh. Prints its name.
#
# Guardian and what it is built on, in the releases of requirements.lock, lie together in /usr/lib/guardian-hsm: nothing
# of them is in Debian in those releases, and an upgrade of Debian's Python packages must not change what runs here. No
# virtual environment, since that names its folder everywhere and cannot be made in one place for another.
# It fits Debian releases with this Python (the extensions are made for it) and with this glibc or a later one.
set -eu
cd "$(dirname "$0")/../.."
: "${BIN:=.venv/bin}"
work=build/debian
tree=$work/tree
rm -rf "$work" && mkdir -p "$tree/DEBIAN"

# uv takes a second where pip takes half a minute; an environment made by uv has no pip.
install_wheels() {
    if command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python "$BIN/python" --target "$tree/usr/lib/guardian-hsm" "$@"
    else
        "$BIN/python" -m pip install --quiet --disable-pip-version-check --no-compile \
            --target "$tree/usr/lib/guardian-hsm" "$@"
    fi
}
set -- "${WHEELS:-build/wheel}"/*.whl
[ -f "$1" ] || { echo "build.sh: no wheel in ${WHEELS:-build/wheel}; make setup makes it" >&2; exit 1; }
install_wheels --require-hashes -r requirements.lock
install_wheels --no-deps "$1"
rm -rf "$tree/usr/lib/guardian-hsm/bin"
find "$tree/usr/lib/guardian-hsm" -name __pycache__ -prune -exec rm -rf {} +

install -D -m 755 deploy/debian/guardian "$tree/usr/bin/guardian"
install -D -m 644 deploy/systemd/guardian.yaml "$tree/etc/guardian/guardian.yaml"
install -D -m 644 deploy/systemd/guardian.service "$tree/usr/lib/systemd/system/guardian.service"
install -D -m 644 deploy/systemd/guardian.socket "$tree/usr/lib/systemd/system/guardian.socket"
install -D -m 644 deploy/systemd/guardian.sysusers "$tree/usr/lib/sysusers.d/guardian.conf"
doc=$tree/usr/share/doc/guardian-hsm
install -D -m 644 deploy/debian/copyright "$doc/copyright"
install -m 644 README.md CHANGELOG.md docs/*.md "$doc"
complete() {
    mkdir -p "$(dirname "$tree/usr/share/$2")"
    "$BIN/python" -c 'from guardian.cli import main; main()' completion "$1" >"$tree/usr/share/$2"
}
complete bash bash-completion/completions/guardian
complete zsh zsh/vendor-completions/_guardian
complete fish fish/vendor_completions.d/guardian.fish
"$BIN/python" deploy/manpages.py "$tree/usr/share/man/man1" && gzip -9n "$tree"/usr/share/man/man1/*.1

"$BIN/python" - "$tree/DEBIAN/control" <<'PYTHON'
import platform, subprocess, sys, tomllib
from pathlib import Path

major, minor = sys.version_info[:2]
values = {
    "VERSION": tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"],
    "ARCHITECTURE": subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip(),
    "PYTHON": f"{major}.{minor}",
    "NEXT_PYTHON": f"{major}.{minor + 1}",
    "GLIBC": platform.libc_ver()[1],
}
text = Path("deploy/debian/control.in").read_text()
for name, value in values.items():
    text = text.replace(f"@{name}@", value)
Path(sys.argv[1]).write_text(text)
PYTHON
cp deploy/debian/conffiles "$tree/DEBIAN/"
for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$tree/DEBIAN/"; done
chmod -R u=rwX,go=rX "$tree"
dpkg-deb --root-owner-group -Zxz -z1 --build "$tree" "$work" >/dev/null
ls "$work"/*.deb
