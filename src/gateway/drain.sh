# preStop of the gateway's pod: without it Envoy cuts every request at SIGTERM. The image has bash but no curl.
# Arguments: the admin port, and the most seconds that this may take.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
    cat <&3
}
port=$1 limit=$2
# Every answer from now on tells its client to reconnect.
ask POST '/drain_listeners?graceful&skip_exit' >/dev/null
# The Service needs a moment to forget the pod.
sleep 5
while ((SECONDS < limit)); do
    [[ $(ask GET '/stats?filter=^http.public.downstream_rq_active$') != *'rq_active: 0'* ]] || exit 0
    sleep 1
done
