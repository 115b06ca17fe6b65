// The page of the service: asks /predict, then /explain. No framework, no build, no other host.
"use strict";

const KINDS = ["image/jpeg", "image/png", "image/gif", "image/bmp", "image/webp"];
const FOR = [255, 122, 0], AGAINST = [40, 110, 255], STRONGEST = 0.72;
const at = (id) => document.getElementById(id);
const TALLEST = 26; // rem
const visit = [];
let key = "", waitingFor = null, current = null;

async function ask(path, options = {}) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(path, { ...options, headers });
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new NeedsKey(key ? "That key is not known here." : "");
  if (answer.status === 403) throw new NeedsKey("That key is for something else.");
  if (!answer.ok) throw new Error(sentence(answer, body));
  return body;
}

class NeedsKey extends Error {}

function sentence(answer, body) {
  if (answer.status === 503 || answer.status === 429) return "The service is busy. Try again in a moment.";
  return body.detail || `The service answered ${answer.status}.`;
}

function photoIn(list) {
  return [...(list || [])].find((file) => file.type.startsWith("image/")) || [...(list || [])][0];
}

async function take(file) {
  if (!file) return;
  problem("");
  if (file.type && !KINDS.includes(file.type)) {
    problem(`${file.name || "This"} is no photo that can be read here: JPEG, PNG, WebP, GIF and BMP can.`);
    return;
  }
  const entry = { file, url: URL.createObjectURL(file) };
  waitingFor = entry;
  preview(entry);
  try {
    const form = () => { const data = new FormData(); data.append("file", file); return { method: "POST", body: data }; };
    const started = performance.now();
    entry.answer = await ask("predict", form());
    entry.ms = performance.now() - started;
    visit.unshift(entry);
    if (waitingFor === entry) show(entry); else list();
    entry.grid = await ask("explain", form()).then((body) => body.grid, () => null);
    if (current === entry) paint(entry);
  } catch (error) {
    if (waitingFor !== entry) return;
    document.body.classList.toggle("answered", visit.length > 0);
    if (visit.length) show(visit[0], { aloud: false }); else at("result").hidden = true;
    at("spoken").textContent = "";
    if (error instanceof NeedsKey) askForKey(file, error.message);
    else problem(error instanceof TypeError ? "The service cannot be reached." : error.message);
  }
}

function preview(entry) {
  document.body.classList.add("answered");
  at("result").hidden = false;
  at("result").classList.remove("unsure");
  at("photo").src = entry.url;
  at("frame").className = "frame waiting";
  at("heat-row").hidden = true;
  at("over").textContent = "";
  at("verdict").textContent = "Looking…";
  at("spoken").textContent = "Looking…"; // or the same verdict twice would be no change, and not be spoken
  at("reason").hidden = true;
  at("bars").replaceChildren();
  at("time").textContent = "";
}

function show(entry, { aloud = true } = {}) {
  const { answer } = entry;
  current = waitingFor = entry;
  document.body.classList.add("answered");
  at("result").hidden = false;
  at("result").classList.toggle("unsure", answer.unsure);
  at("photo").src = entry.url;
  at("photo").alt = `Your photo ${entry.file.name || ""}`.trim();
  at("frame").className = "frame";
  at("over").textContent = answer.unsure ? "Better not to rely on it:" : "This looks like a";
  at("verdict").textContent = answer.unsure ? "Not sure" : answer.label;
  at("reason").hidden = !answer.unsure;
  at("reason").textContent = answer.unsure ? `${answer.reason} If it must be one of them: ${answer.label}.` : "";
  bars(answer);
  at("time").textContent = `Answered in ${entry.ms < 100 ? entry.ms.toFixed(0) : (Math.round(entry.ms / 10) * 10)} ms`
    + (answer.model_loaded ? "" : ": no model is loaded, a stub invents these answers");
  if (aloud) at("spoken").textContent = answer.unsure ? `Not sure. ${at("reason").textContent}` : `${answer.label}, ${percent(answer.confidence)}.`;
  paint(entry);
  list();
}

function bars(answer) {
  const ranked = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 5);
  at("bars").replaceChildren(...ranked.map(([label, share], place) => {
    const row = document.createElement("li"), name = document.createElement("span"), number = document.createElement("b");
    const bar = document.createElement("progress");
    row.className = place ? "" : "first";
    name.textContent = label;
    number.textContent = percent(share);
    bar.max = 1;
    bar.value = share;
    bar.setAttribute("aria-hidden", "true");
    row.append(name, number, bar);
    return row;
  }));
}

function percent(share) {
  const text = (100 * share).toFixed(1);
  return `${text === "100.0" && share < 1 ? "> 99.9" : text === "0.0" && share > 0 ? "< 0.1" : text} %`;
}

function paint(entry) {
  at("heat-row").hidden = !entry.grid;
  at("frame").classList.toggle("lit", Boolean(entry.grid) && at("heat-on").checked);
  if (!entry.grid) return;
  const rows = entry.grid.length, columns = entry.grid[0].length;
  const small = new OffscreenCanvas(columns, rows), pixels = new ImageData(columns, rows);
  entry.grid.flat().forEach((value, place) => {
    pixels.data.set([...(value > 0 ? FOR : AGAINST), 255 * STRONGEST * Math.min(1, Math.abs(value))], 4 * place);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  const canvas = at("heat"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [512, 512]; // stretched over the photo, as the network saw it
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, 512, 512);
}

function list() {
  at("history").hidden = visit.length < 2;
  at("photos").replaceChildren(...visit.map((entry) => {
    const row = document.createElement("li"), button = document.createElement("button"), image = document.createElement("img");
    const text = document.createElement("span"), share = document.createElement("small");
    image.src = entry.url;
    image.alt = "";
    text.textContent = entry.answer.unsure ? "not sure" : entry.answer.label;
    share.textContent = (entry.answer.unsure ? `${entry.answer.label} ` : "") + percent(entry.answer.confidence);
    text.append(share);
    button.type = "button";
    button.setAttribute("aria-current", String(entry === current));
    button.append(image, text);
    button.addEventListener("click", () => { show(entry); at("verdict").focus(); });
    row.append(button);
    return row;
  }));
}

function problem(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

function askForKey(file, why) {
  problem(why);
  at("key-form").hidden = false;
  at("key").focus();
  at("key-form").onsubmit = (submit) => {
    submit.preventDefault();
    key = at("key").value.trim(); // in this page only: gone when it is closed
    at("key-form").hidden = true;
    about();
    take(file);
  };
}

async function about() {
  try {
    const model = await ask("model");
    const names = model.classes;
    at("model").textContent = `model ${model.version}`;
    if (names.length <= 3) at("title").textContent = `${names.join(" or ")}?`.replace(/^./, (first) => first.toUpperCase());
  } catch { /* without a model, or without a key, the page says less */ }
}

for (const id of ["choose", "take"]) {
  at(id).addEventListener("change", () => { take(photoIn(at(id).files)); at(id).value = ""; });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) { event.preventDefault(); take(photoIn(event.clipboardData.files)); }
});
let inside = 0;
document.addEventListener("dragenter", () => { inside += 1; document.body.classList.add("over-page"); });
document.addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) document.body.classList.remove("over-page"); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("over-page");
  take(photoIn(event.dataTransfer.files));
});
at("photo").addEventListener("load", () => {
  const share = at("photo").naturalWidth / at("photo").naturalHeight, frame = at("frame").style;
  frame.aspectRatio = String(share);
  frame.width = `min(100%, ${(TALLEST * share).toFixed(2)}rem)`;
});
at("heat-on").addEventListener("change", () => current && paint(current));
about();
