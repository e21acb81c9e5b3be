"use strict";

const $ = (id) => document.getElementById(id);
const STUDIES = JSON.parse($("studies").textContent);
const CONFIG = JSON.parse($("config").textContent);
const BEGUN = (study) => ({ l: study.decay.start, m: study.second?.start ?? 0, shown: false, guess: null });
const places = new Map(STUDIES.map((study) => [study, BEGUN(study)])); // where the reader stands in each study
const SMALL = 1e-6; // a smaller number is written as a power of ten
const PRINTED = { width: 500, height: 220, size: 16 }; // of a chart, in its own pixels: on A4 its letters have 8 points or more
let study = STUDIES[0];
let figures = []; // those of the study: {chart, element, view}
let front = 0; // the chart that is presented
let printing = false;
let writing; // a timer

// Numbers and words

const plain = (value) => (Math.abs(value) >= 1000 ? value.toLocaleString("en") : String(value));

function withError(value, error) {
  if (value === null) return study.absent;
  if (value && Math.abs(value) < SMALL) return [value, ...(error ? [error] : [])].map((each) => each.toExponential(1)).join(" ± ");
  if (!error) return plain(Number(value.toPrecision(4)));
  const decimals = Math.min(Math.max(1 - Math.floor(Math.log10(error)), 0), 20);
  const [mean, spread] = [value, error].map((each) => each.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  return `${mean} ± ${spread}`;
}

const together = (text) => text.replaceAll(" = ", "\u00a0=\u00a0");
const equals = (slider, place) => `${slider.name} = ${plain(slider.values[place])}`;
const at = (values, m) => values[values.length > 1 ? m : 0]; // one stands for all values of the second slider
const hiding = () => $("predict").checked && study.best.some((best) => best !== null) && !places.get(study).shown;
const presenting = () => document.body.classList.contains("presenting");

function verdict({ m, guess }) {
  if (hiding() || !$("predict").checked) return "";
  const best = study.best[m];
  const when = study.second ? " here" : "";
  if (best === null) return `No best ${study.decay.name} is known${when}.`;
  const doubt = at(study.doubt, m);
  const what = doubt ? `${study.ofBest}, ${doubt}` : study.ofBest;
  if (guess?.m !== m) return `Best${when} is ${equals(study.decay, best)}: ${what}.`;
  const expected = `You expected ${equals(study.decay, guess.l)}`;
  return best === guess.l ? `${expected}, and that is best: ${what}.` : `${expected}; best is ${equals(study.decay, best)}: ${what}.`;
}

// Rows: what a chart draws, and its table lists

function measured(chart, line, x, y, error) {
  const low = y - error;
  const between = y === null ? { low: null, high: null } : { low: chart.logY && low <= 0 ? y * 1e-9 : low, high: y + error };
  return { name: line.name, x, y, error, label: x, ...between };
}

function overSteps(chart, { m, l }) {
  const end = chart.until ? chart.until[m] : Infinity;
  return chart.lines.flatMap((line) => {
    const along = (place, run) =>
      chart.at.flatMap((x, k) => {
        if (x > end || (chart.logX && x <= 0)) return [];
        return { run, ...measured(chart, line, x, at(line.values, m)[place][k], (line.error && at(line.error, m)[place][k]) ?? 0) };
      });
    if (line.theory) return hiding() ? [] : along(l, "theory");
    return hiding() ? along(0, "baseline") : [...along(0, "baseline"), ...along(l, "now")];
  });
}

function overDecays(chart, { m, l, guess }) {
  const { values } = study.decay;
  const x = (place) => values[place] || study.zero;
  const known = hiding() ? values.slice(0, 1) : values; // to begin with, what there is without decay
  const lines = chart.lines.flatMap((line) =>
    known.map((value, place) => {
      const row = measured(chart, line, x(place), at(line.values, m)[place], (line.error && at(line.error, m)[place]) ?? 0);
      return { ...row, run: line.theory ? "theory" : "now", label: plain(value), chosen: place === l };
    }),
  );
  const best = study.best[m];
  const guessed = guess && guess.m === m && guess.l !== best ? guess.l : null;
  const last = values.length - 1;
  const mark = (run, place, other) => ({ run, x: x(place), text: run === "guess" ? "your guess" : `best${study.ofBest.match(/ with .*/)?.[0] ?? ""}`, before: place < 0.2 * last ? false : place > 0.8 * last || place < other });
  const marks = [{ run: "chosen", x: x(l) }];
  if (hiding()) return [...lines, ...marks];
  if (best !== null) marks.push(mark("best", best, guessed ?? best));
  if (guessed !== null) marks.push(mark("guess", guessed, best));
  const here = lines.filter((row) => row.chosen && row.run === "now").map((row) => ({ ...row, run: "here" }));
  return [...lines, ...marks, ...here];
}

function weights(chart, { m, l }) {
  const place = hiding() ? 0 : l;
  const rows = chart.lines.flatMap((line) => chart.at.map((x, k) => ({ run: "now", name: line.name, x, y: at(line.values, m)[place][k], label: x })));
  const truth = (chart.truth ? at(chart.truth, m) : []).map((y, k) => ({ run: "truth", name: "truth", x: chart.at[k], y, label: chart.at[k] }));
  const wall = chart.walls && at(chart.walls, m)[place];
  return [...rows, ...truth, ...(wall === null ? [] : [wall, -wall].map((y) => ({ run: "wall", y })))];
}

const rowsOf = (chart) => ({ steps: overSteps, decays: overDecays, weights })[chart.kind](chart, places.get(study));

// A chart's frame

const swatch = ({ colour = "ink", dash = "", width = 3 }) =>
  `<svg width="26" height="8" aria-hidden="true"><line x2="26" y1="4" y2="4" stroke="var(--${colour})" stroke-width="${width}" stroke-dasharray="${dash}"/></svg>`;

function keyOf(chart) {
  const dashes = chart.lines.filter(({ theory }) => theory).map(({ name }, place) => [name, place ? "6 3" : ""]);
  const lines = chart.lines.map(({ name, colour, dashed, theory }) => [
    name,
    theory ? { width: 1.25, dash: new Map(dashes).get(name) } : { colour, dash: dashed ? "6 4" : "" },
    theory,
  ]);
  if (chart.kind === "steps") lines.unshift([equals(study.decay, 0), { colour: "baseline", width: 4 }]);
  if (chart.truth) lines.push(["truth", { width: 1.5 }]);
  if (chart.walls) lines.push(["walls", { width: 1, dash: "6 4" }]);
  if (chart.level) lines.push([`${chart.level[0]}, ${plain(Number(chart.level[1].toPrecision(4)))}`, { width: 1.5, dash: "2 3" }]);
  return lines.map(([text, look, theory]) => {
    const entry = document.createElement("span");
    entry.classList.toggle("theory", Boolean(theory));
    entry.innerHTML = swatch(look);
    entry.append(text);
    return entry;
  });
}

function framed(chart) {
  const element = $("chart").content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  find("h3").textContent = chart.title;
  find(".key").append(...keyOf(chart));
  find(".scroll").setAttribute("aria-label", `${chart.title}, the numbers`);
  const figure = { chart, element, find, view: null };
  find("details").addEventListener("toggle", () => fillTable(figure, rowsOf(chart)));
  return figure;
}

function fillTable({ chart, find }, rows) {
  if (!find("details").open) return;
  const columns = [];
  const byPlace = new Map();
  for (const { run, name, label, y, error } of rows.filter((row) => ["baseline", "now", "theory", "truth"].includes(row.run))) {
    const column = run === "baseline" ? `${name}, ${equals(study.decay, 0)}` : name;
    if (!columns.includes(column)) columns.push(column);
    if (!byPlace.has(label)) byPlace.set(label, {});
    byPlace.get(label)[column] = withError(y, error);
  }
  const table = find("table");
  table.replaceChildren();
  const add = (tag, texts) => {
    const row = table.insertRow();
    for (const text of texts) row.append(Object.assign(document.createElement(tag), { textContent: text, ...(tag === "th" && { scope: "col" }) }));
  };
  add("th", [chart.x, ...columns]);
  for (const [label, cells] of byPlace) add("td", [label, ...columns.map((column) => cells[column] ?? "")]);
}

function describe(chart, rows) {
  const { m, l } = places.get(study);
  if (hiding()) return `${chart.title}, at ${equals(study.decay, 0)}`;
  const ends = new Map(rows.filter((row) => (chart.kind === "steps" ? row.run === "now" : row.run === "here")).map((row) => [row.name, row]));
  const said = [...ends.values()].map((row) => `${row.name} ${withError(row.y, row.error)}`);
  return `${chart.title}, at ${equals(study.decay, l)}${study.second ? `, ${equals(study.second, m)}` : ""}${said.length ? `: ${said.join(", ")}` : ""}`;
}

// Sliders

function tick(box, className, place, text) {
  const element = document.createElement("span");
  element.className = className;
  element.style.setProperty("--at", place);
  element.textContent = text;
  box.append(element);
  return element.getBoundingClientRect();
}

function mark(box, place, text) {
  const label = tick(box, "mark", place, text);
  const edges = box.getBoundingClientRect();
  const shift = Math.max(edges.left - label.left, 0) + Math.min(edges.right - label.right, 0); // so that no word leaves the page
  box.lastChild.style.setProperty("--shift", `${shift}px`);
  return box.lastChild.getBoundingClientRect();
}

function drawTicks(id, slider, marks) {
  const box = $(id).querySelector(".ticks");
  box.replaceChildren();
  const ends = [tick(box, "", 0, plain(slider.values[0]))];
  const last = slider.values.length - 1;
  if (last > 0) ends.push(tick(box, "", 1, plain(slider.values[last])));
  let right = ends[0].right;
  for (let place = 1; place < last; place += 1) {
    const label = tick(box, "", place / last, plain(slider.values[place]));
    const fits = label.left > right + 6 && label.right < ends[1].left - 6;
    if (fits) right = label.right;
    else box.lastChild.textContent = "";
  }
  const rows = [];
  for (const [place, words] of [...marks].sort(([one], [other]) => one - other)) {
    const label = mark(box, place, words.join(", "));
    const row = [...rows, -Infinity].findIndex((end) => label.left > end + 6);
    rows[row] = label.right;
    box.lastChild.style.marginTop = `${1.2 * row}em`;
  }
  box.style.setProperty("--rows", rows.length);
}

function marksOf({ m, guess }) {
  const marks = new Map();
  const last = Math.max(study.decay.values.length - 1, 1);
  const add = (place, word) => marks.set(place / last, [...(marks.get(place / last) ?? []), word]);
  if (hiding()) return marks;
  if (guess && guess.m === m) add(guess.l, "your guess");
  if (study.best[m] !== null) add(study.best[m], "best");
  return marks;
}

function setSlider(id, slider, place) {
  $(id).hidden = !slider;
  if (!slider) return;
  const input = $(`${id}-at`);
  input.max = slider.values.length - 1;
  input.disabled = slider.values.length < 2;
  input.value = place;
  input.setAttribute("aria-valuetext", equals(slider, place));
  input.setAttribute("aria-label", slider.name);
  $(id).querySelector("label").textContent = equals(slider, place);
  drawTicks(id, slider, id === "decay" ? marksOf(places.get(study)) : new Map());
}

// The page

function update() {
  const here = places.get(study);
  const { m, l } = here;
  const prompt = `Where do you expect the ${study.ofBest}? Move ${study.decay.name} there.`;
  setSlider("second", study.second, m);
  setSlider("decay", study.decay, l);
  $("said").textContent = together(hiding() ? prompt : study.said[m][l]);
  const finding = hiding() || !study.finding ? "" : `${study.finding}.`;
  const answers = [verdict(here), finding].filter(Boolean);
  $("verdict").textContent = together((presenting() ? answers.slice(0, 1) : answers).join(" ")); // the chart needs the room
  $("show").hidden = !hiding();
  $("show").textContent = together(`My guess is ${equals(study.decay, l)}: show`);
  const facts = study.facts.map((fact) => [fact.name, withError(at(fact.values, m)[l], fact.error && at(fact.error, m)[l])]);
  if (study.trials) facts.push(["trials", plain(study.trials)]);
  $("facts").replaceChildren(
    ...(hiding() ? [] : facts).map(([name, value]) => {
      const pair = document.createElement("div");
      pair.append(document.createElement("dt"), document.createElement("dd"));
      pair.firstChild.textContent = name;
      pair.lastChild.textContent = value;
      return pair;
    }),
  );
  figures.forEach(({ element }, place) => element.classList.toggle("front", place === front));
  figures.forEach(feed);
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", fragment()), 300); // a browser allows a few of these a second
}

function feed(figure) {
  const { chart, find, view } = figure;
  const rows = rowsOf(chart);
  const empty = !rows.some((row) => row.run !== "truth" && typeof row.y === "number");
  find(".plot").hidden = empty;
  find(".empty").hidden = !empty;
  find(".plot").setAttribute("aria-label", describe(chart, rows));
  fillTable(figure, rows);
  if (!view) return;
  for (const name of ["band", "theory"]) view.signal(name, $(name).checked);
  if (chart.until) view.signal("until", chart.until[places.get(study).m]);
  view.data("now", rows);
  const { clientWidth: width, clientHeight: height } = find(".plot");
  const size = printing ? PRINTED : width ? { width, height, size: presenting() ? Math.round(innerHeight / 45) : 13 } : {};
  for (const [name, value] of Object.entries(size)) view.signal(name, value);
  view.run();
}

async function draw() {
  const drawn = figures;
  for (const figure of drawn) {
    const options = { renderer: "svg", actions: false, tooltip: false, defaultStyle: false, ast: true, config: CONFIG };
    const { view } = await vegaEmbed(figure.find(".drawing"), structuredClone(figure.chart.spec), options);
    if (drawn !== figures) return view.finalize();
    figure.view = view;
    feed(figure);
  }
}

function choose(key) {
  study = STUDIES.find((each) => each.key === key) ?? study;
  front = 0;
  figures.forEach(({ view }) => view?.finalize());
  figures = study.charts.map(framed);
  document.querySelector(`[name=study][value="${study.key}"]`).checked = true;
  $("title").textContent = study.title;
  $("question").textContent = study.question;
  $("charts").replaceChildren(...figures.map(({ element }) => element));
  $("notes").replaceChildren(...[...study.notes, ...study.words].map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  update();
  if (window.vegaEmbed) draw();
}

function present(on) {
  document.body.classList.toggle("presenting", on);
  update();
  $("decay-at").focus();
}

const beside = (by, all, one) => all[(all.indexOf(one) + by + all.length) % all.length];
const turn = (by) => choose(beside(by, STUDIES, study).key);

function nextChart() {
  front = beside(1, [...figures.keys()], front);
  update();
}

// The address: #study&decay=3&second=10&shown

function fragment() {
  const { m, l } = places.get(study);
  const parts = [study.key, `decay=${study.decay.values[l]}`];
  if (study.second) parts.push(`second=${study.second.values[m]}`);
  if (!hiding()) parts.push("shown");
  return `#${parts.join("&")}`;
}

function nearest(values, wanted, otherwise) {
  const gaps = values.map((value) => Math.abs(value - wanted));
  return wanted === null || Number.isNaN(Number(wanted)) ? otherwise : gaps.indexOf(Math.min(...gaps));
}

function follow() {
  const [key] = location.hash.slice(1).split("&");
  const asked = new URLSearchParams(location.hash.slice(1));
  const wanted = STUDIES.find((each) => each.key === key) ?? study;
  const place = places.get(wanted);
  place.l = nearest(wanted.decay.values, asked.get("decay"), place.l);
  if (wanted.second) place.m = nearest(wanted.second.values, asked.get("second"), place.m);
  place.shown ||= asked.has("shown");
  choose(wanted.key);
}

const fail = () => document.documentElement.classList.add("failed");

function move(change) {
  Object.assign(places.get(study), change);
  update();
}

addEventListener("error", fail);
addEventListener("unhandledrejection", fail);
addEventListener("resize", update);
addEventListener("hashchange", follow);
for (const [event, on] of [["beforeprint", true], ["afterprint", false]]) addEventListener(event, () => ((printing = on), update()));

const KEYS = { PageUp: () => turn(-1), PageDown: () => turn(1), c: nextChart, Escape: () => present(false) }; // of the presentation
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "p") present(!presenting());
  else if (presenting() && KEYS[event.key]) {
    event.preventDefault(); // a slider would jump
    KEYS[event.key]();
  }
});
for (const [id, key] of Object.entries({ before: "PageUp", after: "PageDown", another: "c", leave: "Escape" })) $(id).addEventListener("click", KEYS[key]);
$("tabs").addEventListener("change", ({ target }) => choose(target.value));
$("decay-at").addEventListener("input", ({ target }) => move({ l: Number(target.value) }));
$("second-at").addEventListener("input", ({ target }) => move({ m: Number(target.value) }));
$("show").addEventListener("click", () => {
  const { m, l } = places.get(study);
  move({ guess: { m, l }, shown: true });
  $("decay-at").focus();
});
$("predict").addEventListener("change", () => {
  for (const place of places.values()) Object.assign(place, { guess: null, shown: false });
  update();
});
for (const name of ["band", "theory"]) $(name).addEventListener("change", update);
$("present").addEventListener("click", () => present(true));

if (study) follow();
requestAnimationFrame(() =>
  setTimeout(() => { // first the words, then Vega, which takes a while to read
    document.body.append(Object.assign(document.createElement("script"), { textContent: `(() => {${$("vega").textContent}})()` }));
    if (study) draw();
  }),
);
