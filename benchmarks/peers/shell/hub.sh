#!/bin/dash
# The hub: unpack, verify signatures and schema again, keep, pass on, write a signed receipt a batch.
. "${0%/*}/common.sh"
mkdir -p "$B/store" "$HOME_IN/to-hub" "$HOME_OUT/from-hub" "$HOME_IN/receipts"
while :; do
    [ -n "$(find "$HOME_IN/to-hub" -name '[0-9]*.tar' -print -quit)" ] ||
        inotifywait -qq -t 5 -e moved_to "$HOME_IN/to-hub"
    for tar in "$HOME_IN"/to-hub/[0-9]*.tar; do
        [ -f "$tar" ] || continue
        name=${tar##*/}
        work=$B/store/${name%.tar}
        mkdir -p "$work" && tar -xf "$tar" -C "$work" && cd "$work" || exit 1
        xmlsec1 --verify --trusted-pem "$CERT" --enabled-key-data x509 ./*.sig >"$B/verdicts" 2>&1 || exit 1
        xmllint --noout --nonet --schema "$SCHEMA" ./*.xml 2>>"$B/verdicts" || exit 1
        durable "$tar" "$HOME_IN/to-hub"
        ln "$tar" "$HOME_OUT/from-hub/$name" && durable "$HOME_OUT/from-hub"
        ls >"$B/list"
        openssl dgst -sha256 -sign "$KEY" -out "$B/list.sig" "$B/list"
        cp "$B/list" "$HOME_IN/receipts/.${name%.tar}" && cp "$B/list.sig" "$HOME_IN/receipts/${name%.tar}.sig"
        mv "$HOME_IN/receipts/.${name%.tar}" "$HOME_IN/receipts/${name%.tar}.relayed"
        durable "$HOME_IN/receipts/${name%.tar}.relayed" "$HOME_IN/receipts"
        rm -f "$tar"
        rm -rf "$work"
    done
done
