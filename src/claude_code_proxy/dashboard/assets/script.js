// What runs now, kept up to date. Texts are set as text: nothing of a client or a model becomes markup.
"use strict";

const FIELDS = [
  ["state", ""], ["target", "mono clip"], ["asked", "clip wide"], ["project", "clip wide"],
  ["time", "n"], ["first", "n mid"], ["tokens", "n mid"], ["bytes", "n wide"],
];

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function made(row) {
  const line = document.createElement("tr");
  line.dataset.id = row.id;
  for (const [name, kind] of FIELDS) {
    const cell = document.createElement("td");
    cell.className = kind;
    let place = cell;
    if (name === "state") place = cell.appendChild(document.createElement("span"));
    if (name === "target") {
      place = cell.appendChild(document.createElement("a"));
      place.href = "/dashboard/request/" + encodeURIComponent(row.id);
    }
    place.dataset.field = name;
    line.append(cell);
  }
  return line;
}

function filled(line, row) {
  for (const [name] of FIELDS) {
    const place = line.querySelector(`[data-field="${name}"]`);
    write(place, row[name]);
    if (name === "state") place.className = "badge " + row.tone;
  }
}

function show(table, told) {
  const body = table.tBodies[0];
  const lines = new Map([...body.rows].map((line) => [line.dataset.id, line]));
  told.rows.forEach((row, at) => {
    const line = lines.get(row.id) || made(row);
    lines.delete(row.id);
    filled(line, row);
    if (body.rows[at] !== line) body.insertBefore(line, body.rows[at] || null);
  });
  for (const line of lines.values()) line.remove();
  write(document.getElementById("running"), told.running + " running");
  write(document.getElementById("ledger"), told.ledger);
  document.getElementById("nothing").hidden = told.rows.length > 0;
}

const table = document.querySelector("table[data-live]");
if (table) {
  let source = null;
  const lost = document.getElementById("link");
  const follow = () => {
    source = new EventSource(table.dataset.live);
    source.onopen = () => { lost.hidden = true; };
    source.onerror = () => { lost.hidden = false; };
    source.onmessage = (event) => show(table, JSON.parse(event.data));
  };
  // A page that nobody looks at holds no connection: browsers allow six to a server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else if (!source) follow();
  });
  if (!document.hidden) follow();
}
