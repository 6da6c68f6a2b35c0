#!/bin/dash
# The receiver: fetch, verify signatures, durable into inbound/, a receipt back.
. "${0%/*}/common.sh"
mkdir -p "$B/inbound" "$B/batch" "$B/got"
connect
while :; do
    echo "-get $REMOTE/from-hub/[0-9]*.tar $B/got/" >&7
    flush
    took=0
    for tar in "$B"/got/[0-9]*.tar; do
        [ -f "$tar" ] || continue
        took=1
        name=${tar##*/}
        tar -xf "$tar" -C "$B/batch" && cd "$B/batch" || exit 1
        xmlsec1 --verify --trusted-pem "$CERT" --enabled-key-data x509 ./*.sig >"$B/verdicts" 2>&1 || exit 1
        durable ./*.xml
        mv ./*.xml "$B/inbound/" && durable "$B/inbound"
        rm -f ./*
        openssl dgst -sha256 -sign "$KEY" -out "$B/receipt.sig" "$B/verdicts"
        {
            echo "put -f $B/receipt.sig $REMOTE/receipts/.$name"
            echo "rename $REMOTE/receipts/.$name $REMOTE/receipts/${name%.tar}.delivered"
            echo "-rm $REMOTE/from-hub/$name"
        } >&7
        flush
        rm -f "$tar"
    done
    [ $took = 1 ] || sleep 0.2
done
