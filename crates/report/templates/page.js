// The page without this script is whole: it moves what is there. No library, no network.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const data = id => JSON.parse(document.getElementById(id).textContent);
  const shown = value => {
    if (value === null || !isFinite(value)) return "\u2013";
    const size = Math.abs(value);
    const isPlain = size === 0 || (size >= 1e-3 && size < 1e5);
    return (isPlain ? String(Number(value.toPrecision(4))) : value.toExponential(2)).replace("-", "\u2212");
  };
  const within = (value, low, high) => Math.min(high, Math.max(low, value));

  // Light or dark.
  const theme = document.querySelector(".theme");
  const wish = () => new URLSearchParams(location.hash.slice(1));
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const paint = colours => {
    root.dataset.theme = colours;
    theme.textContent = colours === "dark" ? "Light page" : "Dark page";
  };
  paint(wish().get("theme") || system);
  theme.addEventListener("click", () => paint(root.dataset.theme === "dark" ? "light" : "dark"));

  // Slices through whole fields.
  const slices = (figure, { cells: [nx, ny, nz], size, range: [low, high], first, colours, fields }) => {
    const [slider, where, value] = ["input", ".where", ".value-at"].map(name => figure.querySelector(name));
    const panels = figure.querySelector(".panels");
    const canvases = [...panels.querySelectorAll("canvas")];
    // Opaque, as the bytes of a pixel lie in memory: alpha, blue, green, red.
    const pixel = ([r, R, g, G, b, B]) => parseInt(["ff", b, B, g, G, r, R].join(""), 16);
    const palette = Uint32Array.from(colours.match(/.{6}/g), pixel);
    const volumes = fields.map(({ data }) => Uint8Array.from(atob(data), letter => letter.charCodeAt(0)));
    const draw = () => {
      const z = Number(slider.value);
      const depth = (z + 0.5) * size[2] / nz;
      canvases.forEach((canvas, index) => {
        const image = new ImageData(nx, ny);
        const pixels = new Uint32Array(image.data.buffer);
        for (let x = 0; x < nx; x++) {
          for (let y = 0; y < ny; y++) {
            pixels[(ny - 1 - y) * nx + x] = palette[volumes[index][(x * ny + y) * nz + z]];
          }
        }
        canvas.getContext("2d").putImageData(image, 0, 0);
        canvas.ariaLabel = `Slice of ${fields[index].label} at z = ${shown(depth)} Mpc/h`;
      });
      where.textContent = slider.ariaValueText = `z = ${depth.toFixed(1)} of ${shown(size[2])} Mpc/h`;
      figure.dataset.slice = z;
    };
    const go = z => { slider.value = z; draw(); };
    slider.addEventListener("input", draw);
    panels.addEventListener("keydown", event => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 };
      if (!steps[event.key]) return;
      go(Number(slider.value) + steps[event.key]);
      event.preventDefault();
    });
    panels.addEventListener("pointermove", event => {
      const index = canvases.indexOf(event.target);
      if (index < 0) return;
      const frame = event.target.getBoundingClientRect();
      const x = within(Math.floor((event.clientX - frame.left) / frame.width * nx), 0, nx - 1);
      const y = within(Math.floor((frame.bottom - event.clientY) / frame.height * ny), 0, ny - 1);
      const byte = volumes[index][(x * ny + y) * nz + Number(slider.value)];
      const sign = { 0: "\u2264", 255: "\u2265" }[byte] || "=";
      const density = shown(10 ** (low + byte / 255 * (high - low)));
      value.textContent = `${fields[index].label}: 1 + \u03b4 ${sign} ${density}`;
    });
    panels.addEventListener("pointerleave", () => { value.textContent = ""; });
    const follow = () => { if (wish().has("slice")) go(wish().get("slice")); };
    go(first);
    follow();
    addEventListener("hashchange", follow);
  };

  // Plots. Positions are parts of an axis, from 0 to 1.
  const MOST_ZOOM = 30;
  const STEP = 0.6;
  const fraction = ({ kind, low, high }, value) => {
    if (value === null || (kind === "log" && value <= 0)) return NaN;
    return kind === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  };
  const valueAt = ({ kind, low, high }, part) =>
    kind === "log" ? low * (high / low) ** part : low + part * (high - low);
  const known = new Map();
  // The marks of an axis of which `low` to `high` is seen: those drawn for the whole, or copies of one of them.
  const mark = (axis, [low, high], place) => {
    if (!known.has(axis)) known.set(axis, [[...axis.children], JSON.parse(axis.dataset.marks)]);
    const [drawn, byZoom] = known.get(axis);
    const model = drawn.find(one => !one.classList.contains("minor"));
    if (high - low === 1 || !model) { axis.replaceChildren(...drawn); return; }
    const [, marks] = byZoom.findLast(([zoom]) => zoom * (high - low) <= 1.001);
    axis.replaceChildren(...marks.filter(([part]) => part >= low && part <= high).map(([part, label]) => {
      const copy = model.cloneNode(true);
      copy.setAttribute("transform", place((part - low) / (high - low)));
      for (const text of copy.querySelectorAll("text")) text.textContent = label;
      return copy;
    }));
  };
  const live = (figure, plot) => {
    const [holder, readout] = [".plot", ".readout"].map(name => figure.querySelector(name));
    const drawings = [...holder.querySelectorAll("svg")];
    const panels = drawings.flatMap(drawing => [...drawing.querySelectorAll(".panel")]);
    const frameOf = panel => panel.dataset.frame.split(" ").map(Number);
    const hint = readout.textContent;
    const hidden = new Set();
    let [from, to] = [0, 1];
    let cursor = null;
    const named = panel => panel.curves.filter(curve => curve.name && !hidden.has(curve.name));
    // Within a zoomed range the panels show what is there.
    const seen = panel => {
      const isSeen = x => fraction(plot.x, x) >= from && fraction(plot.x, x) <= to;
      const curves = panel.curves.filter(curve => !hidden.has(curve.name));
      const inside = curves.flatMap(curve => curve.y.filter((_, i) => isSeen(curve.x[i])));
      const parts = inside.map(y => fraction(panel.y, y)).filter(isFinite);
      if (to - from === 1 || !parts.length) return [0, 1];
      const [low, high] = [Math.min(...parts), Math.max(...parts)];
      const margin = Math.max(0.08 * (high - low), 0.5 / MOST_ZOOM);
      const range = [Math.max(low - margin, 0), Math.min(high + margin, 1)];
      return range[1] > range[0] ? range : [0, 1];
    };
    // The points nearest to the cursor, by name.
    const nearest = curve => {
      const distances = curve.x.map(value => Math.abs(fraction(plot.x, value) - cursor) / (to - from));
      const best = distances.indexOf(Math.min(...distances));
      const error = curve.error[best] ? ` \u00b1 ${shown(curve.error[best])}` : "";
      return distances[best] < 0.08 ? [`${curve.name} ${shown(curve.y[best] ?? null)}${error}`] : [];
    };
    const read = () => {
      const parts = plot.panels.map(panel => [panel.y_label, named(panel).flatMap(nearest).join(", ")]);
      const texts = parts.filter(([, text]) => text).map(([label, text]) => `${label}: ${text}`);
      return `${plot.x_label.split(" [")[0]} = ${shown(valueAt(plot.x, cursor))}. ${texts.join(". ")}`;
    };
    const point = part => {
      cursor = part === null ? null : within(part, from, to);
      for (const drawing of drawings) {
        const [left, , right] = frameOf(drawing.querySelector(".panel"));
        const line = drawing.querySelector(".cursor");
        line.classList.toggle("on", cursor !== null);
        line.setAttribute("transform", `translate(${left + (cursor - from) / (to - from) * (right - left)} 0)`);
      }
      readout.textContent = cursor === null ? hint : read();
    };
    const move = (first, last) => {
      const width = Math.min(1, last - first);
      if (width < 0.99 / MOST_ZOOM) return;
      from = within(first, 0, 1 - width);
      to = width === 1 ? 1 : from + width;
      const ranges = plot.panels.map(seen);
      panels.forEach((panel, index) => {
        const [left, top, right, bottom] = frameOf(panel);
        const [low, high] = ranges[index % ranges.length];
        const [sx, sy] = [1 / (to - from), 1 / (high - low)];
        const dx = left - sx * (left + from * (right - left));
        const dy = bottom - sy * (bottom - low * (bottom - top));
        for (const moved of panel.querySelectorAll(".moved")) {
          moved.setAttribute("transform", `matrix(${sx} 0 0 ${sy} ${dx} ${dy})`);
        }
        const [x, y] = [".axis.x", ".axis.y"].map(name => panel.querySelector(name));
        mark(x, [from, to], part => `translate(${left + part * (right - left)} 0)`);
        mark(y, [low, high], part => `translate(0 ${bottom - part * (bottom - top)})`);
      });
      point(cursor);
    };
    const centre = () => cursor ?? 0.5 * (from + to);
    const zoom = factor => move(centre() - factor * (centre() - from), centre() + factor * (to - centre()));
    const step = (event, by) => {
      const shift = 0.1 * by * (to - from);
      if (event.shiftKey) move(from + shift, to + shift);
      else point(centre() + 0.2 * shift);
    };
    const actions = { in: () => zoom(STEP), out: () => zoom(1 / STEP), all: () => move(0, 1) };
    const keys = { ArrowLeft: event => step(event, -1), ArrowRight: event => step(event, 1),
      "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.all };
    Object.assign(holder, { tabIndex: 0, role: "application" });
    holder.ariaLabel = "Plot: arrows read values, plus and minus zoom, 0 shows all";
    holder.addEventListener("keydown", event => {
      if (!Object.hasOwn(keys, event.key)) return;
      keys[event.key](event);
      event.preventDefault();
    });
    for (const button of figure.querySelectorAll(".zoom button")) {
      button.addEventListener("click", actions[button.dataset.zoom]);
    }
    const under = event => {
      const drawing = drawings.find(one => one.clientWidth > 0);
      const [frame, panel] = [drawing.getBoundingClientRect(), frameOf(drawing.querySelector(".panel"))];
      const x = (event.clientX - frame.left) / frame.width * drawing.viewBox.baseVal.width;
      return from + (x - panel[0]) / (panel[2] - panel[0]) * (to - from);
    };
    let start = null;
    holder.addEventListener("pointerdown", event => { if (event.pointerType === "mouse") start = under(event); });
    holder.addEventListener("pointermove", event => {
      if (under(event) >= from && under(event) <= to) point(under(event));
    });
    holder.addEventListener("pointerup", event => {
      const [low, high] = [start, under(event)].sort((a, b) => a - b);
      if (start !== null && high - low > 0.03 * (to - from)) move(Math.max(from, low), Math.min(to, high));
      start = null;
    });
    holder.addEventListener("pointerleave", () => { start = null; point(null); });
    holder.addEventListener("dblclick", actions.all);

    // Entries of the legend hide their curves and show them.
    const names = [...new Set(plot.panels.flatMap(panel => named(panel).map(curve => curve.name)))];
    const toggle = index => {
      hidden.delete(names[index]) || hidden.add(names[index]);
      for (const one of holder.querySelectorAll(`[data-key="${index}"]`)) {
        one.classList.toggle("off", hidden.has(names[index]));
        one.ariaPressed = one.role && String(!hidden.has(names[index]));
      }
      move(from, to);
    };
    for (const drawing of drawings) drawing.role = "group";
    for (const key of holder.querySelectorAll(".key")) {
      Object.assign(key, { tabIndex: 0, role: "button", ariaPressed: "true" });
      key.addEventListener("click", () => toggle(key.dataset.key));
      key.addEventListener("keydown", event => {
        if ([" ", "Enter"].includes(event.key)) toggle(key.dataset.key);
      });
    }
  };
  slices(document.querySelector("figure.slices"), data("volumes"));
  const plots = Object.entries(data("plots"));
  for (const [id, plot] of plots) live(document.querySelector(`figure[data-plot="${id}"]`), plot);
})();
