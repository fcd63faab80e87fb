// The page without this script is whole: pictures instead of what can be moved. No library, no network.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const data = id => {
    const holder = document.getElementById(id);
    return holder ? JSON.parse(holder.textContent) : null;
  };
  const sign = text => text.replace("-", "\u2212");
  const shown = value => {
    if (value === null || !isFinite(value)) return "\u2013";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e5)) return sign(value.toExponential(2));
    return sign(String(Number(value.toPrecision(4))));
  };

  // Light or dark.
  const toggle = element("button", { type: "button", class: "theme" });
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    toggle.textContent = isDark() ? "Light page" : "Dark page";
    toggle.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
  };
  const wish = () => new URLSearchParams(location.hash.slice(1));
  if (wish().get("theme")) root.dataset.theme = wish().get("theme");
  toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  name();
  document.querySelector("header").append(toggle);

  // Slices through whole fields.
  const volumes = data("volumes");
  const place = document.querySelector("figure.slices");
  if (volumes && place) {
    const [nx, ny, nz] = volumes.cells;
    const colours = volumes.colours.match(/../g).map(pair => parseInt(pair, 16));
    const [low, high] = volumes.range;
    const fields = volumes.fields.map(({ label, data }) => {
      const text = atob(data);
      const bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
      const canvas = element("canvas", { width: nx, height: ny, role: "img" });
      canvas.style.aspectRatio = `${volumes.size[0]} / ${volumes.size[1]}`;
      return { label, bytes, canvas };
    });
    const where = element("output", { class: "where" });
    const value = element("output", { class: "value-at" });
    const slider = element("input", { type: "range", min: 0, max: nz - 1, step: 1, "aria-label": "Slice along z" });
    const depth = z => (z + 0.5) * volumes.size[2] / nz;
    const draw = z => {
      for (const { label, bytes, canvas } of fields) {
        const context = canvas.getContext("2d");
        const image = context.createImageData(nx, ny);
        for (let x = 0; x < nx; x++) {
          for (let y = 0; y < ny; y++) {
            const colour = 3 * bytes[(x * ny + y) * nz + z];
            const pixel = 4 * ((ny - 1 - y) * nx + x);
            image.data[pixel] = colours[colour];
            image.data[pixel + 1] = colours[colour + 1];
            image.data[pixel + 2] = colours[colour + 2];
            image.data[pixel + 3] = 255;
          }
        }
        context.putImageData(image, 0, 0);
        canvas.setAttribute("aria-label", `Slice of ${label} at z = ${shown(depth(z))} Mpc/h`);
      }
      where.textContent = `z = ${depth(z).toFixed(1)} of ${shown(volumes.size[2])} Mpc/h`;
      slider.setAttribute("aria-valuetext", where.textContent);
      place.dataset.slice = z;
    };
    const panels = element("div", { class: "panels" }, ...fields.map(({ label, canvas }) =>
      element("div", { class: "panel" }, element("p", {}, label), canvas)));
    const bar = element("div", { class: "bar", "aria-hidden": "true" });
    const stops = Array.from({ length: 17 }, (_, i) => {
      const at = 3 * Math.round(i * 255 / 16);
      return `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`;
    });
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const legend = element("div", { class: "scale" }, element("span", {}, "log\u2081\u2080(1 + \u03b4)"),
      element("span", { class: "end" }, shown(low)), bar, element("span", { class: "end" }, shown(high)), value);
    place.prepend(panels, element("div", { class: "control" }, slider, where), legend);
    const set = z => {
      slider.value = Math.max(0, Math.min(nz - 1, z));
      draw(Number(slider.value));
    };
    slider.addEventListener("input", () => draw(Number(slider.value)));
    panels.tabIndex = 0;
    panels.setAttribute("aria-label", "Slices; the arrow keys move them");
    panels.addEventListener("keydown", event => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
      if (step) { set(Number(slider.value) + step); event.preventDefault(); }
    });
    panels.addEventListener("pointermove", event => {
      const field = fields.find(({ canvas }) => canvas === event.target);
      if (!field) return;
      const frame = field.canvas.getBoundingClientRect();
      const x = Math.min(nx - 1, Math.max(0, Math.floor((event.clientX - frame.left) / frame.width * nx)));
      const y = Math.min(ny - 1, Math.max(0, ny - 1 - Math.floor((event.clientY - frame.top) / frame.height * ny)));
      const byte = field.bytes[(x * ny + y) * nz + Number(slider.value)];
      const bound = byte === 0 ? "\u2264 " : byte === 255 ? "\u2265 " : "";
      value.textContent = `${field.label}: 1 + \u03b4 ${bound || "= "}${shown(10 ** (low + byte / 255 * (high - low)))}`;
    });
    panels.addEventListener("pointerleave", () => { value.textContent = ""; });
    const follow = () => { if (wish().has("slice")) set(Number(wish().get("slice"))); };
    set(volumes.first);
    follow();
    addEventListener("hashchange", follow);
    place.classList.add("live");
  }

  // Plots.
  const superscript = text => text.replace(/./g, c => c === "-" ? "\u207b" : "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[c]);
  const ticks = (scale, count) => {
    const found = [];
    const { low, high } = scale;
    if (!scale.log || high / low < 4) {
      const rough = (high - low) / Math.max(count, 1);
      const decade = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 2.5, 5, 10].map(s => s * decade).find(s => s >= rough * 0.999) || 10 * decade;
      for (let i = Math.ceil(low / step - 1e-6); i <= Math.floor(high / step + 1e-6); i++) found.push([i * step, shown(Number((i * step).toPrecision(6)))]);
      return found;
    }
    const decades = Math.log10(high / low);
    const plain = decades < 2.2 && low > 1e-4 && high < 1e5;
    const every = Math.max(1, Math.ceil(decades / Math.max(count, 1)));
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
      for (let lead = 1; lead < 10; lead++) {
        const value = lead * 10 ** e;
        if (value < low * 0.9999 || value > high * 1.0001) continue;
        const label = plain ? ([1, 2, 5].includes(lead) ? shown(Number(value.toPrecision(6))) : null)
          : lead === 1 && e % every === 0 ? "10" + superscript(String(e)) : null;
        found.push([value, label]);
      }
    }
    return found;
  };
  const fraction = (scale, value) => value === null ? NaN : scale.log
    ? Math.log(value / scale.low) / Math.log(scale.high / scale.low)
    : (value - scale.low) / (scale.high - scale.low);
  const at = (scale, part) => scale.log ? scale.low * (scale.high / scale.low) ** part : scale.low + part * (scale.high - scale.low);
  const text = value => String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;");

  let serial = 0;
  const live = (figure, plot) => {
    const id = `live-${serial++}`;
    const [left, gap, bottom] = [62, 16, 50];
    let x = { ...plot.x };
    let cursor = null;
    const hidden = new Set();
    const holder = element("div", { class: "plot", tabindex: 0, role: "application",
      "aria-label": "Plot: arrows read values, plus and minus zoom, 0 shows all" });
    const legend = element("div", { class: "legend" });
    const readout = element("output", { class: "readout", "aria-live": "polite" });
    const hint = figure.classList.contains("power") ? "Point at the plot or use the arrow keys to read values; drag, or + and \u2212, to zoom; 0 shows all." : "";
    const names = [...new Set(plot.panels.flatMap(panel => panel.curves.map(curve => curve.name)))].filter(Boolean);
    for (const entry of names) {
      const curve = plot.panels.flatMap(panel => panel.curves).find(({ name }) => name === entry);
      const dash = curve.dash ? ` stroke-dasharray="${curve.dash.join(" ")}"` : "";
      const button = element("button", { type: "button", "aria-pressed": "true" });
      const line = curve.dots ? `<circle cx="13" cy="6" r="3.2" style="fill:var(--${curve.ink})"/>`
        : `<path d="M1 6H25" style="stroke:var(--${curve.ink})" stroke-width="${curve.width}"${dash}/>`;
      button.innerHTML = `<svg width="26" height="12" aria-hidden="true">${line}</svg> ${text(entry)}`;
      button.addEventListener("click", () => {
        hidden.has(entry) ? hidden.delete(entry) : hidden.add(entry);
        button.setAttribute("aria-pressed", String(!hidden.has(entry)));
        draw();
      });
      legend.append(button);
    }
    // Within a zoomed range the panels show what is there.
    const zoomed = () => x.low !== plot.x.low || x.high !== plot.x.high;
    const scaleOf = panel => {
      if (!zoomed()) return panel.y;
      let [low, high] = [Infinity, -Infinity];
      for (const curve of panel.curves) {
        if (curve.name && hidden.has(curve.name)) continue;
        curve.x.forEach((value, i) => {
          const y = curve.y[i];
          if (y === null || value < x.low || value > x.high || (panel.y.log && y <= 0)) return;
          [low, high] = [Math.min(low, y), Math.max(high, y)];
        });
      }
      if (!(high >= low)) return panel.y;
      if (panel.y.log) return { log: true, low: low / 1.15, high: high * 1.15 };
      const margin = Math.max(0.08 * (high - low), 1e-3 * Math.abs(high), 1e-9);
      return { log: false, low: Math.max(low - margin, panel.y.low), high: Math.min(high + margin, panel.y.high) };
    };
    const draw = () => {
      const width = Math.max(260, holder.clientWidth);
      const right = width - 12;
      const px = value => left + fraction(x, value) * (right - left);
      let top = 6;
      let svg = "";
      plot.panels.forEach((panel, index) => {
        const y = scaleOf(panel);
        const floor = top + panel.height;
        const py = value => floor - fraction(y, value) * panel.height;
        const inside = value => Math.min(floor, Math.max(top, value));
        svg += `<clipPath id="${id}-${index}"><rect x="${left}" y="${top}" width="${right - left}" height="${panel.height}"/></clipPath>`;
        for (const [x0, x1, y0, y1] of panel.shades) {
          const [from, to] = [Math.max(left, x0 > 0 ? px(x0) : left), Math.min(right, x1 === null ? right : px(x1))];
          if (to > from) svg += `<rect x="${from}" y="${inside(py(y1))}" width="${to - from}" height="${inside(py(y0)) - inside(py(y1))}" style="fill:var(--tolerance)"/>`;
        }
        const last = index === plot.panels.length - 1;
        for (const [value, label] of ticks(x, (right - left) / 60)) {
          const at = px(value);
          svg += label ? `<path d="M${at} ${top}V${floor}" style="stroke:var(--grid)"/>` : `<path d="M${at} ${floor - 3}V${floor}" style="stroke:var(--muted)"/>`;
          if (label && last) svg += `<text x="${at}" y="${floor + 17}" text-anchor="middle" style="fill:var(--muted)">${label}</text>`;
        }
        for (const [value, label] of ticks(y, panel.height / 30)) {
          const at = py(value);
          svg += label ? `<path d="M${left} ${at}H${right}" style="stroke:var(--grid)"/><text x="${left - 8}" y="${at + 4.2}" text-anchor="end" style="fill:var(--muted)">${label}</text>`
            : `<path d="M${left} ${at}h3" style="stroke:var(--muted)"/>`;
        }
        svg += `<path d="M${left} ${top}V${floor}H${right}" fill="none" style="stroke:var(--muted)"/>`;
        const middle = (top + floor) / 2;
        svg += `<text transform="rotate(-90 15 ${middle})" x="15" y="${middle}" font-size="13" text-anchor="middle" style="fill:var(--ink)">${text(panel.label)}</text>`;
        svg += `<g clip-path="url(#${id}-${index})">`;
        for (const curve of panel.curves) {
          if (curve.name && hidden.has(curve.name)) continue;
          const stroke = `style="stroke:var(--${curve.ink})"`;
          if (curve.dots) {
            curve.x.forEach((value, i) => {
              const [cx, cy] = [px(value), py(curve.y[i])];
              if (!isFinite(cx) || !isFinite(cy)) return;
              const error = curve.error[i];
              if (error !== undefined && error !== null) {
                const ends = [py(curve.y[i] - error), py(curve.y[i] + error)].map(v => isFinite(v) ? v : floor);
                svg += `<path d="M${cx} ${ends[0]}V${ends[1]}" stroke-width="1.4" ${stroke}/>`;
              }
              svg += `<circle cx="${cx}" cy="${cy}" r="3" style="fill:var(--${curve.ink})"/>`;
            });
            continue;
          }
          let path = "";
          let pen = false;
          curve.x.forEach((value, i) => {
            const [cx, cy] = [px(value), py(curve.y[i] ?? null)];
            if (!isFinite(cx) || !isFinite(cy)) { pen = false; return; }
            path += `${pen ? "L" : "M"}${cx.toFixed(2)} ${Math.max(-1e4, Math.min(1e4, cy)).toFixed(2)}`;
            pen = true;
          });
          const dash = curve.dash ? ` stroke-dasharray="${curve.dash.join(" ")}"` : "";
          svg += `<path d="${path}" fill="none" stroke-width="${curve.width}" stroke-linejoin="round"${dash} ${stroke}/>`;
        }
        svg += "</g>";
        top = floor + (last ? bottom : gap);
      });
      svg += `<text x="${(left + right) / 2}" y="${top - 12}" font-size="13" text-anchor="middle" style="fill:var(--ink)">${text(plot.label)}</text>`;
      if (cursor !== null) svg += `<path d="M${px(cursor)} 6V${top - bottom}" stroke-dasharray="3 3" style="stroke:var(--muted)"/>`;
      holder.innerHTML = `<svg width="${width}" height="${top}" viewBox="0 0 ${width} ${top}" font-size="12" aria-hidden="true">${svg}</svg>`;
    };
    // The points nearest to the cursor, by name.
    const read = () => {
      if (cursor === null) { readout.textContent = hint; return; }
      const parts = plot.panels.map(panel => {
        const entries = panel.curves.filter(curve => curve.name && !hidden.has(curve.name) && curve.x.length).map(curve => {
          const distance = value => Math.abs(fraction(x, value) - fraction(x, cursor));
          let best = 0;
          curve.x.forEach((value, i) => { if (distance(value) < distance(curve.x[best])) best = i; });
          const error = curve.error[best] ? ` \u00b1 ${shown(curve.error[best])}` : "";
          return distance(curve.x[best]) < 0.08 ? `${curve.name} ${shown(curve.y[best] ?? null)}${error}` : null;
        }).filter(Boolean);
        return entries.length ? `${panel.label}: ${entries.join(", ")}` : "";
      }).filter(Boolean);
      readout.textContent = `${plot.label.split(" [")[0]} = ${shown(cursor)}. ${parts.join(". ")}`;
    };
    const range = (from, to) => {
      const whole = part => fraction(plot.x, part);
      let [low, high] = [at(x, from), at(x, to)];
      if (whole(high) - whole(low) >= 1) [low, high] = [plot.x.low, plot.x.high];
      if (whole(low) < 0) [low, high] = [plot.x.low, at(plot.x, whole(high) - whole(low))];
      if (whole(high) > 1) [low, high] = [at(plot.x, 1 - whole(high) + whole(low)), plot.x.high];
      if (whole(high) - whole(low) > 0.01) x = { ...x, low, high };
      draw();
    };
    const all = () => { x = { ...plot.x }; draw(); };
    const zoom = factor => {
      const centre = cursor === null ? 0.5 : Math.min(1, Math.max(0, fraction(x, cursor)));
      range(centre - centre * factor, centre + (1 - centre) * factor);
    };
    const part = event => {
      const frame = holder.getBoundingClientRect();
      return (event.clientX - frame.left - left) / (Math.max(260, holder.clientWidth) - 12 - left);
    };
    const move = step => {
      cursor = at(x, Math.min(1, Math.max(0, (cursor === null ? 0.5 : fraction(x, cursor)) + step)));
      draw();
      read();
    };
    holder.addEventListener("keydown", event => {
      const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
      if (step && event.shiftKey) range(0.1 * step, 1 + 0.1 * step);
      else if (step) move(0.02 * step);
      else if (event.key === "+" || event.key === "=") zoom(0.6);
      else if (event.key === "-") zoom(1 / 0.6);
      else if (event.key === "0") all();
      else return;
      event.preventDefault();
    });
    let start = null;
    holder.addEventListener("pointerdown", event => { if (event.pointerType === "mouse") start = part(event); });
    holder.addEventListener("pointermove", event => {
      const here = part(event);
      if (here < 0 || here > 1) return;
      cursor = at(x, here);
      draw();
      read();
    });
    holder.addEventListener("pointerup", event => {
      const end = part(event);
      if (start !== null && Math.abs(end - start) > 0.03) range(Math.max(0, Math.min(start, end)), Math.min(1, Math.max(start, end)));
      start = null;
    });
    holder.addEventListener("pointerleave", () => { start = null; cursor = null; draw(); read(); });
    holder.addEventListener("dblclick", all);
    const button = (label, title, action) => {
      const made = element("button", { type: "button", title, "aria-label": title }, label);
      made.addEventListener("click", action);
      return made;
    };
    const controls = element("div", { class: "zoom" }, button("+", "Zoom in", () => zoom(0.6)),
      button("\u2212", "Zoom out", () => zoom(1 / 0.6)), button("All", "Show all", all));
    figure.prepend(element("div", { class: "head" }, legend, controls), holder, readout);
    figure.classList.add("live");
    draw();
    read();
    let known = holder.clientWidth;
    addEventListener("resize", () => {
      if (holder.clientWidth !== known) { known = holder.clientWidth; draw(); }
    });
  };
  const plots = data("plots") || {};
  for (const [key, plot] of Object.entries(plots)) {
    const figure = document.querySelector(`figure[data-plot="${key}"]`);
    if (figure) live(figure, plot);
  }
})();
