"use strict";
// What the pages do: ask the app, show what it says. Everything that is shown goes through textContent.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const BASE = meta("stargazer-base");
const HEADERS = { "X-Stargazer": meta("stargazer-page") };

async function ask(path, body, method) {
  const options = { method: method || (body === undefined ? "GET" : "POST"), headers: { ...HEADERS } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(BASE + path, options);
  const found = await answer.json().catch(() => ({ error: `the app answered ${answer.status}` }));
  if (!answer.ok) throw new Error(found.error || `the app answered ${answer.status}`);
  return found;
}

let saying = 0;
function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { place.textContent = ""; }, 12000);
}

// What takes longer than a page waits is asked for until it ends.
async function ended(answer) {
  let job = answer;
  while (job.state === "running") {
    say(`${job.name} …`);
    await new Promise((done) => setTimeout(done, 700));
    job = await ask(`/api/jobs/${job.job}`);
  }
  if (job.state === "failed") throw new Error(job.said);
  return job;
}

function outcome(text) {
  const place = document.getElementById("outcome");
  if (!place) return false;
  place.textContent = text;
  place.hidden = false;
  return true;
}

function later(text) { sessionStorage.setItem("said", text); }

function go(then, answer) {
  if (then === "reload") location.reload();
  else if (then === "home") location.href = `${BASE}/`;
  else if (then === "renamed") location.href = `${BASE}/notebooks/workspace/${encodeURIComponent(answer.name)}`;
  else if (then && then.startsWith("/")) location.href = BASE + then;
  else if (answer.url) location.href = answer.url;
}

async function busy(button, work) {
  if (button.disabled) return;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try { await work(); } catch (error) { say(error.message); } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

// Notebooks: open, stop, copy, and what each takes.

function api(element) {
  const [section, ...name] = element.closest("[data-notebook]").dataset.notebook.split("/");
  return `/api/notebooks/${encodeURIComponent(section)}/${encodeURIComponent(name.join("/"))}`;
}

function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) { number /= 1000; unit += 1; }
  return `${unit ? number.toFixed(1) : number} ${units[unit]}`;
}

function show(place, state) {
  const runs = state.state === "ready" || state.state === "starting";
  for (const each of ["closed", "starting", "ready", "ended"]) place.classList.toggle(each, each === state.state);
  place.dataset.state = state.state;
  const told = (name) => place.querySelector(`[data-told="${name}"]`);
  const words = { closed: "closed", starting: "starting …", ready: state.mode === "edit" ? "open to edit" : "open to run", ended: "ended" };
  told("state").textContent = words[state.state];
  told("since").textContent = runs && state.since ? `since ${new Date(state.since).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "";
  told("since").dateTime = state.since;
  told("used").textContent = state.state === "ready" && state.memory ? `· ${Math.round(state.cpu * 100)} % cpu · ${bytes(state.memory)}` : "";
  told("why").textContent = state.why;
  told("why").hidden = !state.why;
  for (const button of place.querySelectorAll("[data-open]")) {
    const other = runs && button.dataset.open !== state.mode;
    button.hidden = other;
    const word = runs ? "Open" : button.dataset.open === "edit" ? "Edit" : "Run";
    button.firstChild.textContent = word;
  }
  place.querySelector("[data-stop]").hidden = !runs && state.state !== "ended";
  place.querySelector("[data-stop]").firstChild.textContent = state.state === "ended" ? "Dismiss" : "Stop";
}

const CLOSED = { state: "closed", mode: "", since: "", memory: 0, cpu: 0, why: "" };

async function refresh() {
  const places = document.querySelectorAll("[data-notebook]");
  if (!places.length) return;
  const { notebooks } = await ask("/api/notebooks");
  for (const place of places) show(place, notebooks[place.dataset.notebook] || CLOSED);
}

async function open_(button) {
  // The tab is opened by the click itself: browsers hold back those that are opened later.
  const tab = window.open("", "_blank");
  if (tab) tab.document.title = "opening …";
  const place = button.closest("[data-notebook]");
  show(place, { ...CLOSED, state: "starting", mode: button.dataset.open });
  try {
    const { url } = await ask(`${api(button)}/start`, { mode: button.dataset.open });
    if (tab) tab.location.replace(url); else location.href = url;
  } catch (error) {
    if (tab) tab.close();
    throw error;
  } finally { await refresh(); }
}

async function act(button) {
  const { act: name, ask: question, then } = button.dataset;
  if (question && !confirm(question)) return;
  let answer = await ask(button.dataset.path || `${api(button)}/${name}`, {});
  if (answer.job) {
    answer = await ended(answer).catch((error) => { outcome(error.message); throw error; });
    if (!answer.go && outcome(answer.said)) { say(answer.said); return; }
  }
  if (answer.said) later(answer.said);
  else if (name === "copy") later(`${answer.name} is in the workspace now`);
  go(answer.go || then || "reload", answer);
}

// Forms.

function values(form) {
  const found = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled) continue;
    if (field.type === "checkbox") found[field.name] = field.checked;
    else found[field.name] = field.value;
  }
  return found;
}

async function send(form) {
  const told = form.querySelector(".told");
  if (told) told.hidden = true;
  try {
    let answer = await ask(form.dataset.post, values(form));
    if (answer.job) answer = await ended(answer);
    if (answer.said) later(answer.said);
    go(answer.go || form.dataset.then, answer);
  } catch (error) {
    if (!told) throw error;
    told.textContent = error.message;
    told.hidden = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.dialog) document.getElementById(button.dataset.dialog).showModal();
  else if ("close" in button.dataset) button.closest("dialog").close();
  else if (button.dataset.open) busy(button, () => open_(button));
  else if ("stop" in button.dataset) busy(button, async () => { await ask(`${api(button)}/stop`, {}); await refresh(); });
  else if (button.dataset.act) busy(button, () => act(button));
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.post) return;
  event.preventDefault();
  busy(event.submitter || form.querySelector("button"), () => send(form));
});

document.addEventListener("change", (event) => {
  if ("submit" in event.target.dataset) event.target.form.requestSubmit();
});

const kept = sessionStorage.getItem("said");
if (kept) { sessionStorage.removeItem("said"); say(kept); }
refresh().catch(() => {});
if (document.querySelector("[data-notebook]")) {
  setInterval(() => { if (!document.hidden) refresh().catch(() => say("the app does not answer")); }, 3000);
}

// Files from this computer, in pieces of 8 MiB; the app knows how far each got.

const PIECE = 8 << 20;

function element(name, options, ...inside) {
  const made = Object.assign(document.createElement(name), options);
  made.append(...inside);
  return made;
}

async function put(path, body) {
  const answer = await fetch(BASE + path, { method: "PUT", headers: HEADERS, body });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(found.error || `the app answered ${answer.status}`), { status: answer.status });
  return found;
}

// An answer that was lost is asked for again: the app tells it once more.
async function finished(id) {
  for (let tries = 0; ; tries += 1) {
    try { return await ask(`/api/uploads/${id}/finish`, {}); } catch (error) {
      if (!(error instanceof TypeError) || tries >= 30) throw error;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

async function upload(file, type, facts, line) {
  const bar = element("progress", { max: file.size || 1, value: 0, ariaLabel: file.name });
  const told = element("span", { className: "small" });
  line.append(element("span", { textContent: `${file.name} ` }), bar, " ", told);
  const key = `${file.lastModified}`;
  const begin = () => ask("/api/uploads", { name: file.name, size: file.size, type, facts, key });
  let state = await begin();
  for (let tries = 0; state.offset < file.size;) {
    bar.value = state.offset;
    told.textContent = `${bytes(state.offset)} of ${bytes(file.size)}`;
    try {
      state = await put(`/api/uploads/${state.id}?offset=${state.offset}`, file.slice(state.offset, state.offset + PIECE));
      tries = 0;
    } catch (error) {
      if ((error.status && error.status !== 409) || tries >= 30) throw error;
      tries += 1;
      told.textContent = "the connection broke; trying again";
      await new Promise((done) => setTimeout(done, 1000));
      state = await begin().catch(() => state);
    }
  }
  bar.value = bar.max;
  told.textContent = "into the store …";
  const made = await finished(state.id);
  bar.remove();
  told.textContent = "";
  line.append(element("a", { href: `${BASE}/files/${made.id}`, textContent: made.cid, className: "mono" }));
}

const adding = document.getElementById("add");
if (adding) {
  const kinds = JSON.parse(document.getElementById("kinds").textContent);
  const type = document.getElementById("add-type");
  const place = document.getElementById("add-facts");
  const draw = () => {
    place.replaceChildren(...kinds[type.value].map((fact) => element("div", { className: "field" },
      element("label", { htmlFor: `fact-${fact.name}`, textContent: fact.name }),
      element("input", { id: `fact-${fact.name}`, name: fact.name, placeholder: fact.label, autocomplete: "off" }))));
  };
  type.addEventListener("change", draw);
  draw();
  adding.addEventListener("submit", (event) => {
    event.preventDefault();
    const told = adding.querySelector(".told");
    told.hidden = true;
    busy(event.submitter, async () => {
      const facts = Object.fromEntries([...place.querySelectorAll("input")].filter((each) => each.value).map((each) => [each.name, each.value]));
      for (const file of document.getElementById("add-files").files) {
        const line = element("li", {});
        document.getElementById("added").append(line);
        try { await upload(file, type.value, facts, line); } catch (error) {
          told.textContent = `${file.name}: ${error.message}`;
          told.hidden = false;
        }
      }
    });
  });
}

// A task or workflow: the plan first, then the run.

const call = document.getElementById("call");
if (call) {
  const told = call.querySelector(".told");
  const run = document.getElementById("run-it");
  call.addEventListener("input", () => { run.disabled = true; });
  call.addEventListener("submit", (event) => {
    event.preventDefault();
    const what = event.submitter && event.submitter.value === "run" ? "run" : "plan";
    told.hidden = true;
    busy(event.submitter || call.querySelector("button"), async () => {
      try {
        const given = Object.fromEntries([...new FormData(call)].filter(([name, value]) => name !== "do" && value !== ""));
        const answer = await ask(`/api/catalog/${encodeURIComponent(call.dataset.entry)}/${what}`, given);
        if (what === "run") { go(answer.go); return; }
        // The only HTML that is shown as such: the app made it, with every name in it escaped.
        document.getElementById("planned").innerHTML = answer.html;
        document.getElementById("plan").hidden = false;
        setTimeout(() => { run.disabled = false; });
      } catch (error) {
        told.textContent = error.message;
        told.hidden = false;
      }
    });
  });
}

// The chosen file stands in the middle of its graph.

const chosen = document.querySelector(".graph .chosen rect");
if (chosen) {
  const place = chosen.closest(".graph");
  place.scrollLeft = chosen.x.baseVal.value + chosen.width.baseVal.value / 2 - place.clientWidth / 2;
  place.scrollTop = chosen.y.baseVal.value - place.clientHeight / 2;
}

// Runs that are under way.

async function follow() {
  const live = [...document.querySelectorAll("[data-run][data-live]")];
  if (!live.length || document.hidden) return;
  const alone = live.length === 1 ? `?id=${encodeURIComponent(live[0].dataset.run)}` : "";
  const { runs } = await ask(`/api/runs${alone}`);
  for (const place of live) {
    const run = runs[place.dataset.run];
    if (!run) continue;
    if (run.ended) { location.reload(); return; }
    for (const name of ["state", "told"]) place.querySelector(`[data-told="${name}"]`).textContent = run[name];
    place.querySelector('[data-told="seconds"]').textContent = `${Math.round(run.seconds)} s`;
  }
}
if (document.querySelector("[data-run][data-live]")) setInterval(() => follow().catch(() => {}), 2000);
