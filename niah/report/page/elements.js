"use strict";
// what page.js and index.js share, before them in one script; what is shown comes from the JSON beside it, and every text
// goes through visible() into a text node
const CONTENT = JSON.parse(document.getElementById("content").textContent), APP = document.getElementById("app");
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udc7f]/g;
const visible = text => String(text).replace(UNSEEN, c => { const n = c.codePointAt(0); return n < 256 ? "\\x" + n.toString(16).padStart(2, "0") : n < 65536 ? "\\u" + n.toString(16).padStart(4, "0") : "\\U" + n.toString(16).padStart(8, "0"); });
const filled = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, visible(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child instanceof Node ? child : visible(child));
  return node;
};
const el = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
const sv = (name, attributes = {}, ...children) => filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const lengthName = n => n >= 1048576 && n % 1048576 === 0 ? n / 1048576 + "M" : n >= 1024 && n % 1024 === 0 ? n / 1024 + "K" : n.toLocaleString("en");
// tables as files
const save = (name, text) => {
  const link = el("a", { download: name });
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const csv = rows => rows.map(row => row.map(value => value === null || value === undefined ? "" : /[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value)).join(",")).join("\r\n") + "\r\n";
const latex = rows => {
  const SPECIAL = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
  const safe = value => visible(value ?? "--").replace(/[\\~^]|[&%$#_{}]/g, c => SPECIAL[c] || "\\" + c);
  return [`\\begin{tabular}{l${"r".repeat(rows[0].length - 1)}}`, "\\toprule", rows[0].map(safe).join(" & ") + " \\\\", "\\midrule", ...rows.slice(1).map(row => row.map(safe).join(" & ") + " \\\\"), "\\bottomrule", "\\end{tabular}", ""].join("\n");
};
const made = rows => typeof rows === "function" ? rows() : rows; // long tables are made when they are asked for
const exports = (name, raw, printed = raw) => el("p", {}, el("button", { onclick: () => save(`${name}.csv`, csv(made(raw))) }, "CSV"), " ", el("button", { onclick: () => save(`${name}.tex`, latex(made(printed))) }, "LaTeX"));
