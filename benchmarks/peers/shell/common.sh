#!/bin/dash
# Shared by the three scripts. B: base folder of this role.
# REMOTE: its folder at the hub. BATCH: most files of one turn.
set -u
BATCH=${BATCH:-256}

# A persistent sftp: commands go in by descriptor 7, its word "done" comes back by a FIFO.
connect() {
    mkfifo "$B/in" "$B/back"
    sftp -q -F "$SSH_CONFIG" -b "$B/in" hub >/dev/null 2>>"$B/sftp.log" &
    exec 7>"$B/in"
}

# Let the commands written so far finish. The writer of the word before may still hold its end when we
# open ours, and then goes: that end of file is not the word.
flush() {
    echo "!echo done >$B/back" >&7
    until read -r _ <"$B/back"; do :; done
}

# Durable files and their folder: one process for the whole batch.
durable() { sync -d "$@"; }
