// The page of tipcam. It speaks with the program that served it and with nobody else.

const $ = (id) => document.getElementById(id);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const percent = (share) => `${share >= 0.9995 ? "100" : (100 * share).toFixed(share > 0.99 || share < 0.1 ? 1 : 0)} %`;
const plural = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

/** An element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// --- speaking with the program -----------------------------------------------------------------

// the token comes behind #, which no server and no log sees, and stays in this tab
const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  sessionStorage.setItem("token", fragment.get("token"));
  history.replaceState(null, "", location.pathname);
}

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(method, path, { json, signal } = {}) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (json !== undefined || method === "POST") headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: json && JSON.stringify(json), cache: "default" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "tipcam does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) askForToken();
  throw new Refused(response.status, problem.detail ?? `The answer was ${response.status}.`);
}

const get = async (path, options) => (await ask("GET", path, options)).json();
const change = async (method, path, json) => {
  const answer = await (await ask(method, path, { json })).json();
  refresh();
  return answer;
};
const classPath = (label) => `/v1/classes/${encodeURIComponent(label)}`;

function askForToken() {
  const dialog = $("token-dialog");
  if (dialog.open) return;
  $("token-wrong").hidden = !sessionStorage.getItem("token");
  dialog.showModal();
  dialog.onclose = () => {
    sessionStorage.setItem("token", $("token").value.trim());
    $("token").value = "";
    restart();
  };
}

// --- telling people ----------------------------------------------------------------------------

let toastTimer;

/** A line at the bottom; `undo` is how many changes its button takes back. */
function tell(text, { undo = 0, bad = false } = {}) {
  const [words, button] = $("toast").children;
  words.textContent = text;
  button.hidden = undo === 0;
  button.onclick = () => takeBack(undo);
  $("toast").classList.toggle("bad", bad);
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("toast").hidden = true), undo ? 9000 : 6000);
}

/** Does something that may fail, and says why it did. */
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, { bad: true });
    return undefined;
  }
}

async function takeBack(times) {
  await attempt(async () => {
    let last;
    for (let i = 0; i < times; i++) last = await change("POST", "/v1/undo");
    if (last) tell(`Taken back: ${last.what}.`);
  });
}

function setState(kind, text) {
  $("state").className = kind;
  $("state-text").textContent = text;
  document.body.classList.toggle("cut", kind !== "well");
}

/** A line at the top, for as long as something is wrong. */
function warn(text) {
  $("trouble").hidden = text === null;
  $("trouble").textContent = text ?? "";
}

function lost(error) {
  const closed = error.status === 401;
  setState("lost", closed ? "Closed" : "No connection");
  if (!closed) warn(error.status ? error.message : "tipcam does not answer. This page tries again by itself.");
}

// --- the live answer ---------------------------------------------------------------------------

let regions = [];
let region = null;
const newest = new Map();
let drawn = true;

function show(line) {
  newest.set(line.region ?? null, line);
  if (drawn) requestAnimationFrame(draw);
  drawn = false;
}

function draw() {
  drawn = true;
  const line = newest.get(region);
  if (!line) return;
  const stable = line.stable ?? "Not sure yet";
  if ($("stable").textContent !== stable) $("stable").textContent = stable;
  $("stable").classList.toggle("none", line.stable === null);
  $("raw").textContent = line.unknown
    ? "This moment looks like nothing that was learned."
    : `This moment: ${line.raw}, ${percent(line.score)}${line.still ? ", nothing moves" : ""}`;
  drawBars(line.top);
  drawLatency(line);
  drawWhy(line.nearest);
}

function drawBars(top) {
  const bars = $("bars");
  while (bars.children.length > top.length) bars.lastChild.remove();
  while (bars.children.length < top.length) {
    bars.append(make("li", {}, make("span"), make("span", { className: "score" }), make("span", { className: "fill" })));
  }
  top.forEach(({ label, score }, i) => {
    const [name, value, fill] = bars.children[i].children;
    name.textContent = label;
    value.textContent = percent(score);
    fill.style.width = `${100 * score}%`;
  });
}

function drawLatency({ ms, frame, dropped }) {
  const parts = [["read", ms.decode], ["resize", ms.preprocess], ["look", ms.encode], ["compare", ms.head]];
  const sum = parts.reduce((all, [, time]) => all + time, 0);
  const split = parts.map(([name, time]) => `${name} ${time.toFixed(1)}`).join(", ");
  const share = 1 - dropped / (frame + 1);
  $("latency").textContent = `${sum.toFixed(1)} ms for a frame: ${split}. ${percent(share)} of the camera's frames are looked at.`;
}

let whyKeys = "";
let whyAt = 0;

function drawWhy(nearest) {
  const list = $("why").querySelector("ol");
  const keys = nearest.map((near) => `${near.key} ${near.label}`).join();
  // thumbnails that change ten times a second cannot be looked at
  if (keys !== whyKeys && performance.now() - whyAt > 400) {
    whyKeys = keys;
    whyAt = performance.now();
    list.replaceChildren(...nearest.map(({ key, label }) =>
      make("li", {}, thumbnail(key, label), make("span", { className: "under", textContent: label }), make("span", { className: "quiet" }))));
  }
  if (keys === whyKeys) {
    nearest.forEach(({ cosine }, i) => (list.children[i].lastChild.textContent = `${percent(cosine)} alike`));
  }
  $("why").querySelector(".empty").hidden = nearest.length > 0;
}

function addChange(line) {
  const at = new Date(line.time);
  const time = make("time", { dateTime: line.time, textContent: at.toLocaleTimeString(), title: at.toLocaleString() });
  const where = line.region ? `${line.region}: ` : "";
  const list = $("changes").querySelector("ol");
  list.prepend(make("li", {}, time, make("span", { textContent: where + (line.stable ?? "not sure any more") })));
  while (list.children.length > 50) list.lastChild.remove();
  $("changes").querySelector(".empty").hidden = true;
}

function setRegions(names) {
  if (names.join("\n") === regions.join("\n")) return;
  regions = names;
  region = names[0] ?? null;
  $("regions").hidden = names.length === 0;
  $("regions").replaceChildren(...names.map((name) => {
    const button = make("button", { textContent: name, onclick: () => choose(name) });
    button.setAttribute("role", "radio");
    return button;
  }));
  choose(region);
}

function choose(name) {
  region = name;
  for (const button of $("regions").children) button.setAttribute("aria-checked", button.textContent === name);
  requestAnimationFrame(draw);
}

// --- thumbnails --------------------------------------------------------------------------------

const pictures = new Map();

/** The small picture of a shot as a URL; null where none was kept. */
function thumbnailUrl(key) {
  if (!pictures.has(key)) {
    if (pictures.size > 400) {
      const [oldest, url] = pictures.entries().next().value;
      pictures.delete(oldest);
      url.then((url) => url && URL.revokeObjectURL(url));
    }
    const load = ask("GET", `/v1/shots/${key}/thumbnail.jpg`)
      .then(async (response) => URL.createObjectURL(await response.blob()))
      .catch((error) => {
        // what is not there now comes no more; anything else may
        if (error.status !== 404) pictures.delete(key);
        return null;
      });
    pictures.set(key, load);
  }
  return pictures.get(key);
}

function thumbnail(key, words) {
  const place = make("span", { className: "thumb", textContent: "no picture kept" });
  thumbnailUrl(key).then((url) => {
    if (url) place.replaceWith(make("img", { className: "thumb", src: url, alt: `A shot of ${words}` }));
  });
  return place;
}

// --- teaching ----------------------------------------------------------------------------------

let holding = false;
let learning = false;

async function hold() {
  const label = $("label").value.trim();
  if (!label) {
    $("label").focus();
    tell("Name it first: what does the camera see?", { bad: true });
    return;
  }
  if (learning) return;
  [holding, learning] = [true, true];
  $("hold").classList.add("held");
  $("hold-text").textContent = `Learning ${label}`;
  let [shots, batches, alike] = [0, 0, 0];
  await attempt(async () => {
    while (holding || batches === 0) {
      const json = { label, frames: 4, every_ms: 100, ...(region && { region }) };
      const taught = await change("POST", "/v1/learn", json);
      shots += taught.keys.length;
      alike += taught.duplicates;
      batches += 1;
      $("count").textContent = shots;
    }
  });
  release();
  learning = false;
  $("hold-text").textContent = "Hold to learn";
  $("count").textContent = "";
  if (shots === 0) return;
  tell(`${plural(shots, "shot")} of ${label} learned.`, { undo: batches });
  const same = alike > shots / 2;
  $("hint").classList.toggle("good", !same);
  $("hint").textContent = same
    ? "These shots look much alike. Turn it, move it, change the light: that teaches more."
    : `Good. ${label} is known now; more views make it surer.`;
  openClass(label);
}

function release() {
  holding = false;
  $("hold").classList.remove("held");
}

$("hold").addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  $("hold").setPointerCapture(event.pointerId);
  hold();
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) $("hold").addEventListener(end, release);
$("hold").addEventListener("contextmenu", (event) => event.preventDefault());
$("hold").addEventListener("keydown", (event) => {
  if (event.key !== " " && event.key !== "Enter") return;
  event.preventDefault();
  if (!event.repeat) hold();
});
$("hold").addEventListener("keyup", release);
$("label").addEventListener("keydown", (event) => {
  if (event.key === "Enter") $("hold").focus();
});
$("undo").addEventListener("click", () => takeBack(1));

// --- what was learned --------------------------------------------------------------------------

let classes = [];
const opened = new Set();

function drawClasses() {
  $("labels").replaceChildren(...classes.map(({ label }) => make("option", { value: label })));
  const shots = classes.reduce((sum, { shots }) => sum + shots, 0);
  $("class-count").textContent = classes.length ? `${plural(classes.length, "class", "classes")}, ${plural(shots, "shot")}` : "";
  const list = $("class-list");
  const there = new Map([...list.children].map((details) => [details.dataset.label, details]));
  // the newest class comes first
  list.replaceChildren(...classes.toReversed().map((view) => {
    const details = there.get(view.label) ?? classDetails(view.label);
    const words = view.shots ? plural(view.shots, "shot") : "name only";
    details.querySelector("summary span").textContent = words;
    return details;
  }));
  filterClasses();
  for (const details of list.children) if (details.open) fillClass(details);
}

function classDetails(label) {
  const details = make("details", {}, make("summary", {}, make("b", { textContent: label }), make("span")), make("div"));
  details.dataset.label = label;
  details.open = opened.has(label);
  details.addEventListener("toggle", () => {
    if (details.open) opened.add(label);
    else opened.delete(label);
    if (details.open) fillClass(details);
  });
  return details;
}

async function fillClass(details) {
  const { label } = details.dataset;
  const shots = await get(`${classPath(label)}/shots`).catch(() => null);
  // the class may have gone meanwhile
  if (!shots) return;
  const keys = shots.map((shot) => shot.key).join();
  if (details.dataset.keys === keys) return;
  details.dataset.keys = keys;
  const edit = make("button", { textContent: "Rename or delete", onclick: () => editClass(label) });
  const list = make("ol", { className: "shots" }, ...shots.map((shot) => make("li", {}, shotButton(shot, label))));
  const empty = make("p", { className: "empty", textContent: "Known by its name alone. Hold the button above to add shots." });
  details.lastChild.replaceChildren(edit, shots.length ? list : empty);
}

function shotButton(shot, label) {
  const picture = shot.thumbnail
    ? thumbnail(shot.key, label)
    : make("span", { className: "thumb", textContent: shot.name.split("/").pop() });
  const button = make("button", { className: "shot", onclick: () => editShot(shot, label) }, picture);
  button.setAttribute("aria-label", `Shot ${shot.key} of ${label}: delete or move`);
  return button;
}

function openClass(label) {
  opened.add(label);
  for (const details of $("class-list").children) if (details.dataset.label === label) details.open = true;
}

function filterClasses() {
  const wanted = $("filter").value.trim().toLowerCase();
  let found = 0;
  for (const details of $("class-list").children) {
    details.hidden = !details.dataset.label.toLowerCase().includes(wanted);
    found += !details.hidden;
  }
  const empty = $("classes").querySelector(".empty");
  empty.hidden = found > 0;
  empty.textContent = wanted
    ? `No class is called ${wanted}. Show it to the camera, name it and hold the button.`
    : "Nothing was learned yet. Show the camera something and hold the button.";
}

$("filter").addEventListener("input", filterClasses);

/** Opens a dialog and gives the value of the button that closed it. */
function dialog(element) {
  element.returnValue = "";
  element.showModal();
  return new Promise((done) => (element.onclose = () => done(element.returnValue)));
}

async function editShot(shot, label) {
  const picture = $("shot-dialog").querySelector("img");
  picture.hidden = true;
  if (shot.thumbnail) {
    thumbnailUrl(shot.key).then((url) => {
      if (url) Object.assign(picture, { src: url, hidden: false, alt: `Shot ${shot.key} of ${label}` });
    });
  }
  $("shot-name").textContent = `Shot ${shot.key}, ${shot.name}`;
  $("shot-label").value = label;
  const what = await dialog($("shot-dialog"));
  const to = $("shot-label").value.trim();
  if (what === "delete") {
    await attempt(async () => {
      const gone = await change("DELETE", `/v1/shots/${shot.key}`);
      tell(gone.class ? `The shot is deleted, and ${gone.class} with it.` : "The shot is deleted.", { undo: 1 });
    });
  } else if (what === "move" && to && to !== label) {
    await attempt(async () => {
      await change("PATCH", `/v1/shots/${shot.key}`, { label: to });
      tell(`The shot is one of ${to} now.`, { undo: 1 });
    });
  }
}

async function editClass(label) {
  $("class-name").textContent = `The class ${label}`;
  $("class-label").value = label;
  const what = await dialog($("class-dialog"));
  const name = $("class-label").value.trim();
  if (what === "delete") {
    await attempt(async () => {
      const gone = await change("DELETE", classPath(label));
      tell(`${label} is deleted with ${plural(gone.keys.length, "shot")}.`, { undo: 1 });
    });
  } else if (what === "rename" && name && name !== label) {
    await attempt(async () => {
      await change("PATCH", classPath(label), { label: name });
      opened.add(name);
      tell(`${label} is called ${name} now.`, { undo: 1 });
    });
  }
}

// --- health ------------------------------------------------------------------------------------

const MATRIX = 24;
let checked = null;

$("check").addEventListener("click", async () => {
  $("check").disabled = true;
  $("check").textContent = "Checking";
  const health = await attempt(() => get("/v1/health"));
  $("check").disabled = false;
  $("check").textContent = "Check again";
  if (health) drawHealth(health);
});

function drawHealth(health) {
  checked = health.generation;
  if (health.accuracy === null) {
    const words = "There is too little to check: at least one class needs two shots.";
    $("report").replaceChildren(make("p", { className: "empty", textContent: words }), adviceList(health.advice));
    return;
  }
  const right = health.classes.reduce((sum, one) => sum + one.right, 0);
  const summary = make("p", { className: "figure" },
    make("strong", { textContent: percent(health.accuracy) }),
    make("span", { className: "quiet", textContent: `right: ${right} of ${plural(health.held_out, "shot")}` }));
  const wrong = health.classes.filter((one) => one.right < one.held_out).sort((a, b) => b.held_out - b.right - (a.held_out - a.right));
  const parts = [summary];
  if (health.advice.length) parts.push(make("h3", { textContent: "What would help" }), adviceList(health.advice));
  else parts.push(make("p", { textContent: "Nothing needs more shots." }));
  if (wrong.length) parts.push(make("h3", { textContent: "What is taken for what" }), drawMatrix(health, wrong));
  $("report").replaceChildren(...parts);
}

const adviceList = (advice) => make("ul", {}, ...advice.map((textContent) => make("li", { textContent })));

/** The classes that go wrong, and those that they are taken for: rows are true, columns answered. */
function drawMatrix(health, wrong) {
  const names = [];
  const add = (name) => name && names.length < MATRIX && !names.includes(name) && names.push(name);
  for (const one of wrong) {
    add(one.label);
    add(one.taken_for);
  }
  const of = new Map(health.classes.map((one) => [one.label, one.held_out]));
  const [cell, left, top] = [26, 130, 104];
  const svg = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const short = (name) => (name.length > 18 ? `${name.slice(0, 17)}…` : name);
  const root = svg("svg", { width: left + names.length * cell + 90, height: top + names.length * cell + 4, role: "img" });
  root.setAttribute("aria-label", `Confusion matrix of ${plural(names.length, "class", "classes")}; the list above says the same in words`);
  names.forEach((name, i) => {
    const y = top + i * cell;
    root.append(svg("text", { x: left - 8, y: y + 17, "text-anchor": "end" }, short(name)));
    const x = left + i * cell + 16;
    root.append(svg("text", { x, y: top - 8, transform: `rotate(-50 ${x} ${top - 8})` }, short(name)));
    names.forEach((_, j) => root.append(svg("rect", { class: "cell", x: left + j * cell + 1, y: y + 1, width: cell - 2, height: cell - 2, rx: 4 })));
  });
  for (const { truth, answer, shots } of health.confusion) {
    const [i, j] = [names.indexOf(truth), names.indexOf(answer)];
    if (i < 0 || j < 0) continue;
    const [x, y] = [left + j * cell, top + i * cell];
    const share = shots / Math.max(of.get(truth), 1);
    const box = svg("rect", { class: i === j ? "right" : "wrong", x: x + 1, y: y + 1, width: cell - 2, height: cell - 2, rx: 4, opacity: 0.35 + 0.65 * share });
    box.append(svg("title", {}, i === j ? `${truth}: ${shots} right` : `${truth}: ${shots} taken for ${answer}`));
    root.append(box, svg("text", { class: share > 0.5 ? "number strong" : "number", x: x + cell / 2, y: y + 17 }, shots));
  }
  const caption = `Rows are what was shown, columns what was answered${wrong.length > names.length ? "; the worst classes" : ""}.`;
  return make("div", {}, make("div", { className: "matrix" }, root), make("p", { className: "quiet", textContent: caption }));
}

// --- keeping up --------------------------------------------------------------------------------

let generation = null;
let refreshing = null;
let outdated = false;

/** Looks how things are, once more for all who ask while it looks. */
function refresh() {
  outdated = true;
  refreshing ??= (async () => {
    while (outdated) {
      outdated = false;
      await look();
    }
  })().finally(() => (refreshing = null));
  return refreshing;
}

async function look() {
  const status = await get("/v1/status").catch(() => null);
  if (!status) return;
  setRegions(status.regions);
  $("undo").disabled = status.undoable === 0;
  const trouble = status.trouble ?? (status.durable ? null : "What is learned now is lost when tipcam ends: it has no place to keep it.");
  warn(trouble);
  setState(status.trouble ? "" : "well", status.trouble ? "No answers" : "Watching");
  if (status.generation !== generation) {
    generation = status.generation;
    classes = await get("/v1/classes").catch(() => classes);
    drawClasses();
    if (checked !== null && checked !== generation) $("check").textContent = "Check again: something changed";
  }
}

/** Follows the answers until the connection breaks. */
async function follow(signal) {
  const response = await ask("GET", "/v1/events", { signal });
  $("changes").querySelector("ol").replaceChildren();
  refresh();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Refused(0, "The connection has ended.");
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const name = /^event: (.*)$/m.exec(event)?.[1];
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (data && name === "frame") show(JSON.parse(data));
      if (data && name === "change") addChange(JSON.parse(data));
    }
  }
}

/** Shows picture after picture, each as soon as the one before is here. */
async function watch(signal) {
  const response = await ask("GET", "/v1/frame.jpg", { signal });
  const url = URL.createObjectURL(await response.blob());
  const picture = $("picture");
  const old = picture.src;
  picture.src = url;
  await picture.decode().catch(() => {});
  picture.hidden = false;
  $("no-picture").hidden = true;
  if (old) URL.revokeObjectURL(old);
}

async function again(signal, work, failed) {
  let pause = 500;
  while (!signal.aborted) {
    try {
      await work(signal);
      pause = 500;
    } catch (error) {
      if (signal.aborted) return;
      failed(error);
      await wait(error.status === 401 ? 60000 : pause);
      pause = Math.min(2 * pause, 5000);
    }
  }
}

let running = null;

function restart() {
  running?.abort();
  running = null;
  if (document.hidden) return;
  running = new AbortController();
  const { signal } = running;
  again(signal, follow, lost);
  again(signal, watch, () => {
    $("picture").hidden = true;
    $("no-picture").hidden = false;
    $("no-picture").textContent = "No picture at the moment";
  });
  again(signal, async () => {
    await refresh();
    await wait(3000);
  }, () => {});
}

// a page that nobody sees takes nobody's place
document.addEventListener("visibilitychange", restart);
restart();
