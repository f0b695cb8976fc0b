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
