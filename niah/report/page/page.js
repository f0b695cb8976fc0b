(() => {
  const RUNS = CONTENT.runs, COMPARISONS = CONTENT.comparisons;
  const ATTRIBUTES = [["model", "model"], ["sweep", "sweep"], ["task", "task"], ["haystack", "haystack"], ["reader", "reader"], ["folder", "run"], ["variant", "variant"]];
  const OF_RULER = [["model", "model"], ["sweep", "sweep"], ["ruler_setting", "setting"], ["reader", "reader"], ["variant", "variant"]];
  const OUTCOMES = ["correct", "wrong", "refused", "absent-claimed", "truncated", "does-not-fit", "out-of-memory", "engine-error"];
  const COLOURS = { accuracy: "accuracy", low: "lower end of the interval", logprob: "log-probability, nats", n: "trials", seconds: "seconds a trial", difference: "difference, points" };
  const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"];
  const CIVIDIS = ["00224e", "083370", "35456c", "4f576c", "666970", "7d7c78", "948e77", "aea371", "c8b866", "e5cf52", "fee838"];
  const BLUES = ["f7fbff", "e3eef9", "d0e1f2", "b7d4ea", "94c4df", "6aaed6", "4a98c9", "2e7ebc", "1764ab", "084a91", "08306b"];
  const REDBLUE = ["ab162a", "cc4c44", "e6866a", "f7b99c", "fce0d0", "f6f7f7", "d8e9f1", "a9d1e5", "6eaed2", "3a87bd", "1e61a5"];
  const ROWS_AT_ONCE = 200;
  const S = { run: 0, base: -1, colour: "accuracy", length: null, depth: null, trial: null, only: "", find: "" };
  const H = {}; // the elements that are drawn again

  // ---- numbers as text
  const fixed = (x, digits = 2) => x === null || x === undefined ? "–" : x.toFixed(digits);
  const points = x => x === null || x === undefined ? "–" : (x > 0 ? "+" : "") + (100 * x).toFixed(1);
  const count = n => n === null || n === undefined ? "unknown" : n.toLocaleString("en");
  const pValue = p => p === null || p === undefined ? "–" : p < 0.0001 ? "<0.0001" : p.toFixed(4);
  const SHOWN = {
    length: n => n === null ? "all" : lengthName(n), count, share: x => fixed(x, 3), points, p: p => pValue(p), nats: fixed, seconds: x => x === null ? "–" : span(x),
    gib: x => x === null ? "–" : `${fixed(x, 1)} GiB`, dollars: x => x === null ? "–" : `$${fixed(x)}`, text: text => text ?? "–",
  };
  const span = seconds => seconds < 120 ? `${fixed(seconds, seconds < 10 ? 1 : 0)} s` : seconds < 7200 ? `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s` : `${Math.floor(seconds / 3600)} h ${String(Math.floor(seconds % 3600 / 60)).padStart(2, "0")} min`;
  const cellKey = (length, depth) => length + "|" + depth;

  // ---- colours
  const rgb = hex => [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16));
  const scaled = (stops, share) => {
    const x = Math.max(0, Math.min(1, share)) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(x));
    const [a, b] = [rgb(stops[i]), rgb(stops[i + 1])];
    return a.map((c, k) => Math.round(c + (b[k] - c) * (x - i)));
  };
  const inkOn = colour => { const [r, g, b] = colour.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.36 ? "black" : "white"; };

  // ---- trials: blocks that are opened when they are asked for
  const opened = new Map();
  const loaded = new Promise(done => { if (document.readyState !== "loading") done(); else document.addEventListener("DOMContentLoaded", done); });
  const block = name => {
    if (!opened.has(name)) opened.set(name, (async () => {
      let node = document.getElementById(name);
      if (!node) { await loaded; node = document.getElementById(name); }
      if (!node) return null;
      const text = atob(node.textContent), bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
      return JSON.parse(await new Response(stream).text());
    })());
    return opened.get(name);
  };
  const rowsOf = new Map();
  const trials = (run, length) => {
    const name = `t-${run}-${length}`;
    if (!rowsOf.has(name)) rowsOf.set(name, block(name).then(columns => {
      if (!columns) return [];
      const names = Object.keys(columns);
      return columns.trial.map((_, k) => Object.fromEntries(names.map(n => [n, columns[n][k]])));
    }));
    return rowsOf.get(name);
  };
  const isText = value => typeof value === "string", areTexts = value => Array.isArray(value) && value.every(isText);
  const excerptOf = async row => {
    const line = ((await block(`x-${row.length}`)) || {})[row.prompt_sha256];
    try {
      const found = JSON.parse(line); // the file beside the rows may come from elsewhere
      const isOurs = [found.question, found.beginning, found.end].every(isText) && areTexts(found.chunks) && Array.isArray(found.needles) && found.needles.every(one => areTexts(one) && one.length === 3);
      return isOurs ? found : null;
    } catch { return null; }
  };

  // ---- what belongs together
  const comparison = (base, other) => COMPARISONS.find(c => c.base === base && c.other === other);
  RUNS.forEach(run => { run.index = new Map(run.cells.map(c => [cellKey(c.length, c.depth), c])); });
  COMPARISONS.forEach(c => { c.index = new Map(c.cells.map(d => [cellKey(d.lengths[0], d.depth ?? 0), d])); });
  const unique = values => [...new Set(values)];
  const lengthsOf = run => unique(run.cells.map(c => c.length)).sort((a, b) => a - b);
  const depthsOf = run => unique(run.cells.map(c => c.depth)).sort((a, b) => a - b);

  // ---- the address keeps the state
  const readAddress = () => {
    for (const part of location.hash.slice(1).split("&")) {
      const [name, value] = part.split("=");
      if (!(name in S) || !value) continue;
      const text = (() => { try { return decodeURIComponent(value); } catch { return ""; } })();
      S[name] = ["run", "base", "length", "depth", "trial"].includes(name) ? Number(text) : text;
    }
    if (!RUNS[S.run]) S.run = 0;
    if (!comparison(S.base, S.run)) S.base = -1;
    if (!(S.colour in COLOURS)) S.colour = "accuracy";
    for (const name of ["length", "depth", "trial"]) if (!Number.isFinite(S[name])) S[name] = null;
  };
  const writeAddress = () => {
    const parts = Object.entries(S).filter(([name, value]) => value !== null && value !== "" && !(name === "base" && value < 0)).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    history.replaceState(null, "", "#" + parts.join("&"));
  };

  // ---- the top
  const drawHead = () => {
    const run = RUNS[S.run], facts = run.engine_facts || {};
    const engine = facts.server ? `${facts.server} (a server)` : facts.vllm ? `vLLM ${String(facts.vllm).replace(/^vllm(-cpu)? /i, "")}` : run.engine;
    const shown = comparison(S.base, S.run), sentences = shown ? [shown.sentence] : S.run === 0 && CONTENT.sentences.length ? CONTENT.sentences : [run.sentence];
    H.head.replaceChildren(
      el("h1", {}, CONTENT.title),
      el("p", { class: "muted" }, `task ${run.task}, haystack ${run.haystack}, reader ${run.reader}, KV cache ${run.kv_cache_dtype}, ${run.spec ? `drafts ${run.spec}, ` : ""}${engine} on ${run.hardware}; ${run.num_answers.toLocaleString("en")} answers to ${run.num_planned.toLocaleString("en")} trials, ${run.num_repeats} repeat${run.num_repeats === 1 ? "" : "s"}`),
      ...CONTENT.warnings.map(text => el("p", { class: "warning", role: "status" }, text)),
      ...sentences.map(text => el("p", { class: "verdict" }, text)),
      el("ul", { class: "effective" }, run.effective_lengths.map(e => el("li", {}, `effective length (${e.name}): `, el("b", {}, e.text)))),
      el("ul", { class: "checks" },
        el("li", {}, "calibration: ", el("b", { class: `is-${run.calibrated.replace(" ", "-")}` }, run.calibrated), run.calibration.length ? `; ${run.calibration.join("; ")}` : " (calibrate=true asks a model first whose answers are known)"),
        el("li", {}, run.control || "control sample without prefix cache: none"),
        ...(run.prompt_tokens ? [el("li", {}, run.prompt_tokens.sentence)] : []),
        el("li", {}, run.crosscheck || "crosscheck: no second engine was asked"),
        el("li", {}, `text that repeats in a context: at most ${fixed(100 * run.repeated_share, 1)}%`)),
      ...[planTable(run)].filter(Boolean),
    );
  };

  const PLAN = [["start_seconds", "engine start", "seconds"], ["trials_seconds", "trials", "seconds"], ["control_seconds", "control sample", "seconds"], ["seconds", "together", "seconds"], ["memory_gib", "memory", "gib"], ["kv_cache_tokens", "KV cache, tokens", "count"], ["dollars", "cost", "dollars"]];
  const planTable = run => {
    const found = PLAN.filter(([key]) => ["planned", "measured"].some(which => run.plan[which][key] !== null));
    if (run.engine === "fake" || !found.length) return null;
    const value = (which, [key, , kind]) => run.plan[which][key] === null ? "–" : SHOWN[kind](run.plan[which][key]);
    const rows = ["planned", "measured"].map(which => [which, ...found.map(one => value(which, one))]);
    const head = ["", ...found.map(([, name]) => name)], raw = [["", ...found.map(([key]) => key)], ...["planned", "measured"].map(which => [which, ...found.map(([key]) => run.plan[which][key])])];
    const isPlanned = found.some(([key]) => run.plan.planned[key] !== null);
    const without = !isPlanned ? " No plan was kept with this run." : run.plan.planned.seconds === null ? " The plan knows the speed of GPUs alone." : "";
    return el("details", { open: isPlanned ? "" : null }, el("summary", {}, "plan against what was measured"), el("div", { class: "scroll" }, table(head, rows, [0])), el("p", { class: "muted" }, `Of one variant.${without}${run.plan.planned.available_gib === null ? "" : ` The engine may take ${SHOWN.gib(run.plan.planned.available_gib)}.`}`), exports("plan", raw, [head, ...rows]));
  };

  // ---- choices
  const choice = (label, options, value, change) => el("label", {}, label + " ", el("select", { onchange: event => change(event.target.value) }, options.map(([key, text]) => { const option = el("option", { value: key }, text); option.selected = String(key) === String(value); return option; })));
  const drawBar = () => {
    const run = RUNS[S.run], attributes = RUNS.every(r => r.ruler_setting) ? OF_RULER : ATTRIBUTES, varied = attributes.filter(([key]) => unique(RUNS.map(r => r[key])).length > 1), named = varied.filter(([key]) => key !== "folder");
    const differing = unique(RUNS.map(r => JSON.stringify(named.map(([key]) => r[key])))).length === RUNS.length ? named : varied; // a folder is asked for where nothing else tells runs apart
    const isPlain = unique(RUNS.map(r => r.label)).length === RUNS.length && (differing.length > 3 || differing.some(([key]) => key === "folder"));
    const pick = (key, value) => {
      const agree = other => differing.filter(([k]) => other[k] === run[k]).length;
      const fit = RUNS.map((other, i) => [other[key] === value ? agree(other) : -1, i]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
      show({ run: fit[0][1] });
    };
    const choices = RUNS.length < 2 ? [] : isPlain || !differing.length
      ? [choice("run", RUNS.map((r, i) => [i, r.label]), S.run, value => show({ run: Number(value) }))]
      : differing.map(([key, name]) => choice(name, unique(RUNS.map(r => r[key])).map(v => [v, v || "–"]), run[key], value => pick(key, value)));
    const bases = RUNS.map((r, i) => [i, r.label]).filter(([i]) => comparison(i, S.run));
    if (bases.length) choices.push(choice("compare to", [[-1, "nothing"], ...bases], S.base, value => show({ base: Number(value), colour: value === "-1" ? "accuracy" : "difference" })));
    const colours = Object.entries(COLOURS).filter(([key]) => key === "difference" ? S.base >= 0 : key === "logprob" || key === "seconds" ? run.cells.some(c => c[key] !== null) : true);
    choices.push(choice("colour", colours, S.colour, value => show({ colour: value })));
    H.bar.replaceChildren(...choices);
  };

  // ---- the heatmap
  const valueOf = (run, cell) => {
    if (S.colour !== "difference") return cell ? cell[S.colour] ?? null : null;
    const found = cell && comparison(S.base, S.run).index.get(cellKey(cell.length, cell.depth));
    return found ? found.difference : null;
  };
  const scaleOf = run => {
    const values = run.cells.map(c => valueOf(run, c)).filter(v => v !== null);
    const most = Math.max(...values, 0), least = Math.min(...values, 0);
    if (S.colour === "difference") return { stops: REDBLUE, low: -1, high: 1, bend: x => Math.sign(x) * Math.sqrt(Math.abs(x)) }; // as in difference.png: 25 points have half of the colour
    if (S.colour === "logprob") return { stops: CIVIDIS, low: least || -1, high: 0 };
    if (S.colour === "n" || S.colour === "seconds") return { stops: BLUES, low: 0, high: most || 1 };
    return { stops: VIRIDIS, low: 0, high: 1 };
  };
  const cellText = value => S.colour === "difference" ? (Math.abs(value) < 0.0005 ? "0" : points(value).replace(/\.0$/, "")) : S.colour === "n" ? String(value) : fixed(value);
  const cellWords = (run, cell, length, depth) => {
    const place = `length ${lengthName(length)}${run.has_depth ? `, depth ${depth}%` : ""}`;
    if (!cell || !cell.n) return `${place}: no answer`;
    const found = S.base >= 0 ? comparison(S.base, S.run).index.get(cellKey(length, depth)) : null;
    const change = found ? `; ${points(found.difference)} points against ${RUNS[S.base].label}, ${found.lost} lost, ${found.gained} gained${found.is_significant ? ", significant" : ""}` : "";
    return `${place}: accuracy ${fixed(cell.accuracy)} [${fixed(cell.low)}, ${fixed(cell.high)}], ${cell.n} trial${cell.n === 1 ? "" : "s"}${cell.errors ? `, ${cell.errors} failed` : ""}${cell.logprob === null ? "" : `, log-probability ${fixed(cell.logprob)}`}${change}`;
  };
  const drawHeat = () => {
    const run = RUNS[S.run], lengths = lengthsOf(run), depths = depthsOf(run), scale = scaleOf(run);
    const width = Math.max(24, Math.min(104, 620 / Math.max(1, lengths.length))), height = Math.max(17, Math.min(44, 480 / Math.max(1, depths.length)));
    const left = 52, top = 4, nodes = new Map();
    const svg = sv("svg", { width: left + width * lengths.length + 6, height: top + height * depths.length + 22, role: "grid", "aria-label": `${COLOURS[S.colour]} by depth and length` },
      sv("defs", {}, sv("pattern", { id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, sv("rect", { width: 7, height: 7, fill: "var(--hatch)" }), sv("rect", { width: 1.2, height: 7, fill: "var(--hatch-line)" }))));
    const focus = (x, y) => { const node = nodes.get(x + "," + y); if (!node) return; for (const other of nodes.values()) other.setAttribute("tabindex", "-1"); node.setAttribute("tabindex", "0"); node.focus(); };
    depths.forEach((depth, y) => {
      const row = sv("g", { role: "row" });
      svg.append(row);
      row.append(sv("text", { x: left - 6, y: top + height * (y + 0.5) + 4, "text-anchor": "end", role: "rowheader" }, run.has_depth ? `${depth}%` : "all"));
      lengths.forEach((length, x) => {
        const cell = run.index.get(cellKey(length, depth)), value = valueOf(run, cell), words = cellWords(run, cell, length, depth);
        const bent = scale.bend && value !== null ? scale.bend(value) : value, colour = value === null ? null : scaled(scale.stops, (bent - scale.low) / (scale.high - scale.low));
        const node = sv("rect", {
          class: "cell", role: "gridcell", x: left + width * x, y: top + height * y, width, height, fill: colour ? `rgb(${colour})` : "url(#hatch)", tabindex: "-1", "aria-label": words,
          "data-place": cellKey(length, depth),
          onclick: () => pickCell(length, depth),
          onkeydown: event => {
            const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
            if (step) { event.preventDefault(); focus(x + step[0], y + step[1]); }
            else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pickCell(length, depth, true); }
          },
        }, sv("title", {}, words));
        nodes.set(x + "," + y, node);
        row.append(node);
        if (value !== null && width >= 30) row.append(sv("text", { class: inkOn(colour), x: left + width * (x + 0.5), y: top + height * (y + 0.5) + 4, "text-anchor": "middle", "pointer-events": "none", "aria-hidden": "true" }, cellText(value)));
        if (S.colour === "difference" && comparison(S.base, S.run).index.get(cellKey(length, depth))?.is_significant) row.append(sv("rect", { class: "framed", x: left + width * x + 2, y: top + height * y + 2, width: width - 4, height: height - 4 }));
      });
    });
    lengths.forEach((length, x) => svg.append(sv("text", { x: left + width * (x + 0.5), y: top + height * depths.length + 16, "text-anchor": "middle" }, width >= 30 || x % 2 === 0 ? lengthName(length) : "")));
    nodes.get("0,0")?.setAttribute("tabindex", "0");
    const bar = sv("svg", { width: 220, height: 12, "aria-hidden": "true" }, Array.from({ length: 44 }, (_, i) => sv("rect", { x: i * 5, y: 0, width: 5.5, height: 12, fill: `rgb(${scaled(scale.stops, i / 43)})` })));
    const end = value => S.colour === "difference" ? points(value).replace(/\.0$/, "") : S.colour === "n" ? String(value) : fixed(value, 2).replace(/\.?0+$/, "") || "0";
    H.heat.replaceChildren(el("h2", {}, `${COLOURS[S.colour][0].toUpperCase()}${COLOURS[S.colour].slice(1)} by depth and length${S.colour === "difference" ? ` against ${RUNS[S.base].label}` : ""}`),
      el("div", { class: "scroll" }, svg), el("div", { class: "legend muted" }, end(scale.low), bar, end(scale.high), S.colour === "difference" ? " (half of the colour at 25; red: lost, blue: gained)" : ""), el("p", { class: "muted" }, `Right: length in tokens.${run.has_depth ? " Down: depth of the needle, 0% is the start." : ""} Hatched: no answer.${S.colour === "difference" ? " Framed: significant after Holm's adjustment." : ""}`));
    markCell();
  };
  const markCell = () => { for (const node of H.heat.querySelectorAll(".cell")) node.classList.toggle("on", node.dataset.place === cellKey(S.length, S.depth)); };
  const pickCell = async (length, depth, byKey = false) => {
    Object.assign(S, { length, depth, trial: null });
    markCell();
    const rows = (await trials(S.run, length)).filter(row => row.depth === depth);
    const first = rows.find(row => row.score !== null && row.score < 1) || rows[0];
    if (first) S.trial = first.trial;
    await drawList();
    await drawTrial();
    writeAddress();
    if (byKey) H.list.querySelector("tr[aria-selected=true]")?.focus();
  };

  // ---- accuracy by length
  const drawCurve = () => {
    const shown = S.base >= 0 ? [S.base, S.run] : [S.run], lengths = unique(shown.flatMap(i => RUNS[i].lengths.map(l => l.length))).sort((a, b) => a - b);
    const width = 600, height = 210, left = 40, right = 108, at = length => left + (lengths.indexOf(length) + 0.5) * (width - left - right) / lengths.length, up = value => 10 + (1 - value) * (height - 38);
    const svg = sv("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "accuracy by length with intervals; the table below has the numbers" });
    for (const value of [0, 0.5, 1]) svg.append(sv("line", { class: "rule", x1: left, x2: width - right, y1: up(value), y2: up(value) }), sv("text", { class: "soft", x: left - 6, y: up(value) + 4, "text-anchor": "end" }, value));
    const own = RUNS[S.run].effective_lengths.filter(one => !one.undefined && !CONTENT.thresholds.some(level => one.name.startsWith(level.name))).map(one => ({ name: one.name.split(",")[0], accuracy: one.threshold }));
    let below = -Infinity; // names of levels that are close stand below each other
    for (const level of [...CONTENT.thresholds, ...own].sort((a, b) => b.accuracy - a.accuracy)) {
      below = Math.max(up(level.accuracy) + 4, below + 13);
      svg.append(sv("line", { class: "threshold", x1: left, x2: width - right, y1: up(level.accuracy), y2: up(level.accuracy) }), sv("text", { class: "soft", x: width - right + 5, y: below }, `${level.name}: ${fixed(level.accuracy, 3)}`));
    }
    shown.forEach((number, k) => {
      const kind = k === shown.length - 1 ? "first" : "second", run = RUNS[number], found = run.lengths.filter(l => l.accuracy !== null), shift = shown.length > 1 ? (k ? 4 : -4) : 0;
      svg.append(sv("polyline", { class: `path ${kind}`, fill: "none", points: found.map(l => `${at(l.length) + shift},${up(l.accuracy)}`).join(" ") }));
      for (const l of found) svg.append(sv("line", { class: kind, x1: at(l.length) + shift, x2: at(l.length) + shift, y1: up(l.low), y2: up(l.high) }), sv("circle", { class: kind, cx: at(l.length) + shift, cy: up(l.accuracy), r: 4 }, sv("title", {}, `${run.label}, ${lengthName(l.length)}: ${fixed(l.accuracy)} [${fixed(l.low)}, ${fixed(l.high)}], ${l.n} answers`)));
    });
    lengths.forEach(length => svg.append(sv("text", { x: at(length), y: height - 8, "text-anchor": "middle" }, lengthName(length))));
    const names = shown.length > 1 ? el("p", { class: "muted" }, `blue: ${RUNS[S.run].label}; red: ${RUNS[S.base].label}`) : null;
    H.curve.replaceChildren(el("h2", {}, `Accuracy by length, ${Math.round(100 * CONTENT.confidence)}% intervals`), el("div", { class: "scroll" }, svg), ...(names ? [names] : []), lengthTable());
  };
  const table = (head, rows, textual = []) => el("table", {}, el("thead", {}, el("tr", {}, head.map((text, i) => el("th", { scope: "col", class: textual.includes(i) ? "text" : null }, text)))), el("tbody", {}, rows.map(row => el("tr", {}, row.map((text, i) => el("td", { class: textual.includes(i) ? "text" : null }, text))))));
  const lengthTable = () => {
    const run = RUNS[S.run], cells = [...run.lengths, ...(run.lengths.length > 1 ? [{ ...run.overall, length: 0 }] : [])];
    const names = cell => Object.entries(cell.outcomes).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${n} ${name}`).join(", ");
    const drafts = cells.some(c => c.drafts !== undefined), accepted = c => c.drafts ? `${fixed(c.mean_acceptance_length)} (${Math.round(100 * c.accepted_tokens / c.draft_tokens)}% of ${count(c.draft_tokens)})` : "–";
    const beside = [...new Set(cells.flatMap(c => Object.keys(c.beside || {})))], besides = (c, show) => beside.map(name => show((c.beside || {})[name] ?? null));
    const printed = [["length", "accuracy", "interval", "answers", ...beside.map(name => name.replaceAll("_", " ")), ...(drafts ? ["acceptance length"] : []), "outcomes"], ...cells.map(c => [c.length ? lengthName(c.length) : "all", fixed(c.accuracy), c.n ? `${fixed(c.low)} to ${fixed(c.high)}` : "–", c.n, ...besides(c, fixed), ...(drafts ? [accepted(c)] : []), names(c)])];
    const raw = [["length", "accuracy", "low", "high", "n", "errors", ...beside, ...(drafts ? ["drafts", "draft_tokens", "accepted_tokens", "mean_acceptance_length"] : [])], ...cells.map(c => [c.length || "all", c.accuracy, c.low, c.high, c.n, c.errors, ...besides(c, value => value), ...(drafts ? [c.drafts, c.draft_tokens, c.accepted_tokens, c.mean_acceptance_length] : [])])];
    const grid = [["length", "depth", "accuracy", "low", "high", "n", "errors", "logprob", "seconds"], ...run.cells.map(c => [c.length, c.depth, c.accuracy, c.low, c.high, c.n, c.errors, c.logprob, c.seconds])];
    return el("div", {}, el("div", { class: "scroll" }, table(printed[0], printed.slice(1), [printed[0].length - 1])), exports("accuracy-by-length", raw, printed),
      el("details", {}, el("summary", {}, "every cell as a table"), el("div", { class: "scroll rows" }, table(grid[0], run.cells.map(c => [lengthName(c.length), c.depth, fixed(c.accuracy), fixed(c.low), fixed(c.high), c.n, c.errors, fixed(c.logprob), fixed(c.seconds)]))), exports("accuracy-by-cell", grid)));
  };

  // ---- the difference to a baseline
  const drawDifference = () => {
    const found = S.base >= 0 ? comparison(S.base, S.run) : null;
    if (!found) return H.difference.replaceChildren();
    const rows = [...found.lengths, found.overall].map(d => [d === found.overall ? "all" : lengthName(d.lengths[0]), d.pairs, fixed(d.base, 3), fixed(d.other, 3), `${points(d.difference)} [${points(d.low)}, ${points(d.high)}]`, d.lost, d.gained, pValue(d.p), pValue(d.holm_p)]);
    const head = ["length", "pairs", RUNS[S.base].label, RUNS[S.run].label, "difference, points", "lost", "gained", "p", "Holm p"];
    const raw = [["length", "pairs", "base", "other", "difference", "low", "high", "lost", "gained", "p", "holm_p"], ...[...found.lengths, found.overall].map(d => [d === found.overall ? "all" : d.lengths[0], d.pairs, d.base, d.other, d.difference, d.low, d.high, d.lost, d.gained, d.p, d.holm_p])];
    H.difference.replaceChildren(el("h2", {}, `${RUNS[S.run].label} against ${RUNS[S.base].label}`), el("p", {}, found.sentence), ...found.notes.map(text => el("p", { class: "muted" }, text)), el("div", { class: "scroll" }, table(head, rows)), exports("difference", raw, [head, ...rows]));
  };

  // ---- RULER's table
  const drawRuler = () => H.ruler.replaceChildren(...CONTENT.ruler.flatMap((one, number) => {
    const score = (found, digits = 1) => found ? found.mean.toFixed(digits) : "–", interval = found => found ? `[${found.low.toFixed(1)}, ${found.high.toFixed(1)}]` : "–";
    const samples = line => unique(line.scores.filter(Boolean).map(found => found.samples)).join(", ");
    const head = ["setting", ...one.lengths.map(lengthName), "samples"];
    const rows = one.lines.map(line => [line.name, ...line.scores.map(found => score(found)), samples(line)]);
    if (one.mean) rows.push([one.mean.name, ...one.mean.scores.map(found => score(found)), samples(one.mean)], ["95% interval", ...one.mean.scores.map(interval), ""]);
    const raw = [["line", "length", "score", "low", "high", "samples"], ...[...one.lines, ...(one.mean ? [one.mean] : [])].flatMap(line => line.scores.map((found, i) => [line.name, one.lengths[i], found?.mean, found?.low, found?.high, found?.samples]))];
    return [el("h2", {}, `RULER, ${one.title}`), el("div", { class: "scroll" }, table(head, rows, [0])),
      ...one.weighted.map(line => el("p", {}, `${line.name}: ${score(line.scores[0])} ${interval(line.scores[0])}`)),
      ...one.effective_lengths.map(found => el("p", {}, `effective length of the ${one.mean.name} (${found.name}): ${found.text}`)),
      ...one.notes.map(text => el("p", { class: "muted" }, text)), exports(`ruler${number || ""}`, raw, [head, ...rows])];
  }));

  // ---- tables of one verb alone
  const drawTables = () => H.tables.replaceChildren(...CONTENT.tables.flatMap((one, number) => {
    const head = one.columns.map(column => column.name), textual = one.columns.flatMap((column, i) => column.kind === "text" ? [i] : []);
    const rows = one.rows.map(row => row.map((value, i) => value === null && one.columns[i].kind !== "length" ? "–" : SHOWN[one.columns[i].kind](value)));
    return [el("h2", {}, one.title), el("div", { class: "scroll" }, table(head, rows, textual)), ...one.notes.map(text => el("p", { class: "muted" }, text)), exports(`table${number || ""}`, [head, ...one.rows], [head, ...rows])];
  }));

  // ---- trials
  const TRIAL = ["trial", "length", "depth", "repeat", "outcome", "score", "logprob", "seconds", "answer", "targets", "response", "error"];
  let numShown = ROWS_AT_ONCE, asked = 0;
  const drawList = async () => {
    const mine = ++asked, run = RUNS[S.run], lengths = S.length === null ? lengthsOf(run) : [S.length];
    const needle = S.find.trim().toLowerCase(), found = [];
    for (const length of lengths) {
      for (const row of await trials(S.run, length)) {
        if (S.depth !== null && S.length !== null && row.depth !== S.depth) continue;
        if (S.only && row.outcome !== S.only) continue;
        if (needle && ![row.response, row.answer, row.error, ...(row.targets || [])].some(text => text && String(text).toLowerCase().includes(needle))) continue;
        found.push(row);
      }
      if (mine !== asked) return;
      if (S.length === null && !needle && !S.only && found.length >= numShown) break; // no need to open the other lengths
    }
    const isPart = S.length === null && !needle && !S.only && found.length >= numShown;
    const other = S.base >= 0 ? new Map((await Promise.all(lengths.map(length => trials(S.base, length)))).flat().map(row => [`${row.length}|${row.depth}|${row.repeat}`, row])) : null;
    if (mine !== asked) return;
    const was = row => { const before = other?.get(`${row.length}|${row.depth}|${row.repeat}`); return before && before.outcome !== row.outcome ? ` (${before.outcome} in ${RUNS[S.base].label})` : ""; };
    const body = el("tbody", {}, found.slice(0, numShown).map(row => el("tr", {
      class: "open", tabindex: "-1", "data-trial": row.trial, "aria-selected": row.trial === S.trial ? "true" : "false", onclick: () => pickTrial(row.trial, row.length),
      onkeydown: event => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pickTrial(row.trial, row.length, true); }
        const next = event.key === "ArrowDown" ? event.target.nextElementSibling : event.key === "ArrowUp" ? event.target.previousElementSibling : null;
        if (next) { event.preventDefault(); stopAt(next); next.focus(); }
      },
    }, el("td", {}, row.trial), el("td", {}, lengthName(row.length)), el("td", {}, `${row.depth}%`), el("td", {}, row.repeat), el("td", {}, fixed(row.logprob)), el("td", { class: "text" }, row.outcome + was(row)), el("td", { class: "text" }, row.response ? String(row.response).slice(0, 90) : row.error ? String(row.error).slice(0, 90) : ""))));
    stopAt(body.querySelector("tr[aria-selected=true]") || body.firstElementChild);
    const place = S.length === null ? "all cells" : `${lengthName(S.length)}${run.has_depth && S.depth !== null ? `, ${S.depth}%` : ""}`;
    H.list.replaceChildren(
      el("div", { class: "scroll rows" }, el("table", {}, el("thead", {}, el("tr", {}, ["trial", "length", "depth", "repeat", "log-p"].map(text => el("th", { scope: "col" }, text)), el("th", { scope: "col", class: "text" }, "outcome"), el("th", { scope: "col", class: "text" }, "response"))), body)),
      el("p", { class: "muted" }, `${place}: ${Math.min(numShown, found.length).toLocaleString("en")} of ${isPart ? run.num_rows.toLocaleString("en") : found.length.toLocaleString("en")} trials `, (found.length > numShown || isPart) && el("button", { onclick: () => { numShown += ROWS_AT_ONCE; drawList(); } }, "more"), S.length !== null && el("button", { onclick: () => { Object.assign(S, { length: null, depth: null }); markCell(); drawList(); writeAddress(); } }, "all cells")),
      exports("trials", () => [TRIAL, ...found.map(row => TRIAL.map(name => Array.isArray(row[name]) ? row[name].join(" | ") : row[name]))], () => [TRIAL.slice(0, 7), ...found.slice(0, numShown).map(row => [row.trial, lengthName(row.length), row.depth, row.repeat, row.outcome, fixed(row.score), fixed(row.logprob)])]));
  };
  const stopAt = row => { // Tab goes to one row, arrow keys to the others
    for (const other of row?.parentNode.querySelectorAll("tr[tabindex='0']") || []) other.setAttribute("tabindex", "-1");
    row?.setAttribute("tabindex", "0");
  };
  const drawFilter = () => {
    const run = RUNS[S.run];
    let wait = 0;
    H.filter.replaceChildren(el("h2", {}, "Trials"),
      choice("outcome", [["", "all"], ...OUTCOMES.filter(name => run.outcomes[name]).map(name => [name, `${name} (${run.outcomes[name].toLocaleString("en")})`])], S.only, value => { S.only = value; numShown = ROWS_AT_ONCE; drawList(); writeAddress(); }), " ",
      el("label", {}, "with the text ", el("input", { type: "search", value: S.find, size: 18, oninput: event => { S.find = event.target.value; clearTimeout(wait); wait = setTimeout(() => { numShown = ROWS_AT_ONCE; drawList(); writeAddress(); }, 200); } })));
  };
  const pickTrial = async (trial, length, byKey = false) => {
    S.trial = trial;
    if (S.length !== null) S.length = length;
    for (const row of H.list.querySelectorAll("tr.open")) row.setAttribute("aria-selected", row.dataset.trial === String(trial) ? "true" : "false");
    stopAt(H.list.querySelector("tr[aria-selected=true]"));
    H.trialLength = length;
    await drawTrial();
    writeAddress();
    if (byKey) H.trial.querySelector("h2")?.focus();
  };

  // ---- one trial, under every variant and reader
  const findTrial = async () => {
    if (S.trial === null) return null;
    const run = RUNS[S.run], likely = [H.trialLength, S.length].filter(length => length !== null && length !== undefined);
    for (const length of unique([...likely, ...lengthsOf(run)])) {
      const row = (await trials(S.run, length)).find(one => one.trial === S.trial);
      if (row) return row;
    }
    return null;
  };
  const outcomeNode = row => el("span", { class: `outcome ${row.outcome === "correct" ? "correct" : "miss"}` }, row.outcome);
  const answered = (row, run) => [
    el("p", {}, outcomeNode(row), row.score === null ? "" : `, score ${Number(row.score.toFixed(3))}`, row.error ? `: ${row.error}` : "", row.ended_in ? `; its tokens ended in the ${row.ended_in}` : ""),
    el("pre", { dir: "auto" }, row.response || "(none)"),
    row.thinking && el("details", {}, el("summary", {}, `thinking, ${count(row.num_thinking_tokens)} tokens, not judged`), el("pre", { dir: "auto" }, row.thinking)),
    el("p", { class: "muted" }, [
      row.logprob === null || row.logprob === undefined ? row.not_graded ? `not graded: ${row.not_graded}` : "" : `log-probability of the right answer ${fixed(row.logprob)} nats, worst rank ${row.worst_rank}${row.margin === null || row.margin === undefined ? "" : `, margin ${fixed(row.margin)}`}`,
      ...Object.entries(row.beside || {}).map(([name, value]) => `${name.replaceAll("_", " ")} ${Number(value.toFixed(3))}`),
      `${count(row.num_prompt_tokens)} prompt tokens, ${count(row.num_cached_tokens)} cached`, row.num_completion_tokens ? `${count(row.num_completion_tokens)} written` : "", row.num_drafts === null || row.num_drafts === undefined ? "" : `${count(row.num_accepted_tokens || 0)} of ${count(row.num_draft_tokens)} drafted tokens taken in ${count(row.num_drafts)} steps`, `${fixed(row.seconds ?? 0)} s`, row.route ? `route ${row.route}` : "", `KV cache ${run.kv_cache_dtype}`,
    ].filter(Boolean).join("; ")),
  ];
  const prompted = (row, excerpt) => {
    if (!excerpt) return [el("p", { class: "muted" }, "What the model saw was not kept; the command above builds it again.")];
    // a reader may leave needles out: those that are there have their numbers among the planted ones from the row
    const numbers = (row.needles_kept || []).flatMap((isKept, number) => isKept ? [number] : []);
    const present = excerpt.needles.map((parts, k) => ({ parts, number: numbers[k] ?? k, span: (row.needle_spans || [])[k] }));
    const needed = present.filter(one => one.number < excerpt.num_needed), others = present.filter(one => one.number >= excerpt.num_needed);
    const absent = (row.needles_kept || []).flatMap((isKept, number) => isKept || number >= excerpt.num_needed ? [] : [number]);
    const needleName = number => `Needle${excerpt.num_needed > 1 ? ` ${number + 1}` : ""}`, fate = number => row.needles_retrieved?.[number] ? `, retrieved: ${row.needles_retrieved[number]}` : "";
    const needle = ([before, inside, after]) => el("pre", { dir: "auto" }, "… ", before, el("mark", {}, inside), after, " …");
    const chunks = row.retrieved || [];
    return [
      el("h3", {}, "Question"), el("pre", { dir: "auto" }, excerpt.question),
      ...needed.flatMap(({ parts, number, span }) => [el("h3", {}, `${needleName(number)}${span ? `, tokens ${span.map(count).join(" to ")}` : ""}${fate(number)}`), needle(parts)]),
      ...absent.map(number => el("h3", {}, `${needleName(number)}, not in what the model saw${fate(number)}`)),
      others.length ? el("details", {}, el("summary", {}, `${others.length} that look like it`), others.map(one => needle(one.parts))) : null,
      chunks.length ? el("details", {}, el("summary", {}, `${chunks.length} retrieved chunks, best first`), chunks.map(([start, stop, score], k) => [el("h3", {}, start < 0 ? `${k + 1}: not word for word in the context, score ${score}` : `${k + 1}: tokens ${count(start)} to ${count(stop)} of the context, score ${score}`), excerpt.chunks[k] ? el("pre", { dir: "auto" }, excerpt.chunks[k]) : null])) : null,
      el("details", {}, el("summary", {}, "beginning and end of the prompt"), el("pre", { dir: "auto" }, excerpt.beginning, " …"), el("pre", { dir: "auto" }, "… ", excerpt.end)),
    ];
  };
  let drawn = 0;
  const drawTrial = async () => {
    const mine = ++drawn, row = await findTrial();
    if (mine !== drawn) return;
    if (!row) return H.trial.replaceChildren(el("p", { class: "muted" }, "Click a cell, or move to it with Tab and the arrow keys and press Enter: here stands what the model saw and said."));
    const run = RUNS[S.run], command = `python -m niah show ${quoted(run.folder)} --trial ${row.trial}`;
    const sides = [[S.run, row]];
    for (const [number, other] of RUNS.entries()) {
      if (number === S.run || other.task !== run.task || other.model !== run.model) continue;
      const same = (await trials(number, row.length)).find(one => one.depth === row.depth && one.repeat === row.repeat);
      if (same) sides.push([number, same]);
      if (sides.length >= 24) break;
    }
    const excerpt = await excerptOf(row);
    if (mine !== drawn) return;
    sides.sort((a, b) => a[0] - b[0]);
    H.trial.replaceChildren(...[
      el("h2", { tabindex: "-1" }, `Trial ${row.trial}: ${lengthName(row.length)}${run.has_depth ? `, depth ${row.depth}%` : ""}, repeat ${row.repeat}`),
      el("p", {}, el("code", {}, command), " ", el("button", { onclick: () => navigator.clipboard?.writeText(command) }, "copy"), el("span", { class: "muted" }, ` sha256 of the prompt ${String(row.prompt_sha256 || "").slice(0, 16)}…`)),
      el("h3", {}, "Right answer"), el("pre", { dir: "auto" }, row.targets.join("\n")),
      sides.length > 1 ? el("h3", {}, "The same trial, side by side") : el("h3", {}, "Response"),
      el("div", { class: "sides" }, sides.map(([number, one]) => el("div", { class: number === S.run ? "side own" : "side" }, sides.length > 1 && el("h3", {}, RUNS[number].label, " ", number !== S.run && el("button", { onclick: () => show({ run: number, trial: one.trial }) }, "look at this one")), answered(one, RUNS[number])))),
      ...prompted(row, excerpt),
    ].filter(Boolean));
  };
  const quoted = path => /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;

  // ---- how it was measured
  const drawFoot = () => {
    const run = RUNS[S.run], packages = Object.entries(run.environment.packages || {}).map(([name, version]) => `${name} ${version}`).join(", ");
    const outcome = run.costs, sessions = run.sessions.filter(one => one.started);
    H.foot.replaceChildren(
      el("h2", {}, "How it was measured"),
      el("p", {}, `${count(outcome.prompt_tokens)} prompt tokens (${count(outcome.cached_tokens)} from the prefix cache) and ${count(outcome.completion_tokens)} written in ${count(Math.round(outcome.seconds))} s of requests${sessions.length ? `, begun ${sessions[0].started}` : ""}. niah ${run.environment.niah || CONTENT.niah}, rules of scoring ${CONTENT.scorer_rules}, Python ${run.environment.python || "unknown"}${packages ? `; ${packages}` : ""}.`),
      el("p", {}, `A length is the whole prompt and the answer's budget (${run.answer_tokens} tokens) in the model's own tokens. Intervals are Wilson's with trials of a repeat counted for what they are worth; differences are tested by sign flips over repeats, p adjusted by Holm. An engine's failure is never a wrong answer.`),
      el("details", {}, el("summary", {}, "settings and fingerprints"), el("pre", {}, JSON.stringify({ fingerprint: run.fingerprint, sources: run.sources, settings: run.settings, engine: run.engine_facts }, null, 1))),
      el("p", { class: "muted" }, `To cite: niah ${CONTENT.niah}, ${run.model}, ${run.task} over ${run.haystack}, run ${String(run.fingerprint || run.name || run.folder).slice(0, 16)}. report.json beside this page has every number of it, rows.jsonl every answer.`));
  };

  // ---- all of it
  const draw = async () => { drawHead(); drawBar(); drawHeat(); drawCurve(); drawDifference(); drawFilter(); drawFoot(); writeAddress(); await drawList(); await drawTrial(); };
  const show = changed => {
    Object.assign(S, changed);
    if ("run" in changed && S.base >= 0 && !comparison(S.base, S.run)) { // its own baseline, where it has but one
      const own = COMPARISONS.filter(c => c.other === S.run);
      Object.assign(S, own.length === 1 ? { base: own[0].base } : { base: -1, colour: S.colour === "difference" ? "accuracy" : S.colour });
    }
    if (S.base < 0 && S.colour === "difference") S.colour = "accuracy";
    numShown = ROWS_AT_ONCE;
    draw();
  };
  const MAIN = el("main", {}, H.tables = el("section", { class: "wide" }));
  if (!RUNS.length) { // a verb's tables alone
    APP.replaceChildren(H.head = el("header", {}, el("h1", {}, CONTENT.title), CONTENT.warnings.map(text => el("p", { class: "warning", role: "status" }, text)), CONTENT.sentences.map(text => el("p", { class: "verdict" }, text))), MAIN);
    drawTables();
    Object.assign(document.documentElement.dataset, { drawn: String(Math.round(performance.now())), ready: "yes" });
    return;
  }
  readAddress();
  APP.replaceChildren(H.head = el("header"), H.bar = el("nav", { class: "bar", "aria-label": "what is shown" }),
    filled(MAIN, {}, [H.ruler = el("section", { class: "wide" }), el("section", {}, H.heat = el("div"), H.difference = el("div")), H.curve = el("section"), el("section", { class: "wide" }, H.filter = el("div"), H.list = el("div"), H.trial = el("div", { "aria-live": "polite" }))]), H.foot = el("footer"));
  drawTables();
  drawRuler();
  draw().then(() => { document.documentElement.dataset.ready = "yes"; });
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));
  addEventListener("hashchange", () => { readAddress(); draw(); });
})();
