#!/usr/bin/env bash
# Opens a report in headless Chromium at desktop and phone width: no console error, the slider moves the slices, the
# plots are live, nothing is wider than the page.
#
#   scripts/check_report.sh [REPORT.html]      default: report/report.html
#   CHROMIUM=/path/to/chromium, SCREENSHOTS=folder to keep pictures in
set -euo pipefail

report=${1:-"$(dirname "$0")/../report/report.html"}
[ -f "$report" ] || { echo "$report: not there; run ./scripts/demo.sh first, or name a report" >&2; exit 2; }
report=$(realpath "$report")
browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$browser" ]; then
    echo "skipped: no Chromium here (set CHROMIUM to its path)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

chromium() {
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$work/profile" \
        --hide-scrollbars --allow-file-access-from-files --virtual-time-budget=8000 "$@"
}

failed=0
fail() {
    echo "FAILED: $1" >&2
    failed=1
}

# A page around the report, of a given width: it moves the slider, presses keys, and writes what it sees in its title.
cat > "$work/check.html" << 'PAGE'
<!doctype html><meta charset="utf-8"><title>not run</title><body style="margin:0"></body>
<script>
const [width, report] = [Number(new URLSearchParams(location.search).get("width")), new URLSearchParams(location.search).get("report")];
const frame = document.createElement("iframe");
frame.style = `border:0;width:${width}px;height:2000px`;
frame.src = `file://${report}#slice=1`;
frame.onload = () => {
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

for width in 1100 390; do
    page="file://$work/check.html?width=$width&report=$report"
    chromium --enable-logging=stderr --window-size="$width,2000" --dump-dom "$page" > "$work/dom" 2> "$work/log" ||
        fail "$width px: Chromium ended with an error: $(tail -n 3 "$work/log")"
    seen=$(sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$work/dom" | head -n 1)
    echo "$width px: $seen"
    case "$seen" in
        *false* | *error* | "not run" | "") fail "$width px: something does not work" ;;
    esac
    if grep -E "CONSOLE" "$work/log"; then
        fail "$width px: the console is not silent"
    fi
    if [ -n "${SCREENSHOTS:-}" ]; then
        mkdir -p "$SCREENSHOTS"
        for theme in light dark; do
            printf '<body style="margin:0"><iframe src="file://%s#theme=%s" style="border:0;width:%spx;height:8000px"></iframe>' \
                "$report" "$theme" "$width" > "$work/frame.html"
            chromium --window-size="$width,8000" --screenshot="$SCREENSHOTS/report-$width-$theme.png" \
                "file://$work/frame.html" > "$work/log" 2>&1 || fail "$width px: no screenshot"
        done
    fi
done
[ "$failed" = 0 ] && echo "the report works"
exit "$failed"
