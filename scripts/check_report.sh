#!/usr/bin/env bash
# Opens a report in headless Chromium at desktop and phone width: no console error, the slider moves the slices, the
# plots are live, nothing is wider than the page, and no script runs but the report's own.
#
#   scripts/check_report.sh [REPORT.html]      default: report/report.html
#   CHROMIUM=/path/to/chromium, SCREENSHOTS=folder to keep pictures in
set -euo pipefail

report=${1:-"$(dirname "$0")/../report/report.html"}
[ -f "$report" ] || { echo "$report: not there; run ./scripts/demo.sh first, or name a report" >&2; exit 2; }
report=$(realpath "$report")
browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$browser" ] || ! command -v python3 > /dev/null; then
    echo "skipped: no Chromium here (set CHROMIUM to its path), or no python3 to serve it the report"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Chromium refuses its sandbox to root only.
sandbox=()
[ "$(id -u)" != 0 ] || sandbox=(--no-sandbox)

chromium() {
    timeout 120 "$browser" --headless ${sandbox[@]+"${sandbox[@]}"} --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$work/profile" \
        --hide-scrollbars --host-resolver-rules="MAP * ~NOTFOUND, EXCLUDE 127.0.0.1" --virtual-time-budget=8000 "$@"
}

# The report may be a stranger's: the browser gets it over HTTP, from a folder that holds nothing else, so that no
# page reads a file of this machine, and none of the report's path is in a URL.
mkdir "$work/site"
cp -- "$report" "$work/site/report.html"
python3 -c '
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()' "$work/site" > "$work/port" 2> "$work/server.log" &
server=$!
trap 'kill "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    [ -s "$work/port" ] && break
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
done
site="http://127.0.0.1:$(cat "$work/port")"
[ -s "$work/port" ] || { echo "no web server: $(cat "$work/server.log")" >&2; exit 1; }

# What a page says, without characters that a terminal obeys.
printable() {
    LC_ALL=C tr -d '\000-\010\013-\037\177'
}

failed=0
fail() {
    echo "FAILED: $1" >&2
    failed=1
}

# A page around the report, of a given width: it moves the slider, presses keys, and writes what it sees in its title.
# With "intrude" it does what a hostile name in the report would have to do: bring in a script of its own.
cat > "$work/site/check.html" << 'PAGE'
<!doctype html><meta charset="utf-8"><title>not run</title><body style="margin:0"></body>
<script>
const wish = new URLSearchParams(location.search);
const width = Number(wish.get("width"));
const frame = document.createElement("iframe");
frame.style = `border:0;width:${width}px;height:2000px`;
frame.src = "report.html#slice=1";
const intrude = page => {
  const script = page.createElement("script");
  script.textContent = "parent.intruded = true";
  page.body.append(script);
  const holder = page.createElement("div");
  holder.innerHTML = "<img src='data:,' onerror='parent.intruded = true'>";
  page.body.append(holder);
  setTimeout(() => { document.title = JSON.stringify({ refused: !window.intruded }); }, 1000);
};
frame.onload = () => {
  if (wish.has("intrude")) { intrude(frame.contentDocument); return; }
  const page = frame.contentDocument;
  const seen = {};
  try {
    const slices = page.querySelector("figure.slices");
    const canvas = slices.querySelector("canvas");
    const slider = slices.querySelector("input[type=range]");
    const picture = () => canvas.toDataURL();
    seen.fragment = slices.dataset.slice === "1";
    const before = picture();
    slider.value = Math.floor(Number(slider.max) / 2) + 1;
    slider.dispatchEvent(new Event("input"));
    seen.slider = slices.dataset.slice === slider.value && picture() !== before;
    const at = Number(slices.dataset.slice);
    const key = (target, name) => target.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
    key(slices.querySelector(".panels"), "ArrowLeft");
    seen.arrow = Number(slices.dataset.slice) === at - 1;
    const plots = [...page.querySelectorAll("figure[data-plot]")];
    seen.plots = plots.length > 3 && plots.every(figure => figure.querySelector(".plot svg path"));
    const power = page.querySelector("figure.power");
    key(power.querySelector(".plot"), "ArrowRight");
    seen.readout = /P\(k\).*truth/.test(power.querySelector(".readout").textContent);
    const whole = power.querySelector(".plot").innerHTML;
    key(power.querySelector(".plot"), "+");
    seen.zoom = power.querySelector(".plot").innerHTML !== whole;
    const marks = () => power.querySelector(".axis.x").textContent + power.querySelector(".axis.y").textContent;
    const zoomed = marks();
    key(power.querySelector(".plot"), "0");
    seen.marks = zoomed !== marks() && zoomed.trim() !== "";
    power.querySelector(".key").dispatchEvent(new MouseEvent("click", { bubbles: true }));
    seen.legend = power.querySelectorAll(".moved .off").length > 0;
    const theme = page.querySelector("button.theme");
    const paper = () => frame.contentWindow.getComputedStyle(page.querySelector("figure")).backgroundColor;
    const light = paper();
    theme.click();
    seen.theme = paper() !== light;
    seen.fits = page.documentElement.scrollWidth <= width;
    // Verdicts are seen without scrolling.
    const goals = page.querySelector(".goals").parentElement;
    seen.verdicts = goals.scrollWidth <= goals.clientWidth;
    seen.numbers = !/NaN/.test(plots.map(figure => figure.innerHTML).join());
  } catch (error) {
    seen.error = String(error);
  }
  document.title = JSON.stringify(seen);
};
document.body.append(frame);
</script>
PAGE

# seen_at URL WIDTH: the title of the page once it has run; what Chromium logs is in $work/log.
seen_at() {
    chromium --enable-logging=stderr --window-size="$2,2000" --dump-dom "$1" > "$work/dom" 2> "$work/log" ||
        fail "$2 px: Chromium ended with an error: $(tail -n 3 "$work/log" | printable)"
    seen=$(sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$work/dom" | head -n 1 | printable)
}

for width in 1100 390; do
    seen_at "$site/check.html?width=$width" "$width"
    echo "$width px: $seen"
    case "$seen" in
        *false* | *error* | "not run" | "") fail "$width px: something does not work" ;;
    esac
    if grep -E "CONSOLE" "$work/log" | printable; then
        fail "$width px: the console is not silent"
    fi
    if [ -n "${SCREENSHOTS:-}" ]; then
        mkdir -p "$SCREENSHOTS"
        for theme in light dark; do
            printf '<body style="margin:0"><iframe src="report.html#theme=%s" style="border:0;width:%spx;height:8000px"></iframe>' \
                "$theme" "$width" > "$work/site/frame.html"
            chromium --window-size="$width,8000" --screenshot="$SCREENSHOTS/report-$width-$theme.png" \
                "$site/frame.html" > "$work/log" 2>&1 || fail "$width px: no screenshot"
        done
    fi
done
seen_at "$site/check.html?width=1100&intrude" 1100
echo "a script that is not the report's own: $seen"
[ "$seen" = '{"refused":true}' ] || fail "the report lets other scripts run"
grep -q "Content Security Policy" "$work/log" || fail "no policy kept the other scripts out"
[ "$failed" = 0 ] && echo "the report works"
exit "$failed"
