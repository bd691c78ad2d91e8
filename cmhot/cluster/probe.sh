# Prints one line for each publication of a ConfigMap volume.
#
# The loop is cheap: between publications it forks nothing. `read -t` on a FIFO that
# nobody writes to is the pause, and `read` of the file is the look.
# A publication's instant is the mtime of the symlink ..data, which the kubelet itself
# wrote: the loop may be slow without an error. Looking twice at the symlink, before
# and after the content, makes sure that both belong together.
#
#   start <seconds of uptime>              the loop began
#   publication <seq> <mtime of ..data>    content appeared
#   gap <seconds>                          nothing was looked at for so long
#   unsupported <why>                      this volume cannot be measured
folder=$1
pause=$2
mkfifo /tmp/pause && exec 3<>/tmp/pause || exit 1
trap 'exit 0' TERM
if [ ! -L "$folder/..data" ]; then
    echo "unsupported ..data is no symlink"
    while :; do read -r -t 60 _ <&3; done
fi
read -r up _ </proc/uptime
before=${up%.*}
echo "start $up"
last=
while :; do
    read -r seq <"$folder/seq"
    if [ "$seq" != "$last" ]; then
        link=$(stat -c '%y %N' "$folder/..data")
        target=${link##*-> ?}
        read -r seq <"$folder/${target%?}/seq"
        if [ "$link" = "$(stat -c '%y %N' "$folder/..data")" ]; then
            echo "publication $seq ${link%% \'*}"
            last=$seq
        fi
    fi
    read -r -t "$pause" _ <&3
    read -r up _ </proc/uptime
    now=${up%.*}
    [ $((now - before)) -gt 2 ] && echo "gap $((now - before))"
    before=$now
done 2>/dev/null
