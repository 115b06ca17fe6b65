// The description of the service, from its own openapi.json, with a form to try each operation. No other host.
"use strict";

const at = (id) => document.getElementById(id);
const DEEPEST = 6; // of schemas in schemas
let spec = {};

function made(tag, options = {}, ...inside) {
  const { attributes = {}, ...properties } = options;
  const element = Object.assign(document.createElement(tag), properties);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...inside.filter((part) => part !== null && part !== ""));
  return element;
}

function worded(text) { // `code` in a description is shown as code
  return (text || "").split("`").map((part, place) => place % 2 ? made("code", { textContent: part }) : part);
}

function resolved(thing) {
  if (!thing || !thing.$ref) return thing || {};
  return thing.$ref.replace("#/", "").split("/").reduce((place, part) => place[part], spec);
}

function kind(schema) {
  const known = resolved(schema);
  if (known.anyOf) return known.anyOf.map(kind).join(" or ");
  if (known.enum) return known.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (known.type === "array") return `list of ${kind(known.items)}`;
  if (known.format === "binary") return "file";
  if (known.additionalProperties) return `object of ${kind(known.additionalProperties)}`;
  return known.type || "anything";
}

function inner(schema) { // the object whose fields are worth showing, if there is one
  const known = resolved(schema);
  if (known.anyOf) return known.anyOf.map(inner).find(Boolean) || null;
  if (known.type === "array") return inner(known.items);
  return known.properties ? known : null;
}

function fields(schema, depth = 0) {
  const known = inner(schema);
  if (!known || depth > DEEPEST) return "";
  return made("ul", {}, ...Object.entries(known.properties).map(([name, of]) => made("li", {},
    made("code", { textContent: name }),
    made("span", { className: "kind", textContent: ` ${kind(of)}${(known.required || []).includes(name) ? ", always" : ""}` }),
    ...(resolved(of).description ? [". ", ...worded(resolved(of).description)] : []), fields(of, depth + 1))));
}

function answers(operation) {
  return made("dl", {}, ...Object.entries(operation.responses).flatMap(([status, answer]) => {
    const shown = Object.entries(answer.content || {}).map(([type, { schema }]) => made("div", {}, made("span",
      { className: "kind", textContent: type }), Number(status) < 400 ? fields(schema) : ""));
    return [made("dt", {}, made("code", { textContent: status }), " ", ...worded(answer.description)), made("dd", {}, ...shown)];
  }));
}

function field(label, input) {
  return made("label", {}, label, input);
}

function bodyInputs(type, content) {
  if (type !== "multipart/form-data") {
    const text = JSON.stringify(content.example ?? {}, null, 2);
    return [field("Body", made("textarea", { name: "body", value: text, spellcheck: false }))];
  }
  return Object.entries(inner(content.schema).properties).map(([name, of]) => field(name, made("input",
    { type: "file", name: `file:${name}`, multiple: resolved(of).type === "array" })));
}

function tryForm(path, method, operation) {
  const form = made("form", { className: "try" }), said = made("div", { className: "said", attributes: { "aria-live": "polite" } });
  const parameters = (operation.parameters || []).map(resolved);
  form.append(...parameters.map((parameter) => field(`${parameter.name} (${parameter.in})`, made("input", {
    name: `${parameter.in}:${parameter.name}`, required: Boolean(parameter.required), autocomplete: "off",
    value: parameter.in === "path" ? "catsdogs" : "" }))));
  const contents = Object.entries((operation.requestBody || {}).content || {});
  const inputs = made("div", { className: "try" });
  let type = contents.length ? contents[0][0] : "";
  const fill = () => inputs.replaceChildren(...(type ? bodyInputs(type, Object.fromEntries(contents)[type]) : []));
  if (contents.length > 1) {
    const choice = made("select", { name: "type" }, ...contents.map(([name]) => made("option", { textContent: name })));
    choice.addEventListener("change", () => { type = choice.value; fill(); });
    form.append(field("Body as", choice));
  }
  fill();
  form.append(inputs, made("button", { className: "button", type: "submit", textContent: "Send" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.replaceChildren(made("p", { className: "kind", textContent: "Asking…" }));
    said.replaceChildren(...await send(form, path, method, type).catch(
      (error) => [made("p", { className: "problem", textContent: `The service cannot be asked: ${error.message}` })]));
  });
  return made("div", {}, form, said);
}

async function send(form, path, method, type) {
  const headers = at("key").value ? { Authorization: `Bearer ${at("key").value.trim()}` } : {};
  const query = new URLSearchParams();
  let address = path.slice(1), body;
  for (const input of form.querySelectorAll("input[name], textarea[name]")) {
    const [where, name] = input.name.split(":");
    if (where === "path") address = address.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (where === "query" && input.value) query.set(name, input.value);
    else if (where === "header" && input.value) headers[name] = input.value;
    else if (where === "body") { body = input.value; headers["Content-Type"] = type; }
    else if (where === "file") { body ||= new FormData(); [...input.files].forEach((file) => body.append(name, file)); }
  }
  const started = performance.now();
  const answer = await fetch(address + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), headers, body });
  const content = await answer.blob(), ms = (performance.now() - started).toFixed(0);
  const about = ["X-Request-ID", "X-Model-Version", "Retry-After"].filter((name) => answer.headers.has(name))
    .map((name) => `${name}: ${answer.headers.get(name)}`).join("\n");
  return [made("h3", { textContent: `${answer.status} after ${ms} ms` }), about ? made("pre", { textContent: about }) : "",
    await shown(content)];
}

async function shown(content) {
  if (content.type.startsWith("image/")) return made("img", { src: URL.createObjectURL(content), alt: "The picture that was answered" });
  const text = await content.text();
  if (!content.type.startsWith("application/json")) return made("pre", { textContent: text });
  return made("pre", { textContent: JSON.stringify(JSON.parse(text), null, 2) });
}

function shownOperation(path, method, operation) {
  const contents = Object.entries((operation.requestBody || {}).content || {});
  const inside = made("div", { className: "inside" });
  const details = made("details", {}, made("summary", {}, made("b", { className: "method", textContent: method.toUpperCase() }),
    made("code", { textContent: path }), made("span", { textContent: operation.summary || "" })), inside);
  details.addEventListener("toggle", () => { // filled when first opened
    if (!details.open || inside.childElementCount) return;
    inside.append(made("p", {}, ...worded(operation.description)), ...(contents.length ? [made("h3", { textContent: "Send" }),
      ...contents.map(([type, { schema }]) => made("div", {}, made("span", { className: "kind", textContent: type }), fields(schema)))] : []),
    made("h3", { textContent: "Answers" }), answers(operation), made("h3", { textContent: "Try it" }), tryForm(path, method, operation));
  });
  return details;
}

async function start() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json is answered with ${answer.status}.`);
  spec = await answer.json();
  at("version").textContent = `version ${spec.info.version}`;
  at("openapi").textContent = spec.openapi;
  at("about").textContent = spec.info.description || "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      groups.set(tag, [...(groups.get(tag) || []), shownOperation(path, method, operation)]);
    }
  }
  at("operations").append(...[...groups].flatMap(([tag, all]) => [made("h2", { textContent: tag }), ...all]));
}

start().catch((error) => { at("problem").textContent = error.message; at("problem").hidden = false; });
