#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Build QEMU with our processor inside, and print the path of the result: a
# qemu-system-x86_64 that finds its firmware by itself.
#
#   qemu/build.sh [--release bookworm|trixie] [--plain] [--present]
#
# --release  whose source package: bookworm has QEMU 7.2 (the default), trixie 10.0
# --plain    without our change, to compare with
# --present  build nothing: status 1 when these sources have not been built yet
#
# Everything is kept in ${XDG_CACHE_HOME:-~/.cache}/swsgx/qemu.  A build of the
# same sources is used again at once; a change to the glue or to the processor
# costs half a minute, the first build some three minutes on two processors.
set -eu

here=$(dirname "$(readlink -f "$0")")
release=bookworm
plain=
present=
while [ $# -gt 0 ]; do
	case $1 in
	--release) release=${2:?--release needs a name}; shift 2 ;;
	--plain) plain=1; shift ;;
	--present) present=1; shift ;;
	*) sed -n '3,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done

fail()
{
	echo "qemu/build.sh: $*" >&2
	exit 1
}

for tool in gcc ninja meson pkg-config python3 dpkg-source; do
	command -v "$tool" >/dev/null || fail "no $tool: run tools/deps ensure build guest"
done
for library in glib-2.0 pixman-1 zlib nettle; do
	pkg-config --exists "$library" ||
		fail "the headers of $library are missing: run tools/deps ensure build guest"
done
echo '#include <libfdt.h>' | gcc -E - >/dev/null 2>&1 ||
	fail "the headers of libfdt are missing: run tools/deps ensure build guest"

# A checkout brings the processor's sources, an installation its library, which is
# looked for beside this script: it may still be in a staging directory.
top=$(dirname "$here")
libdir=
if [ ! -f "$top/src/isa/meson.build" ]; then
	top=
	for place in "$here"/../../../lib "$here"/../../../lib/*; do
		[ ! -f "$place/pkgconfig/swsgx-isa.pc" ] || libdir=$place
	done
	[ -n "$libdir" ] || fail "the library swsgx-isa is not installed beside $here"
fi

key()
{
	if [ -n "$plain" ]; then
		echo plain
	elif [ -n "$top" ]; then
		find "$here/swsgx" "$here/apply" "$here/build.sh" "$top/src/isa" "$top/src/inject" \
			"$top/include/swsgx" -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c 1-16
	else
		find "$here" "$libdir"/libswsgx-i*.a -type f |
			LC_ALL=C sort | xargs cat | sha256sum | cut -c 1-16
	fi
}

root=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/swsgx/qemu/$release
result=$root/bin/$(key)
if [ -x "$result/qemu-system-x86_64" ]; then
	touch "$result"
	echo "$result/qemu-system-x86_64"
	exit 0
fi
[ -z "$present" ] || exit 1

source=$("$here/debian" "$release" source qemu)
seabios=$("$here/debian" "$release" deb seabios)
data=$("$here/debian" "$release" deb qemu-system-data)
ipxe=$("$here/debian" "$release" deb ipxe-qemu)

# QEMU 10 wants a newer meson than Debian 12 has, as a module of its Python.
modules=
if [ "$release" != bookworm ]; then
	modules=$("$here/debian" "$release" deb meson)/usr/lib/python3/dist-packages
fi

mkdir -p "$root/bin"
exec 9>"$root/lock"
flock 9
log=$root/log
: >"$log"

quietly()
{
	if ! "$@" >>"$log" 2>&1; then
		tail -n 30 "$log" >&2
		fail "failed: $* (all of it is in $log)"
	fi
}

tree=$root/tree${plain:+-plain}
build=$root/build${plain:+-plain}
# Edits that are in a tree already are not made again, so other edits want another tree.
from=$source
[ -n "$plain" ] || from="$source, $(sha256sum <"$here/apply")"
if [ "$(cat "$tree/.from" 2>/dev/null)" != "$from" ]; then
	rm -rf "$tree" "$build"
	cp -r "$source" "$tree"
	echo "$from" >"$tree/.from"
fi

# The library with nettle inside, whatever the checkout is configured for: QEMU
# is under the GPL, version 2.
library()
{
	if [ ! -f "$root/isa/build.ninja" ] || [ "$(cat "$root/isa.from")" != "$top" ]; then
		rm -rf "$root/isa"
		quietly meson setup "$root/isa" "$top" -Dcrypto=nettle -Dbuildtype=release \
			-Dprefix="$root/isa-installed" -Dlibdir=lib
		echo "$top" >"$root/isa.from"
	fi
	quietly ninja -C "$root/isa" src/isa/libswsgx-isa.a src/inject/libswsgx-inject.a
	quietly meson install -C "$root/isa" --no-rebuild --tags devel --quiet
	# Installed files keep their times, which may be older than objects made from
	# what they replace.
	sum=$(find "$root/isa-installed" -type f ! -name .sum | LC_ALL=C sort | xargs sha256sum | sha256sum)
	if [ "$(cat "$root/isa-installed/.sum" 2>/dev/null)" != "$sum" ]; then
		find "$root/isa-installed" -type f -exec touch {} +
		echo "$sum" >"$root/isa-installed/.sum"
	fi
}

# The library of an installation, copied to where a checkout's is built.
installed_library()
{
	to=$root/isa-installed
	rm -rf "$to"
	mkdir -p "$to/include" "$to/lib/pkgconfig"
	cp -r "$here/../../../include/swsgx" "$to/include/"
	cp "$libdir"/libswsgx-i*.a "$to/lib/"
	for file in "$libdir"/pkgconfig/swsgx-i*.pc; do
		# shellcheck disable=SC2016 # pkg-config expands it
		sed -e "s|^prefix=.*|prefix=$to|" -e 's|^libdir=.*|libdir=${prefix}/lib|' "$file" \
			>"$to/lib/pkgconfig/${file##*/}"
	done
}

paths=
if [ -z "$plain" ]; then
	if [ -n "$top" ]; then
		library
	else
		installed_library
	fi
	paths=$root/isa-installed/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
	case $(PKG_CONFIG_PATH=$paths pkg-config --static --libs swsgx-isa) in
	*-lcrypto*) fail "swsgx-isa was built with OpenSSL, which QEMU's licence does not allow" ;;
	esac
	quietly "$here/apply" "$tree"
fi

if [ ! -f "$build/build.ninja" ]; then
	rm -rf "$build"
	mkdir "$build"
	compiler=gcc
	command -v ccache >/dev/null && compiler='ccache gcc'
	cd "$build"
	# The system's Python, which meson belongs to, whatever else is in the path.
	quietly env PATH="/usr/bin:$PATH" PKG_CONFIG_PATH="${paths:-${PKG_CONFIG_PATH:-}}" PYTHONPATH="$modules" \
		"$tree/configure" --cc="$compiler" \
		--target-list=x86_64-softmmu --without-default-features --enable-system --enable-tcg \
		--disable-docs --disable-werror --disable-install-blobs
	cd "$here"
fi
quietly env PYTHONPATH="$modules" ninja -C "$build" qemu-system-x86_64

work=$(mktemp -d "$root/bin/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$build/qemu-system-x86_64" "$work/qemu"
printf '#!/bin/sh\nexec "%s/qemu" -L "%s" -L "%s" -L "%s" "$@"\n' "$result" \
	"$seabios/usr/share/seabios" "$data/usr/share/qemu" "$ipxe/usr/lib/ipxe/qemu" \
	>"$work/qemu-system-x86_64"
chmod 755 "$work" "$work/qemu-system-x86_64"
rm -rf "$result"
mv "$work" "$result"

# Old results, but the four used last.
# shellcheck disable=SC2012 # we name these directories
ls -dt "$root"/bin/*/ | tail -n +6 | while read -r old; do
	[ "$old" = "$result/" ] || rm -rf "$old"
done
echo "$result/qemu-system-x86_64"
