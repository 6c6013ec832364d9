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
  const answer = await ask(button.dataset.path || `${api(button)}/${name}`, {});
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
    const answer = await ask(form.dataset.post, values(form));
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
