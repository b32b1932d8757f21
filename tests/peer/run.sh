#!/bin/sh
# Runs a real Netdata in the foreground, everything it writes below one directory. The process started is Netdata itself
# (exec), so a test can end it by the id it got: SIGTERM, then wait; SIGKILL only after that.
#
#   run.sh child  DIR PORT=29101 PARENT=127.0.0.1:29100 KEY=UUID [COMPRESSION=yes] [MODE=ram] [NAME=child] [GUID=UUID]
#                 [CA=file] [SKIP=no]                with PARENT=127.0.0.1:29100:SSL: whose certificates, whether any
#   run.sh machine DIR ...                           a child that collects what its machine does, and nothing else
#   run.sh parent DIR PORT=29100 KEY=UUID [COMPRESSION=yes] [MODE=dbengine] [NAME=parent] [GUID=UUID]
#                 [TIERS=3] [CACHE=32] [DISK=256] [REPLICATION=yes] [ACCESS=none]
#                 [TLSKEY=file TLSCERT=file]         to speak TLS on its port, and plain text
#                 [PARENT=127.0.0.1:29102 PARENTKEY=UUID]    to send on what it receives
#                 [PLUGINS='apps charts.d']          to run these plugins of its package
#
# DIR is made if missing; what an earlier run left there (ids, database) is used again. NETDATA in the environment names
# the binary when it is neither in PATH nor in /usr/sbin. PREPARE_ONLY=yes writes DIR and prints the command instead.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
role=$1 dir=$2
shift 2
case $role in
child | machine) MODE=ram ;;
parent) MODE=dbengine ;;
*) usage ;;
esac
PORT='' PARENT='' PARENTKEY='' KEY='' COMPRESSION=yes NAME=$role GUID='' TIERS=3 CACHE=32 DISK=256 REPLICATION=yes ACCESS=none PREPARE_ONLY=no CA='' SKIP=no TLSKEY='' TLSCERT='' PLUGINS=''
for setting; do
    case ${setting%%=*} in
    PORT | PARENT | PARENTKEY | KEY | COMPRESSION | MODE | NAME | GUID | TIERS | CACHE | DISK | REPLICATION | ACCESS | PREPARE_ONLY | CA | SKIP | TLSKEY | TLSCERT | PLUGINS)
        export "$setting" ;;
    *) usage ;;
    esac
done
[ -n "$PORT" ] && [ -n "$KEY" ] || usage
[ "$role" = parent ] || [ -n "$PARENT" ] || usage

netdata=${NETDATA:-$(PATH="$PATH:/usr/sbin" command -v netdata)} || { echo 'run.sh: there is no netdata' >&2; exit 3; }

mkdir -p "$dir/etc" "$dir/log" "$dir/cache" "$dir/lib/registry" "$dir/plugins"
dir=$(cd "$dir" && pwd)
stream=child
[ "$role" != parent ] || stream=parent
for file in "$role-netdata.conf" "$stream-stream.conf"; do
    sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$PORT|g" -e "s|@PARENT@|$PARENT|g" -e "s|@KEY@|$KEY|g" -e "s|@NAME@|$NAME|g" \
        -e "s|@COMPRESSION@|$COMPRESSION|g" -e "s|@MODE@|$MODE|g" -e "s|@TIERS@|$TIERS|g" -e "s|@CACHE@|$CACHE|g" \
        -e "s|@DISK@|$DISK|g" -e "s|@REPLICATION@|$REPLICATION|g" -e "s|@ACCESS@|$ACCESS|g" \
        "$here/$file" >"$dir/etc/${file#*-}"
done
if [ "$role" = child ]; then
    printf '    ssl skip certificate verification = %s\n' "$SKIP" >>"$dir/etc/stream.conf"
    [ -z "$CA" ] || printf '    CAfile = %s\n' "$CA" >>"$dir/etc/stream.conf"
fi
if [ "$role" = parent ] && [ -n "$PARENT" ]; then
    # The first section of a name counts.
    sed -i '/^\[stream\]/,/^$/d' "$dir/etc/stream.conf"
    printf '\n[stream]\n    enabled = yes\n    destination = %s\n    api key = %s\n    enable compression = %s\n' \
        "$PARENT" "$PARENTKEY" "$COMPRESSION" >>"$dir/etc/stream.conf"
fi
if [ -n "$TLSKEY" ]; then
    printf '\n[web]\n    bind to = 127.0.0.1:%s=dashboard|registry|badges|management|streaming|netdata.conf^SSL=optional\n    ssl key = %s\n    ssl certificate = %s\n' \
        "$PORT" "$TLSKEY" "$TLSCERT" >>"$dir/etc/netdata.conf"
fi
if [ -n "$PLUGINS" ]; then
    # What a section says again counts.
    printf '\n[directories]\n    plugins = "/usr/lib/netdata/plugins.d"\n    stock config = /usr/lib/netdata/conf.d\n[plugins]\n' \
        >>"$dir/etc/netdata.conf"
    for plugin in $PLUGINS; do
        printf '    %s = yes\n' "$plugin" >>"$dir/etc/netdata.conf"
    done
fi
: >"$dir/etc/.opt-out-from-anonymous-statistics"
cp "$here/system-info.sh" "$dir/plugins/"
[ "$role" != child ] || cp "$here/synth.plugin" "$dir/plugins/"
chmod +x "$dir"/plugins/*
[ -z "$GUID" ] || printf %s "$GUID" >"$dir/lib/registry/netdata.public.unique.id"

# -u: as root Netdata would change to the user netdata, who may not be allowed into DIR.
# NETDATA_* and others of our caller must not reach it or its plugins.
set -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$dir" LC_ALL=C TZ=UTC \
    "$netdata" -D -c "$dir/etc/netdata.conf" -P "$dir/netdata.pid" -u "$(id -un)"
[ "$PREPARE_ONLY" = no ] || { printf '%s\n' "$@"; exit 0; }
cd "$dir"
exec "$@" </dev/null >"$dir/log/output.log" 2>&1
