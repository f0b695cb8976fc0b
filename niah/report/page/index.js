(() => {
  const size = n => n >= 1e9 ? (n / 1e9).toFixed(1) + " GB" : n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : n >= 1e3 ? (n / 1e3).toFixed(1) + " kB" : n + " B";
  const counted = text => text.replace(/\d+/g, number => number.padStart(15, "0")); // seed 2 before seed 10
  // name, what is sorted by, what is shown, whether it is text
  const COLUMNS = [
    ["run", run => run.name, run => run.page ? el("a", { href: run.page.split("/").map(encodeURIComponent).join("/") }, run.name) : run.name, true],
    ["model", run => run.model, run => run.trouble ? run.trouble : run.model + (run.engine === "fake" ? " (fake)" : ""), true],
    ["task", run => run.task, run => run.task, true], ["haystack", run => run.haystack, run => run.haystack, true], ["reader", run => run.reader, run => run.reader, true],
    ["KV", run => run.variants.join(", "), run => run.variants.join(", "), true],
    ...(CONTENT.runs.some(run => run.differs) ? [["differs", run => counted(run.differs), run => run.differs, true]] : []),
    ["lengths", run => run.lengths.at(-1) ?? 0, run => run.lengths.length ? [...new Set([run.lengths[0], run.lengths.at(-1)].map(lengthName))].join(" to ") : "", false],
    ["answers", run => run.num_answers, run => `${run.num_answers.toLocaleString("en")} of ${(run.num_planned * Math.max(1, run.variants.length)).toLocaleString("en")}`, false],
    ["accuracy", run => run.accuracy ?? -1, run => run.accuracy === null ? "–" : run.accuracy.toFixed(2), false],
    ["last row (UTC)", run => run.changed, run => run.changed.slice(0, 16).replace("T", " "), false],
    ["size", run => run.bytes, run => size(run.bytes), false],
  ];
  let by = COLUMNS.findIndex(([name]) => name === "last row (UTC)"), falls = true, find = "";
  const body = el("tbody"), head = el("tr");
  const shown = () => {
    const value = COLUMNS[by][1], wanted = find.trim().toLowerCase();
    const runs = CONTENT.runs.filter(run => !wanted || [run.name, run.model, run.task, run.haystack, run.reader, run.variants.join(" "), run.differs].join(" ").toLowerCase().includes(wanted));
    return runs.sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (falls ? -1 : 1));
  };
  const names = COLUMNS.map(([name]) => name), FIELDS = ["name", "model", "task", "haystack", "reader", "variants", "differs", "engine", "lengths", "num_planned", "num_answers", "accuracy", "changed", "bytes", "trouble"];
  const draw = () => {
    const runs = shown();
    body.replaceChildren(...runs.map(run => el("tr", {}, COLUMNS.map(([, , shown, isText]) => el("td", { class: isText ? "text" : null }, shown(run))))));
    head.replaceChildren(...COLUMNS.map(([name, , , isText], i) => el("th", { scope: "col", class: isText ? "text" : null, "aria-sort": i === by ? (falls ? "descending" : "ascending") : null }, el("button", { onclick: () => { falls = i === by ? !falls : false; by = i; draw(); } }, name + (i === by ? (falls ? " ↓" : " ↑") : "")))));
  };
  APP.replaceChildren(el("header", {}, el("h1", {}, CONTENT.title), CONTENT.warnings.map(text => el("p", { class: "warning", role: "status" }, text)), el("p", {}, el("label", {}, "with the text ", el("input", { type: "search", oninput: event => { find = event.target.value; draw(); } })))), el("footer", {}, el("div", { class: "scroll runs" }, el("table", {}, el("thead", {}, head), body)), exports("runs", () => [FIELDS, ...shown().map(run => FIELDS.map(key => Array.isArray(run[key]) ? run[key].join(" ") : run[key]))], () => [names, ...shown().map(run => COLUMNS.map(([name, , text]) => name === "run" ? run.name : text(run)))])));
  draw();
  document.documentElement.dataset.ready = "yes";
})();
