(() => {
  "use strict";
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const read = (id) => JSON.parse($(id).textContent);
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const pad = (n) => String(n).padStart(2, "0");
  const number = (v, digits = 2) => v.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
  const digitsFor = (price) => Math.min(10, Math.max(2, 4 - Math.floor(Math.log10(Math.abs(price) || 1))));
  const moment = (s) => {
    const d = new Date(s * 1000);
    return `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}`;
  };
  document.querySelectorAll(".js").forEach((e) => { e.hidden = false; });

  // ---- theme: the reader's choice, else the system's
  const button = $("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const painters = [];
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
  };
  const repaint = () => { label(); painters.forEach((paint) => paint()); };
  const recall = (value) => {
    try { return value === undefined ? localStorage.getItem("abidance-theme") : localStorage.setItem("abidance-theme", value); } catch { return null; }
  };
  const remembered = recall();
  if (remembered === "dark" || remembered === "light") root.dataset.theme = remembered;
  label();
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; recall(root.dataset.theme); repaint(); });
  system.addEventListener("change", repaint);
  let before = "";
  addEventListener("beforeprint", () => { before = root.dataset.theme || ""; root.dataset.theme = "light"; repaint(); });
  addEventListener("afterprint", () => { if (before) root.dataset.theme = before; else delete root.dataset.theme; repaint(); });

  // ---- equity and drawdown
  const curve = read("curve");
  const axisFont = "12px system-ui, sans-serif";
  const axis = (more) => ({ stroke: () => colour("muted"), font: axisFont, grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, ...more });
  const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const compact = (v) => {
    const size = Math.abs(v);
    const [divisor, unit] = size >= 1e9 ? [1e9, "B"] : size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
    return (v / divisor).toLocaleString("en-US", { maximumFractionDigits: size >= 1e4 ? 1 : 2 }).replace("-", "−") + unit;
  };
  const dates = (u, splits, _axis, _space, step) => splits.map((s, i) => {
    const d = new Date(s * 1000), last = i ? new Date(splits[i - 1] * 1000) : null;
    if (step < 86400) return `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}` + (!last || last.getUTCDate() !== d.getUTCDate() ? `\n${d.getUTCDate()} ${months[d.getUTCMonth()]}` : "");
    const year = !last || last.getUTCFullYear() !== d.getUTCFullYear() ? `\n${d.getUTCFullYear()}` : "";
    return (step >= 365 * 86400 ? "" : step >= 28 * 86400 ? months[d.getUTCMonth()] : `${d.getUTCDate()} ${months[d.getUTCMonth()]}`) + year;
  });
  const draw = (id, series, more) => {
    const box = $(id);
    const options = {
      width: box.clientWidth, height: box.clientHeight, legend: { show: false }, tzDate: (s) => uPlot.tzDate(new Date(s * 1e3), "Etc/UTC"),
      cursor: { sync: { key: "run", scales: ["x", null] }, points: { size: 7 }, y: false, drag: { x: true, y: false } },
      hooks: { setCursor: [showValues] },
      ...more,
      series: [{}, ...series],
    };
    return new uPlot(options, [curve.t, ...series.map((s) => curve[s.column])], box);
  };
  const showValues = (u) => {
    const i = u.cursor.idx;
    if (i === null || i === undefined) return;
    const parts = [[moment(curve.t[i]) + " UTC", ""], ["Equity ", `${number(curve.equity[i])} ${curve.currency}`], ["Drawdown ", `${number(curve.drawdown[i], 1)}%`],
      [`${curve.benchmark_name} `, `${number(curve.benchmark[i])} ${curve.currency}`], ["Drawdown ", `${number(curve.benchmark_drawdown[i], 1)}%`]];
    readout($("readout"), parts);
  };
  const readout = (element, parts) => {
    element.replaceChildren();
    parts.forEach(([name, value], i) => {
      const strong = document.createElement("b");
      strong.textContent = value;
      element.append((i ? "  ·  " : "") + name, strong);
    });
  };
  const line = (column, name, width, more) => ({ column, stroke: () => colour(name), width, points: { show: false }, ...more });
  const equityChart = (log) => draw("equity", [line("benchmark", "rival", 1.25), line("equity", "accent", 2, log ? {} : { fill: () => colour("fill") })], {
    scales: { x: { time: true }, y: log ? { distr: 3 } : { range: (u, low, high) => { const room = (high - low || Math.abs(high) || 1) * 0.06; return [low - room, high + room]; } } },
    axes: [axis({ values: dates, space: 70, size: 40 }), axis({ size: 58, values: (u, splits) => splits.map((v) => (v === null ? "" : compact(v))) })],
  });
  const drawdownChart = () => draw("drawdown", [line("benchmark_drawdown", "rival", 1), line("drawdown", "loss", 1.5, { fill: () => colour("fall") })], {
    scales: { x: { time: true }, y: { range: (u, low) => [Math.min(low * 1.05, -1), 0] } },
    axes: [axis({ values: (u, splits) => splits.map(() => ""), space: 70, size: 8 }), axis({ size: 58, space: 28, values: (u, splits) => splits.map((v) => `${number(v, 0)}%`) })],
  });
  const charts = curve.t.length ? [equityChart(false), drawdownChart()] : [];
  const steer = (chart) => chart.root.parentElement.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const own = charts.find((c) => c.root.parentElement === event.currentTarget);
    if (!own) return;
    event.preventDefault();
    const [from, to] = own.series[0].idxs || [0, curve.t.length - 1];
    const pace = Math.max(1, Math.round((to - from) / 120));
    const at = own.cursor.idx ?? Math.round((from + to) / 2);
    const next = Math.min(to, Math.max(from, at + step * pace));
    own.setCursor({ left: own.valToPos(curve.t[next], "x"), top: 10 });
  });
  if (curve.t.length) {
    charts.forEach(steer);
    readout($("readout"), [["Point at a chart to read its values.", ""]]);
    const log = $("log");
    if (Math.min(...curve.equity, ...curve.benchmark) <= 0) log.closest("label").hidden = true;
    log.addEventListener("change", () => {
      const { min, max } = charts[0].scales.x;
      charts[0].destroy();
      charts[0] = equityChart(log.checked);
      charts[0].setScale("x", { min, max });
    });
    new ResizeObserver(() => charts.forEach((c) => {
      const box = c.root.parentElement;
      if (box.clientWidth && (box.clientWidth !== c.width || box.clientHeight !== c.height)) c.setSize({ width: box.clientWidth, height: box.clientHeight });
    })).observe($("equity"));
    painters.push(() => charts.forEach((c) => c.redraw()));
  } else {
    ["equity", "drawdown"].forEach((id) => { $(id).textContent = "Nothing was replayed, so there is no curve."; $(id).classList.add("empty"); });
  }

  // ---- candles, parsed when first looked at
  const select = $("instrument");
  if (!select) return;
  const cache = new Map();
  const candlesOf = (index) => {
    if (!cache.has(index)) {
      const data = read(`candles-${index}`);
      data.bars = data.t.map((time, i) => ({ time, open: data.o[i], high: data.h[i], low: data.l[i], close: data.c[i] }));
      data.events = eventsOf(data);
      cache.set(index, data);
    }
    return cache.get(index);
  };
  const snap = (data, seconds, isExit) => {
    // Fills stand inside the candle that holds their moment; one at a close belongs to the candle that closes.
    let low = 0, high = data.t.length - 1;
    const at = isExit ? seconds - 1 : seconds;
    while (low < high) { const middle = (low + high + 1) >> 1; if (data.t[middle] <= at) low = middle; else high = middle - 1; }
    return data.t[low];
  };
  const eventsOf = (data) => {
    const events = new Map();
    const add = (time, event) => { if (!events.has(time)) events.set(time, []); events.get(time).push(event); };
    data.trips.forEach(([entry, price, exit, exitPrice, direction, profit, strategy, tags, reason]) => {
      if (!data.t.length) return;
      const long = direction !== "short";
      add(snap(data, entry, false), { kind: long ? "long" : "short", text: `Enter ${direction} at ${number(price, digitsFor(price))}\n${strategy}${tags ? ` (${tags})` : ""}` });
      if (exit !== null) add(snap(data, exit, true), { kind: "exit", long, text: `Exit ${direction}${exitPrice === null ? "" : ` at ${number(exitPrice, digitsFor(exitPrice))}`}: ${reason || "no reason given"}\nProfit ${number(profit)} ${curve.currency}` });
    });
    return events;
  };
  const markersOf = (data) => {
    const markers = [];
    for (const [time, list] of [...data.events].sort((a, b) => a[0] - b[0])) {
      const kinds = new Set(list.map((e) => e.kind));
      if (kinds.has("long")) markers.push({ time, position: "belowBar", shape: "arrowUp", color: colour("gain"), size: 1 });
      if (kinds.has("short")) markers.push({ time, position: "aboveBar", shape: "arrowDown", color: colour("loss"), size: 1 });
      if (kinds.has("exit")) markers.push({ time, position: list.find((e) => e.kind === "exit").long ? "aboveBar" : "belowBar", shape: "circle", color: colour("accent"), size: 0.6 });
    }
    return markers;
  };
  let chart = null, candles = null, markers = null, current = null;
  const look = () => ({
    layout: { background: { color: "transparent" }, textColor: colour("muted"), fontSize: 12, fontFamily: "system-ui, sans-serif", attributionLogo: true },
    grid: { vertLines: { color: colour("line") }, horzLines: { color: colour("line") } },
    rightPriceScale: { borderColor: colour("line") }, timeScale: { borderColor: colour("line"), timeVisible: true, secondsVisible: false },
  });
  const bodies = () => ({ upColor: colour("gain"), wickUpColor: colour("gain"), downColor: colour("loss"), wickDownColor: colour("loss"), borderVisible: false });
  const paintCandles = () => { if (!chart) return; chart.applyOptions(look()); candles.applyOptions(bodies()); if (current) markers.setMarkers(markersOf(current)); };
  const open = () => {
    chart = LightweightCharts.createChart($("candles"), { autoSize: true, ...look(), crosshair: { mode: 0 }, localization: { locale: "en-GB", timeFormatter: (s) => `${moment(s)} UTC` }, handleScroll: { mouseWheel: false }, handleScale: { mouseWheel: false } });
    $("candles").addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(event.deltaY > 0 ? 1.15 : 0.87); }
    }, { passive: false });
    candles = chart.addSeries(LightweightCharts.CandlestickSeries, bodies());
    markers = LightweightCharts.createSeriesMarkers(candles, []);
    chart.subscribeCrosshairMove(point);
  };
  const show = () => {
    if (!chart) open();
    current = candlesOf(Number(select.value));
    const highest = current.c.reduce((most, v) => Math.max(most, v), 0);
    const precision = digitsFor(highest);
    candles.applyOptions({ priceFormat: { type: "custom", formatter: (price) => number(price, precision), minMove: 10 ** -precision } });
    candles.setData(current.bars);
    markers.setMarkers(markersOf(current));
    const last = current.t.length;
    chart.timeScale().setVisibleLogicalRange({ from: Math.max(0, last - 260), to: last + 4 });
    $("candle-note").textContent = `one candle is ${select.selectedOptions[0].dataset.step}`;
    $("tip").hidden = true;
    readout($("candle-readout"), [["Point at a candle to read it. Ctrl and the wheel, or + and −, zoom.", ""]]);
    list();
  };
  const point = (event) => {
    const tip = $("tip"), bar = event.seriesData && event.seriesData.get(candles);
    if (!bar || !event.point) { tip.hidden = true; return; }
    const digits = digitsFor(bar.close), text = (v) => number(v, digits);
    readout($("candle-readout"), [[moment(event.time) + " UTC", ""], ["Open ", text(bar.open)], ["High ", text(bar.high)], ["Low ", text(bar.low)], ["Close ", text(bar.close)]]);
    const events = current.events.get(event.time);
    tip.hidden = !events;
    if (!events) return;
    tip.textContent = events.slice(0, 4).map((e) => e.text).join("\n\n") + (events.length > 4 ? `\n\nand ${events.length - 4} more` : "");
    const room = $("candles").clientWidth;
    tip.style.left = `${Math.max(0, Math.min(event.point.x + 14, room - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(4, event.point.y - tip.offsetHeight - 12)}px`;
  };
  const cell = (row, content, kind) => {
    const td = document.createElement("td");
    if (kind) td.className = kind;
    td.append(content);
    row.append(td);
  };
  const ROWS = 400;
  const list = () => {
    const body = $("trips").tBodies[0], rows = document.createDocumentFragment();
    const shown = current.trips.slice(-ROWS).reverse();
    shown.forEach(([entry, price, exit, exitPrice, direction, profit, strategy, tags, reason]) => {
      const row = document.createElement("tr"), go = document.createElement("button");
      go.className = "go"; go.type = "button"; go.textContent = moment(entry);
      go.addEventListener("click", () => reach(entry));
      cell(row, go); cell(row, direction); cell(row, number(price, digitsFor(price)), "n");
      cell(row, exit === null ? "still open" : moment(exit)); cell(row, exitPrice === null ? "–" : number(exitPrice, digitsFor(exitPrice)), "n");
      cell(row, number(profit), "n " + (profit > 0 ? "gain" : profit < 0 ? "loss" : ""));
      cell(row, exit === null ? "–" : reason || "–"); cell(row, strategy); cell(row, tags || "–");
      rows.append(row);
    });
    if (!shown.length) { const row = document.createElement("tr"); cell(row, "No round trip in this instrument.", "empty"); row.firstChild.colSpan = 9; rows.append(row); }
    body.replaceChildren(rows);
    $("trips-note").textContent = shown.length < current.total ? `the latest ${shown.length} of ${current.total}` + (current.trips.length < current.total ? `; ${current.trips.length} are drawn` : "") : shown.length ? "choose an entry to see it in the chart" : "";
  };
  const reach = (seconds) => {
    const at = current.t.indexOf(snap(current, seconds, false));
    chart.timeScale().setVisibleLogicalRange({ from: at - 60, to: at + 60 });
    $("candles").scrollIntoView({ block: "center" });
  };
  const zoom = (factor) => {
    const range = chart && chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    const centre = (range.from + range.to) / 2, half = Math.max(5, ((range.to - range.from) / 2) * factor);
    chart.timeScale().setVisibleLogicalRange({ from: centre - half, to: centre + half });
  };
  $("candles").addEventListener("keydown", (event) => {
    const range = chart && chart.timeScale().getVisibleLogicalRange();
    if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
    const shift = { ArrowLeft: -0.15, ArrowRight: 0.15 }[event.key];
    if (shift) { const by = (range.to - range.from) * shift; chart.timeScale().setVisibleLogicalRange({ from: range.from + by, to: range.to + by }); event.preventDefault(); }
    if (event.key === "+" || event.key === "=") zoom(0.75);
    if (event.key === "-") zoom(1.33);
  });
  select.addEventListener("change", show);
  new IntersectionObserver((entries, watcher) => { if (entries.some((e) => e.isIntersecting)) { watcher.disconnect(); show(); } }, { rootMargin: "400px" }).observe($("candles"));
  // The chart repaints later than the printer looks, so paper gets a picture taken in the light theme.
  addEventListener("beforeprint", () => {
    if (!chart) show();
    const still = chart.takeScreenshot();
    still.className = "still";
    $("candles").classList.add("has-still");
    $("candles").after(still);
  });
  addEventListener("afterprint", () => {
    document.querySelectorAll(".still").forEach((e) => e.remove());
    $("candles").classList.remove("has-still");
  });
  painters.push(paintCandles);
})();
