// Copyright (c) 2026, ascend.fleet contributors. GPL-3.0-or-later
// Shows the document of the page. Whatever comes from a host becomes a text node or an attribute's value, never markup.
"use strict";
(() => {
  const started = performance.now();
  const byId = (id) => document.getElementById(id);

  // - data -

  const unpack = (value) => {
    if (Array.isArray(value)) return value.map(unpack);
    if (value === null || typeof value !== "object") return value;
    if (!("$columns" in value)) return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, unpack(one)]));
    const columns = Object.entries(value.$columns).map(([name, column]) =>
      [name, Array.isArray(column) ? column.map(unpack) : "$same" in column ? Array(value.$rows).fill(column.$same)
        : column.$index.map((place) => column.$values[place])]);
    return Array.from({ length: value.$rows }, (_, row) => Object.fromEntries(columns.map(([name, column]) => [name, column[row]])));
  };
  const data = unpack(JSON.parse(byId("data").textContent));
  const words = JSON.parse(byId("words").textContent);
  const groupBy = (rows, key) => {
    const found = new Map();
    for (const row of rows) found.has(row[key]) ? found.get(row[key]).push(row) : found.set(row[key], [row]);
    return found;
  };
  const chipsOf = groupBy(data.chips, "host");
  const replicasOf = groupBy(data.replicas, "host");

  // - what the reader has chosen; kept where the browser allows it -

  const stored = (name) => { try { return localStorage.getItem("ascend-fleet-" + name); } catch { return null; } };
  const store = (name, value) => { try { localStorage.setItem("ascend-fleet-" + name, value); } catch { /* private, or a file */ } };
  let language = stored("language") in words ? stored("language") : /^zh/.test(navigator.language) ? "zh" : "en";
  let colour = "health";
  const chosen = new Map(); // by table: its order and its filters

  const word = (key, ...values) => {
    const own = words[language];
    const text = Object.hasOwn(own, key) ? own[key] : key.replace(/^[a-z ]+\./, "");
    return values.reduce((found, value, place) => found.replace("{" + place + "}", () => value), text);
  };
  const number = (value, digits = 0) => value === null || value === undefined
    ? word("unknown") : value.toLocaleString(language === "zh" ? "zh-CN" : "en-US", { maximumFractionDigits: digits });
  const percent = (part, whole) => whole ? number((100 * part) / whole) + " %" : word("unknown");
  const known = (value) => value === null || value === undefined ? word("unknown") : String(value) || "-";
  const duration = (seconds) => seconds === null || seconds === undefined ? word("unknown")
    : seconds >= 86400 ? Math.floor(seconds / 86400) + " d " + Math.floor((seconds % 86400) / 3600) + " h"
      : seconds >= 3600 ? Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min" : Math.floor(seconds / 60) + " min";

  // - elements -

  const SVG = "http://www.w3.org/2000/svg";
  const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map((child) => child instanceof Node ? child : String(child)));
    return element;
  };
  const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
  const toned = (text, tone) => el("span", { class: tone }, text);

  const names = (hosts) => {
    if (hosts.length <= 3) return el("span", {}, hosts.join(", "));
    const box = el("details", {}, el("summary", {}, word("hosts of", number(hosts.length))));
    box.addEventListener("toggle", () => { if (box.childElementCount === 1) box.append(el("div", {}, hosts.join(", "))); });
    return box;
  };

  // - tables: sorted by their heads, filtered by a word and by a choice -

  const collator = new Intl.Collator("en", { numeric: true });
  const isNothing = (value) => value === null || value === undefined || value === "";
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));

  // columns: {key, label, value(row): what is sorted and searched, cell(row): what is shown, kind: number, short, long, head}
  // choice: {label, options, of(row)}; limit: so many rows are shown at first; order: [key, 1 or -1]
  const table = (name, { rows, columns, choice, limit = 200, order = null }) => {
    const state = chosen.get(name) ?? { order, text: "", choice: "", whole: false };
    chosen.set(name, state);
    const made = new Map();
    const texts = new Map();
    const body = el("tbody");
    const count = el("span", { class: "count", role: "status" });
    const more = el("button", { type: "button", onclick: () => { state.whole = true; show(); } });
    const text = (row) => {
      if (!texts.has(row)) texts.set(row, columns.map((column) => column.value(row)).join("\n").toLowerCase());
      return texts.get(row);
    };
    const line = (row) => {
      if (!made.has(row)) {
        made.set(row, el("tr", {}, columns.map((column) => {
          const content = column.cell ? column.cell(row) : column.kind === "number" ? number(column.value(row), 1) : known(column.value(row));
          return column.kind === "head" ? el("th", { scope: "row" }, content) : el("td", { class: column.kind }, content);
        })));
      }
      return made.get(row);
    };
    const heads = columns.map((column) => el("th", { scope: "col" },
      el("button", { type: "button", "data-sort": column.key, onclick: () => {
        state.order = [column.key, state.order?.[0] === column.key ? -state.order[1] : 1];
        show();
      } }, column.label)));
    const show = () => {
      const wanted = state.text.toLowerCase().split(/\s+/).filter(Boolean);
      let found = rows.filter((row) => (!state.choice || choice.of(row) === state.choice) && wanted.every((part) => text(row).includes(part)));
      if (state.order) {
        const [key, direction] = state.order;
        const column = columns.find((one) => one.key === key);
        const value = new Map(found.map((row) => [row, column.value(row)]));
        // What is not known stands last in both directions.
        found = [...found].sort((a, b) => {
          const [x, y] = [value.get(a), value.get(b)];
          return isNothing(x) || isNothing(y) ? isNothing(x) - isNothing(y) : direction * compare(x, y);
        });
      }
      columns.forEach((column, place) => heads[place].setAttribute("aria-sort",
        state.order?.[0] !== column.key ? "none" : state.order[1] === 1 ? "ascending" : "descending"));
      body.replaceChildren(...(state.whole ? found : found.slice(0, limit)).map(line));
      count.textContent = word("count", number(found.length), number(rows.length));
      more.hidden = state.whole || found.length <= limit;
      more.textContent = word("show all", number(found.length));
    };
    const search = el("input", { type: "search", value: state.text, oninput: (event) => { state.text = event.target.value; show(); } });
    const select = choice && el("select", { onchange: (event) => { state.choice = event.target.value; show(); } },
      el("option", { value: "" }, word("all")), choice.options.map(([value, label]) => el("option", { value }, label)));
    if (select) select.value = state.choice;
    show();
    return el("div", { "data-table": name },
      el("div", { class: "tools" }, el("label", {}, word("filter") + " ", search), select && el("label", {}, choice.label + " ", select), count),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": word("section." + name) },
        el("table", {}, el("thead", {}, el("tr", {}, heads)), body)),
      more);
  };

  // - chips -

  const TEMPERATURES = [45, 60, 75, 90];
  const MEMORY = [20, 40, 60, 80];
  const step = (value, limits) => value === null ? "none" : "s" + limits.filter((limit) => value >= limit).length;
  const share = (chip) => chip.hbm_total_mb ? (100 * chip.hbm_used_mb) / chip.hbm_total_mb : null;
  const paint = {
    health: (chip) => chip.health === "OK" ? "good" : chip.well ? "warn" : chip.health === null ? "none" : "bad",
    temperature: (chip) => step(chip.temperature_celsius, TEMPERATURES),
    hbm: (chip) => step(share(chip), MEMORY),
    use: (chip) => chip.use === "free" ? "none" : chip.use,
  };
  // One path for all chips of a colour: an element for each of thousands of chips would take long to lay out.
  const squares = (chips) => {
    const paths = new Map();
    chips.forEach((chip, place) => {
      const tone = paint[colour](chip);
      paths.set(tone, (paths.get(tone) ?? "") + "M" + (place * 13 + 1.5) + " 1.5h10v14h-10z");
    });
    const crosses = chips.map((chip, place) => chip.well ? "" : "M" + (place * 13 + 3) + " 4l7 9m0-9l-7 9").join("");
    return [...[...paths].map(([tone, d]) => svg("path", { d, class: "f-" + tone })), crosses ? svg("path", { d: crosses, class: "cross" }) : null];
  };
  const strip = (host) => {
    const chips = chipsOf.get(host.host) ?? [];
    if (!chips.length) return "-";
    return svg("svg", { class: "chips", width: chips.length * 13 + 1, height: 17, role: "img", "data-host": host.host,
      "aria-label": word("well of", number(host.chips_well), number(host.chips)) }, squares(chips));
  };
  const repaint = () => {
    for (const own of document.querySelectorAll("svg.chips")) own.replaceChildren(...squares(chipsOf.get(own.getAttribute("data-host"))).filter(Boolean));
  };
  const legend = () => {
    const item = (tone, text) => el("span", {}, svg("svg", { width: 13, height: 13, "aria-hidden": "true" },
      svg("rect", { x: 1, y: 1, width: 11, height: 11, rx: 2, class: "f-" + tone })), text);
    const scale = (limits, unit) => [item("s0", word("scale.below", limits[0] + unit)), ...limits.map((limit, place) => item("s" + (place + 1), word("scale.from", limit + unit)))];
    const parts = {
      health: () => [item("good", "OK"), item("warn", "Warning"), item("bad", word("chip not well") + " ×"), item("none", word("unknown"))],
      temperature: () => [...scale(TEMPERATURES, " °C"), item("none", word("unknown"))],
      hbm: () => [...scale(MEMORY, " %"), item("none", word("unknown"))],
      use: () => [item("ours", word("ours")), item("others", word("others")), item("none", word("free")), item("unknown", word("unknown"))],
    };
    return el("div", { class: "legend", id: "legend" }, parts[colour]());
  };
  const use = (host) => {
    const counts = new Map();
    for (const chip of chipsOf.get(host.host) ?? []) counts.set(chip.use, (counts.get(chip.use) ?? 0) + 1);
    return [...counts].map(([key, many]) => number(many) + " " + word(key)).join(", ");
  };
  const TONES = { ok: "good", warning: "warn", error: "bad", unreachable: "bad", "not asked": "none" };
  const stateOf = (host) => toned(word("state." + host.state), TONES[host.state]);

  // - one host -

  const CHIP_COLUMNS = [
    ["npu", (c) => known(c.npu)], ["chip", (c) => known(c.chip)], ["device", (c) => known(c.index)], ["model", (c) => known(c.model)],
    ["health", (c) => toned(known(c.health), c.health === "OK" ? "good" : c.well ? "warn" : "bad")], ["codes", (c) => c.error_codes || "-"],
    ["temperature", (c) => number(c.temperature_celsius) + " °C"], ["power", (c) => number(c.power_watts, 1) + " W"],
    ["load", (c) => number(c.utilization_percent) + " %"], ["hbm", (c) => number(c.hbm_used_mb) + " / " + number(c.hbm_total_mb) + " MB"],
    ["use", (c) => c.users || word(c.use)],
  ];
  const plain = (label, columns, rows) => el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", {},
    el("thead", {}, el("tr", {}, columns.map(([key]) => el("th", { scope: "col" }, word(key))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, columns.map(([, cell]) => el("td", {}, cell(row))))))));
  const details = (host) => {
    const facts = [["state", stateOf(host)], ["reason", host.reason], ["hostname", host.hostname], ["generation", host.generation], ["architecture", host.architecture],
      ["os", host.os], ["kernel", host.kernel], ["driver", host.driver], ["firmware", host.firmware], ["cann", host.cann], ["docker", host.docker],
      ["release", host.release], ["last good", host.last_good], ["previous good", host.previous_good], ["change under way", host.change], ["npu-smi", host.npu_smi_error]];
    const own = data.findings.filter((finding) => finding.hosts.includes(host.host));
    const replicas = replicasOf.get(host.host) ?? [];
    const box = byId("details");
    box.replaceChildren(
      el("button", { type: "button", class: "close", onclick: () => box.close() }, word("close")),
      el("h2", { id: "details-title" }, host.host),
      el("dl", { class: "facts" }, facts.filter(([, value]) => !isNothing(value)).map(([key, value]) => [el("dt", {}, word(key)), el("dd", {}, value)])),
      chipsOf.has(host.host) ? plain(word("chips"), CHIP_COLUMNS, chipsOf.get(host.host)) : "",
      replicas.length ? el("h3", {}, word("section.replicas")) : "",
      replicas.length ? plain(word("section.replicas"), [["replica", (r) => r.name], ["release", (r) => known(r.release)], ["health", healthOf], ["traffic", (r) => r.traffic_text || known(r.traffic)]], replicas) : "",
      own.length ? el("h3", {}, word("findings")) : "",
      el("ul", {}, own.map((f) => el("li", {}, toned(f.id + " " + f.title, f.ignored ? "none" : f.severity === "error" ? "bad" : "warn"), " " + word("found") + ": " + f.found + ". " + word("fix") + ": " + f.fix))));
    box.showModal();
  };

  // - sections -

  const MIB_PER_TIB = 1048576;
  const summary = () => {
    const s = data.summary;
    const read = s.hosts - s.states.unreachable - s.states["not asked"];
    const cards = [
      ["read", number(read) + " / " + number(s.hosts), read === s.hosts ? "good" : ""], ["unreachable", number(s.states.unreachable), s.states.unreachable ? "bad" : ""],
      ["chips", number(s.chips_well) + " / " + number(s.chips), s.chips_well === s.chips ? "good" : "bad"], ["used", number(s.chips_used.ours), ""],
      ["others", number(s.chips_used.others), s.chips_used.others ? "warn" : ""],
      ["hbm", percent(s.hbm_used_mb, s.hbm_total_mb) + " / " + number(s.hbm_total_mb / MIB_PER_TIB, 1) + " TiB", ""],
      ["replicas", number(s.replicas_serving) + " / " + number(s.replicas), s.replicas_serving === s.replicas ? "good" : "warn"],
      ["requests", number(s.running) + " / " + number(s.waiting), ""], ["errors", number(s.errors), s.errors ? "bad" : "good"], ["warnings", number(s.warnings), s.warnings ? "warn" : "good"],
    ];
    return el("ul", { class: "cards" }, cards.map(([key, value, tone]) => el("li", {}, el("b", { class: tone }, value), word("card." + key))));
  };

  const hosts = () => {
    const select = el("select", { id: "colour", onchange: (event) => { colour = event.target.value; byId("legend").replaceWith(legend()); repaint(); } },
      Object.keys(paint).map((key) => el("option", { value: key }, word(key))));
    select.value = colour;
    const text = (key) => ({ key: key.replace(" ", "_"), label: word(key), value: (h) => h[key.replace(" ", "_")], kind: "short" });
    const columns = [
      { key: "host", label: word("host"), value: (h) => h.host, kind: "head", cell: (h) => el("button", { type: "button", class: "link", onclick: () => details(h) }, h.host) },
      { key: "state", label: word("state"), value: (h) => word("state." + h.state) + (h.reason ? "\n" + h.reason : ""), kind: "short", cell: stateOf },
      text("generation"),
      { key: "chips", label: word("chips"), value: (h) => h.chips === null ? null : h.chips_well - h.chips, cell: strip },
      { key: "temperature", label: word("hottest"), value: (h) => h.temperature_celsius, kind: "number", cell: (h) => h.temperature_celsius === null ? word("unknown") : number(h.temperature_celsius) + " °C" },
      { key: "hbm", label: word("hbm"), value: (h) => h.hbm_total_mb ? h.hbm_used_mb / h.hbm_total_mb : null, kind: "number", cell: (h) => percent(h.hbm_used_mb, h.hbm_total_mb) },
      { key: "use", label: word("use"), value: (h) => [use(h), ...(chipsOf.get(h.host) ?? []).map((chip) => chip.users)].join("\n"), cell: (h) => h.reason || use(h) || "-" },
      text("release"), text("last good"), text("driver"),
      { key: "findings", label: word("findings"), value: (h) => h.errors * 1000 + h.warnings, kind: "short", cell: (h) => h.errors || h.warnings
        ? toned(word("finding counts", number(h.errors), number(h.warnings)), h.errors ? "bad" : "warn") : "-" },
    ];
    const states = Object.keys(data.summary.states).map((state) => [state, word("state." + state)]);
    return [el("div", { class: "tools" }, el("label", {}, word("colour") + " ", select), legend()),
      table("hosts", { rows: data.hosts, columns, limit: 1000, choice: { label: word("state"), options: states, of: (h) => h.state } })];
  };

  const healthOf = (r) => toned(r.health ? word("health." + r.health) : word("unknown"), r.health === "healthy" ? "good" : r.health === "starting" ? "warn" : "bad");
  const replicas = () => table("replicas", {
    rows: data.replicas,
    choice: { label: word("state"), options: [["yes", word("serving")], ["no", word("not serving")]], of: (r) => r.serving ? "yes" : "no" },
    columns: [
      { key: "replica", label: word("replica"), value: (r) => r.name, kind: "head" },
      { key: "served", label: word("served"), value: (r) => r.served_model_name, kind: "short" },
      { key: "health", label: word("health"), value: (r) => r.health, kind: "short", cell: healthOf },
      { key: "traffic", label: word("traffic"), value: (r) => word("traffic." + r.traffic) + "\n" + (r.traffic_text ?? ""), cell: (r) => ["in", "direct"].includes(r.traffic)
        ? toned(word("traffic." + r.traffic), "good") : [toned(word("traffic." + r.traffic), "warn"), r.traffic === "unknown" ? null : " " + r.traffic_text] },
      { key: "running", label: word("running"), value: (r) => r.running, kind: "number" },
      { key: "waiting", label: word("waiting"), value: (r) => r.waiting, kind: "number" },
      { key: "hbm", label: word("hbm"), value: (r) => r.hbm_total_mb ? r.hbm_used_mb / r.hbm_total_mb : null, kind: "number", cell: (r) => percent(r.hbm_used_mb, r.hbm_total_mb) },
      { key: "age", label: word("age"), value: (r) => r.age_seconds, kind: "number", cell: (r) => duration(r.age_seconds) },
      { key: "restarts", label: word("restarts"), value: (r) => r.restarts, kind: "number" },
      { key: "release", label: word("release"), value: (r) => r.release, cell: (r) => [known(r.release), r.outdated ? toned(" (" + word("container outdated") + ")", "warn") : null] },
      { key: "last_good", label: word("last good"), value: (r) => r.last_good, kind: "short" },
      { key: "image", label: word("image"), value: (r) => r.image_id, kind: "short", cell: (r) => el("span", { title: r.image_id }, known(r.image_id).replace(/^sha256:/, "").slice(0, 12)) },
    ],
  });

  const findings = () => {
    const severity = (f) => f.ignored ? "ignored" : f.severity;
    return table("findings", {
      rows: data.findings,
      choice: { label: word("severity"), options: ["error", "warning", "ignored"].map((key) => [key, word("severity." + key)]), of: severity },
      columns: [
        { key: "id", label: word("id"), value: (f) => f.id, kind: "head", cell: (f) => el("span", { class: "id" }, f.id) },
        { key: "severity", label: word("severity"), value: severity, kind: "short", cell: (f) => toned(word("severity." + severity(f)), { error: "bad", warning: "warn", ignored: "none" }[severity(f)]) },
        { key: "finding", label: word("finding"), value: (f) => f.title },
        { key: "found", label: word("found"), value: (f) => f.found, kind: "long" },
        { key: "needed", label: word("needed"), value: (f) => f.needed, kind: "long" },
        { key: "fix", label: word("fix"), value: (f) => f.fix, kind: "long" },
        { key: "hosts", label: word("hosts"), value: (f) => f.hosts.length, cell: (f) => names(f.hosts) },
      ],
    });
  };

  const since = () => {
    const found = data.since;
    if (!found.made) return el("p", { class: found.problem ? "warn" : "muted" }, found.problem);
    const intro = el("p", {}, word("since", found.made));
    if (!found.entries.length) return [intro, el("p", {}, word("since.none"))];
    return [intro, table("since", { rows: found.entries, columns: [
      { key: "what", label: word("what"), value: (e) => word("what." + e.what), kind: "head" },
      { key: "subject", label: word("subject"), value: (e) => Object.hasOwn(words[language], e.subject) ? word(e.subject) : e.subject, kind: "long" },
      { key: "before", label: word("before"), value: (e) => e.before, kind: "long", cell: (e) => e.before || "-" },
      { key: "after", label: word("after"), value: (e) => e.after, kind: "long", cell: (e) => e.after || "-" },
      { key: "hosts", label: word("hosts"), value: (e) => e.hosts.length, cell: (e) => names(e.hosts) },
    ] })];
  };

  const versions = () => {
    const totals = new Map();
    for (const v of data.versions) totals.set(v.generation + v.subject, (totals.get(v.generation + v.subject) ?? 0) + v.hosts.length);
    return table("versions", { rows: data.versions, choice: { label: word("version"), options: [["yes", word("version.most")], ["no", word("version.other")]], of: (v) => v.most ? "yes" : "no" }, columns: [
      { key: "generation", label: word("generation"), value: (v) => v.generation, kind: "head" },
      { key: "subject", label: word("subject"), value: (v) => word(v.subject), kind: "short" },
      { key: "version", label: word("version"), value: (v) => v.value, kind: "long", cell: (v) => toned(v.value || "-", v.most ? "" : "warn") },
      { key: "share", label: word("share"), value: (v) => v.hosts.length / totals.get(v.generation + v.subject), kind: "number", cell: (v) => percent(v.hosts.length, totals.get(v.generation + v.subject)) },
      { key: "hosts", label: word("hosts"), value: (v) => v.hosts.length, cell: (v) => names(v.hosts) },
    ] });
  };

  const releases = () => table("releases", { rows: data.releases, columns: [
    { key: "release", label: word("release"), value: (r) => r.release, kind: "head" },
    { key: "driver", label: word("driver"), value: (r) => r.driver, kind: "short" },
    { key: "firmware", label: word("firmware"), value: (r) => r.firmware, kind: "short" },
    { key: "cann", label: word("cann"), value: (r) => r.cann, kind: "short" },
    { key: "weights", label: word("weights"), value: (r) => known(r.model) + (r.model_commit ? "\n" + r.model_commit.slice(0, 12) : ""), kind: "long" },
    { key: "images", label: word("images"), value: (r) => r.images.map((i) => i.generation + "/" + i.architecture + " " + known(i.tag) + " " + (i.image_id ?? "").replace("sha256:", "").slice(0, 12)).join("\n"), kind: "long" },
    { key: "locked", label: word("locked"), value: (r) => r.open.length, kind: "long", cell: (r) => r.open.length ? toned(word("locked.no", r.open.join(", ")), "warn") : toned(word("locked.yes"), "good") },
    { key: "hosts", label: word("hosts"), value: (r) => r.hosts.length, cell: (r) => names(r.hosts) },
  ] });

  const OUTCOMES = { good: "good", open: "warn", stopped: "warn", rolled_back: "bad", failed: "bad" };
  const changes = () => table("changes", { rows: data.changes, limit: 50, columns: [
    { key: "began", label: word("began"), value: (c) => c.began, kind: "short" },
    { key: "ended", label: word("ended"), value: (c) => c.ended, kind: "short" },
    { key: "kind", label: word("kind"), value: (c) => word("kind." + c.kind), kind: "short" },
    { key: "from", label: word("from"), value: (c) => c.from_release, kind: "short", cell: (c) => c.from_release || "-" },
    { key: "to", label: word("to"), value: (c) => c.release, kind: "short" },
    { key: "by", label: word("by"), value: (c) => c.by, kind: "short" },
    { key: "outcome", label: word("outcome"), value: (c) => c.outcomes.map((o) => word("outcome." + o.outcome) + " " + o.why).join("\n"), kind: "long", cell: (c) =>
      c.outcomes.map((o) => el("div", {}, toned(word("outcome." + o.outcome), OUTCOMES[o.outcome] ?? ""), o.why ? ": " + o.why + " " : " ", names(o.hosts))) },
  ] });

  // - benchmarks: each replica against what it is compared with -

  const THROUGHPUT = "output_throughput";
  const ratio = (row, metric) => row[metric] !== null && row[metric + "_reference"] ? (100 * row[metric]) / row[metric + "_reference"] : null;
  const nameOf = (row) => row.host + ":" + row.replica;
  const chart = (rows) => {
    const known = rows.map((row) => [row, ratio(row, THROUGHPUT)]).filter(([, value]) => value !== null);
    if (!known.length) return "";
    const tolerance = 100 * data.metrics.find((metric) => metric.metric === THROUGHPUT).tolerance;
    const low = Math.min(100 - 2 * tolerance, ...known.map(([, value]) => value)) - 2;
    const high = Math.max(100 + 2 * tolerance, ...known.map(([, value]) => value)) + 2;
    const [width, height, floor] = [900, 96, 74];
    const x = (value) => Math.round((10 + ((value - low) / (high - low)) * (width - 20)) * 10) / 10;
    const distance = [5, 10, 20, 50, 100].find((step) => (high - low) / step <= 12) ?? 500;
    const ticks = [];
    for (let tick = Math.ceil(low / distance) * distance; tick <= high; tick += distance) ticks.push(tick);
    const worse = known.filter(([row]) => row.worse);
    const label = word("chart", rows[0].workload, word("kind." + rows[0].kind), number(known.length));
    return el("figure", {}, svg("svg", { class: "chart", viewBox: "0 0 " + width + " " + height, width, height, role: "img", "aria-label": label },
      svg("rect", { class: "band", x: x(100 - tolerance), y: 6, width: x(100 + tolerance) - x(100 - tolerance), height: floor - 6 }),
      svg("line", { class: "mark", x1: x(100), x2: x(100), y1: 6, y2: floor }), svg("line", { class: "axis", x1: 0, x2: width, y1: floor, y2: floor }),
      ticks.map((tick) => svg("text", { x: x(tick), y: height - 6, "text-anchor": "middle" }, number(tick) + " %")),
      known.map(([row, value], place) => svg("circle", { cx: x(value), cy: 12 + ((place * 37) % 56), r: row.worse ? 5 : 3, class: row.worse ? "worse" : null }, svg("title", {}, nameOf(row) + " " + number(value, 1) + " %")))),
    el("figcaption", {}, label, worse.length ? [" ", toned(word("chart.worse", number(worse.length)), "bad")] : ""));
  };
  const bar = (row, metric) => {
    const [value, reference] = [row[metric], row[metric + "_reference"]];
    if (value === null) return "-";
    const size = reference ? Math.min(value / reference, 2) * 45 : 45;
    return el("div", {}, svg("svg", { class: "spark", width: 92, height: 12, "aria-hidden": "true" },
      svg("rect", { class: "bar" + (row.worse.split(", ").includes(metric) ? " worse" : ""), x: 0, y: 2, width: size, height: 8 }),
      reference ? svg("line", { class: "mark", x1: 45, x2: 45, y1: 0, y2: 12 }) : null),
    " ", reference ? word("of reference", number(value, 1), number(reference, 1)) : number(value, 1));
  };
  const trend = (row) => {
    const values = row.trend.filter((value) => value !== null);
    if (values.length < 2) return "-";
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const points = values.map((value, place) => Math.round((place * 78) / (values.length - 1) + 1) + "," + Math.round(18 - (16 * (value - low)) / (high - low || 1)));
    return svg("svg", { class: "spark", width: 80, height: 20, role: "img", "aria-label": values.map((value) => number(value, 1)).join(", ") }, svg("polyline", { class: "line", points: points.join(" ") }));
  };
  const verdict = (b) => b.problem ? "problem" : b.outcome === "worse" ? "worse" : b.outcome === "same" ? "same" : b.baseline ? "baseline" : "none";
  const benchmarks = () => {
    const groups = new Map();
    for (const row of data.benchmarks) {
      const key = row.kind + "\n" + row.workload;
      groups.has(key) ? groups.get(key).push(row) : groups.set(key, [row]);
    }
    const metric = (key, name) => ({ key, label: word(key), value: (b) => b[name], kind: "number", cell: (b) => bar(b, name) }); // a bar as long as the mark is equal to the reference
    const options = ["same", "worse", "none", "problem", "baseline"].map((key) => [key, word("verdict." + key)]);
    return [...[...groups.values()].map(chart), table("benchmarks", { rows: data.benchmarks, limit: 100, choice: { label: word("verdict"), options, of: verdict }, columns: [
      { key: "replica", label: word("replica"), value: nameOf, kind: "head" },
      { key: "workload", label: word("workload"), value: (b) => b.workload + "\n" + word("kind." + b.kind), kind: "short", cell: (b) => b.workload + " (" + word("kind." + b.kind) + ")" },
      { key: "verdict", label: word("verdict"), value: (b) => word("verdict." + verdict(b)), kind: "short", cell: (b) => toned(word("verdict." + verdict(b)), { problem: "bad", worse: "bad", same: "good" }[verdict(b)] ?? "none") },
      metric("throughput", THROUGHPUT), metric("ttft", "median_ttft_ms"), metric("tpot", "median_tpot_ms"),
      { key: "trend", label: word("trend"), value: () => null, cell: trend },
      { key: "with", label: word("with"), value: (b) => b.problem || b.with || b.reason, kind: "long", cell: (b) => b.problem || [b.with, b.reason].filter(Boolean).join(": ") || "-" },
      { key: "finished", label: word("finished"), value: (b) => b.finished, kind: "short" },
    ] })];
  };

  const problems = () => el("ul", {}, data.problems.map((text) => el("li", {}, text)));
  const SECTIONS = [["summary", summary, true], ["since", since, true], ["hosts", hosts, data.hosts.length], ["findings", findings, data.findings.length], ["replicas", replicas, data.replicas.length],
    ["versions", versions, data.versions.length], ["releases", releases, data.releases.length], ["changes", changes, data.changes.length],
    ["benchmarks", benchmarks, data.benchmarks.length], ["problems", problems, data.problems.length]];

  // - the page -

  const FIRST = 2; // so many sections are seen at once
  let turn = 0;
  const render = () => {
    const own = ++turn;
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.documentElement.removeAttribute("data-ready");
    for (const place of document.querySelectorAll("[data-word]")) place.textContent = word(place.getAttribute("data-word"));
    document.title = word("title") + (data.title ? " - " + data.title : "");
    byId("subject").textContent = data.title;
    byId("made").textContent = word("made", data.made);
    byId("language").textContent = word("language");
    byId("language").lang = language === "zh" ? "en" : "zh-CN";
    byId("sections").replaceChildren(...SECTIONS.map(([name]) => el("a", { href: "#" + name }, word("section." + name))));
    const places = SECTIONS.map(([name]) => el("section", { id: name }, el("h2", {}, word("section." + name))));
    byId("main").replaceChildren(...places);
    // What is seen first is drawn first; the rest follows, section by section.
    let next = 0;
    const draw = () => {
      if (own !== turn) return;
      const [, make, any] = SECTIONS[next];
      places[next].append(...(any ? [make()].flat() : [el("p", { class: "muted" }, word("empty"))]));
      next += 1;
      if (next === SECTIONS.length) document.documentElement.dataset.ready = Math.round(performance.now() - started);
      else if (next < FIRST) draw();
      else setTimeout(draw);
    };
    draw();
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = byId("theme");
  const dress = () => { document.documentElement.dataset.theme = theme.value === "auto" ? (dark.matches ? "dark" : "light") : theme.value; };
  theme.value = ["light", "dark"].includes(stored("theme")) ? stored("theme") : "auto";
  theme.addEventListener("change", () => { store("theme", theme.value); dress(); });
  dark.addEventListener("change", dress);
  byId("language").addEventListener("click", () => { language = language === "zh" ? "en" : "zh"; store("language", language); render(); });
  dress();
  render();
})();
