#!/bin/dash
# The sender: validate, sign each message, one tar a batch, upload by one lasting connection.
. "${0%/*}/common.sh"
mkdir -p "$B/outbound" "$B/batch" "$B/rejected" "$B/receipts" "$B/sent"
connect
T=$(cat "$TEMPLATE")
number=0
while :; do
    [ -n "$(find "$B/outbound" -name '*.xml' -print -quit)" ] ||
        inotifywait -qq -t 5 -e moved_to "$B/outbound"
    cd "$B/outbound" || exit 1
    # shellcheck disable=SC2046,SC2010
    set -- $(ls -U | grep '\.xml$' | head -n "$BATCH")
    [ $# = 0 ] && continue
    mv "$@" "$B/batch/"
    cd "$B/batch" || exit 1
    xmllint --noout --nonet --schema "$SCHEMA" "$@" 2>"$B/verdicts" || {
        for f in "$@"; do
            grep -q "^$f validates" "$B/verdicts" || mv "$f" "$B/rejected/"
        done
        set -- *.xml
        [ "$1" = '*.xml' ] && continue
    }
    # One process a signature is the wall: xmlsec1 takes one file a call, so two at a time.
    for f in "$@"; do printf '%s' "${T%@FILE@*}$f${T#*@FILE@}" >"$f.template"; done
    printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} \
        xmlsec1 --sign --privkey-pem "$KEY,$CERT" --output {}.sig {}.template || exit 1
    number=$((number + 1))
    name=$(printf '%08d' $number).tar
    tar -cf "$B/sent/$name" --exclude='*.template' -- *
    durable "$B/sent/$name" "$B/sent"
    printf 'put -f %s %s/to-hub/.%s\nrename %s/to-hub/.%s %s/to-hub/%s\n' \
        "$B/sent/$name" "$REMOTE" "$name" "$REMOTE" "$name" "$REMOTE" "$name" >&7
    flush
    rm -f "$B/batch/"*
done
